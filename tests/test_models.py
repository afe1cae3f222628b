"""Code models of x86-64: kernels above 2^63, programs of any size, data far away. What moved follows, on operands of
four and eight bytes; one that leads elsewhere stands out."""

import random
import re
import shutil

import pytest
from elftools.elf.elffile import ELFFile
from executables import Program, pair
from test_executables import LONGER, causes, changed, hit, report, unexplained

needs_compiler = pytest.mark.skipif(not shutil.which("gcc") or not shutil.which("objcopy"), reason="needs gcc")
ALONE = ("-g", "-DCHECKED", "-ffreestanding", "-fcf-protection=none", "-fno-stack-protector")
FIXED = ("-nostdlib", "-static", "-no-pie")
PLAIN = ("-fno-pic", "-fno-pie")
MODELS = {
    "kernel": (("-mcmodel=kernel", "-mno-sse", *PLAIN), (*FIXED, "-Wl,-Ttext-segment=0xffffffff81000000")),
    "large": (("-mcmodel=large", *PLAIN), FIXED),
    "large-far": (("-mcmodel=large", *PLAIN), (*FIXED, "-Wl,-Ttext-segment=0x1234500000000")),
    "large-anywhere": (("-mcmodel=large", "-fPIE"), ("-nostdlib", "-pie")),
    "medium": (("-mcmodel=medium", "-mlarge-data-threshold=16", *PLAIN), FIXED),
    "small": (PLAIN, FIXED),
}
# Without symbols two tables of a kernel's pointers, which have no zeros between them, are not told apart at -O2.
FORMS = [(model, level, links) for model in MODELS for level in ("-O0", "-O2") for links in ((), ("-s",))]
FORMS = [form for form in FORMS if form != ("kernel", "-O2", ("-s",))]


class Freestanding(Program):
    """A program without a C library: it begins at _start."""

    def _main(self):
        text = super()._main().replace("#include <stdio.h>", SUPPORT)
        return re.sub(r"int main\(.*\)", "int _start(int count)", text)


SUPPORT = """\
int puts(const char *text) { volatile char *place = (char *)0xb8000; while (*text) *place = *text++; return 0; }
void __assert_fail(const char *what, const char *file, unsigned line, const char *function)
{ puts(what); puts(file); puts(function); for (;;); }"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Both sides of a model, a level of optimization and options of the linker; made once each."""
    made = {}
    base = tmp_path_factory.mktemp("models")

    def get(model, level, links):
        key = model, level, *links
        if key not in made:
            flags, options = MODELS[model]
            program = Freestanding(flags=(level, *ALONE, *flags), links=(*options, *links))
            made[key] = pair(program, base, "-".join(key), LONGER)
        return made[key]

    return get


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize(("model", "level", "links"), FORMS)
def test_path(built, model, level, links):
    found = report(*(path.read_bytes() for path in built(model, level, links)))
    if (model, level, links) == ("large-anywhere", "-O2", ()):
        # Distances from the global offset table in what the debugger is told of values.
        assert {path.split("/elf/")[1] for path in unexplained(found)} <= {".debug_info"}
        return
    assert unexplained(found) == []
    assert causes(found) == {"file-macro-path", *(() if links else ("dwarf-comp-dir",))}


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_mutations(built, model):
    left, right = built(model, "-O2" if model == "kernel" else "-O0", ())
    good = left.read_bytes()
    some = changed(right, 40, seed=5)
    missed = []
    for mutation in some:
        found = report(good, mutation.data)
        # The size of an object that strings stand behind is told where these are.
        shown = hit(found, mutation) or "st_size" in mutation.what
        if found["verdict"] != "unexplained" or not shown:
            missed.append(f"{found['verdict']} {sorted(causes(found))}: {mutation}")
    assert missed == []


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_operands_that_lead_elsewhere(built, model):
    """Each byte of code that moved, with another value; those of a kernel with the left side's value, too."""
    paths = built(model, "-O2" if model == "kernel" else "-O0", ())
    left, right = (path.read_bytes() for path in paths)
    places = []
    for path in paths:
        with path.open("rb") as file:
            code = ELFFile(file).get_section_by_name(".text")
            places.append((code["sh_offset"], code["sh_size"]))
    (one, size), (two, other) = places
    assert size == other
    moved = [at for at in range(size) if left[one + at] != right[two + at]]
    assert len(moved) > 50
    rng = random.Random(model)
    for at in rng.sample(moved, 40):
        place = two + at
        for new in {right[place] ^ 1 << rng.randrange(8), right[place] + 1 & 255} - {left[one + at]}:
            found = report(left, right[:place] + bytes([new]) + right[place + 1 :])
            spans = [item["spans"][1] for item in found["unexplained"]]
            assert any(span and span[0] <= place < span[1] for span in spans), (hex(place), spans)
        if model == "kernel":
            # Elsewhere a number that stayed may be a number.
            stale = right[: place - 8] + left[one + at - 8 : one + at + 8] + right[place + 8 :]
            assert report(left, stale)["verdict"] != "explained", hex(place)
