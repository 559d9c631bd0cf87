"""What whole runs tell about new ones: the false-alarm rate they may have, and calibration in turn."""
