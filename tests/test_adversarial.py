"""Real changes hidden in noise: none of them may become explained, and each must be named at its place.

Every pair also differs in times of other members, which must be explained all the same. Pairs are built byte by byte:
what they hold is what no ordinary tool writes.
"""

import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from reprodiff.app import diff
from reprodiff.budget import Budget
from reprodiff.cli import main


class Case(NamedTuple):
    """Two artifacts, and a part of the path at which the change must be shown."""

    left: bytes
    right: bytes
    at: str


# tar


def header(name: bytes, size: int = 0, *, kind: bytes = b"0", link: bytes = b"", mode: int = 0o644, uid: int = 0,
           mtime: int = 0, magic: bytes = b"ustar\x0000", device: tuple[int, int] | None = None,
           prefix: bytes = b"") -> bytes:  # fmt: skip
    numbers = b"%07o\0%07o\0%07o\0%011o\0%011o\0" % (mode, uid, 0, size, mtime)
    raw = bytearray(name.ljust(100, b"\0") + numbers + b" " * 8 + kind + link.ljust(100, b"\0") + magic)
    raw += b"root".ljust(32, b"\0") * 2
    raw += b"%07o\0%07o\0" % device if device else bytes(16)
    raw = (raw + prefix).ljust(512, b"\0")
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


def file(name: bytes, data: bytes = b"", *, padding: bytes = b"", **fields: Any) -> bytes:
    return header(name, len(data), **fields) + data + padding.ljust(-len(data) % 512, b"\0")


