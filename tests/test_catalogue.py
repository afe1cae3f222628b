"""The catalogue of causes is complete, well formed, and keeps the ids that people already use."""

import json
import re
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import normalizers
from normalizers.catalogue import Cause, load

CAUSES = list(load().values())
STARTING_IDS = (Path(__file__).parent / "data/starting-causes.txt").read_text(encoding="utf-8").split()

every_cause = pytest.mark.parametrize("cause", CAUSES, ids=[cause.id for cause in CAUSES])


def test_ids_are_unique_and_well_formed():
    entries = json.loads(resources.files("normalizers").joinpath("causes.json").read_text(encoding="utf-8"))["causes"]
    ids = [entry["id"] for entry in entries]
    assert len(ids) == len(set(ids)) == len(CAUSES)
    assert [cause_id for cause_id in ids if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", cause_id)] == []


def test_the_starting_vocabulary_is_kept():
    assert len(set(STARTING_IDS)) == 164
    assert set(STARTING_IDS) - set(load()) == set()


def test_load_reads_once():
    assert load() is load()


@pytest.mark.parametrize(
    ("cause", "tool", "since", "text"),
    [
        ("tar-mtime", "GNU tar", "1.28", "--mtime=@$SOURCE_DATE_EPOCH"),
        ("tar-owner", "GNU tar", None, "--owner=0 --group=0 --numeric-owner"),
        ("tar-order", "GNU tar", "1.28", "--sort=name"),
        ("gzip-mtime", "gzip", None, "gzip -n"),
        ("zip-extra-fields", "Info-ZIP", None, "zip -X"),
    ],
)
def test_the_first_fix_is_the_best_one(cause, tool, since, text):
    assert load()[cause].fixes[0] == (tool, since, text)


@every_cause
def test_a_cause_says_what_it_is_and_where(cause: Cause):
    assert cause.title.strip() == cause.title != ""
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cause.family)
    assert cause.formats
    assert cause.normalizable in {"yes", "opt-in", "no"}
    assert cause.normalize or cause.normalizable != "yes"
    assert cause.evidence in {"measured", "seen", "from memory", ""}
    assert cause.signature.where
    assert cause.signature.how
    assert cause.signature.precision in {"high", "medium", "low"}
    for pattern in cause.signature.regex:
        re.compile(pattern)


@every_cause
def test_a_cause_says_how_to_fix_it(cause: Cause):
    assert cause.fixes or not cause.evidence
    for fix in cause.fixes:
        assert fix.tool.strip() == fix.tool != ""
        assert fix.text.strip() == fix.text != ""
        assert fix.since is None or re.fullmatch(r"\d+(\.\d+)*", fix.since)


@every_cause
def test_names_of_other_catalogues_are_well_formed(cause: Cause):
    # One Debian id has a capital letter: random_order_in_dh_pythonX_substvars.
    assert all(re.fullmatch(r"[A-Za-z0-9_+.-]+", issue) for issue in cause.debian.issues)
    assert all(re.fullmatch(r"[a-z]+", tag) for tag in cause.debian.usertags)


@every_cause
def test_references_are_urls(cause: Cause):
    for reference in cause.references:
        url = urlsplit(reference)
        assert url.scheme == "https"
        assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", url.netloc)
        assert not re.search(r"[\s<>\"]", reference)


def test_what_rules_do_is_what_the_catalogue_says():
    """ "yes": `normalize` does it; "opt-in": when asked; "no": never. Causes without rules yet keep what they may be."""
    done = {}
    for name in normalizers.FORMATS:
        for rule in normalizers.rules(name):
            kind = "no" if rule.action is None else "opt-in" if rule.opt_in else "yes"
            done.setdefault(rule.cause, set()).add(kind)
    for cause, kinds in done.items():
        expected = next(kind for kind in ("yes", "opt-in", "no") if kind in kinds)
        assert load()[cause].normalizable == expected, cause
