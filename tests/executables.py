"""Programs of any size that are the same each time they are made, and single changes to any ELF file.

`Program` is generated C (or C++) with functions that call each other across units, strings, tables of pointers,
switch tables and, where wanted, Qt's compiled resources; `build` compiles and links it as if it lay in a directory
of the caller's choice. `mutations` changes one place of a file at a time and knows what it hit.
"""

import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

KINDS = ("instruction", "constant", "string", "symbol", "relocation", "section-flag", "resource")
DATA = (".rodata", ".data", ".sdata", ".lrodata")
WORDS = [
    "field",
    "mark",
    "point",
    "line",
    "shape",
    "circle",
    "square",
    "wheel",
    "spiral",
    "plane",
    "edge",
    "corner",
    "frame",
    "canvas",
    "colour",
    "layer",
]


# Programs


@dataclass(frozen=True)
class Program:
    """What to generate.

    units      translation units, each with `functions` functions
    types      structures a unit declares that no code uses: they fill its debug information
    copies     how often each unit is linked, every time under other names
    weight     statements a function has, more or less
    resources  add a table as Qt's rcc writes it
    """

    units: int = 4
    functions: int = 20
    types: int = 0
    copies: int = 1
    weight: int = 4
    resources: bool = False
    language: str = "c"
    flags: tuple[str, ...] = ("-O2",)
    links: tuple[str, ...] = ()
    seed: int = 1

    def sources(self) -> dict[str, str]:
        """File name to content; all of it follows from the fields."""
        suffix = {"c": "c", "c++": "cc"}[self.language]
        files = {f"unit{at:02}.{suffix}": self._unit(at) for at in range(self.units)}
        if self.resources:
            files[f"qrc_icons.{suffix}"] = resources()
        files[f"main.{suffix}"] = self._main()
        return files

    def _unit(self, at: int) -> str:
        rng = random.Random(f"{self.seed} {at}")
        names = [name(at, number) for number in range(self.functions)]
        other = self._callee(at)
        lines = [
            "#ifdef CHECKED",
            "#include <assert.h>",
            "#else",
            "#define assert(condition)",
            "#endif",
            *(f"int {each}(int, const int *);" for each in names),
            *([] if other is None else [f"int {other}(int, const int *);"]),
            *(_type(at, number, rng) for number in range(self.types)),
            f"int level_{at:02} = {rng.randrange(1, 1000)};",
            f"static const char *const words_{at:02}[] = {{",
            *(f'    "{_phrase(rng)}",' for _ in range(16)),
            "};",
        ]
        for number, each in enumerate(names):
            lines += _function(each, at, names[:number], other, rng, self.weight)
        lines += [
            f"static int (*const table_{at:02}[])(int, const int *) = {{{', '.join(names)}}};",
            f"int enter_{at:02}(int v, const int *p) {{ return table_{at:02}[(unsigned)v % {len(names)}](v, p); }}",
            f"const char *word_{at:02}(int v) {{ return words_{at:02}[v & 15]; }}",
        ]
        return "\n".join(lines) + "\n"

    def _callee(self, at: int) -> str | None:
        """A function of the next unit; copies of a unit refer to nothing outside."""
        return name((at + 1) % self.units, 0) if self.units > 1 and self.copies == 1 else None

    def _main(self) -> str:
        if self.copies > 1:
            return "int main(void) { return 0; }\n"
        units = [f"{at:02}" for at in range(self.units)]
        lines = ["#include <stdio.h>"]
        lines += [f"int enter_{unit}(int, const int *); const char *word_{unit}(int);" for unit in units]
        lines += ["int main(int count, char **arguments)", "{", "    int sum = 0;"]
        lines += [f"    sum += enter_{unit}(count, &sum); puts(word_{unit}(sum));" for unit in units]
        return "\n".join([*lines, "    return sum & 1;", "}"]) + "\n"


def small(**options: Any) -> Program:
    """Some 20 kB."""
    return Program(**options)


def middle(**options: Any) -> Program:
    """2 MB, 3,000 functions, lines for the debugger and checks that name their source."""
    return Program(units=30, functions=100, weight=5, flags=("-O2", "-g1", "-DCHECKED"), **options)


def large(**options: Any) -> Program:
    """80 MB, nearly all of it debug information."""
    return Program(units=8, functions=40, types=7000, copies=9, flags=("-O1", "-g3", KEEP_TYPES), **options)


KEEP_TYPES = "-fno-eliminate-unused-debug-types"


def name(unit: int, number: int) -> str:
    return f"step_{unit:02}_{number:03}"


