"""Canonical encodings: the same bytes everywhere or a refusal; and names for the bytes of others."""

import bz2
import gzip
import hashlib
import lzma
import os
import random
import shutil
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from importlib import import_module
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reprodiff import encoders
from reprodiff.encoders import DEFLATE_CHUNK, LABELS, check, deflate, deflate_bytes, identify_deflate
from reprodiff.errors import NormalizeError

CANARY = encoders._canary()
ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"


def varied(size: int) -> bytes:
    """Text in which stretches come again, whole and changed, near and far: every zlib level finds others of them."""
    rnd = random.Random(1)
    words = [bytes(rnd.choices(range(97, 123), k=rnd.randint(2, 9))) for _ in range(2000)]
    text = bytearray()
    while len(text) < size:
        text += b" ".join(rnd.choices(words, k=8)) + b" %d\n" % len(text)
        for _ in range(4):
            start = max(len(text) - rnd.randrange(1, 40_000), 0)
            text += text[start : start + rnd.randrange(3, 90)]
    return bytes(text[:size])


TEXT = varied(3 * DEFLATE_CHUNK + 12_345)


@pytest.fixture(autouse=True)
def unchecked() -> Iterator[None]:
    """Let every test run the known-answer tests again, whatever it or another replaced."""
    check.cache_clear()
    yield
    check.cache_clear()


def pieces(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    at = 0
    for size in sizes:
        yield data[at : at + size]
        at += size
    yield data[at:]


def zlib_raw(data: bytes, level: int, memory: int = 8) -> bytes:
    engine = zlib.compressobj(level, zlib.DEFLATED, -15, memory)
    return engine.compress(data) + engine.flush()


# The contract. These constants change only with a new canonical encoding, which is a breaking change.
def test_known_answers() -> None:
    data = b"".join(CANARY[n:] + CANARY[:n] for n in range(0, 80_000, 2_000))
    answers = {
        "plain": data,
        "deflate": deflate_bytes(data),
        "xz": b"".join(encoders.xz([CANARY])),
        "bzip2": b"".join(encoders.bzip2([CANARY])),
    }
    assert len(data) > 3 * DEFLATE_CHUNK
    assert {name: hashlib.sha256(output).hexdigest() for name, output in answers.items()} == {
        "plain": "b056bd641d3ab010536fb64301dacbc3051e6fb6c7d5ac91a2344ff6091f2eba",
        "deflate": "e41e4e3b9618a356ff6a7f31e83b94c85b489ddf8092a94f90b5e179d413055c",
        "xz": "8cb8bec23bb0ecbdf078f1cdad5995c678e7a813daf857ee74aba28791a77083",
        "bzip2": "48f20b6d03f92c4c000eae3c24bf0a10db4bc171209c5774d24b839edcdede21",
    }


@pytest.mark.parametrize("name", ["deflate", "xz", "bzip2"])
def test_this_host_writes_the_canonical_bytes(name: str) -> None:
    check(name)


def test_nothing_has_an_encoding() -> None:
    assert deflate_bytes(b"") == b"\x03\x00"
    assert b"".join(deflate([b"", b""])) == b"\x03\x00"
    assert lzma.decompress(b"".join(encoders.xz([]))) == b""
    assert bz2.decompress(b"".join(encoders.bzip2([]))) == b""


@pytest.mark.parametrize(
    "size", [1, 1000, DEFLATE_CHUNK - 1, DEFLATE_CHUNK, DEFLATE_CHUNK + 1, 2 * DEFLATE_CHUNK, 3 * DEFLATE_CHUNK + 5]
)
def test_deflate_is_one_stream(size: int) -> None:
    data = TEXT[:size]
    raw = deflate_bytes(data)
    engine = zlib.decompressobj(-15)
    assert engine.decompress(raw) == data
    assert engine.eof
    assert engine.unused_data == b""
    assert (raw == zlib_raw(data, 6)) == (size <= DEFLATE_CHUNK)
    head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    tail = zlib.crc32(data).to_bytes(4, "little") + size.to_bytes(4, "little")
    assert gzip.decompress(head + raw + tail) == data


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, len(TEXT)),
    st.lists(st.one_of(st.integers(0, 100), st.integers(0, 2 * DEFLATE_CHUNK)), max_size=8),
    st.sampled_from([1, 2, 5]),
)
@example(2 * DEFLATE_CHUNK, [DEFLATE_CHUNK, DEFLATE_CHUNK], 2)
@example(2 * DEFLATE_CHUNK + 1, [DEFLATE_CHUNK - 1, 2, 0], 5)
def test_deflate_depends_on_the_data_alone(size: int, sizes: list[int], threads: int) -> None:
    data = TEXT[:size]
    assert b"".join(deflate(pieces(data, sizes), threads=threads)) == deflate_bytes(data, threads=1)


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 30_000), max_size=6), st.sampled_from(["xz", "bzip2"]))
def test_the_other_encoders_depend_on_the_data_alone(sizes: list[int], name: str) -> None:
    encode = {"xz": encoders.xz, "bzip2": encoders.bzip2}[name]
    raw = b"".join(encode(pieces(CANARY, sizes)))
    assert raw == b"".join(encode([CANARY]))
    assert {"xz": lzma.decompress, "bzip2": bz2.decompress}[name](raw) == CANARY


