"""What is peculiar to ar archives; binutils, LLVM and libarchive as oracles."""

import shutil
import subprocess

import pytest

import normalizers
from fixtures import FILES, label
from reprodiff import formats
from reprodiff.app import diff_sources
from reprodiff.budget import Budget
from reprodiff.layout import emit
from reprodiff.rewrite import Rulebook, rewrite
from reprodiff.rules import CLAMP, UNIFY, Policy
from reprodiff.sources import Bytes
from reprodiff.tree import leaves

SHIP, EQUAL = Policy(0, CLAMP), Policy(0, UNIFY)
ARCHIVES = [path for path in FILES if path.suffix == ".a"]


def tool(name):
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed")


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, **options).stdout


def head(name, size, date=b"1700000000", uid=b"1000", gid=b"1000", mode=b"100644"):
    return b"%-16s%-12s%-6s%-6s%-8s%-10d`\n" % (name, date, uid, gid, mode, size)


def archive(*members, magic=b"!<arch>\n"):
    out = magic
    for name, content, *fields in members:
        out += head(name, len(content), *fields) + content + b"\n" * (len(content) % 2)
    return out


def rewritten(data, policy):
    """What normalizing makes of an archive, and what is said of it; every rule applies under "unify"."""
    wanted = normalizers.rulebook if policy is EQUAL else normalizers.select(lambda rule: not rule.opt_in)
    book = Rulebook(wanted, lambda name, source, root: normalizers.guard(name, source, root, policy))
    found = rewrite(Bytes(data), book, policy, Budget())
    new = data if found.pieces is None else b"".join(emit(found.pieces))
    again = rewrite(Bytes(new), book, policy, Budget()).pieces
    assert again is None or b"".join(emit(again)) == new
    return new, [text for _where, text in found.notices]


def normalized(data, policy):
    return rewritten(data, policy)[0]


def report(left, right):
    return diff_sources(Bytes(left), Bytes(right), "left", "right", Budget(), digests=False).report


def named(seen):
    return {cause["id"] for cause in seen["causes"]}


def places(data):
    source = Bytes(data)
    root = formats.parse(formats.identify(source), source, Budget())
    return {path.removeprefix("ar/"): source.read(leaf.start, leaf.stop) for path, leaf in leaves(root)}


# Headers


def test_blank_fields_stay_blank_unless_unified():
    data = archive((b"/", bytes(4), b"1700000000", b"", b"", b""), (b"x.o/", b"abcd"))
    assert normalized(data, SHIP) == archive(
        (b"/", bytes(4), b"0", b"", b"", b""), (b"x.o/", b"abcd", b"0", b"0", b"0", b"644")
    )
    assert normalized(data, EQUAL) == archive(
        *((n, d, b"0", b"0", b"0", m) for n, d, m in ((b"/", bytes(4), b"0"), (b"x.o/", b"abcd", b"644")))
    )


def test_a_time_before_the_epoch_stays_in_a_file_to_ship():
    data = archive((b"x.o/", b"abcd", b"1000"))
    assert b"1000  " in normalized(data, Policy(1700000000, CLAMP))[24:36]


def test_another_spelling_of_a_value_is_a_format():
    seen = report(archive((b"x/", b"ab", b"0", b"", b"0")), archive((b"x/", b"ab", b"0", b"0", b"0")))
    assert (named(seen), seen["proof"]) == ({"ar-format"}, "proved")


def test_the_owner_of_one_member_is_only_suspected():
    def owned(*owners):
        return archive(*((b"%d/" % n, b"ab", b"1700000000", owner) for n, owner in enumerate(owners)))

    seen = report(owned(b"1000", b"1000", b"1000"), owned(b"1000", b"1000", b"0"))
    assert (named(seen), seen["verdict"]) == ({"member-owner"}, "suspected")
    seen = report(owned(b"1000", b"1000", b"0"), owned(b"1001", b"1001", b"0"))
    assert (named(seen), seen["verdict"]) == ({"ar-metadata"}, "explained")


