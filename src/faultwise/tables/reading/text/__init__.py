"""Delimited text: encodings, dialects, numbers as people write them, files that grow."""
