"""What is peculiar to cpio archives; GNU cpio and libarchive as oracles."""

import gzip
import os
import shutil
import subprocess

import pytest

import normalizers
from fixtures import FILES, label
from reprodiff import formats
from reprodiff.app import diff_sources
from reprodiff.budget import Budget
from reprodiff.layout import emit
from reprodiff.rewrite import Rulebook, rewrite
from reprodiff.rules import CLAMP, UNIFY, Policy
from reprodiff.sources import Bytes
from reprodiff.tree import leaves

SHIP, EQUAL = Policy(0, CLAMP), Policy(0, UNIFY)
ARCHIVES = [path for path in FILES if path.suffix in {".cpio", ".img"}]
DIR, FILE, LINK, NODE = 0o040755, 0o100644, 0o120777, 0o020600
HEX = b"070701" + b"%08X" * 13
TRAILER = "TRAILER!!!"


def tool(name):
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed")


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, **options).stdout


def newc(name, content=b"", mode=FILE, ino=0, nlink=1, mtime=1700000000, uid=0, dev=(0, 0), rdev=(0, 0), check=0):
    name = name.encode() + b"\0"
    out = HEX % (ino, mode, uid, uid, nlink, mtime, len(content), *dev, *rdev, len(name), check) + name
    out += bytes(-len(out) % 4) + content
    return out + bytes(-len(out) % 4)


def odc(name, content=b"", mode=FILE, ino=0, nlink=1, mtime=1700000000, uid=0, dev=0, rdev=0):
    name = name.encode() + b"\0"
    numbers = (dev, ino, mode, uid, uid, nlink, rdev, mtime, len(name), len(content))
    return b"070707" + b"%06o%06o%06o%06o%06o%06o%06o%011o%06o%011o" % numbers + name + content


def archive(*members, block=512):
    out = b"".join(members) + newc(TRAILER, mode=0, mtime=0)
    return out + bytes(-len(out) % block)


def rewritten(data, policy):
    """What normalizing makes of an archive, and what is said of it; every rule applies under "unify"."""
    wanted = normalizers.rulebook if policy is EQUAL else normalizers.select(lambda rule: not rule.opt_in)
    book = Rulebook(wanted, lambda name, source, root: normalizers.guard(name, source, root, policy))
    found = rewrite(Bytes(data), book, policy, Budget())
    new = data if found.pieces is None else b"".join(emit(found.pieces))
    again = rewrite(Bytes(new), book, policy, Budget()).pieces
    assert again is None or b"".join(emit(again)) == new
    return new, [text for _where, text in found.notices]


def normalized(data, policy):
    return rewritten(data, policy)[0]


def report(left, right):
    return diff_sources(Bytes(left), Bytes(right), "left", "right", Budget(), digests=False).report


def named(seen):
    return {cause["id"] for cause in seen["causes"]}


def places(data):
    source = Bytes(data)
    root = formats.parse(formats.identify(source), source, Budget())
    return {path.removeprefix("cpio/"): source.read(leaf.start, leaf.stop) for path, leaf in leaves(root)}


def names(data):
    return [place[7:].partition("]/header/ino")[0] for place in places(data) if place.endswith("]/header/ino")]


def numbers(data, field="ino"):
    return {name: int(places(data)[f"member[{name}]/header/{field}"], 16) for name in names(data)}


# Numbers of files, and links


def test_files_are_numbered_in_their_order():
    data = archive(newc("b", b"1", ino=900), newc("a", b"2", ino=7), newc("c", b"3", ino=12))
    assert numbers(normalized(data, SHIP)) == {"a": 0, "b": 1, "c": 2}
    assert numbers(normalized(data, EQUAL)) == {"a": 0, "b": 1, "c": 2}


def test_links_keep_one_number_and_their_count():
    data = archive(newc("c", ino=5, nlink=3), newc("x", ino=5), newc("a", b"data", ino=5, nlink=3))
    new = normalized(data, SHIP)
    assert numbers(new) == {"c": 0, "x": 1, "a": 0}
    assert numbers(new, "nlink") == {"c": 2, "x": 1, "a": 2}


def test_files_of_two_devices_are_no_links():
    data = archive(newc("a", b"1", ino=5, nlink=2, dev=(8, 1)), newc("b", b"2", ino=5, nlink=2, dev=(8, 2)))
    new = normalized(data, SHIP)
    assert (numbers(new), numbers(new, "nlink")) == ({"a": 0, "b": 1}, {"a": 1, "b": 1})


