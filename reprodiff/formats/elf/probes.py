"""Probes for tracers (`.note.stapsdt`): where each is, where the file's base is, where its counter is.

Layout: SystemTap's wiki, "User Space Probe Implementation"; the note's owner is `stapsdt`, its type 3.
"""

import numpy as np

from reprodiff.formats import Walk
from reprodiff.formats.elf.image import Image
from reprodiff.formats.program import contents
from reprodiff.formats.program.around import Stream
from reprodiff.formats.program.sides import Both, Pair
from reprodiff.formats.program.words import Differing

SECTION = b".note.stapsdt"
OWNER, PROBE, ADDRESSES = b"stapsdt", 3, 3


def compare(walk: Walk, both: Both, pair: Pair, where: str, stream: Stream) -> bool:
    """Compare two sections of probes; False where they are not the same number of notes in the same places."""
    image, other = both.left.image, both.right.image
    if not isinstance(image, Image) or not isinstance(other, Image):
        return False
    rows = list(image.notes(stream.left, pair.one.align)), list(other.notes(stream.right, pair.two.align))
    if len(stream.left) != len(stream.right) or [row[:4] for row in rows[0]] != [row[:4] for row in rows[1]]:
        return False
    width = image.word
    places = [
        start + width * number
        for _note, start, stop, kind, owner in rows[0]
        for number in range(ADDRESSES)
        if owner == OWNER and kind == PROBE and stop - start >= ADDRESSES * width
    ]
    found = Differing(stream.left, stream.right, both.pieces(pair), image.order)
    found.accept_fields(
        np.array(places, np.int64), lambda _s, _o, ones, twos: both.addresses.same(ones, twos), width=width
    )
    contents.settle(walk, both, pair, where, stream, found)
    return True
