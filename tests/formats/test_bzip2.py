"""What is peculiar to bzip2 files."""

import bz2

import pytest
from compressed import MIB, TEXT, causes, damaged, layout, named, payloads, report, stopped

BZIP2 = bz2.compress(TEXT)


def test_streams_are_one_content():
    data = bz2.compress(TEXT[:1000], 1) + bz2.compress(TEXT[1000:], 3)
    assert payloads(data, "bzip2") == [TEXT]
    assert layout(data)["stream[2]/header/level"] == b"3"
    seen = report(BZIP2, data)
    assert seen["proof"] == "proved"
    assert named(seen) == ("bzip2, level: 9, streams: 1", "bzip2, level: 1, streams: 2")


def test_nothing_is_a_stream_without_a_block():
    assert payloads(bz2.compress(b""), "bzip2") == [b""]


@pytest.mark.parametrize("head", [b"BZh9 is a word", b"BZh01AY&SY", b"BZh"])
def test_a_word_is_no_bzip2_file(head):
    assert report(head + b"one", head + b"two")["streams"][0]["path"] == "left"
    assert report(head + b"one", head + b"two")["notices"] == []


def test_what_trails_is_somebodys():
    seen = report(BZIP2 + b"one", BZIP2 + b"two")
    assert [item["path"] for item in seen["unexplained"]] == ["left!/bzip2/trailing"]


def test_another_level_beside_another_content():
    assert named(report(BZIP2, bz2.compress(TEXT + b"!", 1))) == ("bzip2, level: 9", "bzip2, level: 1")
    assert causes(report(BZIP2, bz2.compress(TEXT + b"!"))) == []


def test_damage():
    damaged(BZIP2, bz2.compress(TEXT, 1), 2)


def test_a_bomb_is_stopped():
    stopped(bz2.compress(bytes(64 * MIB)))
