"""Opinions about LZ4 files."""

from normalizers.streams import stream

RULES = stream("lz4/content", "lz4/frames[*]/content", encoder=False)
