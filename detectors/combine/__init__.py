"""From many opinions to one verdict: calibration, running correlation, the rules, the line and the learning guard."""
