"""Ways to see less of an archive give what seeing all of it gives, and do see less: counted, not timed."""

import io
import random
import zipfile

import numpy as np
import pytest

import normalizers
from fixtures import FILES, STORED, label
from normalizers.elf import directories
from reprodiff import formats, rewrite
from reprodiff.app import diff_sources
from reprodiff.budget import Budget
from reprodiff.formats.program import machines, side
from reprodiff.formats.program.machines import x86
from reprodiff.formats.program.pieces import Piece, Pieces, unlike
from reprodiff.formats.zip import members, payload
from reprodiff.layout import emit
from reprodiff.rewrite import Rulebook
from reprodiff.rules import CLAMP, UNIFY, Policy
from reprodiff.sources import Bytes
from reprodiff.textdiff import classify, hunks, same_letters


def report(left, right):
    return diff_sources(left, right, "left", "right", Budget(), digests=False).report


def load(path):
    return Bytes(path.read_bytes())


@pytest.mark.parametrize("recipe", [recipe for recipe in STORED if not recipe.dynamic], ids=label)
def test_comparing_without_children_finds_the_same(recipe, monkeypatch):
    left, right = map(load, recipe.sides())
    seen = report(left, right)
    full = formats.load
    monkeypatch.setattr(formats, "load", lambda entry: full(entry)._replace(quick=None))
    assert report(left, right) == seen


@pytest.mark.parametrize("mode", [CLAMP, UNIFY])
@pytest.mark.parametrize("path", FILES, ids=label)
def test_rewriting_without_a_look_ahead_writes_the_same(path, mode, monkeypatch):
    policy = Policy(1_500_000_000, mode)

    def written(idle):
        book = Rulebook(normalizers.rulebook, lambda *given: normalizers.guard(*given, policy), idle)
        found = rewrite.rewrite(load(path), book, policy, Budget())
        return None if found.pieces is None else b"".join(emit(found.pieces)), found.causes

    remembered = set()
    first, again = written(remembered), written(remembered)
    monkeypatch.setattr(rewrite._Rewriter, "key", lambda _self, _leaf: (None, b""))
    assert first == again == written(None)


def archive(times, names, *, text=b"a line of text\n"):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as out:
        for name in names:
            member = zipfile.ZipInfo(name, (2020 + times, 1 + len(name) % 12, 2, 3, 4, 6))
            member.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(member, text * 1000 + name.encode())
    return data.getvalue()


def counted(monkeypatch, owner, name):
    calls = []
    real = getattr(owner, name)

    def count(*arguments, **options):
        calls.append(arguments)
        return real(*arguments, **options)

    monkeypatch.setattr(owner, name, count)
    return calls


NAMES = [f"member-{number}" for number in range(50)]


def test_members_that_differ_in_their_time_have_no_children(monkeypatch):
    calls = counted(monkeypatch, members, "_build")
    shuffled = random.Random(0).sample(NAMES, len(NAMES))
    seen = report(Bytes(archive(1, NAMES)), Bytes(archive(2, shuffled)))
    assert [cause["id"] for cause in seen["causes"]] == ["zip-dos-time", "zip-entry-order"]
    assert calls == []


def test_texts_are_not_decoded_to_be_left_alone(monkeypatch):
    policy = Policy(0)
    calls = counted(monkeypatch, payload.Decoder, "_decode")
    book = Rulebook(normalizers.rulebook, lambda *_: None)
    assert "zip-dos-time" in rewrite.rewrite(Bytes(archive(1, NAMES)), book, policy, Budget()).causes
    assert calls == []


@pytest.mark.parametrize("prefix", [b"#!/bin/sh\n", b"@echo off\r\n", b"\0\1\2\3"])
def test_an_archive_behind_a_script_in_a_member_is_found(prefix):
    inner = prefix + b"a line of text\n" * 1000 + archive(1, NAMES[:2])
    outer = archive(1, ["script"], text=b"")
    data = io.BytesIO(outer)
    with zipfile.ZipFile(data, "a", zipfile.ZIP_DEFLATED) as out:
        out.writestr(zipfile.ZipInfo("inner", (1980, 1, 1, 0, 0, 0)), inner, zipfile.ZIP_DEFLATED)
    policy = Policy(0)
    book = Rulebook(normalizers.rulebook, lambda *_: None)
    found = rewrite.rewrite(Bytes(data.getvalue()), book, policy, Budget())
    assert found.encoders == {"deflate"}


def test_a_look_at_the_start_is_a_look_at_the_start():
    import zlib

    data = random.Random(0).randbytes(20_000)
    for plain in (data, b"a" * 20_000, data[:4096], b""):
        engine = zlib.compressobj(6, zlib.DEFLATED, -15)
        head, whole = payload.peek(engine.compress(plain) + engine.flush())
        assert head == plain[: formats.HEAD]
        assert not whole or head == plain


def test_other_letters_are_no_order_and_no_white_space():
    rng = random.Random(0)
    for _ in range(300):
        lines = [rng.choice([b"a\n", b"b \n", b" c\r\n", b"\n", b"dd\n"]) for _ in range(rng.randrange(8))]
        left = b"".join(lines)
        right = b"".join(rng.sample(lines, len(lines))).replace(b"\r" if rng.random() < 0.5 else b" ", b"")
        found = hunks(left, right)
        alike = same_letters([left[a:b] for a, b, _, _ in found], [right[c:d] for _, _, c, d in found])
        assert alike or classify(left, right) is None
    assert not same_letters([b"a"], [b"b"])


