"""Encoders: table columns and windows as named numbers, rows as short text."""
