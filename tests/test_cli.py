"""The command line, as people and scripts use it."""

import contextlib
import gzip
import hashlib
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from reprodiff import cli

FIXTURES = Path(__file__).parents[1] / "fixtures"


def pair(case):
    return [str(next((FIXTURES / case / side).iterdir())) for side in ("left", "right")]


MTIME, MIXED, CHANGED, SUSPECTED = pair("tar/mtime"), pair("targz/mixed"), pair("text/one-line"), pair("text/order")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("SOURCE_DATE_EPOCH", "NO_COLOR", "REPRODIFF_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(capfd):
    before = signal.getsignal(signal.SIGTERM)

    def call(*arguments):
        capfd.readouterr()
        status = cli.main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return status, out, err

    yield call
    signal.signal(signal.SIGTERM, before)


def process(*arguments, **options):
    command = [sys.executable, "-m", "reprodiff", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.fixture
def copies(tmp_path):
    def copy(sides):
        found = []
        for name, path in zip(("one", "two"), sides, strict=True):
            (tmp_path / name).mkdir()
            found.append(Path(shutil.copy(path, tmp_path / name)))
        return found

    return copy


# diff


def test_identical_is_silent(run):
    assert run(MTIME[0], MTIME[0]) == (0, "", "")


def test_different(run):
    status, out, err = run(*MTIME)
    assert (status, err) == (1, "")
    assert out.startswith("left/data.tar and right/data.tar differ: 1 cause explains every differing byte (proved)\n")
    assert "tar-mtime" in out
    assert out == run("diff", *MTIME)[1] == run("diff", "--text", "-", *MTIME)[1]


def test_missing_file_is_trouble(run):
    assert run(MTIME[0], "no such file") == (2, "", "reprodiff: no such file: no such file or directory\n")


def test_file_against_directory_is_trouble(run, tmp_path):
    status, out, err = run(MTIME[0], tmp_path)
    assert (status, out) == (2, "")
    assert "give two files or two directories" in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["one"],
        ["one", "two", "three"],
        ["--nonsense", *MTIME],
        ["--jso", "-", *MTIME],
        ["--timeout", "x", *MTIME],
        ["--timeout", "-1", *MTIME],
        ["--max-decoded", "1T", *MTIME],
        ["normalize"],
        ["normalize", "--mode", "wipe", "x"],
        ["inspect"],
        ["formats", "x"],
    ],
)
def test_wrong_usage_is_trouble(run, arguments):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err


def test_help_and_version(run):
    assert run("--version") == (0, "reprodiff 0.1.0\n", "")
    for arguments in (["--help"], ["diff", "--help"], ["normalize", "-h"], ["inspect", "--help"], ["causes", "-h"]):
        status, out, err = run(*arguments)
        assert (status, err) == (0, "")
        assert out.startswith("usage: reprodiff")


