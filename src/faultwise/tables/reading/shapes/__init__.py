"""Tables whose rows are put together first: a line per measurement, several tables, events beside a record."""
