"""Programs built in two directories: what moved is told from what changed, and no change hides in what moved."""

import random
import shutil
import subprocess

import numpy as np
import pytest

from reprodiff.app import diff, diff_sources
from reprodiff.budget import Budget
from reprodiff.formats.elf.image import Image
from reprodiff.formats.program.machines import x86
from reprodiff.formats.program.machines.instructions import Marks
from reprodiff.sources import Bytes, open_file

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="not installed: gcc")

BUILD_PATH = {"dwarf-comp-dir", "file-macro-path"}
FLAGS = ["-O0", "-O2", "-O0 -g", "-O2 -g", "-O2 -g -gdwarf-4", "-O2 -g -gz", "-O0 -s", "-O2 -s", "-O2 -shared -fPIC -g",
         "-O2 -g -c", "-O2 -no-pie -g"]  # fmt: skip
DIRECTORIES = [("one", "two"), ("a", "much-longer")]


def source(functions=6, message="message", number=1000):
    """C with assertions, jump tables, strings, data that points, and calls."""
    parts = [
        '#include <stdio.h>\n#include <assert.h>\n#include <string.h>\nstatic int table[64], counter; const char *names[] = {"alpha", "beta", "gamma"};'
    ]
    for i in range(functions):
        own = message if i == 2 else "message"
        value = number if i == 4 else 1000
        parts.append(
            f"__attribute__((noinline)) int f{i}(int x, const char *s) {{ int r = {i * 7919 + 13}; assert(x != {i + 77777});\n"
            f"switch (x % 8) {{ case 0: r += {value + i}; break; case 1: r *= x; break;\n"
            f'case 2: printf("{own} {i} %d\\n", r); break; case 3: r ^= strlen(s); break;\n'
            "case 4: r -= 5; break; case 5: puts(names[x % 3]); break; case 6: table[x & 63]++; break; default: r = counter++; }\n"
            "return r; }\n"
        )
    calls = "".join(f"r += f{i}(c + {i}, v[0]);" for i in range(functions))
    return "".join(parts) + f"int main(int c, char **v) {{ int r = 0; {calls} return r & 1; }}\n"


def build(root, directory, flags, text=None, name="program"):
    where = root / directory / "src"
    where.mkdir(parents=True, exist_ok=True)
    (where / "program.c").write_text(text or source())
    out = root / f"{name}-{directory}"
    subprocess.run(
        ["gcc", *flags.split(), str(where / "program.c"), "-o", str(out)],
        check=True,
        cwd=where.parent,
        capture_output=True,
    )
    return out


def report(left, right):
    return diff(str(left), str(right), Budget()).report


def causes(found):
    return {cause["id"] for cause in found["causes"]}


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize("directories", DIRECTORIES, ids="-".join)
def test_two_directories_give_build_paths_and_nothing_unexplained(tmp_path, flags, directories):
    left, right = (build(tmp_path, directory, flags) for directory in directories)
    found = report(left, right)
    assert found["unexplained"] == []
    assert found["verdict"] == "explained"
    assert causes(found) <= BUILD_PATH and "file-macro-path" in causes(found)
    for account in found["streams"]:
        assert account["origin"] + account["consequence"] == account["differing"]


@pytest.mark.parametrize("flags", ["-O0", "-O2", "-O2 -g"])
@pytest.mark.parametrize("directories", DIRECTORIES, ids="-".join)
def test_one_changed_constant_is_named_by_its_function(tmp_path, flags, directories):
    left = build(tmp_path, directories[0], flags)
    right = build(tmp_path, directories[1], flags, source(number=1001))
    found = report(left, right)
    assert [place["path"].partition("!")[2] for place in found["unexplained"]] == ["/elf/.text/function[f4]"]
    assert causes(found) <= BUILD_PATH


@pytest.mark.parametrize("message", ["massage", "a longer message"])
@pytest.mark.parametrize("directories", DIRECTORIES, ids="-".join)
def test_one_changed_string_is_named(tmp_path, message, directories):
    left = build(tmp_path, directories[0], "-O2")
    right = build(tmp_path, directories[1], "-O2", source(message=message))
    found = report(left, right)
    (place,) = found["unexplained"]
    assert "/elf/.rodata/string[" in place["path"]
    assert (place["left"], place["right"]) == ("message 2 %d\\n", f"{message} 2 %d\\n")


