"""Odd but legal zip archives and javadoc pages, where a script that writes them is at hand.

The environment variable REPRODIFF_EDGE names its folder; else it is looked for beside the checkout.
"""

import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import normalizers
from reprodiff.app import diff
from reprodiff.budget import Budget
from reprodiff.layout import emit
from reprodiff.rewrite import Rulebook, rewrite
from reprodiff.rules import CLAMP, UNIFY, Policy
from reprodiff.sources import Bytes

EDGE = Path(os.environ.get("REPRODIFF_EDGE") or Path(__file__).parents[2] / "shared" / "edge")
EPOCH = 1600000000
pytestmark = pytest.mark.skipif(not (EDGE / "make.py").exists(), reason=f"{EDGE} has no make.py")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("edge")
    subprocess.run([sys.executable, EDGE / "make.py"], cwd=folder, check=True, capture_output=True)
    return folder


def normalized(data, mode=CLAMP, *, opt_in=False, rules=True):
    policy = Policy(EPOCH if mode == CLAMP else 0, mode)
    wanted = normalizers.select(lambda rule: rules and (opt_in or not rule.opt_in))
    book = Rulebook(wanted, lambda name, source, root: normalizers.guard(name, source, root, policy))
    found = rewrite(Bytes(data), book, policy, Budget(), always=not rules)
    return data if found.pieces is None else b"".join(emit(found.pieces))


def members(data):
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        return [(one.filename, found.read(one), one.external_attr >> 16) for one in found.infolist()], found.comment


def names(data):
    return [name for name, _body, _mode in members(data)[0]]


ARCHIVES = ["symlink.zip", "comment.zip", "prefix.zip", "boot.jar", "extra1.zip", "oldux1.zip", "ntfs1.zip", "noextra.zip",
            "sysA.zip", "sysB.zip", "stream.zip", "seek.zip", "level1.zip", "level9.zip", "dup.zip", "zip64.zip",
            "empty.zip", "utf8.zip", "signed.jar", "signedlc.jar", "v2signed.apk", "aligned.apk", "book.epub",
            "doc.odt"]  # fmt: skip
every_archive = pytest.mark.parametrize("name", ARCHIVES)


@every_archive
def test_without_rules_nothing_changes(made, name):
    data = (made / name).read_bytes()
    assert normalized(data, rules=False) == data


@every_archive
@pytest.mark.parametrize("mode", [CLAMP, UNIFY])
def test_the_same_members_once_and_for_all(made, name, mode):
    data = (made / name).read_bytes()
    new = normalized(data, mode, opt_in=mode == UNIFY)
    assert normalized(new, mode, opt_in=mode == UNIFY) == new
    assert members(new)[1] == members(data)[1]
    assert sorted(members(new)[0]) == sorted(members(data)[0])


@pytest.mark.skipif(shutil.which("unzip") is None, reason="unzip is not installed")
@every_archive
def test_unzip_reads_it(made, name, tmp_path):
    (tmp_path / name).write_bytes(normalized((made / name).read_bytes()))
    for option in ("-tq", "-Zv"):
        done = subprocess.run(["unzip", option, tmp_path / name], capture_output=True, text=True, check=False)
        assert done.returncode == (1 if name == "empty.zip" else 0), done.stdout + done.stderr
        assert "warning" not in done.stderr or name == "empty.zip"


@pytest.mark.parametrize(
    ("left", "right", "cause"),
    [
        ("extra1.zip", "extra2.zip", "zip-extra-fields"),
        ("oldux1.zip", "oldux2.zip", "zip-extra-fields"),
        ("extra1.zip", "noextra.zip", "zip-extra-fields"),
        ("oldux1.zip", "noextra.zip", "zip-extra-fields"),
        ("ntfs1.zip", "ntfs2.zip", "zip-extra-fields"),
        ("sysA.zip", "sysB.zip", "zip-host-made-by"),
        ("stream.zip", "seek.zip", "zip-layout"),
    ],
)
def test_pairs_become_equal(made, left, right, cause):
    report = diff(str(made / left), str(made / right), Budget()).report
    assert (report["verdict"], report["proof"]) == ("explained", "proved")
    assert [one["id"] for one in report["causes"]] == [cause]
    for mode in (CLAMP, UNIFY):
        assert normalized((made / left).read_bytes(), mode) == normalized((made / right).read_bytes(), mode)


