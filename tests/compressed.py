"""What the tests of compressors' formats share."""

import random
from importlib import import_module

import pytest

from reprodiff import formats
from reprodiff.app import diff_sources
from reprodiff.budget import Budget
from reprodiff.derived import holds
from reprodiff.sources import Bytes, chunks
from reprodiff.tree import Group, Leaf, Record, Role, children, fields, listed, open_content

TEXT = b"".join(b"line %d of a text that compresses like text: %d\n" % (n, n * n % 977) for n in range(3000))
MIB = 1 << 20


def library(name):
    return pytest.importorskip(name, reason=f"{name} is not installed")


def report(left, right, budget=None):
    return diff_sources(Bytes(left), Bytes(right), "left", "right", budget or Budget(), digests=False).report


def causes(report):
    return [cause["id"] for cause in report["causes"]]


def named(report):
    """What the report says of the two encoders."""
    (cause,) = (cause for cause in report["causes"] if cause["id"] == "compressor-params")
    (example,) = cause["examples"]
    return example["left"], example["right"]


def payloads(data, name):
    """The format is recognized, and its leaves are the stream; returns the decoded payloads."""
    source = Bytes(data)
    entry = formats.identify(source)
    assert entry is not None and entry.name == name
    root = formats.parse(entry, source, Budget())
    _tiles(root, source)
    found = [leaf for leaf in _leaves(root) if leaf.role is Role.PAYLOAD]
    for leaf in found:
        parts = Group("layout", leaf.start, leaf.stop, listed(leaf.content.layout()))
        _tiles(parts, source)
        assert all(part.role is not Role.GAP for part in _leaves(parts))
        assert leaf.content.traits().settings
    return [b"".join(chunks(open_content(source, leaf, Budget()))) for leaf in found]


def layout(data):
    """The named parts of a stream of one payload: path to bytes."""
    source = Bytes(data)
    root = formats.parse(formats.identify(source), source, Budget())
    (leaf,) = (leaf for leaf in _leaves(root) if leaf.role is Role.PAYLOAD)
    found = {}

    def visit(node, path):
        if isinstance(node, Group):
            for child in children(node):
                key = f"[{child.key.decode()}]" if isinstance(child, Group) and child.key else ""
                visit(child, f"{path}/{child.name}{key}")
        elif isinstance(node, Record):
            for row in fields(node):
                visit(row, f"{path}/{row.name}")
        else:
            found[path.lstrip("/")] = data[node.start : node.stop]

    visit(Group("", leaf.start, leaf.stop, listed(leaf.content.layout())), "")
    return found


def _leaves(node):
    if isinstance(node, Leaf):
        yield node
    elif isinstance(node, Record):
        yield from fields(node)
    else:
        for child in children(node):
            yield from _leaves(child)


def _tiles(root, source):
    """Leaves are ordered and disjoint, and what is derived gives its own bytes again."""
    at = root.start

    def visit(node, whole):
        nonlocal at
        if isinstance(node, Group):
            for child in children(node):
                visit(child, None)
        elif isinstance(node, Record):
            for row in fields(node):
                visit(row, source.read(node.start, node.stop))
        else:
            assert node.start == at
            at = node.stop
            if node.derive:
                raw = source.read(node.start, node.stop)
                assert holds(source, node.derive, raw, whole or raw, node.refs, Budget()), node.name

    visit(root, None)
    assert at == root.stop


def damaged(data, other, seed):
    """Cut and flipped variants of data are reported against other without a crash; every byte has an account."""
    rnd = random.Random(seed)
    for number in range(60):
        hurt = bytearray(data)
        if number % 3:
            for _ in range(rnd.randrange(1, 4)):
                hurt[rnd.randrange(len(hurt))] ^= rnd.randrange(1, 256)
        else:
            del hurt[rnd.randrange(len(hurt)) :]
        seen = report(other, bytes(hurt))
        if bytes(hurt) == other:
            continue
        assert seen["verdict"] != "identical"
        for account in seen["streams"]:
            parts = (account[key] for key in ("origin", "consequence", "suspected", "unexplained"))
            assert sum(parts) == account["differing"]


def stopped(bomb):
    """A stream that grows beyond the budget is compared as bytes, with a notice."""
    budget = Budget(decoded=8 * MIB, memory=MIB)
    seen = report(bomb, bomb[:-1], budget)
    assert [notice["kind"] for notice in seen["notices"]] == ["limit"]
    assert seen["verdict"] == "unexplained"


def zstd():
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    pytest.skip("no zstd library is installed", allow_module_level=True)
    return None
