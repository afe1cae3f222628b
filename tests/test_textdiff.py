"""Text comparison: the hunks rebuild the other side, whichever side that is, at a work that grows with the size."""

import itertools
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reprodiff import textdiff
from reprodiff.textdiff import Hunk, classify, hunks, order_name

LINES = st.lists(
    st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n", b"  }\n", b"x\r\n", b"long line %d\n" % 7]), max_size=40
)
TAIL = st.sampled_from([b"", b"a", b"b", b"a\r"])
TEXT = st.builds(lambda lines, tail: b"".join(lines) + tail, LINES, TAIL)
ANY = st.one_of(TEXT, st.binary(max_size=60), st.text(alphabet="ab\n", max_size=60).map(str.encode))


def rebuilt(left: bytes, right: bytes, found: list[Hunk]) -> bytes:
    parts, at = [], 0
    for l0, l1, r0, r1 in found:
        parts += [left[at:l0], right[r0:r1]]
        at = l1
    return b"".join([*parts, left[at:]])


def assert_sound(left: bytes, right: bytes) -> list[Hunk]:
    """Everything `hunks` promises about one pair; returns the hunks."""
    found = hunks(left, right)
    assert rebuilt(left, right, found) == right
    assert hunks(right, left) == [(r0, r1, l0, l1) for l0, l1, r0, r1 in found]
    for text, spans in ((left, [h[:2] for h in found]), (right, [h[2:] for h in found])):
        bounds = [bound for span in spans for bound in span]
        assert bounds == sorted(bounds)
        assert all(at in (0, len(text)) or text[at - 1 : at] == b"\n" for at in bounds)
    assert all(h[0] < h[1] or h[2] < h[3] for h in found)
    assert all(a[1] < b[0] and a[3] < b[2] for a, b in itertools.pairwise(found))
    return found


@given(ANY, ANY)
@example(b"", b"")
@example(b"a", b"a\n")
@example(b"a\nb", b"a\nb\nb")
@example(b"b\na", b"b")
@example(b"a\n" * 5, b"a\n" * 7)
def test_hunks_rebuild_the_other_side_and_turn_with_the_sides(left: bytes, right: bytes) -> None:
    found = assert_sound(left, right)
    assert bool(found) == (left != right)


@given(ANY)
def test_a_text_does_not_differ_from_itself(text: bytes) -> None:
    assert hunks(text, bytes(bytearray(text))) == []
    assert classify(text, text) is None


def numbered(count: int) -> list[bytes]:
    return [b"line %d of the text\n" % number if number % 3 else b"}\n" for number in range(count)]


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 60), st.integers(0, 2))
def test_hunks_are_sound_over_many_windows(rnd: random.Random, edits: int, moves: int) -> None:
    left = numbered(6000)
    right = list(left)
    for _ in range(edits):
        at = rnd.randrange(len(right))
        right[at : at + rnd.randrange(3)] = [b"new %d\n" % number for number in range(rnd.randrange(3))]
    for _ in range(moves):
        at, to = rnd.randrange(len(right) - 300), rnd.randrange(5000)
        block = right[at : at + 300]
        del right[at : at + 300]
        right[to:to] = block
    assert_sound(b"".join(left), b"".join(right))


def test_scattered_edits_come_out_one_by_one() -> None:
    left = numbered(20_000)
    right = list(left)
    for at in (16_001, 9_001, 5, 4):
        right[at] = b"changed\n"
    right[12_000:12_000] = [b"inserted\n"] * 1000
    del right[2_000:2_900]
    found = assert_sound(b"".join(left), b"".join(right))
    assert len(found) == 5
    assert sum(h[1] - h[0] for h in found) == len(
        b"".join([*left[2_000:2_900], *(left[n] for n in (4, 5, 9_001, 16_001))])
    )


def test_repeated_lines_are_aligned_in_small_gaps() -> None:
    left = b"a\na\nb\nb\na\n" + b"x\n" + b"b\na\n" * 3
    right = b"b\na\nb\nb\na\n" + b"y\n" + b"a\nb\n" * 3
    assert sum(h[1] - h[0] for h in assert_sound(left, right)) <= 3 * 2


def test_lines_repeated_equally_often_are_paired_in_large_gaps() -> None:
    body = b"p\nq\n" * 200
    left, right = b"l\n" + body + b"l\n" + body + b"l\n", b"r\n" + body + b"r\n" + body + b"r\n"
    assert len(assert_sound(left, right)) == 3


def test_only_line_feeds_end_lines() -> None:
    assert hunks(b"a\rb\x0bc\x85d\n1\n", b"a\rb\x0bc\x85e\n1\n") == [(0, 8, 0, 8)]


def test_a_missing_final_line_feed_is_a_difference() -> None:
    assert hunks(b"a\nb\n", b"a\nb") == [(2, 4, 2, 3)]


