"""Opinions about LZMA_Alone files."""

from normalizers.streams import stream

RULES = stream("lzma/content", encoder=False)
