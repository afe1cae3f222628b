"""What is peculiar to zip archives."""

import io
import struct
import warnings
import zipfile
import zlib

import pytest

import normalizers
from normalizers.zip import canonical_time
from reprodiff import formats
from reprodiff.app import diff_sources
from reprodiff.budget import Budget
from reprodiff.formats.zip.layout import ATTRIBUTES, ClassTime, SourceTime
from reprodiff.layout import emit
from reprodiff.rewrite import Rewritten, Rulebook, rewrite
from reprodiff.rules import CLAMP, UNIFY, Policy
from reprodiff.sources import Bytes
from reprodiff.tree import Group, children, leaves

FILE = 0o100644 << 16
UT = struct.pack("<HHBi", 0x5455, 5, 1, 1700000000)


def info(name, date=(2023, 11, 14, 22, 13, 20), *, method=zipfile.ZIP_DEFLATED, system=3, attributes=FILE, extra=b""):
    found = zipfile.ZipInfo(name, date)
    found.compress_type, found.create_system, found.external_attr, found.extra = method, system, attributes, extra
    return found


def archive(*members, prefix=b"", comment=b"", target=None):
    raw = io.BytesIO(prefix)
    raw.seek(0, io.SEEK_END)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(target(raw) if target else raw, "a" if prefix else "w") as made:
            for member, body in members:
                attributes = member.external_attr
                made.writestr(member, body)
                # writestr gives a mode to those that have none.
                member.external_attr = attributes
            made.comment = comment
    return raw.getvalue()


class Pipe(io.RawIOBase):
    def __init__(self, raw):
        self.raw = raw

    def writable(self):
        return True

    def write(self, data):
        return self.raw.write(data)


def normalized(data, mode=CLAMP, epoch=0, *, opt_in=False) -> tuple[bytes, Rewritten]:
    policy = Policy(epoch, mode)
    rules = normalizers.select(lambda rule: opt_in or not rule.opt_in)
    book = Rulebook(rules, lambda name, source, root: normalizers.guard(name, source, root, policy))
    found = rewrite(Bytes(data), book, policy, Budget())
    return data if found.pieces is None else b"".join(emit(found.pieces)), found


def report(left, right):
    return diff_sources(Bytes(left), Bytes(right), "left", "right", Budget(), digests=False).report


def causes(left, right):
    return {cause["id"] for cause in report(left, right)["causes"]}


def paths(data):
    entry = formats.identify(Bytes(data))
    assert entry is not None
    return [path for path, _leaf in leaves(formats.parse(entry, Bytes(data), Budget()))]


def names(data):
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        return found.namelist()


def test_every_part_has_a_name():
    data = archive((info("a", extra=UT), b"content"), comment=b"said", prefix=b"#!/bin/sh\n")
    found = paths(data)
    assert found[0] == "zip/prefix"
    assert "zip/member[a]/0x5455/field/mtime" in found
    assert "zip/directory/entry[a]/header/external" in found
    assert found[-1] == "zip/comment"


def test_old_names_are_shown_in_utf_8_and_kept():
    data = archive((info("z"), b"1")).replace(b"z", b"\x84")
    assert "zip/member[ä]/header/name" in paths(data)
    assert b"\x84" in normalized(data)[0]


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("wide", [True, False])
def test_data_descriptors_of_all_forms(signed, wide):
    data = archive((info("a"), b"content" * 9), target=Pipe)
    at = data.index(b"PK\7\x08")
    _mark, crc, stored, size = struct.unpack_from("<4sIII", data, at)
    form = struct.pack("<IQQ" if wide else "<III", crc, stored, size)
    form = b"PK\7\x08" * signed + form
    moved = bytearray(data[:at] + form + data[at + 16 :])
    end = moved.rindex(b"PK\5\6")
    struct.pack_into("<I", moved, end + 16, at + len(form))
    assert "zip/member[a]/descriptor/crc-32" in paths(bytes(moved))
    seekable = archive((info("a"), b"content" * 9))
    assert normalized(bytes(moved))[0] == normalized(seekable)[0]


