"""Evaluation: metric names, intervals, protocols."""
