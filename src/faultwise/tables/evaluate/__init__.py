"""Judging runs on tables: protocols, comparison of experts, search of settings, alarms, faithfulness."""
