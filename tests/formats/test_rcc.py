"""Qt's resources: binary files, code, and trees in the data of programs."""

import random
import shutil
import subprocess

import pytest

import normalizers
from fixtures import FIXTURES
from normalizers.qt import times
from reprodiff import formats
from reprodiff.app import diff_sources
from reprodiff.budget import Budget
from reprodiff.errors import FormatError
from reprodiff.formats.qtresources import NARROW, TIME, WIDE, name_hash, read_tree
from reprodiff.formats.qtresources.search import MOST_STEPS, find, nodes, pairs
from reprodiff.layout import emit
from reprodiff.rewrite import Rulebook, rewrite
from reprodiff.rules import Policy
from reprodiff.sources import Bytes
from reprodiff.tree import Leaf, children, leaves

T1, T2 = 1700000000, 1731541914
PATHS = [
    ":/",
    ":/doc",
    ":/img",
    ":/img/raw.png",
    ":/doc/a.txt (language 42, territory 0)",
    ":/doc/a.txt",
    ":/doc/b.txt",
]


def pair(case):
    return tuple(next((FIXTURES / case / side).iterdir()).read_bytes() for side in ("left", "right"))


def report(left, right):
    return diff_sources(Bytes(left), Bytes(right), "left", "right", Budget(), digests=False).report


def tree(data):
    source = Bytes(data)
    entry = formats.identify(source)
    return entry.name, formats.parse(entry, source, Budget())


def named(root):
    return dict(leaves(root))


def arrays(data):
    """Data, names and tree of a .rcc file."""
    at = {kind: int.from_bytes(data[8 + 4 * i : 12 + 4 * i], "big") for i, kind in enumerate(("tree", "data", "names"))}
    ends = sorted([*at.values(), len(data)])
    return {kind: data[start : ends[ends.index(start) + 1]] for kind, start in at.items()}


# Binary files


@pytest.mark.parametrize("case", ["v1-content", "v2-mtime", "v3-mtime-one", "zstd-mtime-and-content"])
def test_every_resource_is_named(case):
    name, root = tree(pair(f"rcc/{case}")[0])
    assert name == "rcc"
    keys = {node.key.decode() for node in children(next(n for n in children(root) if n.name == "tree"))}
    assert {key.replace("language 94", "language 42") for key in keys} == set(PATHS)


def test_a_time_is_milliseconds_since_the_epoch():
    data = pair("rcc/v3-mtime-one")[0]
    leaf = named(tree(data)[1])["rcc/tree/resource[:/doc/b.txt]/node/lastmodified"]
    assert leaf.codec.decode(data[leaf.start : leaf.stop]) == 1700000001.25
    assert TIME.encode(-0.5, 8) == (-500).to_bytes(8, "big", signed=True)


def test_contents_are_decoded():
    data = pair("rcc/mtime-and-content")[0]
    for path, leaf in leaves(tree(data)[1]):
        if path.endswith("b.txt]/content"):
            assert leaf.content.open(Budget()).read(0, 10) == b"line 1 of "
            return
    raise AssertionError


@pytest.mark.parametrize(("epoch", "expected"), [(T1, T1), (0, 0), (T2 + 5, T2)])
def test_times_are_clamped_when_asked_for(epoch, expected):
    data = pair("rcc/v2-mtime")[1]
    policy = Policy(epoch)
    book = Rulebook(normalizers.rulebook, lambda *_: None)
    pieces = rewrite(Bytes(data), book, policy, Budget()).pieces
    new = data if pieces is None else b"".join(emit(pieces))
    seen = {TIME.decode(new[r.time : r.time + 8]) for r in find(new)[0].resources}
    assert seen == {0, expected}


def test_times_are_not_touched_unasked():
    data = pair("rcc/v2-mtime")[1]
    book = Rulebook(normalizers.select(lambda rule: not rule.opt_in), lambda *_: None)
    assert rewrite(Bytes(data), book, Policy(0), Budget()).pieces is None