def test_the_mode_of_one_member_is_only_suspected():
    left = archive((b"a/", b"ab"), (b"b/", b"ab"))
    right = archive((b"a/", b"ab"), (b"b/", b"ab", b"1700000000", b"1000", b"1000", b"100755"))
    assert report(left, right)["verdict"] == "suspected"


def test_an_executable_member_stays_so_in_a_file_to_ship():
    data = archive((b"a/", b"ab", b"0", b"0", b"0", b"100700"))
    assert normalized(data, SHIP)[48:56] == b"755     "


def test_a_zero_length_member_is_one():
    data = archive((b"x.o/", b"abc"), (b"empty/", b""), (b"y.o/", b"abcd"))
    assert normalized(data, SHIP) == archive(
        *((n, c, b"0", b"0", b"0", b"644") for n, c in ((b"x.o/", b"abc"), (b"empty/", b""), (b"y.o/", b"abcd")))
    )


# Padding


def test_an_unpadded_last_member_is_read_and_kept():
    data = archive((b"x.o/", b"abc"))[:-1]
    new, notices = rewritten(data, SHIP)
    assert (len(new), notices) == (len(data), [])
    assert normalized(data, EQUAL) == normalized(data + b"\n", EQUAL)


def test_an_unpadded_last_member_gets_its_byte_when_it_is_moved():
    data = archive((b"z.o/", b"abcd"), (b"a.o/", b"abc"))[:-1]
    fields = (b"0", b"0", b"0", b"644")
    assert normalized(data, EQUAL) == archive((b"a.o/", b"abc", *fields), (b"z.o/", b"abcd", *fields))


def test_an_unpadded_member_in_the_middle_is_read():
    data = b"!<arch>\n" + head(b"a/", 3) + b"abc" + head(b"b/", 2) + b"de"
    assert places(data)["member[b]/content"] == b"de"


def test_padding_of_another_byte():
    data = archive((b"a/", b"abc"), (b"b/", b"ab"))
    seen = report(data, data.replace(b"abc\n", b"abc\0"))
    assert (named(seen), seen["proof"]) == ({"ar-format"}, "proved")


# Names


GNU = archive(
    (b"//", b"long-name-number-one.o/\nlong-name-number-two.o/\n", b"", b"", b"", b""),
    (b"/24", b"two"),
    (b"/0", b"one"),
)


def test_long_names_follow_their_members():
    assert places(GNU)["member[long-name-number-two.o]/content"] == b"two"
    new = places(normalized(GNU, EQUAL))
    assert list(new)[-1] == "member[long-name-number-two.o]/padding"
    assert new["names/table/name[long-name-number-one.o]/name"] == b"long-name-number-one.o"
    assert [new[f"member[long-name-number-{n}.o]/header/name"].strip() for n in ("one", "two")] == [b"/0", b"/24"]


def test_a_name_that_refers_to_nothing_is_a_name():
    data = archive((b"/24", b"two"))
    assert places(data)["member[/24]/content"] == b"two"


def test_a_long_name_on_one_side_is_the_member_that_is():
    one = archive((b"//", b"long-name-number-one.o/\n", b"", b"", b"", b""), (b"/0", b"one"))
    seen = report(GNU, one)
    assert named(seen) == {"file-set-difference"}
    assert seen["verdict"] == "suspected"


def test_bsd_names_are_before_the_content():
    data = archive((b"#1/12", b"longname.o\0\0abcd"))
    assert places(data)["member[longname.o]/content"] == b"abcd"
    seen = report(data, archive((b"longname.o/", b"abcd")))
    assert (named(seen), seen["verdict"]) == ({"ar-format"}, "explained")


def test_a_changed_content_under_another_dialect_is_left_over():
    seen = report(archive((b"#1/12", b"longname.o\0\0abcd")), archive((b"longname.o/", b"abce")))
    assert [item["path"] for item in seen["unexplained"]] == ["left!/ar/member[longname.o]!/text/line[1]"]


