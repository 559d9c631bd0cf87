"""Experts: classifiers behind one plug-in door, their fusion, and detection."""
