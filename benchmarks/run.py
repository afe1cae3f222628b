"""Time whole processes of reprodiff against its peers and against a floor written in C.

See README.md beside this file. A benchmark is never a test: the exit status is 0 unless a case could not be run.
"""

from __future__ import annotations

import argparse
import contextlib
import filecmp
import gzip
import io
import os
import random
import shlex
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import traceback
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
MAKER = 1  # raise it when a maker changes: inputs kept from an older one are made anew
DATE = 1_700_000_000
# Settings of the caller that would change what is measured: other work, no compiled modules, a write for each line.
UNWANTED = {"SOURCE_DATE_EPOCH", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}


# Content that compresses the way source text does.


class Source:
    """Source-like text: lines drawn from a pool that is larger than any deflate window."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        syllables = [a + b for a in "bcdfghklmnprstvw" for b in ("a", "e", "i", "o", "u", "er", "in", "or")]
        words = [
            "_".join("".join(rng.choices(syllables, k=rng.randint(1, 3))) for _ in "12"[: rng.randint(1, 2)])
            for _ in range(3000)
        ]
        weights = [1 / (rank + 4) for rank in range(len(words))]
        shapes = (
            "if ({} == {}) {{",
            "return {}({}, {});",
            "{} = {}->{};",
            "}}",
            "",
            "/* {} {} the {} of {} */",
            "static int {}(struct {} *{}, size_t {})",
            "for (i = 0; i < {}; i++) {}[i] = {}(i);",
            '#include "{}/{}.h"',
            "{} |= 0x{:04x} << {};",
        )
        self.chunks = []
        for _ in range(12_000):
            lines = []
            for _ in range(rng.randint(2, 6)):
                names = rng.choices(words, weights, k=4)
                shape = rng.choice(shapes)
                if ":04x" in shape:
                    text = shape.format(names[0], rng.randrange(65536), names[1])
                else:
                    text = shape.format(*names)
                lines.append("    " * rng.randrange(4) + text + "\n")
            self.chunks.append("".join(lines).encode())
        self.mean = sum(map(len, self.chunks)) / len(self.chunks)

    def text(self, size: int) -> bytes:
        return b"".join(self.rng.choices(self.chunks, k=int(size / self.mean * 1.2) + 8))[:size]

    def java_class(self, name: str, strings: int) -> bytes:
        """A class file that holds strings and nothing else, valid enough for a disassembler."""
        texts = [b" ".join(self.rng.choice(self.chunks).split()) for _ in range(strings)]
        pool = [utf8(name.encode()), struct.pack(">BH", 7, 1), utf8(b"java/lang/Object"), struct.pack(">BH", 7, 3)]
        pool += map(utf8, texts)
        head = struct.pack(">IHHH", 0xCAFEBABE, 0, 52, len(pool) + 1)
        return head + b"".join(pool) + struct.pack(">HHHHHHH", 0x21, 2, 4, 0, 0, 0, 0)


def utf8(text: bytes) -> bytes:
    return struct.pack(">BH", 1, len(text)) + text


def source_tree(rng: random.Random, members: int, total: int) -> list[tuple[str, bytes]]:
    source = Source(rng)
    mean = total // members
    return [
        (f"src/dir{i // 100:03}/file{i:05}.c", source.text(rng.randint(mean // 10, mean * 19 // 10)))
        for i in range(members)
    ]


# Makers: each fills a folder; same seed, same bytes.


def write_tar(path: Path, members: list[tuple[str, bytes]], rng: random.Random, start: int) -> None:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(content), 0o644, start + rng.randrange(5000)
            info.uname = info.gname = "root"
            tar.addfile(info, io.BytesIO(content))


def gzip_file(path: Path, mtime: int) -> None:
    data = gzip.compress(path.read_bytes(), 6, mtime=mtime)
    path.with_name(path.name + ".gz").write_bytes(data)


def make_tar_gz(folder: Path, rng: random.Random) -> None:
    members = source_tree(rng, 5000, 60_000_000)
    for side, start in (("left", DATE), ("right", DATE + 86_400)):
        tar = folder / f"{side}.tar"
        write_tar(tar, members, rng, start)
        gzip_file(tar, start + 5000)
        tar.unlink()
        rng.shuffle(members)


def make_normalize_tar_gz(folder: Path, rng: random.Random) -> None:
    members = source_tree(rng, 5000, 60_000_000)
    rng.shuffle(members)
    write_tar(folder / "in.tar", members, rng, DATE)
    gzip_file(folder / "in.tar", DATE + 5000)


def write_zip(path: Path, members: list[tuple[str, bytes]], rng: random.Random, day: int) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, content in members:
            date = (2026, 11, day, rng.randrange(24), rng.randrange(60), rng.randrange(30) * 2)
            info = zipfile.ZipInfo(name, date)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o100644 << 16
            archive.writestr(info, content)


MANIFEST = ("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\r\nCreated-By: 17 (benchmark)\r\n\r\n")


def make_zip(folder: Path, rng: random.Random) -> None:
    source = Source(rng)
    members = []
    for i in range(2999):
        name = f"org/example/part{i // 60:02}/Class{i:04}"
        if i % 10:
            members.append((name + ".class", source.java_class(name, rng.randint(5, 60))))
        else:
            members.append((name + ".properties", source.text(rng.randint(200, 8000))))
    write_zip(folder / "left.jar", [MANIFEST, *members], rng, 20)
    for i in (211, 720, 1303, 1990, 2777):
        name, content = members[i]
        at = content.rindex(b"the") if b"the" in content else len(content) - 40
        members[i] = (name, content[:at] + b"THE" + content[at + 3 :])
    rng.shuffle(members)
    write_zip(folder / "right.jar", [MANIFEST, *members], rng, 21)


def make_normalize_zip(folder: Path, rng: random.Random) -> None:
    members = source_tree(rng, 5000, 60_000_000)
    rng.shuffle(members)
    write_zip(folder / "in.zip", members, rng, 20)


def make_trees(folder: Path, rng: random.Random) -> None:
    members = source_tree(rng, 5000, 20_000_000)
    changed = set(rng.sample(range(len(members)), 20))
    for side in ("left", "right"):
        for i, (name, content) in enumerate(members):
            path = folder / side / name
            path.parent.mkdir(parents=True, exist_ok=True)
            middle = len(content) // 2
            other = content[:middle] + b" changed " + content[middle + 9 :]
            path.write_bytes(other if side == "right" and i in changed else content)
            os.utime(path, (DATE, DATE))
        for below, _, _ in os.walk(folder / side):
            os.utime(below, (DATE, DATE))


def make_text(folder: Path, rng: random.Random) -> None:
    lines = Source(rng).text(18_500_000).splitlines()
    lines = [line if i % 3 else b"%s %x" % (line, i) for i, line in enumerate(lines)]
    (folder / "left.txt").write_bytes(b"\n".join(lines) + b"\n")
    for i in rng.sample(range(len(lines)), 25):
        lines[i] = b"this line was %s" % (b"changed " * rng.randint(1, 5))
    (folder / "right.txt").write_bytes(b"\n".join(lines) + b"\n")


def make_identical(folder: Path, rng: random.Random) -> None:
    block = b"".join(rng.randbytes(1 << 20) for _ in range(64))
    for side in ("left", "right"):
        with (folder / f"{side}.bin").open("wb") as file:
            file.writelines([block] * 16)


def make_tiny(folder: Path, rng: random.Random) -> None:
    text = Source(rng).text(400) + b"\nbuilt on 2026-11-20\n"
    for side, day, stamp in (("left", b"-20", DATE), ("right", b"-21", DATE + 86_400)):
        (folder / f"{side}.txt").write_bytes(text.replace(b"-20", day))
        (folder / f"{side}.gz").write_bytes(gzip.compress(text, 6, mtime=stamp))


def make_tar_200k(folder: Path, rng: random.Random) -> None:
    """Headers by hand: tarfile would take half a minute. One member in eight has content, the others are empty."""
    layout = struct.Struct("100s8s8s8s12s12s8s1s100s8s32s32s8s8s155s12x")
    for side, start in (("left", DATE), ("right", DATE + 86_400)):
        with (folder / f"{side}.tar").open("wb", buffering=1 << 20) as file:
            for i in range(200_000):
                content = b"" if i % 8 else b"content of %d\n" % i
                fields = [
                    b"./data/part%04d/member%06d" % (i // 200, i),
                    b"0000644\0",
                    b"0000000\0",
                    b"0000000\0",
                    b"%011o\0" % len(content),
                    b"%011o\0" % (start + rng.randrange(5000)),
                    b"        ",
                    b"0",
                    b"\0" * 100,
                    b"ustar\x0000",
                    b"root",
                    b"root",
                    b"0000000\0",
                    b"0000000\0",
                    b"",
                ]
                fields[6] = b"%06o\0 " % sum(layout.pack(*fields))
                file.write(layout.pack(*fields))
                if content:
                    file.write(content.ljust(512, b"\0"))
            file.write(bytes(-file.tell() % 10_240 or 10_240))


def make_nothing(folder: Path, rng: random.Random) -> None:
    """Start-up has no input."""


# Cases.


@dataclass(frozen=True)
class Contender:
    """A command; `{dir}` in it is the folder of the inputs, `{copy}` a fresh copy of the case's scratch file."""

    name: str
    argv: tuple[str, ...]
    needs: tuple[str, ...] = ()  # programs beside argv[0], for a pipeline
    version: tuple[str, ...] = ()