def test_members_of_one_name_keep_their_order():
    fields = (b"0", b"0", b"0", b"644")
    data = archive((b"b/", b"1111", *fields), (b"a/", b"22", *fields), (b"b/", b"33", *fields))
    assert normalized(data, EQUAL) == archive(
        (b"a/", b"22", *fields), (b"b/", b"1111", *fields), (b"b/", b"33", *fields)
    )


def test_padding_that_no_writer_writes_is_left_over_and_kept():
    data = archive((b"x.o/", b"abc"), (b"y.o/", b"abc"))
    hidden = data[: 8 + 60 + 3] + b"e" + data[8 + 60 + 4 :]
    assert [item["path"] for item in report(data, hidden)["unexplained"]] == ["left!/ar/member[x.o]/padding"]
    assert b"abce" in normalized(hidden, EQUAL)


@pytest.mark.parametrize("mode", [b"104755", b"120644", b"4755"])
def test_what_is_no_plain_file_keeps_its_mode(mode):
    data = archive((b"x.o/", b"abcd", b"0", b"0", b"0", mode))
    assert normalized(data, EQUAL) == data


# Symbol tables


def symbols(*pairs, width=4, magic=b"/"):
    """An archive of members of 4 bytes with a System V symbol table of (member number, symbol)."""
    size = width * (1 + len(pairs)) + sum(len(name) + 1 for _n, name in pairs)
    size += -size % (2 if width == 4 else 8)
    first = 8 + 60 + size + size % 2
    table = len(pairs).to_bytes(width, "big") + b"".join((first + 64 * n).to_bytes(width, "big") for n, _name in pairs)
    table += b"".join(name + b"\0" for _n, name in pairs)
    return archive((magic, table.ljust(size, b"\0")), (b"b.o/", b"bbbb"), (b"a.o/", b"aaaa"))


@pytest.mark.parametrize(("width", "magic"), [(4, b"/"), (8, b"/SYM64/")])
def test_symbols_follow_their_members(width, magic):
    new = places(normalized(symbols((0, b"from_b"), (1, b"from_a"), (1, b"a2"), width=width, magic=magic), EQUAL))
    offsets = new["symbols/map/offsets"]
    found = [int.from_bytes(offsets[at : at + width], "big") for at in range(0, 3 * width, width)]
    assert found == [found[0], found[0], found[0] + 64]
    assert list(new)[-1].startswith("member[b.o]")
    assert new["symbols/map/names/member[a.o]/symbols"] == b"from_a\0a2\0"


def test_a_symbol_of_a_member_that_both_sides_have_is_left_over():
    seen = report(symbols((0, b"one"), (1, b"two")), symbols((0, b"one"), (1, b"six")))
    assert [item["path"] for item in seen["unexplained"]] == ["left!/ar/symbols/map/names/member[a.o]/symbols"]


def test_the_width_of_a_symbol_table_is_a_format():
    seen = report(symbols((0, b"one"), (1, b"two")), symbols((0, b"one"), (1, b"two"), width=8, magic=b"/SYM64/"))
    assert (named(seen), seen["unexplained"]) == ({"ar-format"}, [])


def test_symbols_that_refer_to_no_member_keep_the_archive_as_it_is():
    data = symbols((0, b"one"), (3, b"two"))
    new, notices = rewritten(data, EQUAL)
    assert new == data
    assert notices == ["left as it is: its symbol table does not refer to its members"]


def unexplained(left, right):
    """The places that a report leaves over, which has to be the same with the sides exchanged."""
    one, two = ({item["path"].partition("!/ar/")[2] for item in report(*pair)["unexplained"]}
                for pair in ((left, right), (right, left)))  # fmt: skip
    assert one == two
    return one


def exchanged(data):
    """The archive with its last two members exchanged, of 4 bytes each."""
    return data[:-128] + data[-64:] + data[-128:-64]


