"""What is peculiar to LZ4 files."""

import shutil
import subprocess
import sys

import pytest
from compressed import MIB, TEXT, causes, damaged, library, named, payloads, report, stopped

from reprodiff.formats import identify
from reprodiff.sources import Bytes

frame = library("lz4.frame")
block = library("lz4.block")

LZ4 = frame.compress(TEXT)


def skippable(data):
    return b"\x5f\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data


def legacy(*contents):
    out = b"\x02\x21\x4c\x18"
    for content in contents:
        data = block.compress(content, store_size=False)
        out += len(data).to_bytes(4, "little") + data
    return out


def test_frames_are_one_content():
    data = frame.compress(TEXT[:7000]) + frame.compress(TEXT[7000:])
    assert payloads(data, "lz4") == [TEXT]
    seen = report(LZ4, data)
    assert (causes(seen), seen["verdict"], seen["proof"]) == (["compressor-params"], "explained", "consistent")
    assert "frames: 2" in named(seen)[1]


def test_skippable_frames_are_somebodys():
    left, right = skippable(b"one") + LZ4, skippable(b"two") + LZ4
    assert payloads(left, "lz4") == [TEXT]
    assert [item["path"] for item in report(left, right)["unexplained"]] == ["left!/lz4/skippable[0]/user data"]


def test_skippable_frames_alone_are_no_lz4_file():
    assert identify(Bytes(skippable(b"one") * 20)) is None


def test_legacy_frames():
    big = bytes(8 * MIB)
    data = legacy(big, TEXT)
    assert payloads(data, "lz4") == [big + TEXT]
    assert named(report(legacy(TEXT), LZ4))[0].startswith("lz4, frame: legacy")
    # Linux appends the size of the kernel, which is no block.
    assert payloads(legacy(TEXT) + b"\xff\xff\xff\x7f", "lz4") == [TEXT]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"content_checksum": True}, "content checksum: yes"),
        ({"block_checksum": True}, "block checksums: yes"),
        ({"store_size": False}, "content size: not stated"),
        ({"block_size": frame.BLOCKSIZE_MAX64KB, "block_linked": False}, "blocks: independent"),
    ],
)
def test_settings_are_named(options, words):
    data = frame.compress(TEXT, **options)
    assert payloads(data, "lz4") == [TEXT]
    base = frame.compress(TEXT, block_size=frame.BLOCKSIZE_MAX64KB, block_linked=True)
    assert words in named(report(base, data))[1]


def test_damage():
    damaged(LZ4, frame.compress(TEXT, compression_level=9), 6)
    damaged(legacy(TEXT), LZ4, 7)


def test_a_bomb_is_stopped():
    stopped(frame.compress(bytes(64 * MIB)))


def test_without_the_library_the_report_says_what_is_lacking(monkeypatch):
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    (notice,) = report(LZ4, frame.compress(TEXT[1:]))["notices"]
    assert notice["kind"] == "missing-library"
    assert "python3-lz4" in notice["text"]


@pytest.mark.skipif(not shutil.which("lz4"), reason="lz4 is not installed")
def test_frames_are_those_that_lz4_lists(tmp_path):
    path = tmp_path / "data.lz4"
    path.write_bytes(LZ4 + skippable(b"x") + LZ4)
    rows = subprocess.run(["lz4", "--list", path], capture_output=True, text=True, check=True).stdout
    assert rows.splitlines()[1].split()[0] == "3"
    assert payloads(path.read_bytes(), "lz4") == [TEXT, TEXT]
