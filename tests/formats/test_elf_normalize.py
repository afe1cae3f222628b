"""Normalizing programs: only what is asked for, of the same length, and what other tools read of it."""

import shutil
import subprocess

import pytest
from executables import pair, resources, small

import normalizers
from fixtures import FIXTURES
from normalizers import guard
from reprodiff import formats
from reprodiff.app import diff_sources
from reprodiff.budget import Budget
from reprodiff.layout import emit
from reprodiff.rewrite import Rulebook, rewrite
from reprodiff.rules import CLAMP, UNIFY, Policy
from reprodiff.sources import Bytes

EPOCH = 1_500_000_000
POLICY = Policy(EPOCH, CLAMP)
ASKED = {"gnu-build-id", "rpath-build-path", "gnu-debuglink-crc", "qt-rcc-mtime"}
needs_compiler = pytest.mark.skipif(not shutil.which("gcc") or not shutil.which("objcopy"), reason="needs gcc")


def sides(case):
    return [next((FIXTURES / case / side).iterdir()).read_bytes() for side in ("left", "right")]


def normalized(data, causes=ASKED, policy=POLICY):
    book = Rulebook(
        normalizers.select(lambda rule: not rule.opt_in or rule.cause in causes),
        lambda name, source, root: guard(name, source, root, policy),
    )
    found = rewrite(Bytes(data), book, policy, Budget())
    return (data if found.pieces is None else b"".join(emit(found.pieces))), found


def report(left, right):
    return diff_sources(Bytes(left), Bytes(right), "left", "right", Budget(), digests=False).report


SAME = {
    "elf/build-id-uuid": {"gnu-build-id"},
    "elf/path-stripped": {"gnu-build-id"},
    "elf/rpath-same": {"gnu-build-id", "rpath-build-path"},
    "elf/rpath-stripped-same": {"gnu-build-id", "rpath-build-path"},
    "elf/debuglink-crc": {"gnu-debuglink-crc"},
}


@pytest.mark.parametrize("case", SAME)
def test_what_differs_so_alone_becomes_equal(case):
    left, right = sides(case)
    one, two = normalized(left)[0], normalized(right)[0]
    assert one == two
    assert len(one) == len(left)
    found = report(left, right)
    assert found["proof"] == "proved"
    assert {cause["id"] for cause in found["causes"]} <= SAME[case]


@pytest.mark.parametrize("case", SAME)
def test_nothing_is_done_unasked(case):
    for data in sides(case):
        assert normalized(data, set())[1].pieces is None


@pytest.mark.parametrize("case", SAME)
@pytest.mark.parametrize("policy", [Policy(EPOCH, CLAMP), Policy(0, UNIFY)], ids=str)
def test_twice_is_once(case, policy):
    for data in sides(case):
        once, _found = normalized(data, policy=policy)
        assert normalized(once, policy=policy)[0] == once


@pytest.mark.skipif(not shutil.which("readelf"), reason="needs readelf")
@pytest.mark.parametrize("case", SAME)
def test_readelf_reads_it(tmp_path, case):
    out = tmp_path / "program"
    out.write_bytes(normalized(sides(case)[0])[0])
    done = subprocess.run(["readelf", "-aW", out], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Warning" not in done.stderr
    assert "/build/" not in subprocess.run(["readelf", "-dW", out], capture_output=True, text=True, check=True).stdout


def test_paths_of_different_lengths_stay_different():
    found = report(*sides("elf/rpath-longer"))
    assert found["proof"] == "consistent"


def test_a_path_whose_end_is_used_stays():
    """A symbol that is called as the end of the search path is shares its bytes."""
    data = sides("elf/rpath-same")[0]
    image = formats.parse(formats.identify(Bytes(data)), Bytes(data), Budget()).info
    table = image.by_name[b".dynsym"]
    at = data.index(b"/build/one/lib\0")
    tail = at - image.by_name[b".dynstr"].offset + 11
    size = image.layout.symbol.size
    shared = bytearray(data)
    shared[table.offset + size : table.offset + size + 4] = tail.to_bytes(4, "little")
    assert b"/build/one/lib\0" in normalized(bytes(shared))[0]


def test_a_signed_module_stays():
    data = sides("elf/build-id-uuid")[0] + b"~Module signature appended~\n"
    result, found = normalized(data)
    assert result == data
    assert any("signature" in text for _path, text in found.notices)


def test_sections_without_rules_are_not_taken_apart(monkeypatch):
    """Rewriting twenty bytes must not make a tree of a million nodes."""
    from reprodiff.formats.elf import parts

    made = []
    expand = parts._parts

    def counted(image, section):
        made.append(section.name)
        return expand(image, section)

    monkeypatch.setattr(parts, "_parts", counted)
    normalized(sides("elf/path-g-O2-same")[0], {"gnu-build-id"})
    assert {name for name in made if not name.startswith(b".note")} == set()


@needs_compiler
def test_resource_times(tmp_path):
    program = small(resources=True, links=("-s",))
    later = resources(1_731_541_914_000)

    def stamped(source, content):
        return later if source.startswith("qrc_") else content

    left, right = (path.read_bytes() for path in pair(program, tmp_path, "times", "/build/one", change=stamped))
    found = report(left, right)
    assert {cause["id"] for cause in found["causes"]} == {"qt-rcc-mtime"}
    assert found["proof"] == "proved"
    one, two = (normalized(data, policy=Policy(0, UNIFY))[0] for data in (left, right))
    assert one == two
    assert len(one) == len(left)
