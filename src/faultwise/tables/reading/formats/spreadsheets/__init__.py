"""Workbooks of spreadsheets: how far their cells reach, and their sheets."""