def test_a_file_that_is_called_like_a_command(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, side in zip(("normalize", "diff"), MTIME, strict=True):
        shutil.copy(side, name)
    assert run("./normalize", "diff")[0] == 1
    assert run("--", "normalize", "diff")[0] == 1
    assert run("diff", "normalize", "diff")[0] == 1
    assert run("normalize", "--check", "diff")[1] == "would change diff: tar-mtime\n"


def test_dashes_end_the_options(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(MTIME[0], "-x")
    shutil.copy(MTIME[1], "--json")
    status, out, _err = run("--", "-x", "--json")
    assert status == 1
    assert "reprodiff normalize ./-x ./--json" in out


def test_reports_go_where_they_are_told(run, tmp_path):
    names = {kind: tmp_path / kind for kind in ("text", "json", "markdown", "html")}
    arguments = [text for kind, path in names.items() for text in (f"--{kind}", path)]
    assert run(*arguments, *MTIME) == (1, "", "")
    assert names["text"].read_text() == run(*MTIME)[1]
    assert json.loads(names["json"].read_text())["verdict"] == "explained"
    assert "tar-mtime" in names["markdown"].read_text()
    assert names["html"].read_text().startswith("<!DOCTYPE html>")
    status, out, _err = run("--json", "-", "--text", names["text"], *MTIME)
    assert status == 1
    assert json.loads(out)["schema"] == "reprodiff.report/1"


def test_options_may_stand_anywhere(run):
    for arguments in ([MTIME[0], "--json", "-", MTIME[1]], [*MTIME, "--json", "-"], ["--json=-", *MTIME]):
        assert json.loads(run(*arguments)[1])["proof"] == "proved"


def test_json_has_digests(run):
    report = json.loads(run("--json", "-", *MTIME)[1])
    for side, path in zip(("left", "right"), MTIME, strict=True):
        assert report[side]["sha256"] == hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_json_of_identical_files(run):
    status, out, _err = run("--json", "-", MTIME[0], MTIME[0])
    assert status == 0
    assert json.loads(out)["verdict"] == "identical"


def test_one_report_on_standard_output(run):
    status, out, err = run("--json", "-", "--html", "-", *MTIME)
    assert (status, out) == (2, "")
    assert "only one report" in err


def test_a_report_that_cannot_be_written_is_trouble(run, tmp_path):
    status, _out, err = run("--json", tmp_path / "no" / "where", *MTIME)
    assert status == 2
    assert err == f"reprodiff: {tmp_path}/no/where: no such file or directory\n"


def test_hide(run):
    status, out, _err = run("--hide", "tar-owner", "--hide", "tar-order", *MIXED)
    assert status == 1
    assert "tar-owner" not in out
    assert "hidden       2 causes (--hide)" in out
    assert "3 causes explain" in out
    assert run("--hide", "tar-mtime", *MTIME)[0] == 1
    assert json.loads(run("--hide", "tar-mtime", "--json", "-", *MTIME)[1])["hidden"] == ["tar-mtime"]


def test_accept(run):
    assert run("--accept", "tar-mtime", *MTIME)[0] == 0
    assert run("--accept", "tar-mtime", *MIXED)[0] == 1
    assert run("--accept", "tar-mtime", "--accept", "tar-owner", "--accept", "tar-order", *MIXED)[0] == 0
    assert run("--accept", "tar-mtime", *CHANGED)[0] == 1
    assert run("--accept", "tar-mtime", *SUSPECTED)[0] == 1
    assert run("--accept", "line-order-only", *SUSPECTED)[0] == 0
    assert run("--accept", "tar-mtime", "--hide", "tar-mtime", *MTIME)[0] == 0


def test_unknown_causes_are_trouble(run):
    for option in ("--hide", "--accept"):
        status, _out, err = run(option, "tar-mtimes", *MTIME)
        assert (status, err) == (2, "reprodiff: there is no cause 'tar-mtimes': `reprodiff causes` lists them\n")


def tar(path, **members):
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name.replace("_", "/"))
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    path.write_bytes(gzip.compress(plain.getvalue(), mtime=1) if path.suffix == ".tgz" else plain.getvalue())
    return path


@pytest.mark.parametrize("suffix", ["tar", "tgz"])
def test_exclude(run, tmp_path, suffix):
    one = tar(tmp_path / f"one.{suffix}", doc_a=b"a", doc_b=b"b" * 30, keep=b"k")
    two = tar(tmp_path / f"two.{suffix}", doc_a=b"A", doc_b=b"B" * 40, keep=b"k", doc_c=b"new")
    three = tar(tmp_path / f"three.{suffix}", doc_a=b"A", doc_b=b"B" * 40, keep=b"K")
    assert run(one, two)[0] == 1
    assert run("--exclude", "doc/*", one, two) == (0, "", "")
    assert run("--exclude", "a", "--exclude", "doc/[bc]", one, two) == (0, "", "")
    status, out, _err = run("--exclude", "doc/*", one, three)
    assert status == 1
    assert "excluded" in out
    assert "doc/" not in out.replace("doc/*", "")


def test_limits(run, tmp_path):
    one = tar(tmp_path / "one.tgz", **{f"m{n}": b"x" * n for n in range(100)})
    two = tar(tmp_path / "two.tgz", **{f"m{n}": b"y" * n for n in range(100)})
    for option, value in (("--max-decoded", "10K"), ("--max-members", "20"), ("--max-depth", "1")):
        status, out, err = run(option, value, one, two)
        assert status == 2, option
        assert option in out + err
    assert run("--max-decoded", "1G", "--max-memory", "1K", one, two)[0] == 1
    status, _out, err = run("--timeout", "0.000001", one, two)
    assert status == 2
    assert "--timeout" in err


def test_a_crash_is_trouble_and_one_sentence(run, monkeypatch):
    def crash(*_arguments, **_named):
        raise ZeroDivisionError("oh\x1b[31m no")

    monkeypatch.setattr("reprodiff.app.diff", crash)
    status, out, err = run(*MTIME)
    assert (status, out) == (2, "")
    assert err.startswith("reprodiff: internal error, please report it: ZeroDivisionError: oh\\x1b[31m no")
    assert err.count("\n") == 1
    monkeypatch.setenv("REPRODIFF_TRACEBACK", "1")
    status, _out, err = run(*MTIME)
    assert status == 2
    assert "Traceback (most recent call last)" in err


def test_an_interrupt_says_nothing(run, monkeypatch):
    def interrupt(*_arguments, **_named):
        raise KeyboardInterrupt

    monkeypatch.setattr("reprodiff.app.diff", interrupt)
    assert run(*MTIME) == (130, "", "")


def test_a_closed_pipe_says_nothing():
    command = [sys.executable, "-m", "reprodiff", "causes"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait() == 141


def shell(command):
    words = {"PYTHON": sys.executable, "LEFT": MTIME[0], "RIGHT": MTIME[1]}
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, env=os.environ | words)


def test_standard_output_that_takes_nothing_is_trouble():
    full = shell('"$PYTHON" -m reprodiff "$LEFT" "$RIGHT" > /dev/full')
    assert (full.returncode, full.stderr) == (2, "reprodiff: no space left on device\n")
    closed = shell('"$PYTHON" -m reprodiff "$LEFT" "$RIGHT" >&-')
    assert (closed.returncode, closed.stderr) == (2, "reprodiff: standard output is closed\n")


def test_no_standard_error_is_no_trouble():
    closed = shell('"$PYTHON" -m reprodiff "$LEFT" missing 2>&-')
    assert (closed.returncode, closed.stdout) == (2, "")


def on_terminal(*arguments, environment=None):
    master, slave = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | (environment or {})
    command = [sys.executable, "-m", "reprodiff", *arguments]
    with subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env) as running:
        os.close(slave)
        out = b""
        with contextlib.suppress(OSError):
            while piece := os.read(master, 65536):
                out += piece
        os.close(master)
    return running.returncode, out


