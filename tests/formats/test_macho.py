"""Mach-O files: what is peculiar to them."""

import contextlib
import random
import struct

import pytest

from fixtures import STORED, outcome
from normalizers import guard, rulebook
from reprodiff import formats
from reprodiff.app import diff_sources
from reprodiff.budget import Budget
from reprodiff.errors import ReprodiffError
from reprodiff.layout import emit
from reprodiff.rewrite import Rulebook, rewrite
from reprodiff.rules import CLAMP, UNIFY, Policy
from reprodiff.sources import Bytes
from reprodiff.tree import leaves

RECIPES = {recipe.name: recipe for recipe in STORED if recipe.name.startswith("macho/")}
FILES = [side for recipe in RECIPES.values() for side in recipe.sides()]
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-4:]))


def data(case, side=0):
    return RECIPES[f"macho/{case}"].sides()[side].read_bytes()


def parse(raw):
    source = Bytes(raw)
    entry = formats.identify(source)
    assert entry is not None and entry.name == "macho"
    return formats.parse(entry, source, Budget())


def values(raw):
    """The decoded value of every leaf by path, the last of several alike."""
    return {path: leaf.codec.decode(raw[leaf.start : leaf.stop]) for path, leaf in leaves(parse(raw))}


def report(left, right):
    return diff_sources(Bytes(left), Bytes(right), "left", "right", Budget(), digests=False).report


def normalized(raw, policy):
    book = Rulebook(rulebook, lambda name, source, root: guard(name, source, root, policy))
    found = rewrite(Bytes(raw), book, policy, Budget())
    return (raw if found.pieces is None else b"".join(emit(found.pieces))), found.notices


@every_file
def test_lief_sees_the_same(path):
    lief = pytest.importorskip("lief")
    theirs = lief.MachO.parse(str(path))
    raw = path.read_bytes()
    if raw[:4] == b"\xca\xfe\xba\xbe":
        found = [(leaf.start, leaf.stop) for place, leaf in leaves(parse(raw)) if place.endswith("/content")]
        assert found == sorted((one.fat_offset, one.fat_offset + one.original_size) for one in theirs)
        return
    (one,) = theirs
    found = values(raw)
    assert found["macho/header/ncmds"] == one.header.nb_cmds == len(list(one.commands))
    if one.has_uuid:
        assert found["macho/commands/lc_uuid/uuid"] == bytes(one.uuid.uuid)
    for section in one.sections:
        # All sections of an object lie in one segment without a name.
        segment = "" if one.header.file_type == lief.MachO.Header.FILE_TYPE.OBJECT else section.segment_name
        at = f"macho/commands/lc_segment_64[{segment}]/sectionheader[{section.segment_name},{section.name}]"
        assert found[f"{at}/fields/offset"] == section.offset
        assert found[f"{at}/fields/size"] == section.size
        assert found[f"{at}/fields/addr"] == section.virtual_address
    rpaths = [value.decode() for place, value in found.items() if place.endswith("lc_rpath/path")]
    assert rpaths == [item.path for item in one.rpaths]
    times = [value for place, value in found.items() if place.endswith("]/n_value") and "/oso[" in place]
    assert times == [symbol.value for symbol in one.symbols if symbol.raw_type == 0x66]
    assert ("macho/codesignature/head" in found) == one.has_code_signature


def test_page_hashes_follow_what_they_cover():
    left, right = (normalized(data("oso-mtime-signed-by-linker", side), Policy(0, UNIFY))[0] for side in (0, 1))
    assert left == right
    assert left != data("oso-mtime-signed-by-linker")
    seen = outcome(RECIPES["macho/oso-mtime-signed-by-linker"]).report
    assert seen["verdict"] == "explained"
    assert any(item["path"].endswith("codesignature/hashes") for item in seen["consequences"])


def test_a_change_behind_the_linker_is_no_consequence():
    """Code changed without signing again: its page's hash no longer follows, and the code is shown."""
    raw = bytearray(data("oso-mtime-signed-by-linker"))
    at = next(leaf.start for place, leaf in leaves(parse(bytes(raw))) if place.endswith("__text]/data"))
    raw[at] ^= 1
    seen = report(data("oso-mtime-signed-by-linker"), bytes(raw))
    assert [item["path"].partition("!/")[2] for item in seen["unexplained"]] == [
        "macho/section[__TEXT,__text]/function[_twice]"
    ]