def pax(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    body = b""
    for keyword, value in records:
        length = len(keyword) + len(value) + 3
        length += len(str(length + len(str(length))))
        body += b"%d %s=%s\n" % (length, keyword, value)
    return file(b"PaxHeaders/x", body, kind=kind)


def archive(*members: bytes) -> bytes:
    raw = b"".join(members) + bytes(1024)
    return raw + bytes(-len(raw) % 10240)


def tar(left: Iterable[bytes], right: Iterable[bytes], at: str) -> Case:
    noise = [[file(b"n%d" % i, b"same\n", mtime=mtime) for i in range(4)] for mtime in (100, 200)]
    return Case(archive(*noise[0], *left), archive(*noise[1], *right), at)


GNU = b"ustar  \0"
TIMED = pax((b"mtime", b"5"))
TARS = {
    "hard link to a symbolic link, or a symbolic link elsewhere": tar(
        [file(b"a", kind=b"2", link=b"/etc/motd"), file(b"b", kind=b"1", link=b"a")],
        [file(b"a", kind=b"2", link=b"/etc/motd"), file(b"b", kind=b"2", link=b"/etc/shadow")], "member[b]/header"),
    "hard link to an empty file, or a directory": tar(
        [file(b"a"), file(b"b", kind=b"1", link=b"a")], [file(b"a"), file(b"b", kind=b"5")], "member[b]/header"),
    "target of a symbolic link in a record": tar(
        [TIMED, file(b"a", kind=b"2", link=b"good")],
        [pax((b"mtime", b"5"), (b"linkpath", b"evil")), file(b"a", kind=b"2", link=b"good")], "member[a]/pax"),
    "target of a symbolic link in a long link": tar(
        [file(b"a", kind=b"2", link=b"good", magic=GNU)],
        [file(b"././@LongLink", b"evil\0", kind=b"K", magic=GNU), file(b"a", kind=b"2", link=b"good", magic=GNU)],
        "member[a]/longlink"),
    "second of two members of one name, beside a link that became a copy": tar(
        [file(b"t", b"same"), file(b"b", b"same"), file(b"b", kind=b"2", link=b"good")],
        [file(b"t", b"same"), file(b"b", kind=b"1", link=b"t"), file(b"b", kind=b"2", link=b"evil")],
        "member[b]/header/linkname"),
    "link to the first of two members of one name, copy of the second": tar(
        [file(b"a", b"1\n"), file(b"b", kind=b"1", link=b"a"), file(b"a", b"2\n")],
        [file(b"a", b"1\n"), file(b"b", b"2\n"), file(b"a", b"2\n")], "member[b]"),
    "data in padding": tar(
        [file(b"a", b"1\n")], [file(b"a", b"1\n", padding=b"not zeros")], "member[a]/padding"),
    "bytes of the prefix beside a record": tar(
        [pax((b"path", b"x")), file(b"x", b"1\n")], [pax((b"path", b"x")), file(b"x", b"1\n", prefix=b"hidden")],
        "member[x]/header/prefix"),
    "owner of one file": tar([file(b"a")], [file(b"a", uid=33)], "member[a]/header/uid"),
    "set-user-id": tar([file(b"a", mode=0o755)], [file(b"a", mode=0o4755)], "member[a]/header/mode"),
    "executable": tar([file(b"a")], [file(b"a", mode=0o755)], "member[a]/header/mode"),
    "capability": tar(
        [TIMED, file(b"a")], [pax((b"mtime", b"5"), (b"SCHILY.xattr.security.capability", b"\1\0")), file(b"a")],
        "security.capability"),
    "size in a record": tar(
        [TIMED, file(b"a", b"x" * 9)], [pax((b"mtime", b"5"), (b"size", b"9")), file(b"a", b"x" * 9)], "records/size"),
    "owner in a global record": tar([], [pax((b"uid", b"0"), kind=b"g"), file(b"n9")], "tar/global"),
    "device": tar(
        [file(b"d", kind=b"3", device=(1, 3))], [file(b"d", kind=b"3", device=(1, 5))], "member[d]/header/devminor"),
    "contents swapped": tar(
        [file(b"x", b"1\n"), file(b"y", b"2\n")], [file(b"x", b"2\n"), file(b"y", b"1\n")], "member[x]!"),
    "two members of one name swapped": tar(
        [file(b"x", b"1\n"), file(b"x", b"2\n")], [file(b"x", b"2\n"), file(b"x", b"1\n")], "member[x]!"),
    "directory or empty file": tar([file(b"d", kind=b"5")], [file(b"d")], "member[d]/header/typeflag"),
    "which of two members of one name a link is to": tar(
        [file(b"x", b"1\n"), file(b"y", kind=b"1", link=b"x"), file(b"x", b"2\n")],
        [file(b"x", b"1\n"), file(b"x", b"2\n"), file(b"y", kind=b"1", link=b"x")], "tar"),
    "a symbolic link before or after what lies below it": tar(
        [file(b"d", kind=b"2", link=b"e"), file(b"d/f", b"1")], [file(b"d/f", b"1"), file(b"d", kind=b"2", link=b"e")],
        "tar"),
    "which members a global record is for": tar(
        [file(b"a"), pax((b"uname", b"bob"), kind=b"g"), file(b"b")],
        [pax((b"uname", b"bob"), kind=b"g"), file(b"a"), file(b"b")], "tar"),
    "target of a hard link": tar(
        [file(b"a", b"1"), file(b"c", b"2"), file(b"b", kind=b"1", link=b"a")],
        [file(b"a", b"1"), file(b"c", b"2"), file(b"b", kind=b"1", link=b"c")], "member[b]/header/linkname"),
}  # fmt: skip


# zip


def extra(number: int, data: bytes) -> bytes:
    return struct.pack("<HH", number, len(data)) + data


def packed(members: list[dict[str, Any]], zip64: bytes | None = None) -> bytes:
    """Return a zip archive; members: name, data, and what differs from the usual header."""
    out, directory = b"", b""
    for member in members:
        name, data = member["name"], member.get("data", b"data\n")
        time, whole = member.get("time", 0x210000), member.get("decoded", data)
        local, central = member.get("local", b""), member.get("central", b"")
        tail = struct.pack("<IIIH", zlib.crc32(whole), len(data), len(whole), len(name))
        head = struct.pack("<HHHI", 20, 0, member.get("method", 0), time)
        directory += b"PK\1\2" + struct.pack("<H", member.get("made", 0x314)) + head + tail
        directory += struct.pack("<HHHHII", len(central), 0, 0, 0, member.get("mode", 0o100644) << 16, len(out))
        directory += name + central
        head = struct.pack("<HHHI", 20, 0, member.get("local_method", member.get("method", 0)), time)
        out += b"PK\3\4" + head + tail + struct.pack("<H", len(local)) + name + local + data
    end = b""
    count = len(members)
    if zip64 is not None:
        end = struct.pack(
            "<4sQHHIIQQQQ", b"PK\6\6", 44 + len(zip64), 0x314, 45, 0, 0, count, count, len(directory), len(out)
        )
        end += zip64 + struct.pack("<4sIQI", b"PK\6\7", 0, len(out) + len(directory), 1)
    last = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count, count, len(directory), len(out), 0)
    return out + directory + end + last


