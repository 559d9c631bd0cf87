"""Features of rows: numeric columns, statistics of windows."""
