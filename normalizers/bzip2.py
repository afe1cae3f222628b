"""Opinions about bzip2 files."""

from normalizers.streams import stream

RULES = stream("bzip2/content", encoder=True)
