"""Rows that people hand over in memory: arrays and dataframes of any library, their columns, labels and weights."""