def test_zstd_is_written_by_one_version_only() -> None:
    library = pytest.importorskip(ZSTD)
    if library.zstd_version != encoders.ZSTD_VERSION:
        with pytest.raises(NormalizeError, match="libzstd"):
            encoders.zstd([b""])
        return
    raw = b"".join(encoders.zstd([TEXT]))
    assert library.decompress(raw) == TEXT
    assert b"".join(encoders.zstd(pieces(TEXT, [1, 70_000, 0, DEFLATE_CHUNK]))) == raw
    assert len(b"".join(encoders.zstd([]))) == 13


def test_zstd_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SimpleNamespace(compress=lambda data: data, flush=lambda: b"")
    fake = SimpleNamespace(
        zstd_version="1.4.0",
        CompressionParameter=SimpleNamespace(compression_level=100, checksum_flag=201),
        ZstdCompressor=lambda **_: engine,
    )
    monkeypatch.setattr(encoders, "_zstd_module", lambda: fake)
    with pytest.raises(NormalizeError, match=r"libzstd 1\.4\.0 gives other bytes"):
        encoders.zstd([b""])


def test_a_missing_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "_zstd_module", lambda: import_module("reprodiff.no_such_library"))
    with pytest.raises(NormalizeError, match="lacks the library"):
        encoders.zstd([b""])


def replace_zlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """A zlib that compresses well, and to other bytes, as zlib-ng does."""

    def compressobj(level: int, *rest: object) -> object:
        return zlib.compressobj(level - 1, *rest)  # type: ignore[call-overload]

    fake = SimpleNamespace(**{**vars(zlib), "compressobj": compressobj, "ZLIB_RUNTIME_VERSION": "1.3.1.zlib-ng"})
    monkeypatch.setattr(encoders, "zlib", fake)


def test_another_zlib_is_refused_before_any_output(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_zlib(monkeypatch)
    for attempt in (lambda: deflate([b"x"]), lambda: deflate_bytes(b"x"), lambda: check("deflate")):
        with pytest.raises(NormalizeError, match=r"zlib 1\.3\.1\.zlib-ng gives other bytes"):
            attempt()


def test_another_zlib_identifies_nothing_but_stored_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    raw, stored = zlib_raw(TEXT, 6), zlib_raw(TEXT, 0)
    replace_zlib(monkeypatch)
    assert identify_deflate(raw, TEXT) is None
    assert identify_deflate(stored, TEXT) == "stored"


@pytest.mark.parametrize("name", ["xz", "bzip2"])
def test_another_library_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, f"_{name}_engine", lambda: zlib.compressobj(6))
    with pytest.raises(NormalizeError, match=f"{name} is not written here"):
        {"xz": encoders.xz, "bzip2": encoders.bzip2}[name]([b""])


