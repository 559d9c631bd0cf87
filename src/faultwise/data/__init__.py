"""Data: readers, roles, checks, splits, samples and simulation."""
