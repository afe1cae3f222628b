"""Directories: every entry is compared, nothing is followed, what cannot be read is said."""

import os
import socket
import stat
import subprocess
import sys
import tarfile

import pytest

from reprodiff import directory
from reprodiff.app import diff
from reprodiff.budget import Budget
from reprodiff.formats import identify
from reprodiff.formats.directory import Listing
from reprodiff.tree import Group, Record, children, fields

needs_user = pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")


@pytest.fixture
def trees(tmp_path):
    """Two equal trees of three files in two directories."""
    for side in ("left", "right"):
        top = tmp_path / side
        (top / "doc").mkdir(parents=True)
        (top / "doc" / "a.txt").write_text("apples\n")
        (top / "doc" / "b.txt").write_text("pears\n" * 9)
        (top / "run.sh").write_text("#!/bin/sh\n")
    stamp(tmp_path)
    return tmp_path / "left", tmp_path / "right"


def stamp(top, seconds=1_700_000_000):
    for path in [*top.rglob("*"), top]:
        os.utime(path, (seconds, seconds), follow_symlinks=False)


def compared(trees, budget=None, **options):
    return diff(*map(os.fspath, trees), budget or Budget(), **options)


def report(trees, **options):
    return compared(trees, **options).report


def causes(seen):
    return {cause["id"]: cause for cause in seen["causes"]}


def paths(seen):
    return [item["path"].removeprefix("left!/directory/") for item in seen["unexplained"]]


def test_equal_trees(trees):
    found = compared(trees)
    assert (found.status, found.report["verdict"]) == (0, "identical")


def test_the_root_is_only_a_place(trees):
    trees[0].chmod(0o700)
    os.utime(trees[1], (1, 1))
    assert report(trees)["verdict"] == "identical"


def test_times_below_a_second(trees):
    os.utime(trees[1] / "run.sh", ns=(0, 1_700_000_000_000_000_001))
    seen = report(trees)
    assert (seen["verdict"], seen["proof"]) == ("explained", "consistent")
    assert causes(seen)["directory-mtime"]["count"] == 1


def test_one_shift_on_all(trees):
    stamp(trees[1], 1_700_000_100)
    seen = report(trees)
    assert causes(seen)["directory-mtime"]["count"] == 4
    assert causes(seen)["directory-mtime"]["shift_seconds"] == 100


@pytest.mark.parametrize("size", [9, 1 << 20, (1 << 21) + 5])
def test_a_changed_byte(trees, size):
    for number, tree in enumerate(trees):
        (tree / "data").write_bytes(bytes(size - 1) + bytes([number]))
    stamp(trees[0].parent)
    seen = report(trees)
    assert paths(seen) == ["entry[data]!/bytes"]
    assert [item["bytes"] for item in seen["unexplained"]] == [1]


def test_files_are_entered(trees):
    for number, tree in enumerate(trees):
        with tarfile.open(tree / "data.tar.gz", "w:gz") as archive:
            member = tarfile.TarInfo("member")
            member.mtime = number * 1000
            archive.addfile(member)
        os.utime(tree / "data.tar.gz", (0, 0))
    stamp(trees[0].parent)
    seen = report(trees)
    assert "tar-mtime" in causes(seen)
    assert seen["verdict"] == "explained"


def test_an_emptied_file(trees):
    (trees[1] / "run.sh").write_bytes(b"")
    stamp(trees[0].parent)
    assert paths(report(trees)) == ["entry[run.sh]/content"]


def test_a_renamed_file(trees):
    (trees[1] / "doc" / "b.txt").rename(trees[1] / "doc" / "c.txt")
    stamp(trees[0].parent)
    seen = report(trees)
    assert (list(causes(seen)), seen["verdict"]) == (["member-rename"], "suspected")


def test_links_are_not_followed(trees):
    secret = trees[0].parent / "secret"
    for number, tree in enumerate(trees):
        secret.mkdir(exist_ok=True)
        (secret / f"{number}").write_text("x")
        (tree / "out").symlink_to(secret)
        (tree / "dangling").symlink_to("nowhere")
    stamp(trees[0])
    stamp(trees[1])
    assert report(trees)["verdict"] == "identical"