def _phrase(rng: random.Random) -> str:
    return f"{' '.join(rng.choices(WORDS, k=rng.randrange(2, 6)))} {rng.randrange(10_000)}"


def _type(unit: int, number: int, rng: random.Random) -> str:
    kinds = ("int", "long", "short", "char", "double", "float", f"struct record_{unit:02}_{max(0, number - 1):05} *")
    members = " ".join(f"{rng.choice(kinds)} {rng.choice(WORDS)}_{rng.randrange(50)}_{at};" for at in range(9))
    record = f"record_{unit:02}_{number:05}"
    return f"struct {record} {{ {members} }}; typedef struct {record} type_{unit:02}_{number:05};"


def _function(each: str, unit: int, before: list[str], other: str | None, rng: random.Random, weight: int) -> list[str]:
    lines = [f"int {each}(int v, const int *p)", "{", f"    int sum = {rng.randrange(1, 1 << 20)};"]
    lines.append(f"    assert(v != {rng.randrange(1 << 30)});")
    for _ in range(rng.randrange(1, 2 * weight)):
        match rng.randrange(7):
            case 0:
                lines.append(
                    f"    for (int i = 0; i < (v & {rng.randrange(3, 60)}); i++) sum += p[i] * {rng.randrange(3, 99)};"
                )
            case 1:
                lines.append(f"    sum ^= v >> {rng.randrange(1, 30)};")
            case 2:
                lines.append(f"    if (v > {rng.randrange(1, 1 << 16)}) sum -= {rng.randrange(3, 1 << 16)};")
            case 3 if before:
                lines.append(f"    sum += {rng.choice(before)}(v + {rng.randrange(1, 99)}, p);")
            case 4 if other:
                lines.append(f"    if (sum == {rng.randrange(99)}) sum += {other}(sum, p);")
            case 5:
                lines.append(f"    sum += words_{unit:02}[sum & 15][v & 3] + level_{unit:02};")
            case _:
                cases = " ".join(
                    f"case {at}: sum {rng.choice(['+=', '-=', '^=', '|='])} p[{at}] * {rng.randrange(3, 999)}; break;"
                    for at in range(rng.randrange(5, 9))
                )
                lines.append(f"    switch (sum & 15) {{ {cases} default: break; }}")
    return [*lines, "    return sum;", "}"]


# Qt's compiled resources, as rcc --format-version 2 writes them: a root, a folder, two files.

PIXELS, NOTES = b"\x89PNG not really, but bytes \x00\x01\x02\xff", b"what the program shows on its first page\n"


def resource_parts(milliseconds: int) -> tuple[bytes, bytes, bytes]:
    """Data, names and tree of a resource file with /icons/wheel.png and /icons/notes.txt.

    Data: big-endian size and bytes. A name: length, hash and UTF-16. A node has 22 bytes: the name's offset, flags,
    then of a folder how many children and which is the first, of a file territory and language, and its data's
    offset; then milliseconds since 1970, 0 for a folder.
    """
    data = b"".join(len(each).to_bytes(4, "big") + each for each in (PIXELS, NOTES))
    names, at = b"", {}
    for text in ("icons", "notes.txt", "wheel.png"):
        at[text] = len(names)
        names += len(text).to_bytes(2, "big") + _hash(text).to_bytes(4, "big") + text.encode("utf-16-be")

    def folder(offset: int, count: int, first: int) -> bytes:
        return offset.to_bytes(4, "big") + b"\x00\x02" + count.to_bytes(4, "big") + first.to_bytes(4, "big") + bytes(8)

    def file(text: str, offset: int) -> bytes:
        head = at[text].to_bytes(4, "big") + bytes(2) + b"\x00\x00\x00\x01" + offset.to_bytes(4, "big")
        return head + milliseconds.to_bytes(8, "big")

    second = 4 + len(PIXELS)
    files = sorted((("wheel.png", 0), ("notes.txt", second)), key=lambda each: _hash(each[0]))
    tree = folder(0, 1, 1) + folder(at["icons"], 2, 2) + b"".join(file(*each) for each in files)
    return data, names, tree


def _hash(text: str) -> int:
    """Qt's hash of a name, 28 bits (qt_hash)."""
    value = 0
    for unit in text.encode("latin-1"):
        value = (value << 4) + unit
        value ^= (value & 0xF0000000) >> 23
        value &= 0x0FFFFFFF
    return value


