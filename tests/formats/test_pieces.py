"""Which bytes of two sections correspond: texts in another order, and what fills up."""

from reprodiff.formats.program.pieces import Piece, Pieces, filled, permuted


def paired(left, right):
    """Return the texts that correspond where all of both sides is taken to be out of order."""
    pieces = permuted([Piece(0, len(left), 0, 0), Piece(0, 0, 0, len(right))], left, right)
    return {
        (left[p.l0 : p.l1].strip(b"\0"), right[p.r0 : p.r1].strip(b"\0")) for p in pieces if p.l1 > p.l0 and p.r1 > p.r0
    }


def test_one_source_file_in_two_directories_is_one_text():
    left, right = b"/home/u/core.cpp\0", b"/var/lib/buildd/work/tree/core.cpp\0"
    assert (left[:-1], right[:-1]) in paired(left, right)


def test_two_source_files_are_two_texts():
    left, right = b"/home/u/core.cpp\0", b"/var/lib/buildd/work/tree/other.cpp\0"
    assert paired(left, right) == set()


def test_two_files_of_one_name_that_are_no_sources_are_two_texts():
    left, right = b"/home/user/project/a.conf\0", b"/var/lib/another/place/a.conf\0"
    assert paired(left, right) == set()


def test_zeros_before_an_object_count_from_their_end():
    found = Pieces(filled(bytes(20), bytes(36)), bytes(20), bytes(36))
    assert found.to([0, 4, 19]).tolist() == [0, 20, 35]
