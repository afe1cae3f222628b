"""Compare two texts by lines, as bytes, in near-linear time and memory.

A *line* runs up to and including its line feed; only the last line of a text may lack it. Nothing here decodes,
so any bytes may be given. Positions are byte offsets. No function raises on any input.

The work is kept small in three steps: equal stretches are skipped by comparing big slices; a window is opened only
where the texts differ, and grows until its lines agree again; inside a window the lines that occur once on each side
are paired first (patience), and the gaps between these pairs are treated in the same way.

What a difference is called must not depend on which text is the left one, and most alignments have equally good
rivals. Both texts are therefore put in a canonical order first and the result is turned back: swapping the arguments
swaps the hunks, exactly.
"""

from bisect import bisect_left
from collections.abc import Iterable
from io import BytesIO
from itertools import accumulate, islice
from operator import lt

Hunk = tuple[int, int, int, int]
"""(l0, l1, r0, r1): left[l0:l1] stands where right[r0:r1] stands."""

FIRST_WINDOW = 8 << 10
"""Bytes a side of the first window opened at a difference."""
LAST_WINDOW = 16 << 20
"""Bytes a side of the largest window; a longer stretch without agreement becomes a coarse hunk."""
LINES_MAX = 400_000
"""Lines a side of the largest window: line objects, not bytes, are what takes memory."""
DEPTH_MAX = 8
"""How often a gap between paired lines is searched for pairs again."""
CELLS_MAX = 4096
"""Line comparisons spent on the exact alignment of one small gap."""
AGREEMENT_MIN = 4
"""Paired lines that a window needs before its alignment is believed."""

_FIRST_SLICE = 1 << 10
_LAST_SLICE = 64 << 10
_SPACE = b" \t\n\r\x0b\x0c"

_Pair = tuple[int, int]
_Lines = list[bytes]


def hunks(left: bytes, right: bytes) -> list[Hunk]:
    """The differing stretches of two texts, as (l0, l1, r0, r1) in byte offsets at line boundaries.

    They are ordered, disjoint and never touch; outside of them the texts are equal, so replacing each left[l0:l1] by
    right[r0:r1] rebuilds right. ``hunks(right, left)`` gives the same list with the sides exchanged.

    Not always minimal: lines that moved or repeat a lot, and stretches longer than LAST_WINDOW without agreement,
    may come as one coarse hunk.
    """
    if left > right:
        return [(l0, l1, r0, r1) for r0, r1, l0, l1 in hunks(right, left)]
    start, left_end, right_end = _differing(left, right)
    return _merged(_walk(left, right, start, left_end, right_end))


def classify(left: bytes, right: bytes) -> str | None:
    """One word for all that differs between two texts, or None where no single word covers it (or nothing differs).

    - ``line-ending``: equal once CRLF and CR are LF;
    - ``white-space``: equal once all ASCII white space is deleted, line ends and blank lines included;
    - ``order``: the same lines the same number of times, in another order.

    The first that holds is given, the narrowest first: a moved blank line is white space, not order.
    """
    start, left_end, right_end = _differing(left, right)
    if start == left_end and start == right_end:
        return None
    if _same_but_line_ends(left, right):
        return "line-ending"
    if _same_but_space(left, right):
        return "white-space"
    if _same_lines(left[start:left_end], right[start:right_end]):
        return "order"
    return None


def same_letters(left: Iterable[bytes], right: Iterable[bytes]) -> bool:
    """False where no word of `classify` can cover two texts of which these are all lines that differ: each leaves the
    same bytes but white space, whatever their order."""
    import zlib

    ones, twos = (b"".join(side).translate(None, _SPACE) for side in (left, right))
    # The low half of Adler-32 is the sum of all bytes.
    return len(ones) == len(twos) and not (zlib.adler32(ones) ^ zlib.adler32(twos)) & 0xFFFF