def count_work(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """From now on collects, for each window opened, the lines and then the bytes that it made."""
    work: list[int] = []
    real = textdiff._window

    def counting(text: bytes, start: int, size: int, end: int) -> tuple[list[bytes], list[int]]:
        lines, offsets = real(text, start, size, end)
        work.extend((len(lines), offsets[-1] - start))
        return lines, offsets

    monkeypatch.setattr(textdiff, "_window", counting)
    return work


def test_equal_stretches_are_never_cut_into_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    work = count_work(monkeypatch)
    left = numbered(200_000)
    right = list(left)
    for at in range(10_000, 200_000, 20_000):
        right[at] = b"changed\n"
    assert len(hunks(b"".join(left), b"".join(right))) == 10
    assert sum(work[1::2]) <= 10 * 2 * (textdiff.FIRST_WINDOW + 100)


HARD = {
    "all different": (b"".join(numbered(50_000)), b"".join(b"other " + line for line in numbered(50_000))),
    "one line repeated": (b"a\n" * 100_000, b"b\n" * 90_000),
    "two lines repeated": (b"a\nb\n" * 50_000, b"b\nb\na\n" * 40_000),
    "reversed": (b"".join(numbered(50_000)), b"".join(reversed(numbered(50_000)))),
    "giant lines": (bytes(1 << 22) + b"\nx\n", b"y" + bytes(1 << 22) + b"\nz\n"),
    "no line feed": (bytes(1 << 22), bytes(1 << 21) + b"\1" + bytes(1 << 21)),
}


@pytest.mark.parametrize("case", HARD)
def test_hard_pairs_take_linear_work(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = HARD[case]
    work = count_work(monkeypatch)
    found = hunks(left, right)
    assert rebuilt(left, right, found) == right
    assert sum(work[::2]) <= 8 * (left.count(b"\n") + right.count(b"\n") + 2)
    assert sum(work[1::2]) <= 8 * (len(left) + len(right))


def test_windows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textdiff, "LAST_WINDOW", 32 << 10)
    monkeypatch.setattr(textdiff, "LINES_MAX", 3000)
    work = count_work(monkeypatch)
    for left, right in HARD.values():
        if b"\0" not in left:
            assert_sound(left, right)
    assert max(work[::2]) <= 3000
    assert max(work[1::2]) <= 40 << 10


def test_exact_alignment_is_for_small_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    cells: list[int] = []
    real = textdiff._exact_pairs

    def counting(left: list[bytes], right: list[bytes]) -> list[tuple[int, int]]:
        cells.append(len(left) * len(right))
        return real(left, right)

    monkeypatch.setattr(textdiff, "_exact_pairs", counting)
    rnd = random.Random(3)
    left, right = (b"".join(rnd.choices([b"a\n", b"b\n", b"c\n"], k=60_000)) for _ in range(2))
    assert_sound(left, right)
    assert all(count <= textdiff.CELLS_MAX for count in cells)
    assert sum(cells) <= 2 * 40 * (60_000 + 60_000)


@pytest.mark.parametrize(
    ("left", "right", "name"),
    [
        (b"a\nb\n", b"b\na\n", "order"),
        (b"a\nb", b"b\na", "order"),
        (b"a\na\nb\n", b"b\nb\na\n", None),
        (b"ab\n", b"ba\n", None),
        (b"a\r\nb\r\n", b"a\nb\n", "line-ending"),
        (b"a\rb\r", b"a\nb\n", "line-ending"),
        (b"a\r\nb\n", b"a\nb\r\n", "line-ending"),
        (b"a b\n", b"a  b\n", "white-space"),
        (b"a\n\nb\n", b"a\nb\n\n", "white-space"),
        (b"a\tb", b"a b\n", "white-space"),
        (b"a\xc2\xa0b", b"a b", None),
        (b"", b"\n", "white-space"),
        (b"", b"x\n", None),
        (b"same\n", b"same\n", None),
    ],
)
def test_classify(left: bytes, right: bytes, name: str | None) -> None:
    assert classify(left, right) == name
    assert classify(right, left) == name


@given(st.lists(st.binary(max_size=4).filter(lambda line: b"\n" not in line), max_size=12), st.randoms())
def test_shuffled_lines_have_a_name(lines: list[bytes], rnd: random.Random) -> None:
    other = rnd.sample(lines, len(lines))
    left, right = b"\n".join(lines) + b"\n", b"\n".join(other) + b"\n"
    assert (classify(left, right) is None) == (left == right)


@given(ANY, ANY)
def test_classify_says_what_it_means(left: bytes, right: bytes) -> None:
    name = classify(left, right)
    if name == "white-space":
        assert b"".join(left.split()) == b"".join(right.split())
    elif name == "order":
        assert sorted(left.split(b"\n")) == sorted(right.split(b"\n"))


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        ([], "sorted by name"),
        ([b"x"], "sorted by name"),
        ([b"a", b"b"], "sorted by name"),
        ([b"b", b"a"], "reverse sorted"),
        ([b"A", b"B", b"a"], "sorted by name"),
        ([b"d/", b"d/x", b"d-e"], "sorted by name"),
        ([b"d", b"d/", b"e"], "sorted by name"),
        ([b"d-e", b"d/", b"d/x"], "sorted by name"),
        ([b"d/x", b"d/", b"a"], "reverse sorted"),
        ([b"a", b"B", b"c", b"D"], "locale collation"),
        ([b"bin", b".cache", b"Doc", b"_e"], "locale collation"),
        ([b"b", b"c", b"a"], "directory order"),
        ([b"a\n", b"b\n", b"b\tc\n"], "sorted by name"),
    ],
)
def test_order_name(lines: list[bytes], name: str) -> None:
    assert order_name(lines) == name
