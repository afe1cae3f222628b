"""Which directory of one side is which of the other, with the slashes of either system."""

import pytest
from test_executables import patched, report, sides, unexplained

from reprodiff.paths import Root, applies, heads, paths, spelled, system

WINDOWS = ["pe/path-backslash-same", "pe/path-backslash-longer"]


@pytest.mark.parametrize(
    ("left", "right", "found"),
    [
        (rb"C:\build\one\a.c", rb"C:\build\two\a.c", (b"C:/build/one/a.c", b"C:/build/two/a.c")),
        (rb"C:\build\one/a.c", rb"D:\two/a.c", (b"C:/build/one/a.c", b"D:/two/a.c")),
        (rb"C:/build/one/a.c", rb"C:\build\two/a.c", (b"C:/build/one/a.c", b"C:/build/two/a.c")),
        (rb"in C:\b\one\a.c:3", rb"in C:\b\two\a.c:3", (b"C:/b/one/a.c", b"C:/b/two/a.c")),
        (rb"C:/b/one/a.c", rb"/build/a.c", (b"C:/b/one/a.c", b"/build/a.c")),
    ],
)
def test_paths_of_windows(left, right, found):
    assert paths(left, right) == [found]
    assert paths(right, left) == [found[::-1]]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (rb"C:\build\one\a.c", rb"C:\build\two/a.c"),
        (rb"C:\build\one\a.c", rb"C:/build/one/a.c"),
        (rb"C:\build\one\s\a.c", rb"C:\build\two\s/a.c"),
        (rb"say C:\build\one\a.c", rb"see C:\build\two\a.c"),
        (rb"a\nb", rb"a\nc"),
    ],
)
def test_another_spelling_is_another_text(left, right):
    assert not paths(left, right)


def test_roots_of_windows():
    root, tail = heads(b"C:/build/one/s/a.c", b"D:/two/s/a.c")
    assert (root, tail) == (Root(b"C:/build/one", b"D:/two"), b"s/a.c")
    assert applies(root, b"C:/build/one/x.c", b"D:/two/x.c")
    assert not applies(root, b"C:/build/one/x.c", b"D:/two/y.c")
    assert system(b"C:/Windows/System32/a.dll")
    assert system(b"c:/Program Files/x")
    assert not system(b"C:/Users/jane/work")
    assert spelled(b"/a.b") == rb"/a\.b"
    assert spelled(b"C:/a.b") == rb"C:[\\/]a\.b"


@pytest.mark.parametrize("case", WINDOWS)
@pytest.mark.parametrize(("old", "new"), [(b"/code.c\0", b"/cope.c\0"), (b"/code.c\0", b"\\code.c\0")])
def test_another_source(case, old, new):
    """The end of a path, and the slash before it."""
    left, right = (path.read_bytes() for path in sides(case))
    assert unexplained(report(left, right)) == []
    assert report(left, patched(right, old, new, right.count(old)))["verdict"] == "unexplained"


@pytest.mark.parametrize("case", WINDOWS)
def test_one_of_several_directories(case):
    """A path that alone says another directory than all others."""
    left, right = (path.read_bytes() for path in sides(case))
    at = right.find(b"/code.c\0")
    assert at > 0
    changed = right[: at - 1] + b"#" + right[at:]
    assert report(left, changed)["verdict"] == "unexplained"
