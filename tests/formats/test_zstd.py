"""What is peculiar to Zstandard files."""

import shutil
import subprocess
import sys

import pytest
from compressed import MIB, TEXT, causes, damaged, layout, named, payloads, report, stopped, zstd

from reprodiff.errors import MissingLibraryError
from reprodiff.formats import zstd as module
from reprodiff.formats.zstd import extent, read_header
from reprodiff.sources import Bytes

library = zstd()


def compress(data, level=3, **options):
    names = library.CompressionParameter
    chosen = {getattr(names, name): value for name, value in options.items()}
    return library.compress(data, options={names.compression_level: level, **chosen})


def skippable(data, number=0):
    return bytes([0x50 + number]) + b"\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data


def pzstd(*frames):
    return b"".join(skippable(len(frame).to_bytes(4, "little")) + frame for frame in frames)


ZSTD = compress(TEXT)
ONE, TWO = compress(TEXT[:5000]), compress(TEXT[5000:])


def test_frames_are_one_content():
    assert payloads(ONE + TWO, "zstd") == [TEXT]
    seen = report(ZSTD, ONE + TWO)
    assert (causes(seen), seen["verdict"]) == (["compressor-params"], "explained")
    assert "frames: 2" in named(seen)[1]


def test_sizes_before_frames_say_nothing_of_their_own():
    data = pzstd(ONE, TWO)
    assert payloads(data, "zstd") == [TEXT]
    assert "sizes before frames: yes (pzstd)" in named(report(ONE + TWO, data))[1]
    # The same four bytes that are no size.
    assert payloads(skippable(b"1234") + ZSTD, "zstd") == [TEXT]
    assert [i["path"] for i in report(skippable(b"1234") + ZSTD, skippable(b"1235") + ZSTD)["unexplained"]] == [
        "left!/zstd/skippable[0]/user data"
    ]


def test_a_seek_table_says_nothing_of_its_own():
    rows = [(len(ONE), 5000), (len(TWO), len(TEXT) - 5000)]
    table = b"".join(n.to_bytes(4, "little") for row in rows for n in row) + b"\2\0\0\0\0\xb1\xea\x92\x8f"
    assert "seek table: yes" in named(report(ONE + TWO, ONE + TWO + skippable(table, 14)))[1]
    wrong = bytes(4) + table[4:]
    assert [i["kind"] for i in report(ONE + TWO, ONE + TWO + skippable(wrong, 14))["unexplained"]] == ["right"]


def test_user_data_between_frames_is_somebodys():
    left, right = ONE + skippable(b"one") + TWO, ONE + skippable(b"two") + TWO
    assert payloads(left, "zstd") == [TEXT[:5000], TEXT[5000:]]
    assert [item["path"] for item in report(left, right)["unexplained"]] == [
        f"left!/zstd/skippable[{len(ONE)}]/user data"
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"checksum_flag": 1}, "checksum: yes"),
        ({"content_size_flag": 0}, "content size: not stated"),
        ({"content_size_flag": 0, "window_log": 12}, "window: 4 KiB"),
    ],
)
def test_settings_are_named(options, words):
    data = compress(TEXT, **options)
    assert payloads(data, "zstd") == [TEXT]
    seen = report(ZSTD, data)
    assert seen["verdict"] == "explained"
    assert words in named(seen)[1]


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65_791, 65_792, 200_000])
def test_content_sizes_of_all_widths(size):
    data = compress(bytes(size), checksum_flag=1)
    assert payloads(data, "zstd") == [bytes(size)]
    assert extent(Bytes(data), 0) == len(data)
    assert read_header(data).content_at
    assert "frame[1]/frame content size" in layout(data)


def test_other_contents_have_no_cause():
    assert causes(report(ZSTD, compress(TEXT[:-1] + b"!"))) == []
    assert named(report(ZSTD, compress(TEXT[:-1], checksum_flag=1))) == ("zstd, checksum: no", "zstd, checksum: yes")


def test_damage():
    damaged(ZSTD, compress(TEXT, 1), 4)
    damaged(pzstd(ONE, TWO), compress(TEXT, 1), 5)


def test_a_bomb_is_stopped():
    stopped(compress(bytes(64 * MIB)))


def test_without_the_library_the_report_says_what_is_lacking(monkeypatch):
    monkeypatch.setitem(sys.modules, "backports.zstd", None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)
    with pytest.raises(MissingLibraryError):
        module.parse(Bytes(ZSTD), None)
    seen = report(ZSTD, ONE)
    (notice,) = seen["notices"]
    assert notice["kind"] == "missing-library"
    assert "backports.zstd" in notice["text"]
    assert seen["verdict"] == "unexplained"


@pytest.mark.skipif(not shutil.which("zstd"), reason="zstd is not installed")
def test_frames_are_those_that_zstd_lists(tmp_path):
    path = tmp_path / "data.zst"
    path.write_bytes(ONE + skippable(b"something") + compress(TEXT[5000:], checksum_flag=1))
    rows = subprocess.run(["zstd", "-lv", path], capture_output=True, text=True, check=True).stdout
    assert "Zstandard Frames: 2" in rows.replace("# ", "")
    assert "Skippable Frames: 1" in rows.replace("# ", "")
    assert len(payloads(path.read_bytes(), "zstd")) == 2