CASES = [
    "rcc/v2-mtime",
    "rcc/v3-mtime-one",
    "rcc/source-date-epoch",
    "qrc/cpp-mtime",
    "qrc/python-mtime",
    "qrc/pyrcc5-mtime",
]


@pytest.mark.parametrize("case", CASES)
def test_no_other_byte_passes_for_a_time(case):
    left, right = pair(case)
    chance = random.Random(case)
    spared = [(leaf.start, leaf.stop) for path, leaf in leaves(tree(right)[1]) if path.endswith("lastmodified")]
    places = [at for at in range(len(right)) if not any(start <= at < stop for start, stop in spared)]
    for at in chance.sample(places, 150):
        changed = bytearray(right)
        changed[at] ^= 1 << chance.randrange(8)
        seen = report(left, bytes(changed))
        assert seen["verdict"] == "unexplained", at
        assert seen["unexplained"] or seen["notices"]


@pytest.mark.parametrize("case", ["rcc/v2-mtime", "rcc/v1-content"])
def test_contents_that_change_places_are_seen(case):
    """The bytes of all contents stay where they are; two nodes say the other's offset."""
    data = pair(case)[0]
    nodes = {r.path: r.node for r in find(data)[0].resources}
    one, two = nodes[":/doc/a.txt"] + 10, nodes[":/doc/b.txt"] + 10
    swapped = bytearray(data)
    swapped[one : one + 4], swapped[two : two + 4] = data[two : two + 4], data[one : one + 4]
    seen = report(data, bytes(swapped))
    assert seen["verdict"] == "unexplained"
    shown = {u["path"].split("!")[1] for u in seen["unexplained"]}
    assert shown >= {"/rcc/file[:/doc/a.txt]", "/rcc/file[:/doc/b.txt]"}
    swapped[two : two + 4] = data[two : two + 4]
    assert report(data, bytes(swapped))["verdict"] == "unexplained"


@pytest.mark.parametrize("case", ["cpp-mtime", "python-mtime", "pyrcc5-mtime"])
def test_contents_that_change_places_in_code_are_seen(case):
    data = pair(f"qrc/{case}")[0]
    found = named(tree(data)[1])
    struct = "struct_v2" if case == "pyrcc5-mtime" else "struct"
    one, two = (found[f"qrc/{struct}/resource[:/doc/{name}.txt]/data"] for name in ("a", "b"))
    a, b = data[one.start : one.stop], data[two.start : two.stop]
    swapped = data[: one.start] + b + data[one.stop : two.start] + a + data[two.stop :]
    assert report(data, swapped)["verdict"] == "unexplained"
    both = data[: two.start] + a + data[two.stop :]
    assert report(data, both)["verdict"] == "unexplained"


# Malformed files


def node(name, flags, one, two):
    return name.to_bytes(4, "big") + flags.to_bytes(2, "big") + one.to_bytes(4, "big") + two.to_bytes(4, "big")


def rcc(nodes, names=b"", data=b"", version=1):
    tree = b"".join(nodes)
    places = (20 + len(data) + len(names), 20, 20 + len(data))
    head = b"qres" + version.to_bytes(4, "big") + b"".join(place.to_bytes(4, "big") for place in places)
    return head + data + names + tree


def name(text):
    units = text.encode("utf-16-be")
    return len(text).to_bytes(2, "big") + name_hash(units).to_bytes(4, "big") + units


A_FILE = node(0, 0, 1, 0)
BAD = {
    "no tree": [],
    "the root is a file": [A_FILE],
    "a cycle": [node(0, 2, 1, 1), node(0, 2, 1, 0)],
    "itself": [node(0, 2, 1, 0)],
    "two parents": [node(0, 2, 2, 1), node(0, 2, 1, 2), A_FILE],
    "more children than nodes": [node(0, 2, 2, 1), A_FILE],
    "2^32 children": [node(0, 2, 0xFFFFFFFF, 1), A_FILE],
    "children far away": [node(0, 2, 1, 0xFFFFFFF0), A_FILE],
    "a gap between nodes": [node(0, 2, 1, 2), A_FILE, A_FILE],
    "unknown flags": [node(0, 2, 1, 1), node(0, 0x8000, 1, 0)],
    "a name behind the names": [node(0, 2, 1, 1), node(1000, 0, 1, 0)],
    "data behind the data": [node(0, 2, 1, 1), node(0, 0, 1, 0xFFFFFFFF)],
    "names that overlap": [node(0, 2, 2, 1), A_FILE, node(2, 0, 1, 0)],
    "too deep": [node(0, 2, 1, 1 + at) for at in range(1000)] + [A_FILE],
}


