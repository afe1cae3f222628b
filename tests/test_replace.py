"""A user's file is the old one or the new one, whole, whatever happens to the run."""

import errno
import io
import os
import resource
import signal
import stat
import subprocess
import sys
import tarfile
import time

import pytest

from reprodiff import replace as module
from reprodiff.app import Job, normalize, normalize_all
from reprodiff.errors import NormalizeError
from reprodiff.layout import emit
from reprodiff.replace import Original, is_temporary, replace, sweep

OLD, NEW = b"old" * 50_000, b"NEW!" * 60_000
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def accept(_source):
    pass


def put(path, data, check=accept):
    with Original(str(path)) as original:
        replace(original, data, check)


def alone(directory):
    return [name for name in os.listdir(directory) if is_temporary(name)] == []


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(OLD)
    return path


def archive(path, count=3, mtime=1_700_000_000, size=100):
    with tarfile.open(path, "w:gz") as tar:
        for number in range(count):
            member = tarfile.TarInfo(f"member-{number}")
            member.size, member.mtime, member.uid = size, mtime, 1000
            tar.addfile(member, io.BytesIO(os.urandom(size)))
    return path


def test_replaces_as_a_whole(file):
    inode = file.stat().st_ino
    put(file, [NEW[:10], NEW[10:]])
    assert file.read_bytes() == NEW
    assert file.stat().st_ino != inode
    assert alone(file.parent)


def test_check_reads_what_was_written(file):
    seen = []
    put(file, [NEW], lambda source: seen.append(source.read(0, source.size)))
    assert seen == [NEW]


def test_what_is_rejected_is_not_used(file):
    def reject(_source):
        raise NormalizeError("no")

    with pytest.raises(NormalizeError):
        put(file, [NEW], reject)
    assert file.read_bytes() == OLD
    assert alone(file.parent)


def test_keeps_mode_and_times(file):
    file.chmod(0o4751)
    os.utime(file, ns=(1_234_567_890_123_456_789, 987_654_321_987_654_321))
    before = file.stat()
    put(file, [NEW])
    after = file.stat()
    for name in ("st_mode", "st_uid", "st_gid", "st_mtime_ns", "st_atime_ns"):
        assert getattr(after, name) == getattr(before, name), name


@root_only
def test_keeps_the_owner(file):
    os.chown(file, 1234, 4321)
    file.chmod(0o6755)
    put(file, [NEW])
    after = file.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (1234, 4321, 0o6755)


def attribute(path, name, value):
    try:
        os.setxattr(path, name, value)
    except (OSError, AttributeError) as error:
        pytest.skip(f"this file system takes no {name}: {error}")


def test_keeps_extended_attributes(file):
    attribute(file, "user.origin", b"somewhere\0else")
    put(file, [NEW])
    assert os.getxattr(file, "user.origin") == b"somewhere\0else"


# user_obj rw, user 1234 r, group_obj r, mask rw, other none (linux/posix_acl_xattr.h).
ACL = b"\x02\0\0\0" + b"".join(
    tag.to_bytes(2, "little") + mode.to_bytes(2, "little") + who.to_bytes(4, "little")
    for tag, mode, who in ((1, 6, 2**32 - 1), (2, 4, 1234), (4, 4, 2**32 - 1), (16, 6, 2**32 - 1), (32, 0, 2**32 - 1))
)


def test_keeps_access_lists(file):
    attribute(file, "system.posix_acl_access", ACL)
    mode = file.stat().st_mode
    put(file, [NEW])
    assert os.getxattr(file, "system.posix_acl_access") == ACL
    assert file.stat().st_mode == mode


def test_takes_no_access_list_from_the_directory(file):
    attribute(file.parent, "system.posix_acl_default", ACL)
    put(file, [NEW])
    assert "system.posix_acl_access" not in os.listxattr(file)


@root_only
def test_keeps_capabilities(file):
    capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    attribute(file, "security.capability", capability)
    put(file, [NEW])
    assert os.getxattr(file, "security.capability") == capability


def test_attributes_that_cannot_be_kept_keep_the_file(file, monkeypatch):
    attribute(file, "user.origin", b"x")

    def refuse(*_arguments):
        raise OSError(errno.EPERM, "not permitted")

    monkeypatch.setattr(os, "setxattr", refuse)
    with pytest.raises(NormalizeError, match="cannot be kept"):
        put(file, [NEW])
    assert file.read_bytes() == OLD
    assert alone(file.parent)


