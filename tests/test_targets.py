"""Machines for which a compiler alone is enough, without a C library: 32-bit Power by clang and LLD, MIPS by GCC.

What moved follows; an instruction that is another one among it stands out.
"""

import random
import re
import shutil
import subprocess

import pytest
from elftools.elf.elffile import ELFFile
from executables import Program
from test_executables import LONGER, causes, changed, hit, report, unexplained

CLANG = ("clang", "-fuse-ld=lld")
FIXED, ANYWHERE = ("-static", "-fno-pic"), ("-fPIE", "-pie")
MIPS = ("-fcommon", "-Wl,-e,_start")
TARGETS = {
    "power": ("big", *CLANG, "--target=powerpc-linux-gnu", *FIXED, "-Wl,-no-pie"),
    "power-anywhere": ("big", *CLANG, "--target=powerpc-linux-gnu", *ANYWHERE),
    "mipsel": ("little", "mipsel-linux-gnu-gcc", *MIPS, *FIXED, "-no-pie", "-mno-abicalls"),
    "mipsel-anywhere": ("little", "mipsel-linux-gnu-gcc", *MIPS, *ANYWHERE),
    "mips": ("big", "mipsel-linux-gnu-gcc", "-EB", *MIPS, *FIXED, "-no-pie", "-mno-abicalls"),
    "mips-anywhere": ("big", "mipsel-linux-gnu-gcc", "-EB", *MIPS, *ANYWHERE),
}
SUPPORT = """\
int puts(const char *text) { volatile char *place = (char *)0x1000; while (*text) *place = *text++; return 0; }
void failed(const char *what, const char *file, unsigned line) { puts(what); puts(file); for (;;); }
"""
ASSERT = """\
extern void failed(const char *, const char *, unsigned);
#define assert(c) ((c) ? (void)0 : failed(#c, __FILE__, __LINE__))"""


class Freestanding(Program):
    """A program without a C library: it begins at _start."""

    def _main(self):
        text = super()._main().replace("#include <stdio.h>", SUPPORT)
        return re.sub(r"int main\(.*\)", "int _start(int count)", text)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Both sides of a target, made once each."""
    made = {}

    def get(name):
        if name not in made:
            _order, *command = TARGETS[name]
            if not all(shutil.which(tool) for tool in (command[0], *(["ld.lld"] if command[0] == "clang" else []))):
                pytest.skip(f"not installed: {command[0]}")
            files = []
            for directory in ("/build/one", LONGER):
                folder = tmp_path_factory.mktemp(name)
                for source, text in Freestanding().sources().items():
                    (folder / source).write_text(text.replace("#include <assert.h>", ASSERT))
                flags = [
                    "-O2",
                    "-g",
                    "-DCHECKED",
                    "-ffreestanding",
                    "-fno-builtin",
                    f"-ffile-prefix-map={folder}={directory}",
                    "-nostdlib",
                ]
                sources = [str(path) for path in sorted(folder.glob("*.c"))]
                done = subprocess.run(
                    [*command, *flags, *sources, "-o", "program"], cwd=folder, capture_output=True, check=False
                )
                if done.returncode:
                    pytest.skip(f"{command[0]} cannot")
                files.append(folder / "program")
            made[name] = files
        return made[name]

    return get


def code(path):
    with path.open("rb") as file:
        section = ELFFile(file).get_section_by_name(".text")
        return section["sh_offset"], section["sh_size"]


@pytest.mark.parametrize("name", TARGETS)
def test_path(built, name):
    found = report(*(path.read_bytes() for path in built(name)))
    assert unexplained(found) == []
    assert causes(found) == {"dwarf-comp-dir", "file-macro-path"}


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_mutations(built, name):
    left, right = built(name)
    good = left.read_bytes()
    missed = []
    for mutation in changed(right, 60, seed=7):
        found = report(good, mutation.data)
        shown = hit(found, mutation) or "st_size" in mutation.what
        if found["verdict"] != "unexplained" or not shown:
            missed.append(f"{found['verdict']} {sorted(causes(found))}: {mutation}")
    assert missed == []


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_instructions(built, name):
    """A register, an operation, a number, in instructions that moved and in all others."""
    paths = built(name)
    left, right = (path.read_bytes() for path in paths)
    (one, size), (two, other) = map(code, paths)
    assert size == other
    moved = sorted({at // 4 * 4 for at in range(size) if left[one + at] != right[two + at]})
    assert len(moved) > 50 or name.endswith("anywhere")
    rng = random.Random(name)
    for at in [*rng.sample(moved, min(len(moved), 40)), *(rng.randrange(size // 4) * 4 for _ in range(40))]:
        place = two + at
        word = int.from_bytes(right[place : place + 4], TARGETS[name][0])
        new = rng.choice([word ^ 1 << rng.randrange(32), (word + 1) % (1 << 32), (word - 1) % (1 << 32)])
        data = new.to_bytes(4, TARGETS[name][0])
        if data == left[one + at : one + at + 4]:
            continue
        found = report(left, right[:place] + data + right[place + 4 :])
        spans = [item["spans"][1] for item in found["unexplained"]]
        shown = any(span and span[0] < place + 4 and place < span[1] for span in spans)
        # Where a table of jumps begins is told by the code that refers to it.
        table = any(item["path"].endswith(".rodata") for item in found["unexplained"])
        assert shown or table, (hex(place), hex(word), hex(new))


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_instructions_that_point_where_they_did(built, name):
    """Words that moved with the left side's bytes."""
    paths = built(name)
    left, right = (path.read_bytes() for path in paths)
    (one, size), (two, _other) = map(code, paths)
    moved = sorted({at // 4 * 4 for at in range(size) if left[one + at] != right[two + at]})
    some = random.Random(name).sample(moved, min(len(moved), 40))
    hidden = 0
    for at in some:
        stale = right[: two + at] + left[one + at : one + at + 4] + right[two + at + 4 :]
        hidden += report(left, stale)["verdict"] == "explained"
    # A number that stayed may be a number, where nothing is known to begin at that address: tables of jumps have no symbol.
    assert hidden <= len(some) // 8
