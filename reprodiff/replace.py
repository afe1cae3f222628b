"""Put new bytes in the place of a user's file, so that whatever happens the file is the old one or the new one, whole.

A file with one name is replaced by renaming a finished temporary file over it, which is atomic. A file with several
names (hard links) has to be rewritten in place, or they would stop being one file. That is not atomic, so the finished
temporary file is first renamed to `.reprodiff-INODE-….redo` and stays until the copy is on the disk: a run that is
killed in between (signals that can wait do wait) leaves the whole new content there, and `sweep` finds it.

A temporary file is `.reprodiff-….tmp` beside its target, locked with flock(2) for as long as its process lives: one that
can be locked was left behind by a killed run.
"""

import errno
import fcntl
import os
import signal
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from reprodiff.errors import NormalizeError
from reprodiff.sources import WHOLE, Bytes, File, Source, chunks, same

PREFIX, TEMPORARY, REDO = ".reprodiff-", ".tmp", ".redo"
WAITING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
NO_ATTRIBUTES = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
ENOUGH = 1 << 20
FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW


class Original:
    """A regular file as it was when it was opened; symbolic links are not followed.

    source: its bytes; status: of the opened file, times from before it was read.
    Raises NormalizeError when it is something else, OSError when it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise NormalizeError("not a regular file")
        self.descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | FLAGS)
        self.status = os.fstat(self.descriptor)
        self._file = os.fdopen(self.descriptor, "rb", buffering=0)
        size = self.status.st_size
        self.source: Source = Bytes(self._file.read(WHOLE + 1)) if size <= WHOLE else File(self._file, size)

    def __enter__(self) -> "Original":  # noqa: PYI034 - Self would import typing for one word
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def require_unchanged(self) -> None:
        """Raise NormalizeError when the path names another file by now, or the file was written to."""
        now, then = os.lstat(self.path), self.status
        # The time of status change too: this program sets the other times back, and may run twice at once.
        names = ("st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
        if any(getattr(now, name) != getattr(then, name) for name in names):
            raise NormalizeError("it was changed by somebody else in the meantime")

    def require_writable(self) -> None:
        """Raise NormalizeError when the file or its directory is read-only, for this user or by its mode."""
        directory = os.path.dirname(self.path) or "."
        if not self.status.st_mode & 0o222 or not os.access(self.path, os.W_OK):
            raise NormalizeError("it is read-only")
        if not os.stat(directory).st_mode & 0o222 or not os.access(directory, os.W_OK | os.X_OK):
            raise NormalizeError("its directory is read-only")


def replace(original: Original, data: Iterable[bytes], check: Callable[[Source], None]) -> None:
    """Give a file new bytes; mode, owner, times, extended attributes and access lists stay.

    check: gets what was written, read back from the temporary file, and raises NormalizeError to reject it.
    Raises NormalizeError or OSError; the file is as it was then, unless the sentence says where its new bytes are.
    """
    original.require_writable()
    with _temporary(os.path.dirname(original.path)) as temporary:
        temporary.write(data)
        check(temporary.source())
        _dress(temporary.descriptor, original)
        os.fsync(temporary.descriptor)
        original.require_unchanged()
        if original.status.st_nlink > 1:
            _in_place(temporary, original)
        else:
            temporary.rename(original.path)


def create(path: str, data: Iterable[bytes], check: Callable[[Source], None]) -> None:
    """Write a new file under a name, or in the place of what has it; `check` as for `replace`."""
    with _temporary(os.path.dirname(path)) as temporary:
        temporary.write(data)
        check(temporary.source())
        mask = os.umask(0)
        os.umask(mask)
        os.fchmod(temporary.descriptor, 0o666 & ~mask)
        os.fsync(temporary.descriptor)
        temporary.rename(path)


class _Temporary:
    """A locked file of an unpredictable name, beside its target."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.keep = False
        while True:
            self.path: str = os.path.join(directory, f"{PREFIX}{os.urandom(8).hex()}{TEMPORARY}")
            self.descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | FLAGS, 0o600)
            with suppress(OSError):  # a file system without locks: nothing is swept there either
                fcntl.flock(self.descriptor, fcntl.LOCK_EX)
            # A sweep may have come between opening and locking.
            if os.fstat(self.descriptor).st_nlink:
                return
            os.close(self.descriptor)

    def write(self, data: Iterable[bytes]) -> None:
        waiting: list[bytes] = []
        size = 0
        for piece in data:
            waiting.append(piece)
            size += len(piece)
            if size >= ENOUGH:
                _write(self.descriptor, b"".join(waiting))
                waiting, size = [], 0
        _write(self.descriptor, b"".join(waiting))
        os.fsync(self.descriptor)

    def source(self) -> Source:
        file = os.fdopen(os.dup(self.descriptor), "rb", buffering=0)
        return File(file, os.fstat(self.descriptor).st_size)

    def rename(self, path: str) -> None:
        os.rename(self.path, path)
        self.path, self.keep = path, True
        _sync_directory(self.directory)