def test_hard_links_stay_one_file(file):
    other = file.parent / "other"
    os.link(file, other)
    os.utime(file, ns=(1, 2))
    file.chmod(0o640)
    before = file.stat()
    put(other, [NEW])
    after = file.stat()
    assert file.read_bytes() == other.read_bytes() == NEW
    put(file, [OLD])
    assert file.read_bytes() == other.read_bytes() == OLD
    assert (after.st_ino, after.st_nlink, after.st_mode) == (before.st_ino, 2, before.st_mode)
    assert (after.st_mtime_ns, after.st_atime_ns) == (2, before.st_atime_ns)
    assert alone(file.parent)


def test_symbolic_links_are_not_opened(file):
    link = file.parent / "link"
    link.symlink_to(file)
    with pytest.raises(NormalizeError):
        Original(str(link))


def test_a_file_that_changes_meanwhile_stays(file):
    def change(_source):
        file.write_bytes(b"by somebody else")

    with pytest.raises(NormalizeError, match="somebody else"):
        put(file, [NEW], change)
    assert file.read_bytes() == b"by somebody else"
    assert alone(file.parent)


def test_a_read_only_file_stays(file):
    file.chmod(0o444)
    with pytest.raises(NormalizeError, match="read-only"):
        put(file, [NEW])
    file.chmod(0o644)
    file.parent.chmod(0o555)
    try:
        with pytest.raises(NormalizeError, match="directory is read-only"):
            put(file, [NEW])
    finally:
        file.parent.chmod(0o755)
    assert file.read_bytes() == OLD


def test_sweeps_what_killed_runs_left(tmp_path):
    stale = tmp_path / ".reprodiff-0123456789abcdef.tmp"
    stale.write_bytes(b"half")
    other = tmp_path / ".reprodiff-notes"
    other.write_bytes(b"not ours")
    assert sweep(str(tmp_path)) == {}
    assert not stale.exists()
    assert other.exists()


def test_does_not_sweep_what_is_in_use(file):
    def look(_source):
        assert sweep(str(file.parent)) == {}
        assert not alone(file.parent)

    put(file, [NEW], look)
    assert file.read_bytes() == NEW


def test_an_unfinished_rewrite_in_place_is_reported_and_kept(tmp_path):
    path = archive(tmp_path / "a.tar.gz")
    os.link(path, tmp_path / "b.tar.gz")
    redo = tmp_path / f".reprodiff-{path.stat().st_ino}-0123456789abcdef.redo"
    redo.write_bytes(b"the whole new content")
    before = path.read_bytes()
    (done,) = normalize_all([str(tmp_path)], Job(0))
    assert done.status == "failed"
    assert str(redo) in done.notices[0]
    assert (path.read_bytes(), redo.read_bytes()) == (before, b"the whole new content")
    redo.write_bytes(before)
    (done,) = normalize_all([str(tmp_path)], Job(0))
    assert done.status == "normalized"
    assert alone(tmp_path)


def test_a_killed_copy_in_place_leaves_the_new_content(file, monkeypatch):
    os.link(file, file.parent / "other")
    write, calls = module._write, []

    def interrupted(descriptor, data):
        calls.append(descriptor)
        if len(calls) > 1:
            raise OSError(errno.EIO, "the disk is gone")
        write(descriptor, data)

    monkeypatch.setattr(module, "_write", interrupted)
    with pytest.raises(NormalizeError, match="whole new content"):
        put(file, [NEW])
    (redo,) = [name for name in os.listdir(file.parent) if name.endswith(".redo")]
    assert (file.parent / redo).read_bytes() == NEW


def tampered(path, monkeypatch, change):
    """Normalize with a rewriter that makes a mistake; the result must be refused."""
    import reprodiff.normalize

    real, calls = reprodiff.normalize.rewrite, []

    def wrong(source, *arguments):
        found = real(source, *arguments)
        calls.append(source)
        if found.pieces is None or len(calls) > 1:
            return found._replace(pieces=None)
        return found._replace(pieces=[change(b"".join(emit(found.pieces)))])

    monkeypatch.setattr(reprodiff.normalize, "rewrite", wrong)
    before = path.read_bytes()
    done = normalize(str(path), Job(0, disable=frozenset({"tar-order"})))
    assert path.read_bytes() == before
    assert alone(path.parent)
    return done