def test_a_flag_without_its_descriptor_stays():
    data = bytearray(archive((info("a"), b"content" * 9)))
    data[6] |= 8
    data[data.index(b"PK\1\2") + 8] |= 8
    assert normalized(bytes(data))[0][6] & 8


def test_local_headers_that_disagree_are_reported_and_left():
    good = archive((info("a"), b"content" * 9), (info("b"), b"other"))
    bad = bytearray(good)
    bad[10] ^= 1
    found = report(good, bytes(bad))
    assert [one["examples"][0]["path"] for one in found["causes"]] == ["left!/zip/member[a]/header/time"]
    new, result = normalized(bytes(bad))
    assert ("header/time", "does not follow from what it should: left as it is") in result.notices
    assert zipfile.ZipFile(io.BytesIO(new)).read("a") == b"content" * 9


def test_bytes_between_members_are_kept():
    data = archive((info("b"), b"1"), (info("a"), b"2"))
    second = data.index(b"PK\3\4", 4)
    directory = data.index(b"PK\1\2")
    wide = bytearray(data[:second] + b"between" + data[second:])
    entry = wide.index(b"PK\1\2", directory + 8)
    struct.pack_into("<I", wide, entry + 42, second + 7)
    struct.pack_into("<I", wide, wide.rindex(b"PK\5\6") + 16, directory + 7)
    assert "zip/gap" in paths(bytes(wide))
    new, _ = normalized(bytes(wide))
    assert b"between" in new
    assert zipfile.ZipFile(io.BytesIO(new)).testzip() is None


def test_trailing_bytes_are_kept():
    data = archive((info("a"), b"1")) + b"\0" * 40
    assert paths(data)[-1] == "zip/trailing"
    assert normalized(data)[0].endswith(b"\0" * 40)


def test_a_text_that_speaks_of_archives_is_a_text():
    entry = formats.identify(Bytes(b"the end of a zip is marked PK\x05\x06 and " + b"more " * 99))
    assert entry is None or entry.name != "zip"


def test_dos_time_never_lies_before_1980():
    assert canonical_time((2024, 1, 1, 0, 0, 0), Policy(0, CLAMP)) == (1980, 1, 1, 0, 0, 0)
    assert canonical_time((2024, 1, 1, 0, 0, 0), Policy(1600000001, CLAMP)) == (2020, 9, 13, 12, 26, 40)
    assert canonical_time((2001, 1, 1, 0, 0, 0), Policy(1600000001, CLAMP)) == (2001, 1, 1, 0, 0, 0)
    assert canonical_time((2001, 1, 1, 0, 0, 0), Policy(0, UNIFY)) == (1980, 1, 1, 0, 0, 0)
    # No date at all.
    assert canonical_time((1980, 0, 0, 0, 0, 0), Policy(0, CLAMP)) == (1980, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("epoch", [0, 315532800, 1600000000, 1600000001])
@pytest.mark.parametrize("mode", [CLAMP, UNIFY])
def test_a_clojure_source_is_older_than_its_class(epoch, mode):
    policy = Policy(epoch, mode)
    source = canonical_time(SourceTime((2024, 1, 1, 0, 0, 2)), policy)
    made = canonical_time(ClassTime((2024, 1, 1, 0, 0, 0)), policy)
    assert source < made
    assert canonical_time(SourceTime(source), policy) == source
    data = archive((info("a.clj"), b"1"), (info("a.class"), b"2"))
    times = {
        one.filename: one.date_time for one in zipfile.ZipFile(io.BytesIO(normalized(data, mode, epoch)[0])).infolist()
    }
    assert times == {"a.clj": tuple(source), "a.class": tuple(made)}


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("a", 0, 0o100644 << 16),
        ("a", 0x20, 0o100644 << 16),
        ("a", 0x21, 0o100444 << 16 | 1),
        ("d/", 0, 0o040755 << 16 | 0x10),
        ("d/", 0x10, 0o040755 << 16 | 0x10),
        ("a", 0o644 << 16, 0o100644 << 16),
        ("a", 0o104755 << 16, 0o104755 << 16),
        ("a", 0o120777 << 16, 0o120777 << 16),
        ("a", 0o100644 << 16 | 0x8020, 0o100644 << 16),
    ],
)
def test_attributes_keep_their_meaning(name, before, after):
    codec = ATTRIBUTES[name.endswith("/")]
    assert codec.encode(codec.decode(before.to_bytes(4, "little")), 4) == after.to_bytes(4, "little")


