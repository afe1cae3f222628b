"""What another tool or other options changed everywhere is suspected; a change that is none of their doing is not."""

import pytest
from executables import mutations
from test_executables import causes, hit, report, sides

# Pairs that are suspected as a whole, and what nothing of that is a reason for.
CASES = [
    ("elf/bind-now", "string"),
    ("elf/bind-now", "instruction"),
    ("elf/hardened", "string"),
    ("elf/march-level", "string"),
    ("elf/lld-bfd", "string"),
    ("elf/table-hash-order", "string"),
    ("elf/table-hash-order", "instruction"),
    ("elf/table-locale", "string"),
    ("elf/epoch-immediate", "symbol"),
    ("elf/build-who-where", "instruction"),
    ("elf/date-inlined", "constant"),
]


@pytest.mark.parametrize(("case", "kind"), CASES)
def test_mutations_beside_what_is_suspected(case, kind):
    left, right = sides(case)
    good = left.read_bytes()
    missed = []
    for mutation in mutations(right, kind, 30):
        found = report(good, mutation.data)
        if found["verdict"] != "unexplained" or not hit(found, mutation):
            missed.append(f"{found['verdict']} {sorted(causes(found))}: {mutation}")
    assert missed == []
