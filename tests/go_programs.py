"""Go programs that the installed `go` builds from one module, and single changes to any Go program.

`build` compiles the module in a directory of the caller's choice. `mutations` changes one place of a program at a time:
bytes of every kind of section, and words that are made to lead to something else that is there as well.
"""

import os
import random
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from elftools.elf.elffile import ELFFile
from executables import Mutation

from reprodiff.formats.program.go.pclntab import Table
from reprodiff.formats.program.machines import x86

FILES = {
    "go.mod": "module example.org/tool\n\ngo 1.18\n",
    "main.go": """package main

import (
	"fmt"
	"os"

	"example.org/tool/names"
	"example.org/tool/shape"
)

var version = "unknown"
var date = "never"

func check(n int) int {
	if n > 1000 {
		panic("too many of them")
	}
	return n*37 + 1234567
}

func main() {
	fmt.Println(version, date)
	for i, arg := range os.Args {
		fmt.Printf("%s: %d %s\\n", arg, shape.Area(i, check(i)), names.Kind(i))
	}
}
""",
    "shape/shape.go": """package shape

import "math"

func scale(v int) int {
	if v < -1000 {
		panic("scale of less than a thousand")
	}
	return v*37 + 1234567
}

//go:noinline
func Area(w, h int) int {
	sum := 0
	for i := 0; i < h; i++ {
		sum += scale(w) ^ i
	}
	return sum
}

type Circle struct{ Radius float64 }

func (c *Circle) Area() float64 { return math.Pi * c.Radius * c.Radius }

func (c *Circle) Name() string { return "a circle of some radius" }

type Named interface{ Name() string }

var All = []Named{&Circle{1}, &Circle{2.5}}
""",
    "names/names.go": """package names

import "example.org/tool/shape"

var kinds = map[int]string{1: "a line", 2: "a point", 3: "a plane of many lines"}

func Kind(n int) string {
	switch n & 15 {
	case 0:
		return shape.All[0].Name()
	case 5:
		return "a wheel of fortune"
	case 6:
		return "a spiral staircase"
	}
	return kinds[n]
}
""",
}


def build(
    root: Path,
    name: str,
    *flags: str,
    edits: tuple[tuple[str, str, str], ...] = (),
    environment: dict[str, str] | None = None,
) -> bytes:
    """Build the module in root/name and return the program. edits: (file, old, new) of sources."""
    place = root / name
    shutil.rmtree(place, ignore_errors=True)
    for file, text in FILES.items():
        for where, old, new in edits:
            if where == file:
                assert text.count(old) == 1
                text = text.replace(old, new)  # noqa: PLW2901
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).write_text(text, encoding="ascii")
    kept = {key: os.environ[key] for key in ("PATH",) if key in os.environ}
    given = {"HOME": str(root), "GOCACHE": str(root / "cache"), "GOPROXY": "off", "GOSUMDB": "off", "GOTOOLCHAIN": "local",
             "LC_ALL": "C", "TZ": "UTC", **(environment or {})}  # fmt: skip
    subprocess.run(
        ["go", "build", "-o", str(root / "program"), *flags, "."], cwd=place, env={**kept, **given}, check=True
    )
    return (root / "program").read_bytes()


class Parts:
    """Where everything lies in a program."""

    def __init__(self, data: bytes) -> None:
        elf: Any = ELFFile(BytesIO(data))
        self.data = data
        self.sections = {s.name: (s["sh_offset"], s["sh_size"], s["sh_addr"]) for s in elf.iter_sections()
                         if s["sh_type"] != "SHT_NOBITS" and s["sh_size"]}  # fmt: skip
        name = next(name for name in self.sections if name.endswith(".gopclntab"))
        self.lines, size, _address = self.sections[name]
        self.table = Table(data[self.lines : self.lines + size], "<")
        self.text, self.code, self.address = self.sections[".text"]
        self.headers = elf["e_shoff"], elf["e_shnum"] * elf["e_shentsize"]
        self.segments = elf["e_phoff"], elf["e_phnum"] * elf["e_phentsize"]


Made = tuple[int, bytes, str]


def _flip(parts: Parts, at: int, rng: random.Random, what: str) -> Made:
    return at, bytes([parts.data[at] ^ rng.randrange(1, 256)]), what


def _functions(parts: Parts, rng: random.Random) -> tuple[int, int]:
    index = rng.randrange(parts.table.count - 1)
    return int(parts.table.entries[index]), int(parts.table.entries[index + 1])


def _instruction(parts: Parts, rng: random.Random) -> Made | None:
    start, stop = _functions(parts, rng)
    at = parts.text + rng.randrange(start, stop)
    # What fills up between functions may be anything that does nothing.
    return _flip(parts, at, rng, "an instruction") if parts.data[at] != 0xCC else None


def _displacement(kind: int) -> Callable[[Parts, random.Random], Made | None]:
    def make(parts: Parts, rng: random.Random) -> Made | None:
        start, stop = _functions(parts, rng)
        code = parts.data[parts.text + start : parts.text + stop]
        fields = x86.fields(code, [0], wide=True)
        chosen = np.flatnonzero(fields.kind == kind)
        if not len(chosen):
            return None
        number = int(rng.choice(chosen.tolist()))
        at, end = int(fields.at[number]) + start, int(fields.end[number]) + start
        if kind == x86.BRANCH:
            other = int(parts.table.entries[rng.randrange(parts.table.count)])
            new = other - end
        else:
            old = struct.unpack_from("<i", parts.data, parts.text + at)[0]
            new = old + rng.choice((-16, -8, -1, 1, 8, 16, 24))
        return parts.text + at, struct.pack("<i", new), ("a call", "an address")[kind - 1]

    return make