@pytest.mark.parametrize(("left", "right"), [("1", "6"), ("1", "9"), ("6", "9")])
def test_levels_are_named_and_become_equal_only_to_compare(made, left, right):
    one, two = made / f"level{left}.zip", made / f"level{right}.zip"
    (cause,) = diff(str(one), str(two), Budget()).report["causes"]
    assert cause["id"] == "compressor-params"
    assert (cause["examples"][0]["left"], cause["examples"][0]["right"]) == (
        f"zlib level {left}",
        f"zlib level {right}",
    )
    assert normalized(one.read_bytes()) != normalized(two.read_bytes())
    assert normalized(one.read_bytes(), UNIFY, opt_in=True) == normalized(two.read_bytes(), UNIFY, opt_in=True)


@pytest.mark.parametrize("name", ["prefix.zip", "boot.jar"])
def test_the_prefix_stays(made, name):
    data = (made / name).read_bytes()
    size = data.index(b"PK\3\4")
    assert normalized(data)[:size] == data[:size]
    assert normalized(data)[size : size + 4] == b"PK\3\4"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("word", [b"first", b"second"])
def test_a_change_in_either_of_two_members_of_one_name_is_reported(made, tmp_path, word):
    with zipfile.ZipFile(made / "dup.zip") as old, zipfile.ZipFile(tmp_path / "dup.zip", "w") as new:
        for one in old.infolist():
            new.writestr(one, old.read(one).replace(word, word.upper()))
    report = diff(str(made / "dup.zip"), str(tmp_path / "dup.zip"), Budget()).report
    assert [one["path"].split("!/text")[0] for one in report["unexplained"]] == ["dup.zip!/zip/member[a]"]


def test_the_wrapped_attribute_goes_and_the_one_before_stays(made):
    body = dict(one[:2] for one in members(normalized((made / "wrapped.jar").read_bytes()))[0])["META-INF/MANIFEST.MF"]
    assert b"Built-By" not in body
    assert b"someverylongusername" not in body
    assert body.startswith(b"Manifest-Version: 1.0\r\nX-Before: keep\r\n")
    assert body.endswith(b"Main-Class: a.B\r\n\r\n")


def test_the_stored_jar_inside_is_normalized(made):
    with zipfile.ZipFile(io.BytesIO(normalized((made / "nested.jar").read_bytes()))) as outer:
        one = outer.getinfo("BOOT-INF/lib/inner.jar")
        assert one.compress_type == zipfile.ZIP_STORED
        inner = outer.read(one)
    assert names(inner) == ["META-INF/MANIFEST.MF", "a", "z"]
    assert members(inner)[0][0][1] == b"Manifest-Version: 1.0\r\n\r\n"


def test_the_signing_block_stays(made):
    data = (made / "v2signed.apk").read_bytes()
    assert normalized(data) == data


def test_contents_stay_aligned(made):
    new = normalized((made / "aligned.apk").read_bytes())
    places = {}
    with zipfile.ZipFile(io.BytesIO(new)) as found:
        for one in found.infolist():
            lengths = [
                int.from_bytes(new[one.header_offset + at : one.header_offset + at + 2], "little") for at in (26, 28)
            ]
            places[one.filename] = one.header_offset + 30 + sum(lengths)
    assert places["resources.arsc"] % 4 == 0
    assert places["lib/arm64-v8a/libx.so"] % 4096 == 0


@pytest.mark.parametrize("name", ["book.epub", "doc.odt"])
def test_the_mimetype_is_first_and_stored(made, name):
    new = normalized((made / name).read_bytes())
    with zipfile.ZipFile(io.BytesIO(new)) as found:
        first = found.infolist()[0]
        assert (first.filename, first.compress_type, first.extra) == ("mimetype", zipfile.ZIP_STORED, b"")
    # Where file(1) looks for it.
    assert new[30:50].startswith(b"mimetypeapplication/")


@pytest.mark.parametrize("name", ["oneline.html", "crlf.html"])
def test_javadoc_dates_alone_change(made, name):
    data = (made / name).read_bytes()
    wanted = data.replace(b" on Mon Jan 01 2024", b"").replace(b"2024-01-01", b"2020-09-13")
    assert normalized(data) == wanted