def test_a_passed_check_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    check("deflate")
    replace_zlib(monkeypatch)
    check("deflate")
    assert check.cache_info().hits == 1


def test_unknown_names_and_no_threads_are_errors() -> None:
    with pytest.raises(KeyError):
        check("lzma")
    with pytest.raises(ValueError, match="0 threads"):
        deflate([], threads=0)


def test_input_is_read_no_further_than_needed() -> None:
    taken: list[int] = []

    def endless() -> Iterator[bytes]:
        while True:
            taken.append(len(taken))
            yield bytes(DEFLATE_CHUNK)

    before = threading.active_count()
    output = deflate(endless(), threads=2)
    assert not taken
    for count in range(1, 20):
        next(output)
        assert len(taken) <= count + 2 * 2 + 1
    output.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [1, 3])
def test_errors_of_the_input_pass_through(threads: int) -> None:
    def broken() -> Iterator[bytes]:
        yield TEXT
        raise OSError("gone")

    before = threading.active_count()
    with pytest.raises(OSError, match="gone"):
        list(deflate(broken(), threads=threads))
    assert threading.active_count() == before


def test_errors_on_a_thread_reach_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    check("deflate")

    def failing(*_: object) -> bytes:
        raise MemoryError("no room")

    monkeypatch.setattr(encoders, "_deflate_chunk", failing)
    with pytest.raises(MemoryError, match="no room"):
        list(deflate([TEXT], threads=2))


