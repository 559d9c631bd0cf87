"""The one entry point in Python, for every modality: fit, predict, diagnose, evaluate, save, load."""

from faultwise.diagnoser.estimator import Diagnoser

__all__ = ["Diagnoser"]