def test_files_of_two_archives_are_no_links():
    one = archive(newc("a", b"1", ino=5, nlink=2), newc("b", ino=5, nlink=2))
    two = archive(newc("c", b"1", ino=5, nlink=2))
    left, right = one + two, one + archive(newc("c", b"1", ino=9, nlink=2))
    seen = report(left, right)
    assert (named(seen), seen["proof"]) == ({"cpio-meta"}, "proved")
    assert normalized(left, EQUAL) == normalized(right, EQUAL)


def test_the_link_with_the_content_stays_behind_those_without():
    data = archive(
        newc("z", ino=5, nlink=3), newc("m", ino=5, nlink=3), newc("a", b"data", ino=5, nlink=3), newc("b", ino=1)
    )
    assert names(normalized(data, EQUAL)) == ["b", "m", "z", "a"]


def test_other_links_are_no_metadata():
    left = archive(newc("a", b"1", ino=5, nlink=2), newc("b", b"1", ino=5, nlink=2), newc("c", b"2", ino=6))
    right = archive(newc("a", b"1", ino=5), newc("b", b"1", ino=6, nlink=2), newc("c", b"2", ino=6, nlink=2))
    assert report(left, right)["verdict"] == "unexplained"


def test_a_link_against_a_copy_of_something_else():
    left = archive(newc("a", ino=5, nlink=2), newc("b", b"text", ino=5, nlink=2))
    right = archive(newc("a", b"tent", ino=5), newc("b", b"text", ino=6))
    seen = report(left, right)
    assert seen["verdict"] == "unexplained"
    assert "left!/cpio/member[a]/content" in {item["path"] for item in seen["unexplained"]}


def test_more_files_than_numbers():
    def member(name, ino):
        words = (0o070707, 0, ino, FILE, 0, 0, 1, 0, 0, 0, len(name), 0, 0)
        return b"".join(word.to_bytes(2, "little") for word in words) + name + bytes(len(name) % 2)

    data = b"".join(member(b"a\0", n % 9) for n in range(1 << 16)) + member(b"TRAILER!!!\0", 0)
    new, notices = rewritten(data, SHIP)
    assert new == data
    assert "inode numbers" in notices[0]


def test_a_device_number_is_content():
    left, right = (archive(newc("console", mode=NODE, rdev=(5, minor))) for minor in (1, 2))
    seen = report(left, right)
    assert [item["path"] for item in seen["unexplained"]] == ["left!/cpio/member[console]/header/rdevminor"]
    assert b"00000005000000020000" in normalized(right, EQUAL)


# Order


def test_directories_come_before_what_is_in_them():
    order = ["a.b", "a/x", "a", "a/x/y", "."]
    data = archive(*(newc(name, mode=FILE if name in {"a.b", "a/x/y"} else DIR, nlink=2) for name in order))
    assert names(normalized(data, EQUAL)) == [".", "a", "a/x", "a/x/y", "a.b"]


def test_members_of_one_name_keep_their_order():
    new = normalized(archive(newc("b", b"one"), newc("a", b"two"), newc("b", b"six")), EQUAL)
    assert names(new) == ["a", "b"]
    assert new.find(b"two") < new.find(b"one") < new.find(b"six")


# Dialects


def test_lower_case_digits_are_a_spelling():
    content = b"0123456789abc"
    data = archive(newc("a", content, mode=DIR | 0o777), newc("b", content))
    small = data.replace(data[6:110], data[6:110].lower())
    at = len(newc("a", content))
    small = small[: at + 6] + small[at + 6 : at + 110].lower() + small[at + 110 :]
    seen = report(data, small)
    assert named(seen) <= {"cpio-format", "cpio-meta"}
    assert seen["verdict"] == "explained"
    assert seen["proof"] == "proved"
    assert normalized(data, EQUAL) == normalized(small, EQUAL)
    assert normalized(small, SHIP)[54:62] == b"0000000d"


def test_the_checksum_of_another_dialect_is_right():
    member = newc("a", b"12")
    for check, verdict in ((99, "explained"), (98, "unexplained")):
        other = member[:5] + b"2" + member[6:102] + b"%08X" % check + member[110:]
        trailer = newc(TRAILER, mode=0, mtime=0)
        data = other + trailer[:5] + b"2" + trailer[6:]
        assert report(archive(member), data + bytes(-len(data) % 512))["verdict"] == verdict


