"""Inspection images: good ones are learnt, defects are found and named."""
