"""Checks of sensors: held values, lone jumps, exchanged sensors, drift away from the other sensors."""