def order_name(lines: list[bytes]) -> str:
    """Name the order in which lines, or the names of an archive's members, stand.

    - ``sorted by name``: by bytes, or by bytes of each path component (as when directories are walked sorted); a
      trailing slash does not count. Also the answer for fewer than two lines;
    - ``reverse sorted``: the same, descending;
    - ``locale collation``: ascending when letter case does not count, with or without punctuation. This approximates
      the first level of the collation of the usual UTF-8 locales; what they do with ties, accents and other scripts
      is not looked at;
    - ``unnamed order``: none of these, and fewer than 3 lines: too few to tell;
    - ``directory order``: none of these; typically what reading a directory gave.
    """
    names = [line.rstrip(b"\r\n").rstrip(b"/") for line in lines]
    paths = [name.replace(b"/", b"\0") for name in names]
    if _ascending(lines) or _ascending(names) or _ascending(paths):
        return "sorted by name"
    if _ascending(lines[::-1]) or _ascending(names[::-1]) or _ascending(paths[::-1]):
        return "reverse sorted"
    if len(lines) < 3:
        return "unnamed order"
    folded = [name.lower() for name in names]
    punctuation = bytes(code for code in range(128) if not chr(code).isalnum())
    if _ascending(folded) or _ascending([name.translate(None, punctuation) for name in folded]):
        return "locale collation"
    return "directory order"


def _ascending(keys: _Lines) -> bool:
    return not any(map(lt, islice(keys, 1, None), keys))


def _same_but_line_ends(left: bytes, right: bytes) -> bool:
    if b"\r" not in left and b"\r" not in right:
        return False
    return _with_line_feeds(left) == _with_line_feeds(right)


def _same_but_space(left: bytes, right: bytes) -> bool:
    # In pieces: texts that differ in more than white space mostly show it long before their ends.
    a = b = b""
    i = j = 0
    while True:
        if not a and i < len(left):
            a = left[i : i + _LAST_SLICE].translate(None, _SPACE)
            i += _LAST_SLICE
        elif not b and j < len(right):
            b = right[j : j + _LAST_SLICE].translate(None, _SPACE)
            j += _LAST_SLICE
        elif not a or not b:
            return a == b
        else:
            size = min(len(a), len(b))
            if a[:size] != b[:size]:
                return False
            a, b = a[size:], b[size:]


