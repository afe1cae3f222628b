"""__FILE__ that C++ copies: its length in instructions, and its beginning as constants that registers are loaded with."""

import shutil
import subprocess

import pytest
from elftools.elf.elffile import ELFFile
from test_executables import LONGER, causes, report, unexplained

needs_compiler = pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
SOURCE = """\
#include <string>
#include <vector>
std::vector<std::string> all;
void note(const std::string &file, int line) { all.push_back(file); all[line % all.size()] += "x"; }
int scale(int v) { if (v < 3) note(__FILE__, __LINE__); return v * 37 + 1234567; }
int area(int w, int h) {
    int sum = 0;
    for (int i = 0; i < h; i++) sum += scale(w) ^ i;
    if (sum == 17) { std::string where = __FILE__; where += "where the sum was"; note(where, sum); }
    return sum;
}
"""
MAIN = "int area(int, int); int main(int c, char **) { return area(c, 3) & 1; }\n"
# A text that is copied by registers, beside one that is not.
COPIED = """\
#include <string>
int area(int, int);
void note(const std::string &file, int line);
int main(int c, char **) { std::string here(__FILE__); note(here, c); return area(c, 3) & 1; }
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The program built in a directory: its bytes, once for each."""
    made = {}

    def get(directory, main=MAIN):
        if (directory, main) not in made:
            folder = tmp_path_factory.mktemp("inlined")
            for name, text in (("shape.cc", SOURCE), ("shape.2.cc", main)):
                (folder / name).write_text(text)
            flags = ["-O2", "-std=c++17", f"-ffile-prefix-map={folder}={directory}"]
            sources = [str(folder / name) for name in ("shape.cc", "shape.2.cc")]
            subprocess.run(["g++", *flags, *sources, "-o", "program"], check=True, cwd=folder)
            made[directory, main] = (folder / "program").read_bytes()
        return made[directory, main]

    return get


def code(data):
    from io import BytesIO

    section = ELFFile(BytesIO(data)).get_section_by_name(".text")
    return section["sh_offset"], section["sh_offset"] + section["sh_size"]


@needs_compiler
@pytest.mark.parametrize("place", ["/build/two", LONGER])
def test_path(built, place):
    found = report(built("/build/one"), built(place))
    assert unexplained(found) == []
    assert causes(found) == {"file-macro-path"}
    assert found["verdict"] == "explained"


@needs_compiler
def test_another_length(built):
    """The number that says how long the text is, and its neighbours."""
    left, right = built("/build/one"), built(LONGER)
    number = bytes([256 - len(f"{LONGER}/shape.cc")])
    start, stop = code(right)
    # lea rsi, [rdx - length]
    places = [
        at + 3
        for at in range(start, stop)
        if right[at : at + 3] == b"\x48\x8d\x72" and right[at + 3 : at + 4] == number
    ]
    if not places:
        pytest.skip("this compiler writes lengths otherwise")
    for at in places:
        for value in (number[0] - 1, number[0] + 1, number[0] ^ 0x40):
            changed = right[:at] + bytes([value]) + right[at + 1 :]
            found = report(left, changed)
            spans = [item["spans"][1] for item in found["unexplained"]]
            assert any(span[0] <= at < span[1] for span in spans), hex(at)


@needs_compiler
def test_a_piece(built):
    """The beginning of a path as a constant of 16 bytes; one that is no beginning of a whole path."""
    left, right = built("/build/one", COPIED), built("/build/two", COPIED)
    found = report(left, right)
    assert unexplained(found) == []
    at = right.find(b"/build/two/shape", right.find(b"/build/two/shape") + 1)
    while at >= 0 and right[at + 16 : at + 17] == b".":
        at = right.find(b"/build/two/shape", at + 1)
    if at < 0:
        pytest.skip("this compiler has no such constant")
    assert found["verdict"] == "explained"
    changed = right[: at + 3] + b"#" + right[at + 4 :]
    assert report(left, changed)["verdict"] == "unexplained"
