"""Opinions about gzip files."""

from normalizers.common import clamp, zero
from normalizers.compressors import another_encoder, encoders_named
from normalizers.streams import zeros
from reprodiff.rules import Drop, Reencode, Rule, Set

UNKNOWN_SYSTEM = 255


def _rules(at: str) -> tuple[Rule, ...]:
    return (
        Rule(
            f"{at}/header/mtime",
            "gzip-mtime",
            "the clock or the file's time when gzip ran; no reader needs it",
            Set(clamp),
        ),
        Rule(
            f"{at}/header/xfl",
            "gzip-name-os-xfl",
            "a hint at the level that the compressor was called with",
            Set(zero),
        ),
        Rule(
            f"{at}/header/os",
            "gzip-name-os-xfl",
            "the system that the compressor was built for",
            Set(lambda _value, _policy: UNKNOWN_SYSTEM),
        ),
        Rule(f"{at}/name", "gzip-name-os-xfl", "the name of the file before it was compressed", Drop()),
        Rule(f"{at}/name", "gzip-name-os-xfl", "the name of the file before it was compressed", Drop(), "one-sided"),
        Rule(
            f"{at}/deflate",
            "compressor-params",
            "the same content, compressed by another encoder or at another level",
            Reencode(),
            "encoding",
            another_encoder,
            encoders_named,
            opt_in=True,
        ),
    )


RULES: tuple[Rule, ...] = (
    *_rules("gzip"),
    *_rules("gzip/member[*]"),
    Rule("gzip/trailing", "sparse-or-padding", "zeros that a tape or a block device added", None, "changed", zeros),
    Rule("gzip/trailing", "sparse-or-padding", "zeros that a tape or a block device added", None, "one-sided", zeros),
)
