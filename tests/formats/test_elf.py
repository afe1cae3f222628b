"""ELF files: what the tree says against what readelf and pyelftools say, on the files of the machine."""

import os
import random
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection, SymbolTableSection

from reprodiff import formats
from reprodiff.app import diff_sources
from reprodiff.budget import Budget
from reprodiff.errors import FormatError
from reprodiff.formats import elf
from reprodiff.formats.elf import hashes
from reprodiff.formats.elf.image import Image
from reprodiff.formats.program.names import SHT_GNU_HASH, SHT_HASH
from reprodiff.formats.program.side import Side
from reprodiff.layout import emit
from reprodiff.rewrite import Rulebook, rewrite
from reprodiff.rules import Policy, Rules
from reprodiff.sources import Bytes, open_file
from reprodiff.tree import Group, Leaf, Role, children, leaves

NO_RULES = Rulebook(lambda _name: Rules(()), lambda *_: None)
MOST = 4 << 20


def _system():
    """ELF files of the machine, the same ones in every run, spread over its directories."""
    found = []
    for directory in ("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/libexec"):
        for root, _directories, files in os.walk(directory):
            for name in files:
                path = os.path.join(root, name)
                try:
                    if os.path.islink(path) or not 64 <= os.path.getsize(path) <= MOST:
                        continue
                    with open(path, "rb") as file:
                        if file.read(4) == b"\x7fELF":
                            found.append(path)
                except OSError:
                    continue
    found.sort()
    return found[:: max(1, len(found) // 300)]


SYSTEM = _system()
needs_files = pytest.mark.skipif(not SYSTEM, reason="no ELF files on this machine")


def tree(path):
    source = open_file(path)
    return source, elf.parse(source, Budget())


@needs_files
def test_leaves_are_the_file_on_everything_here():
    for path in SYSTEM:
        source, root = tree(path)
        at = 0
        for where, leaf in leaves(root):
            assert leaf.start == at and leaf.stop >= at, (path, where)
            at = leaf.stop
            if leaf.derive:
                raw = source.read(leaf.start, leaf.stop)
                assert leaf.derive(raw, None) == raw, (path, where)
        assert at == source.size, path


@needs_files
def test_round_trip_is_identical():
    for path in SYSTEM[::10]:
        source = Bytes(Path(path).read_bytes())
        found = rewrite(source, NO_RULES, Policy(), Budget(), always=True)
        assert found.pieces is None or b"".join(emit(found.pieces)) == source.data, path


@needs_files
def test_sections_symbols_notes_and_dynamic_tags_are_those_of_pyelftools():
    for path in SYSTEM:
        _source, root = tree(path)
        image = root.info
        parts = {id(node.info): node for node in children(root) if isinstance(node, Group) and node.info is not None}
        with open(path, "rb") as file:
            other = ELFFile(file)
            assert image.machine == other.header["e_machine"] or isinstance(other.header["e_machine"], str)
            assert len(image.segments) == other.num_segments()
            assert len(image.sections) == other.num_sections()
            for ours, theirs in zip(image.sections, other.iter_sections(), strict=True):
                header = theirs.header
                assert ours.name.decode() == theirs.name
                assert (ours.addr, ours.offset, ours.size) == (
                    header["sh_addr"], header["sh_offset"], header["sh_size"],
                ), path  # fmt: skip
                node = parts.get(id(ours))
                if node is None or ours.compressed:
                    continue
                names = [child.name for child in children(node)]
                if isinstance(theirs, SymbolTableSection) and theirs.num_symbols() <= 1 << 15:
                    assert names.count("symbol") == theirs.num_symbols(), path
                elif ours.name == b".dynamic":
                    tags = [tag.entry.d_tag for tag in theirs.iter_tags()]
                    named = [(a, b) for a, b in zip(names, tags, strict=False) if isinstance(b, str)]
                    assert all(a == b for a, b in named), path
                elif isinstance(theirs, NoteSection):
                    assert len([name for name in names if name != "padding"]) == len(list(theirs.iter_notes())), path


@needs_files
@pytest.mark.skipif(not shutil.which("readelf"), reason="not installed: readelf")
def test_build_ids_are_those_of_readelf():
    seen = 0
    for path in SYSTEM[::10]:
        source, root = tree(path)
        ours = [
            source.read(leaf.start, leaf.stop).hex() for where, leaf in leaves(root) if where.endswith("/build-id/desc")
        ]
        shown = subprocess.run(["readelf", "-n", path], capture_output=True, check=False, env={"LC_ALL": "C"}).stdout
        assert ours == [found.decode() for found in re.findall(rb"Build ID: ([0-9a-f]+)", shown)], path
        seen += len(ours)
    assert seen


@needs_files
def test_hash_tables_are_what_their_symbols_make_them():
    for path in SYSTEM[::5]:
        side = Side(Image(open_file(path), Budget()), Budget())
        for section in side.image.sections:
            if section.type in {SHT_HASH, SHT_GNU_HASH} and section.stored:
                assert hashes.holds(side, section), path


def made(wide=True, order="<", extra=b"", sections=()):
    """A small object of a class and byte order: sections are (name, type, flags, data)."""
    header, row = (64, 64) if wide else (52, 40)
    names = b"\0" + b"".join(name + b"\0" for name, *_ in sections) + b".shstrtab\0"
    rows, data = [(0,) * 10], b""
    for name, kind, flags, body in (*sections, (b".shstrtab", 3, 0, names)):
        rows.append((names.index(name + b"\0"), kind, flags, 0, header + len(data), len(body), 0, 0, 1, 0))
        data += body
    data += bytes(-len(data) % 8)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    q = "Q" if wide else "I"
    start = ident + struct.pack(
        f"{order}HHI{q}{q}{q}I6H", 1, 62, 1, 0, 0, header + len(data), 0, header, 0, 0, row, len(rows), len(rows) - 1
    )
    table = b"".join(struct.pack(f"{order}IIQQQQIIQQ" if wide else f"{order}10I", *fields) for fields in rows)
    return start + data + table + extra


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_classes_and_byte_orders(wide, order):
    data = made(wide, order, sections=[(b".comment", 1, 0x30, b"one\0two\0"), (b".data", 1, 3, b"\1\2\3")])
    root = elf.parse(Bytes(data), Budget())
    assert [s.name for s in root.info.sections] == [b"", b".comment", b".data", b".shstrtab"]
    found = dict(leaves(root))
    assert found["elf/.data/data"].stop - found["elf/.data/data"].start == 3
    assert data[slice(*_span(found["elf/.comment/string[two]/value"]))] == b"two\0"


def _span(leaf):
    return leaf.start, leaf.stop


def test_what_lies_behind_the_last_section_is_a_payload():
    root = elf.parse(Bytes(made(extra=b"#!/bin/sh\n")), Budget())
    last = children(root)[-1]
    assert isinstance(last, Leaf) and (last.name, last.role) == ("overlay", Role.PAYLOAD)
    padded = elf.parse(Bytes(made(extra=bytes(100))), Budget())
    assert children(padded)[-1].role is Role.DERIVED


def test_a_change_in_each_part_is_named_by_its_place():
    parts = [(b".comment", 1, 0x30, b"one\0two\0"), (b".data", 1, 3, b"\1\2\3\4")]
    one = made(sections=parts)
    for old, new, where in ((b"two", b"twx", "/elf/.comment/string["), (b"\1\2\3\4", b"\1\2\7\4", "/elf/.data")):
        report = _report(one, one.replace(old, new))
        assert [where in place["path"] for place in report["unexplained"]] == [True], report["unexplained"]


def _report(left, right):
    return diff_sources(Bytes(left), Bytes(right), "left", "right", Budget(), digests=False).report


@pytest.mark.parametrize(
    "patch",
    [
        (60, b"\xff\xff"),  # e_shnum: more headers than the file has bytes
        (40, b"\xff" * 8),  # e_shoff
        (58, b"\1\0"),  # e_shentsize
        (4, b"\7"),  # no class
    ],
)
def test_headers_that_lie_are_refused(patch):
    data = bytearray(made(sections=[(b".data", 1, 3, b"\1\2\3")]))
    data[patch[0] : patch[0] + len(patch[1])] = patch[1]
    with pytest.raises(FormatError):
        elf.parse(Bytes(bytes(data)), Budget())


def test_two_to_the_32_sections_are_refused():
    data = bytearray(made())
    data[60:62] = bytes(2)
    shoff = int.from_bytes(data[40:48], "little")
    data[shoff + 32 : shoff + 40] = (1 << 32).to_bytes(8, "little")
    with pytest.raises(FormatError):
        elf.parse(Bytes(bytes(data)), Budget())


def test_sections_that_overlap_leave_the_partition_whole():
    data = bytearray(made(sections=[(b".a", 1, 2, bytes(range(40))), (b".b", 1, 2, bytes(range(40, 80)))]))
    shoff = int.from_bytes(data[40:48], "little")
    data[shoff + 2 * 64 + 24 : shoff + 2 * 64 + 32] = (64 + 10).to_bytes(8, "little")
    root = elf.parse(Bytes(bytes(data)), Budget())
    at = 0
    for _where, leaf in leaves(root):
        assert leaf.start == at
        at = leaf.stop
    assert at == len(data)


@needs_files
def test_damage_is_reported_and_never_a_crash():
    """Flips, in headers more than elsewhere, and truncations of small files of the machine."""
    chance = random.Random(1)
    small = [path for path in SYSTEM if os.path.getsize(path) < 60_000][:20]
    for path in small:
        whole = Path(path).read_bytes()
        shoff = int.from_bytes(whole[40:48], "little") if whole[4] == 2 else 52
        for _ in range(15):
            hurt = bytearray(whole)
            for _ in range(chance.randint(1, 4)):
                at = chance.choice(
                    [chance.randrange(64), chance.randrange(len(hurt)), chance.randrange(shoff, len(hurt))]
                )
                hurt[at : at + chance.choice([1, 1, 8])] = bytes([chance.randrange(256)])
            if chance.random() < 0.2:
                del hurt[chance.randrange(len(hurt)) :]
            if bytes(hurt) == whole:
                continue
            report = _report(whole, bytes(hurt))
            assert report["verdict"] in {"unexplained", "suspected"} or {"gnu-build-id", "elf-comment-toolchain"} & {
                cause["id"] for cause in report["causes"]
            }, path
            for account in report["streams"]:
                parts = (account[key] for key in ("origin", "consequence", "suspected", "unexplained"))
                assert sum(parts) == account["differing"]


def test_numpy_is_not_imported_to_parse():
    code = (
        "import sys; from reprodiff.formats import elf, identify; from reprodiff.sources import open_file;"
        "from reprodiff.budget import Budget; from reprodiff.tree import leaves;"
        f"source = open_file({SYSTEM[0]!r}); list(leaves(elf.parse(source, Budget())));"
        "assert not {'numpy', 'elftools', 'capstone', 'lief'} & set(sys.modules)"
    )
    subprocess.run([os.sys.executable, "-c", code], check=True) if SYSTEM else None


def test_the_registry_knows_it():
    assert formats.identify(Bytes(made())).name == "elf"


@pytest.mark.skipif(not shutil.which("gcc"), reason="not installed: gcc")
def test_a_hash_table_without_symbols_holds_as_gnu_ld_writes_it(tmp_path):
    (tmp_path / "empty.c").write_text(
        'extern int puts(const char *); static int f(void) { return puts(""); } int (*const p)(void) __attribute__((visibility("hidden"))) = f;'
    )
    made = tmp_path / "libempty.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-nostdlib", "-o", made, tmp_path / "empty.c"], check=True)
    side = Side(Image(open_file(made), Budget()), Budget())
    section = side.image.by_name[b".gnu.hash"]
    assert side.data(section)[4:8] == b"\1\0\0\0"
    assert hashes.holds(side, section)
    changed = made.read_bytes()
    at = section.offset + 4
    side = Side(Image(Bytes(changed[:at] + b"\3" + changed[at + 1 :]), Budget()), Budget())
    assert not hashes.holds(side, section)


