"""Go programs: a single change among all that a directory moves stands out, and what Go writes is read as it is written."""

import shutil
import struct
from itertools import pairwise

import go_programs
import numpy as np
import pytest

from reprodiff.app import diff_sources
from reprodiff.budget import Budget
from reprodiff.errors import FormatError
from reprodiff.formats.program.go import buildinfo
from reprodiff.formats.program.go.lines import Lines
from reprodiff.formats.program.go.pclntab import Table, buckets
from reprodiff.sources import Bytes

needs_go = pytest.mark.skipif(not shutil.which("go"), reason="not installed: go")
STRIPPED = ("-ldflags=-s -w",)
# Kinds of changes after which a file cannot be read as before: what is unexplained is elsewhere, or all of it.
BREAKING = {"sections", "segments", "head"}


def report(left, right):
    found = diff_sources(Bytes(left), Bytes(right), "program", "program", Budget(), digests=False).report
    for account in found["streams"]:
        parts = [account[key] for key in ("origin", "consequence", "suspected", "unexplained")]
        assert sum(parts) == account["differing"], account["path"]
    return found


def missed(left, right, count):
    """The changes of `right` that are explained away or shown elsewhere, and how many were made."""
    before = {(item["path"], item["bytes"]) for item in report(left, right)["unexplained"]}
    found = []
    made = 0
    for mutation in go_programs.mutations(right, count):
        if mutation.data == left:
            continue
        made += 1
        now = report(left, mutation.data)
        fresh = [item for item in now["unexplained"] if (item["path"], item["bytes"]) not in before]
        hit = any(span and span[0] < mutation.stop and mutation.start < span[1]
                  for item in fresh for span in [item["spans"][1]])  # fmt: skip
        if now["verdict"] != "unexplained" or not fresh or not (hit or mutation.kind in BREAKING):
            found.append(f"{now['verdict']} {sorted(cause['id'] for cause in now['causes'])}: {mutation}")
    return found, made


# A record that is made to use the middle of a table is told at that table.
def real(found):
    return [line for line in found if not line.startswith("unexplained") or ": functions in" not in line]


@needs_go
def test_mutations_of_a_stripped_program(tmp_path):
    left = go_programs.build(tmp_path, "one", *STRIPPED)
    right = go_programs.build(tmp_path, "a-much-longer-name", *STRIPPED)
    found, made = missed(left, right, 2)
    assert made >= 50
    assert real(found) == []


@needs_go
@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "other"),
    [
        ((), "a-much-longer-name"),
        (STRIPPED, "one"),
        (("-buildmode=pie",), "two"),
        (("-ldflags=-compressdwarf=false",), "a-much-longer-name"),
    ],
)
def test_mutations(tmp_path, flags, other):
    left = go_programs.build(tmp_path, "one", *flags)
    right = go_programs.build(tmp_path, other, *flags)
    found, made = missed(left, right, 3)
    assert made >= 75
    assert real(found) == []


@needs_go
@pytest.mark.slow
@pytest.mark.parametrize("edit", [("value*37", "value*value*37"), ("wheel of fortune", "wheel of good fortune")])
def test_mutations_among_code_that_moved(tmp_path, edit):
    """The same where a function has grown and all behind it has moved."""
    file = "names/names.go" if "wheel" in edit[0] else "shape/shape.go"
    old, new = (text.replace("value", "v") for text in edit)
    left = go_programs.build(tmp_path, "one", *STRIPPED)
    right = go_programs.build(tmp_path, "a-much-longer-name", *STRIPPED, edits=((file, old, new),))
    assert report(left, right)["verdict"] == "unexplained"
    found, made = missed(left, right, 3)
    assert made >= 75
    assert real(found) == []


DATES = b"2024-11-13T23:51:54Z", b"2024-11-14T08:02:17Z"


@pytest.fixture(scope="module")
def dated(tmp_path_factory):
    root = tmp_path_factory.mktemp("dated")
    return [go_programs.build(root, "one", "-ldflags=-X main.date=" + date.decode()) for date in DATES]


@needs_go
def test_a_date_that_the_linker_was_told(dated):
    found = report(*dated)
    assert found["verdict"] == "explained"
    assert {cause["id"] for cause in found["causes"]} - {"go-buildid"} == {"embedded-build-date-string"}


@needs_go
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (DATES[1], b"2024-11-31T08:02:17Z"),  # no day of the calendar
        (DATES[1], b"2024-11-14T08:02:17X"),  # no date
        (b"main.date", b"main.data"),  # another variable
    ],
)
def test_a_forged_date(dated, old, new):
    left, right = dated
    assert old in right
    assert report(left, right.replace(old, new))["verdict"] == "unexplained"


