"""Executables end to end: what was varied is named and nothing else, a real change stands out, and nobody's bytes
bring the tool down. The pairs in fixtures/elf and fixtures/a are held against their heads in test_fixtures."""

import itertools
import os
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
from contextlib import contextmanager
from io import BytesIO

import executables
import pytest
from elftools.elf.elffile import ELFFile
from executables import KINDS, build, middle, mutations, pair, small

from fixtures import FIXTURES, RECIPES
from reprodiff.app import diff_sources
from reprodiff.budget import Budget
from reprodiff.report import text
from reprodiff.sources import Bytes

LONGER = "/build/a-much-longer-name"
PLACES = {"same": "/build/two", "longer": LONGER}
SECONDS = 10
needs_compiler = pytest.mark.skipif(not shutil.which("gcc") or not shutil.which("objcopy"), reason="needs gcc")


@contextmanager
def bounded(seconds=SECONDS):
    """Fails where the work inside takes longer; a bound on hanging, not a measurement."""

    def late(_number, _frame):
        raise TimeoutError(f"still at it after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def compared(left, right, name="program"):
    with bounded():
        return diff_sources(Bytes(left), Bytes(right), name, name, Budget(), digests=False)


def report(left, right):
    found = compared(left, right).report
    for account in found["streams"]:
        parts = [account[key] for key in ("origin", "consequence", "suspected", "unexplained")]
        assert sum(parts) == account["differing"], account["path"]
    return found


def causes(found):
    return {cause["id"] for cause in found["causes"]}


def unexplained(found):
    return [item["path"] for item in found["unexplained"]]


def sides(case):
    return [next((FIXTURES / case / side).iterdir()) for side in ("left", "right")]


# Programs in all forms: exactly the causes, nothing unexplained


FORMS = [
    pytest.param(
        place, options, links, id=f"{place}-{'-'.join(options).replace('--', '-').strip('-')}{'-s' * bool(links)}"
    )
    for place, options, links in itertools.chain(
        itertools.product(PLACES, (("-O0", "-g"), ("-O2", "-g"), ("-O3", "-g3", "-gdwarf-4")), ((), ("-s",))),
        itertools.product(PLACES, (("-O2", "-g", "-DCHECKED"), ("-O0", "-DCHECKED")), ((), ("-s",))),
        itertools.product(PLACES, (("-O2", "-g", "-no-pie", "-fno-pie"), ("-Os", "-g", "-ffunction-sections")), ((),)),
        itertools.product(PLACES, (("-O2", "-g", "-gz=zlib"), ("-O1", "-g", "-fno-asynchronous-unwind-tables")), ((),)),
        itertools.product(PLACES, (("-O2", "-g", "-mcmodel=large"), ("-O2", "-g", "-fsplit-stack")), ((),)),
    )
]


def expected(options, links):
    """Must be named, and may be besides."""
    debug = any(option.startswith("-g") for option in options) and not links
    wanted = {"dwarf-comp-dir"} if debug else set()
    if "-DCHECKED" in options:
        wanted.add("file-macro-path")
    # Where all that held the path is stripped, the build-id is what is left of it.
    return wanted or {"gnu-build-id"}


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("language", ["c", "c++"])
@pytest.mark.parametrize(("place", "options", "links"), FORMS)
def test_path(tmp_path, place, options, links, language):
    program = small(flags=options, links=links, language=language)
    left, right = (path.read_bytes() for path in pair(program, tmp_path, "form", PLACES[place]))
    if links and left == right:
        # All that held the path is stripped.
        assert "-DCHECKED" not in options
        return
    assert left != right
    found = report(left, right)
    assert unexplained(found) == []
    assert causes(found) == expected(options, links)
    assert found["verdict"] == "explained"


# Optimisation that looks at one function only: what is changed in one is changed nowhere else.
ALONE = (
    "-O2",
    "-g",
    "-fno-inline",
    *(f"-fno-ipa-{each}" for each in ("cp", "icf", "modref", "pure-const", "ra", "sra")),
)
CHANGES = {
    "constant": (r"sum = \d+;", "sum = 424242;"),
    "operator": (r"return sum;", "return ~sum;"),
    "statement": (r"return sum;", "sum += p[7] * v; return sum;"),
}


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("options", [("-O0",), ("-O0", "-g"), ALONE, ("-O0", "-s")])
@pytest.mark.parametrize("place", PLACES)
def test_one_function_changed(tmp_path, place, options, change):
    """All that is unexplained is in that function or is a property of it."""
    function = "step_02_007"
    pattern, new = CHANGES[change]

    def edited(_source, content):
        head, mark, tail = content.partition(f"int {function}(int v, const int *p)\n")
        return head + mark + re.sub(pattern, new, tail, count=1) if mark else content

    left, right = pair(small(flags=options), tmp_path, "edit", PLACES[place], change=edited)
    found = report(left.read_bytes(), right.read_bytes())
    assert found["verdict"] == "unexplained"
    assert causes(found) <= {"dwarf-comp-dir"}
    paths = unexplained(found)
    assert any(".text" in path for path in paths)
    if "-s" not in options:
        assert any(".text" in path and function in path for path in paths)
        # The function's size and its lines are recorded with it; the tables of its switches have no name.
        about = re.compile(rf"{function}|\.eh_frame|\.rodata$|\.debug_(info|line|loclists|rnglists|aranges)")
        assert [path for path in paths if not about.search(path)] == []


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("flags", [("-O2",), ("-O2", "-g")], ids="-".join)
@pytest.mark.parametrize("links", [(), ("-s",)], ids=["symbols", "stripped"])
def test_link_order(tmp_path, flags, links):
    program = small(units=6, flags=flags, links=links)
    one = build(program, tmp_path / "one" / "program")
    two = build(program, tmp_path / "two" / "program", order=lambda objects: objects[::-1])
    found = report(one.read_bytes(), two.read_bytes())
    assert unexplained(found) == []
    assert "link-order" in causes(found)
    assert causes(found) <= {"link-order", "symbol-table-order"}


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("links", [(), ("-s",)], ids=["symbols", "stripped"])
def test_resource_times(tmp_path, links):
    """Qt's table of compiled resources with and without symbols: its times, and where they are."""
    program = small(resources=True, links=links)
    later = executables.resources(1_731_541_914_000)

    def stamped(source, content):
        return later if source.startswith("qrc_") else content

    left, right = pair(program, tmp_path, "times", "/build/one", change=stamped)
    found = report(left.read_bytes(), right.read_bytes())
    assert causes(found) == {"qt-rcc-mtime"}
    assert unexplained(found) == []
    (cause,) = found["causes"]
    assert any("wheel.png" in example["path"] for example in cause["examples"])


# Mutations are never explained away


# Pairs whose noise is fully explained: executables, objects, 32 bits, both byte orders, with and without symbols.
NOISY = [
    "elf/path-g-O2-longer",
    "elf/path-g-O0-same",
    "elf/path-object-longer",
    "elf/path-dwarf4-longer",
    "elf/path-elf32-longer",
    "elf/path-elf32-big-endian-longer",
    "elf/path-big-endian-longer",
    "elf/path-clang-longer",
    "elf/file-macro-longer",
    "elf/file-macro-i386-longer",
    "elf/file-macro-stripped-longer",
    "elf/rpath-longer",
    "elf/cmake-rpath-residue-longer",
    "elf/link-order",
    "elf/link-order-g",
    "elf/link-order-stripped",
    "elf/comment-producer-longer",
    "elf/path-lto-g",
    "elf/rpath-removed",
    "elf/stripped-debug",
    "elf/string-section-longer",
]


def hit(found, mutation):
    """Tell whether an unexplained part of the right side has the place of a mutation in it."""
    return any(
        span is not None and span[0] < mutation.stop and mutation.start < span[1]
        for item in found["unexplained"]
        for span in [item["spans"][1]]
    )


def changed(path, count, seed=0):
    """Mutations of every kind that a file has, `count` together."""
    kinds = [kind for kind in KINDS if next(mutations(path, kind, 1), None)]
    share = count // len(kinds) + 4
    return [mutation for kind in kinds for mutation in mutations(path, kind, share, seed)]


@pytest.mark.parametrize("case", NOISY)
def test_mutations_without_noise(case):
    """A change to one word: that place is unexplained, and no other."""
    path = sides(case)[0]
    good = path.read_bytes()
    some = changed(path, 50)
    assert len(some) >= 50
    missed = []
    for mutation in some:
        found = report(good, mutation.data)
        spans = [item["spans"][1] for item in found["unexplained"]]
        if found["verdict"] != "unexplained" or not hit(found, mutation):
            missed.append(f"{found['verdict']} {sorted(causes(found))}: {mutation}")
        elif sum(item["bytes"] for item in found["unexplained"]) > 64:
            missed.append(f"too much, {spans}: {mutation}")
    assert missed == []


@pytest.mark.parametrize("case", NOISY)
def test_mutations_among_noise(case):
    """The same where a path or an order has moved and changed much else."""
    left, right = sides(case)
    good, noisy = left.read_bytes(), right.read_bytes()
    before = unexplained(report(good, noisy))
    some = changed(right, 50, seed=1)
    assert len(some) >= 50
    missed = []
    for mutation in some:
        if mutation.data == good:
            continue
        found = report(good, mutation.data)
        if found["verdict"] != "unexplained" or not hit(found, mutation):
            missed.append(f"{found['verdict']} {sorted(causes(found))}: {mutation}")
    assert missed == []
    assert before == []


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("language", ["c", "c++"])
def test_mutations_of_a_program_with_resources(tmp_path, language):
    program = small(resources=True, language=language, flags=("-O1", "-g"))
    left, right = pair(program, tmp_path, "resources", LONGER)
    good = left.read_bytes()
    some = changed(right, 100)
    assert {mutation.kind for mutation in some} == set(KINDS)
    missed = []
    for mutation in some:
        found = report(good, mutation.data)
        if found["verdict"] != "unexplained" or not hit(found, mutation):
            missed.append(f"{found['verdict']} {sorted(causes(found))}: {mutation}")
    assert missed == []


# Somebody who knows how the tool thinks


def patched(data, old, new, times=1):
    assert data.count(old) == times
    assert len(old) == len(new)
    return data.replace(old, new)


FORGED = {
    "another source at the end of the path": ("elf/file-macro-same", b"/build/two/shape.c", b"/build/two/shabe.c"),
    "another directory at the end of the RPATH": ("elf/rpath-same", b"/build/two/lib", b"/build/two/bin"),
    "an RPATH out of the tree": ("elf/rpath-same", b"/build/two/lib\0", b"/tmp/any/where\0"),
    "a date that is none": ("elf/date-time", b"Nov 13 2024\0", b"Nov 31 2024\0"),
    "a time that is none": ("elf/date-time", b"\x0023:51:54\0", b"\x0023:61:54\0"),
    "a date that is a name": ("elf/date-time", b"built on Nov 13 2024", b"built by Nov 13 2024"),
    "another library": ("elf/path-g-O2-same", b"libc.so.6\0", b"libd.so.6\0"),
    "a letter of a symbol's name": ("elf/path-g-O2-longer", b"\0kind\0", b"\0kint\0"),
    "another version of a symbol": ("elf/path-g-O2-longer", b"GLIBC_2.34\0", b"GLIBC_2.35\0"),
}


@pytest.mark.parametrize("forged", FORGED)
def test_forged_text(forged):
    case, old, new = FORGED[forged]
    left, right = (path.read_bytes() for path in sides(case))
    found = report(left, patched(right, old, new, right.count(old) or 1))
    assert found["verdict"] == "unexplained"


def test_something_in_the_residue_of_a_path():
    left, right = (path.read_bytes() for path in sides("elf/cmake-rpath-residue-same"))
    with sides("elf/cmake-rpath-residue-same")[1].open("rb") as file:
        strings = ELFFile(file).get_section_by_name(".dynstr")
        at = strings["sh_offset"] + strings["sh_size"] - 6
    assert right[at : at + 4] == bytes(4)
    found = report(left, right[:at] + b"evil" + right[at + 4 :])
    assert found["verdict"] == "unexplained"
    assert hit(found, executables.Mutation("string", b"", at, at + 4, ".dynstr", ""))


SIBLINGS = ["elf/string-section-longer", "elf/string-section-c++-longer", "elf/string-section-elf32-longer"]


def redirected(data):
    """(offset, size, what the relocations of a file may become) of each: those of others, of the next symbols, and
    addends close by."""
    elf = ELFFile(BytesIO(data))
    size = elf.elfclass // 8
    for table in elf.iter_sections():
        if table["sh_type"] not in {"SHT_RELA", "SHT_REL"} or table.name.endswith((".debug_info", ".eh_frame")):
            continue
        width = table["sh_entsize"] - size
        starts = [table["sh_offset"] + size + at * table["sh_entsize"] for at in range(table.num_relocations())]
        known = {data[start : start + width] for start in starts}
        for start in starts:
            old = data[start : start + width]
            shift = 4 if size == 8 else 1
            symbol = int.from_bytes(old[shift:size], "little")
            others = known | {
                old[:shift] + number.to_bytes(size - shift, "little") + old[size:]
                for number in range(max(0, symbol - 4), symbol + 5)
            }
            if width > size:
                addend = int.from_bytes(old[size:], "little", signed=True)
                others |= {old[:size] + (addend + by).to_bytes(8, "little", signed=True) for by in range(-40, 41, 3)}
            yield start, width, sorted(others - {old})


@pytest.mark.parametrize("case", SIBLINGS)
def test_a_relocation_that_leads_to_something_else_than_a_text_that_moved(case):
    left, right = (path.read_bytes() for path in sides(case))
    assert report(left, right)["verdict"] == "explained"
    missed = []
    for start, width, others in redirected(right):
        for new in others:
            data = right[:start] + new + right[start + width :]
            found = report(left, data)
            if found["verdict"] != "unexplained":
                missed.append(f"{found['verdict']}: {right[start : start + width].hex()} -> {new.hex()} at {start:#x}")
    assert missed == []


@pytest.mark.parametrize("case", SIBLINGS)
def test_anything_else_about_a_section_that_texts_moved_to(case):
    """Each bit of its header but for name, place and size; each word that names a section and stays as it was."""
    left, right = (path.read_bytes() for path in sides(case))
    elf, before = ELFFile(BytesIO(right)), ELFFile(BytesIO(left))
    word = elf.elfclass // 8
    known = {section.name for section in before.iter_sections()}
    tried = 0
    for number, section in enumerate(elf.iter_sections()):
        row = elf["e_shoff"] + number * elf["e_shentsize"]
        changes = []
        if re.search(r"\.str1\.[48]$", section.name) and section.name not in known:
            fields = [(4, 4), (8, word), (8 + word, word), (8 + 4 * word, 4), (12 + 4 * word, 4)]
            fields += [(16 + 4 * word, word), (16 + 5 * word, word)]
            changes = [(row + at, bit) for at, size in fields for bit in range(8 * size)]
        for start, bit in changes:
            data = bytearray(right)
            data[start + bit // 8] ^= 1 << bit % 8
            tried += 1
            assert report(left, bytes(data))["verdict"] == "unexplained", (section.name, start - row, bit)
        if section.name in known and section["sh_type"] in {"SHT_RELA", "SHT_REL"}:
            old = before.get_section_by_name(section.name)
            for field, at in (("sh_link", 8 + 4 * word), ("sh_info", 12 + 4 * word)):
                if old[field] != section[field]:
                    data = bytearray(right)
                    data[row + at : row + at + 4] = old[field].to_bytes(4, "little")
                    tried += 1
                    assert report(left, bytes(data))["verdict"] == "unexplained", (section.name, field)
    assert tried


def stale_addends(case):
    """(offset, the left side's bytes) of addends of .rela.dyn that a longer path moved."""
    raw = [path.read_bytes() for path in sides(case)]
    entries = []
    for path in sides(case):
        with path.open("rb") as file:
            table = ELFFile(file).get_section_by_name(".rela.dyn")
            found = [(table["sh_offset"] + 24 * at + 16, entry) for at, entry in enumerate(table.iter_relocations())]
        entries.append(found)
    assert len(entries[0]) == len(entries[1])
    for (one, left), (two, right) in zip(*entries, strict=True):
        if left["r_info"] == right["r_info"] and left["r_addend"] != right["r_addend"]:
            yield two, raw[0][one : one + 8]


def test_a_pointer_that_stays_where_all_others_move():
    """It has the very bytes of the left side, and points to something else there."""
    left, right = (path.read_bytes() for path in sides("elf/file-macro-longer"))
    stale = list(stale_addends("elf/file-macro-longer"))
    assert stale
    for at, old in stale:
        assert report(left, right[:at] + old + right[at + 8 :])["verdict"] != "explained", hex(at)


def test_an_instruction_that_points_where_it_did():
    """A displacement to a string that has moved, with the left side's value."""
    left, right = (path.read_bytes() for path in sides("elf/file-macro-longer"))
    functions = []
    for path in sides("elf/file-macro-longer"):
        with path.open("rb") as file:
            elf = ELFFile(file)
            code = elf.get_section_by_name(".text")
            functions.append(
                {
                    symbol.name: (code["sh_offset"] + symbol["st_value"] - code["sh_addr"], symbol["st_size"])
                    for symbol in elf.get_section_by_name(".symtab").iter_symbols()
                    if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_size"]
                }
            )
    tried = 0
    for name, (one, size) in functions[0].items():
        two, other = functions[1][name]
        assert size == other
        ahead = -1
        for at in range(size):
            if at > ahead and left[one + at] != right[two + at]:
                ahead = at + 3
                stale = right[: two + at] + left[one + at : one + at + 4] + right[two + at + 4 :]
                assert report(left, stale)["verdict"] != "explained", f"{name}+{at:#x}"
                tried += 1
    assert tried


@needs_compiler
def test_a_relocation_of_a_slot_that_held_nothing(tmp_path):
    """Slots of x32 take eight bytes each, and addresses four: there is room between them."""
    source, library = tmp_path / "code.c", tmp_path / "code.so"
    source.write_text(
        "extern int one, two, three;\nint *chosen(int n) { return n > 2 ? &one : n > 1 ? &two : &three; }\n"
    )
    command = ["gcc", "-mx32", "-shared", "-fPIC", "-nostdlib", "-O1", source, "-o", library]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("no compiler for x32")
    good = library.read_bytes()
    elf = ELFFile(BytesIO(good))
    got, table = elf.get_section_by_name(".got"), elf.get_section_by_name(".rela.dyn")
    rows = [each["r_offset"] for each in table.iter_relocations()]
    slots = [place for place in rows if got["sh_addr"] <= place < got["sh_addr"] + got["sh_size"]]
    assert len(slots) == 3
    for place in slots:
        at = table["sh_offset"] + rows.index(place) * table["sh_entsize"]
        changed = good[:at] + (place + 4).to_bytes(4, "little") + good[at + 4 :]
        assert unexplained(report(good, changed)) == ["program!/elf/.rela.dyn/relocation/r_offset"]


def test_equal_build_ids_prove_nothing():
    left, right = (path.read_bytes() for path in sides("elf/real-flipped"))
    assert report(left, right)["verdict"] == "unexplained"


# Scale


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_three_thousand_functions(tmp_path_factory, place):
    """One screen of text, and one changed function among all that moved is the only thing unexplained."""
    cache = tmp_path_factory.getbasetemp() / "programs"
    left, right = pair(middle(), cache, "middle", PLACES[place])
    assert left.stat().st_size > 1_800_000
    good, noisy = left.read_bytes(), right.read_bytes()
    with bounded(60):
        outcome = diff_sources(Bytes(good), Bytes(noisy), "left", "right", Budget(), digests=False)
    assert causes(outcome.report) == {"dwarf-comp-dir", "file-macro-path"}
    assert unexplained(outcome.report) == []
    assert len(text.render(outcome.report).splitlines()) <= 40
    for mutation in mutations(right, "instruction", 3):
        with bounded(60):
            found = diff_sources(Bytes(good), Bytes(mutation.data), "left", "right", Budget(), digests=False).report
        assert found["verdict"] == "unexplained"
        assert hit(found, mutation), str(mutation)


# Malformed files


class Header:
    """The places of a 64-bit little-endian file's headers, to lie in."""

    def __init__(self, data):
        self.data = bytearray(data)
        self.shoff = self.number(0x28, 8)
        strings = self.number(self.shoff + 64 * self.number(0x3E, 2) + 0x18, 8)
        self.headers = {}
        for index in range(self.number(0x3C, 2)):
            at = self.shoff + 64 * index
            start = strings + self.number(at, 4)
            self.headers[data[start : data.index(0, start)].decode()] = at

    def number(self, at, size):
        return int.from_bytes(self.data[at : at + size], "little")

    def put(self, at, value, size):
        self.data[at : at + size] = value.to_bytes(size, "little")

    def section(self, name):
        """The file offset of a section's header."""
        return self.headers[name]

    def content(self, name):
        at = self.section(name)
        return self.number(at + 0x18, 8), self.number(at + 0x20, 8)


FIELDS = {"name": (0, 4), "type": (4, 4), "flags": (8, 8), "addr": (16, 8), "offset": (24, 8), "size": (32, 8)}
FIELDS |= {"link": (40, 4), "info": (44, 4), "addralign": (48, 8), "entsize": (56, 8)}
LARGE = {2: 0xFFFF, 4: 0xFFFFFFFF, 8: 0xFFFFFFFFFFFFFFFF}


def lies(data):
    """(what, file) of files that say what is not so."""
    names = [".text", ".rodata", ".dynstr", ".dynsym", ".strtab", ".symtab", ".shstrtab", ".dynamic", ".rela.dyn"]
    names += [".gnu.hash", ".gnu.version", ".gnu.version_r", ".note.gnu.build-id", ".eh_frame", ".eh_frame_hdr"]
    names += [".debug_info", ".debug_abbrev", ".debug_line", ".debug_line_str", ".debug_str", ".init_array", ".bss"]
    for name, (field, (offset, size)) in itertools.product(names, FIELDS.items()):
        for value in (LARGE[size], 1 << (8 * size - 1), 1, 3):
            header = Header(data)
            header.put(header.section(name) + offset, value, size)
            yield f"{name} {field} {value:#x}", header.data
    for at, size in (
        (0x18, 8),
        (0x20, 8),
        (0x28, 8),
        (0x30, 4),
        (0x34, 2),
        (0x36, 2),
        (0x38, 2),
        (0x3A, 2),
        (0x3C, 2),
        (0x3E, 2),
    ):
        for value in (0, 1, 0x7F, LARGE[size], len(data) & LARGE[size]):
            header = Header(data)
            header.put(at, value, size)
            yield f"header {at:#x} {value:#x}", header.data
    header = Header(data)
    header.put(0x3C, 0, 2)
    header.put(header.shoff + 0x20, 1 << 32, 8)
    yield "2**32 sections", header.data
    header = Header(data)
    header.put(0x3C, 0, 2)
    header.put(0x3E, 0xFFFF, 2)
    header.put(header.shoff + 0x20, LARGE[8], 8)
    header.put(header.shoff + 0x28, LARGE[4], 4)
    header.put(header.shoff + 0x2C, LARGE[4], 4)
    yield "2**64 sections", header.data
    header = Header(data)
    for name in names:
        header.put(header.section(name) + 0x18, 0, 8)
        header.put(header.section(name) + 0x20, len(data), 8)
    yield "every section is the whole file", header.data
    header = Header(data)
    one, two = header.section(".text"), header.section(".rodata")
    header.put(two + 0x18, header.number(one + 0x18, 8) + 1, 8)
    yield "two sections overlap", header.data
    for name in (".dynstr", ".strtab", ".shstrtab", ".debug_str", ".debug_line_str"):
        header = Header(data)
        start, size = header.content(name)
        header.data[start : start + size] = b"A" * size
        yield f"{name} without an end", header.data
    for name in (".debug_info", ".debug_line", ".debug_abbrev", ".debug_aranges", ".eh_frame", ".note.gnu.build-id"):
        for value in (0, 1, 0xFFFFFFF0, 0xFFFFFFFF, 0x7FFFFFFF):
            header = Header(data)
            header.put(header.content(name)[0], value, 4)
            yield f"{name} begins with {value:#x}", header.data
        for byte in (b"\0", b"\xff", b"\x80"):
            header = Header(data)
            start, size = header.content(name)
            header.data[start : start + size] = byte * size
            yield f"{name} is {byte.hex()}", header.data
    header = Header(data)
    start, size = header.content(".dynamic")
    header.data[start : start + size] = struct.pack("<QQ", 1, LARGE[8]) * (size // 16)
    yield ".dynamic has no end", header.data
    for name, word in ((".gnu.hash", 0), (".gnu.hash", 2), (".gnu.version_r", 2), (".gnu.version_r", 3)):
        header = Header(data)
        header.put(header.content(name)[0] + 4 * word, LARGE[4], 4)
        yield f"{name} word {word} is all ones", header.data
    header = Header(data)
    for name in names:
        header.put(header.section(name) + 8, header.number(header.section(name) + 8, 8) | 0x800, 8)
    yield "all sections say that they are compressed", header.data


WHOLE = "elf/path-g-O2-same"


def test_lies():
    """Every one ends in time, is not identical and not explained; bytes are compared where there is no structure."""
    good = sides(WHOLE)[0].read_bytes()
    wrong = []
    for what, data in lies(good):
        if bytes(data) == good:
            continue
        found = report(good, bytes(data))
        if found["verdict"] != "unexplained":
            wrong.append(f"{what}: {found['verdict']} {sorted(causes(found))}")
    assert wrong == []


def test_lies_among_noise():
    good, noisy = (path.read_bytes() for path in sides(WHOLE))
    wrong = []
    for what, data in lies(noisy):
        found = report(good, bytes(data))
        if bytes(data) != noisy and found["verdict"] not in {"unexplained", "suspected"}:
            wrong.append(f"{what}: {found['verdict']} {sorted(causes(found))}")
    assert wrong == []


def compressed_lies():
    data = sides("elf/path-compressed-longer")[0].read_bytes()
    for name in (".debug_info", ".debug_line", ".debug_str"):
        for offset, size in ((0, 4), (8, 8), (16, 8)):
            for value in (0, 1, 2, 1 << 30, LARGE[size]):
                header = Header(data)
                try:
                    start, _length = header.content(name)
                    compressed = header.number(header.section(name) + 8, 8) & 0x800
                except KeyError:
                    continue
                if compressed:
                    header.put(start + offset, value, size)
                    yield f"{name} {offset} {value:#x}", header.data


def test_lies_about_compressed_sections():
    good = sides("elf/path-compressed-longer")[0].read_bytes()
    tried = 0
    for what, data in compressed_lies():
        if bytes(data) != good:
            tried += 1
            assert report(good, bytes(data))["verdict"] == "unexplained", what
    assert tried > 20


@pytest.mark.parametrize("case", ["elf/path-g-O2-same", "elf/path-object-longer", "elf/path-elf32-big-endian-longer"])
def test_truncated(case):
    good = sides(case)[0].read_bytes()
    lengths = [*range(0, 80, 5), *range(80, len(good), 211), *range(len(good) - 70, len(good), 7)]
    for length in lengths:
        assert report(good, good[:length])["verdict"] == "unexplained", length


@pytest.mark.parametrize("case", ["elf/path-g-O2-same", "elf/path-c++-longer", "a/path-longer"])
def test_data_behind_the_end(case):
    good = sides(case)[0].read_bytes()
    found = report(good, good + b"and one more thing")
    assert found["verdict"] == "unexplained"
    assert sum(item["bytes"] for item in found["unexplained"]) == 18


@pytest.mark.slow
@pytest.mark.parametrize("case", NOISY)
def test_random_damage(case):
    """Anything may be lost, but not in silence: no traceback, no hang, never identical."""
    rng = random.Random(case)
    left, right = (path.read_bytes() for path in sides(case))
    for _ in range(300):
        data = bytearray(rng.choice((left, right)))
        for _ in range(rng.choice((1, 2, 10, 100))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.2:
            start = rng.randrange(len(data))
            del data[start : start + rng.randrange(1, 300)]
        if bytes(data) != left:
            assert report(left, bytes(data))["verdict"] != "identical"


@pytest.mark.slow
def test_memory_is_bounded(tmp_path):
    """The worst claims about sizes, in a process that may have no more than a gigabyte."""
    good = sides(WHOLE)[0]
    for number, (what, data) in enumerate(lies(good.read_bytes())):
        if not re.search(r"0xff{7}|0x8000|\*\*", what) or number % 3:
            continue
        bad = tmp_path / "program"
        bad.write_bytes(data)
        done = subprocess.run(
            [sys.executable, "-m", "reprodiff", os.fspath(good), os.fspath(bad)],
            capture_output=True,
            check=False,
            timeout=60,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)),
        )
        assert b"Traceback" not in done.stderr, what
        assert done.returncode in {1, 2}, what


# The fixtures themselves


@pytest.mark.parametrize(
    "recipe",
    [each for each in RECIPES if each.path.parent.parent.name == "elf" and not each.dynamic],
    ids=lambda each: each.name,
)
def test_fixture_is_sound(recipe):
    """Another program reads both sides to the end."""
    for path in recipe.sides():
        with path.open("rb") as file:
            elf = ELFFile(file)
            assert all(section["sh_offset"] <= path.stat().st_size for section in elf.iter_sections())
            if elf.has_dwarf_info() and elf.get_section_by_name(".debug_info"):
                units = list(elf.get_dwarf_info().iter_CUs())
                assert units
                assert all(unit.get_top_DIE().attributes for unit in units)
