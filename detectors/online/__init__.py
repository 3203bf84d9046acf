"""Lightweight online detectors, one file each, all behind :class:`detectors.online.protocol.Detector`."""
