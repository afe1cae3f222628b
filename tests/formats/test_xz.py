"""What is peculiar to .xz files."""

import lzma
import shutil
import subprocess

import pytest
from compressed import MIB, TEXT, causes, damaged, layout, named, payloads, report, stopped

from reprodiff.formats.xz import dictionary, vli

XZ = lzma.compress(TEXT)


def chain(*filters):
    return lzma.compress(TEXT, filters=list(filters))


def test_streams_and_padding_are_one_content():
    data = lzma.compress(TEXT[:100]) + bytes(8) + lzma.compress(TEXT[100:]) + bytes(4)
    assert payloads(data, "xz") == [TEXT]
    parts = layout(data)
    assert [parts[key] for key in parts if key.startswith("stream padding")] == [bytes(4)]
    assert named(report(XZ, data))[1].startswith("xz, streams: 2, blocks: 2, padding: 12 bytes")


def test_an_empty_file_has_no_block():
    data = lzma.compress(b"")
    assert payloads(data, "xz") == [b""]
    assert "stream[1]/index/number of records" in layout(data)


@pytest.mark.parametrize("padding", [b"\0\0\0", b"what follows"])
def test_what_is_no_stream_padding_trails(padding):
    seen = report(XZ, XZ + padding)
    assert causes(seen) == (["sparse-or-padding"] if not padding.strip(b"\0") else [])
    assert [item["path"] for item in seen["unexplained"]] == ([] if not padding.strip(b"\0") else ["left!/xz/trailing"])


@pytest.mark.parametrize(
    ("left", "right", "words"),
    [
        (XZ, lzma.compress(TEXT, check=lzma.CHECK_SHA256), ("check: CRC64", "check: SHA-256")),
        (XZ, lzma.compress(TEXT, check=lzma.CHECK_NONE), ("check: CRC64", "check: none")),
        (XZ, lzma.compress(TEXT, preset=9), ("8 MiB as in preset 5-6", "64 MiB as in preset 9")),
        (
            chain({"id": lzma.FILTER_LZMA2, "dict_size": 1 << 16}),
            chain({"id": lzma.FILTER_DELTA, "dist": 4}, {"id": lzma.FILTER_LZMA2, "dict_size": 3 << 15}),
            ("a dictionary of 64 KiB", "delta 03, LZMA2 with a dictionary of 96 KiB"),
        ),
    ],
)
def test_settings_are_named(left, right, words):
    assert payloads(left, "xz") == payloads(right, "xz") == [TEXT]
    seen = report(left, right)
    assert (causes(seen), seen["proof"]) == (["compressor-params"], "proved")
    for word, text in zip(words, named(seen), strict=True):
        assert word in text


def test_settings_are_named_beside_other_contents():
    seen = report(XZ, lzma.compress(TEXT[:-1] + b"!", check=lzma.CHECK_CRC32))
    assert named(seen) == ("xz, check: CRC64", "xz, check: CRC32")
    assert seen["verdict"] == "unexplained"
    assert causes(report(XZ, lzma.compress(TEXT[:-1] + b"!"))) == []


def test_numbers():
    assert vli(b"\x80\x01rest", 0) == (128, 2)
    assert dictionary(b"\x16") == 8 * MIB
    assert dictionary(b"\x28") == (1 << 32) - 1


def test_damage():
    damaged(XZ, lzma.compress(TEXT, preset=1), 1)


def test_a_bomb_is_stopped():
    engine = lzma.LZMACompressor(preset=0)
    stopped(b"".join([*(engine.compress(bytes(MIB)) for _ in range(64)), engine.flush()]))


@pytest.mark.skipif(not shutil.which("xz"), reason="xz is not installed")
def test_blocks_are_those_that_xz_lists(tmp_path):
    path = tmp_path / "data.xz"
    done = subprocess.run(["xz", "-T2", "--block-size=32KiB", "-c"], input=TEXT, capture_output=True, check=True)
    path.write_bytes(done.stdout)
    parts = layout(done.stdout)
    rows = subprocess.run(["xz", "--robot", "-lvv", path], capture_output=True, text=True, check=True).stdout
    blocks = [line.split("\t") for line in rows.splitlines() if line.startswith("block\t")]
    assert len(blocks) > 1
    for number, row in enumerate(blocks, 1):
        start = f"stream[1]/block[{number}]/"
        assert sum(len(parts[key]) for key in parts if key.startswith(start)) == int(row[6])
        assert parts[f"{start}check"][::-1].hex() == row[10].lower()
    assert "with sizes (threads)" in named(report(XZ, done.stdout))[1]
