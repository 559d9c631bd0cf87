"""Time of rows: stamps as people write them into seconds, spans, order within runs, gaps."""
