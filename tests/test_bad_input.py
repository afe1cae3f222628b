"""Archives from strangers, and what people type wrongly: a sentence and a status, never a traceback."""

import gzip
import io
import json
import os
import resource
import subprocess
import sys
import tarfile
import unicodedata
import zipfile
import zlib

import pytest

MIB = 1 << 20


def run(*arguments, **options):
    """The finished process, and its peak memory in bytes."""
    done = subprocess.run(
        [sys.executable, "-m", "reprodiff", *map(os.fspath, arguments)],
        capture_output=True,
        check=False,
        timeout=300,
        **options,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done


def report(*arguments):
    done = run(*arguments, "--json", "-")
    return done.returncode, json.loads(done.stdout)


def pair(tmp_path, left, right, suffix=""):
    one, two = tmp_path / f"left{suffix}", tmp_path / f"right{suffix}"
    one.write_bytes(left)
    two.write_bytes(right)
    return one, two


def tar(*members):
    """A tar archive of (name, content) pairs."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def test_missing_file(tmp_path):
    done = run(tmp_path / "no", tmp_path / "nor")
    assert done.returncode == 2
    assert b"no such file" in done.stderr.lower()
    assert done.stderr.count(b"\n") == 1


def test_file_against_directory(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    done = run(tmp_path / "file", tmp_path)
    assert done.returncode == 2
    assert b"directory" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(tmp_path):
    one, two = pair(tmp_path, b"a", b"b")
    one.chmod(0)
    done = run(one, two)
    assert done.returncode == 2
    assert b"permission denied" in done.stderr.lower()


def test_empty_file(tmp_path):
    status, seen = report(*pair(tmp_path, b"", b"text\n"))
    assert status == 1
    assert seen["verdict"] == "unexplained"
    assert report(*pair(tmp_path, b"", b""))[0] == 0


@pytest.mark.parametrize("keep", [3, 9, 11, 40, -9, -1])
def test_truncated_gzip(tmp_path, keep):
    whole = gzip.compress(bytes(range(256)) * 50, mtime=1)
    other = gzip.compress(bytes(range(255, -1, -1)) * 50, mtime=2)[:keep]
    status, seen = report(*pair(tmp_path, whole, other, ".gz"))
    assert status in {1, 2}
    assert seen["verdict"] == "unexplained"
    assert seen["notices"] or status == 1


def test_damaged_member_stays_inside_its_archive(tmp_path):
    good = gzip.compress(b"text\n" * 1000, mtime=1)
    bad = good[:30] + bytes([good[30] ^ 255]) + good[31:]
    status, seen = report(*pair(tmp_path, tar(("a", b"1"), ("b.gz", good)), tar(("a", b"1"), ("b.gz", bad)), ".tar"))
    assert status == 2
    assert [notice["kind"] for notice in seen["notices"]] == ["damaged"]
    assert any("member[b.gz]" in item["path"] for item in seen["unexplained"])


@pytest.mark.slow
def test_zeros_by_the_hundred_million(tmp_path):
    """512 MiB of zeros in half a megabyte, with one byte more at the end of one side."""
    sides = []
    for name, tail in (("left.gz", b"a"), ("right.gz", b"b")):
        engine = zlib.compressobj(9, zlib.DEFLATED, 31)
        path = tmp_path / name
        with path.open("wb") as file:
            for _ in range(512):
                file.write(engine.compress(bytes(MIB)))
            file.write(engine.compress(tail) + engine.flush())
        sides.append(path)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    status, seen = report(*sides)
    assert status == 1
    assert [item["bytes"] for item in seen["unexplained"]] == [1]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert peak <= max(before, 900 * 1024)


def test_decoded_bytes_have_a_limit(tmp_path):
    left, right = (gzip.compress(bytes(4 * MIB) + tail, mtime=0) for tail in (b"a", b"b"))
    one, two = pair(tmp_path, left, right, ".gz")
    done = run(one, two, "--max-decoded", "1M")
    assert done.returncode == 2
    assert b"limit" in done.stdout


@pytest.mark.parametrize("content", [b"a", b"b" * 3000])
def test_streams_inside_streams_without_end(tmp_path, content):
    left, right = b"left" + content, b"right" + content
    for _ in range(60):
        left, right = gzip.compress(left, mtime=0), gzip.compress(right, mtime=0)
    status, seen = report(*pair(tmp_path, left, right, ".gz"))
    assert status == 2
    assert [notice["kind"] for notice in seen["notices"]] == ["limit"]
    assert seen["verdict"] == "unexplained"


def test_a_bomb_of_archives_in_archives(tmp_path):
    """Ten copies at each of four levels: the limit on members ends it."""

    def bomb(seed):
        data = seed * 100
        for level in range(4):
            out = io.BytesIO()
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
                for number in range(10):
                    archive.writestr(zipfile.ZipInfo(f"{level}-{number}.zip"), data)
            data = out.getvalue()
        return data

    one, two = pair(tmp_path, bomb(b"left"), bomb(b"rite"), ".zip")
    done = run(one, two, "--max-members", "500")
    assert done.returncode == 2
    assert b"limit" in done.stdout


def test_no_name_is_used_as_a_path(tmp_path):
    names = ("../../escape", "/absolute/escape", "a/../../escape", "C:\\escape")
    one, two = pair(tmp_path, tar(*((n, b"left") for n in names)), tar(*((n, b"right") for n in names)), ".tar")
    status, seen = report(one, two)
    assert status == 1
    assert len(seen["unexplained"]) == len(names)
    assert not any("escape" in name for _, _, files in os.walk(tmp_path.parent) for name in files)


EVIL = ("red\x1b[31mname", "new\nline", "bell\x07", "bidi\u202egnp.exe", "zero\u200bwidth", "tab\tname", "del\x7f")


@pytest.mark.parametrize("report_kind", ["--text", "--json", "--markdown", "--html"])
def test_names_cannot_draw_on_the_terminal(tmp_path, report_kind):
    one, two = pair(
        tmp_path,
        tar(*((n, b"left") for n in EVIL), ("gone" + EVIL[0], b"")),
        tar(*((n, b"right") for n in EVIL)),
        ".tar",
    )
    done = run(one, two, report_kind, "-")
    assert done.returncode == 1
    for char in done.stdout.decode():
        assert char == "\n" or unicodedata.category(char) not in {"Cc", "Cf", "Zl", "Zp"}, repr(char)


def test_names_that_are_not_text(tmp_path):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("caf\udce9"), io.BytesIO(b""))
    data = out.getvalue()
    status, _seen = report(*pair(tmp_path, data, data.replace(b"caf\xe9", b"caf\xe8"), ".tar"))
    assert status in {1, 2}


@pytest.mark.slow
def test_a_million_empty_members(tmp_path):
    header = bytearray(tarfile.TarInfo("m").tobuf(tarfile.USTAR_FORMAT))
    sides = []
    for name, time in (("left.tar", b"14000000000"), ("right.tar", b"14000001234")):
        header[136:147] = time
        path = tmp_path / name
        with path.open("wb") as file:
            for number in range(1_000_000):
                header[:8] = b"m%07d" % number
                header[148:156] = b"        "
                header[148:155] = b"%06o\0" % sum(header)
                file.write(header)
            file.write(bytes(1024))
        sides.append(path)
    done = run(*sides)
    assert done.returncode == 1
    assert b"1,000,000" in done.stdout
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 2_000_000


def test_a_pipe_is_read_to_its_end(tmp_path):
    one, two = pair(tmp_path, b"text\n" * 3, b"text\n" * 3)
    script = f"{sys.executable} -m reprodiff <(cat {one}) <(cat {two})"
    assert subprocess.run(["bash", "-c", script], check=False, timeout=60).returncode == 0


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    one, two = pair(tmp_path, b"left\n" * 9, b"right\n" * 9)
    script = f"{sys.executable} -m reprodiff {one} {two} | true"
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=False, timeout=60)
    assert done.stderr == b""
