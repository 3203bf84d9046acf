"""Where findings go: one file a sink, behind :class:`stream.sinks.protocol.Sink`."""
