"""Compare two ELF files: headers and sections one by one, each by what kind of words it holds."""

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

from reprodiff.codecs import RAW, name_text
from reprodiff.errors import FormatError, LimitError
from reprodiff.formats import Walk
from reprodiff.formats.elf import dynamic, groups, headers, lto, probes, relocations, siblings, tables
from reprodiff.formats.elf.image import Image
from reprodiff.formats.elf.maps import sides
from reprodiff.formats.elf.names import DT_RPATH, DT_RUNPATH, dynamic_name
from reprodiff.formats.elf.unmoved import unmoved
from reprodiff.formats.program import contents
from reprodiff.formats.program.around import Stream
from reprodiff.formats.program.go import buildinfo
from reprodiff.formats.program.go.pclntab import RECORD
from reprodiff.formats.program.image import Section, string
from reprodiff.formats.program.names import (
    ET_REL,
    SHT_DYNAMIC,
    SHT_DYNSYM,
    SHT_GNU_HASH,
    SHT_GNU_VERDEF,
    SHT_GNU_VERNEED,
    SHT_GNU_VERSYM,
    SHT_GROUP,
    SHT_HASH,
    SHT_NOTE,
    SHT_PROGBITS,
    SHT_REL,
    SHT_RELA,
    SHT_RELR,
    SHT_SYMTAB,
)
from reprodiff.formats.program.sides import Both, Pair
from reprodiff.formats.program.turned import Turned, ordered
from reprodiff.sources import Source
from reprodiff.tree import Group, Leaf, Node, children

SYSTEM = re.compile(rb"/(?:usr/)?(?:local/)?lib(?:\d+|x?32|64)?(?:/|$)|/opt/")

_TABLES = {
    SHT_SYMTAB: tables.symbols, SHT_DYNSYM: tables.symbols, SHT_RELA: relocations.relocations, SHT_REL: relocations.relocations,
    SHT_DYNAMIC: dynamic.dynamic, SHT_HASH: dynamic.hashes, SHT_GNU_HASH: dynamic.hashes,
    SHT_GNU_VERSYM: dynamic.versions, SHT_GNU_VERNEED: dynamic.requirements, SHT_GNU_VERDEF: dynamic.requirements,
    SHT_RELR: dynamic.packed, SHT_GROUP: groups.members,
}  # fmt: skip

# Their bytes may be the same and say something else, where what they name by number stands elsewhere; so do relocations
# of object files.
_NUMBERED = {SHT_SYMTAB, SHT_DYNSYM, SHT_GROUP}

# What compilers put into sections of their own, and the module that compares it.
_READ = {b".rmeta": "metadata", b".llvmbc": "embedded", b".dep-v0": "audit"}


def compare(walk: Walk, left: Group, right: Group) -> None:
    """Compare two trees of `parse`; files of different machines or classes as any tree."""
    one: Image = left.info
    two: Image = right.info
    kinds = [(i.wide, i.order, i.machine, i.type, bool(i.sections)) for i in (one, two)]
    if kinds[0] != kinds[1] or not one.sections:
        walk.nodes(left, right, "elf", ())
        return
    if ordered(walk.left, walk.right):
        _compare(walk, left, right)
    else:
        _compare(Turned(walk), right, left)
    for image, side in ((one, "left"), (two, "right")):
        for tag, text in search_paths(image):
            walk.notice(
                "security", f"{side}: {dynamic_name(tag)} looks for libraries outside of the system: {name_text(text)}"
            )


