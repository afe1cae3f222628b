"""Compare two directories: both are laid out as listings, and only what differs is looked at closely.

Symbolic links are never followed; FIFOs, sockets and devices are never opened. The two directories given are only
where the trees happen to lie: their own mode and times are not compared.
"""

import errno
import os
import stat
from collections.abc import Iterator
from heapq import merge
from operator import itemgetter
from typing import NamedTuple

from reprodiff.budget import Budget
from reprodiff.compare import compare
from reprodiff.comparison import SMALL, Comparison, Notice, both
from reprodiff.errors import ReprodiffError
from reprodiff.formats.directory import DIRECTORY, FILE, NAME, PACK, STATUS, SYMLINK, TYPE_ONLY, Extras, Listing
from reprodiff.sources import File
from reprodiff.tree import Group, Record
from reprodiff.walk import Walk

PIECE = 1 << 20
# Files from which on two threads compare them.
MANY = 64
ENTRY = f"{NAME}/entry[*]"
DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not to wait at a FIFO that took the place of a file.
FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
TYPES = {stat.S_IFREG: FILE, stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: SYMLINK, stat.S_IFIFO: b"p", stat.S_IFSOCK: b"s",
         stat.S_IFCHR: b"c", stat.S_IFBLK: b"b"}  # fmt: skip


class Found(NamedTuple):
    """One entry as the scan saw it: name under the root as bytes and as text, and its status."""

    key: bytes
    name: str
    status: os.stat_result


class Tree:
    """One side. troubles: why what could not be read, or changed meanwhile, by key; excluded: keys left out."""

    def __init__(self, root: str, budget: Budget, *, metadata: bool) -> None:
        self.root = root
        self.budget = budget
        self.metadata = metadata
        self.troubles: dict[bytes, str] = {}
        self.excluded: set[bytes] = set()
        self.attributes = metadata
        self.descriptor = -1
        self._file: tuple[int, File | None] = (-1, None)
        try:
            # Of the path that a person gave, links are followed.
            self.descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ReprodiffError(f"{root}: {_reason(error)}") from error
        self.found = sorted(self._scan(), key=itemgetter(0))
        self.listing = self._list()

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)

    def _scan(self) -> Iterator[Found]:
        exclude = self.budget.exclude
        waiting: list[tuple[str, os.stat_result]] = [("", os.fstat(self.descriptor))]
        while waiting:
            name, status = waiting.pop()
            self.budget.check_time()
            try:
                descriptor = os.open(name or ".", DIRECTORY_FLAGS, dir_fd=self.descriptor)
                try:
                    if not os.path.samestat(os.fstat(descriptor), status):
                        raise OSError(errno.ESTALE, "")
                    prefix = name + "/" if name else ""
                    with os.scandir(descriptor) as entries:
                        for entry in entries:
                            path = prefix + entry.name
                            key = os.fsencode(path)
                            if exclude is not None and exclude(key):
                                self.excluded.add(key)
                                continue
                            try:
                                one = entry.stat(follow_symlinks=False)
                            except OSError as error:
                                self.troubles[key] = _reason(error)
                                continue
                            self.budget.count(1)
                            if stat.S_ISDIR(one.st_mode):
                                waiting.append((path, one))
                            yield Found(key, path, one)
                finally:
                    os.close(descriptor)
            except OSError as error:
                self.troubles[os.fsencode(name)] = _reason(error)

    def _list(self) -> Listing:
        listing = Listing(self.read, STATUS if self.metadata else TYPE_ONLY, os.path.abspath(self.root))
        first: dict[tuple[int, int], bytes] = {}
        for key, name, status in self.found:
            mode = status.st_mode
            kind = TYPES.get(stat.S_IFMT(mode), b"?")
            parts: list[tuple[str, bytes | None, bytes]] = []
            if kind == SYMLINK:
                parts.append(("target", None, self._target(key, name)))
            elif self.metadata and status.st_nlink > 1 and kind != DIRECTORY:
                # Which of the names comes first is the same on both sides as long as the names are.
                original = first.setdefault((status.st_dev, status.st_ino), key)
                if original != key:
                    parts.append(("link", None, original))
            if self.attributes:
                parts += self._attributes(name)
            if self.metadata:
                device = status.st_rdev if kind in {b"c", b"b"} else 0
                head = PACK(
                    kind,
                    mode & 0o7777,
                    status.st_uid,
                    status.st_gid,
                    status.st_mtime_ns,
                    os.major(device),
                    os.minor(device),
                )
            else:
                head = kind
            listing.add(key, head, Extras(tuple(parts)) if parts else None, status.st_size if kind == FILE else 0)
        return listing

    def _target(self, key: bytes, name: str) -> bytes:
        try:
            return os.fsencode(os.readlink(name, dir_fd=self.descriptor))
        except OSError as error:
            self.troubles[key] = _reason(error)
            return b""

    def _attributes(self, name: str) -> list[tuple[str, bytes | None, bytes]]:
        path = f"{self.root}/{name}"
        try:
            names = os.listxattr(path, follow_symlinks=False)
            return [
                ("xattr", os.fsencode(found), os.getxattr(path, found, follow_symlinks=False))
                for found in sorted(names)
            ]
        except OSError as error:
            self.attributes = error.errno != errno.ENOTSUP
            return []

    def open(self, number: int) -> int | None:
        """Open a file that is still the one that the scan saw; None, and a trouble, where it is not."""
        key, name, status = self.found[number]
        try:
            descriptor = os.open(name, FILE_FLAGS, dir_fd=self.descriptor)
        except OSError as error:
            self.troubles[key] = _reason(error)
            return None
        now = os.fstat(descriptor)
        if now.st_ino != status.st_ino or now.st_size != status.st_size or now.st_dev != status.st_dev:
            os.close(descriptor)
            self.troubles[key] = "changed while it was read"
            return None
        return descriptor

    def read(self, number: int, start: int, stop: int) -> bytes:
        """Return bytes of a file; b'' where it cannot be read."""
        last, file = self._file
        if last != number:
            file = None
            descriptor = self.open(number)
            if descriptor is not None:
                file = File(os.fdopen(descriptor, "rb", buffering=0), self.found[number].status.st_size)
            self._file = (number, file)
        return b"" if file is None else file.read(start, stop)


