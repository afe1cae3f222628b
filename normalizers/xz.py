"""Opinions about .xz files."""

from normalizers.streams import stream

RULES = stream("xz/content", encoder=True)