@pytest.mark.parametrize(
    ("left", "right", "wanted"),
    [
        ("{left}/doc/a.txt", "{right}/doc/a.txt", ["symlink-target-path"]),
        ("{left}/doc/a.txt", "{right}/doc/b.txt", []),
        ("{right}/doc/a.txt", "{left}/doc/a.txt", []),
        ("/one/a.txt", "/two/a.txt", []),
        ("a", "b", []),
    ],
)
def test_link_targets(trees, left, right, wanted):
    names = {"left": trees[0], "right": trees[1]}
    for tree, target in zip(trees, (left, right), strict=True):
        (tree / "link").symlink_to(target.format(**names))
    stamp(trees[0].parent)
    seen = report(trees)
    assert list(causes(seen)) == wanted
    assert paths(seen) == ([] if wanted else ["entry[link]/target"])


def test_hard_links_are_grouped_not_numbered(trees):
    for tree in trees:
        os.link(tree / "run.sh", tree / "again.sh")
    stamp(trees[0].parent)
    assert report(trees)["verdict"] == "identical"
    (trees[1] / "again.sh").unlink()
    (trees[1] / "again.sh").write_text("#!/bin/sh\n")
    stamp(trees[0].parent)
    seen = report(trees)
    assert (list(causes(seen)), seen["verdict"]) == (["hardlink-grouping"], "explained")
    (trees[1] / "again.sh").write_text("#!/bin/zz\n")
    stamp(trees[0].parent)
    assert report(trees)["verdict"] == "unexplained"


def test_a_hard_link_out_of_the_tree_is_no_group(trees):
    os.link(trees[0] / "run.sh", trees[0].parent / "elsewhere")
    assert report(trees)["verdict"] == "identical"


def test_what_is_no_file_is_not_opened(trees, monkeypatch):
    monkeypatch.chdir(trees[0].parent)
    for side in ("left", "right"):
        os.mkfifo(f"{side}/pipe")
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(f"{side}/socket")
    stamp(trees[0].parent)
    assert report(trees)["verdict"] == "identical"
    (trees[1] / "pipe").unlink()
    (trees[1] / "pipe").write_text("")
    (trees[1] / "pipe").chmod(stat.S_IMODE((trees[0] / "pipe").stat().st_mode))
    stamp(trees[0].parent)
    assert paths(report(trees)) == ["entry[pipe]/status/type"]


def test_modes(trees):
    for path in trees[1].rglob("*"):
        path.chmod(path.stat().st_mode | 0o020)
    assert list(causes(report(trees))) == ["archive-mode-umask"]
    (trees[1] / "run.sh").chmod(0o4755)
    seen = report(trees)
    assert seen["verdict"] == "suspected"
    assert "member-mode" in causes(seen)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user: needs root")
def test_owners(trees):
    for path in trees[1].rglob("*"):
        os.chown(path, 1000, 100)
    seen = report(trees)
    assert (list(causes(seen)), seen["verdict"]) == (["directory-owner"], "explained")
    os.chown(trees[1] / "run.sh", 1001, 100)
    os.chown(trees[1] / "doc", 0, 0)
    assert "member-owner" in causes(report(trees))


def test_attributes(trees):
    try:
        os.setxattr(trees[1] / "run.sh", "user.note", b"value")
    except OSError:
        pytest.skip("the file system has no extended attributes")
    seen = report(trees)
    assert (list(causes(seen)), seen["verdict"]) == (["tar-xattr-dev"], "suspected")
    os.setxattr(trees[0] / "run.sh", "user.note", b"other")
    (example,) = causes(report(trees))["tar-xattr-dev"]["examples"]
    assert example["path"] == "left!/directory/entry[run.sh]/xattr[user.note]/value"
    assert report(trees, directory_metadata=False)["verdict"] == "identical"


def test_without_metadata(trees):
    stamp(trees[1], 5)
    (trees[1] / "run.sh").chmod(0o755)
    os.link(trees[1] / "run.sh", trees[1] / "again.sh")
    (trees[0] / "again.sh").write_text("#!/bin/sh\n")
    assert report(trees, directory_metadata=False)["verdict"] == "identical"
    (trees[1] / "doc" / "a.txt").write_text("apple!\n")
    assert paths(report(trees, directory_metadata=False)) == ["entry[doc/a.txt]!/text/line[1]"]


def test_excluded_entries(trees):
    (trees[1] / "doc" / "a.txt").write_text("other\n")
    (trees[1] / "more").mkdir()
    (trees[1] / "more" / "file").write_text("x")
    stamp(trees[0].parent)
    budget = Budget(exclude=lambda key: key in {b"doc/a.txt", b"more"})
    found = compared(trees, budget)
    assert (found.report["verdict"], found.excluded) == ("identical", 2)


