"""Names of Rust are made of what they say and of digests: of the crate, of the module, of a constant; names of GCC at times."""

import re
from collections import defaultdict

DIGEST = re.compile(
    rb"17h[0-9a-f]{16}E|(?<=Cs)[0-9a-zA-Z]{5,13}_|(?<=anon\.)[0-9a-f]{32}|(?<=alloc_)[0-9a-f]{32}|(?<=\.)[0-9a-f]{16}(?=-cgu\.)"
    rb"|(?<=-)[0-9a-f]{16}(?=\.)|\.llvm\.\d{4,20}$|(?:(?<=\.)|(?<=/)|^)(?=[a-z]*\d)[0-9a-z]{24,25}(?=$|\.rcgu)"
    # Debug information of one source file, as GCC names it when it optimizes while linking.
    rb"|(?:(?<=\.c)|(?<=\.cc)|(?<=\.cpp)|(?<=\.cxx)|(?<=\.f90))\.[0-9a-f]{8}$"
)


def plain(name: bytes) -> bytes:
    """Return a name without its digests."""
    return DIGEST.sub(b"", name)


def digested(name: bytes) -> bool:
    """Tell whether a name has a digest."""
    return bool(DIGEST.search(name))


def by_plain(names: list[bytes]) -> dict[bytes, list[bytes]]:
    """Return names that have digests, in order, by what they are without."""
    found: defaultdict[bytes, list[bytes]] = defaultdict(list)
    for name in dict.fromkeys(names):
        if digested(name):
            found[plain(name)].append(name)
    return found


def grouped(ones: list[bytes], twos: list[bytes]) -> dict[bytes, bytes]:
    """Pair names of one side alone that are the same but for digests: in order, where both sides have as many."""
    right = by_plain(twos)
    return {
        one: two
        for key, names in by_plain(ones).items()
        if len(names) == len(right.get(key, ()))
        for one, two in zip(names, right[key], strict=True)
    }