def _with_line_feeds(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _same_lines(left: bytes, right: bytes) -> bool:
    """Whether two texts have the same lines the same number of times."""
    import zlib

    # The low half of Adler-32 is the sum of all bytes, whatever their order: it rejects nearly every other pair
    # without making a line object.
    if len(left) != len(right) or (zlib.adler32(left) ^ zlib.adler32(right)) & 0xFFFF:
        return False
    from collections import Counter

    return Counter(left.split(b"\n")) == Counter(right.split(b"\n"))


def _differing(left: bytes, right: bytes) -> tuple[int, int, int]:
    """(start, left_end, right_end), at line starts or ends of text: all before and behind is equal."""
    limit = min(len(left), len(right))
    same = _common_prefix(left, right, 0, 0, limit)
    if same == len(left) == len(right):
        return same, same, same
    start = left.rfind(b"\n", 0, same) + 1
    tail = _common_tail(left, right, limit - start)
    left_end, right_end = len(left) - tail, len(right) - tail
    if not (_starts_line(left, left_end) and _starts_line(right, right_end)):
        newline = left.find(b"\n", left_end)
        tail = 0 if newline < 0 else len(left) - newline - 1
    return start, len(left) - tail, len(right) - tail


def _starts_line(text: bytes, at: int) -> bool:
    return at == 0 or text[at - 1] == 0x0A


def _common_prefix(left: bytes, right: bytes, i: int, j: int, limit: int) -> int:
    """How many bytes, at most limit, are equal from left[i] and right[j] on."""
    done, step = 0, _FIRST_SLICE
    while done < limit:
        step = min(step, limit - done)
        a, b = left[i + done : i + done + step], right[j + done : j + done + step]
        if a != b:
            return done + _first_difference(a, b)
        done += step
        step = min(step * 4, _LAST_SLICE)
    return done


def _common_tail(left: bytes, right: bytes, limit: int) -> int:
    """How many bytes, at most limit, are equal before the ends of both texts."""
    done, step = 0, _FIRST_SLICE
    while done < limit:
        step = min(step, limit - done)
        i, j = len(left) - done, len(right) - done
        a, b = left[i - step : i], right[j - step : j]
        if a != b:
            return done + _first_difference(a[::-1], b[::-1])
        done += step
        step = min(step * 4, _LAST_SLICE)
    return done


def _first_difference(a: bytes, b: bytes) -> int:
    """The first offset at which two different byte strings of one length differ."""
    low, high = 0, len(a)
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _walk(left: bytes, right: bytes, i: int, left_end: int, right_end: int) -> list[Hunk]:
    """The hunks between offset i on both sides and the two ends; neighbours may touch."""
    found: list[Hunk] = []
    j = i
    while i < left_end and j < right_end:
        hits, i, j = _window_hunks(left, right, i, j, left_end, right_end)
        found += hits
        same = _common_prefix(left, right, i, j, min(left_end - i, right_end - j))
        if i + same != left_end or j + same != right_end:
            same = max(left.rfind(b"\n", i, i + same) + 1 - i, 0)
        i, j = i + same, j + same
    if i < left_end or j < right_end:
        found.append((i, left_end, j, right_end))
    return found


def _merged(found: list[Hunk]) -> list[Hunk]:
    """The same hunks, those that touch joined."""
    result: list[Hunk] = []
    for l0, l1, r0, r1 in found:
        if result and result[-1][1] == l0 and result[-1][3] == r0:
            result[-1] = (result[-1][0], l1, result[-1][2], r1)
        else:
            result.append((l0, l1, r0, r1))
    return result


def _window_hunks(
    left: bytes, right: bytes, i: int, j: int, left_end: int, right_end: int
) -> tuple[list[Hunk], int, int]:
    """Align from (i, j) on, in the smallest window whose lines agree: its hunks, and the offsets where it ends."""
    size = FIRST_WINDOW
    while True:
        left_lines, left_at = _window(left, i, size, left_end)
        right_lines, right_at = _window(right, j, size, right_end)
        whole = left_at[-1] == left_end and right_at[-1] == right_end
        chain = [] if whole else _believed(left_lines, right_lines)
        l_stop, r_stop = (chain[-1][0] + 1, chain[-1][1] + 1) if chain else (0, 0)
        # A window is left only when that gains a quarter of what it cost: this keeps the sum of all windows linear.
        gained = left_at[l_stop] - i + right_at[r_stop] - j
        if gained * 4 < left_at[-1] - i + right_at[-1] - j:
            if not whole and size < LAST_WINDOW and max(len(left_lines), len(right_lines)) < LINES_MAX:
                size *= 4
                continue
            chain, l_stop, r_stop = [], len(left_lines), len(right_lines)
        gaps: list[Hunk] = []
        _between(left_lines, right_lines, chain, (0, l_stop, 0, r_stop), 0, gaps)
        hits = [(left_at[a], left_at[b], right_at[c], right_at[d]) for a, b, c, d in gaps]
        return hits, left_at[l_stop], right_at[r_stop]


def _window(text: bytes, start: int, size: int, end: int) -> tuple[_Lines, list[int]]:
    """The whole lines of about size bytes from start on, and the offset of each and of the end of the last."""
    stop = end
    if end - start > size:
        stop = text.find(b"\n", start + size - 1, end) + 1 or end
    lines = list(islice(BytesIO(text[start:stop]), LINES_MAX))
    return lines, list(accumulate(map(len, lines), initial=start))


def _believed(left: _Lines, right: _Lines) -> list[_Pair]:
    """The paired unique lines of two windows if they are many and mostly in one order, else none."""
    common = _unique_pairs(left, right)
    chain = _longest_chain(common)
    return chain if len(chain) >= AGREEMENT_MIN and 2 * len(chain) >= len(common) else []


def _between(left: _Lines, right: _Lines, chain: list[_Pair], box: Hunk, depth: int, found: list[Hunk]) -> None:
    """Append to found the hunks of the gaps that the pairs of chain leave in box (l0, l1, r0, r1); line numbers."""
    l0, l1, r0, r1 = box
    for l_at, r_at in chain:
        if l_at != l0 or r_at != r0:
            _gap(left, right, (l0, l_at, r0, r_at), depth, found)
        l0, r0 = l_at + 1, r_at + 1
    if l0 != l1 or r0 != r1:
        _gap(left, right, (l0, l1, r0, r1), depth, found)


def _gap(left: _Lines, right: _Lines, box: Hunk, depth: int, found: list[Hunk]) -> None:
    """Append to found the hunks inside box (l0, l1, r0, r1); line numbers."""
    l0, l1, r0, r1 = box
    while l0 < l1 and r0 < r1 and left[l0] == right[r0]:
        l0, r0 = l0 + 1, r0 + 1
    while l0 < l1 and r0 < r1 and left[l1 - 1] == right[r1 - 1]:
        l1, r1 = l1 - 1, r1 - 1
    if l0 == l1 and r0 == r1:
        return
    chain: list[_Pair] = []
    if l0 < l1 and r0 < r1 and (l1 - l0 > 1 or r1 - r0 > 1) and depth < DEPTH_MAX:
        chain = [(l0 + a, r0 + b) for a, b in _pairs(left[l0:l1], right[r0:r1])]
    if chain:
        _between(left, right, chain, (l0, l1, r0, r1), depth + 1, found)
    else:
        found.append((l0, l1, r0, r1))


def _pairs(left: _Lines, right: _Lines) -> list[_Pair]:
    """Equal lines of two gaps, ascending on both sides: unique ones if any, else the best that is affordable."""
    chain = _longest_chain(_unique_pairs(left, right))
    if chain or set(left).isdisjoint(right):
        return chain
    if len(left) * len(right) <= CELLS_MAX:
        return _exact_pairs(left, right)
    return _longest_chain(_counted_pairs(left, right))


def _unique_pairs(left: _Lines, right: _Lines) -> list[_Pair]:
    """(left number, right number) of each line that occurs exactly once on each side, by left number."""
    in_right = _once(right)
    return [(number, in_right[line]) for line, number in _once(left).items() if line in in_right]


def _once(lines: _Lines) -> dict[bytes, int]:
    """The number of each line that occurs exactly once, in the order of the lines."""
    last = dict(zip(lines, range(len(lines)), strict=True))
    if len(last) == len(lines):
        return last
    first = dict(zip(reversed(lines), range(len(lines) - 1, -1, -1), strict=True))
    return {line: number for line, number in last.items() if first[line] == number}


def _counted_pairs(left: _Lines, right: _Lines) -> list[_Pair]:
    """The pairs of lines that occur equally often on each side, the first with the first and so on."""
    from collections import Counter

    left_count, right_count = Counter(left), Counter(right)
    even = {line for line, count in left_count.items() if right_count.get(line) == count}
    in_right = _numbered(right, even)
    return [(number, in_right[key]) for key, number in _numbered(left, even).items()]


def _numbered(lines: _Lines, wanted: set[bytes]) -> dict[tuple[bytes, int], int]:
    """(line, how many such lines came before it) to the line's number, for the wanted lines in their order."""
    seen = dict.fromkeys(wanted, 0)
    result: dict[tuple[bytes, int], int] = {}
    for number, line in enumerate(lines):
        if line in seen:
            result[line, seen[line]] = number
            seen[line] += 1
    return result


def _exact_pairs(left: _Lines, right: _Lines) -> list[_Pair]:
    """A longest common subsequence of two short lists of lines."""
    width = len(right)
    rows = [[0] * (width + 1)]
    for line in reversed(left):
        below, row = rows[-1], [0] * (width + 1)
        for at in range(width - 1, -1, -1):
            row[at] = below[at + 1] + 1 if line == right[at] else max(below[at], row[at + 1])
        rows.append(row)
    rows.reverse()
    return _traced(left, right, rows)


def _traced(left: _Lines, right: _Lines, rows: list[list[int]]) -> list[_Pair]:
    """The pairs along one best path; rows[i][j] is the length of the best for left[i:] and right[j:]."""
    i = j = 0
    pairs: list[_Pair] = []
    while rows[i][j]:
        if left[i] == right[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif rows[i + 1][j] >= rows[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs


def _longest_chain(pairs: list[_Pair]) -> list[_Pair]:
    """A longest selection of pairs that ascends on both sides; pairs come by left number."""
    rights = [pair[1] for pair in pairs]
    if all(map(lt, rights, islice(rights, 1, None))):
        return pairs
    tails: list[int] = []
    tops: list[int] = []
    before: list[int] = []
    for number, right in enumerate(rights):
        length = bisect_left(tails, right)
        before.append(tops[length - 1] if length else -1)
        if length == len(tails):
            tails.append(right)
            tops.append(number)
        else:
            tails[length], tops[length] = right, number
    chain: list[_Pair] = []
    number = tops[-1]
    while number >= 0:
        chain.append(pairs[number])
        number = before[number]
    chain.reverse()
    return chain
