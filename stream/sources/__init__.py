"""Where readings come from: one file a source, behind :class:`stream.sources.protocol.Source`."""
