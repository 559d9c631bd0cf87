"""From experts' probabilities to verdicts: fusion, detection, calibration, fault sets, novelty. It knows no table."""