def machine_code(rng, size):
    """Bytes that have many prefixes, two-byte opcodes and displacements, whole instructions or not."""
    likely = b"\x48\x66\x0f\x8d\x05\xe8\xe9\xc5\xc4\x62\x81\xf7\xb8\xa1\x24\x25\x90\xf2\x4c"
    return bytes(rng.choice(likely) if rng.random() < 0.5 else rng.randrange(256) for _ in range(size))


def one_by_one(code, starts, wide):
    """Follow instructions from each start, with what is known of them all at once."""
    numbers = x86._numbers(code, wide)
    found = []
    for start, stop in zip(starts, [*starts[1:], len(code)], strict=True):
        at = start
        while at < stop:
            found.append(at)
            at += int(numbers[at]) & 31 or 1
    return found


@pytest.mark.parametrize("seed", range(12))
def test_instructions_followed_together_are_those_followed_one_by_one(seed, monkeypatch):
    rng = random.Random(seed)
    wide = seed % 2 == 0
    code = machine_code(rng, rng.choice([1, 40, 3000]))
    starts = sorted({0, *(rng.randrange(len(code) + 1) for _ in range(rng.choice([0, 20, 200])))})
    whole = x86.fields(code, starts, wide)
    assert whole.starts.tolist() == one_by_one(code, starts, wide)
    for stretch, few in ((64, 0), (100, 1), (1 << 20, 1000)):
        monkeypatch.setattr(x86, "STRETCH", stretch)
        monkeypatch.setattr(x86, "FEW", few)
        again = x86.fields(code, starts, wide)
        assert all(np.array_equal(one, two) for one, two in zip(whole, again, strict=True))


@pytest.mark.parametrize("seed", range(40))
def test_code_that_differs_in_fields_only_has_the_same_fields(seed):
    """What `Side` takes for granted of code that it does not decode again."""
    rng = random.Random(seed)
    code = machine_code(rng, 600)
    begun = one_by_one(code, [0], True)
    code = code[: begun[-1]]
    starts = sorted({0, *rng.sample(begun[:-1], 5)})
    found = x86.fields(code, starts, True)
    assert found.tidy
    other = bytearray(code)
    for at in found.at.tolist():
        other[at : at + 4] = rng.randbytes(4)
    again = x86.fields(bytes(other), starts, True)
    assert len(found.at) > 20
    assert all(np.array_equal(one, two) for one, two in zip(found, again, strict=True))
    within = next(at for at in begun[:-1] if x86._numbers(code, True)[at] & 31 > 1 and at + 1 not in starts)
    assert not x86.fields(code, sorted({*starts, within + 1}), True).tidy
    assert not x86.fields(code[:-1], starts, True).tidy or begun[-2] == len(code) - 1


def test_the_right_side_is_decoded_only_where_it_is_other_code(monkeypatch):
    case = next(recipe for recipe in STORED if recipe.name == "elf/file-macro-longer")
    left, right = map(load, case.sides())
    seen = report(left, right)
    monkeypatch.setattr(side.Side, "_as_twin", lambda _self, _section: None)
    assert report(left, right) == seen
    assert machines.family(62, True, "<").bare


def test_pieces_that_go_on_map_as_each_of_them():
    rng = random.Random(3)
    for _ in range(50):
        pieces, l0, r0 = [], 0, rng.randrange(4)
        for _ in range(rng.randrange(12)):
            size, other = rng.randrange(6), rng.randrange(6)
            if rng.random() < 0.7:
                other = size
            pieces.append(Piece(l0, l0 + size, r0, r0 + other))
            l0, r0 = l0 + size, r0 + other + (rng.random() < 0.2)
        left, right = rng.randbytes(l0 + 1), rng.randbytes(r0 + 1)
        found = Pieces(pieces, left, right)
        for piece in found.pieces:
            alone = Pieces([piece], left, right)
            places = np.arange(piece.l0, piece.l1)
            assert found.to(places).tolist() == alone.to(places).tolist()
            assert all(found.find(place) == piece for place in places.tolist())
        assert found.to(np.array([l0, l0 + 5])).tolist() == [-1, -1]


@pytest.mark.parametrize("size", [0, 1, 1000, 5000])
def test_bytes_that_differ_are_counted_alike(size):
    rng = random.Random(size)
    one = rng.randbytes(size)
    two = bytes(byte if rng.random() < 0.5 else rng.randrange(256) for byte in one)
    assert unlike(one, two) == sum(a != b for a, b in zip(one, two, strict=True))


def test_a_path_is_found_in_a_file_however_it_is_spelled():
    for held in (rb"C:\build\tree\a.c", b"C:/build/tree/a.c", rb"C:\build/tree" + b"\0"):
        assert directories._holds(Bytes(b"\0" * 100 + held), b"C:/build/tree")
    assert directories._holds(Bytes(b"-I/build/tree/a.c"), b"/build/tree")
    assert not directories._holds(Bytes(b"-I/build/trees/a.c"), b"/build/tree")
    assert directories._holds(Bytes(b"\0" * ((1 << 20) - 3) + b"/build/tree\0"), b"/build/tree")
