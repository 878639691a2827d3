"""Processes that do the tasks of a run, here or on a cluster, and outlive any file."""
