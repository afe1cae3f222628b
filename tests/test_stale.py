"""What was left as it was, or edited a little, where all else moved: operands of large code models, displacements from
the global offset table, a symbol at the end of its section, headers. Each was once explained away."""

import shutil
import struct
import subprocess

import pytest
from elftools.elf.elffile import ELFFile
from executables import Program, pair
from test_executables import LONGER, hit, report, unexplained
from test_models import FIXED, Freestanding

from reprodiff.formats.elf import lto

needs_compiler = pytest.mark.skipif(not shutil.which("gcc") or not shutil.which("objcopy"), reason="needs gcc")
CODE = ("-O0", "-g", "-DCHECKED", "-fcf-protection=none", "-fno-stack-protector")


def code(path):
    with path.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".text")
        return section["sh_offset"], section["sh_size"]


def left_as_they_were(paths, find, size):
    """Operands that differ, each on the right as it is on the left: how many there are, and which of them are hidden."""
    left, right = (path.read_bytes() for path in paths)
    (one, length), (two, other) = map(code, paths)
    assert length == other
    places = [at for at in range(length - size) if find(left[one + at - 3 : one + at + size], size)]
    places = [at for at in places if left[one + at :][:size] != right[two + at :][:size]]
    hidden = []
    for at in places[:40]:
        stale = right[: two + at] + left[one + at : one + at + size] + right[two + at + size :]
        found = report(left, stale)
        spans = [item["spans"][1] for item in found["unexplained"]]
        if not any(span and span[0] < two + at + size and two + at < span[1] for span in spans):
            hidden.append(hex(at))
    return len(places[:40]), hidden


def movabs(data, _size):
    return len(data) > 3 and data[1] & 0xFE == 0x48 and data[2] & 0xF8 == 0xB8


def from_ebx(data, _size):
    """LEA of a register from EBX and 4 bytes."""
    return len(data) > 3 and data[1] == 0x8D and data[2] & 0xC7 == 0x83


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "links"),
    [
        (("-mcmodel=large", "-fno-pic", "-fno-pie", "-ffreestanding"), FIXED),
        (("-mcmodel=large", "-fPIE", "-ffreestanding"), ("-nostdlib", "-pie")),
    ],
    ids=["fixed", "anywhere"],
)
def test_operands_of_eight_bytes(tmp_path, flags, links):
    paths = pair(Freestanding(flags=(*CODE, *flags), links=links), tmp_path, "large", LONGER)
    assert unexplained(report(*(path.read_bytes() for path in paths))) == []
    count, hidden = left_as_they_were(paths, movabs, 8)
    # The distance of the table, and what leads into the middle of something, may be numbers.
    assert count > 20
    assert 4 * len(hidden) <= count, hidden


@needs_compiler
@pytest.mark.slow
def test_displacements_from_the_table(tmp_path):
    flags = (*CODE, "-m32", "-fPIE", "-ffreestanding")
    try:
        paths = pair(Freestanding(flags=flags, links=("-nostdlib", "-pie")), tmp_path, "got", LONGER)
    except subprocess.CalledProcessError:
        pytest.skip("no 32-bit compiler")
    count, hidden = left_as_they_were(paths, from_ebx, 4)
    assert count > 5
    assert 4 * len(hidden) <= count, hidden


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    program = Program(flags=("-O2", "-g", "-DCHECKED"))
    return [path.read_bytes() for path in pair(program, tmp_path_factory.mktemp("linked"), "linked", LONGER)]


def edited(data, at, value, size=8):
    return data[:at] + value.to_bytes(size, "little") + data[at + size :]


@needs_compiler
@pytest.mark.slow
def test_the_last_symbol_of_a_section(tmp_path):
    """Its size ends with the section on both sides, whatever it is said to be."""
    left, path = pair(Program(flags=("-O2", "-g", "-DCHECKED")), tmp_path, "same", "/build/two")
    right = path.read_bytes()
    with path.open("rb") as file:
        elf = ELFFile(file)
        table, data = elf.get_section_by_name(".symtab"), elf.get_section_by_name(".data")
        stop = data["sh_addr"] + data["sh_size"]
        number = next(
            index for index, each in enumerate(table.iter_symbols())
            if each["st_value"] + each["st_size"] == stop and each["st_size"] and each["st_info"]["type"] == "STT_OBJECT"
        )  # fmt: skip
        at = table["sh_offset"] + 24 * number + 8
    (value,) = struct.unpack_from("<Q", right, at)
    for other in (value + 1, value + 2, value - 1):
        assert unexplained(report(left.read_bytes(), edited(right, at, other))), other - value