@contextmanager
def _temporary(directory: str) -> Iterator[_Temporary]:
    temporary = _Temporary(directory)
    try:
        yield temporary
    finally:
        if not temporary.keep:
            with suppress(OSError):
                os.unlink(temporary.path)
        os.close(temporary.descriptor)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _sync_directory(directory: str) -> None:
    descriptor = os.open(directory or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Some file systems cannot; the rename has happened either way.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _dress(descriptor: int, original: Original) -> None:
    """Give an open file the owner, attributes, mode and times of the original; NormalizeError when that fails."""
    then, now = original.status, os.fstat(descriptor)
    try:
        if (now.st_uid, now.st_gid) != (then.st_uid, then.st_gid):
            os.fchown(descriptor, then.st_uid, then.st_gid)
        # After the owner, which takes capabilities away; before the mode, which an access list sets too.
        _copy_attributes(original.descriptor, descriptor)
        os.fchmod(descriptor, stat.S_IMODE(then.st_mode))
        os.utime(descriptor, ns=(then.st_atime_ns, then.st_mtime_ns))
    except OSError as error:
        raise NormalizeError(f"its owner, mode or attributes cannot be kept ({error.strerror})") from error
    now = os.fstat(descriptor)
    if any(getattr(now, name) != getattr(then, name) for name in ("st_uid", "st_gid", "st_mode", "st_mtime_ns")):
        raise NormalizeError("its owner, mode or time cannot be kept")


def _copy_attributes(source: int, target: int) -> None:
    """Make extended attributes alike; access lists are attributes named system.posix_acl_*."""
    if not hasattr(os, "listxattr"):
        return
    wanted, present = _attributes(source), _attributes(target)
    for name in present.keys() - wanted.keys():
        os.removexattr(target, name)
    for name, value in wanted.items():
        if present.get(name) != value:
            os.setxattr(target, name, value)


def _attributes(descriptor: int) -> dict[str, bytes]:
    try:
        return {name: os.getxattr(descriptor, name) for name in os.listxattr(descriptor)}
    except OSError as error:
        if error.errno in NO_ATTRIBUTES:
            return {}
        raise


def _in_place(temporary: _Temporary, original: Original) -> None:
    """Copy a finished temporary file over a file with several names."""
    size = os.fstat(temporary.descriptor).st_size
    target = os.open(original.path, os.O_WRONLY | FLAGS)
    waiting = signal.pthread_sigmask(signal.SIG_BLOCK, WAITING)
    try:
        redo = f"{PREFIX}{original.status.st_ino}-{os.urandom(8).hex()}{REDO}"
        temporary.rename(os.path.join(temporary.directory, redo))
        _reserve(target, size, temporary, original)
        try:
            for piece in chunks(temporary.source()):
                _write(target, piece)
            os.ftruncate(target, size)
            _dress(target, original)
            os.fsync(target)
        except (OSError, NormalizeError) as error:
            raise NormalizeError(
                f"rewriting it in place broke off ({error}); its whole new content is in {temporary.path}"
            ) from error
        os.unlink(temporary.path)
        _sync_directory(temporary.directory)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, waiting)
        os.close(target)


def _reserve(target: int, size: int, temporary: _Temporary, original: Original) -> None:
    """Make room for a longer file before its first byte is touched; without room the file stays as it was."""
    old = original.status.st_size
    if size <= old:
        return
    try:
        os.posix_fallocate(target, old, size - old)
    except OSError:
        os.ftruncate(target, old)
        os.utime(target, ns=(original.status.st_atime_ns, original.status.st_mtime_ns))
        temporary.keep = False
        raise


def is_temporary(name: str) -> bool:
    """Tell whether a file name is one of this module's."""
    return name.startswith(PREFIX) and name.endswith((TEMPORARY, REDO))


def sweep(directory: str) -> dict[int, str]:
    """Remove what killed runs left in a directory.

    Returns inode to file for each unfinished rewrite in place: the whole new content of the file with that inode.
    """
    unfinished: dict[int, str] = {}
    try:
        names = [name for name in os.listdir(directory or ".") if is_temporary(name)]
    except OSError:
        return unfinished
    for name in names:
        path = os.path.join(directory, name)
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | FLAGS)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                inode = name.removeprefix(PREFIX).split("-")[0]
                if name.endswith(TEMPORARY) or _is_done(directory, int(inode), descriptor):
                    os.unlink(path)
                else:
                    unfinished[int(inode)] = path
            finally:
                os.close(descriptor)
    return unfinished


def _is_done(directory: str, inode: int, redo: int) -> bool:
    """Tell whether the file of an unfinished rewrite in place has all its new bytes."""
    with os.scandir(directory or ".") as entries:
        paths = [entry.path for entry in entries if entry.inode() == inode]
    if not paths:
        return False
    with Original(paths[0]) as target, os.fdopen(os.dup(redo), "rb", buffering=0) as file:
        return same(target.source, File(file, os.fstat(redo).st_size))
