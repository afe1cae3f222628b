"""Opinions about pairs of files that two different compressors wrote."""

from normalizers.streams import other_compressor, settings_named
from reprodiff.rules import Rule

RULES: tuple[Rule, ...] = (
    Rule(
        "compressed",
        "compressor-params",
        "another compressor: nothing that needs the content sees it",
        None,
        "encoding",
        other_compressor,
        settings_named,
    ),
)
