"""A small shop of six services on loopback, real enough to break: the system that the demo recording observes."""