HEADERS = [(name, field, add) for name in (".rodata", ".data", ".text", ".eh_frame_hdr", ".debug_line_str")
           for field, add in (("sh_addralign", 1), ("sh_addralign", 32), ("sh_addralign", 64), ("sh_size", 1), ("sh_size", 8))]  # fmt: skip


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize(("name", "field", "add"), HEADERS)
def test_section_headers(linked, tmp_path, name, field, add):
    left, right = linked
    (tmp_path / "right").write_bytes(right)
    with (tmp_path / "right").open("rb") as file:
        elf = ELFFile(file)
        number = elf.get_section_index(name)
        at = elf["e_shoff"] + 64 * number + {"sh_addralign": 48, "sh_size": 32}[field]
        value = elf.get_section(number)[field] + add
    assert unexplained(report(left, edited(right, at, value)))


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("add", [1, 4, 8])
def test_sizes_of_segments(linked, tmp_path, add):
    left, right = linked
    (tmp_path / "right").write_bytes(right)
    with (tmp_path / "right").open("rb") as file:
        elf = ELFFile(file)
        rows = [
            (elf["e_phoff"] + 56 * number + 32, each["p_filesz"]) for number, each in enumerate(elf.iter_segments())
        ]
    for at, value in rows:
        assert unexplained(report(left, edited(right, at, value + add))), hex(at)


@needs_compiler
@pytest.mark.slow
def test_a_tag_that_is_no_option(linked, tmp_path):
    """One side alone has the tag of a hash table, and both have the table."""
    left, right = linked
    (tmp_path / "right").write_bytes(right)
    with (tmp_path / "right").open("rb") as file:
        section = ELFFile(file).get_section_by_name(".dynamic")
        at = section["sh_offset"] + next(
            16 * number for number, each in enumerate(section.iter_tags()) if each.entry.d_tag == "DT_GNU_HASH"
        )
    found = report(left, edited(right, at, 0x6FFF00F5))
    assert hit(found, type("Place", (), {"start": at, "stop": at + 8})) or found["verdict"] == "unexplained"


def test_how_far_two_sections_go_on_alike():
    one = b"a" * 10_240
    for size in (0, 1, 255, 256, 257, 767, 768, 769, 10_000, len(one)):
        two = one[:size] + b"\2"
        assert lto._alike(b"ab" + one + b"\1", b"b" + two, 2, 1) == size


def test_more_texts_than_anybody_has():
    texts = b"\0" * (lto.TEXTS_MAX + 1)
    data = struct.pack("<3i", 2, len(texts), 0) + b"\1\2" + texts
    assert lto._texts(data).rows == []
    less = b"\0" * 100
    assert len(lto._texts(struct.pack("<3i", 2, len(less), 0) + b"\1\2" + less).rows) == 100


def words(elf, name, pick):
    """Offsets in the file of the words of a section that a function chooses by (offset, all bytes)."""
    section = elf.get_section_by_name(name)
    data = section.data()
    return section["sh_offset"], [at for at in range(0, len(data) - 3, 4) if pick(at, data)]


def described(at, data):
    """The word behind the pointer of a frame record to what it shares with others."""
    if at < 8:
        return False
    size, shared = struct.unpack_from("<2I", data, at - 8)
    return 12 < size < 256 and 0 < shared <= at and size % 4 == 0


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", [".eh_frame", ".eh_frame_hdr"])
def test_places_of_functions_in_frame_tables(linked, tmp_path, name):
    left, right = linked
    found = []
    for side, data in (("left", left), ("right", right)):
        (tmp_path / side).write_bytes(data)
        with (tmp_path / side).open("rb") as file:
            pick = described if name == ".eh_frame" else lambda at, _data: at >= 12
            found.append(words(ELFFile(file), name, pick))
    (one, ones), (two, twos) = found
    assert ones == twos
    moved = [at for at in ones if left[one + at : one + at + 4] != right[two + at : two + at + 4]]
    assert len(moved) > 20
    for at in moved[:: len(moved) // 15]:
        stale = right[: two + at] + left[one + at : one + at + 4] + right[two + at + 4 :]
        spans = [item["spans"][1] for item in report(left, stale)["unexplained"]]
        assert any(span and span[0] <= two + at < span[1] for span in spans), hex(at)


@needs_compiler
@pytest.mark.slow
def test_letters_that_read_as_a_time(linked):
    """Four letters of a text that become other bytes: both are numbers of seconds that a clock may show."""
    left, right = linked
    at = next(
        at for at in range(0x2000, len(right) - 16, 4)
        if right[at - 4 : at + 8].isascii() and right[at - 4 : at + 8].isalpha() and right[at + 3 : at + 4] in b"rst"
    )  # fmt: skip
    (value,) = struct.unpack_from("<I", right, at)
    found = report(left, edited(right, at, value + 0x8D_4B71, 4))
    assert "epoch-integer-timestamp" not in {cause["id"] for cause in found["causes"]}
    assert unexplained(found)


@pytest.mark.skipif(not shutil.which("as"), reason="needs GNU as")
def test_a_reference_to_an_empty_section_did_not_move(tmp_path):
    sides = []
    for word in ("one", "two"):
        source = tmp_path / f"{word}.s"
        source.write_text(
            '.section .text.unlikely,"ax"\ncold:\n.text\nfirst: .long cold - .\n.globl first\n'
            f'.section .rodata\n.asciz "{word} text"\n'
        )
        subprocess.run(["as", source, "-o", source.with_suffix(".o")], check=True, timeout=60)
        sides.append(source.with_suffix(".o").read_bytes())
    assert [item["path"] for item in report(*sides)["unexplained"]] == ["program!/elf/.rodata/string[… text]"]