def test_colour_is_for_terminals():
    assert b"\x1b[" in on_terminal(*MTIME)[1]
    assert b"\x1b[" not in on_terminal(*MTIME, environment={"NO_COLOR": "1"})[1]
    assert "\x1b" not in process(*MTIME).stdout


def test_progress_is_for_terminals_and_long_runs(tmp_path):
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import sys, time\nfrom reprodiff import app, cli\nreal = app.diff\n"
        "def diff(*a, **k):\n    time.sleep(1.5)\n    return real(*a, **k)\n"
        "app.diff = diff\nsys.stderr.isatty = lambda: True\nsys.exit(cli.main(sys.argv[1:]))\n"
    )
    command = [sys.executable, str(slow)]
    done = subprocess.run([*command, *MTIME], capture_output=True, check=False)
    assert done.returncode == 1
    assert b"\rreprodiff: 1 s, 0 MiB decoded" in done.stderr
    assert done.stderr.endswith(b"\r\x1b[K")
    done = subprocess.run([*command, "--no-progress", *MTIME], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert b"decoded" not in on_terminal(*MTIME)[1]


EVERY_PAIR = sorted(path.parent.relative_to(FIXTURES).as_posix() for path in FIXTURES.glob("*/*/left"))
HINTED = ["tar/mtime", "targz/mixed", "gzip/level", "tar/umask", "gzip/name", "tar/format-gnu-pax"]


@pytest.mark.parametrize("case", EVERY_PAIR)
def test_the_hint_is_true(run, copies, case):
    left, right = copies(pair(case))
    _status, out, _err = run(left, right)
    hint = out.rstrip("\n").rpartition("\n")[2].strip()
    if not hint.startswith("reprodiff normalize "):
        assert case not in HINTED
        return
    command, _gap, _promise = hint.partition("   ")
    words = command.split()[1:]
    if "unify" in words:
        for path in (left, right):
            assert run(*words[:-2], f"{path}.new", path)[0] == 0
        left, right = Path(f"{left}.new"), Path(f"{right}.new")
    else:
        assert run(*words)[0] == 0
    assert left.read_bytes() == right.read_bytes()


@pytest.mark.parametrize("case", ["text/one-line", "text/order", "tar/one-owner", "tar/one-byte"])
def test_no_hint_where_nothing_helps(run, case):
    assert "reprodiff normalize" not in run(*pair(case))[1]


@pytest.fixture
def trees(tmp_path):
    """Two directories whose archives differ in nothing but times."""
    found = []
    for name, path in zip(("first", "second"), MTIME, strict=True):
        top = tmp_path / name
        (top / "sub").mkdir(parents=True)
        (top / "same").write_text("the same\n")
        shutil.copy(path, top / "sub" / "data.tar")
        for inner in (top / "same", top / "sub" / "data.tar", top / "sub", top):
            os.utime(inner, (1000, 1000))
        found.append(top)
    return found


def test_directories(run, trees):
    first, second = trees
    assert run(first, first) == (0, "", "")
    status, out, _err = run(first, second)
    assert status == 1
    assert out.startswith("first and second differ: 1 cause explains every differing byte (proved)")
    assert out.rstrip().endswith(f"reprodiff normalize {first} {second}   makes their files identical")
    assert run("--exclude", "data.tar", first, second)[0] == 0
    assert run("normalize", first, second)[0] == 0
    assert (first / "sub" / "data.tar").read_bytes() == (second / "sub" / "data.tar").read_bytes()
    assert run("--exclude-directory-metadata", first, second) == (0, "", "")


def test_directory_metadata(run, trees):
    first, second = trees
    shutil.copy(MTIME[0], second / "sub" / "data.tar")
    (second / "same").chmod(0o755)
    status, out, _err = run(first, second)
    assert status == 1
    assert "reprodiff normalize" not in out
    assert run("--exclude-directory-metadata", first, second) == (0, "", "")


# normalize


def test_normalize_in_place(run, copies):
    left, right = copies(MTIME)
    status, out, err = run("normalize", left, right)
    assert (status, err) == (0, "")
    assert out == f"normalized {left}: tar-mtime\nnormalized {right}: tar-mtime\n"
    assert left.read_bytes() == right.read_bytes()
    assert run("normalize", left, right) == (0, "", "")


def test_python_m_normalizers(copies):
    left, right = copies(MTIME)
    command = [sys.executable, "-m", "normalizers", left, right]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count("normalized") == 2
    assert left.read_bytes() == right.read_bytes()


def test_check_changes_nothing(run, copies):
    left, _right = copies(MTIME)
    before = left.read_bytes(), left.stat()
    status, out, _err = run("normalize", "--check", left)
    assert (status, out) == (1, f"would change {left}: tar-mtime\n")
    assert (left.read_bytes(), left.stat().st_mtime_ns, left.stat().st_ino) == (
        before[0],
        before[1].st_mtime_ns,
        before[1].st_ino,
    )
    run("normalize", left)
    assert run("normalize", left, "--check") == (0, "", "")


def times(path):
    with tarfile.open(path) as archive:
        return {member.mtime for member in archive}


def test_epoch(run, copies, monkeypatch):
    left, right = copies(MTIME)
    run("normalize", "--epoch", "1234567890", left)
    assert times(left) == {1234567890}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    run("normalize", right)
    assert times(right) == {1000000000}
    run("normalize", "--epoch", "0", right)
    assert times(right) == {0}
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    status, _out, err = run("normalize", right)
    assert (status, err) == (2, "reprodiff: SOURCE_DATE_EPOCH is not a number of seconds: 'yesterday'\n")
    assert run("normalize", "--epoch", "5", right)[0] == 0


def test_output(run, copies, tmp_path):
    left, _right = copies(MTIME)
    before = left.read_bytes()
    new = tmp_path / "new.tar"
    assert run("normalize", "--output", new, left)[0] == 0
    assert left.read_bytes() == before
    assert times(new) == {0}
    again = tmp_path / "again.tar"
    assert run("normalize", "--output", again, new) == (0, "", "")
    assert again.read_bytes() == new.read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "reprodiff", "normalize", "--output", "-", left], capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (new.read_bytes(), b"")