def test_symbols_that_moved_to_another_member_are_left_over():
    names = {"symbols/map/names/member[a.o]/symbols", "symbols/map/names/member[b.o]/symbols"}
    left = symbols((0, b"f"), (1, b"g"))
    assert unexplained(left, symbols((1, b"f"), (0, b"g"))) == names
    assert unexplained(left, exchanged(left)) == names


def test_symbols_of_two_members_of_one_name():
    left, right = (
        symbols(*pairs).replace(b"a.o/", b"b.o/") for pairs in (((0, b"f"), (1, b"f")), ((1, b"f"), (0, b"f")))
    )
    assert unexplained(left, right) == {"symbols/map/names/member[b.o]"}


def ranlib(*members, texts=(0, 2)):
    """An archive of two members of 4 bytes with a BSD table: f, of the one, and g, of the other."""
    first = 8 + 60 + 28
    numbers = (16, texts[0], first + 64 * members[0], texts[1], first + 64 * members[1], 4)
    table = b"".join(number.to_bytes(4, "little") for number in numbers) + b"f\0g\0"
    return archive((b"__.SYMDEF", table), (b"b.o", b"bbbb"), (b"a.o", b"aaaa"))


@pytest.mark.parametrize("right", [ranlib(1, 0), ranlib(0, 1, texts=(2, 0)), exchanged(ranlib(0, 1))])
def test_bsd_symbols_of_another_member_are_left_over(right):
    assert unexplained(ranlib(0, 1), right) == {"symdef/map/ranlibs/symbol[f]", "symdef/map/ranlibs/symbol[g]"}


def test_members_exchanged_in_a_second_linker_member_are_left_over():
    def library(*order):
        first = 8 + 60 + 10 + 60 + 22
        second = b"\2\0\0\0" + b"".join((first + 64 * n).to_bytes(4, "little") for n in order) + b"\1\0\0\0\1\0f\0"
        table = b"\0\0\0\1" + first.to_bytes(4, "big") + b"f\0"
        return archive(
            (b"/", table), (b"/", second + bytes(22 - len(second))), (b"b.obj/", b"bbbb"), (b"a.obj/", b"aaaa")
        )

    assert unexplained(library(0, 1), library(1, 0)) == {"linker/map/offsets"}


def test_a_second_linker_member_keeps_the_order_and_follows():
    def library(date):
        first = b"\0\0\0\1" + (8 + 60 + 10 + 60 + 22).to_bytes(4, "big") + b"f\0"
        places = [8 + 60 + 10 + 60 + 22, 8 + 60 + 10 + 60 + 22 + 64]
        second = b"\2\0\0\0" + b"".join(p.to_bytes(4, "little") for p in places) + b"\1\0\0\0\1\0f\0"
        second += bytes(22 - len(second))
        return archive(
            (b"/", first, date), (b"/", second, date), (b"b.obj/", b"bbbb", date), (b"a.obj/", b"aaaa", date)
        )

    new = normalized(library(b"1700000000"), EQUAL)
    assert list(places(new))[-1].startswith("member[a.obj]")
    assert named(report(library(b"1700000000"), library(b"1800000000"))) == {"ar-metadata"}


# Debian packages


def test_a_package_is_left_alone_unless_unified():
    data = archive((b"debian-binary", b"2.0\n"), (b"data.tar", b"ab"), (b"control.tar", b"ab"))
    new, notices = rewritten(data, SHIP)
    assert new == data
    assert "dpkg-deb" in notices[0]
    unified = [place for place in places(normalized(data, EQUAL)) if place.endswith("content")]
    assert unified == [f"member[{name}]/content" for name in ("debian-binary", "data.tar", "control.tar")]


def test_the_order_of_a_package_is_content():
    members = (b"control.tar", b"ab"), (b"data.tar", b"cd")
    one = archive((b"debian-binary", b"2.0\n"), *members)
    two = archive((b"debian-binary", b"2.0\n"), *reversed(members))
    assert report(one, two)["verdict"] == "unexplained"