def swapped(data):
    return data[1024:2048] + data[:1024] + data[2048:]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda data: data[:512] + b"X" + data[513:], "member[member-0]!/bytes would change, and no rule says so"),
        (lambda data: data[1024:], "member[member-0] would change, and no rule says so"),
        (lambda data: data + bytes(512), "would change, and no rule says so"),
        (swapped, "would be in another order, and no rule says so"),
    ],
)
def test_a_mistake_of_the_rewriter_is_refused(tmp_path, monkeypatch, change, complaint):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for number in range(3):
            member = tarfile.TarInfo(f"member-{number}")
            member.size, member.mtime = 100, 1_700_000_000
            tar.addfile(member, io.BytesIO(os.urandom(100)))
    done = tampered(tmp_path / "a.tar", monkeypatch, change)
    assert done.status == "failed"
    assert complaint in done.notices[0]


CHILD = """
import sys
from reprodiff.app import Job, normalize_all
for done in normalize_all(sys.argv[1:], Job(0)):
    print(done.status, *done.notices)
"""


def child(*arguments, **options):
    return subprocess.Popen([sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True, **options)


def test_killed_at_any_moment(tmp_path):
    reference = archive(tmp_path / "reference.tar.gz", count=40, size=3000)
    old = reference.read_bytes()
    begin = time.monotonic()
    assert child(str(reference)).wait() == 0
    whole = time.monotonic() - begin
    new = reference.read_bytes()
    assert new != old
    area = tmp_path / "area"
    area.mkdir()
    target = area / "data.tar.gz"
    seen, stale = set(), 0
    for attempt in range(40):
        target.write_bytes(old)
        running = child(str(target), cwd=area)
        # Most of a run is start-up: look into the rest of it.
        time.sleep(whole * (0.5 + attempt / 60))
        running.send_signal(signal.SIGKILL)
        running.wait()
        running.stdout.close()
        content = target.read_bytes()
        assert content in {old, new}
        seen.add(content == new)
        stale += not alone(area)
    target.write_bytes(old)
    assert child(str(area)).wait() == 0
    assert target.read_bytes() == new
    assert os.listdir(area) == ["data.tar.gz"]


def dying(real, left):
    def call(*arguments, **named):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **named)

    return call


@pytest.mark.parametrize("names", [1, 2])
def test_killed_between_any_two_system_calls(file, names):
    """The same without luck: die at the n-th call that changes something, for every n."""
    calls = ("open", "write", "fsync", "fchmod", "utime", "rename", "unlink", "posix_fallocate", "ftruncate")
    if names > 1:
        os.link(file, file.parent / "other")
    before = set(os.listdir(file.parent))
    for number in range(1, 60):
        left = [number]
        file.write_bytes(OLD)
        pid = os.fork()
        if pid == 0:
            for name in calls:
                setattr(os, name, dying(getattr(os, name), left))
            try:
                put(file, [NEW[:1000], NEW[1000:]])
            finally:
                os._exit(0)
        _pid, status = os.waitpid(pid, 0)
        unfinished = sweep(str(file.parent))
        for redo in unfinished.values():
            # In place it may be neither for a moment: then the new content is beside it, and is kept.
            assert names > 1
            with open(redo, "rb") as kept:
                assert kept.read() == NEW
            os.unlink(redo)
        assert unfinished or file.read_bytes() in {OLD, NEW}
        assert set(os.listdir(file.parent)) == before
        if os.WIFEXITED(status):
            assert file.read_bytes() == NEW
            return
    pytest.fail("it never came to its end")


def test_a_full_disk_keeps_the_file(tmp_path):
    path = archive(tmp_path / "a.tar.gz", count=20, size=5000)
    old = path.read_bytes()
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n" + CHILD
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("failed left as it is: file too large")
    assert path.read_bytes() == old
    assert alone(tmp_path)


def test_a_full_disk_keeps_a_hard_linked_file(file):
    os.link(file, file.parent / "other")
    _soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    pid = os.fork()
    if pid == 0:
        real = os.posix_fallocate

        def full(descriptor, offset, size):
            real(descriptor, offset, size // 2)
            raise OSError(errno.ENOSPC, "no space left on device")

        os.posix_fallocate = full
        try:
            put(file, [NEW])
        except OSError:
            os._exit(7)
        os._exit(0)
    _pid, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert file.read_bytes() == OLD
    assert alone(file.parent)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == hard


@root_only
def test_a_really_full_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted: {mounted.stderr.strip()}")
    try:
        path = archive(disk / "a.tar.gz", count=8, size=5000)
        old = path.read_bytes()
        done = normalize(str(path), Job(0))
        assert (done.status, done.notices) == ("failed", ("left as it is: no space left on device",))
        assert path.read_bytes() == old
        assert os.listdir(disk) == ["a.tar.gz"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_interrupts_remove_the_temporary_file(file):
    def interrupt(_source):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put(file, [NEW], interrupt)
    assert alone(file.parent)
