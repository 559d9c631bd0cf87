"""File formats beside text and Parquet, a module each; `formats.py` finds them by ending."""