@dataclass(frozen=True)
class Aim:
    text: str
    peer: str = ""  # "" = no peer: an absolute aim
    faster: float = 0  # at least this many times faster than the peer (0.5: at most twice its time)
    floor: float = 0  # at most this many times the floor
    seconds: float = 0
    megabytes: float = 0


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[Path, random.Random], None]
    arguments: tuple[str, ...]  # of reprodiff
    peers: tuple[Contender, ...] = ()
    floor: tuple[str, ...] = ()
    aims: tuple[Aim, ...] = ()
    status: int = 1  # what an answer to this case exits with
    scratch: str = ""  # the file that each run gets a fresh copy of, and must change
    label: str = ""

    @property
    def title(self) -> str:
        return self.label or self.name


def diffoscope(left: str, right: str, *options: str) -> Contender:
    return Contender("diffoscope", ("diffoscope", *options, left, right), version=("diffoscope", "--version"))


def pair(left: str, right: str) -> tuple[str, str]:
    return "{dir}/" + left, "{dir}/" + right


TREES, JARS, TAR_GZ = pair("left", "right"), pair("left.jar", "right.jar"), pair("left.tar.gz", "right.tar.gz")
TEXTS, BINARIES, TARS = pair("left.txt", "right.txt"), pair("left.bin", "right.bin"), pair("left.tar", "right.tar")
GZIPS = pair("left.gz", "right.gz")