@pytest.mark.parametrize("nodes", BAD.values(), ids=BAD)
def test_a_malformed_tree_is_no_tree(nodes):
    data = rcc(nodes, name("a") + name("b"), bytes(4))
    with pytest.raises(FormatError):
        tree(data)
    assert find(data) == []
    assert report(data, data + b"x")["verdict"] == "unexplained"


def test_lying_sizes_and_offsets():
    good = rcc([node(0, 2, 1, 1), A_FILE], name("a"), b"\0\0\0\2hi")
    assert tree(good)[0] == "rcc"
    for at in range(8, len(good)):
        for value in (0, 1, 0x7F, 0xFF):
            bad = good[:at] + bytes([value]) + good[at + 1 :]
            assert bad == good or report(good, bad)["verdict"] == "unexplained", at


def test_many_files_with_long_shared_names_stay_small():
    deep = [node(0, 2, 1, 1 + at) for at in range(100)]
    data = rcc([*deep, node(0, 2, 60000, 101), *[A_FILE] * 60000], name("a" * 65535), bytes(4))
    with pytest.raises(FormatError, match="too long"):
        tree(data)


def test_a_compressed_content_may_be_anything():
    for content in (b"", b"\0\0\0\5", b"\0\0\0\5x\x9c" + bytes(20), b"\xff" * 40):
        data = rcc([node(0, 2, 1, 1), node(0, 1, 1, 0)], name("a"), len(content).to_bytes(4, "big") + content)
        other = data.replace(name("a"), name("a")[:-1] + b"a") + b"x"
        assert tree(data)[0] == "rcc"
        assert report(data, other)["verdict"] == "unexplained"
        rewrite(Bytes(data), Rulebook(normalizers.rulebook, lambda *_: None), Policy(), Budget(), always=True)


# Trees in other bytes


def program(data, chance, order=("data", "names", "tree"), align=32):
    """Something like read-only data with the arrays of a .rcc file in it, and where they are."""
    out = bytearray(b"some text\0" * chance.randrange(5, 50) + chance.randbytes(chance.randrange(300)))
    places = {}
    for kind in order:
        out += bytes(-len(out) % align)
        places[kind] = len(out)
        out += arrays(data)[kind]
    return bytes(out + bytes(40) + chance.randbytes(500)), places


@pytest.mark.parametrize("align", [1, 8, 32])
@pytest.mark.parametrize("order", [("data", "names", "tree"), ("tree", "names", "data")], ids=["up", "down"])
@pytest.mark.parametrize(
    ("case", "width"), [("v1-content", NARROW), ("v2-mtime", WIDE), ("zstd-mtime-and-content", WIDE)]
)
def test_a_tree_is_found_with_names_and_data(case, width, order, align):
    chance = random.Random(f"{case}{order}{align}")
    whole = pair(f"rcc/{case}")[0]
    data, places = program(whole, chance, order, align)
    (found,) = find(data)
    assert found.width == width
    assert (found.tree[0], found.names[0], found.data[0]) == tuple(places[kind] for kind in ("tree", "names", "data"))
    assert {r.path.replace("language 94", "language 42") for r in found.resources} == set(PATHS)
    if width == WIDE:
        assert {TIME.decode(data[r.time : r.time + 8]) for r in found.resources} == {0, T1}
    else:
        assert {r.time for r in found.resources} == {-1}
    raw = next(r for r in found.resources if r.path == ":/img/raw.png")
    assert data[slice(*raw.data)] == b"\0\1\2\3\377"