def _field(name: str) -> Callable[[Parts, random.Random], Made | None]:
    """One field of a function's record becomes that of another one."""

    def make(parts: Parts, rng: random.Random) -> Made | None:
        table = parts.table
        one, two = rng.randrange(table.count), rng.randrange(table.count)
        if name == "entry":
            at, value = int(table.at_entries[one]), int(table.entries[two])
        elif name == "funcdata":
            at, value = int(rng.choice(table.of_funcdata[0])), int(table.read(table.of_funcdata[0])[two])
        elif name == "pcdata":
            at, value = int(rng.choice(table.of_pcdata[0])), int(table.read(table.of_pcdata[0])[two])
        else:
            at, value = int(table.records[one]) + table.places[name], int(table.field(name)[two])
        return parts.lines + at, struct.pack("<I", value), f"{name} of another function"

    return make


def _region(name: str) -> Callable[[Parts, random.Random], Made | None]:
    def make(parts: Parts, rng: random.Random) -> Made | None:
        start, stop = parts.table.regions[name]
        return _flip(parts, parts.lines + rng.randrange(start, stop), rng, f"a byte of the {name}")

    return make


def _head(parts: Parts, rng: random.Random) -> Made | None:
    at = parts.lines + rng.randrange(8, parts.table.head)
    return _flip(parts, at, rng, "the head of the table")


def _unit(parts: Parts, rng: random.Random) -> Made | None:
    start, stop = parts.table.regions["units"]
    one, two = (parts.lines + start + 4 * rng.randrange((stop - start) // 4 - 1) for _ in range(2))
    return one, parts.data[two : two + 4], "a file that is another one"


def _section(*names: str) -> Callable[[Parts, random.Random], Made | None]:
    def make(parts: Parts, rng: random.Random) -> Made | None:
        there = [name for name in names if name in parts.sections]
        if not there:
            return None
        start, size, _address = parts.sections[rng.choice(there)]
        return _flip(parts, start + rng.randrange(size), rng, f"a byte of {there[0]}")

    return make


def _pointer(parts: Parts, rng: random.Random) -> Made | None:
    """A pointer of data becomes another one that is there as well."""
    name = rng.choice([name for name in (".rodata", ".data.rel.ro", ".data", ".noptrdata") if name in parts.sections])
    start, size, address = parts.sections[name]
    first = -address % 8
    words = np.frombuffer(parts.data[start + first : start + first + (size - first) // 8 * 8], "<u8")
    inside = np.zeros(len(words), bool)
    for _start, length, base in parts.sections.values():
        inside |= (words >= base) & (words < base + length) if base else False
    chosen = np.flatnonzero(inside)
    if len(chosen) < 2:
        return None
    one, two = (int(rng.choice(chosen.tolist())) for _ in range(2))
    return start + first + 8 * one, struct.pack("<Q", int(words[two])), f"a pointer in {name}"


def _addend(parts: Parts, rng: random.Random) -> Made | None:
    if ".rela" not in parts.sections:
        return None
    start, size, _address = parts.sections[".rela"]
    one, two = (start + 24 * rng.randrange(size // 24) + 16 for _ in range(2))
    return one, parts.data[two : two + 8], "an addend"


def _range(which: str) -> Callable[[Parts, random.Random], Made | None]:
    def make(parts: Parts, rng: random.Random) -> Made | None:
        start, size = parts.headers if which == "sections" else parts.segments
        return _flip(parts, start + rng.randrange(size), rng, f"the headers of {which}")

    return make


KINDS: dict[str, Callable[[Parts, random.Random], Made | None]] = {
    "instruction": _instruction,
    "call": _displacement(x86.BRANCH),
    "address": _displacement(x86.RIP),
    **{
        name: _field(name)
        for name in ("entry", "nameOff", "pcsp", "pcfile", "pcln", "cuOffset", "args", "funcdata", "pcdata")
    },
    **{name: _region(name) for name in ("names", "units", "files", "tables", "functions")},
    "head": _head,
    "unit": _unit,
    "constants": _section(".rodata"),
    "types": _section(".data.rel.ro", ".rodata"),
    "variables": _section(".data", ".noptrdata"),
    "links": _section(".typelink", ".itablink", ".data.rel.ro.typelink"),
    "record": _section(".go.buildinfo"),
    "pointer": _pointer,
    "addend": _addend,
    "symbols": _section(".symtab", ".strtab"),
    "debug": _section(".debug_info", ".debug_line", ".debug_frame", ".debug_loc", ".debug_ranges", ".debug_abbrev"),
    "segments": _range("segments"),
    "sections": _range("sections"),
}


def mutations(data: bytes, count: int, seed: int = 0, kinds: tuple[str, ...] = tuple(KINDS)) -> Iterator[Mutation]:
    """Yield `count` changes of each kind that a program has places for."""
    parts = Parts(data)
    for kind in kinds:
        rng = random.Random(f"{kind} {seed}")
        found = 0
        for _ in range(count * 20):
            made = KINDS[kind](parts, rng)
            if made is None or data[made[0] : made[0] + len(made[1])] == made[1]:
                continue
            at, new, what = made
            yield Mutation(kind, data[:at] + new + data[at + len(new) :], at, at + len(new), kind, what)
            found += 1
            if found == count:
                break
