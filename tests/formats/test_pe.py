"""PE images and COFF objects: what is peculiar to them."""

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

RECIPES = {recipe.name: recipe for recipe in STORED if recipe.name.startswith("pe/")}
FILES = [side for recipe in RECIPES.values() for side in recipe.sides()]
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-4:]))


def data(case, side=0):
    return RECIPES[f"pe/{case}"].sides()[side].read_bytes()


def parse(raw):
    source = Bytes(raw)
    entry = formats.identify(source)
    assert entry is not None and entry.name == "pe"
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


def checksum(raw):
    """CheckSumMappedFile, word by word."""
    at = struct.unpack_from("<I", raw, 60)[0] + 4 + 20 + 64
    raw = raw[:at] + bytes(4) + raw[at + 4 :]
    total = 0
    for (word,) in struct.iter_unpack("<H", raw + bytes(len(raw) % 2)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return (total & 0xFFFF) + len(raw)


@every_file
def test_lief_sees_the_same(path):
    lief = pytest.importorskip("lief")
    raw = path.read_bytes()
    found = values(raw)
    if path.suffix in {".obj", ".o"}:
        theirs = lief.COFF.parse(str(path))
        assert found["pe/header/timedatestamp"] == theirs.header.timedatestamp
        assert found["pe/header/numberofsections"] == len(theirs.sections)
        return
    theirs = lief.PE.parse(str(path))
    assert found["pe/header/timedatestamp"] == theirs.header.time_date_stamps
    assert found["pe/header/numberofsections"] == theirs.header.numberof_sections
    assert found["pe/optional/fields/checksum"] == theirs.optional_header.checksum
    assert found["pe/optional/fields/checksum"] in {0, theirs.compute_checksum()}
    for section in theirs.sections:
        if section.name.startswith("/"):
            continue  # it does not read names in the string table
        head = f"pe/sections/sectionheader[{section.name}]/fields"
        assert found[f"{head}/virtualaddress"] == section.virtual_address
        assert found[f"{head}/pointertorawdata"] == section.pointerto_raw_data
        assert found[f"{head}/sizeofrawdata"] == section.sizeof_raw_data
    stamps = [value for place, value in found.items() if "/debug[" in place and place.endswith("/timedatestamp")]
    assert stamps == [entry.timestamp for entry in theirs.debug]
    paths = [value.decode() for place, value in found.items() if place.endswith("debugdata[codeview]/path")]
    assert paths == [entry.filename for entry in theirs.debug if isinstance(entry, lief.PE.CodeViewPDB)]
    if theirs.has_exports:
        assert found["pe/section[.edata]/export/timedatestamp"] == theirs.get_export().timestamp
    if theirs.has_resources:
        names = [place for place in found if place.endswith("resourcedirectory[/]/fields/numberofidentries")]
        assert [found[name] for name in names] == [len(list(theirs.resources.childs))]


@every_file
def test_checksum_is_the_real_one(path):
    raw = path.read_bytes()
    if path.suffix in {".obj", ".o"}:
        return
    found = values(raw)["pe/optional/fields/checksum"]
    assert found in {0, checksum(raw)}


def test_a_checksum_that_was_never_set_stays_so():
    raw = data("pdb-guid")
    new, _notices = normalized(raw, Policy(0, UNIFY))
    assert new != raw
    assert values(new)["pe/optional/fields/checksum"] == 0


def test_a_wrong_checksum_is_not_repaired():
    raw = bytearray(data("timestamp"))
    at = struct.unpack_from("<I", raw, 60)[0] + 4 + 20 + 64
    raw[at] ^= 1
    new, notices = normalized(bytes(raw), Policy(0, UNIFY))
    assert new[at : at + 4] == raw[at : at + 4]
    assert any("checksum" in where for where, _text in notices)


def test_normalizing_makes_the_sides_equal_and_the_checksum_right():
    left, right = (normalized(data("dll-resources", side), Policy(0, UNIFY))[0] for side in (0, 1))
    assert left == right
    assert values(left)["pe/optional/fields/checksum"] == checksum(left)
    assert len(left) == len(data("dll-resources"))


@pytest.mark.parametrize("policy", [Policy(0, CLAMP), Policy(0, UNIFY)], ids=str)
def test_signed_files_stay(policy):
    raw = data("signed", 1)
    new, notices = normalized(raw, policy)
    assert new == raw
    assert any("signed" in text for _where, text in notices)


def test_an_installer_stays():
    raw = data("timestamp") + b"NullsoftInst" + bytes(40)
    new, notices = normalized(raw, Policy(0, CLAMP))
    assert new == raw
    assert any("data follows" in text for _where, text in notices)


def test_an_identifier_alone_is_a_cause_and_else_a_consequence():
    alone = outcome(RECIPES["pe/pdb-guid"]).report
    assert [cause["id"] for cause in alone["causes"]] == ["pe-debug-guid-pdb"]
    with_code = outcome(RECIPES["pe/brepro-code"]).report
    assert with_code["causes"] == []
    assert {item["path"].rpartition("/")[2] for item in with_code["consequences"]} == {"guid", "timedatestamp"}


def test_a_hash_that_differs_alone_is_only_suspected():
    left = data("brepro")
    stamp = values(left)["pe/header/timedatestamp"]
    right = left.replace(struct.pack("<I", stamp), struct.pack("<I", stamp ^ 0xFF))
    seen = report(left, right)
    assert seen["verdict"] == "suspected"


@pytest.mark.parametrize("case", sorted(RECIPES))
def test_changes_of_content_are_never_explained(case):
    """Bytes of code, data and tables, changed among the noise of a pair."""
    chosen = random.Random(case)
    case = case.partition("/")[2]
    left, right = data(case), data(case, 1)
    quiet = ("timedatestamp", "/guid", "/path", "/age", "pe/rich", "pe/certificates", "/checksum", "/hash")
    spans = [
        (path, leaf)
        for path, leaf in leaves(parse(right))
        if not any(name in path for name in quiet) and leaf.stop > leaf.start
    ]
    tried = 0
    while tried < 60:
        path, leaf = chosen.choice(spans)
        at = chosen.randrange(leaf.start, leaf.stop)
        if path == "pe/dos/e_magic" or (at < len(left) and left[at] != right[at]):
            continue
        changed = bytearray(right)
        changed[at] ^= chosen.randrange(1, 256)
        seen = report(left, bytes(changed))
        assert seen["verdict"] == "unexplained", (path, at)
        tried += 1


def hostile():
    raw = bytearray(data("dll-resources"))
    header = struct.unpack_from("<I", raw, 60)[0] + 4
    table = header + 20 + struct.unpack_from("<H", raw, header + 16)[0]

    def patched(*edits):
        out = bytearray(raw)
        for at, form, value in edits:
            struct.pack_into(form, out, at, value)
        return bytes(out)

    rsrc = next(at for at in range(table, len(raw), 40) if raw[at : at + 5] == b".rsrc")
    base = struct.unpack_from("<I", raw, rsrc + 20)[0]
    yield "sections", patched((header + 2, "<H", 0xFFFF))
    yield "symbols", patched((header + 8, "<I", 1), (header + 12, "<I", 0xFFFFFFFF))
    yield "directories", patched((header + 20 + 108, "<I", 0xFFFFFFFF))
    yield "raw-size", patched((table + 16, "<I", 0xFFFFFFFF))
    yield "overlap", patched((table + 60, "<I", struct.unpack_from("<I", raw, table + 20)[0]))
    yield "header-as-section", patched((table + 20, "<I", 0x10))
    yield "cycle", patched((base + 20, "<I", 0x80000000))
    yield "entries", patched((base + 14, "<H", 0xFFFF))
    yield "lfanew", patched((60, "<I", 0xFFFFFFF0))
    yield "lfanew-inside", patched((60, "<I", 4))
    yield (
        "certificates",
        patched((header + 20 + 112 + 32, "<II".replace("II", "I"), 8), (header + 20 + 112 + 36, "<I", 0xFFFFFFFF)),
    )
    yield "import", patched((header + 20 + 112 + 8, "<I", 0x1000))


@pytest.mark.parametrize(("name", "raw"), list(hostile()), ids=lambda value: value if isinstance(value, str) else "")
def test_hostile_tables(name, raw):
    whole = data("dll-resources")
    seen = report(whole, raw)
    assert seen["verdict"] == "unexplained", name
    for policy in (Policy(0, CLAMP), Policy(0, UNIFY)):
        normalized(raw, policy)


def test_a_truncated_file_is_noticed():
    whole = data("timestamp")
    seen = report(whole, whole[:1200])
    assert seen["verdict"] == "unexplained"
    assert "damaged" in {notice["kind"] for notice in seen["notices"]}


@pytest.mark.slow
def test_damage_by_the_thousand():
    chosen = random.Random(4)
    for _ in range(3000):
        path = chosen.choice(FILES)
        raw = bytearray(path.read_bytes())
        for _ in range(chosen.randrange(1, 6)):
            at = chosen.randrange(min(len(raw), chosen.choice((700, len(raw)))))
            width = chosen.choice((1, 2, 4))
            raw[at : at + width] = chosen.choice((b"\xff" * width, bytes(width), chosen.randbytes(width)))
        if chosen.random() < 0.3:
            del raw[chosen.randrange(len(raw)) :]
        report(path.read_bytes(), bytes(raw))
        with contextlib.suppress(ReprodiffError):
            normalized(bytes(raw), Policy(0, UNIFY))
