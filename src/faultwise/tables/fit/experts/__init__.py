"""Experts on features of tables: classical classifiers and the monitor of normal rows."""