def test_arrays_may_lie_apart():
    whole = arrays(pair("rcc/v2-mtime")[0])
    chance = random.Random(1)
    data = whole["names"] + chance.randbytes(100_000) + whole["tree"] + chance.randbytes(50_000)
    (found,) = find(data)
    assert found.names == (0, len(whole["names"]))
    assert found.data is None


def test_a_tree_without_names_is_none():
    whole = arrays(pair("rcc/v2-mtime")[0])
    assert find(bytes(1000) + whole["tree"] + bytes(1000)) == []
    assert find(whole["tree"]) == []


def test_times_of_both_sides_are_paired_by_path():
    left, right = pair("rcc/v2-mtime")
    one, _ = program(left, random.Random(1))
    two, _ = program(right, random.Random(2), ("tree", "names", "data"))
    path_of = times(one, two)
    (found,) = pairs(one, two)
    assert [path for path, _, _ in found.times] == PATHS
    assert len(found.contents) == 4
    for path, (l0, l1), (r0, r1) in found.times:
        assert path_of(l0, l1, r0, r1) == path_of(l0 + 3, l0 + 4, r0 + 3, r0 + 4) == path
        assert path_of(l0 - 1, l1, r0 - 1, r1) is None
        assert path_of(l0, l1 + 1, r0, r1 + 1) is None
        assert path_of(l0, l1, r0 + WIDE, r1 + WIDE) is None
    assert path_of(0, 4, 0, 4) is None


def test_a_change_in_a_program_is_claimed_by_its_resources():
    from normalizers.qt import resource_times, resources_named
    from reprodiff.compare import compare
    from reprodiff.evidence import Evidence

    left, right = pair("rcc/v2-mtime")
    one, places = program(left, random.Random(1))
    two, _ = program(right, random.Random(1))
    comparison = compare(Bytes(one), Bytes(two), "left", Budget())
    (change,) = comparison.changes["bytes"]
    evidence = Evidence(comparison, None)
    assert resource_times(change, evidence) == "origin"
    assert resources_named(change, evidence) == (
        ":/img/raw.png: 2023-11-14T22:13:20Z",
        ":/img/raw.png: 2024-11-13T23:51:54Z",
    )
    for at in (places["tree"] + 3, places["tree"] - 40, places["data"] + 6):
        other = bytearray(two)
        other[at] ^= 1
        comparison = compare(Bytes(one), Bytes(bytes(other)), "left", Budget())
        assert resource_times(comparison.changes["bytes"][0], Evidence(comparison, None)) is None


def test_found_trees_are_nodes_for_the_format_around_them():
    data, places = program(pair("rcc/v2-mtime")[1], random.Random(3))
    group = nodes(find(data)[0], 1000)
    assert (group.start, group.stop - group.start) == (1000 + places["tree"], 7 * WIDE)
    found = dict(leaves(group))
    leaf = found["qt/resource[:/doc/b.txt]/lastmodified"]
    assert isinstance(leaf, Leaf)
    assert TIME.decode(data[leaf.start - 1000 : leaf.stop - 1000]) == T2


def test_hostile_bytes_are_searched_in_bounded_steps(monkeypatch):
    monkeypatch.setattr("reprodiff.formats.qtresources.search.MOST_STEPS", MOST_STEPS >> 6)
    root = node(0, 2, 1, 1) + bytes(8)
    for data in (root * 100_000, (root + bytes(WIDE)) * 50_000, bytes(3 << 20), b"\0\2" * (1 << 20)):
        assert find(data) == []


def test_random_bytes_hold_no_tree():
    chance = random.Random(4)
    assert find(bytes(chance.choices((0, 0, 0, 0, 1, 2), k=300_000))) == []