def test_the_trailer_in_lower_case_follows():
    member = newc("a", b"12")
    trailer = newc(TRAILER, mode=0, mtime=0)
    data = (member + trailer.replace(b"0000000B", b"0000000b")).ljust(512, b"\0")
    assert report(archive(member), data)["proof"] == "proved"
    assert rewritten(data, SHIP)[1] == []


def test_the_dialect_differs_and_nothing_else():
    left = archive(newc("a", b"text", ino=1), newc("null", mode=NODE, ino=2, rdev=(1, 3)), newc("l", b"a", LINK, ino=3))
    right = odc("a", b"text", ino=1) + odc("null", mode=NODE, ino=2, rdev=0o403) + odc("l", b"a", LINK, ino=3)
    right += odc(TRAILER, mode=0, mtime=0)
    seen = report(left, right + bytes(-len(right) % 512))
    assert (named(seen) - {"cpio-meta"}, seen["verdict"]) == ({"cpio-format"}, "explained")


def test_what_differs_beside_the_dialect_is_left_over():
    left = archive(newc("a", b"text", ino=1), newc("null", mode=NODE, ino=2, rdev=(1, 3)))
    right = odc("a", b"tent", ino=1) + odc("null", mode=NODE, ino=2, rdev=0o405) + odc(TRAILER, mode=0, mtime=0)
    seen = report(left, right + bytes(-len(right) % 512))
    found = {item["path"] for item in seen["unexplained"]}
    assert found >= {"left!/cpio/member[a]!/text/line[1]", "left!/cpio/member[null]/header/rdev"}


@tool("cpio")
@pytest.mark.parametrize("form", ["newc", "crc", "odc", "bin"])
def test_every_dialect_is_read(form, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "file").write_bytes(b"content\n" * 99)
    (tmp_path / "link").symlink_to("d/file")
    sides = []
    for time in (1700000000, 1600000000):
        for path in (tmp_path / "d", tmp_path / "d" / "file", tmp_path / "link"):
            os.utime(path, (time, time), follow_symlinks=False)
        sides.append(run("cpio", "-o", "-H", form, "--quiet", cwd=tmp_path, input=b"d\nd/file\nlink\n"))
    seen = report(*sides)
    assert (named(seen), seen["proof"]) == ({"cpio-meta"}, "proved")
    new = normalized(sides[0], EQUAL)
    assert new == normalized(sides[1], EQUAL)
    assert run("cpio", "-t", "--quiet", input=new) == b"d\nd/file\nlink\n"
    assert run("cpio", "-i", "--to-stdout", "--quiet", "d/file", input=new) == b"content\n" * 99
    if form == "crc":
        run("cpio", "-i", "--only-verify-crc", "--quiet", input=new)


def test_a_checksum_follows_from_the_content():
    inner = gzip.compress(b"text", mtime=1700000000)
    member = b"070702" + newc("a.gz", inner, check=sum(inner))[6:]
    data = archive(member)
    new = normalized(data, SHIP)
    plain = gzip.compress(b"text", mtime=0)
    got = places(new)
    assert got["member[a.gz]/content"][4:8] == plain[4:8]
    assert int(got["member[a.gz]/header/check"], 16) == sum(got["member[a.gz]/content"])


def test_big_endian_shorts():
    def member(name, content, mtime):
        name += b"\0"
        words = (0o070707, 0, 1, FILE, 0, 0, 1, 0, mtime >> 16, mtime & 0xFFFF, len(name), 0, len(content))
        head = b"".join(word.to_bytes(2, "big") for word in words)
        return head + name + bytes(len(name) % 2) + content + bytes(len(content) % 2)

    left, right = (member(b"a", b"text", time) + member(b"TRAILER!!!", b"", 0) for time in (1700000000, 1600000000))
    seen = report(left, right)
    assert (named(seen), seen["proof"]) == ({"cpio-meta"}, "proved")


# Several archives, and what follows them


def test_what_follows_the_archives_is_entered():
    early = archive(newc("kernel", b"microcode"))
    sides = [early + bytes(1024) + gzip.compress(archive(newc("a", b"text", mtime=time)), mtime=0) for time in (1, 2)]
    seen = report(*sides)
    assert named(seen) == {"cpio-meta"}
    assert seen["causes"][0]["examples"][0]["path"] == "left!/cpio/rest!/gzip/deflate!/cpio/member[a]/header/mtime"
    assert normalized(sides[0], EQUAL) == normalized(sides[1], EQUAL)


