"""What is peculiar to tar, and what other readers say of the same archives."""

import io
import shutil
import subprocess
import tarfile
import zipfile
from itertools import permutations

import pytest
from test_adversarial import archive, file, pax

import normalizers
from fixtures import FIXTURES, label
from normalizers.tar.order import in_order
from reprodiff import formats
from reprodiff.app import diff_sources
from reprodiff.budget import Budget
from reprodiff.cli import main
from reprodiff.formats.tar import LINK, SYMLINK, member_key
from reprodiff.formats.tar.head import respell
from reprodiff.formats.tar.header import checksum, number, record_length, records, spell_number
from reprodiff.layout import emit
from reprodiff.rewrite import Rulebook, rewrite
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


def patched(data, at, raw):
    """Put bytes into the header of an archive's first member, whose checksum follows."""
    head = bytearray(data[:512])
    head[at : at + len(raw)] = raw
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + data[512:]


ONE = archive(file(b"a", b"1\n", mtime=5))
PAIRS = {
    "one owner of two": (archive(file(b"a"), file(b"b")), archive(file(b"a"), file(b"b", uid=33)), "member-owner"),
    "two owners of three": (
        archive(file(b"a"), file(b"b"), file(b"c")),
        archive(file(b"a"), file(b"b", uid=33), file(b"c", uid=33)), "member-owner"),
    "all owners": (
        archive(file(b"a", uid=1000), file(b"b", uid=1000)), archive(file(b"a"), file(b"b")), "tar-owner"),
    "all owners but the root directory's": (
        archive(file(b"./", kind=b"5"), *(file(b"./%d" % i) for i in range(3))),
        archive(file(b"./", kind=b"5"), *(file(b"./%d" % i, uid=1001) for i in range(3))), "tar-owner"),
    "the owner of the one file in the root directory": (
        archive(file(b"./", kind=b"5"), file(b"a")), archive(file(b"./", kind=b"5"), file(b"a", uid=33)),
        "member-owner"),
    "one file that all may read": (archive(file(b"a", mode=0o600)), archive(file(b"a")), "member-mode"),
    "two files that all may write": (
        archive(file(b"a"), file(b"b")), archive(file(b"a", mode=0o666), file(b"b", mode=0o666)), "member-mode"),
    "x alone": (
        archive(*(file(b"%d" % i, mode=0o744) for i in range(4))),
        archive(*(file(b"%d" % i, mode=0o755) for i in range(4))), "member-mode"),
    "a few that all may read, of many that stay": (
        archive(*(file(b"%d" % i, mode=0o600) for i in range(9))),
        archive(*(file(b"%d" % i, mode=0o600 if i < 6 else 0o644) for i in range(9))), "member-mode"),
    "umask 002": (
        archive(*(file(b"%d" % i) for i in range(3))), archive(*(file(b"%d" % i, mode=0o664) for i in range(3))),
        "archive-mode-umask"),
    "umask 077": (
        archive(file(b"d", kind=b"5", mode=0o755), file(b"d/a")),
        archive(file(b"d", kind=b"5", mode=0o700), file(b"d/a", mode=0o600)), "archive-mode-umask"),
    "type in the mode": (ONE, patched(ONE, 100, b"0100644"), "tar-format"),
    "another type in the mode": (ONE, patched(ONE, 100, b"0120644"), "member-mode"),
    "bytes behind a name": (ONE, patched(ONE, 10, b"hidden"), ""),
    "magic of no dialect": (ONE, patched(ONE, 257, b"hidden"), ""),
    "a time with a fraction of 0": (ONE, archive(pax((b"mtime", b"5.0")), file(b"a", b"1\n", mtime=5)), "tar-format"),
    "a time with a fraction": (ONE, archive(pax((b"mtime", b"5.5")), file(b"a", b"1\n", mtime=5)), "tar-mtime"),
    "bytes behind the records": (
        ONE, archive(file(b"PaxHeaders/a", b"11 mtime=5\nhidden", kind=b"x"), file(b"a", b"1\n", mtime=5)), ""),
    "a directory of version 7, or a file": (
        archive(file(b"d/", kind=b"\0", magic=bytes(8))), archive(file(b"d", magic=bytes(8))), ""),
    "a name beside that of a sparse file": (
        archive(pax((b"GNU.sparse.name", b"a")), file(b"a", b"1")),
        archive(pax((b"GNU.sparse.name", b"a"), (b"path", b"other")), file(b"a", b"1")), ""),
    "a link to a link, and a copy": (
        archive(file(b"a", b"1"), file(b"b", kind=b"1", link=b"a"), file(b"c", kind=b"1", link=b"b")),
        archive(file(b"a", b"1"), file(b"b", kind=b"1", link=b"a"), file(b"c", b"1")), "hardlink-grouping"),
    "a link to an empty file, and a copy": (
        archive(file(b"a"), file(b"b", kind=b"1", link=b"a")), archive(file(b"a"), file(b"b")), "hardlink-grouping"),
    "another order around two spellings of a name": (
        archive(file(b"a"), file(b"d//f"), file(b"d/f")), archive(file(b"d/f"), file(b"d//f"), file(b"a")), ""),
    "another order behind a global header": (
        archive(pax((b"comment", b"1"), kind=b"g"), file(b"a"), file(b"b")),
        archive(pax((b"comment", b"1"), kind=b"g"), file(b"b"), file(b"a")), "tar-order"),
    "an extended header that a global one parts from its member": (
        ONE, archive(pax((b"mtime", b"5")), pax((b"comment", b"1"), kind=b"g"), file(b"a", b"1\n")), ""),
}  # fmt: skip


