"""Commands that only tables have: comparison, search, alarms, faithfulness, leaks."""
