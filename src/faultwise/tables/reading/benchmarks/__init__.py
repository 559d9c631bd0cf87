"""Published data sets of tables: recognised, shipped, simulated."""
