"""Checks of tables: leaks, duplicates, an engineer's own rules, sensors, drift."""
