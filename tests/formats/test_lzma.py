"""What is peculiar to LZMA_Alone files."""

import lzma

import pytest
from compressed import MIB, TEXT, causes, damaged, layout, named, payloads, report, stopped

from reprodiff.formats import identify
from reprodiff.sources import Bytes

LZMA = lzma.compress(TEXT, lzma.FORMAT_ALONE)


def with_size(data, size):
    return data[:5] + size.to_bytes(8, "little") + data[13:]


def test_header_and_stream():
    assert payloads(LZMA, "lzma") == [TEXT]
    assert layout(LZMA)["header/dictionary size"] == (8 * MIB).to_bytes(4, "little")


def test_a_stated_size_follows_from_the_content():
    data = with_size(LZMA, len(TEXT))
    assert payloads(data, "lzma") == [TEXT]
    assert named(report(LZMA, data)) == ("lzma, size: not stated", "lzma, size: stated")


def test_settings_are_named_and_nothing_is_proved():
    seen = report(LZMA, lzma.compress(TEXT, lzma.FORMAT_ALONE, preset=9))
    assert named(seen) == ("lzma, dictionary: 8 MiB", "lzma, dictionary: 64 MiB")
    assert (seen["verdict"], seen["proof"]) == ("explained", "consistent")


@pytest.mark.parametrize(
    "data",
    [
        b"]\0\0\x80\0" + b"\xff" * 8 + b"\1" + bytes(40),
        b"]\0\0\x81\0" + b"\xff" * 8 + bytes(40),
        b"]\0\0\x80\0",
        bytes(64),
    ],
    ids=["first byte", "dictionary", "short", "zeros"],
)
def test_what_only_resembles_it(data):
    entry = identify(Bytes(data))
    assert entry is None or entry.name != "lzma"


def test_damage():
    damaged(LZMA, lzma.compress(TEXT, lzma.FORMAT_ALONE, preset=1), 3)


def test_a_bomb_is_stopped():
    stopped(lzma.compress(bytes(64 * MIB), lzma.FORMAT_ALONE, preset=0))


def test_other_contents_have_no_cause():
    assert causes(report(LZMA, lzma.compress(TEXT[1:], lzma.FORMAT_ALONE))) == []