@pytest.mark.parametrize("turned", [False, True], ids=["", "turned"])
@pytest.mark.parametrize("name", PAIRS)
def test_what_a_difference_is_called(name, turned):
    left, right, cause = PAIRS[name]
    seen = report(right, left) if turned else report(left, right)
    if not cause:
        assert seen["verdict"] == "unexplained"
        return
    likely = cause.startswith("member-")
    assert {found["id"] for found in seen["causes"]} == {cause}
    assert seen["verdict"] == ("suspected" if likely else "explained")
    assert seen["proof"] == ("suspected" if likely else "consistent" if cause == "hardlink-grouping" else "proved")


DIALECTS = {tarfile.USTAR_FORMAT: "ustar", tarfile.GNU_FORMAT: "gnu", tarfile.PAX_FORMAT: "pax"}
NAMES = {"long": "d" * 60 + "/" + "f" * 70, "not ASCII": "öö", "long and not ASCII": "ö" * 70 + "/x"}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "pair", list(permutations(DIALECTS, 2)), ids=lambda pair: "-".join(DIALECTS[one] for one in pair)
)
def test_python_s_dialects_are_spellings(pair, name):
    sides = []
    for dialect in pair:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=dialect) as tar:
            link = tarfile.TarInfo("link")
            link.type, link.linkname = tarfile.SYMTYPE, NAMES[name][:40]
            for info in (tarfile.TarInfo(NAMES[name]), link):
                tar.addfile(info)
        sides.append(out.getvalue())
    seen = report(*sides)
    assert (seen["proof"], [cause["id"] for cause in seen["causes"]]) == ("proved", ["tar-format"])


def test_shipping_never_gives_permissions(tmp_path):
    modes = {b"0": {b"s": 0o600, b"w": 0o666, b"x": 0o700}, b"2": {b"l": 0o777}, b"3": {b"n": 0o666},
             b"5": {b"g": 0o2775, b"t": 0o1777, b"d": 0o775}}  # fmt: skip
    data = archive(*(file(name, kind=kind, mode=mode) for kind, some in modes.items() for name, mode in some.items()))
    path = tmp_path / "data.tar"
    path.write_bytes(data)
    assert main(["normalize", "--enable", "archive-mode-umask", str(path)]) == 0
    with tarfile.open(path) as tar:
        found = {info.name.encode(): info.mode for info in tar}
    kept = {name: mode for some in modes.values() for name, mode in some.items()}
    assert found == {**kept, b"w": 0o644, b"d": 0o755}