def test_equal_attributes_of_files_and_directories_become_different_ones():
    data = archive((info("a", attributes=0), b""), (info("d/", attributes=0), b""))
    assert _attributes(normalized(data, opt_in=True)[0]) == {"a": 0o100644, "d/": 0o040755}


def _attributes(data):
    with zipfile.ZipFile(io.BytesIO(data)) as members:
        return {one.filename: one.external_attr >> 16 for one in members.infolist()}


@pytest.mark.parametrize("system", [0, 3])
def test_who_has_no_mode_gets_none_and_keeps_its_system_unless_asked_for(system):
    data = archive((info("a", attributes=0x20, system=system), b""))
    with zipfile.ZipFile(io.BytesIO(normalized(data)[0])) as members:
        assert (members.infolist()[0].create_system, members.infolist()[0].external_attr) == (system, 0x20)
    assert _attributes(normalized(data, opt_in=True)[0]) == {"a": 0o100644}


def test_attributes_of_other_systems_stay():
    data = archive((info("a", system=2, attributes=0x12345678), b"1"))
    (found,) = zipfile.ZipFile(io.BytesIO(normalized(data, UNIFY, opt_in=True)[0])).infolist()
    assert (found.create_system, found.external_attr) == (2, 0x12345678)


def test_the_utf_8_flag_stays_where_the_name_needs_it():
    data = archive((info("ż"), b"1"), (info("z"), b"2"))
    marked = bytearray(data)
    marked[data.rindex(b"PK\3\4") + 7] |= 8
    marked[data.rindex(b"PK\1\2") + 9] |= 8
    assert causes(data, bytes(marked)) == {"zip-layout"}
    found = zipfile.ZipFile(io.BytesIO(normalized(bytes(marked))[0])).infolist()
    assert {one.filename: one.flag_bits for one in found} == {"ż": 0x800, "z": 0}


def test_a_shift_of_several_times_is_a_zone():
    times = [(2023, 5, 6, 7, 8, 10), (2023, 1, 2, 3, 4, 6)]
    left = archive(*((info(f"{n}", time), b"1") for n, time in enumerate(times)))
    right = archive(
        *((info(f"{n}", (*time[:3], time[3] + 5, time[4] + 30, time[5])), b"1") for n, time in enumerate(times))
    )
    later = archive(
        *((info(f"{n}", (*time[:3], time[3] + 5, time[4] + 31, time[5])), b"1") for n, time in enumerate(times))
    )
    assert causes(left, right) == {"timezone-shift"}
    assert causes(left, later) == {"zip-dos-time"}


