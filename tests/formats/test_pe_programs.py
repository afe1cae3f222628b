"""Programs for Windows built in two directories: what moved follows, and nothing that was changed besides."""

import os
import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from fixtures import RECIPES, make, unavailable
from reprodiff.app import diff, diff_sources
from reprodiff.budget import Budget
from reprodiff.formats.pe import literals
from reprodiff.formats.pe.maps import sides as sides_of
from reprodiff.formats.pe.references import HIGHLOW, References, blocks
from reprodiff.formats.pe.view import View
from reprodiff.formats.program.contents import _counts
from reprodiff.sources import Bytes

FIXTURES = Path(__file__).parents[2] / "fixtures" / "pe"
MOVED = ("file-macro-longer", "file-macro-stripped-longer", "file-macro-O0-g-longer", "library-path-longer",
         "i686-path-longer", "lld-path-longer", "object-path-longer")  # fmt: skip
IMAGES = tuple(case for case in MOVED if not case.startswith("object"))


def sides(case):
    return [next((FIXTURES / case / side).iterdir()).read_bytes() for side in ("left", "right")]


def verdict(left, right):
    return diff_sources(Bytes(left), Bytes(right), "left", "right", Budget(), digests=False).report["verdict"]


def places(data, chosen):
    """Kind of place to offsets in a file: what a section, a pointer, a table or a header holds."""
    view = View(Bytes(data))
    found = {}
    for section in view.sections[1:]:
        if section.stored:
            rows = [section.offset + chosen.randrange(section.size) for _ in range(4)]
            found[f"section {section.name}"] = rows
    references = References(view)
    for kind, known in (("pointer", references.pointers or {}), ("address", references.relative)):
        for number, offsets in known.items():
            if len(offsets):
                start = view.sections[number].offset
                found[f"{kind} {number}"] = [
                    start + int(chosen.choice(offsets)) + chosen.randrange(4) for _ in range(4)
                ]
    for number, header in enumerate(view.headers):
        if header.relocated:
            found[f"relocation {number}"] = [header.relocations + chosen.randrange(10 * header.relocated)]
    if view.entries:
        found["symbol"] = [view.symbols_at + chosen.randrange(view.symbols_count * 18) for _ in range(6)]
        found["name"] = (
            [view.strings_at + chosen.randrange(len(view.strings)) for _ in range(3)] if view.strings else []
        )
    if view.image:
        found["optional header"] = [chosen.randrange(view.optional, view.table) for _ in range(6)]
    found["section table"] = [chosen.randrange(view.table, view.table + 40 * len(view.headers)) for _ in range(6)]
    quiet = {*range(view.header + 4, view.header + 8), *range(view.optional + 64, view.optional + 68)}
    return [(kind, at) for kind, rows in found.items() for at in rows if at not in quiet or not view.image]


def paths(data):
    """Offsets of the build directory's own bytes: with one path in a file any other one is as good."""
    found = set()
    at = data.find(b"/build/")
    while at >= 0:
        found.update(range(at, data.find(b"\0", at)))
        at = data.find(b"/build/", at + 1)
    return found


@pytest.mark.parametrize("case", MOVED)
def test_no_mutation_is_explained(case):
    chosen = random.Random(case)
    left, right = sides(case)
    assert verdict(left, right) == "explained"
    names = paths(right)
    tried = 0
    while tried < 50:
        for kind, at in places(right, chosen):
            changed = bytearray(right)
            changed[at] = (changed[at] + chosen.choice((1, 4, 16, 255, 1 << chosen.randrange(8)))) % 256
            if at in names or not any(changed):
                continue
            assert verdict(left, bytes(changed)) == "unexplained", (kind, at)
            tried += 1


def moved(case):
    """Words that follow: (offset on the right, what stands on the left)."""
    left, right = sides(case)
    both = sides_of(View(Bytes(left)), View(Bytes(right)), Budget())
    word = both.left.image.word
    for pair in both.pairs:
        one, two = pair.one, pair.two
        if not (one.alloc and one.stored and two.stored):
            continue
        references = both.left.references_of
        known = [(references.relative.get(one.number), 4), ((references.pointers or {}).get(one.number), word)]
        if one.code and both.x86:
            known.append((both.left.sweep(one).at, 4))
        for offsets, width in known:
            for at, to in zip(offsets, both.pieces(pair).to(offsets), strict=True) if offsets is not None else ():
                a, b = one.offset + int(at), two.offset + int(to)
                if to >= 0 and left[a : a + width] != right[b : b + width]:
                    yield b, left[a : a + width]


@pytest.mark.parametrize("case", IMAGES)
def test_an_address_that_stays_where_all_others_move(case):
    left, right = sides(case)
    rows = list(moved(case))
    random.Random(case).shuffle(rows)
    for at, old in rows[:20]:
        changed = right[:at] + old + right[at + len(old) :]
        assert verdict(left, changed) == "unexplained", hex(at)