def _compare(walk: Walk, left: Group, right: Group) -> None:
    one: Image = left.info
    two: Image = right.info
    both = sides(one, two, walk.budget)
    nodes = children(left), children(right)
    both.siblings = siblings.find(both, one, two)
    headers.compare(walk, both, one, two)
    siblings.put(walk, both)
    shown = [{id(n.info) for n in side if isinstance(n, Group) and isinstance(n.info, Section)} for side in nodes]
    groups = [
        {n.info.number: n for n in side if isinstance(n, Group) and isinstance(n.info, Section)} for side in nodes
    ]
    for pair in both.pairs:
        walk.budget.check_time()
        a, b = groups[0].get(pair.one.number), groups[1].get(pair.two.number)
        if a is not None and b is not None and id(a.info) in shown[0] and id(b.info) in shown[1]:
            section(walk, both, pair, a, b)
        elif a is not None or b is not None:
            walk.alone(a, None if a is not None else b, f"elf/{pair.one.label}", ())
    for number, sections in enumerate((both.only_left, both.only_right)):
        for item in sections:
            node = groups[number].get(item.number)
            if node is not None and not siblings.alone(walk, both, item, left=number == 0):
                walk.alone(node if number == 0 else None, node if number else None, f"elf/{node.name}", ())
    _between(walk, *nodes)


def search_paths(image: Image) -> list[tuple[int, bytes]]:
    """Return (tag, directory) of what RPATH and RUNPATH name outside of the directories of the system."""
    section = next((s for s in image.sections if s.type == SHT_DYNAMIC and s.stored), None)
    table = image.linked(section) if section else None
    if section is None or table is None:
        return []
    text = image.data(table)
    return [
        (tag, entry)
        for tag, value in image.dynamic(image.data(section))
        if tag in {DT_RPATH, DT_RUNPATH}
        for entry in string(text, value).split(b":")
        if entry and not entry.startswith((b"$ORIGIN", b"${ORIGIN}", b"$LIB")) and not SYSTEM.match(entry)
    ]


def section(walk: Walk, both: Both, pair: Pair, a: Group, b: Group) -> None:
    """Compare two sections that both files store."""
    one, two = pair.one, pair.two
    where = f"elf/{a.name}"
    if (one.type, one.compressed) != (two.type, two.compressed) or one.name.startswith(b".zdebug"):
        walk.nodes(a, b, where, ())
        return
    if one.compressed:
        compressed(walk, both, pair, a, b)
        return
    if one.name.startswith(lto.NAME):
        same = walk.left.read(a.start, a.stop) == walk.right.read(b.start, b.stop)
        if same or lto.compare(walk, a, b, one.name):
            return
    left, right = both.left.data(one), both.right.data(two)
    if one.code and one.alloc:
        contents.stale(walk, both, pair, where, Stream(left, right, one.offset, two.offset))
    check = _TABLES.get(one.type)
    go = both.go
    if go is not None and pair is go.pair:
        if left != right or not both.still:
            go.compare(walk, where, Stream(left, right, one.offset, two.offset))
        if go.alone:
            return
    if one.alloc and one.type == SHT_PROGBITS:
        unmoved(walk, both, pair, where, (left, right), (one.offset, two.offset))
    numbered = one.type in _NUMBERED or (one.type in {SHT_REL, SHT_RELA} and both.left.image.type == ET_REL)
    same = left == right and not numbered and not (check and one.alloc)
    # Equal bytes of which parts correspond to others are not equal.
    if same and (not (one.alloc or both.arranged) or both.pieces(pair).unmoved):
        _forget(both, pair)
        return
    if (one.name == RECORD and buildinfo.compare(walk, where, Stream(left, right, one.offset, two.offset))) or (
        one.name == probes.SECTION
        and probes.compare(walk, both, pair, where, Stream(left, right, one.offset, two.offset))
    ):
        pass
    elif one.type == SHT_NOTE or one.name == b".gnu_debuglink":
        walk.nodes(a, b, where, ())
    elif one.name == b".eh_frame_hdr" and dynamic.lookup_moved(both, pair):
        walk.put_follow(where, (), (one.offset, one.offset + one.size), (two.offset, two.offset + two.size), RAW)
    elif check is not None:
        check(walk, both, pair, where)
    else:
        stream = Stream(left, right, one.offset, two.offset)
        if one.name not in _READ or not _read(one.name)(walk, both, where, stream):
            contents.compare(walk, both, pair, where, stream, siblings.known(walk, both, pair, where))
    _forget(both, pair)