@needs_go
def test_go_installed_elsewhere(tmp_path):
    left, right = (go_programs.build(tmp_path, "one", environment={"GOROOT_FINAL": root})
                   for root in ("/opt/go", "/usr/local/golang"))  # fmt: skip
    if b"/opt/go/src/runtime/" not in left:
        pytest.skip("this release of Go does not know GOROOT_FINAL")
    found = report(left, right)
    assert found["verdict"] == "explained"
    assert {cause["id"] for cause in found["causes"]} - {"go-buildid"} == {"go-buildpath"}
    # One file of another directory is another file.
    name = b"/usr/local/golang/src/runtime/proc.go\0"
    assert right.count(name) == 1
    forged = right.replace(name, name.replace(b"golang", b"gopher"))
    assert report(left, forged)["verdict"] == "unexplained"


@needs_go
def test_a_setting_of_one_of_two_records(dated):
    """What the program itself would say, and what others read, are the same in a program that go has built."""
    good = dated[0]
    start, size, _address = go_programs.Parts(good).sections[".go.buildinfo"]
    record = good[start : start + size]
    assert record.count(b"CGO_ENABLED=1") == 1
    one = good[:start] + record.replace(b"CGO_ENABLED=1", b"CGO_ENABLED=0") + good[start + size :]
    assert report(good, one)["verdict"] == "unexplained"
    both = report(good, good.replace(b"CGO_ENABLED=1", b"CGO_ENABLED=0"))
    assert (both["verdict"], [cause["id"] for cause in both["causes"]]) == ("explained", ["go-build-settings"])


# The table of functions as each release lays it out


NAMES = [b"main.one", b"main.two", b"main.three"]
CODE = b"\x02\x10\x00", b"\x04\x20\x00", b"\x06\x08\x01\x08\x00"