@pytest.mark.skipif(not shutil.which("gcc"), reason="not installed: gcc")
def test_functions_at_addresses_of_a_kernel_are_listed(tmp_path):
    (tmp_path / "high.c").write_text("int one(int v) { return v * 3; } void _start(void) { for (;;) one(1); }")
    made = tmp_path / "high"
    subprocess.run(
        ["gcc", "-O1", "-fasynchronous-unwind-tables", "-fno-pie", "-no-pie", "-nostdlib", "-static", "-o", made,
         "-Wl,-Ttext-segment=0xffffffff81000000", "-mcmodel=kernel", tmp_path / "high.c"], check=True,
    )  # fmt: skip
    side = Side(Image(open_file(made), Budget()), Budget())
    text = side.image.by_name[b".text"]
    assert text.addr >> 63
    assert [start for start, _size in side.ranges(text)] == [symbol.start for symbol in side.named(text)]


@pytest.mark.skipif(not shutil.which("gcc"), reason="not installed: gcc")
def test_every_word_of_a_hash_table_counts(tmp_path):
    (tmp_path / "one.c").write_text("int one(void) { return 1; } int two(void) { return 2; }")
    made = tmp_path / "libone.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-nostdlib", "-Wl,--hash-style=sysv", "-o", made, tmp_path / "one.c"], check=True)  # fmt: skip
    content = made.read_bytes()
    side = Side(Image(open_file(made), Budget()), Budget())
    section = side.image.by_name[b".hash"]
    assert hashes.holds(side, section)
    for at in range(section.offset, section.offset + section.size, 4):
        other = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        assert not hashes.holds(Side(Image(Bytes(other), Budget()), Budget()), section), at - section.offset