def test_output_to_a_device(run, copies):
    left, _right = copies(MTIME)
    assert run("normalize", "--output", "/dev/null", left)[0] == 0
    assert not os.path.isfile("/dev/null")


def test_output_needs_one_other_file(run, copies, tmp_path):
    left, right = copies(MTIME)
    new = tmp_path / "new"
    for arguments in (["--output", new, left, right], ["--output", new, left.parent], ["--output", left, left]):
        assert run("normalize", *arguments)[0] == 2
    assert run("normalize", "--output", new, "--check", left)[0] == 2
    assert not new.exists()


def test_unify_needs_output(run, copies):
    left, right = copies(pair("gzip/level"))
    before = left.read_bytes()
    status, _out, err = run("normalize", "--mode", "unify", left)
    assert status == 2
    assert "--output" in err
    assert left.read_bytes() == before
    for path in (left, right):
        assert run("normalize", "--mode", "unify", "--output", path.with_suffix(".new"), path)[0] == 0
    assert left.with_suffix(".new").read_bytes() == right.with_suffix(".new").read_bytes()


def test_enable_and_disable(run, copies):
    left, right = copies(pair("tar/umask"))
    run("normalize", left, right)
    assert left.read_bytes() != right.read_bytes()
    status, out, _err = run("normalize", "--enable", "archive-mode-umask", left, right)
    assert status == 0
    assert "archive-mode-umask" in out
    assert left.read_bytes() == right.read_bytes()
    assert run("normalize", "--enable", "no-such-cause", left)[0] == 2
    assert run("normalize", "--enable", "all", left)[0] == 0


