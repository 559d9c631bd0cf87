"""Anomaly detection on images: backbone, memory bank, decoder, thresholds, regions."""
