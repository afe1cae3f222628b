"""Programs of many small units that are linked in one order and in another, and changes that only hide in such pairs.

`parts` writes units that have what makes link order hard to follow: switches, unnamed constants, static objects and
functions of one name and of equal code, tables of pointers, virtual classes, inline functions that every unit brings.
`linked` compiles them once and links them in the orders asked for.
"""

import os
import random
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from capstone import CS_ARCH_X86, CS_MODE_64, Cs
from elftools.elf.elffile import ELFFile
from executables import Mutation

LINES = ("wheel", "spiral", "corner", "a plane of many lines", "edge of the frame", "layer %d of %d\n", "canvas: %s\n")
CALLS = (
    "puts(word)",
    "printf(word, v, v)",
    "(int)strlen(word)",
    "abs(v)",
    "atoi(word)",
    "(int)strtol(word, 0, 10)",
    "putchar(v & 63)",
    "rand()",
    "(int)labs(v)",
    "strcmp(word, kept)",
)


@dataclass(frozen=True)
class Parts:
    """What to generate: `units` translation units and a main; language "c" or "c++"."""

    units: int = 8
    language: str = "c"
    seed: int = 1
    starts: bool = False

    def sources(self) -> dict[str, str]:
        """File name to content; all of it follows from the fields."""
        suffix = {"c": "c", "c++": "cc"}[self.language]
        files = {f"part{at:02}.{suffix}": self._unit(at) for at in range(self.units)}
        files[f"main.{suffix}"] = self._main()
        return files

    def _unit(self, at: int) -> str:
        rng = random.Random(f"{self.seed} {at}")
        lines = ["#include <stdio.h>", "#include <stdlib.h>", "#include <string.h>", ""]
        if self.language == "c++":
            lines += _SHARED
        lines += [f"int enter_{unit:02}(int);" for unit in range(self.units)]
        lines += [f"extern int level_{unit:02};" for unit in range(self.units)]
        lines += [f"int level_{at:02} = {rng.randrange(1, 5)};"]
        lines += [
            f'static const char *kept = "{_phrase(rng)}";',
            f"static int count{rng.choice(['', ' = 3'])};",
            f"static char buffer[{rng.choice([3, 8, 16, 40])}];",
            "static int twice(int v) { return v * 2 + count; }",
        ]
        names: list[str] = []
        for number in range(rng.randrange(2, 7)):
            names.append(f"step_{at:02}_{number}")
            lines += self._function(names[-1], rng.choice(["", "", "static "]), rng, at)
        if rng.random() < 0.7:
            rows = ", ".join(rng.choices(names, k=rng.randrange(2, 7)))
            const = rng.choice(["const ", ""])
            lines += [f"static int (*{const}steps[])(int) = {{{rows}}};"]
            names.append("chosen")
            lines += ["static int chosen(int v) { return steps[(unsigned)v % (sizeof steps / sizeof *steps)](v); }"]
        if rng.random() < 0.5:
            rows = ", ".join(
                f'{{"{_phrase(rng)}", {rng.randrange(9)}, {rng.choice(names)}}}' for _ in range(rng.randrange(2, 5))
            )
            const = rng.choice(["const ", ""])
            lines += [
                f"static {const}struct row {{ const char *name; int key; int (*run)(int); }} rows[] = {{{rows}}};",
                "static int find(int v) { for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)",
                "    if (rows[i].key == v) { puts(rows[i].name); return rows[i].run(v); } return 0; }",
            ]
            names.append("find")
        if self.language == "c++":
            lines += _classes(at, rng)
            names.append("virtual_call")
        if self.starts and rng.random() < 0.4:
            lines += [f"__attribute__((constructor)) static void start(void) {{ count += {rng.randrange(99)}; }}"]
        lines += [f"int enter_{at:02}(int v)", "{", "    int sum = twice(v);"]
        lines += [f"    sum += {name}(sum + {rng.randrange(9)});" for name in names]
        lines += [f"    return sum + level_{at:02} + kept[0];", "}"]
        return "\n".join(lines) + "\n"

    def _function(self, name: str, scope: str, rng: random.Random, at: int) -> list[str]:
        lines = [
            f"{rng.choice(['', '', '__attribute__((noinline)) ', '__attribute__((cold)) '])}{scope}int {name}(int v)"
        ]
        lines += ["{", f'    const char *word = "{_phrase(rng)}"; int sum = v;']
        for _ in range(rng.randrange(1, 5)):
            unit = rng.randrange(self.units)
            match rng.randrange(14):
                case 0:
                    lines += _switch(rng)
                case 1:
                    lines += _words(rng)
                case 2:
                    lines += [
                        f"    sum += (int)(v * {rng.uniform(0, 9):.3f} + {rng.choice([0.5, 2.5, rng.random()])});"
                    ]
                case 3:
                    lines += [f"    sum += (int)(v * {rng.choice([0.25, 1.5, rng.random()])}f);"]
                case 4:
                    values = ", ".join(str(rng.randrange(250)) for _ in range(rng.randrange(3, 12)))
                    kind = rng.choice(["int", "short", "unsigned char", "long", "double"])
                    lines += [
                        f"    {{ static const {kind} values[] = {{{values}}};",
                        f"      sum += (int)values[v & {rng.choice([1, 2])}]; }}",
                    ]
                case 5:
                    kind = rng.choice(["int", "short", "double"])
                    values = ", ".join(str(rng.randrange(1000)) for _ in range(9))
                    lines += [
                        f"    {{ static const {kind} all[] = {{{values}}};",
                        "      for (int i = 0; i < 9; i++) sum = sum * 3 + (int)all[i] * v; }",
                    ]
                case 6:
                    lines += [f"    {{ static int seen{rng.choice(['', ' = 7'])}; sum += seen++; }}"]
                case 7:
                    lines += [f"    level_{unit:02} += sum;"]
                case 8:
                    lines += [f"    if (v > {rng.randrange(999)}) sum += enter_{unit:02}(v - 1);"]
                case 9:
                    lines += [f"    sum += {rng.choice(CALLS)};"]
                case 10:
                    lines += [f"    buffer[v & {rng.choice([1, 2])}] = (char)v; sum += buffer[0];"]
                case 11:
                    lines += [f'    if (sum == {rng.randrange(99)}) printf("{_phrase(rng)}", sum);']
                case 12:
                    values = ", ".join(f'"{_phrase(rng)}"' for _ in range(rng.randrange(2, 6)))
                    const = rng.choice(["const ", ""])
                    lines += [f"    {{ static const char *{const}texts[] = {{{values}}}; puts(texts[v & 1]); }}"]
                case _:
                    lines += ["    sum += twice(v);", "    count++;"]
        return [*lines, "    return sum + word[v & 1];", "}"]

    def _main(self) -> str:
        lines = ["#include <stdio.h>"]
        lines += [f"int enter_{at:02}(int);" for at in range(self.units)]
        lines += ["int main(int count, char **arguments)", "{", "    int sum = 0; (void)arguments;"]
        lines += [f"    sum += enter_{at:02}(count);" for at in range(self.units)]
        return "\n".join([*lines, '    printf("%d\\n", sum);', "    return sum & 1;", "}"]) + "\n"


