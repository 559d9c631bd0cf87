"""Labels as people keep them: in a second table of events, ahead of failures, in part, in several spellings."""
