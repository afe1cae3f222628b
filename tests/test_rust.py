"""Rust programs and libraries end to end: a changed line beside another directory stands out alone, and no changed word
is explained away. The pairs that differ in known ways are in fixtures/elf and fixtures/a."""

import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from test_executables import causes, changed, hit, report, unexplained

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("rustc", "gcc", "ld"))), reason="needs rustc and what it links with"
)
SOURCES = {
    "main.rs": """mod shape;
fn main() {
    let n = std::env::args().count() as u32;
    println!("{} {}", shape::area(n, 7), shape::describe(n));
}
""",
    "shape.rs": """use std::collections::HashMap;
static NAMES: [&str; 5] = ["a line", "a point", "a wheel", "a plane of many lines", "a spiral"];
#[inline(never)]
pub fn area(w: u32, h: u32) -> u32 {
    let mut m: HashMap<u32, u32> = HashMap::new();
    for i in 0..h { m.insert(i, w.checked_mul(i).expect("too wide")); }
    m.values().sum::<u32>() + m[&3] + 424242
}
#[inline(never)]
pub fn describe(v: u32) -> String {
    let table = [17u32, 170, 1700, 17000, 170000];
    let mut s = String::from(NAMES[(v % 5) as usize]);
    s.push_str(&format!(" of {}", table[v as usize % table.len()]));
    s
}
#[inline(never)]
pub fn unlike(v: i32, w: i32) -> bool { std::hint::black_box(v * 77) != w }
""",
}
# What the compiler calls the directory of a test: the length of its own name differs from run to run.
HOME = "/home/jane/sources"
PLACES = {"one": "one", "same": "two", "longer": "a-much-longer-name"}
FORMS = {
    "stripped": ("-O", "-Cstrip=symbols"),
    "optimized": ("-O",),
    "debug": ("-g",),
}
# Files of megabytes, compared some hundred times.
SOME = ["stripped", *(pytest.param(form, marks=pytest.mark.slow) for form in FORMS if form != "stripped")]


def built(base: Path, place: str, name: str, *options: str, change: tuple[str, str] | None = None) -> Path:
    """A program or library of the sources in a directory below base, which the compiler is given by absolute paths."""
    at = base / "build" / PLACES[place]
    at.mkdir(parents=True, exist_ok=True)
    for file, content in SOURCES.items():
        text = content.replace(*change) if change else content
        (at / file).write_text(text)
    out = base / f"{place}-{name}{'-changed' if change else ''}" / "tool"
    out.parent.mkdir(exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RUSTFLAGS", "CARGO_"))}
    root = "shape.rs" if "rlib" in options else "main.rs"
    kind = ("--crate-type", "rlib") if "rlib" in options else ()
    rest = [option for option in options if option != "rlib"]
    subprocess.run(
        ["rustc", "--edition", "2021", "--crate-name", "tool", "-Cmetadata=tool", f"--remap-path-prefix={base}={HOME}",
         *kind, *rest, at / root, "-o", out],
        cwd=at, env=environment, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return out


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    return tmp_path_factory.mktemp("rust")


@pytest.mark.parametrize("place", ["same", "longer"])
@pytest.mark.parametrize("form", SOME)
def test_mutations_beside_a_path(base, form, place):
    """One changed word where a path has moved everything: never explained, and nothing is unexplained without it."""
    left, right = (built(base, where, form, *FORMS[form]) for where in ("one", place))
    good, noisy = left.read_bytes(), right.read_bytes()
    found = report(good, noisy)
    assert unexplained(found) == []
    assert "rust-source-path" in causes(found)
    some = changed(right, 50, seed=len(form))
    assert len(some) >= 50
    missed = [
        f"{found['verdict']} {sorted(causes(found))}: {mutation}"
        for mutation in some
        # Where it is the only path, any other directory is as good.
        if mutation.data != good
        and HOME not in mutation.what
        and ((found := report(good, mutation.data))["verdict"] != "unexplained" or not hit(found, mutation))
        and not unexplained(found)
    ]
    assert missed == [], "\n".join(missed)


@pytest.mark.parametrize(("before", "after"), [
    (b"/rust/deps/", b"/rust/deqs/"), (b"/rust/deps/", b"/rustideps/"), (b"/rustc/", b"/rustcp"), (b"/rustc/", b"/rusty/")
])  # fmt: skip
def test_one_path_of_the_library_elsewhere(base, before, after):
    """Rust's own library is not built where the program is: one of its paths that differs is a change."""
    left, right = (built(base, where, "stripped", *FORMS["stripped"]).read_bytes() for where in ("one", "longer"))
    at = right.index(before)
    found = report(left, right[:at] + after + right[at + len(after) :])
    assert found["verdict"] == "unexplained"
    ((start, stop),) = (item["spans"][1] for item in found["unexplained"])
    assert at <= start < stop <= at + len(after)


CHANGES = {
    "constant": (("424242", "424243"), r"area|function\[(?:#|0x)"),
    "table": (("1700, 17000", "1700, 17001"), r"rodata|describe|function\[(?:#|0x)"),
    "text": (("a plane of many lines", "a plane of many liars"), r"rodata"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("place", ["same", "longer"])
@pytest.mark.parametrize("form", FORMS)
def test_one_line_changed(base, form, place, change):
    """The changed function, table or text is unexplained, and only it."""
    edit, where = CHANGES[change]
    left = built(base, "one", form, *FORMS[form])
    right = built(base, place, form, *FORMS[form], change=edit)
    found = report(left.read_bytes(), right.read_bytes())
    assert found["verdict"] == "unexplained"
    assert causes(found) <= {"rust-source-path", "dwarf-comp-dir"}
    assert [path for path in unexplained(found) if not re.search(where, path)] == []
    assert len(unexplained(found)) <= 3


@pytest.mark.parametrize("place", ["same", "longer"])
def test_bytes_of_a_library(base, place):
    """Every byte of metadata, bitcode and code counts, but for digests, names of sources and what follows from them."""
    left, right = (built(base, where, "lib", "rlib", "-O") for where in ("one", place))
    good, noisy = left.read_bytes(), right.read_bytes()
    found = report(good, noisy)
    assert (found["verdict"], unexplained(found), causes(found)) == ("explained", [], {"rust-source-path"})
    rng = random.Random(place)
    metadata = noisy.index(b"rust\0\0\0")
    end = noisy.index(b"rust-end-file")
    root = metadata + int.from_bytes(noisy[metadata + 8 : metadata + 16], "little")
    names = [match.span() for match in re.finditer(re.escape(HOME.encode()) + rb"[\w./-]*", noisy)]
    free = [
        at
        for at in range(metadata + 60, end)
        if not any(start - 2 <= at < stop + 1 for start, stop in names) and not root <= at < root + 64
    ]
    missed = []
    for at in rng.sample(free, 60):
        bad = noisy[:at] + bytes([noisy[at] ^ (1 << rng.randrange(8))]) + noisy[at + 1 :]
        found = report(good, bad)
        if found["verdict"] == "explained":
            missed.append(f"{at - metadata}: {sorted(causes(found))}")
    assert missed == [], "\n".join(missed)