def zipped(left: dict[str, Any], right: dict[str, Any], at: str, *, zip64: bytes | None = None) -> Case:
    one = [{"name": b"n%d" % i, "time": 0x210100} for i in range(3)]
    two = [{"name": b"n%d" % i, "time": 0x210200} for i in range(3)]
    return Case(packed([*one, {"name": b"x", **left}]), packed([*two, {"name": b"x", **right}], zip64), at)


def last_first(raw: bytes) -> bytes:
    """Exchange the two central headers of an archive."""
    one = raw.index(b"PK\1\2")
    two, end = raw.index(b"PK\1\2", one + 1), raw.index(b"PK\5\6")
    return raw[:one] + raw[two:end] + raw[one:two] + raw[end:]


DEFLATED = zlib.compress(b"echo\n", wbits=-15)
TWICE = packed([{"name": b"x", "data": b"one\n"}, {"name": b"x", "data": b"two!\n"}])
ZIPS = {
    "which of two members of one name comes last in the directory": Case(TWICE, last_first(TWICE), "x]"),
    "file or symbolic link": zipped({}, {"mode": 0o120777}, "entry[x]/header/external"),
    "a symbolic link by a system that has none": zipped(
        {"mode": 0o120777}, {"mode": 0o120777, "made": 20}, "entry[x]/header/made-by"),
    "data where an owner should be": zipped({}, {"local": extra(0x7875, b"hidden" * 99)}, "member[x]/0x7875"),
    "data beside the mark of a jar": zipped({}, {"local": extra(0xCAFE, b"hidden" * 99)}, "member[x]/0xcafe"),
    "data where sizes should be": zipped({}, {"central": extra(1, b"hidden" * 9)}, "entry[x]/0x0001"),
    "data after the zip64 record": zipped({}, {}, "zip/zip64", zip64=b"hidden" * 9),
    "method in the local header alone": zipped({}, {"local_method": 8}, "member[x]/header/method"),
    "a deflated content, or its deflate stream as the content": zipped(
        {"data": DEFLATED}, {"data": DEFLATED, "decoded": b"echo\n", "method": 8}, "member[x]"),
    "method that nobody can decode": zipped({}, {"method": 99}, "member[x]"),
    "name in an extra field": zipped(
        {}, {"local": extra(0x7075, b"\1" + struct.pack("<I", zlib.crc32(b"x")) + b"evil")}, "member[x]/0x7075"),
    "indentation": zipped(
        {"name": b"x.py", "data": b"if a:\n    b()\n    c()\n"}, {"name": b"x.py", "data": b"if a:\n    b()\nc()\n"},
        "member[x.py]!"),
    "line ends of a script": zipped(
        {"data": b"#!/bin/sh\necho\n"}, {"data": b"#!/bin/sh\r\necho\r\n"}, "member[x]!"),
    "a number that is also a size": zipped({"data": b"retries=12\n" + b"y"}, {"data": b"retries=13\n" + b"yy"}, "member[x]!"),
}  # fmt: skip


# cpio, ar, gzip


def newc(name: bytes, data: bytes = b"", *, mode: int = 0o100644, ino: int = 1, links: int = 1, mtime: int = 0,
         minor: int = 0, padding: bytes = b"") -> bytes:  # fmt: skip
    values = (ino, mode, 0, 0, links, mtime, len(data), 0, minor, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % value for value in values) + name + b"\0"
    return head + bytes(-len(head) % 4) + data + padding.ljust(-len(data) % 4, b"\0")


def cpio(left: Iterable[bytes], right: Iterable[bytes], at: str) -> Case:
    noise = [[newc(b"n%d" % i, b"same\n", ino=9 + i, mtime=mtime) for i in range(3)] for mtime in (1, 2)]
    end = newc(b"TRAILER!!!", mode=0, ino=0)
    return Case(b"".join([*noise[0], *left, end]), b"".join([*noise[1], *right, end]), at)


def ar_file(name: bytes, data: bytes, *, mode: int = 0o100644, even: bytes = b"\n", date: int = 0) -> bytes:
    head = b"%-16s%-12d%-6d%-6d%-8o%-10d`\n" % (name, date, 0, 0, mode, len(data))
    return head + data + even[: len(data) & 1]


