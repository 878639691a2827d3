"""From a data set and a profile to a run folder, and on from where it stopped."""
