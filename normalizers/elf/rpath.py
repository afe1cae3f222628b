"""What justifies calling a difference a search path of the build tree, or what was left where one was removed."""

import re
from bisect import bisect_left
from typing import Any

from normalizers.elf.claims import either, images, text_of
from normalizers.patterns import Sure
from reprodiff.formats.elf.names import DT_RPATH, DT_RUNPATH
from reprodiff.formats.elf.references import search_paths, used
from reprodiff.formats.program.names import SHT_DYNAMIC
from reprodiff.paths import system


def rpath(change: Any, evidence: Any) -> Sure | None:
    """Claim a search path whose entries are the same but for the directory that was built in."""
    text = text_of(change)
    if text is None:
        return None
    if not text[0] or not text[1]:
        # Emptied in place.
        return "suspected" if outside(text[0] or text[1]) else None
    ones, twos = text[0].split(b":"), text[1].split(b":")
    if len(ones) != len(twos):
        return None
    for one, two in zip(ones, twos, strict=True):
        if one == two:
            continue
        if not (one.startswith(b"/") and two.startswith(b"/")) or system(one) or system(two):
            return None
        if not evidence.shared.mapped(one, two) and one.rpartition(b"/")[2] != two.rpartition(b"/")[2]:
            return None
    return "origin"


def _own_paths(evidence: Any) -> bool:
    both = images(evidence)
    tables = [image.by_name.get(b".dynstr") for image in both or ()]
    return both is not None and all(
        table is not None and search_paths(image, table) for image, table in zip(both, tables, strict=True)
    )


def rpath_own(change: Any, evidence: Any) -> Sure | None:
    """As `rpath`, where nothing but the search path uses its string, on both sides: then it can be taken out."""
    return rpath(change, evidence) if evidence.once(_own_paths) else None


def rpath_alone(change: Any, _evidence: Any) -> Sure | None:
    """Suspect a search path that one side alone has, where all of it lies outside of the system's directories."""
    return "suspected" if outside(either(change)) else None


def rpath_left(change: Any, evidence: Any) -> Sure | None:
    """Claim the text of a search path that a tool left in the string table when it took the entry out."""
    starts = (change.l0, change.l1, change.left), (change.r0, change.r1, change.right)
    tables = evidence.once(_names_used)
    for table, (start, stop, text) in zip(tables, starts, strict=True):
        if text is None:
            continue
        if table is None:
            return None
        base, places = table
        index = bisect_left(places, start - base)
        if index < len(places) and places[index] < stop - base:
            return None
    if all(set(text.rstrip(b"\0")) <= {0x58} for _start, _stop, text in starts if text is not None):
        # patchelf writes X over what it takes out.
        return "origin"
    return rpath(change, evidence) if change.kind == "changed" else rpath_alone(change, evidence)


def _names_used(evidence: Any) -> list[tuple[int, list[int]] | None]:
    """Return of both sides where the dynamic string table lies and which of its offsets are referred to."""
    found: list[tuple[int, list[int]] | None] = []
    for image in images(evidence) or (None, None):
        table = image.by_name.get(b".dynstr") if image is not None else None
        found.append((table.offset, used(image, table)) if image is not None and table is not None else None)
    return found


def outside(value: bytes) -> bool:
    """Tell whether all of a search path lies outside of the system's directories."""
    entries = [entry for entry in value.split(b":") if entry]
    return bool(entries) and all(entry.startswith(b"/") and not system(entry) for entry in entries)


_RESIDUE = re.compile(rb"\0{3,}")


def residues(evidence: Any) -> tuple[int, int] | None:
    """Return the lengths of what a removed search path left in both string tables; None where one still has a path,
    or one has no such run."""
    both = images(evidence)
    if both is None:
        return None
    lengths = []
    for image in both:
        table = image.by_name.get(b".dynstr")
        dynamic = next((s for s in image.sections if s.type == SHT_DYNAMIC and s.stored), None)
        if table is None or dynamic is None:
            return None
        if any(tag in {DT_RPATH, DT_RUNPATH} for tag, _value in image.dynamic(image.data(dynamic))):
            return None
        runs = [len(run) for run in _RESIDUE.findall(image.data(table))]
        lengths.append(max(runs, default=1) - 2)
    return (lengths[0], lengths[1]) if max(lengths) > 0 else None


def residue(_change: Any, evidence: Any) -> Sure | None:
    """Claim zeros in a string table where a search path was taken out."""
    return "origin" if evidence.once(residues) else None


def residue_lengths(_change: Any, evidence: Any) -> tuple[str, str]:
    """Say how long the removed search paths were."""
    found = evidence.once(residues) or (0, 0)
    return f"a removed path of {found[0]} characters", f"a removed path of {found[1]} characters"


def residue_alone(_change: Any, evidence: Any) -> Sure | None:
    """Claim a build-id that differs alone, in files that a search path was removed from after linking."""
    return "origin" if evidence.once(residues) else None
