"""What two texts of a program say of their builds, and what they may differ in besides."""

import pytest

from normalizers.texts import random_name, said, several

BUILDS = [
    ("embedded-build-date-string", "origin", "Tue, 14 Nov 2023 22:13:20 +0000", "Sat, 30 Nov 2024 20:53:21 +0000"),
    ("embedded-build-date-string", "origin", "tool (built 2023-11-14T22:13:20Z)", "tool (built 2024-11-30T20:53:21Z)"),
    ("embedded-build-date-string", "origin", "Tue Nov 14 22:13:20 UTC 2023", "Sat Nov 30 23:53:20 CET 2024"),
    ("embedded-build-date-string", "origin", "at Sat 30 Nov 2024 08:53:20 PM UTC", "at Sun 01 Dec 2024 08:53:20 AM UTC"),
    ("embedded-build-date-string", "origin", "20231114221320", "20241130205321"),
    ("embedded-build-date-string", "suspected", "v2 of 2023-11-14", "v2 of 2024-11-30"),
    ("embedded-build-date-string", "suspected", "until 2025-01-01T00:00:00Z", "until 2035-01-01T00:00:00Z"),
    ("timezone-shift", "origin", "2024-11-30 20:53:20 +0000", "2024-12-01 10:53:20 +1400"),
    ("locale-messages", "suspected", "mar. 14 nov. 2023 10:00:01", "Tue Nov 14 10:00:01 2023"),
    ("hostname", "suspected", "built on builder1-amd64", "built on node7"),
    ("hostname", "suspected", "root@builder1", "root@builder2"),
    ("username", "suspected", "compiled by alice", "compiled by bob"),
    ("username", "suspected", "alice@one Linux 6.1.0-18-amd64 #1 SMP", "bob@two Linux 6.5.0-1-amd64 #1 SMP"),
    ("kernel-version", "suspected", "Linux 6.1.0-18-amd64 x86_64", "Linux 6.5.0-0.deb12.4-amd64 x86_64"),
    ("kernel-version", "suspected", "vermagic=6.1.0-18-amd64 SMP", "vermagic=6.1.0-21-amd64 SMP"),
    ("vcs-describe", "suspected", "v2.4-7-g3f2a9bc", "v2.4-7-g3f2a9bc-dirty"),
    ("vcs-describe", "suspected", "v2.4-7-g3f2a9bc", "v2.4-8-g91d04e7"),
    ("recorded-build-flags", "origin", "-O2 -ffile-prefix-map=/build/a/b=. -g", "-O2 -ffile-prefix-map=/build/c=. -g"),
    ("recorded-build-flags", "suspected", "gcc -O2 -g -Wall", "gcc -O2 -g -fstack-protector-strong -Wall"),
    ("copyright-year", "suspected", "Copyright 2019-2023 X", "Copyright 2019-2024 X"),
    ("epoch-integer-timestamp", "suspected", "stamp 1700000000", "stamp 1733000000"),
    ("random-uuid", "suspected", "id 6b1f0a52-8f3e-4a5b-9a0c-3c8e1d7f2b10", "id e40d7c11-02aa-4c7e-b7de-90fd3d6a5c22"),
    ("build-counter", "suspected", "tool build 1841", "tool build 1842"),
    ("build-counter", "suspected", "Build #99 of tool", "Build #100 of tool"),
    ("username", "suspected", "1.0 (a@b) #4 Tue Nov 14 22:13:20 UTC 2023", "1.0 (c@d) #57 Sun Dec  1 09:00:01 UTC 2024"),
]  # fmt: skip
CONTENT = [
    ("id 6b1f0a52-8f3e-4a5b-9a0c-3c8e1d7f2b10", "id 6b1f0a52-8f3e-4a5b-9a0c-3c8e1d7f2b11"),
    ("id 6b1f0a52-8f3e-4a5b-9a0c-3c8e1d7f2b10", "it e40d7c11-02aa-4c7e-b7de-90fd3d6a5c22"),
    ("id 6b1f0a52-8f3e-5a5b-9a0c-3c8e1d7f2b10", "id e40d7c11-02aa-5c7e-b7de-90fd3d6a5c22"),
    ("port 1841", "port 1842"),
    ("rebuild 1841", "rebuild 1842"),
    ("build 1.8", "build 1.9"),
    ("build 1841 of x", "build 1842 of y"),
    ("retry #4", "retry #5"),
    ("20231399", "20241130"),
    ("Tue, 31 Feb 2023 22:13:20", "Sat, 30 Nov 2024 20:53:21"),
    ("built 2023-11-14T22:13:20Z for x", "built 2024-11-30T20:53:21Z for y"),
    ("no such key", "no such KEY"),
    ("/etc/tool.conf", "/etc/tool.cfg"),
    ("version 2.4.1", "version 2.4.2"),
    ("v2.4-7-g3f2a9bc", "v2.5-7-g91d04e7"),
    ("listen on 127.0.0.1", "listen on 0.0.0.0"),
    ("expected by peer", "expected by server"),
    ("usage: tool -a -b", "usage: other -a -b"),
    ("Linux 6.1 is needed", "Linux 6.1 is enough"),
    ("-ffile-prefix-map=/usr/lib/a=.", "-ffile-prefix-map=/usr/lib/b=."),
    ("deadbeef", "deadbee1"),
    ("abc 2023", "abc 2024"),
    ("", "x"),
]


