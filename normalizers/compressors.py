"""What can be told about the encoder of a compressed payload."""

from typing import Any

from normalizers.patterns import Sure
from reprodiff.encoders import identify_deflate
from reprodiff.sources import Bytes
from reprodiff.tree import Leaf, open_content
from reprodiff.budget import Budget

PREFIX = 1 << 18
PLAIN = 4 << 20


def _name(source: Any, leaf: Leaf) -> str:  # noqa: ANN401 - a Source
    assert leaf.content is not None  # noqa: S101 - rules of kind "encoding" speak of encoded payloads
    kind = leaf.content.name
    if kind != "deflate":
        return kind
    raw = source.read(leaf.start, min(leaf.stop, leaf.start + PREFIX))
    plain = open_content(source, leaf, Budget())
    return identify_deflate(raw, plain.read(0, PLAIN)) or "deflate, not by zlib"


def _names(change: Any, evidence: Any) -> tuple[str, str]:  # noqa: ANN401 - as Rule.detail
    left, right = change.nodes
    return _name(evidence.comparison.left, left), _name(evidence.comparison.right, right)


def another_encoder(change: Any, evidence: Any) -> Sure | None:  # noqa: ANN401 - as rules.Claim
    """Claim equal contents in other bytes; where the contents differ too, two encoders that can be told apart."""
    if change.same:
        return "origin"
    left, right = _names(change, evidence)
    return "origin" if left != right else None


def encoders_named(change: Any, evidence: Any) -> tuple[str, str]:  # noqa: ANN401 - as Rule.detail
    """Name both encoders."""
    return _names(change, evidence)