def test_times_in_utc_that_differ_are_no_zone():
    other = struct.pack("<HHBi", 0x5455, 5, 1, 1700000000 + 9 * 3600)
    left, right = (
        archive((info("a", (2023, 11, 14, hour, 0, 0), extra=extra), b"1")) for hour, extra in ((3, UT), (12, other))
    )
    assert causes(left, right) == {"zip-dos-time", "zip-extra-fields"}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["b", "META-INF/x", "a", "META-INF/MANIFEST.MF", "META-INF/"],
         ["META-INF/", "META-INF/MANIFEST.MF", "META-INF/x", "a", "b"]),
        (["A.class", "META-INF/X.RSA", "META-INF/X.SF", "META-INF/MANIFEST.MF"],
         ["META-INF/MANIFEST.MF", "META-INF/X.SF", "META-INF/X.RSA", "A.class"]),
        (["META-INF/container.xml", "EPUB/a", "mimetype"], ["mimetype", "EPUB/a", "META-INF/container.xml"]),
        (["x-1.dist-info/RECORD", "x-1.dist-info/WHEEL", "y.py", "x-1.dist-info/METADATA"],
         ["y.py", "x-1.dist-info/METADATA", "x-1.dist-info/WHEEL", "x-1.dist-info/RECORD"]),
    ],
)  # fmt: skip
def test_order(given, wanted):
    assert names(normalized(archive(*((info(name), b"1") for name in given)))[0]) == wanted


def test_members_of_one_name_keep_their_order():
    data = archive((info("b"), b"0"), (info("a"), b"1"), (info("a"), b"2"))
    with zipfile.ZipFile(io.BytesIO(normalized(data)[0])) as found:
        assert [found.read(one) for one in found.infolist()] == [b"1", b"2", b"0"]


MANIFEST = b"Manifest-Version: 1.0\r\nBuilt-By: somebody\r\n\r\n"


@pytest.mark.parametrize("name", ["META-INF/X.SF", "META-INF/x.sf", "META-INF/X.EC", "x-1.dist-info/RECORD"])
def test_contents_with_recorded_digests_stay(name):
    data = archive((info("META-INF/MANIFEST.MF"), MANIFEST), (info(name), b"digests"))
    new, found = normalized(data)
    assert zipfile.ZipFile(io.BytesIO(new)).read("META-INF/MANIFEST.MF") == MANIFEST
    assert [where for where, _text in found.notices] == ["zip/contents"]


@pytest.mark.parametrize("name", [".signature.p7s", "META-INF/mozilla.rsa"])
def test_sealed_archives_stay(name):
    data = archive((info("b"), b"1"), (info(name), b"signature"))
    assert normalized(data)[0] == data


def test_one_disk_of_several_stays():
    data = bytearray(archive((info("b"), b"1"), (info("a"), b"2")))
    data[data.rindex(b"PK\5\6") + 4] = 1
    assert normalized(bytes(data))[0] == bytes(data)


def test_stored_archives_inside_stay_stored():
    inner = archive((info("META-INF/MANIFEST.MF"), MANIFEST))
    data = archive((info("inner.jar", method=zipfile.ZIP_STORED), inner))
    (found,) = zipfile.ZipFile(io.BytesIO(normalized(data)[0])).infolist()
    assert (found.compress_type, found.file_size) == (zipfile.ZIP_STORED, found.compress_size)


def test_zeros_that_align_contents_follow():
    # zipfile writes no broken extra field: put the zeros in by hand.
    parts, entries, at = [], [], 0
    for name in (b"bb", b"aaa", b"c"):
        zeros = -(at + 30 + len(name)) % 4
        body = b"12345" + name
        sizes = zlib.crc32(body), len(body), len(body), len(name)
        common = struct.pack("<HHHHHIIIH", 20, 0, 0, 0x6000, 0x5760, *sizes)
        parts.append(b"PK\3\4" + common + struct.pack("<H", zeros) + name + bytes(zeros) + body)
        entries.append(b"PK\1\2\x14\3" + common + struct.pack("<HHHHII", 0, 0, 0, 0, FILE, at) + name)
        at += len(parts[-1])
    directory = b"".join(entries)
    data = b"".join(parts) + directory + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 3, 3, len(directory), at, 0)
    new, _ = normalized(data)
    assert names(new) == ["aaa", "bb", "c"]
    for one in zipfile.ZipFile(io.BytesIO(new)).infolist():
        lengths = struct.unpack_from("<HH", new, one.header_offset + 26)
        assert (one.header_offset + 30 + sum(lengths)) % 4 == 0


