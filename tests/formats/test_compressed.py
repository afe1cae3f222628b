"""Pairs that two compressors wrote."""

import bz2
import gzip
import lzma

from compressed import TEXT, causes, named, report


def test_another_compressor_is_a_cause():
    seen = report(gzip.compress(TEXT, mtime=0), lzma.compress(TEXT))
    assert (causes(seen), seen["verdict"]) == (["compressor-params"], "explained")
    left, right = named(seen)
    assert left.startswith("gzip")
    assert right.startswith("xz")


def test_what_they_hold_is_told_beside():
    seen = report(bz2.compress(TEXT), lzma.compress(TEXT.replace(b"line 7 ", b"line 8 ")))
    assert causes(seen) == ["compressor-params"]
    assert seen["verdict"] == "unexplained"
    assert len(seen["unexplained"]) == 1


def test_several_members_are_one_content():
    left = gzip.compress(TEXT[:999], mtime=0) + gzip.compress(TEXT[999:], mtime=0)
    assert report(left, lzma.compress(TEXT))["verdict"] == "explained"


def test_what_trails_has_no_counterpart():
    seen = report(gzip.compress(TEXT, mtime=0) + b"more", lzma.compress(TEXT))
    assert seen["verdict"] == "unexplained"