def resources(milliseconds: int = 1_700_000_000_000) -> str:
    """The C++ source, which is C too, that rcc writes for them, without the calls into Qt."""
    lines = []
    for symbol, raw in zip(("data", "name", "struct"), resource_parts(milliseconds), strict=True):
        values = ",".join(f"0x{byte:x}" for byte in raw)
        lines.append(f"const unsigned char qt_resource_{symbol}[] = {{ {values} }};")
    # const is static in C++, and what is static is kept only where it is used.
    joined = " + ".join(f"qt_resource_{symbol}[v & 3]" for symbol in ("data", "name", "struct"))
    return "\n".join([*lines, f"int icons(int v) {{ return {joined}; }}"]) + "\n"


def build(
    program: Program,
    file: Path,
    directory: str = "/build/one",
    change: Callable[[str, str], str] | None = None,
    order: Callable[[list[str]], list[str]] = list,
) -> Path:
    """Compile and link a program beside `file`, as if its sources lay in `directory`; return `file`.

    An existing file is taken as it is, so the name must say what it was made from. `change` is given a source's name
    and text and returns the text to compile; `order` the object files to link, without their folder.
    """
    if file.exists():
        return file
    folder = file.with_name(f"{file.name}.build")
    folder.mkdir(parents=True, exist_ok=True)
    driver = "g++" if program.language == "c++" else "gcc"
    if not shutil.which(driver):
        pytest.skip(f"not installed: {driver}")
    common = [driver, *program.flags, f"-ffile-prefix-map={folder}={directory}"]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "SOURCE_DATE_EPOCH": "1700000000"}

    def run(*command: str) -> None:
        subprocess.run(command, check=True, cwd=folder, env=environment)

    def compiled(source: str, text: str) -> list[str]:
        (folder / source).write_text(text if change is None else change(source, text), encoding="utf-8")
        made = f"{Path(source).stem}.o"
        run(*common, "-c", str(folder / source), "-o", made)
        if program.copies == 1 or source.startswith("main"):
            return [made]
        copies = [f"{Path(source).stem}_{copy}.o" for copy in range(program.copies)]
        for copy, target in enumerate(copies):
            run("objcopy", f"--prefix-symbols=copy{copy}_", made, target)
        return copies

    with ThreadPoolExecutor(2) as pool:
        objects = [made for each in pool.map(lambda item: compiled(*item), program.sources().items()) for made in each]
    run(*common, "-Wl,--build-id=sha1", *order(objects), *program.links, "-o", "linked")
    (folder / "linked").rename(file)
    for left in folder.iterdir():
        left.unlink()
    folder.rmdir()
    return file


def pair(program: Program, cache: Path, label: str, right: str, **changed: Any) -> tuple[Path, Path]:
    """A program built in /build/one and in another directory; kept in the cache under the label."""
    place = right.strip("/").replace("/", "-")
    left = build(program, cache / f"{label}-one" / "program")
    return left, build(program, cache / f"{label}-{place}{'-changed' if changed else ''}" / "program", right, **changed)


# Mutations


