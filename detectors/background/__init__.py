"""Slower second opinions beside the vote path, never waited for."""