CASES = (
    Case(
        "start-up",
        make_nothing,
        ("--version",),
        (Contender("python -c pass", (sys.executable, "-c", "pass")),),
        status=0,
    ),
    Case(
        "tiny",
        make_tiny,
        TEXTS,
        (diffoscope(*TEXTS),),
        TEXTS,
        (Aim("<= 50 ms", seconds=0.05),),
        label="tiny (text)",
    ),
    Case(
        "tiny",
        make_tiny,
        GZIPS,
        (diffoscope(*GZIPS),),
        GZIPS,
        (Aim("<= 50 ms", seconds=0.05),),
        label="tiny (gzip)",
    ),
    Case(
        "tar-gz",
        make_tar_gz,
        TAR_GZ,
        (diffoscope(*TAR_GZ),),
        TAR_GZ,
        (Aim(">= 40x diffoscope", peer="diffoscope", faster=40), Aim("<= 4x floor", floor=4)),
    ),
    Case(
        "zip",
        make_zip,
        JARS,
        (diffoscope(*JARS),),
        JARS,
        (Aim(">= 100x diffoscope", peer="diffoscope", faster=100),),
    ),
    Case(
        "trees",
        make_trees,
        TREES,
        (diffoscope(*TREES, "--exclude-directory-metadata=yes"),),
        TREES,
        (Aim(">= 80x diffoscope", peer="diffoscope", faster=80),),
    ),
    Case(
        "text",
        make_text,
        TEXTS,
        (diffoscope(*TEXTS),),
        TEXTS,
        (Aim(">= 40x diffoscope", peer="diffoscope", faster=40),),
    ),
    Case(
        "identical",
        make_identical,
        BINARIES,
        (Contender("cmp", ("cmp", *BINARIES)), diffoscope(*BINARIES)),
        BINARIES,
        (Aim("<= cmp", peer="cmp", faster=1), Aim("<= 1.5x floor", floor=1.5)),
        status=0,
    ),
    Case(
        "tar-200k",
        make_tar_200k,
        TARS,
        (diffoscope(*TARS),),
        TARS,
        (Aim("< 6 s", seconds=6), Aim("< 300 MB", megabytes=300)),
    ),
    Case(
        "normalize-zip",
        make_normalize_zip,
        ("normalize", "{copy}"),
        (
            Contender(
                "strip-nondeterminism",
                ("strip-nondeterminism", "-t", "zip", "{copy}"),
                version=("strip-nondeterminism", "--version"),
            ),
        ),
        aims=(Aim(">= 25x strip-nondeterminism", peer="strip-nondeterminism", faster=25),),
        status=0,
        scratch="in.zip",
    ),
    Case(
        "normalize-tar-gz",
        make_normalize_tar_gz,
        ("normalize", "{copy}"),
        (
            Contender(
                "pigz -p2",
                ("sh", "-c", 'pigz -p2 -c "$1" > "$2"', "sh", "{dir}/in.tar", "{copy}"),
                needs=("pigz",),
            ),
            Contender(
                "gzip -dc | pigz -p2",
                ("sh", "-c", 'gzip -dc "$1" | pigz -p2 -c > "$2"', "sh", "{dir}/in.tar.gz", "{copy}"),
                needs=("gzip", "pigz"),
            ),
        ),
        floor=("--gzip", "{dir}/in.tar", "{copy}"),
        aims=(Aim("<= 2x pigz -p2", peer="pigz -p2", faster=0.5),),
        status=0,
        scratch="in.tar.gz",
    ),
)