@dataclass(frozen=True)
class Mutation:
    """One change: the new file, where it differs [start, stop), what was hit and in words what became of it."""

    kind: str
    data: bytes
    start: int
    stop: int
    section: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind} in {self.section} at {self.start:#x}: {self.what}"


@dataclass(frozen=True)
class _Place:
    start: int
    old: bytes
    new: bytes
    section: str
    what: str


Chooser = Callable[[Any, bytes, random.Random], _Place | None]


def mutate(path: Path, kind: str, seed: int) -> Mutation | None:
    """Change one place of an ELF file; None where it has nothing of this kind. Same arguments, same change."""
    return next(mutations(path, kind, 1, seed), None)


def mutations(path: Path, kind: str, count: int, seed: int = 0) -> Iterator[Mutation]:
    """As many different changes as there are, at most `count`."""
    data = path.read_bytes()
    elf = ELFFile(BytesIO(data))
    rng = random.Random(f"{kind} {seed}")
    seen: set[tuple[int, bytes]] = set()
    for _ in range(count * 20):
        if len(seen) == count:
            return
        place = CHOOSERS[kind](elf, data, rng)
        if place is None or place.new == place.old or (place.start, place.new) in seen:
            continue
        seen.add((place.start, place.new))
        stop = place.start + len(place.new)
        first = next(at for at, (old, new) in enumerate(zip(place.old, place.new, strict=True)) if old != new)
        last = max(at for at, (old, new) in enumerate(zip(place.old, place.new, strict=True)) if old != new)
        yield Mutation(
            kind,
            data[: place.start] + place.new + data[stop:],
            place.start + first,
            place.start + last + 1,
            place.section,
            f"{place.what} {place.old.hex()} -> {place.new.hex()}",
        )


def _stored(elf: Any) -> list[Any]:
    return [each for each in elf.iter_sections() if each["sh_type"] != "SHT_NOBITS" and each["sh_size"]]


def _flip(data: bytes, at: int, rng: random.Random) -> tuple[bytes, bytes]:
    """A byte and what it becomes: one bit, or all."""
    old = data[at]
    return bytes([old]), bytes([old ^ (1 << rng.randrange(8) if rng.random() < 0.7 else rng.randrange(1, 256))])


@lru_cache(maxsize=2)
def _symbols(elf: Any) -> list[tuple[Any, int, Any]]:
    """(table, index, symbol) of all but the first."""
    tables = [each for each in _stored(elf) if each["sh_type"] in {"SHT_SYMTAB", "SHT_DYNSYM"}]
    return [(table, index, symbol) for table in tables for index, symbol in enumerate(table.iter_symbols()) if index]


def _extent(elf: Any, symbol: Any) -> tuple[Any, int, int] | None:
    """The section of a symbol and the file offsets of what it names; None where there is no content."""
    index = symbol["st_shndx"]
    if not isinstance(index, int) or not symbol["st_size"]:
        return None
    section = elf.get_section(index)
    if section["sh_type"] == "SHT_NOBITS":
        return None
    base = 0 if elf["e_type"] == "ET_REL" else section["sh_addr"]
    start = section["sh_offset"] + symbol["st_value"] - base
    return section, start, start + symbol["st_size"]


def _instruction(elf: Any, data: bytes, rng: random.Random) -> _Place | None:
    """A byte of a function; of executable sections where no symbol says where functions are."""
    found = [
        (symbol.name, *extent)
        for _table, _index, symbol in _symbols(elf)
        if symbol["st_info"]["type"] == "STT_FUNC" and (extent := _extent(elf, symbol))
    ]
    if not found:
        found = [
            ("code", each, each["sh_offset"], each["sh_offset"] + each["sh_size"])
            for each in _stored(elf)
            if each["sh_flags"] & 4 and each["sh_type"] == "SHT_PROGBITS" and each.name.startswith(".text")
        ]
    if not found:
        return None
    label, section, start, stop = rng.choice(found)
    at = rng.randrange(start, stop)
    return _Place(at, *_flip(data, at, rng), section.name, f"{label}+{at - start}")


def _constant(elf: Any, data: bytes, rng: random.Random) -> _Place | None:
    """A byte of data that no relocation is about to replace and that is not text."""
    covered = _relocated(elf)
    sections = [each for each in _stored(elf) if each.name.startswith(DATA)]
    for _ in range(200 if sections else 0):
        section = rng.choice(sections)
        at = section["sh_offset"] + rng.randrange(section["sh_size"])
        if not 32 <= data[at] < 127 and covered.isdisjoint(range(at - 7, at + 1)):
            return _Place(at, *_flip(data, at, rng), section.name, "constant")
    return None


@lru_cache(maxsize=2)
def _relocated(elf: Any) -> set[int]:
    """The file offset of every place that a relocation writes to."""
    found = set()
    sections = [each for each in elf.iter_sections() if each["sh_flags"] & 2 and each["sh_type"] != "SHT_NOBITS"]
    for table in _stored(elf):
        if table["sh_type"] not in {"SHT_RELA", "SHT_REL"}:
            continue
        for entry in table.iter_relocations():
            if elf["e_type"] == "ET_REL":
                target = elf.get_section(table["sh_info"])
                found.add(target["sh_offset"] + entry["r_offset"])
                continue
            for each in sections:
                if each["sh_addr"] <= entry["r_offset"] < each["sh_addr"] + each["sh_size"]:
                    found.add(each["sh_offset"] + entry["r_offset"] - each["sh_addr"])
    return found


def _string(elf: Any, data: bytes, rng: random.Random) -> _Place | None:
    """A letter of a string of the program."""
    found = [
        (each, match)
        for each in _stored(elf)
        if each.name.startswith(DATA)
        for match in re.finditer(rb"[ -~]{4,}(?=\0)", each.data())
    ]
    if not found:
        return None
    section, match = rng.choice(found)
    at = section["sh_offset"] + rng.randrange(*match.span())
    old = data[at : at + 1]
    new = bytes([rng.choice([letter for letter in b"abcdefghijklmnopqrstuvwxyz0123456789/ " if letter != old[0]])])
    return _Place(at, old, new, section.name, repr(match[0].decode()))


def _symbol(elf: Any, data: bytes, rng: random.Random) -> _Place | None:
    """A field of a symbol, or a letter of its name."""
    found = [each for each in _symbols(elf) if each[2]["st_info"]["type"] in {"STT_FUNC", "STT_OBJECT"}]
    if not found:
        return None
    table, index, symbol = rng.choice(found)
    start = table["sh_offset"] + index * table["sh_entsize"]
    field = rng.choice(("st_value", "st_size", "st_info", "st_shndx", "name"))
    if field == "name":
        if not symbol.name:
            return None
        strings = elf.get_section(table["sh_link"])
        at = strings["sh_offset"] + symbol["st_name"] + rng.randrange(len(symbol.name.encode()))
        old = data[at : at + 1]
        new = bytes([rng.choice([letter for letter in b"abcdefghijklmnopqrstuvwxyz" if letter != old[0]])])
        return _Place(at, old, new, strings.name, f"name of {symbol.name}")
    offset, size = {
        64: {"st_info": (4, 1), "st_shndx": (6, 2), "st_value": (8, 8), "st_size": (16, 8)},
        32: {"st_value": (4, 4), "st_size": (8, 4), "st_info": (12, 1), "st_shndx": (14, 2)},
    }[elf.elfclass][field]
    return _number(elf, data, start + offset, size, rng, table.name, f"{field} of {symbol.name}")


def _number(elf: Any, data: bytes, at: int, size: int, rng: random.Random, section: str, what: str) -> _Place:
    """A word that becomes a little more, or gets another bit."""
    order = "little" if elf.little_endian else "big"
    old = data[at : at + size]
    value = int.from_bytes(old, order)
    value = value + rng.choice((1, 4, 8, 16)) if rng.random() < 0.6 else value ^ 1 << rng.randrange(min(8 * size, 16))
    return _Place(at, old, (value % (1 << 8 * size)).to_bytes(size, order), section, what)


def _relocation(elf: Any, data: bytes, rng: random.Random) -> _Place | None:
    """A word of a relocation: its place, type, symbol or addend."""
    tables = [each for each in _stored(elf) if each["sh_type"] in {"SHT_RELA", "SHT_REL"}]
    if not tables:
        return None
    table = rng.choice(tables)
    entry = rng.randrange(table["sh_size"] // table["sh_entsize"])
    size = elf.elfclass // 8
    word = rng.randrange(table["sh_entsize"] // size)
    at = table["sh_offset"] + entry * table["sh_entsize"] + word * size
    what = f"{('r_offset', 'r_info', 'r_addend')[word]} of {entry}"
    return _number(elf, data, at, size, rng, table.name, what)


def _section_flag(elf: Any, data: bytes, rng: random.Random) -> _Place | None:
    """A bit of a section's flags or of a segment's: writable, allocated, executable and so on."""
    order = "little" if elf.little_endian else "big"
    segments = elf["e_phnum"] and rng.random() < 0.3
    if segments:
        index = rng.randrange(elf["e_phnum"])
        at = elf["e_phoff"] + index * elf["e_phentsize"] + (4 if elf.elfclass == 64 else 24)
        size, label, bits = 4, f"segment {index}", (1, 2, 4)
    else:
        index = rng.randrange(1, elf.num_sections())
        at = elf["e_shoff"] + index * elf["e_shentsize"] + 8
        size, label, bits = elf.elfclass // 8, elf.get_section(index).name, (1, 2, 4, 16, 32, 0x200)
    old = data[at : at + size]
    new = (int.from_bytes(old, order) ^ rng.choice(bits)).to_bytes(size, order)
    return _Place(at, old, new, label, "flags")


def _resource(elf: Any, data: bytes, rng: random.Random) -> _Place | None:
    """A byte of Qt's compiled resources, except the times: those differ between builds."""
    found = [
        (symbol.name, *extent)
        for table, _index, symbol in _symbols(elf)
        if "qt_resource_" in symbol.name and table["sh_type"] == "SHT_SYMTAB" and (extent := _extent(elf, symbol))
    ]
    if not found:
        return None
    label, section, start, stop = rng.choice(found)
    at = rng.randrange(start, stop)
    if "struct" in label and (at - start) % 22 >= 14:
        return None
    return _Place(at, *_flip(data, at, rng), section.name, f"{label}+{at - start}")


CHOOSERS: dict[str, Chooser] = {
    "instruction": _instruction,
    "constant": _constant,
    "string": _string,
    "symbol": _symbol,
    "relocation": _relocation,
    "section-flag": _section_flag,
    "resource": _resource,
}
