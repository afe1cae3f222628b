"""Containers that libarchive reads: members are compared, the container's bytes are never explained."""

import random
import sys

import pytest
from compressed import MIB, library, report

from reprodiff import formats
from reprodiff.app import diff_sources
from reprodiff.budget import Budget
from reprodiff.sources import Bytes
from reprodiff.tree import children, open_content

libarchive = library("libarchive")
ffi = library("libarchive.ffi")

FORMATS = ["7zip", "iso9660", "xar", "warc"]
SMALL = {"doc/a.txt": b"apples\n" * 40, "doc/b.txt": b"pears\n" * 30, "run.sh": b"#!/bin/sh\n"}


def pack(name, members, mtime=1_700_000_000, mode=0o644):
    parts = []
    with libarchive.custom_writer(lambda data: parts.append(bytes(data)) or len(data), name) as archive:
        for path, data in members.items():
            archive.add_file_from_memory(path, len(data), data, permission=mode, mtime=mtime)
    return b"".join(parts)


def made(name, members, **options):
    if name not in ffi.WRITE_FORMATS:
        pytest.skip(f"this libarchive does not write {name}")
    return pack(name, members, **options)


def listing(data):
    """Name to content of what is listed."""
    source = Bytes(data)
    root = formats.parse(formats.identify(source), source, Budget())
    (payload,) = children(root)
    inner = open_content(source, payload, Budget())
    found = {}
    for entry in children(inner.tree()):
        contents = [leaf for leaf in children(entry) if leaf.name == "content"]
        found[entry.key.decode()] = b"".join(inner.read(leaf.start, leaf.stop) for leaf in contents)
    # The stream is what its entries say, also when it is read across them.
    assert inner.read(0, inner.size) == b"".join(inner.read(at, at + 1) for at in range(inner.size))
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_members_are_listed(name):
    found = listing(made(name, SMALL))
    assert {path: found[path] for path in SMALL if path in found} == SMALL


@pytest.mark.parametrize("name", FORMATS)
def test_a_changed_member_is_named_beside_the_container(name):
    other = {**SMALL, "doc/b.txt": SMALL["doc/b.txt"].replace(b"pears", b"pearl", 1)}
    seen = report(made(name, SMALL), made(name, other))
    paths = [item["path"] for item in seen["unexplained"]]
    assert "left!/archive/content" in paths
    assert any(path.startswith("left!/archive!/directory/entry[doc/b.txt]") for path in paths)
    assert not any("a.txt" in path or "run.sh" in path for path in paths)
    assert (seen["verdict"], seen["causes"]) == ("unexplained", [])


def test_equal_members_leave_the_container_unexplained():
    data = made("7zip", SMALL)
    # The digit of the minor version, and the checksum that covers none of it.
    other = data[:7] + bytes([data[7] ^ 1]) + data[8:]
    (item,) = report(data, other)["unexplained"]
    assert item["path"] == "left!/archive/content"


def test_times_are_shown_and_not_explained():
    seen = report(made("7zip", SMALL), made("7zip", SMALL, mtime=1_600_000_000))
    assert seen["verdict"] == "unexplained"
    assert {item["path"].rsplit("/", 1)[-1] for item in seen["unexplained"]} == {"mtime", "content"}


def test_every_byte_has_an_account():
    for account in report(made("7zip", SMALL), made("7zip", {**SMALL, "more": b"x" * 999}))["streams"]:
        parts = (account[key] for key in ("origin", "consequence", "suspected", "unexplained"))
        assert sum(parts) == account["differing"]


@pytest.mark.parametrize("name", ["7zip", "iso9660", "xar"])
def test_damage(name, capfd):
    data = made(name, SMALL)
    rnd = random.Random(8)
    for number in range(40):
        hurt = bytearray(data)
        if number % 2:
            hurt[rnd.randrange(len(hurt))] ^= rnd.randrange(1, 256)
        else:
            del hurt[rnd.randrange(len(hurt)) :]
        assert report(data, bytes(hurt))["verdict"] == "unexplained"
    assert capfd.readouterr() == ("", "")


def test_a_bomb_is_stopped():
    left, right = (made("7zip", {"zeros": bytes(64 * MIB), "b": end}) for end in (b"1", b"2"))
    budget = Budget(decoded=8 * MIB, memory=MIB)
    seen = diff_sources(Bytes(left), Bytes(right), "left", "right", budget, digests=False).report
    assert [notice["kind"] for notice in seen["notices"]] == ["limit"]
    assert [item["path"] for item in seen["unexplained"]] == ["left!/archive/content"]


@pytest.mark.parametrize("module", ["libarchive.ffi"])
def test_without_the_library_the_report_says_what_is_lacking(monkeypatch, module):
    left, right = made("7zip", SMALL), made("7zip", {**SMALL, "more": b"x"})
    monkeypatch.setitem(sys.modules, module, None)
    found = diff_sources(Bytes(left), Bytes(right), "left", "right", Budget(), digests=False)
    (notice,) = found.report["notices"]
    assert notice["kind"] == "missing-library"
    assert "python3-libarchive-c" in notice["text"]
    assert found.status == 2
    assert [item["path"] for item in found.report["unexplained"]] == ["left!/bytes"]


@pytest.mark.parametrize(
    "head", [b"MSCF\0\0\0\0", b"Rar!\x1a\x07\x00", b"Rar!\x1a\x07\x01\x00", b"xar!\0\x1c", b"  -lh5-", b"WARC/1.0"]
)
def test_magics(head):
    data = head + bytes(100)
    assert formats.identify(Bytes(data)).name == "archive"
    seen = report(data, data + b"x")
    assert (seen["verdict"], seen["unexplained"] != []) == ("unexplained", True)