# Running.


@dataclass
class Times:
    """What came of one contender: its runs, or why there are none."""

    seconds: list[float] = field(default_factory=list)
    megabytes: float = 0
    cut: bool = False  # it hit the time limit: the time is a lower bound
    trouble: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def ran(self) -> bool:
        return bool(self.seconds) and not self.trouble and not self.cut

    def shown(self) -> str:
        if self.trouble or not self.seconds:
            return self.trouble or "-"
        return f"> {self.median:.0f}" if self.cut else figure(self.median)


def figure(number: float) -> str:
    return f"{number:.3f}" if number < 10 else f"{number:.1f}"


def temporary_files(work: Path) -> Path:
    """Memory where there is some: on a disk the same run of a peer took twice as long ten minutes later."""
    memory = Path("/dev/shm")  # noqa: S108 - only unpredictable names are made in it
    wanted = os.environ.get("TMPDIR")
    return Path(wanted) if wanted else memory if os.access(memory, os.W_OK) else work


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in UNWANTED}


def once(argv: Sequence[str], temporary: Path, limit: float, statuses: Collection[int], times: Times) -> None:
    """Run one process and its children to the end, or to the limit."""
    expired = threading.Event()
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryDirectory(dir=temporary) as scratch:
        started = time.perf_counter()
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
                env=environment() | {"TMPDIR": scratch},  # where a peer that is stopped leaves its temporary files
            )
        except OSError as error:
            times.trouble = f"does not start: {error.strerror}"
            return

        def end() -> None:
            expired.set()
            with contextlib.suppress(ProcessLookupError):  # it may just have ended
                os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(limit, end)
        timer.start()
        try:
            _, ended, usage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            timer.cancel()
        elapsed = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(ended)
        if expired.is_set():
            times.seconds, times.cut = [limit], True
        elif process.returncode not in statuses:
            errors.seek(0)
            times.trouble = f"failed (exit {process.returncode})"
            say(errors.read().decode(errors="backslashreplace").rstrip()[-2000:])
        else:
            times.seconds.append(elapsed)
            # ru_maxrss is kB, on macOS bytes; it covers the process and the children that it waited for.
            scale = 1e6 if sys.platform == "darwin" else 1e6 / 1024
            times.megabytes = max(times.megabytes, usage.ru_maxrss / scale)