def _read(name: bytes) -> Callable[[Walk, Both, str, Stream], bool]:
    """Return what compares a section of a compiler's own; it says False where that is laid out otherwise."""
    found: Callable[[Walk, Both, str, Stream], bool] = import_module(
        f"reprodiff.formats.elf.rust.{_READ[name]}"
    ).compare
    return found


def _forget(both: Both, pair: Pair) -> None:
    if not pair.one.alloc and not pair.one.strings and pair.one.type != SHT_SYMTAB:
        both.left.forget(pair.one)
        both.right.forget(pair.two)


def compressed(walk: Walk, both: Both, pair: Pair, a: Group, b: Group) -> None:
    """Compare the decoded contents of two compressed sections."""
    one, two = pair.one, pair.two
    nodes = children(a), children(b)
    if len(nodes[0]) != 2 or len(nodes[1]) != 2:
        walk.nodes(a, b, f"elf/{a.name}", ())
        return
    heads, leaves = (nodes[0][0], nodes[1][0]), (nodes[0][1], nodes[1][1])
    assert isinstance(leaves[0], Leaf) and isinstance(leaves[1], Leaf)
    sources: list[Source] = []
    try:
        for leaf in leaves:
            assert isinstance(leaf, Leaf) and leaf.content is not None
            sources.append(leaf.content.open(walk.budget))
    except (FormatError, LimitError):
        walk.nodes(a, b, f"elf/{a.name}", ())
        return
    stored = [walk.left.read(heads[0].start, heads[0].stop), walk.right.read(heads[1].start, heads[1].stop)]
    width = 8 if both.left.image.wide else 4
    order: Any = "little" if both.left.image.order == "<" else "big"
    at = 8 if both.left.image.wide else 4
    sizes = [int.from_bytes(head[at : at + width], order) for head in stored]
    if sizes == [source.size for source in sources] and stored[0] != stored[1]:
        span = (heads[0].start + at, heads[0].start + at + width), (heads[1].start + at, heads[1].start + at + width)
        if stored[0][:at] == stored[1][:at] and stored[0][at + width :] == stored[1][at + width :]:
            walk.put_follow(f"elf/{a.name}/chdr/ch_size", (), *span, RAW)
        else:
            walk.nodes(*heads, f"elf/{a.name}/chdr", ())
    elif stored[0] != stored[1]:
        walk.nodes(*heads, f"elf/{a.name}/chdr", ())
    if walk.left.read(leaves[0].start, leaves[0].stop) == walk.right.read(leaves[1].start, leaves[1].stop):
        return
    inner = walk.enter(leaves[0], leaves[1], f"elf/{a.name}/content", *sources)
    if inner is not None:
        contents.compare(inner, both, pair, f"elf/{a.name}", Stream(both.left.data(one), both.right.data(two), 0, 0))


def _between(walk: Walk, ones: list[Node], twos: list[Node]) -> None:
    """Compare what lies between the sections and behind the last."""
    for name in ("padding", "gap", "overlay", "load"):
        left = [n for n in ones if isinstance(n, Leaf) and n.name == name]
        right = [n for n in twos if isinstance(n, Leaf) and n.name == name]
        if name == "padding":
            grown = abs(sum(n.stop - n.start for n in left) - sum(n.stop - n.start for n in right))
            if grown:
                first = left or right
                span = (first[0].start, first[0].stop)
                walk.put_follows(
                    "elf/padding",
                    1,
                    grown,
                    span if left else (0, 0),
                    span if not left else (right[0].start, right[0].stop) if right else (0, 0),
                )
            continue
        for one, two in zip(left, right, strict=False):
            walk.nodes(one, two, f"elf/{name}", ())
        for one in left[len(right) :]:
            walk.alone(one, None, f"elf/{name}", ())
        for two in right[len(left) :]:
            walk.alone(None, two, f"elf/{name}", ())