def test_a_stripped_function_is_named_by_its_address(tmp_path):
    left = build(tmp_path, "one", "-O2 -s")
    right = build(tmp_path, "three", "-O2 -s", source(number=1001))
    (place,) = report(left, right)["unexplained"]
    assert "/elf/.text/function[0x" in place["path"]


@pytest.mark.parametrize("flags", ["-O2 -g", "-O0", "-O2 -s", "-O2 -g -c", "-O2 -shared -fPIC"])
@pytest.mark.parametrize("directories", DIRECTORIES, ids="-".join)
def test_no_mutation_is_explained_away(tmp_path, flags, directories):
    """Bytes of every part changed among all that moved; a part that names its tools is told as such."""
    left, right = (build(tmp_path, directory, flags).read_bytes() for directory in directories)
    chance = random.Random(7)
    image = Image(Bytes(right), Budget())
    parts = [
        (s.offset, s.stored)
        for s in image.sections
        if s.stored and s.name not in {b".note.gnu.build-id", b".comment", b".debug_str"}
    ]
    parts += [(image.shoff, 64 * len(image.sections)), (image.phoff, 56 * len(image.segments)), (0, 64)] * 3
    parts = [part for part in parts if part[1]]
    for _ in range(60):
        start, size = chance.choice(parts)
        changed = bytearray(right)
        changed[start + chance.randrange(size)] ^= chance.choice([1 << chance.randrange(8), chance.randrange(1, 256)])
        found = diff_sources(Bytes(left), Bytes(bytes(changed)), "left", "right", Budget(), digests=False).report
        assert found["verdict"] in {"unexplained", "suspected"}, (start, size)


@pytest.mark.parametrize("flags", ["-O2", "-O2 -s"])
def test_another_link_order_is_a_permutation(tmp_path, flags):
    objects = []
    for name in ("a", "b", "c", "d"):
        path = tmp_path / f"{name}.c"
        path.write_text(
            f"int {name}(int x) {{ return x * {ord(name)} + {len(objects)}; }}\nint {name}2(int x) {{ return x ^ {ord(name) * 99}; }}\n"
        )
        subprocess.run(["gcc", "-O2", "-c", str(path), "-o", str(path.with_suffix(".o"))], check=True, cwd=tmp_path)
        objects.append(f"{name}.o")
    (tmp_path / "main.c").write_text(
        "int a(int); int b(int); int c(int); int d(int); int a2(int); int b2(int); int c2(int); int d2(int);\n"
        "int main(int n, char **v) { return a(n) + b(n) + c(n) + d(n) + a2(n) + b2(n) + c2(n) + d2(n); }\n"
    )
    for out, order in (("left", objects), ("right", objects[::-1])):
        subprocess.run(["gcc", *flags.split(), "main.c", *order, "-o", out], check=True, cwd=tmp_path)
    found = report(tmp_path / "left", tmp_path / "right")
    assert found["unexplained"] == []
    assert causes(found) == {"link-order"}


def test_a_library_that_one_side_needs_is_a_change(tmp_path):
    left = build(tmp_path, "one", "-O2")
    right = build(tmp_path, "two", "-O2 -Wl,--no-as-needed -lm")
    found = report(left, right)
    assert any("DT_NEEDED" in place["path"] and "libm" in place["right"] for place in found["unexplained"])


def test_search_paths(tmp_path):
    left = build(tmp_path, "one", "-O2 -Wl,-rpath,/srv/work/one/lib")
    right = build(tmp_path, "two", "-O2 -Wl,-rpath,/srv/work/second/lib")
    found = report(left, right)
    assert causes(found) == {"file-macro-path", "rpath-build-path"}
    assert found["unexplained"] == []
    assert [notice["kind"] for notice in found["notices"]] == ["security", "security"]
    installed = build(tmp_path, "three", "-O2 -Wl,-rpath,/usr/lib/vendor")
    plain = build(tmp_path, "four4", "-O2")
    assert any("DT_RUNPATH" in place["path"] for place in report(installed, plain)["unexplained"])


def test_instructions_begin_where_a_disassembler_says(tmp_path):
    capstone = pytest.importorskip("capstone")
    path = build(tmp_path, "one", "-O2 -static -s")
    image = Image(open_file(str(path)), Budget())
    code = image.data(image.by_name[b".text"])
    engine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    engine.skipdata = True
    theirs = {address for address, *_ in engine.disasm_lite(code, 0)}
    none = np.zeros(0, np.int64)
    ours = set(x86.family(True).find(code, 0, [0], Marks(none, none, none)).starts.tolist())
    assert len(theirs - ours) <= len(theirs) // 1000