def ar(left: Iterable[bytes], right: Iterable[bytes], at: str) -> Case:
    noise = [[ar_file(b"n%d.o/" % i, b"same\n", date=date) for i in range(3)] for date in (1, 2)]
    return Case(b"!<arch>\n" + b"".join([*noise[0], *left]), b"!<arch>\n" + b"".join([*noise[1], *right]), at)


def indexed(one: int, two: int) -> bytes:
    """Return a library of two members whose symbol table says which has `f` and which has `g`."""
    members = [ar_file(b"f.o/", b"12"), ar_file(b"g.o/", b"34")]
    first = 8 + 60 + 16
    places = (first, first + len(members[0]))
    table = struct.pack(">3I", 2, places[one], places[two]) + b"f\0g\0"
    return b"!<arch>\n" + ar_file(b"/", table) + b"".join(members)


def gz(data: bytes, *, comment: bytes = b"", fields: bytes = b"") -> bytes:
    raw = gzip.compress(data, mtime=0)
    flags = (16 if comment else 0) | (4 if fields else 0)
    between = (struct.pack("<H", len(fields)) + fields if fields else b"") + (comment + b"\0" if comment else b"")
    return raw[:3] + bytes([flags]) + raw[4:10] + between + raw[10:]


TEXT = b"some words\n" * 50
OTHERS = {
    "cpio: links on two devices": cpio(
        [newc(b"a", ino=5, links=2), newc(b"b", b"data\n", ino=5, links=2)],
        [newc(b"a", ino=5, links=2), newc(b"b", b"data\n", ino=5, links=2, minor=7)], "member[b]/header/devminor"),
    "cpio: links that became two files": cpio(
        [newc(b"a", ino=5, links=2), newc(b"b", b"data\n", ino=5, links=2)],
        [newc(b"a", ino=5, links=2), newc(b"b", b"data\n", ino=6, links=2)], "member[b]/header/ino"),
    "cpio: data in padding": cpio([newc(b"a", b"1")], [newc(b"a", b"1", padding=b"evi")], "member[a]/padding"),
    "cpio: set-user-id": cpio([newc(b"a", mode=0o100755)], [newc(b"a", mode=0o104755)], "member[a]/header/mode"),
    "ar: set-user-id": ar(
        [ar_file(b"x/", b"12", mode=0o100755)], [ar_file(b"x/", b"12", mode=0o104755)], "member[x]/header/mode"),
    "ar: file type": ar([ar_file(b"x/", b"12")], [ar_file(b"x/", b"12", mode=0o120644)], "member[x]/header/mode"),
    "ar: a suffix that says nothing of the content": ar(
        [ar_file(b"x.gz/", b"plain\n")], [ar_file(b"x.xz/", b"plain\n")], "x."),
    "ar: which member a symbol is in": Case(indexed(0, 1), indexed(1, 0), "ar/symbols"),
    "gzip: a comment, against xz": Case(gz(TEXT, comment=b"evil"), lzma.compress(TEXT), ""),
    "gzip: an extra field, against xz": Case(gz(TEXT, fields=b"evil"), lzma.compress(TEXT), ""),
    "gzip: a checksum that is wrong, against xz": Case(gz(TEXT)[:-8] + b"evil" + gz(TEXT)[-4:], lzma.compress(TEXT), ""),
    "gzip: bytes after the end": Case(gz(TEXT), gz(TEXT) + b"evil", "gzip/trailing"),
}  # fmt: skip
CASES = {
    f"{kind}: {name}" if kind else name: case
    for kind, cases in (("tar", TARS), ("zip", ZIPS), ("", OTHERS))
    for name, case in cases.items()
}


def named(report: dict[str, Any]) -> list[str]:
    """Return the paths of all that a report does not call explained."""
    likely = [cause for cause in report["causes"] if cause["proof"] == "suspected"]
    return [row["path"] for row in report["unexplained"]] + [
        row["path"] for cause in likely for row in cause["examples"]
    ]


@pytest.mark.parametrize("turned", [False, True], ids=["", "turned"])
@pytest.mark.parametrize("name", CASES)
def test_real_change_is_not_explained(name: str, turned: bool, tmp_path: Path) -> None:
    case = CASES[name]
    paths = [tmp_path / "left", tmp_path / "right"]
    for path, data in zip(paths, (case.left, case.right), strict=True):
        path.write_bytes(data)
    one, two = paths[::-1] if turned else paths
    report = diff(str(one), str(two), Budget()).report
    assert report["verdict"] in {"suspected", "unexplained"}
    assert any(case.at in path for path in named(report)) or report["notices"], named(report)


