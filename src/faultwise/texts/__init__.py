"""Written traces: work orders, notes and logs of shifts, with labels such as failure modes."""