def test_disable(run, copies):
    left, _right = copies(MIXED)
    status, out, _err = run("normalize", "--disable", "tar-owner", "--disable", "gzip-name-os-xfl", left)
    assert status == 0
    assert "tar-mtime" in out
    assert "tar-owner" not in out
    with tarfile.open(left) as archive:
        assert {member.uid for member in archive} == {1000}


def test_directories_are_walked_and_links_are_not_followed(run, tmp_path):
    top, outside = tmp_path / "top", tmp_path / "outside"
    (top / "sub").mkdir(parents=True)
    outside.mkdir()
    for name in ("b.tar", "a.tar", "sub/c.tar"):
        shutil.copy(MTIME[0], top / name)
    shutil.copy(MTIME[0], outside / "d.tar")
    (top / "text").write_text("nothing to do here, really nothing\n")
    (top / "link.tar").symlink_to(outside / "d.tar")
    (top / "linked").symlink_to(outside)
    before = (outside / "d.tar").read_bytes()
    status, out, err = run("normalize", top)
    assert (status, err) == (0, "")
    assert [line.split(":")[0].split("/")[-1] for line in out.splitlines()] == ["a.tar", "b.tar", "c.tar"]
    status, out, err = run("normalize", top / "link.tar")
    assert (status, out) == (0, "")
    assert "a symbolic link" in err
    assert (outside / "d.tar").read_bytes() == before
    assert (top / "link.tar").is_symlink()


def test_hard_links_are_rewritten_once(run, copies):
    left, _right = copies(MTIME)
    os.link(left, left.with_name("other.tar"))
    status, out, _err = run("normalize", left.parent)
    assert status == 0
    assert len(out.splitlines()) == 1
    assert left.stat().st_nlink == 2
    assert times(left) == times(left.with_name("other.tar")) == {0}


def test_one_bad_file_stops_nothing(run, copies, tmp_path):
    left, right = copies(MTIME)
    broken = tmp_path / "broken.gz"
    broken.write_bytes(b"\x1f\x8b\x08" + b"\0" * 40)
    read_only = Path(shutil.copy(MTIME[0], tmp_path / "read-only.tar"))
    read_only.chmod(0o444)
    status, out, err = run("normalize", left, broken, "missing", read_only, right)
    assert status == 2
    assert out == f"normalized {left}: tar-mtime\nnormalized {right}: tar-mtime\n"
    assert [line.split(": ")[1:3] for line in err.splitlines()] == [
        [str(broken), "left as it is"],
        ["missing", "no such file or directory"],
        [str(read_only), "left as it is"],
    ]
    assert read_only.read_bytes() == Path(MTIME[0]).read_bytes()