@pytest.mark.parametrize("flags", ["-O0", "-O2 -s", "-O2 -fdata-sections", "-O2 -flto -s"])
def test_a_tree_is_found_in_what_a_compiler_made(flags, tmp_path):
    if not shutil.which("g++"):
        pytest.skip("not installed: g++")
    made = []
    for side, text in zip(("left", "right"), pair("qrc/cpp-mtime"), strict=True):
        (tmp_path / f"{side}.cpp").write_bytes(text)
        out = tmp_path / f"{side}.so"
        subprocess.run(["g++", "-shared", "-fPIC", *flags.split(), f"{side}.cpp", "-o", out], cwd=tmp_path, check=True)
        made.append(out.read_bytes())
    (found,) = pairs(*made)
    assert [path for path, _, _ in found.times] == PATHS
    assert len(found.contents) == 4
    assert {TIME.decode(made[1][slice(*right)]) for _path, _left, right in found.times} == {0, T2}


def test_read_tree_tells_how_much_it_reads():
    told = []
    raw = node(0, 2, 2, 1) + A_FILE + A_FILE
    assert len(read_tree(raw, 0, len(raw), NARROW, told.append)) == 3
    assert sum(told) == 2


# Code


@pytest.mark.parametrize("case", ["cpp-mtime", "python-mtime", "pyrcc5-mtime"])
def test_code_is_partitioned_as_the_binary_file_is(case):
    data = pair(f"qrc/{case}")[0]
    kind, root = tree(data)
    assert kind == "qrc"
    found = named(root)
    struct = "struct_v2" if case == "pyrcc5-mtime" else "struct"
    leaf = found[f"qrc/{struct}/resource[:/doc/b.txt]/lastmodified"]
    assert leaf.codec.decode(data[leaf.start : leaf.stop]) == T1
    assert leaf.codec.decode(leaf.codec.encode(T2, -1)) == T2
    if case != "pyrcc5-mtime":
        assert leaf.codec.encode(T1, -1) == data[leaf.start : leaf.stop]
    content = found["qrc/file[:/doc/b.txt]/content"]
    assert content.content.open(Budget()).read(0, 10) == b"line 1 of "


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"0x0,0x2,0x0,0x0,0x0,0x2,", b"0x0,0x2,0x0,0x0,0x0,0x9,"),
        (b"qt_resource_name[]", b"qt_resource_nome[]"),
        (b"// b.txt\n  0x0,0x5,\n", b"// b.txt\n  0x0,0x4,\n"),
        (b"  // :/doc\n", b"  f(); // :/doc\n"),
    ],
)
def test_code_that_does_not_hold_together_is_text(old, new):
    data = pair("qrc/cpp-mtime")[0]
    assert old in data
    assert formats.identify(Bytes(data.replace(old, new, 1))).name == "text"


def test_code_between_the_bytes_of_a_content_is_seen():
    left, right = pair("qrc/cpp-mtime")
    smuggled = right.replace(b"0x6c,0x69,0x6e,0x65,", b"0x6c,0x69 +0,0x6e,0x65,", 1)
    assert smuggled != right
    assert report(left, smuggled)["verdict"] == "unexplained"
    assert report(right, right.replace(b"0x6c,0x69,0x6e", b"0x6c, 0x69,0x6e", 1))["verdict"] == "unexplained"


def test_paths_in_comments_share_one_mapping():
    left, right = pair("qrc/cpp-build-path")
    assert report(left, right)["proof"] == "proved"
    other = right.replace(b"/home/user/src/demo/raw.bin", b"/home/user/src/other/raw.bin")
    assert other != right
    assert report(left, other)["verdict"] == "unexplained"


# Stamps and includes

UIC = b"/***\n** Form generated from reading UI file 'a.ui'\n**\n** Created: %b\n**      by: Qt User Interface Compiler version 4.8.7\n**\n***/\n"
MOC = b"/***\n** Meta object code from reading C++ file '%b'\n**\n** Created by: The Qt Meta Object Compiler version 67 (Qt 5.15.8)\n***/\n\n#include \"%b\"\n"
QMAKE = (
    b"#######\n# Makefile for building: demo\n# Generated by qmake (2.01a) (Qt 4.8.7) on: %b\n# Project:  demo.pro\n"
)


