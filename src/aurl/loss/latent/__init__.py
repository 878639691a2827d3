"""What may be asked of posteriors beside what they cost: that they tell windows apart, and that dimensions differ."""