def test_contents_are_not_decoded_for_equal_bytes(monkeypatch):
    from reprodiff.formats.zip.payload import Decoder

    opened = []
    decode = Decoder._decode
    monkeypatch.setattr(Decoder, "_decode", lambda *args: opened.append(args) or decode(*args))
    left, right = (
        archive(*((info(f"{n}", (2023, 11, day, 1, 2, 4)), b"content %d" % n) for n in range(50))) for day in (14, 15)
    )
    assert causes(left, right) == {"zip-dos-time"}
    assert opened == []


def test_members_are_described_once():
    data = archive((info("a"), b"1"))
    root = formats.parse(formats.FORMATS[[entry.name for entry in formats.FORMATS].index("zip")], Bytes(data), Budget())
    member = next(node for node in children(root) if isinstance(node, Group) and node.name == "member")
    assert children(member)[0] is children(member)[0]


# What is claimed of extra fields, systems and orders


def owned(*owners):
    members = []
    for number, owner in enumerate(owners):
        extra = b"" if owner is None else struct.pack("<HHBBIBI", 0x7875, 11, 1, 4, owner, 4, owner)
        members.append((info(f"m{number}", extra=extra), b"same"))
    return archive(*members)


@pytest.mark.parametrize(
    ("left", "right", "verdict"),
    [
        ((1, 1, 1, 1), (2, 2, 2, 2), "explained"),
        ((0, 0, 0, 5), (1, 1, 1, 5), "explained"),
        ((None,) * 4, (0, 0, 33, 0), "explained"),
        ((1, 1, 1, 1), (1, 1, 1, 33), "suspected"),
        ((None, 1, 1, 1), (33, 1, 1, 1), "suspected"),
    ],
)
def test_the_owner_of_one_member_is_only_suspected(left, right, verdict):
    assert report(owned(*left), owned(*right))["verdict"] == verdict
    assert report(owned(*right), owned(*left))["verdict"] == verdict


@pytest.mark.parametrize("extra", [
    struct.pack("<HHB", 0xCAFE, 1, 0), struct.pack("<HHBI", 0x5455, 5, 9, 1), struct.pack("<HHI", 0x5455, 4, 1),
    struct.pack("<HHBBIBI", 0x7875, 11, 2, 4, 0, 4, 0), struct.pack("<HHIHHQQQ", 0x000A, 32, 7, 1, 24, 1, 1, 1),
])  # fmt: skip
def test_fields_of_another_layout_are_left_over_and_kept(extra):
    left, right = archive((info("a"), b"same")), archive((info("a", extra=extra), b"same"))
    assert report(left, right)["verdict"] == "unexplained"
    assert normalized(right, UNIFY, opt_in=True)[0].count(extra) == 2


@pytest.mark.parametrize(
    ("left", "right", "verdict"),
    [
        (("mimetype", "a", "b"), ("a", "mimetype", "b"), "unexplained"),
        (("META-INF/MANIFEST.MF", "a"), ("a", "META-INF/MANIFEST.MF"), "unexplained"),
        (("META-INF/", "META-INF/MANIFEST.MF", "a"), ("META-INF/MANIFEST.MF", "META-INF/", "a"), "explained"),
        (("mimetype", "a", "b"), ("mimetype", "b", "a"), "explained"),
        (("b", "META-INF/MANIFEST.MF", "a"), ("a", "META-INF/MANIFEST.MF", "b"), "explained"),
    ],
)
def test_what_leads_is_no_order_of_a_directory(left, right, verdict):
    one, two = (archive(*((info(name), name.encode()) for name in names)) for names in (left, right))
    assert report(one, two)["verdict"] == verdict


@pytest.mark.parametrize(("name", "verdict"), [("a", "explained"), ("a\\b", "unexplained")])
def test_a_system_that_decides_a_name_is_content(name, verdict):
    one, two = (archive((info(name, system=system), b"")) for system in (0, 3))
    assert report(one, two)["verdict"] == verdict
