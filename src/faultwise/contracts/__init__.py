"""What every room shares: records of findings and verdicts, protocols, errors, and how settings are read."""
