"""What is peculiar to JAR manifests."""

import pytest

import normalizers
from reprodiff import formats
from reprodiff.app import diff_sources
from reprodiff.budget import Budget
from reprodiff.formats import manifest
from reprodiff.layout import emit
from reprodiff.rewrite import Rulebook, rewrite
from reprodiff.rules import CLAMP, UNIFY, Policy
from reprodiff.sources import Bytes
from reprodiff.tree import leaves

HEAD = b"Manifest-Version: 1.0\r\n"


def normalized(data, mode=CLAMP, *, opt_in=False):
    rules = normalizers.select(lambda rule: opt_in or not rule.opt_in)
    pieces = rewrite(Bytes(data), Rulebook(rules, lambda *_: None), Policy(0, mode), Budget()).pieces
    return data if pieces is None else b"".join(emit(pieces))


def report(left, right):
    return diff_sources(Bytes(left), Bytes(right), "m", "m", Budget(), digests=False).report


def values(data):
    return {path: data[leaf.start : leaf.stop] for path, leaf in leaves(manifest.parse(Bytes(data), Budget()))}


def test_sections_and_continuation_lines():
    data = HEAD + b"Class-Path: a.jar b\r\n .jar\r\n\r\nName: a/B.class\r\nSealed: true\r\n\r\n"
    found = values(data)
    assert found["manifest/main/Class-Path/value"] == b"a.jar b\r\n .jar"
    assert found["manifest/section[a/B.class]/Sealed/value"] == b"true"
    assert b"".join(found.values()).count(b"true") == 1


@pytest.mark.parametrize("newline", [b"\r\n", b"\n", b"\r"])
def test_a_wrapped_attribute_goes_as_a_whole(newline):
    data = (
        HEAD + b"X-Before: stays\r\nBuilt-By: somebody with a\r\n  long name\r\n  indeed\r\nMain-Class: a.B\r\n\r\n"
    ).replace(b"\r\n", newline)
    assert normalized(data) == (HEAD + b"X-Before: stays\r\nMain-Class: a.B\r\n\r\n").replace(b"\r\n", newline)


def test_what_is_built_stays_and_is_never_explained():
    left, right = (
        HEAD + b"Implementation-Version: %s\r\nBuilt-By: %s\r\n\r\n" % pair
        for pair in ((b"1.0", b"a"), (b"1.1", b"bb"))
    )
    assert b"Implementation-Version: 1.0" in normalized(left)
    found = report(left, right)
    assert [cause["id"] for cause in found["causes"]] == ["jar-manifest-metadata"]
    assert [one["path"] for one in found["unexplained"]] == ["m!/manifest/main/Implementation-Version/value"]


@pytest.mark.parametrize("name", [b"built-by", b"BUILT-BY"])
def test_the_case_of_a_name_means_nothing(name):
    left, right = HEAD + b"Built-By: a\r\n\r\n", HEAD + name + b": b\r\n\r\n"
    assert normalized(right) == HEAD + b"\r\n"
    assert report(left, right)["verdict"] == "explained"


def test_tools_are_taken_out_only_when_asked():
    data = HEAD + b"Created-By: 17.0.1 (Somebody)\r\n\r\n"
    assert normalized(data) == data
    assert normalized(data, opt_in=True) == HEAD + b"\r\n"


def test_sets_in_another_order():
    left = HEAD + b'Export-Package: a;version="[1,2)",b,' + b"c" * 60 + b"\r\n\r\n"
    left = left[: len(HEAD) + 72] + b"\r\n " + left[len(HEAD) + 72 :]
    right = HEAD + b"Export-Package: b," + b"c" * 54 + b"\r\n " + b"c" * 6 + b',a;version="[1,2)"\r\n\r\n'
    found = report(left, right)
    assert [(cause["id"], cause["proof"]) for cause in found["causes"]] == [("jar-manifest-order", "proved")]
    assert normalized(left, UNIFY) == normalized(right, UNIFY)
    assert max(map(len, normalized(left, UNIFY).split(b"\r\n"))) <= 72


@pytest.mark.parametrize(
    "tail", [b"no attribute\r\n", b" continuation of nothing", b"a:b\n", b"\n\n\n", b"\0\1\2", b"X"]
)
def test_other_lines_are_kept(tail):
    data = HEAD + tail
    assert b"".join(values(data).values()) == data


def test_other_texts_are_none():
    for data in (b"Manifest-Version: one\n", b"Manifest-Versions are many\n"):
        entry = formats.identify(Bytes(data))
        assert entry is not None
        assert entry.name == "text"