@pytest.mark.parametrize(("cause", "sure", "left", "right"), BUILDS)
def test_what_a_build_says_of_itself(cause, sure, left, right):
    assert said(left.encode(), right.encode()) == (cause, sure)
    assert said(right.encode(), left.encode()) == (cause, sure)


@pytest.mark.parametrize(("left", "right"), CONTENT)
def test_what_is_none_of_it(left, right):
    assert said(left.encode(), right.encode()) is None
    assert several(left.encode(), right.encode()) == ()


TOGETHER = [
    ("built by jane@box on Fri Nov 20 11:02:03 2026", "built by bob@node7 on Sat Nov 21 01:32:13 2026",
     {"username", "hostname", "embedded-build-date-string"}),
    ("built by jane on box7 at 2026-11-20T11:02:03Z", "built by bob on node9 at 2026-11-21T12:02:03Z",
     {"username", "hostname", "embedded-build-date-string"}),
    ("tool 2-7-g3f2a9bc (a@b)", "tool 2-7-g91d04e7 (c@d)", {"vcs-describe", "username", "hostname"}),
    ("Linux 6.1.0-18-amd64 jane@box", "Linux 6.1.0-21-amd64 bob@box", {"kernel-version", "username"}),
]  # fmt: skip


@pytest.mark.parametrize(("left", "right", "wanted"), TOGETHER)
def test_several_things_in_one_text(left, right, wanted):
    one, two = left.encode(), right.encode()
    parts = several(one, two)
    assert {part.cause for part in parts} == wanted
    assert {part.cause for part in several(two, one)} == wanted
    # Nothing else differs: what the parts say, exchanged, makes one text the other.
    for part in reversed(parts):
        one = one[: part.left[0]] + two[slice(*part.right)] + one[part.left[1] :]
    assert one == two


@pytest.mark.parametrize(("left", "right", "_wanted"), TOGETHER)
@pytest.mark.parametrize("place", [0, -1])
def test_several_things_and_another_one(left, right, _wanted, place):
    """A letter before or behind them that differs as well leaves nothing of it."""
    ends = ("x ", "") if place == 0 else ("", " x")
    others = ("y ", "") if place == 0 else ("", " y")
    one, two = (f"{a}{text}{b}".encode() for text, (a, b) in ((left, ends), (right, others)))
    assert several(one, two) == ()
    assert said(one, two) is None


@pytest.mark.parametrize(("cause", "_sure", "left", "right"), BUILDS)
def test_another_word_beside_it_is_content(cause, _sure, left, right):
    assert said(f"{left}, twice".encode(), f"{right}, trice".encode()) is None, cause


def test_random_names():
    assert random_name(b"_tmp_tmp_Xa91Kd02Lp", b"_tmp_tmp_q0ZZtyM3vB")
    assert random_name(b"/tmp/ccA8sk2P.c", b"/tmp/cczP01qq.c")
    assert not random_name(b"tmp_buffer", b"tmp_handle")
    assert not random_name(b"/tmp/ccA8sk2P.c", b"/tmp/cczP01qq.h")
