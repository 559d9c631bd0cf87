"""Checks for leaks: duplicated runs and rows, columns that give the label away, columns that look ahead."""
