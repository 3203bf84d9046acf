"""The mathematics of tocsin: arrays in, arrays out; no I/O, no clock, no randomness of its own.

Start at :mod:`detectors.monitor`: one system, row by row, from values to verdicts and causes.
"""