@dataclass(frozen=True)
class Bench:
    work: Path
    temporary: Path
    reprodiff: tuple[str, ...]
    floor: Path | None
    runs: int
    peer_runs: int
    limit: float
    seed: int

    def inputs(self, case: Case) -> Path:
        folder = self.work / case.name
        mark = folder / "made"
        stamp = f"made by version {MAKER}, seed {self.seed}\n"
        if not mark.exists() or mark.read_text() != stamp:
            say(f"{case.name}: making its inputs")
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            if not apart(lambda: case.make(folder, random.Random(f"{self.seed} {case.name}"))):
                raise SystemExit(f"benchmarks: {case.name}: its inputs could not be made")
            mark.write_text(stamp)
            os.sync()  # or the disk is still writing while the first case runs
        return folder

    def run(self, case: Case) -> dict[str, Times]:
        folder = self.inputs(case)
        warm(folder)
        contenders = [Contender("reprodiff", (*self.reprodiff, *case.arguments)), *case.peers]
        if case.floor and self.floor:
            contenders.append(Contender("floor", (str(self.floor), *case.floor)))
        results = {contender.name: Times(trouble=missing(contender)) for contender in contenders}
        for turn in range(max(self.runs, self.peer_runs)):
            for contender in contenders:
                times = results[contender.name]
                wanted = self.runs if contender.name in ("reprodiff", "floor") else self.peer_runs
                if turn < wanted and not times.trouble and not times.cut:
                    self.turn(case, contender, folder, times)
                    say(f"{case.title}: {contender.name}: {times.trouble or figure(times.seconds[-1])}")
        return results

    def turn(self, case: Case, contender: Contender, folder: Path, times: Times) -> None:
        argv, original, copy = prepare(case, contender.argv, folder)
        # The floor looks at contents only: 0 or 1 as they happen to be.
        once(argv, self.temporary, self.limit, {0, 1} if contender.name == "floor" else {case.status}, times)
        if case.scratch:
            if not times.trouble and not times.cut and filecmp.cmp(original, copy, shallow=False):
                times.trouble = "left the file as it was"
            copy.unlink(missing_ok=True)

    def profile(self, case: Case) -> bool:
        """Run reprodiff under cProfile (which sees the main thread only) and print where its own time went."""
        import pstats

        argv, _, copy = prepare(case, case.arguments, self.inputs(case))
        dump = self.work / "profile"
        dump.unlink(missing_ok=True)
        interpreter, script = python_of(self.reprodiff)
        command = [*interpreter, "-m", "cProfile", "-o", str(dump), *script, *argv]
        subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment())
        if case.scratch:
            copy.unlink(missing_ok=True)
        if not dump.exists():
            say(f"{case.title}: no profile was written")
            return False
        print(case.title)
        pstats.Stats(str(dump)).sort_stats("tottime").print_stats(25)
        return True