def test_what_follows_the_archives_and_is_nothing_is_left_over():
    early = archive(newc("a", b"text"))
    assert report(early + b"one", early + b"two")["verdict"] == "unexplained"
    assert places(early + b"one")["rest"] == b"one"


def test_zeros_between_archives():
    one, two = archive(newc("a", b"1")), archive(newc("b", b"2"))
    seen = report(one + two, one + bytes(512) + two)
    assert (named(seen), seen["proof"]) == ({"sparse-or-padding"}, "proved")
    assert normalized(one + two, EQUAL) == normalized(one + bytes(512) + two, EQUAL)
    assert normalized(one + bytes(512) + two, SHIP)[len(one) : len(one) + 512] == bytes(512)


@pytest.mark.parametrize("block", [1, 4, 512, 5120])
def test_zeros_at_the_end_keep_their_custom(block):
    data = archive(newc("a", b"1"), block=block)
    new, notices = rewritten(data, SHIP)
    assert (len(new), notices) == (len(data), [])
    assert normalized(data, EQUAL) == normalized(archive(newc("a", b"1")), EQUAL)


# Damage


def test_no_trailer():
    data = newc("a", b"text") + newc("b", b"more")
    assert names(data) == ["a", "b"]
    assert normalized(data, EQUAL).count(b"070701") == 2


def test_what_is_cut_off_is_no_member():
    data = archive(newc("a", b"text"), newc("b", b"more"))
    cut = data[: len(newc("a", b"text")) + 60]
    assert list(places(cut))[-1] == "gap"
    assert report(data, cut)["verdict"] == "unexplained"


@pytest.mark.parametrize("data", [b"070701 is a number, and 070702 is another", b"070707\n" * 30, b"\xc7\x71" * 40])
def test_a_number_is_no_archive(data):
    entry = formats.identify(Bytes(data))
    assert entry is None or entry.name == "text"


# Oracles


@pytest.fixture
def listing():
    def listed(data):
        """What cpio lists of the first archive: mode, owners, size or device, name."""
        lines = run(
            "cpio", "-itv", "--quiet", "--numeric-uid-gid", input=data, env={"TZ": "UTC", "PATH": os.environ["PATH"]}
        )
        found = [line.split() for line in lines.decode().splitlines()]
        return [(line[0], *line[2:-4], line[-1]) for line in found]

    return listed


@tool("cpio")
@pytest.mark.parametrize("path", ARCHIVES, ids=label)
@pytest.mark.parametrize("policy", [SHIP, EQUAL], ids=str)
def test_cpio_lists_the_same(path, policy, listing):
    old, new = path.read_bytes(), normalized(path.read_bytes(), policy)
    before, after = listing(old), listing(new)
    assert [row[-1] for row in sorted(after, key=lambda row: row[-1])] == sorted(row[-1] for row in before)
    assert {row[1:3] for row in after} <= {("0", "0")}
    if policy is SHIP:
        assert sorted((row[0], *row[3:]) for row in after) == sorted((row[0], *row[3:]) for row in before)


@tool("cpio")
@pytest.mark.parametrize("path", ARCHIVES, ids=label)
@pytest.mark.parametrize("policy", [SHIP, EQUAL], ids=str)
def test_cpio_unpacks_the_same(path, policy, tmp_path):
    trees = []
    for side, data in (("old", path.read_bytes()), ("new", normalized(path.read_bytes(), policy))):
        directory = tmp_path / side
        directory.mkdir()
        run("cpio", "-i", "-d", "--quiet", cwd=directory, input=data)
        files = sorted(file for file in directory.rglob("*"))
        links = {}
        for file in files:
            links.setdefault(file.stat().st_ino, []).append(file.relative_to(directory).as_posix())
        contents = {file.relative_to(directory).as_posix(): file.read_bytes() for file in files if file.is_file()}
        trees.append((sorted(group for group in links.values()), contents))
    assert trees[0] == trees[1]


@pytest.mark.parametrize("path", ARCHIVES, ids=label)
@pytest.mark.parametrize("policy", [SHIP, EQUAL], ids=str)
def test_libarchive_reads_the_same(path, policy):
    libarchive = pytest.importorskip("libarchive")

    def members(data):
        with libarchive.memory_reader(data, format_name="cpio") as entries:
            return [(entry.pathname, entry.filetype, b"".join(entry.get_blocks())) for entry in entries]

    old, new = members(path.read_bytes()), members(normalized(path.read_bytes(), policy))
    assert sorted(new) == sorted(old)
