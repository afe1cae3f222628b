"""Symbols that a linker names after the path of a file: the directory in it is exchanged, nothing else."""

import pytest
from test_executables import causes, patched, report, sides, unexplained

from reprodiff.formats.program.binary import heads, paired

CAUSE = "binary-symbol-path"
LONGER = b"_binary__build_a_much_longer_name_data_bin_"
CASES = ["elf/binary-symbol-longer", "elf/binary-symbol-program-longer"]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (LONGER + b"start", LONGER[:-9] + b"duta_bin_start"),
        (LONGER + b"end", LONGER + b"eng"),
        (LONGER + b"size", LONGER.replace(b"a_much_longer_name", b"b_much_longer_name") + b"size"),
    ],
)
def test_another_name(case, old, new):
    """Another file, another kind, another directory than the other two names have."""
    left, right = (path.read_bytes() for path in sides(case))
    found = report(left, patched(right, old + b"\0", new + b"\0"))
    if b"b_much" in new and case == CASES[0]:
        # No other path says which directory it is; what is only suspected names every place.
        assert found["verdict"] != "explained"
        return
    assert found["verdict"] == "unexplained"
    assert any("_bin_" in path or ".strtab" in path for path in unexplained(found))


def test_a_byte_of_the_file():
    left, right = (path.read_bytes() for path in sides(CASES[1]))
    found = report(left, patched(right, b"the bytes of a file", b"the bytes of a life"))
    assert unexplained(found)
    assert CAUSE in causes(found)


def test_names_that_are_none():
    start = b"_binary_a_b_start"
    assert heads(start, b"_binary_c_b_end") is None
    assert heads(start, b"_binary_a_c_start") is None
    assert heads(start, b"_binary_c_b_start") == (b"a", b"c")
    assert paired([start, b"x"], [b"_binary_c_b_start", b"x"]) == {start: b"_binary_c_b_start"}
    assert paired([start, b"_binary_d_e_start"], [b"_binary_c_b_start", b"_binary_f_e_start"]) == {}