def causes(left, right):
    seen = report(left, right)
    return seen["verdict"], [cause["id"] for cause in seen["causes"]]


@pytest.mark.parametrize(
    "form",
    [UIC, QMAKE, UIC.replace(b"Qt User Interface Compiler version", b"PyQt4 UI code generator").replace(b"**", b"#")],
)
@pytest.mark.parametrize(
    ("left", "right"),
    [
        (b"Wed Jan  1 10:00:00 2014", b"Tue Nov 14 22:13:20 2023"),
        (b"Mi. 1. Jan 10:00:00 2014", b"Di. 14. Nov 22:13:20 2023"),
    ],
)
def test_a_stamp_is_named(form, left, right):
    assert causes(form % left, form % right) == ("explained", ["qt-qmake-uic-stamp"])


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (UIC % b"Wed Jan  1 10:00:00 2014", UIC % b"some day"),
        (UIC.replace(b"Qt User Interface", b"Some other") % b"Wed Jan  1 10:00:00 2014", UIC.replace(b"Qt User Interface", b"Some other") % b"Tue Nov 14 22:13:20 2023"),
        (QMAKE % b"Wed Jan  1 10:00:00 2014", QMAKE.replace(b"4.8.7", b"4.8.6") % b"Tue Nov 14 22:13:20 2023"),
        (MOC % (b"window.h", b"../src/window.h"), MOC % (b"window.h", b"../../other/window.h")),
        (MOC % (b"window.h", b"../src/window.h"), MOC % (b"window.h", b"../../src/widget.h")),
        (MOC % (b"other.h", b"../src/window.h"), MOC % (b"other.h", b"../../src/window.h")),
        (b'// a file\n#include "../window.h"\n', b'// a file\n#include "../../window.h"\n'),
    ],
)  # fmt: skip
def test_what_only_looks_like_it_is_not(left, right):
    assert causes(left, right) == ("unexplained", [])


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (b"../src/window.h", b"../../../src/window.h"),
        (b"window.h", b"../src/window.h"),
        (b"../src/window.h", b"../../../b/src/window.h"),
    ],
)
def test_a_relative_include_by_moc_is_named(one, two):
    assert causes(MOC % (b"window.h", one), MOC % (b"window.h", two)) == ("explained", ["moc-relative-include"])


VERSION = "qt-rcc-format-version"


def reported(left, right):
    found = diff_sources(Bytes(left), Bytes(right), "x", "x", Budget(), digests=False).report
    return {cause["id"] for cause in found["causes"]}, [item["path"] for item in found["unexplained"]]


def both_sides(case):
    return [next((FIXTURES / case / side).iterdir()).read_bytes() for side in ("left", "right")]


def test_header_flags_that_do_not_follow_stay_a_change():
    """Version 3 beside version 2: flags of the header that no node has."""
    left, right = both_sides("rcc/version-flags")
    assert reported(left, right)[1] == []
    for bit in (0, 2, 1, 7):
        flags = right[23] ^ 1 << bit
        changed = right[:23] + bytes([flags]) + right[24:]
        assert any(path.endswith("header/flags") for path in reported(left, changed)[1]), bit


@pytest.mark.parametrize("number", [b"1", b"3", b"4"])
def test_version_of_source_code_that_its_nodes_contradict(number):
    """What registers the arrays says another version than the nodes are of."""
    left, right = both_sides("qrc/cpp-version")
    assert reported(left, right) == ({VERSION}, [])
    line = b"int version = "
    assert right.count(line + b"2;") == 2
    unexplained = reported(left, right.replace(line + b"2;", line + number + b";"))[1]
    # Versions 2 and 3 both have times.
    assert (unexplained == []) == (number == b"3")


def test_a_version_without_other_nodes():
    """1 against 2 in the call alone: the nodes are of one width."""
    _left, right = both_sides("qrc/cpp-version")
    changed = right.replace(b"int version = 2;", b"int version = 1;")
    assert reported(right, changed)[1]