# What normalizing must keep


def normalized(data: bytes, tmp_path: Path, *options: str) -> bytes:
    path = tmp_path / "artifact"
    path.write_bytes(data)
    main(["normalize", "--epoch", "5", *options, str(path)])
    return path.read_bytes()


def extracted(data: bytes) -> dict[str, tuple[str, bytes]]:
    """Return what a tar archive leaves behind, by name: the kind or the target, and the content."""
    found: dict[str, tuple[str, bytes]] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as members:
        for member in members:
            if member.islnk():
                found[member.name] = found[member.linkname]
                continue
            stream = members.extractfile(member) if member.isreg() else None
            device = f"{member.devmajor},{member.devminor}" if member.isdev() else ""
            kind = b"0" if member.isreg() else member.type
            text = f"{kind!r} {member.linkname} {member.uname} {device}"
            found[member.name] = (text, stream.read() if stream else b"")
    return found


KEPT = {
    "a link to the later of two members of one name": archive(
        file(b"z", b"two"), file(b"z", b"one"), file(b"a", kind=b"1", link=b"z")),
    "what a global header applies to": archive(
        file(b"b", b"1"), pax((b"uname", b"bob"), kind=b"g"), file(b"a", b"2")),
    "device numbers": archive(file(b"d", kind=b"3", device=(1, 3)), file(b"e", kind=b"4", device=(8, 1))),
    "directories of version 7": archive(file(b"d/", kind=b"\0", magic=bytes(8)), file(b"d/f", b"1", kind=b"\0", magic=bytes(8))),
}  # fmt: skip


@pytest.mark.parametrize("options", [(), ("--enable", "all")], ids=["default", "all"])
@pytest.mark.parametrize("name", KEPT)
def test_normalizing_keeps(name: str, options: tuple[str, ...], tmp_path: Path) -> None:
    assert extracted(normalized(KEPT[name], tmp_path, *options)) == extracted(KEPT[name])


def test_symbolic_link_stays_behind_what_lies_in_its_place(tmp_path: Path) -> None:
    raw = archive(file(b"d/f", b"1"), file(b"d", kind=b"2", link=b"elsewhere"))
    with tarfile.open(fileobj=io.BytesIO(normalized(raw, tmp_path))) as members:
        assert members.getnames() == ["d/f", "d"]


@pytest.mark.parametrize("name", [b"a\\b", b"\x91o\x86.txt"])
def test_zip_names_that_the_system_decides(name: bytes, tmp_path: Path) -> None:
    """Readers take backslashes for slashes, and names for code page 437, where FAT is the system (4.4.2, appendix D)."""
    raw = packed([{"name": name, "made": 20, "mode": 0}])
    with zipfile.ZipFile(io.BytesIO(normalized(raw, tmp_path))) as members:
        assert members.infolist()[0].create_system == 0


NOISE: dict[str, Callable[[], tuple[bytes, bytes]]] = {
    "version 7 against ustar": lambda: (
        archive(file(b"a", b"1", kind=b"\0", magic=bytes(8)), file(b"b", b"1", kind=b"\0", magic=bytes(8))),
        archive(file(b"a", b"1"), file(b"b", b"1"))),
    "a name that is not ASCII, in pax by Python": lambda: (
        archive(pax((b"path", "ö".encode())), file(b"?", b"1")), archive(file("ö".encode(), b"1"))),
    "lower case in a cpio trailer": lambda: (
        newc(b"a", b"1") + newc(b"TRAILER!!!", mode=0, ino=0),
        newc(b"a", b"1") + newc(b"TRAILER!!!", mode=0, ino=0).replace(b"0B", b"0b")),
}  # fmt: skip


@pytest.mark.parametrize("name", NOISE)
def test_noise_is_explained(name: str, tmp_path: Path) -> None:
    for side, data in zip(("left", "right"), NOISE[name](), strict=True):
        (tmp_path / side).write_bytes(data)
    report = diff(str(tmp_path / "left"), str(tmp_path / "right"), Budget()).report
    assert report["verdict"] == "explained", named(report)
