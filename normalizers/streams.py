"""Opinions about files that are nothing but a compressed stream."""

from typing import Any

from normalizers.patterns import Sure
from reprodiff.errors import FormatError
from reprodiff.rules import Reencode, Rule
from reprodiff.tree import Leaf, Traits

NOTHING = Traits({})
WHY = "the same content, compressed by another encoder or with other settings"


def _traits(node: Any) -> Traits:
    """Return what a payload shows of its encoder; nothing where its headers cannot be read after all."""
    if not isinstance(node, Leaf) or node.content is None or node.content.traits is None:
        return NOTHING
    try:
        return node.content.traits()
    except (FormatError, IndexError, ValueError):
        return NOTHING


def other_settings(change: Any, _evidence: Any) -> Sure | None:
    """Claim equal contents in other bytes; where the contents differ too, settings that do not follow from them.

    A setting that one side alone shows may be one that the content left no room for.
    """
    if change.same:
        return "origin"
    left, right = (_traits(node).settings for node in change.nodes)
    return "origin" if any(left[name] != right[name] for name in left if name in right) else None


def other_compressor(change: Any, _evidence: Any) -> Sure | None:
    """Claim two streams that two compressors wrote, whatever they hold: what differs in that is told inside."""
    left, right = change.nodes
    return "origin" if change.same or left.content.name != right.content.name else None


def settings_named(change: Any, _evidence: Any) -> tuple[str, str]:
    """Name the settings that differ; where none shows, the sizes, which tell at least which side took more pains."""
    traits = [_traits(node) for node in change.nodes]
    kinds = [node.content.name for node in change.nodes]
    if change.same:
        left, right = ({**one.settings, **one.loose} for one in traits)
    else:
        left, right = (dict(one.settings) for one in traits)
    names = [name for name in {**left, **right} if left.get(name) != right.get(name)]
    if not change.same:
        names = [name for name in names if name in left and name in right]
    if not names:
        sizes = [node.stop - node.start for node in change.nodes]
        return f"{kinds[0]}, {sizes[0]:,} bytes", f"{kinds[1]}, {sizes[1]:,} bytes"
    texts = [
        ", ".join([kind, *(f"{name}: {found[name]}" for name in names if name in found)])
        for kind, found in zip(kinds, (left, right), strict=True)
    ]
    return texts[0], texts[1]


def zeros(change: Any, _evidence: Any) -> Sure | None:
    """Claim bytes that are zero on both sides."""
    kept = [data for data in (change.left, change.right) if data is not None]
    return "origin" if kept and not any(data.strip(b"\0") for data in kept) else None


def stream(*places: str, encoder: bool) -> tuple[Rule, ...]:
    """Return the rules for a compressor's files. places: where payloads lie; encoder: whether one can write them."""
    name = places[0].split("/", maxsplit=1)[0]
    action = Reencode() if encoder else None
    padding = "zeros that a tape or a block device added"
    return (
        *(
            Rule(place, "compressor-params", WHY, action, "encoding", other_settings, settings_named, opt_in=True)
            for place in places
        ),
        Rule(f"{name}/trailing", "sparse-or-padding", padding, None, "changed", zeros),
        Rule(f"{name}/trailing", "sparse-or-padding", padding, None, "one-sided", zeros),
    )