def apart(work: Callable[[], None]) -> bool:
    """Do work in a process of its own: a child's peak starts from its parent's memory, so this one stays small."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - this process must end here, whatever happened
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def prepare(case: Case, argv: Sequence[str], folder: Path) -> tuple[list[str], Path, Path]:
    """The command with its places filled in; the scratch file; and a fresh copy of it, made outside the clock."""
    original = folder / case.scratch
    copy = folder / ("copy-" + case.scratch)
    if case.scratch:
        shutil.copyfile(original, copy)
    return [word.replace("{dir}", str(folder)).replace("{copy}", str(copy)) for word in argv], original, copy


def warm(folder: Path) -> None:
    """Read everything once: the disk is not what is measured."""
    for below, _, names in os.walk(folder):
        for name in names:
            with Path(below, name).open("rb", buffering=0) as file:
                while file.read(1 << 20):
                    pass


def missing(contender: Contender) -> str:
    absent = [tool for tool in (contender.argv[0], *contender.needs) if not shutil.which(tool)]
    return f"no {Path(absent[0]).name}" if absent else ""


def python_of(command: Sequence[str]) -> tuple[list[str], list[str]]:
    """The interpreter that a command runs on, and what it is given: `python -m reprodiff`, or a console script."""
    path = shutil.which(command[0])
    if path and len(command) > 1:
        return [path], list(command[1:])
    if path:
        with Path(path).open("rb") as file:
            first = file.readline(4096)
        if first.startswith(b"#!") and b"python" in first:
            words = shlex.split(os.fsdecode(first[2:]))
            return words, [path]
    raise SystemExit(f"benchmarks: {command[0]} is no Python script; try --reprodiff 'python3 -m reprodiff'")


def compiled_floor(work: Path) -> Path | None:
    program = work / "floor"
    try:
        subprocess.run(
            ["cc", "-O2", "-o", str(program), str(HERE / "floor.c"), "-lz", "-pthread"],
            check=True,
            capture_output=True,
            text=True,
        )
    except OSError as error:
        say(f"no floor: cc: {error.strerror}")
    except subprocess.CalledProcessError as error:
        say(f"no floor: cc failed:\n{error.stderr}")
    else:
        return program
    return None


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# The table.

HEAD = ("case", "reprodiff s", "peak MB", "peer", "peer s", "peer/ours", "floor s", "ours/floor", "aim", "result")
RIGHT = {1, 2, 4, 5, 6, 7}


def ratio(upper: Times, lower: Times) -> float | None:
    if upper.seconds and lower.seconds and not (upper.trouble or lower.trouble or lower.cut):
        return upper.median / lower.median
    return None


def factor(value: float | None, bound: bool = False) -> str:
    if value is None:
        return "-"
    return ("> " if bound else "") + (f"{value:.2f}x" if value < 10 else f"{value:.0f}x")


def verdict(aim: Aim, results: dict[str, Times]) -> str:
    ours = results["reprodiff"]
    if not ours.ran:
        return "not run"
    met = True
    if aim.peer:
        peer = results[aim.peer]
        faster = ratio(peer, ours)
        if faster is None:
            return "unknown: " + (peer.trouble or "not run")
        met = faster >= aim.faster
        if peer.cut and not met:
            return "unknown: the peer was cut off"
    if aim.floor:
        times = ratio(ours, results["floor"]) if "floor" in results else None
        if times is None:
            return "unknown: no floor"
        met = met and times <= aim.floor
    if aim.seconds:
        met = met and ours.median <= aim.seconds
    if aim.megabytes:
        met = met and ours.megabytes <= aim.megabytes
    return "met" if met else "missed"


def rows(case: Case, results: dict[str, Times]) -> Iterator[tuple[str, ...]]:
    ours, floor = results["reprodiff"], results.get("floor")
    for i in range(max(1, len(case.peers), len(case.aims))):
        row = [""] * len(HEAD)
        if i == 0:
            row[:3] = case.title, ours.shown(), f"{ours.megabytes:.0f}" if ours.ran else "-"
            row[6:8] = (floor.shown(), factor(ratio(ours, floor))) if floor else ("-", "-")
        if i < len(case.peers):
            peer = results[case.peers[i].name]
            row[3:6] = case.peers[i].name, peer.shown(), factor(ratio(peer, ours), peer.cut)
        if i < len(case.aims):
            row[8:] = case.aims[i].text, verdict(case.aims[i], results)
        yield tuple(row)


def show(table: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in table) for i in range(len(HEAD))]
    for row in table:
        cells = (
            cell.rjust(width) if i in RIGHT else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join(cells).rstrip())


def machine(cases: Sequence[Case], bench: Bench) -> None:
    """What the numbers depend on, in a few lines."""
    cpus, load = os.cpu_count() or 1, os.getloadavg()[0]
    print(f"{cpus} CPUs, load {load:.1f}{' (busy: do not trust the seconds)' if load > cpus / 2 else ''}")
    print(f"temporary files in {bench.temporary}")
    for version in dict.fromkeys(peer.version for case in cases for peer in case.peers if peer.version):
        if shutil.which(version[0]):
            answer = subprocess.run(version, check=False, capture_output=True, text=True)
            print((answer.stdout + answer.stderr).strip().partition("\n")[0])
    print()


def main() -> int:
    names = list(dict.fromkeys(case.name for case in CASES))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reprodiff", default="reprodiff", metavar="COMMAND", help="what to time (default: reprodiff)")
    parser.add_argument("--only", nargs="+", choices=names, metavar="CASE", help=f"of {', '.join(names)}")
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="where the inputs are kept (default: a temporary folder)"
    )
    parser.add_argument(
        "-n", "--runs", type=int, default=3, metavar="N", help="runs of each, median shown (default: 3)"
    )
    parser.add_argument(
        "--peer-runs", type=int, metavar="N", help="runs of each peer (default: as --runs; 0: no peers)"
    )
    parser.add_argument("--time-limit", type=float, default=300, metavar="S", help="for one run (default: 300)")
    parser.add_argument("--seed", type=int, default=1, help="of the inputs (default: 1)")
    parser.add_argument("--profile", choices=names, metavar="CASE", help="profile reprodiff on CASE and time nothing")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs: at least 1")

    with tempfile.TemporaryDirectory(prefix="benchmarks-") as temporary:
        work = (options.work or Path(temporary)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        bench = Bench(
            work=work,
            temporary=temporary_files(work),
            reprodiff=tuple(shlex.split(options.reprodiff)),
            floor=None if options.profile else compiled_floor(work),
            runs=options.runs,
            peer_runs=options.runs if options.peer_runs is None else options.peer_runs,
            limit=options.time_limit,
            seed=options.seed,
        )
        if options.profile:
            profiled = [bench.profile(case) for case in CASES if case.name == options.profile]
            return 0 if all(profiled) else 1
        cases = [case for case in CASES if not options.only or case.name in options.only]
        machine(cases, bench)
        table: list[tuple[str, ...]] = [HEAD]
        failed = []
        try:
            for case in cases:
                results = bench.run(case)
                table += rows(case, results)
                if not results["reprodiff"].ran:
                    failed.append(case.title)
        finally:
            show(table)  # what there is, also when interrupted
    if failed:
        say(f"reprodiff did not run: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
