"""Everything around the mathematics that has time, bytes or a network: sources, sinks, state, metrics, commands."""