def test_json_of_normalize(run, copies):
    left, right = copies(MIXED)
    before = hashlib.sha256(left.read_bytes()).hexdigest()
    status, out, _err = run("normalize", "--check", "--json", "-", left)
    assert status == 1
    assert json.loads(out)["files"][0]["status"] == "would-change"
    status, out, _err = run("normalize", "--json", "-", left, "missing")
    assert status == 2
    report = json.loads(out)
    assert report["schema"] == "reprodiff.normalize/1"
    first, second = report["files"]
    assert first["path"] == str(left)
    assert first["status"] == "normalized"
    assert first["causes"] == ["gzip-name-os-xfl", "tar-mtime", "tar-order", "tar-owner"]
    assert first["encoders"] == ["zlib level 6 in 1 MiB chunks"]
    assert first["before"]["sha256"] == before
    assert first["after"] == {
        "size": left.stat().st_size,
        "sha256": hashlib.sha256(left.read_bytes()).hexdigest(),
    }
    assert (second["status"], second["before"], second["after"]) == ("failed", None, None)
    assert right.read_bytes() == Path(MIXED[1]).read_bytes()


def test_several_at_a_time_give_the_same(run, tmp_path):
    for area in ("one", "two"):
        (tmp_path / area).mkdir()
        for number in range(12):
            shutil.copy(MIXED[number % 2], tmp_path / area / f"{number:02}.tar.gz")
        (tmp_path / area / "05.tar.gz").write_bytes(b"\x1f\x8b\x08" + b"\0" * 40)
    one = run("normalize", tmp_path / "one")
    two = run("normalize", "-j", "3", tmp_path / "two")
    assert one[0] == two[0] == 2
    assert one[1].replace("/one/", "/two/") == two[1]
    assert one[2].replace("/one/", "/two/") == two[2]
    for number in range(12):
        assert (tmp_path / "one" / f"{number:02}.tar.gz").read_bytes() == (
            tmp_path / "two" / f"{number:02}.tar.gz"
        ).read_bytes()


def test_terminating_leaves_nothing_behind(tmp_path):
    for number in range(60):
        tar(tmp_path / f"{number:02}.tgz", **{f"m{n}": os.urandom(500) for n in range(60)})
    running = subprocess.Popen([sys.executable, "-m", "reprodiff", "normalize", "--epoch", "1", tmp_path])
    time.sleep(0.4)
    running.terminate()
    # On a slow machine the signal comes before there is a handler for it.
    assert running.wait() in {143, 0, -signal.SIGTERM}
    assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []


# inspect, causes, formats


def test_inspect(run):
    status, out, err = run("inspect", MIXED[0])
    assert (status, err) == (0, "")
    assert " derived  gzip/deflate!/tar/member[doc/a.txt]/header/chksum" in out
    assert " payload  gzip/deflate\n" in out
    report = json.loads(run("inspect", "--json", "-", MIXED[0])[1])
    assert report["schema"] == "reprodiff.inspect/1"
    by_path = {node["path"]: node for node in report["nodes"]}
    assert by_path["gzip/deflate!/tar/member[run.sh]/header/uid"]["value"] == "1000"
    assert by_path["gzip"]["span"] == [0, report["size"]]
    assert not any(node["note"] for node in report["nodes"])


def test_inspect_tells_what_does_not_follow(run, tmp_path):
    data = bytearray(Path(pair("gzip/name")[0]).read_bytes())
    data[-1] ^= 1
    (tmp_path / "x.gz").write_bytes(data)
    status, out, _err = run("inspect", tmp_path / "x.gz")
    assert status == 0
    (line,) = [line for line in out.splitlines() if "does not follow" in line]
    assert "gzip/trailer/isize" in line


def test_inspect_plain_bytes(run, tmp_path):
    (tmp_path / "x").write_bytes(b"\x00\x01\xfe" * 20)
    assert "payload  bytes" in run("inspect", tmp_path / "x")[1]
    assert run("inspect", tmp_path / "missing")[0] == 2


def test_causes(run):
    status, out, _err = run("causes")
    assert status == 0
    assert len(out.splitlines()) > 150
    status, out, _err = run("causes", "tar-mtime")
    assert status == 0
    for words in ("tar-mtime (timestamp)", "GNU tar", "timestamps_in_tarball", "https://", "Debian usertags"):
        assert words in out
    assert run("causes", "tar-mtimes")[0] == 2


def test_formats(run):
    status, out, _err = run("formats")
    assert status == 0
    assert {"gzip", "tar", "text"} <= {line.split()[0] for line in out.splitlines()}
