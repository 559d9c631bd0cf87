"""Narrative: sentences made from findings, each pointing to them."""