def test_a_package_with_another_compressor():
    import gzip
    import lzma

    text = b"what is packed\n" * 9
    left = archive((b"debian-binary", b"2.0\n"), (b"data.tar.gz", gzip.compress(text, mtime=0)))
    right = archive((b"debian-binary", b"2.0\n"), (b"data.tar.xz", lzma.compress(text)))
    seen = report(left, right)
    assert (named(seen), seen["verdict"]) == ({"compressor-params"}, "explained")


# Damage


def test_what_is_cut_off_is_no_member():
    data = archive((b"a/", b"ab"), (b"b/", b"abcd"))
    assert list(places(data[:-1]))[-1] == "gap"
    assert report(data, data[:-1])["verdict"] == "unexplained"
    seen = report(archive((b"a/", b"ab"))[:-1], archive((b"a/", b"cd"))[:-1])
    assert [notice["kind"] for notice in seen["notices"]] == ["damaged"]


@pytest.mark.parametrize("size", [b"-1", b"1_0", b"+4", b"4 4", b"99999999", b"\xb9"])
def test_a_size_that_is_none_is_no_header(size):
    data = archive((b"a/", b"ab"), (b"b/", b"abcd"))
    hurt = data.replace(b"%-10d`" % 4, size.ljust(10) + b"`")
    assert list(places(hurt))[-1] == "gap"
    assert normalized(hurt, SHIP).endswith(hurt[8 + 62 :])


# Oracles


def listed(path):
    """What `ar` says of the members but for times, owners and modes."""
    return [
        line.split(None, 7)
        for line in run("ar", "tv", path, env={"TZ": "UTC", "PATH": "/usr/bin:/bin"}).decode().splitlines()
    ]


@tool("ar")
@pytest.mark.parametrize("path", [path for path in ARCHIVES if "thin" not in str(path)], ids=label)
@pytest.mark.parametrize("policy", [SHIP, EQUAL], ids=str)
def test_ar_reads_the_same(path, policy, tmp_path):
    new = tmp_path / "new.a"
    new.write_bytes(normalized(path.read_bytes(), policy))
    names = run("ar", "t", path).split()
    assert sorted(run("ar", "t", new).split()) == sorted(names)
    assert policy is EQUAL or run("ar", "t", new).split() == names
    for name in names:
        assert run("ar", "p", new, name) == run("ar", "p", path, name)
    for line in listed(new):
        assert line[0] in {"rw-r--r--", "rwxr-xr-x"}
        assert line[1] == "0/0"
        assert line[6] == "1970"


@pytest.mark.parametrize("path", [path for path in ARCHIVES if "thin" not in str(path)], ids=label)
@pytest.mark.parametrize("policy", [SHIP, EQUAL], ids=str)
def test_libarchive_reads_the_same(path, policy):
    libarchive = pytest.importorskip("libarchive")

    def members(data):
        # Unlike others, libarchive insists on the byte behind an odd last member.
        with libarchive.memory_reader(data + b"\n" * (len(data) % 2), format_name="ar") as entries:
            return [
                (entry.pathname, b"".join(entry.get_blocks()))
                for entry in entries
                if not entry.pathname.startswith("/")
            ]

    old, new = members(path.read_bytes()), members(normalized(path.read_bytes(), policy))
    assert sorted(new) == sorted(old)
    assert policy is EQUAL or new == old


@tool("ar")
def test_our_tree_is_what_ar_lists():
    for path in (path for path in ARCHIVES if "thin" not in str(path)):
        found = {
            place.partition("]/header")[0].removeprefix("member[")
            for place in places(path.read_bytes())
            if place.startswith("member[")
        }
        found = {name for name in found if "]" not in name}
        assert {name.decode().removeprefix(str(path.parent) + "/") for name in run("ar", "t", path).split()} == found


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    """Objects with long names that need each other, and a main program."""
    if not all(map(shutil.which, ("gcc", "ar", "nm"))):
        pytest.skip("gcc and binutils are not installed")
    directory = tmp_path_factory.mktemp("objects")
    sources = {
        "a-name-longer-than-sixteen": "int two(void); int one(void) { return two() - 1; }",
        "zz": "int three(void); int two(void) { return three() - 1; } int more = 7;",
        "middle": "int three(void) { return 3; }",
        "main": "int one(void); int main(void) { return one(); }",
    }
    for name, text in sources.items():
        (directory / f"{name}.c").write_text(text)
        run("gcc", "-c", f"{name}.c", cwd=directory)
    return directory