def test_names_that_are_no_text(trees):
    for number, tree in enumerate(trees):
        with open(os.fsencode(tree) + b"/\xff\n\x1b[31m", "wb") as file:
            file.write(bytes([0, number]))
    stamp(trees[0].parent)
    assert paths(report(trees)) == ["entry[\\xff\\n\\x1b[31m]!/bytes"]


@needs_user
def test_unreadable_entries_are_trouble(trees):
    (trees[1] / "run.sh").chmod(0)
    (trees[0] / "run.sh").chmod(0)
    found = compared(trees)
    assert found.status == 2
    (notice,) = {notice["text"] for notice in found.report["notices"]}
    assert "permission denied" in notice
    (trees[0] / "run.sh").chmod(0o644)
    (trees[1] / "run.sh").chmod(0o644)
    (trees[1] / "doc").chmod(0)
    assert compared(trees).status == 2
    (trees[1] / "doc").chmod(0o755)


def exchange(path):
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    "happens",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text("longer than before"),
        exchange,
        lambda path: (path.unlink(), path.symlink_to("/etc/passwd")),
    ],
    ids=["vanished", "grew", "became a FIFO", "became a link"],
)
def test_what_changes_meanwhile_is_trouble(trees, happens, monkeypatch):
    real = directory.Tree._scan

    def scan(tree):
        yield from real(tree)
        if tree.root == os.fspath(trees[1]):
            happens(trees[1] / "run.sh")

    monkeypatch.setattr(directory.Tree, "_scan", scan)
    found = compared(trees)
    assert found.status == 2
    (notice,) = found.report["notices"]
    assert notice["path"] == "left!/directory/entry[run.sh]"
    assert notice["kind"] == "damaged"


def test_descriptors_are_closed(trees):
    (trees[1] / "run.sh").write_text("#!/bin/zz\n")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        compared(trees)
    import gc

    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_the_listing_is_a_partition(trees):
    (trees[0] / "link").symlink_to("doc")
    os.link(trees[0] / "run.sh", trees[0] / "again.sh")
    listing = directory.Tree(os.fspath(trees[0]), Budget(), metadata=True).listing
    assert isinstance(listing, Listing)
    assert identify(listing).name == "directory"
    at = 0

    def visit(node):
        nonlocal at
        if isinstance(node, Group):
            for child in children(node):
                visit(child)
        elif isinstance(node, Record):
            for leaf in fields(node):
                visit(leaf)
        else:
            assert node.start == at
            at = node.stop

    visit(listing.tree())
    assert at == listing.size
    whole = listing.read(0, listing.size)
    assert len(whole) == listing.size
    assert b"".join(listing.read(n, n + 7) for n in range(0, listing.size, 7)) == whole


def test_every_byte_has_an_account_and_sides_swap(trees):
    stamp(trees[1], 7)
    (trees[1] / "doc" / "b.txt").write_text("plums\n" * 9)
    (trees[1] / "more").write_text("more")
    one, two = report(trees), report(trees[::-1])
    for account in one["streams"]:
        parts = (account[key] for key in ("origin", "consequence", "suspected", "unexplained"))
        assert sum(parts) == account["differing"]
    sums = [[{k: v for k, v in stream.items() if k != "path"} for stream in seen["streams"]] for seen in (one, two)]
    assert sums[0] == sums[1]
    assert [cause["count"] for cause in one["causes"]] == [cause["count"] for cause in two["causes"]]


def test_libraries_are_not_loaded_for_explained_trees(trees):
    stamp(trees[1], 7)
    script = (
        "import sys; before = set(sys.modules); from reprodiff.app import diff; from reprodiff.budget import Budget;"
        "assert diff(*sys.argv[1:], Budget()).report['verdict'] == 'explained';"
        "assert not {'magic', 'libarchive', 'ctypes', 'lz4'} & (set(sys.modules) - before)"
    )
    subprocess.run(
        [sys.executable, "-c", script, *map(os.fspath, trees)], check=True, cwd=os.path.dirname(__file__) + "/.."
    )


def test_what_bytes_are_is_named(trees):
    pytest.importorskip("magic", reason="python-magic is not installed")
    for number, tree in enumerate(trees):
        (tree / "data").write_bytes(b"\x93\0" * 20 + bytes([number]))
        (tree / "sound").write_bytes(b"fLaC\0\0\0\x22" + bytes([16, 0, 16, 0]) + bytes(20) + bytes([number]) * 9)
    stamp(trees[0].parent)
    found = {item["path"].rpartition("[")[2]: item.get("type") for item in report(trees)["unexplained"]}
    assert found["data]!/bytes"] is None
    assert found["sound]!/bytes"].startswith("FLAC audio")
