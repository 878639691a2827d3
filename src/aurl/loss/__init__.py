"""What training minimises and reports: sums over targets, so that any number of batches and processes adds up."""