def _reason(error: OSError) -> str:
    if error.errno in {errno.ENOENT, errno.ESTALE, errno.ELOOP, errno.ENOTDIR}:
        return "vanished or was exchanged while it was read"
    return f"cannot be read: {(error.strerror or str(error)).lower()}"


def compare_directories(
    left: str, right: str, path: str, budget: Budget, *, metadata: bool = True
) -> Comparison | None:
    """Compare two directories under the name path; None where nothing differs and all could be read.

    metadata: whether what the file system says of an entry (mode, owner, time, links, attributes) is compared, too.
    Raises ReprodiffError when one of them cannot be opened, LimitError when the budget is spent.
    """
    one, two = both(
        lambda: Tree(left, budget, metadata=metadata), lambda: Tree(right, budget, metadata=metadata), SMALL
    )
    budget.excluded += len(one.excluded | two.excluded)
    found = Comparison(path, one.listing, two.listing)
    found.format = NAME
    found.roots = (one.listing.tree(), two.listing.tree())
    walk = Walk(found, budget, compare)
    pairs = list(_pairs(one, two))
    equal = _equal(one, two, pairs)
    for here, there in pairs:
        if there is None:
            assert here is not None
            walk.alone(one.listing.groups[here], None, ENTRY, ())
        elif here is None:
            walk.alone(None, two.listing.groups[there], ENTRY, ())
        else:
            _entry(walk, one, here, two, there, equal.get(here))
    for tree in (one, two):
        for key, text in sorted(tree.troubles.items()):
            found.notices.append(Notice("damaged", found.path_of(ENTRY, (key or b".",)), text))
    return None if not found.differing and not found.notices else found


def _pairs(one: Tree, two: Tree) -> Iterator[tuple[int | None, int | None]]:
    """Yield the numbers of the entries of one name, in the order of names."""
    left, right = one.listing.keys, two.listing.keys
    if left == right:
        yield from zip(range(len(left)), range(len(right)), strict=True)
        return
    numbers = {key: number for number, key in enumerate(right)}
    names = set(left)
    both: Iterator[tuple[bytes, int | None, int | None]] = (
        (key, number, numbers.get(key)) for number, key in enumerate(left)
    )
    rest: Iterator[tuple[bytes, int | None, int | None]] = (
        (key, None, number) for number, key in enumerate(right) if key not in names
    )
    for _key, number, other in merge(both, rest, key=itemgetter(0)):
        yield number, other


def _equal(one: Tree, two: Tree, pairs: list[tuple[int | None, int | None]]) -> dict[int, bool | None]:
    """Compare the contents of all files of one name and size, half of them on another thread: most of it is waiting
    for the system. Returns by number on the left what `_same` says."""
    work: list[tuple[int, int, int]] = []
    for here, there in pairs:
        if here is not None and there is not None:
            size = one.listing.size_of(here)
            if size and size == two.listing.size_of(there):
                work.append((here, there, size))

    def half(part: list[tuple[int, int, int]]) -> dict[int, bool | None]:
        return {here: _same(one, here, two, there, size) for here, there, size in part}

    middle = len(work) // 2
    first, second = both(lambda: half(work[:middle]), lambda: half(work[middle:]), SMALL if len(work) > MANY else 0)
    return first | second


def _entry(walk: Walk, one: Tree, here: int, two: Tree, there: int, same: bool | None) -> None:
    """Compare two entries of one name, contents first: what is equal costs nothing more."""
    left, right = one.listing, two.listing
    a, b = left.groups[here], right.groups[there]
    walk.found.members.append((a, b))
    head, other = left.heads[here], right.heads[there]
    size = a.stop - a.start - len(head)
    keys = (a.key or b"",)
    if size != b.stop - b.start - len(other) or same is False:
        walk.groups(a, b, ENTRY, keys)
    elif head == other:
        return
    elif len(head) == len(other) == left.table.size:
        walk.records(
            Record("status", a.start, left.table), Record("status", b.start, right.table), f"{ENTRY}/status", keys
        )
    else:
        # Only what lies before the contents.
        walk.groups(
            Group("entry", a.start, a.start + len(head), left.expand, a.key, here),
            Group("entry", b.start, b.start + len(other), right.expand, b.key, there),
            ENTRY,
            keys,
        )


def _same(one: Tree, here: int, two: Tree, there: int, size: int) -> bool | None:
    """Compare two files of one size; None where one of them cannot be read."""
    first, second = one.found[here].status, two.found[there].status
    if first.st_ino == second.st_ino and first.st_dev == second.st_dev:
        return True
    left = one.open(here)
    if left is None:
        return None
    try:
        right = two.open(there)
        if right is None:
            return None
        try:
            while size > 0:
                most = min(size, PIECE)
                a, b = os.read(left, most), os.read(right, most)
                if a != b:
                    return False
                if not a:
                    break
                size -= len(a)
        except OSError as error:
            one.troubles[one.found[here].key] = _reason(error)
            return None
        finally:
            os.close(right)
    finally:
        os.close(left)
    return True