def test_words_follow_somewhere():
    assert sum(len(list(moved(case))) for case in IMAGES) > 50


@pytest.mark.parametrize("case", MOVED)
def test_sides_exchanged(case):
    folder = FIXTURES / case
    left, right = (os.fspath(next((folder / side).iterdir())) for side in ("left", "right"))
    one, two = diff(left, right, Budget()).report, diff(right, left, Budget()).report
    assert one["verdict"] == two["verdict"]
    assert [cause["id"] for cause in one["causes"]] == [cause["id"] for cause in two["causes"]]
    assert [stream["differing"] for stream in one["streams"]] == [stream["differing"] for stream in two["streams"]]


def test_base_relocations_are_written_as_linkers_do():
    for side in sides("i686-path-longer"):
        view = View(Bytes(side))
        references = References(view)
        section = view.by_name[b".reloc"]
        assert references.canonical
        assert view.data(section).rstrip(b"\0") == blocks(references.relocated, HIGHLOW).rstrip(b"\0")


def test_relocations_that_name_another_place():
    """One entry more, one less, one elsewhere: what loads the program would write there."""
    left, right = sides("i686-path-longer")
    section = View(Bytes(right)).by_name[b".reloc"]
    first = section.offset + 8
    for at, value in ((first, 0), (first + 2, 0x3FFC), (first, struct.unpack_from("<H", right, first + 2)[0])):
        changed = bytearray(right)
        struct.pack_into("<H", changed, at, value)
        assert verdict(left, bytes(changed)) == "unexplained"


def test_literals_are_named_by_what_they_are():
    assert literals.name(b"a line\0") == b"??_C@_06" + literals.name(b"a line\0")[8:]
    text = b"/build/one/code.c\0"
    assert literals.name(text).startswith(b"??_C@_0BC@")
    assert literals.name(text).endswith(b"@?1build?1one?1code?4c?$AA@")
    assert literals.name(text) != literals.name(text.replace(b"one", b"two"))
    assert zlib.crc32(text)


def test_damage_ends_in_a_notice_at_most():
    chosen = random.Random(5)
    for case in MOVED:
        left, right = sides(case)
        for _ in range(12):
            changed = bytearray(right[: chosen.randrange(len(right))] if chosen.random() < 0.3 else right)
            for _ in range(chosen.randrange(1, 12)):
                if len(changed) > 8:
                    at = chosen.randrange(min(len(changed), 1024) - 4)
                    struct.pack_into(
                        "<I", changed, at, chosen.choice((0, 0xFFFFFFFF, 1 << 31, chosen.randrange(1 << 32)))
                    )
            assert verdict(left, bytes(changed)) in {"unexplained", "suspected", "explained"}


def test_sections_beyond_what_loads_are_left_to_the_tree():
    left, right = sides("file-macro-longer")
    changed = bytearray(right)
    header = View(Bytes(right)).header
    struct.pack_into("<H", changed, header + 2, 60000)
    assert verdict(left, bytes(changed)) == "unexplained"


def test_pieces_cover_both_sides():
    for case in MOVED:
        left, right = sides(case)
        both = sides_of(View(Bytes(left)), View(Bytes(right)), Budget())
        for pair in both.pairs:
            pieces = both.pieces(pair)
            seen = [np.zeros(size, np.int64) for size in (pair.one.size, pair.two.size)]
            for p in [*pieces.pieces, *pieces.added]:
                seen[0][p.l0 : p.l1] += 1
                seen[1][p.r0 : p.r1] += 1
            assert all((side == 1).all() for side in seen), (case, pair.one.name)


def test_bytes_before_a_text_say_how_long_it_is():
    """A block of debug information that holds a text: its length, the operation, the length of the text."""
    one, two = b"/build/one/code.c", b"/build/a-much-longer-name/code.c"
    left, right = (bytes((len(text) + 3, 0x9E, len(text) + 1)) + text for text in (one, two))
    assert _counts(left, right, 3, 3)
    for at in range(3):
        changed = bytearray(right)
        changed[at] += 1
        assert not _counts(left, bytes(changed), 3, 3)


def test_pseudo_relocations_that_name_another_place(tmp_path):
    recipe = next(each for each in RECIPES if each.path.parent.name == "pseudo-relocations-longer")
    if reason := unavailable(recipe):
        pytest.skip(reason)
    left, right = (
        side.read_bytes() if side.is_file() else next(side.iterdir()).read_bytes() for side in make(recipe, tmp_path)
    )
    head = right.rindex(bytes(8) + b"\1\0\0\0") + 12
    assert verdict(left, right) == "explained"
    # An entry of the import address table, a word, and how many bits: those of two relocations.
    for at in range(head, head + 24):
        for bit in (1, 8, 64):
            changed = bytearray(right)
            changed[at] ^= bit
            assert verdict(left, bytes(changed)) == "unexplained", at - head