MEMBERS = ("zz.o", "middle.o", "a-name-longer-than-sixteen.o")


def index(path, nm="nm"):
    text = run(nm, "--print-armap", path).decode()
    return sorted(line for line in text.split("\n\n")[0].splitlines() if " in " in line)


@tool("gcc")
@pytest.mark.parametrize("policy", [SHIP, EQUAL], ids=str)
@pytest.mark.parametrize("flags", ["rcsU", "rcsD"])
def test_a_library_links_after_normalizing(objects, tmp_path, policy, flags):
    run("ar", flags, tmp_path / "old.a", *MEMBERS, cwd=objects)
    new = tmp_path / "libnew.a"
    new.write_bytes(normalized((tmp_path / "old.a").read_bytes(), policy))
    names = run("ar", "t", new).decode().split()
    assert names == (sorted(MEMBERS) if policy is EQUAL else list(MEMBERS))
    assert index(new) == index(tmp_path / "old.a")
    run("gcc", objects / "main.o", new, "-o", tmp_path / "main")
    assert subprocess.run([tmp_path / "main"], check=False).returncode == 1
    if policy is EQUAL:
        run("ar", "rcsD", tmp_path / "sorted.a", *sorted(MEMBERS), cwd=objects)
        assert normalized((tmp_path / "sorted.a").read_bytes(), EQUAL) == new.read_bytes()


@tool("gcc")
def test_a_thin_library_links_after_normalizing(objects, tmp_path):
    for path in objects.glob("*.o"):
        shutil.copy(path, tmp_path)
    run("ar", "rcsTU", "old.a", *MEMBERS, cwd=tmp_path)
    (tmp_path / "libnew.a").write_bytes(normalized((tmp_path / "old.a").read_bytes(), EQUAL))
    assert run("ar", "t", "libnew.a", cwd=tmp_path).decode().split() == sorted(MEMBERS)
    run("gcc", "main.o", "libnew.a", "-o", "main", cwd=tmp_path)
    assert subprocess.run([tmp_path / "main"], check=False).returncode == 1


@tool("llvm-ar")
def test_the_kind_of_symbol_table_is_a_format(objects, tmp_path):
    for form in ("gnu", "bsd"):
        run("llvm-ar", f"--format={form}", "rcsD", tmp_path / form, *MEMBERS, cwd=objects)
    seen = report((tmp_path / "gnu").read_bytes(), (tmp_path / "bsd").read_bytes())
    assert (named(seen), seen["verdict"]) == ({"ar-format"}, "explained")


@tool("llvm-ar")
@pytest.mark.parametrize("form", ["gnu", "bsd", "darwin"])
def test_llvm_reads_the_same(objects, tmp_path, form):
    run("llvm-ar", f"--format={form}", "rcsU", tmp_path / "old.a", *MEMBERS, cwd=objects)
    old = (tmp_path / "old.a").read_bytes()
    new = tmp_path / "new.a"
    new.write_bytes(normalized(old, EQUAL))
    assert run("llvm-ar", "t", new).decode().split() == sorted(MEMBERS)
    assert index(new, "llvm-nm") == index(tmp_path / "old.a", "llvm-nm")
    run("llvm-ar", f"--format={form}", "rcsD", tmp_path / "sorted.a", *sorted(MEMBERS), cwd=objects)
    seen = report(old, (tmp_path / "sorted.a").read_bytes())
    assert named(seen) == {"ar-metadata", "ar-member-order"}
    assert (seen["verdict"], seen["proof"]) == ("explained", "proved")
    assert normalized((tmp_path / "sorted.a").read_bytes(), EQUAL) == new.read_bytes()