def table(version=18, word=8, order="<", files=(b"/build/one/a.go", b"/build/one/b.go", b"rt/c.go"), **changed):
    """A table of three functions in two units; changed: (number of the function, value) by the name of a field."""
    magic = {16: 0xFFFFFFFA, 18: 0xFFFFFFF0, 20: 0xFFFFFFF1}[version]
    pointer = f"{order}{'Q' if word == 8 else 'I'}"

    def words(*values):
        return b"".join(struct.pack(f"{order}I", value) for value in values)

    def filled(data, size=32):
        return data + bytes(-len(data) % size)

    def starts(texts, first=0):
        found = [first]
        for text in texts:
            found.append(found[-1] + len(text))
        return found

    names, paths = [name + b"\0" for name in NAMES], [path + b"\0" for path in files]
    places, tables = starts(paths), starts(CODE, 1)
    units = words(places[0], places[1], 0xFFFFFFFF, places[2])
    base = 0x1000 if version == 16 else 0
    step = word if version == 16 else 4
    listed = (2 * len(NAMES) + 1) * step
    records, rows = [], b""
    for number in range(len(NAMES)):
        row = bytearray(struct.pack(pointer, base + 64 * number) if version == 16 else words(64 * number))
        fields = {"nameOff": starts(names)[number], "args": 8, "deferreturn": 0, "pcsp": tables[number],
                  "pcfile": tables[0], "pcln": tables[2], "npcdata": 1, "cuOffset": (0, 0, 3)[number]}  # fmt: skip
        for name, (function, value) in changed.items():
            if function == number:
                fields[name] = value
        row += words(*fields.values())
        row += words(10 + number) if version == 20 else b""
        row += bytes((0, 0, 0, 1)) + words(tables[1])
        if version == 16:
            row = bytearray(filled(bytes(row), word)) + struct.pack(pointer, 0)
        else:
            row += words(0xFFFFFFFF)
        at = -(-(listed + len(rows)) // 8) * 8
        rows += bytes(at - listed - len(rows)) + bytes(row)
        records.append(at)
    form = pointer if version == 16 else f"{order}I"
    functions = b"".join(struct.pack(form, base + 64 * i) + struct.pack(form, at) for i, at in enumerate(records))
    functions += struct.pack(form, base + 64 * len(NAMES)) + rows
    regions = [filled(b"".join(names)), filled(units), filled(b"".join(paths)), filled(b"\0" + b"".join(CODE)),
               filled(functions, 8)]  # fmt: skip
    count = 8 if version >= 18 else 7
    head = 8 + count * word
    bounds = starts(regions, -(-head // 32) * 32)
    values = [len(NAMES), len(files), *([0x1000] if version >= 18 else []), *bounds[:5]]
    data = struct.pack(f"{order}I", magic) + bytes((0, 0, 1, word)) + b"".join(struct.pack(pointer, v) for v in values)
    return filled(data) + b"".join(regions)


class Still:
    """A map of addresses in which nothing has moved."""

    @staticmethod
    def same(one, two):
        return one == two


LAYOUTS = [(version, word, order) for version in (16, 18, 20) for word in (4, 8) for order in "<>"]
LONGER = (b"/build/a-much-longer-name/a.go", b"/build/a-much-longer-name/b.go", b"rt/c.go")


def decided(left, right, order="<"):
    lines = Lines(Table(left, order), Table(right, order))
    return {f"{field.name} {place}" for field in lines.decided(Still, (0, 0), (0, 0))
            for place in field.one[~field.fine].tolist()}  # fmt: skip


@pytest.mark.parametrize(("version", "word", "order"), LAYOUTS)
def test_a_table_is_read(version, word, order):
    read = Table(table(version, word, order), order)
    assert read.names == NAMES
    assert read.strings("files").texts == [b"/build/one/a.go", b"/build/one/b.go", b"rt/c.go"]
    assert read.field("pcln").tolist() == [7, 7, 7]
    assert len(read.of_pcdata[0]) == len(read.of_funcdata[0]) == 3
    assert [read.data[a:b] for a, b in pairwise(read.tables.tolist())] == list(CODE)


@pytest.mark.parametrize(("version", "word", "order"), LAYOUTS)
def test_a_longer_path_moves_and_nothing_changes(version, word, order):
    left, right = table(version, word, order), table(version, word, order, LONGER)
    assert decided(left, right, order) == set()
    assert decided(right, left, order) == set()


@pytest.mark.parametrize(("version", "word", "order"), LAYOUTS)
@pytest.mark.parametrize(("field", "value"), [("nameOff", 9), ("pcsp", 4), ("pcfile", 4), ("pcln", 1), ("cuOffset", 3)])
def test_a_field_that_leads_to_something_else(version, word, order, field, value):
    left, right = table(version, word, order), table(version, word, order, LONGER, **{field: (0, value)})
    assert [name.split()[0] for name in decided(left, right, order)] == [field]


@pytest.mark.parametrize("version", [16, 18, 20])
def test_a_file_that_is_another_one_of_the_unit(version):
    """An offset that stayed although the name that it led to has moved."""
    left, right = table(version), bytearray(table(version, files=LONGER))
    start = Table(bytes(right), "<").regions["units"][0]
    right[start + 4 : start + 8] = left[start + 4 : start + 8]
    assert [name.split()[0] for name in decided(left, bytes(right))] == ["file"]


@pytest.mark.parametrize("version", [16, 18, 20])
def test_a_damaged_table_is_none(version):
    good = table(version)
    assert Table(good, "<")
    for at in range(0, len(good), 3):
        for data in (good[:at], good[:at] + bytes((good[at] ^ 0xFF,)) + good[at + 1 :]):
            try:
                one = Table(data, "<")
                decided(good, data)
            except FormatError:
                continue
            assert len(one.names) == one.count


def test_the_table_that_functions_are_found_by():
    made = buckets(Table(table(), "<"))
    # One bucket that begins with the first function, all of whose parts lie in it.
    assert made == bytes(4) + bytes(1)
    many = Table(table(), "<")
    many.entries = np.array([0, 300, 5000])
    many.read = lambda _places, _width=4: np.array([5100])
    assert buckets(many) == bytes(4) + bytes([0, 0] + [1] * 14) + struct.pack("<I", 1) + bytes([0, 0, 0, 0])


def record(*lines, version=b"go1.19.8"):
    text = b"s" * 16 + b"".join(line + b"\n" for line in lines) + b"e" * 16 if lines else b""

    def counted(data):
        size = len(data)
        return (bytes([size]) if size < 0x80 else bytes([size & 0x7F | 0x80, size >> 7])) + data

    data = buildinfo.MAGIC + bytes([8, buildinfo.INLINE]) + bytes(16) + counted(version) + counted(text)
    return data + bytes(-len(data) % 16)


def test_what_go_build_records():
    data = record(b"path\texample.org/tool", b"mod\texample.org/tool\t(devel)\t", b"dep\texample.org/x\tv1.2.3\th1:x=",
                  b"build\t-compiler=gc", b"build\tvcs.time=2024-01-01T00:00:00Z")  # fmt: skip
    info = buildinfo.parse(data)
    assert [line.key for line in info.lines] == [b"path", b"mod", b"dep example.org/x", b"-compiler", b"vcs.time"]
    assert data[slice(*info.version)] == b"go1.19.8"
    assert buildinfo.parse(record()).lines == []


def test_a_damaged_record_is_none():
    good = record(b"path\texample.org/tool", *(b"build\tKEY%d=1" % i for i in range(20)))
    for at in range(len(good)):
        buildinfo.parse(good[:at])
        buildinfo.parse(good[:at] + b"\xff" + good[at + 1 :])
    assert buildinfo.parse(good + b"x") is None