@pytest.mark.parametrize("policy", [Policy(0, CLAMP), Policy(0, UNIFY)], ids=str)
def test_files_signed_with_a_key_stay(policy):
    raw = bytearray(data("oso-mtime-signed-by-linker"))
    at = next(leaf.start for place, leaf in leaves(parse(bytes(raw))) if place.endswith("codesignature/head"))
    flags = raw.index(b"\xfa\xde\x0c\x02", at) + 12
    struct.pack_into(">I", raw, flags, 0)
    new, notices = normalized(bytes(raw), policy)
    assert new == raw
    assert any("signed" in text for _where, text in notices)


def test_strings_that_moved_are_followed():
    seen = outcome(RECIPES["macho/object-path"]).report
    assert seen["verdict"] == "explained"
    assert any(item["path"].endswith("symbols/entries") for item in seen["consequences"])


def test_a_symbol_that_got_another_name_is_not_followed():
    raw = bytearray(data("object-path", 1))
    at = raw.index(b"_twice\0", raw.index(b"bcd/code.o") - 200)
    raw[at + 1 : at + 6] = b"thice"
    seen = report(data("object-path"), bytes(raw))
    assert seen["verdict"] == "unexplained"


@pytest.mark.parametrize("case", sorted(RECIPES))
def test_changes_of_content_are_never_explained(case):
    """Bytes of code, data and tables, changed among the noise of a pair."""
    chosen = random.Random(case)
    case = case.partition("/")[2]
    left, right = data(case), data(case, 1)
    quiet = ("/uuid", "/n_value", "/path", "codesignature/hashes", "/timestamp")
    spans = [
        (path, leaf)
        for path, leaf in leaves(parse(right))
        if not any(name in path for name in quiet) and leaf.stop > leaf.start
    ]
    tried = 0
    while tried < 60:
        path, leaf = chosen.choice(spans)
        at = chosen.randrange(leaf.start, leaf.stop)
        if path == "macho/header/magic" or left[at : at + 1] != right[at : at + 1]:
            continue
        changed = bytearray(right)
        changed[at] ^= chosen.randrange(1, 256)
        seen = report(left, bytes(changed))
        assert seen["verdict"] == "unexplained", (path, at)
        tried += 1


def test_a_class_file_is_no_fat_binary():
    assert formats.identify(Bytes(b"\xca\xfe\xba\xbe\0\0\0\x34" + bytes(4000))) is None


def hostile():
    raw = data("oso-mtime")

    def patched(*edits):
        out = bytearray(raw)
        for at, value in edits:
            struct.pack_into("<I", out, at, value)
        return bytes(out)

    symtab = raw.index(struct.pack("<II", 2, 24), 32)
    yield "commands", patched((16, 0xFFFFFFFF))
    yield "size-of-commands", patched((20, 0x00FFFFFF))
    yield "command-size-0", patched((36, 0))
    yield "command-size", patched((36, 0xFFFFFFF8))
    yield "sections", patched((32 + 64, 0xFFFFFFFF))
    yield "symbols", patched((symtab + 12, 0xFFFFFFFF))
    yield "strings", patched((symtab + 20, 0xFFFFFFFF))
    yield "strings-over-symbols", patched((symtab + 16, struct.unpack_from("<I", raw, symtab + 8)[0]))
    fat = struct.pack(">4sI", b"\xca\xfe\xba\xbe", 2)
    arch = struct.pack(">IIIII", 7, 3, 48, 0xFFFFFFFF, 0xFFFFFFFF)
    yield "fat", fat + arch + arch + raw


@pytest.mark.parametrize(("name", "raw"), list(hostile()), ids=lambda value: value if isinstance(value, str) else "")
def test_hostile_tables(name, raw):
    seen = report(data("oso-mtime"), raw)
    assert seen["verdict"] == "unexplained", name
    for policy in (Policy(0, CLAMP), Policy(0, UNIFY)):
        normalized(raw, policy)


def test_a_truncated_file_is_noticed():
    whole = data("oso-mtime")
    seen = report(whole, whole[:900])
    assert seen["verdict"] == "unexplained"
    assert "damaged" in {notice["kind"] for notice in seen["notices"]}


@pytest.mark.slow
def test_damage_by_the_thousand():
    chosen = random.Random(4)
    for _ in range(3000):
        path = chosen.choice(FILES)
        raw = bytearray(path.read_bytes())
        for _ in range(chosen.randrange(1, 6)):
            at = chosen.randrange(min(len(raw), chosen.choice((900, len(raw)))))
            width = chosen.choice((1, 2, 4))
            raw[at : at + width] = chosen.choice((b"\xff" * width, bytes(width), chosen.randbytes(width)))
        if chosen.random() < 0.3:
            del raw[chosen.randrange(len(raw)) :]
        report(path.read_bytes(), bytes(raw))
        with contextlib.suppress(ReprodiffError):
            normalized(bytes(raw), Policy(0, UNIFY))
