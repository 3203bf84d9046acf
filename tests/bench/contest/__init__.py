"""The parts of the benches of speed: what runs against what, how it is timed, and the table."""
