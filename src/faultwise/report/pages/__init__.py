"""Pages about models and methods: alarms in time, comparisons, faithfulness of findings, searches of settings."""
