"""Fitting on tables and diagnosing with what was fitted: features, experts, monitor, streams."""
