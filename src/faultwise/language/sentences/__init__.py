"""Sentence models: short texts as vectors."""
