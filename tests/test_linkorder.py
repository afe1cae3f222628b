"""The same units linked in another order: all of it is followed, and nothing hides in it."""

import random
import shutil

import pytest
from executables import KINDS, build, middle, mutations
from linkorder import Link, Parts, driver_of, linked, swaps

from reprodiff.app import diff_sources
from reprodiff.budget import Budget
from reprodiff.report import text
from reprodiff.sources import Bytes

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
CAUSES = {"link-order", "symbol-table-order", "static-init-order"}
PIE, FIXED, SHARED = ("-fPIE", "-pie"), ("-fno-pie", "-no-pie"), ("-fPIC",)

FORMS = {
    "stripped": (Parts(7), Link("gcc", ("-O2", *PIE), strip="-s")),
    "symbols-g": (Parts(6, seed=2), Link("gcc", ("-O2", "-g", *PIE))),
    "c++-stripped": (Parts(6, "c++", seed=3), Link("gcc", ("-O2", *PIE), strip="-s")),
    "fixed-address": (Parts(7, seed=4), Link("gcc", ("-O1", *FIXED), strip="-s")),
}
MORE = {
    "c++-g": (Parts(6, "c++", seed=5), Link("gcc", ("-O2", "-g", *PIE))),
    "c++-fixed-address": (Parts(6, "c++", seed=6), Link("gcc", ("-O3", *FIXED), strip="-s")),
    "shared": (Parts(8, seed=7), Link("gcc", ("-O2", "-g", *SHARED), ("-shared",))),
    "shared-stripped": (Parts(8, seed=8), Link("gcc", ("-O1", *SHARED), ("-shared",), strip="-s")),
    "unoptimised": (Parts(9, seed=9), Link("gcc", ("-O0", *PIE), strip="-s")),
    "unoptimised-g": (Parts(9, "c++", seed=10), Link("gcc", ("-O0", "-g", *PIE))),
    "no-debug": (Parts(9, "c++", seed=11), Link("gcc", ("-Os", *PIE), strip="-g")),
    "sections": (Parts(9, seed=12), Link("gcc", ("-O2", "-ffunction-sections", "-fdata-sections", *PIE), ("-Wl,--gc-sections",), "-s")),
    "starts": (Parts(9, seed=13, starts=True), Link("gcc", ("-O2", *PIE))),
    "clang": (Parts(9, seed=14), Link("clang", ("-O2", *PIE), strip="-s")),
    "clang-g": (Parts(9, seed=15), Link("clang", ("-O1", "-g", *SHARED), ("-shared",))),
    "gold": (Parts(9, seed=16), Link("gcc", ("-O2", *PIE), ("-fuse-ld=gold",), "-s")),
    "lld": (Parts(9, seed=17), Link("clang", ("-Os", *PIE), ("-fuse-ld=lld",), "-s")),
}  # fmt: skip


def made(form, folder, archive=False):
    parts, how = (FORMS | MORE)[form]
    tools = [driver_of(parts, how), *(link.replace("-fuse-ld=", "ld.") for link in how.links if "-fuse-ld" in link)]
    if not all(shutil.which(tool) for tool in tools):
        pytest.skip(f"needs {' and '.join(tools)}")
    order = list(range(parts.units + 1))
    other = random.Random(form).sample(order, len(order))
    one, two = linked(parts, how, folder, [order, other], archive)
    return one.read_bytes(), two


def report(left, right):
    return diff_sources(Bytes(left), Bytes(right), "program", "program", Budget(), digests=False).report


def check(found):
    assert [item["path"] for item in found["unexplained"]] == []
    assert {cause["id"] for cause in found["causes"]} <= CAUSES
    assert "link-order" in {cause["id"] for cause in found["causes"]}


@pytest.mark.parametrize("form", FORMS)
def test_order(form, tmp_path):
    left, right = made(form, tmp_path)
    check(report(left, right.read_bytes()))


@pytest.mark.slow
@pytest.mark.parametrize("archive", [False, True], ids=["objects", "archive"])
@pytest.mark.parametrize("form", MORE)
def test_order_more(form, archive, tmp_path):
    left, right = made(form, tmp_path, archive)
    check(report(left, right.read_bytes()))


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS | MORE)
def test_changes(form, tmp_path):
    """One place of the right side changed, or two exchanged that look alike."""
    left, right = made(form, tmp_path)
    some = [mutation for kind in KINDS for mutation in mutations(right, kind, 8, 5)]
    some += list(swaps(right, 24, 5))
    assert len(some) >= 50
    rest = [mutation for mutation in some if mutation.data != left]
    assert [str(each) for each in rest if report(left, each.data)["verdict"] != "unexplained"] == []


def test_permutation_is_named(tmp_path):
    left, right = made("symbols-g", tmp_path)
    outcome = diff_sources(Bytes(left), Bytes(right.read_bytes()), "left", "right", Budget(), digests=False)
    (cause,) = [cause for cause in outcome.report["causes"] if cause["id"] == "link-order"]
    assert any(
        "enter_" in side or "step_" in side
        for example in cause["examples"]
        for side in (example["left"], example["right"])
    )
    assert "→" in text.render(outcome.report)


@pytest.mark.slow
@pytest.mark.parametrize("links", [(), ("-s",)], ids=["symbols", "stripped"])
def test_three_thousand_functions(tmp_path, links):
    """All of 2 MB in another order, and one changed instruction in it; how long that takes is no matter of a test."""
    program = middle(links=links)
    one = build(program, tmp_path / "one" / "program")
    two = build(
        program, tmp_path / "two" / "program", order=lambda objects: random.Random(5).sample(objects, len(objects))
    )
    good = one.read_bytes()
    check(report(good, two.read_bytes()))
    for mutation in mutations(two, "instruction", 3):
        assert report(good, mutation.data)["verdict"] == "unexplained", str(mutation)
