"""Opinions about Zstandard files."""

from normalizers.streams import stream

RULES = stream("zstd/content", "zstd/frames[*]/content", encoder=True)
