"""Sensor tables: rows of variables in time, labelled or not."""