def _phrase(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return rng.choice(LINES).replace("\n", "\\n")
    return f"{rng.choice(('field', 'mark', 'a', 'of', 'in the'))} {rng.randrange(100)} {'-' * rng.randrange(30)}"


def _switch(rng: random.Random) -> list[str]:
    cases = " ".join(
        f"case {at}: sum {rng.choice(['+=', '-=', '^=', '|='])} v * {rng.randrange(3, 999)}; break;"
        for at in range(rng.randrange(5, 12))
    )
    return [f"    switch (v + {rng.randrange(3)}) {{ {cases} default: sum++; }}"]


def _words(rng: random.Random) -> list[str]:
    rows = " ".join(f'case {at}: word = "{_phrase(rng)}"; break;' for at in range(rng.randrange(4, 9)))
    return [f"    switch (v) {{ {rows} default: break; }}"]


# What every unit of C++ brings along: the linker keeps the first one's.
_SHARED = """
struct Shape { virtual ~Shape() {} virtual int area(int v) const { return v; } virtual const char *name() const = 0; };
template <int N> struct Box : Shape {
    int kept = N;
    int area(int v) const override { static int calls; calls++; return v * kept + N; }
    const char *name() const override { return N & 1 ? "an odd box" : "an even box"; }
};
inline int shared(int v) { static int total = 5; total += v; switch (v) { case 1: return 17; case 2: return 91;
    case 3: return 3; case 4: return 55; case 5: return 8; case 6: return 1234; } return total; }
inline double half(double v) { return v * 0.5 + 0.125; }
struct Wrong { int code; };
template <class T> T most(T a, T b) { if (a < b) throw Wrong{int(b)}; return a; }
""".splitlines()


def _classes(at: int, rng: random.Random) -> list[str]:
    base = rng.choice(["Shape", "Box<1>", "Box<2>", "Box<3>"])
    return [
        "namespace {",
        f"struct Local : {base} {{",
        f"    int area(int v) const override {{ return v * {rng.randrange(99)} + shared(v); }}",
        f'    const char *name() const override {{ return "{_phrase(rng)}"; }}',
        "};",
        "}",
        f"struct Named_{at:02} : {base} {{ int area(int v) const override; const char *name() const override; }};",
        f"int Named_{at:02}::area(int v) const {{ return {(base.split('<')[0] == 'Box' and f'{base}::area(v) +') or ''} {rng.randrange(99)}; }}",
        f'const char *Named_{at:02}::name() const {{ return "{_phrase(rng)}"; }}',
        "static int virtual_call(int v)",
        "{",
        f"    Shape *all[] = {{new Local, new Named_{at:02}, new Box<{rng.randrange(4)}>}};",
        "    int sum = 0;",
        "    for (Shape *each : all) { sum += each->area(v); puts(each->name());",
        f"        if (dynamic_cast<Box<{rng.randrange(4)}> *>(each)) sum++; delete each; }}",
        f"    try {{ sum += most<{rng.choice(['int', 'long', 'short'])}>(sum, v); }} catch (Wrong &wrong) {{ sum = wrong.code; }}",
        "    return sum + (int)half(v);",
        "}",
    ]


@dataclass(frozen=True)
class Link:
    """How to compile and link: compiler, its flags, the linker's, and what becomes of symbols (strip's option)."""

    compiler: str = "gcc"
    flags: tuple[str, ...] = ("-O2",)
    links: tuple[str, ...] = ()
    strip: str = ""


def driver_of(parts: "Parts", how: "Link") -> str:
    """The compiler that links a program of a language."""
    return {"gcc": "g++", "clang": "clang++"}[how.compiler] if parts.language == "c++" else how.compiler


def linked(parts: Parts, how: Link, folder: Path, orders: list[list[int]], archive: bool = False) -> list[Path]:
    """Compile the units once and link them in the given orders; indexes into the list of all sources.

    archive: through an archive whose members stand in that order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    driver = driver_of(parts, how)
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "SOURCE_DATE_EPOCH": "1700000000"}

    def run(*command: str, where: Path = folder) -> None:
        subprocess.run(command, check=True, cwd=where, env=environment, capture_output=True)

    def compiled(item: tuple[str, str]) -> str:
        source, text = item
        (folder / source).write_text(text, encoding="utf-8")
        run(driver, *how.flags, "-w", "-c", source, "-o", f"{Path(source).stem}.o")
        return f"{Path(source).stem}.o"

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, parts.sources().items()))
    made = []
    for number, order in enumerate(orders):
        target = folder / f"order{number}" / "program"
        target.parent.mkdir(exist_ok=True)
        chosen = [f"../{objects[index]}" for index in order]
        if archive:
            run("ar", "rcD", "all.a", *chosen, where=target.parent)
            chosen = ["-Wl,--whole-archive", "all.a", "-Wl,--no-whole-archive"]
        # Under one name each time, which some linkers record.
        run(driver, *how.flags, "-Wl,--build-id=sha1", *chosen, *how.links, "-o", "program", where=target.parent)
        if how.strip:
            run("strip", how.strip, str(target))
        made.append(target)
    return made


# Changes that a map of what moved might justify


def swaps(path: Path, count: int, seed: int = 0) -> Iterator[Mutation]:
    """Exchanges of two things that look alike: call targets, references of code, pointers in data, entries of jump
    tables, relocations' addends, bytes of two equally long texts."""
    data = path.read_bytes()
    elf = ELFFile(BytesIO(data))
    rng = random.Random(f"swaps {seed}")
    found: list[tuple[str, str, list[int], int]] = []
    sections = [s for s in elf.iter_sections() if s["sh_flags"] & 2 and s["sh_type"] != "SHT_NOBITS" and s["sh_size"]]
    code = next(s for s in sections if s.name == ".text")
    decoder = Cs(CS_ARCH_X86, CS_MODE_64)
    decoder.detail = True
    calls, loads = [], []
    for each in decoder.disasm(code.data(), code["sh_addr"]):
        at = each.address - code["sh_addr"] + code["sh_offset"]
        if each.bytes[:1] == b"\xe8" and each.size == 5:
            calls.append(at + 1)
        elif each.disp_offset and each.disp_size == 4 and each.modrm & 0xC7 == 5:
            loads.append(at + each.disp_offset)
    found += [("call", ".text", calls, 4), ("load", ".text", loads, 4)]
    for section in sections:
        start, size = section["sh_offset"], section["sh_size"]
        if section["sh_type"] == "SHT_RELA" and section.name != ".rela.plt":
            # The order of initialisers is a cause of its own.
            arrays = [s for s in sections if s["sh_type"] in {"SHT_INIT_ARRAY", "SHT_FINI_ARRAY"}]
            words = [
                at + 16 for at in range(start, start + size, 24)
                if not any(s["sh_addr"] <= int.from_bytes(data[at : at + 8], "little") < s["sh_addr"] + s["sh_size"] for s in arrays)
            ]  # fmt: skip
            found.append(("addend", section.name, words, 8))
        elif section.name.startswith((".data", ".rodata", ".got")) and elf["e_type"] == "ET_EXEC":
            words = [
                at
                for at in range(start + -start % 8, start + size - 7, 8)
                if 0x400000 <= int.from_bytes(data[at : at + 8], "little") < 0x500000
            ]
            found.append(("pointer", section.name, words, 8))
        if section.name.startswith(".rodata"):
            low, high = code["sh_addr"], code["sh_addr"] + code["sh_size"]
            # Entries whose distance leads into code from somewhere close before them.
            words = [
                at for at in range(start + -start % 4, start + size - 3, 4)
                if low <= int.from_bytes(data[at : at + 4], "little", signed=True) + section["sh_addr"] + at - start < high
            ]  # fmt: skip
            found.append(("entry", section.name, words, 4))
    found = [row for row in found if len(row[2]) > 1]
    seen = set()
    for _ in range(count * 20):
        if len(seen) == count or not found:
            return
        kind, name, places, width = rng.choice(found)
        at = rng.randrange(len(places))
        # Neighbours are as alike as two things get.
        other = rng.choice([at - 1, at + 1, rng.randrange(len(places))])
        if not 0 <= other < len(places) or other == at:
            continue
        one, two = sorted((places[at], places[other]))
        a, b = data[one : one + width], data[two : two + width]
        if kind in {"call", "load"}:
            shift = two - one
            a, b = (
                ((int.from_bytes(each, "little", signed=True) + by) & 0xFFFFFFFF).to_bytes(4, "little")
                for each, by in ((a, -shift), (b, shift))
            )
            new = data[:one] + b + data[one + width : two] + a + data[two + width :]
        else:
            new = data[:one] + b + data[one + width : two] + a + data[two + width :]
        if new == data or (one, two) in seen:
            continue
        seen.add((one, two))
        yield Mutation(f"swap {kind}", new, one, two + width, name, f"{one:#x} and {two:#x}")
