"""Search over profiles: which values of its keys train the best model, found by many short runs."""
