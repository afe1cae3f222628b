"""What is peculiar to tar, and what other readers say of the same archives."""

import io
import shutil
import subprocess
import tarfile
import zipfile

import pytest

import normalizers
from fixtures import FIXTURES, label
from normalizers.tar.order import in_order
from reprodiff import formats
from reprodiff.app import diff_sources
from reprodiff.budget import Budget
from reprodiff.formats.tar import LINK, SYMLINK, member_key
from reprodiff.formats.tar.head import respell
from reprodiff.formats.tar.header import checksum, number, record_length, records, spell_number
from reprodiff.rewrite import Rulebook, emit, rewrite
from reprodiff.rules import UNIFY, Policy
from reprodiff.sources import Bytes
from reprodiff.tree import Group, Record, children

ARCHIVES = sorted(path for path in FIXTURES.glob("tar/*/*/*.tar") if path.is_file())
every_archive = pytest.mark.parametrize("path", ARCHIVES, ids=label)


def members(data):
    source = Bytes(data)
    root = formats.parse(formats.identify(source), source, Budget())
    return [node for node in children(root) if isinstance(node, Group) and node.name == "member"]


def fields(data, member):
    header = next(node for node in children(member) if isinstance(node, Record) and node.name == "header")
    raw = data[header.start : header.stop]
    return {field.name: field.codec.decode(raw[field.start : field.stop]) for field in header.table.fields}


def unified(data):
    book = Rulebook(normalizers.rulebook, lambda *_: None)
    pieces = rewrite(Bytes(data), book, Policy(0, UNIFY), Budget()).pieces
    return data if pieces is None else b"".join(emit(pieces))


def report(left, right):
    return diff_sources(Bytes(left), Bytes(right), "left", "right", Budget(), digests=False).report


@every_archive
def test_the_standard_library_sees_the_same_members(path):
    data = path.read_bytes()
    with tarfile.open(path) as archive:
        theirs = archive.getmembers()
    ours = members(data)
    assert [member.key for member in ours] == [
        member_key(info.name.encode("utf-8", "surrogateescape")) for info in theirs
    ]
    for info, member in zip(theirs, ours, strict=True):
        header = fields(data, member)
        assert header["mode"] & 0o7777 == info.mode
        assert header["uid"] == info.uid
        assert header["gid"] == info.gid
        assert header["uname"].decode() == info.uname
        if "mtime" not in info.pax_headers:
            assert header["mtime"] == info.mtime
        assert (member.info.typeflag == SYMLINK) == info.issym()
        assert (member.info.typeflag == LINK) == info.islnk()


@every_archive
def test_gnu_tar_lists_the_same_names(path):
    tar = shutil.which("tar")
    if tar is None or b"GNU tar" not in subprocess.run([tar, "--version"], capture_output=True, check=True).stdout:
        pytest.skip("GNU tar is not installed")
    done = subprocess.run([tar, "--quoting-style=literal", "-tf", path], capture_output=True, check=True)
    assert [member_key(name) for name in done.stdout.split(b"\n")[:-1]] == [m.key for m in members(path.read_bytes())]


@every_archive
def test_normalized_archives_have_the_same_members_and_contents(path):
    before, after = _contents(path.read_bytes()), _contents(unified(path.read_bytes()))
    assert before == after


def _contents(data):
    """What an independent reader finds, whatever the order."""
    found = []
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for info in archive:
            content = archive.extractfile(info).read() if info.isreg() else None
            if content is not None and content.startswith(b"PK\3\4"):
                content = sorted(_unzipped(content))
            found.append((info.name, info.type in tarfile.REGULAR_TYPES or info.type, info.linkname, content))
    return sorted(found, key=repr)


def _unzipped(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"0000644\0", 0o644),
        (b"   644 \0", 0o644),
        (b"\0" * 8, 0),
        (b"\x80" + b"\0" * 6 + b"\1", 1),
        (b"\xff" * 12, -1),
    ],
)
def test_numbers(raw, value):
    assert number(raw) == value
    assert number(spell_number(value, len(raw))) == value


def test_large_numbers_are_spelled_in_base_256():
    for value in (8**11, 1 << 60, -1, -(1 << 40)):
        assert number(spell_number(value, 12)) == value


@pytest.mark.parametrize("size", [0, 1, 4, 5, 6, 90, 94, 95, 96, 97, 98, 990, 999, 1000])
def test_a_pax_record_counts_its_own_digits(size):
    body = b"%d k=%s\n" % (record_length(size), b"v" * (size - 1)) if size else b"5 =\n\n"
    if size:
        assert len(body) == record_length(size)
        assert [record[3:] for record in records(body)] == [(b"k", b"v" * (size - 1))]


def test_checksum_of_the_fullest_header():
    assert checksum(b"\xff" * 512) == 504 * 255 + 8 * 32


def _archive(*names, **links):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            if name in links:
                info.type, info.linkname = tarfile.LNKTYPE, links[name]
            archive.addfile(info)
    return out.getvalue()


def test_order_is_that_of_tar_sort_name():
    found = in_order(members(_archive("a.txt", "a/x", "b", "a/", "a/b")))
    assert [member.key for member in found] == [b"a", b"a/b", b"a/x", b"a.txt", b"b"]


def test_a_hard_link_never_comes_before_its_target():
    data = _archive("z", "a", "b", "y", a="z", b="a", y="gone")
    assert [member.key for member in in_order(members(data))] == [b"y", b"z", b"a", b"b"]


def test_links_in_a_circle_end():
    data = _archive("a", "b", a="b", b="a")
    assert sorted(member.key for member in in_order(members(data))) == [b"a", b"b"]


def test_members_of_one_name_keep_their_order():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for content in (b"first", b"second"):
            info = tarfile.TarInfo("same")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    with tarfile.open(fileobj=io.BytesIO(unified(out.getvalue()))) as archive:
        assert [archive.extractfile(info).read() for info in archive] == [b"first", b"second"]


def test_respelling_is_stable():
    for path in ARCHIVES:
        data = path.read_bytes()
        for member in members(data):
            head = b"".join(
                data[node.start : node.stop] for node in children(member) if node.name not in {"content", "padding"}
            )
            once = respell(head)
            assert respell(once) == once


def test_a_name_with_a_dot_and_one_without_are_one_member():
    seen = report(_archive("./a", "./b"), _archive("a", "b"))
    assert [cause["id"] for cause in seen["causes"]] == ["tar-format"]
    assert seen["proof"] in {"proved", "consistent"}


def test_one_owner_of_many_is_content():
    def packed(owner):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for name in "abcdef":
                info = tarfile.TarInfo(name)
                info.uid = owner if name == "c" else 0
                archive.addfile(info)
        return out.getvalue()

    seen = report(packed(0), packed(33))
    assert seen["verdict"] == "suspected"
    assert seen["causes"][0]["proof"] == "suspected"


def test_swapped_contents_are_no_rename():
    def packed(one, two):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            for name, content in (("a", one), ("b", two)):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return out.getvalue()

    seen = report(packed(b"one\n", b"two\n"), packed(b"two\n", b"one\n"))
    assert seen["verdict"] == "unexplained"
    assert {item["path"].split("!/")[1] for item in seen["unexplained"]} == {"tar/member[a]", "tar/member[b]"}