def test_the_environment_does_not_matter() -> None:
    program = (
        "import hashlib, sys; from reprodiff import encoders as e; data = e._canary() * 14;"
        "print(*(hashlib.sha256(b''.join(f([data]))).hexdigest() for f in (e.deflate, e.xz, e.bzip2)))"
    )
    answers = set()
    for zone, locale, seed in (("UTC", "C", "1"), ("Asia/Kathmandu", "tr_TR.UTF-8", "2")):
        env = {
            **os.environ,
            "TZ": zone,
            "LC_ALL": locale,
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        answers.add(subprocess.run([sys.executable, "-c", program], env=env, check=True, capture_output=True).stdout)
    assert len(answers) == 1


SAMPLE = TEXT[: 3 << 19]


@pytest.mark.parametrize("level", range(1, 10))
def test_identify_zlib_levels(level: int) -> None:
    expected = {f"zlib level {level}"} | ({"zlib level 8-9"} if level > 7 else set())
    for size in (100_000, len(SAMPLE)):
        data = SAMPLE[:size]
        assert identify_deflate(zlib_raw(data, level), data) in expected
        assert identify_deflate(zlib_raw(data, level), data, levels=(level,)) == f"zlib level {level}"
    raw = zlib_raw(SAMPLE, level)
    name = identify_deflate(raw[: 256 << 10], SAMPLE[: zlib_plain_size(raw[: 256 << 10])], complete=False)
    assert name in expected


def zlib_plain_size(raw: bytes) -> int:
    return len(zlib.decompressobj(-15).decompress(raw))


def test_identify_with_larger_blocks() -> None:
    assert identify_deflate(zlib_raw(SAMPLE, 6, 9), SAMPLE) == "zlib level 6 memLevel 9"


def test_identify_reads_what_python_writes() -> None:
    raw = gzip.compress(SAMPLE, 9, mtime=0)[10:-8]
    assert identify_deflate(raw, SAMPLE) in ("zlib level 9", "zlib level 8-9")
    assert identify_deflate(zlib.compress(SAMPLE, 1)[2:-4], SAMPLE) == "zlib level 1"


def test_identify_names_ties() -> None:
    assert identify_deflate(zlib_raw(b"tiny", 6), b"tiny") == "zlib level 1-9"
    assert identify_deflate(zlib_raw(b"tiny", 6), b"tiny", levels=(1, 2, 4, 9)) == "zlib level 1-2, 4, 9"


def test_identify_the_canonical_encoding() -> None:
    raw = deflate_bytes(TEXT)
    assert identify_deflate(raw, TEXT) == LABELS["deflate"]
    assert identify_deflate(raw[:-1], TEXT[:-1], complete=False) == LABELS["deflate"]
    part = raw[: len(deflate_bytes(TEXT[:DEFLATE_CHUNK])) + (300 << 10)]
    assert identify_deflate(part, TEXT, complete=False) == LABELS["deflate"]
    assert identify_deflate(raw[:-1], TEXT) is None
    assert identify_deflate(deflate_bytes(SAMPLE[:DEFLATE_CHUNK]), SAMPLE[:DEFLATE_CHUNK]) == "zlib level 6"


def test_identify_stored() -> None:
    data = SAMPLE[:200_000]
    assert identify_deflate(zlib_raw(data, 0), data) == "stored"
    assert identify_deflate(zlib_raw(data, 0)[:150_000], data[:140_000], complete=False) == "stored"
    assert identify_deflate(b"\x01\x04\x00\xfb\xfftext", b"text") == "stored"
    assert identify_deflate(b"\x01\x04\x00\xfb\xffte", b"te") is None
    assert identify_deflate(b"\x01\x04\x00\xfb\xfetext", b"text") is None


def test_identify_does_not_guess() -> None:
    raw = zlib_raw(SAMPLE, 6)
    assert identify_deflate(raw, SAMPLE[1:]) is None
    assert identify_deflate(raw, SAMPLE, levels=(1, 9)) is None
    assert identify_deflate(raw + b"\0", SAMPLE) is None
    assert identify_deflate(raw[:-1], SAMPLE) is None
    assert identify_deflate(raw[:20_000], SAMPLE[:100_000], complete=False) is None
    assert identify_deflate(b"", b"") is None
    assert identify_deflate(b"", b"", complete=False) is None


def test_blocks_cut_elsewhere_are_not_zlib() -> None:
    engine = zlib.compressobj(6, zlib.DEFLATED, -15)
    raw = b""
    for at in range(0, len(SAMPLE), 128 << 10):
        raw += engine.compress(SAMPLE[at : at + (128 << 10)]) + engine.flush(zlib.Z_SYNC_FLUSH)
    raw += engine.flush()
    assert identify_deflate(raw, SAMPLE) is None


def test_a_late_deviation_is_found() -> None:
    data = bytes(DEFLATE_CHUNK) + TEXT
    engine = zlib.compressobj(6, zlib.DEFLATED, -15)
    raw = engine.compress(data[:-500_000]) + engine.flush(zlib.Z_SYNC_FLUSH)
    raw += engine.compress(data[-500_000:]) + engine.flush()
    assert len(data) > encoders.VERIFY
    assert identify_deflate(raw, data[: encoders.VERIFY]) is None


@pytest.mark.parametrize("tool", ["gzip", "pigz"])
@pytest.mark.parametrize("level", [1, 6, 9])
def test_other_tools_are_not_zlib(tool: str, level: int) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    output = subprocess.run([tool, "-n", f"-{level}"], input=SAMPLE, check=True, capture_output=True).stdout
    if zlib_raw(SAMPLE, level) == output[10:-8]:
        pytest.skip(f"this {tool} uses zlib")
    assert identify_deflate(output[10:-8], SAMPLE) is None


def test_heavy_modules_stay_out_at_import() -> None:
    program = (
        "import sys, reprodiff.encoders, reprodiff.textdiff;"
        "print(*({'lzma', 'bz2', 'threading', 're', 'hashlib', 'queue', 'backports'} & set(sys.modules)))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-S", "-c", program], env=env, check=True, capture_output=True)
    assert done.stdout.split() in ([], [b"re"])
