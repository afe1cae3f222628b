"""Names that linkers make of the path of a file whose bytes they take as data (`ld -r -b binary`, `objcopy -I binary`):
all that is no letter or digit becomes `_`. Two builds have the same names but for the directory.
"""

import re
from collections import Counter

NAME = re.compile(rb"_binary_(\w+)_(start|end|size)")


def heads(left: bytes, right: bytes) -> tuple[bytes, bytes] | None:
    """Return what two such names begin with before the part that both end in, cut where a component of the path may
    begin; None where they are no two names of one kind, or end in nothing that both have."""
    one, two = NAME.fullmatch(left), NAME.fullmatch(right)
    if not one or not two or one[2] != two[2]:
        return None
    ones, twos = one[1].split(b"_"), two[1].split(b"_")
    count = 0
    while count < min(len(ones), len(twos)) and ones[-1 - count] == twos[-1 - count]:
        count += 1
    if not count:
        return None
    return b"_".join(ones[: len(ones) - count]), b"_".join(twos[: len(twos) - count])


def paired(lefts: list[bytes], rights: list[bytes]) -> dict[bytes, bytes]:
    """Return which name of the right side is which of the left, from the left one: under the one exchange of a directory
    that pairs all that one side alone has."""
    known = set(lefts), set(rights)
    ones = [name for name in lefts if name not in known[1] and NAME.fullmatch(name)]
    twos = {name for name in rights if name not in known[0] and NAME.fullmatch(name)}
    if not ones or len(ones) != len(twos):
        return {}
    found = Counter(pair for two in twos if (pair := heads(ones[0], two)))
    for left, right in found:
        pairs = {one: b"_binary_" + right + one[len(b"_binary_" + left) :] for one in ones
                 if one.startswith(b"_binary_" + left)}  # fmt: skip
        if set(pairs.values()) == twos:
            return pairs
    return {}
