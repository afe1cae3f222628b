"""Paths inside texts, and which directory of one side is which of the other."""

import re
from typing import NamedTuple

# A path in a text: from a slash that nothing of a name stands before, or an option's letter alone (`-I/usr`).
# On Windows a drive stands first, and components are parted by slashes of either kind, often of both in one path.
_CHARACTERS = rb"[^\0-\x20\"'`<>|;:,()\[\]{}=\\"
PATH = re.compile(
    rb"(?<!\w)(?:[A-Za-z]:\\|[A-Z]:/)" + _CHARACTERS.removesuffix(rb"\\") + rb"]+|(?:(?<![\w.~/+-])|(?<=[\s\"'=,]-[A-Za-z]))/"
    + _CHARACTERS + rb"]+"
)  # fmt: skip
_DRIVE = re.compile(rb"[A-Za-z]:[\\/]")
# Directories of the system that no build is done in: a change of these is one of configuration.
SYSTEM = rb"/(?:etc|usr|bin|sbin|lib\w*|opt|dev|proc|sys|run|boot|var)(?:/|$)"
_WINDOWS = re.compile(rb"(?i)[a-z]:/(?:windows|winnt|program files|program|progra~\d|programdata)(?:/|$| )")
BUILT_IN_SYSTEM = rb"/(?:usr/(?:src|local/src|obj)|opt/(?:src|build)|run/build|var/(?:tmp|cache|lib/(?:jenkins|buildkite-agent|gitlab-runner|mock|sbuild|schroot|buildd|pbuilder))|usr/ports)/"


_SOURCE = (
    rb"\.(?:c|cc|cpp|cxx|c\+\+|h|hh|hpp|hxx|inl|inc|ipp|tcc|m|mm|s|S|asm|rs|go|swift|d|di|f|f90|F90|f95|adb|ads|pas|pp|hs|ml|mli|nim|zig|"
    rb"cs|java|kt|scala|vala|y|l|yy|ll|moc|qrc|ui|gcda|gcno|dwo|o|pb\.cc|proto|cu|cl)$"
)


class Root(NamedTuple):
    """A directory on the left that stands where another stands on the right."""

    left: bytes
    right: bytes


def paths(left: bytes, right: bytes) -> list[tuple[bytes, bytes]] | None:
    """Return the paths of two texts, pair by pair; None where something else differs, or the paths are not as many.

    Those of Windows are returned with slashes. The ends that two of them have in common must have been spelled alike."""
    ones, twos = PATH.findall(left), PATH.findall(right)
    if not ones or len(ones) != len(twos) or PATH.split(left) != PATH.split(right):
        return None
    if b"\\" in left or b"\\" in right:
        plain = [_slashed(ones), _slashed(twos)]
        for one, two, a, b in zip(ones, twos, *plain, strict=True):
            _root, tail = heads(a, b)
            if a == b and one != two:
                return None
            if tail and one[-len(tail) - 1 :] != two[-len(tail) - 1 :]:
                return None
        ones, twos = plain
    return list(zip(ones, twos, strict=True))


def _slashed(found: list[bytes]) -> list[bytes]:
    return [path.replace(b"\\", b"/") if _DRIVE.match(path) else path for path in found]


def spelled(path: bytes) -> bytes:
    """Return a regular expression for a path as `paths` returns it, however it is spelled."""
    if not _DRIVE.match(path):
        return re.escape(path)
    return rb"[\\/]".join(map(re.escape, path.split(b"/")))


def heads(left: bytes, right: bytes) -> tuple[Root, bytes]:
    """Cut the components off two paths that they have in common at the end; returns what is left and that tail."""
    ones, twos = left.rstrip(b"/").split(b"/"), right.rstrip(b"/").split(b"/")
    count = 0
    while count < min(len(ones), len(twos)) - 1 and ones[-1 - count] == twos[-1 - count]:
        count += 1
    cut = [parts[: len(parts) - count] for parts in (ones, twos)]
    return Root(b"/".join(cut[0]) or b"/", b"/".join(cut[1]) or b"/"), b"/".join(ones[len(ones) - count :])


def applies(root: Root, left: bytes, right: bytes) -> bool:
    """Tell whether two paths are the same under a root: equal tails of whole components."""
    if not (left.startswith(root.left) and right.startswith(root.right)):
        return False
    tail = left[len(root.left) :]
    return tail == right[len(root.right) :] and (not tail or tail[:1] == b"/")


def system(path: bytes) -> bool:
    """Tell whether a path lies in a directory of the system, where nothing is built."""
    if _WINDOWS.match(path):
        return True
    return bool(re.match(SYSTEM, path)) and not re.match(BUILT_IN_SYSTEM, path + b"/")


def is_source(path: bytes) -> bool:
    """Tell whether a path ends as a source file's name does, or as what a compiler makes beside it."""
    return bool(re.search(_SOURCE, path))
