"""Wiring: opens what the command line names, and joins the engine with the opinions of `normalizers`."""

import os
from typing import Any, NamedTuple

import normalizers
from reprodiff.budget import Budget
from reprodiff.codecs import printable
from reprodiff.compare import compare
from reprodiff.errors import ReprodiffError
from reprodiff.explain import Explanation, explain
from reprodiff.prove import prove
from reprodiff.report import model
from reprodiff.sources import Source, chunks, open_file

IDENTICAL, DIFFER, TROUBLE = 0, 1, 2


class Outcome(NamedTuple):
    """A finished comparison: the report as data, and the explanation that it was made from."""

    report: dict[str, Any]
    explanation: Explanation | None

    @property
    def status(self) -> int:
        """Exit status as diff(1): 0 identical, 1 differ, 2 not complete."""
        if self.explanation is None:
            return IDENTICAL
        return DIFFER if self.explanation.complete else TROUBLE


def diff(left: str, right: str, budget: Budget, *, digests: bool = False) -> Outcome:
    """Compare two files or two directories. digests: put SHA-256 sums into the report.

    Raises ReprodiffError with a sentence when a side is missing or cannot be read.
    """
    if os.path.isdir(left) != os.path.isdir(right):
        kinds = [f"{path} is a {'directory' if os.path.isdir(path) else 'file'}" for path in (left, right)]
        _require(left, right)
        raise ReprodiffError(f"{kinds[0]}, {kinds[1]}: give two files or two directories")
    one, two = open_file(left), open_file(right)
    return diff_sources(one, two, left, right, budget, digests=digests)


def _require(*paths: str) -> None:
    for path in paths:
        if not os.path.lexists(path):
            raise ReprodiffError(f"{path}: no such file or directory")


def diff_sources(one: Source, two: Source, left: str, right: str, budget: Budget, *, digests: bool) -> Outcome:
    """Compare two open streams under the names left and right."""
    found = compare(one, two, printable(os.path.basename(left) or left), budget)
    inputs = model.Input(left, one.size, _sha256(one, digests)), model.Input(right, two.size, _sha256(two, digests))
    if found is None:
        return Outcome(model.build(*inputs, None, "none", {}), None)
    explanation = explain(found, normalizers.rulebook)
    proof = prove(explanation, normalizers.rulebook, budget)
    return Outcome(model.build(*inputs, explanation, proof, catalogue()), explanation)


def _sha256(source: Source, wanted: bool) -> str:  # noqa: FBT001 - one caller, beside it
    if not wanted:
        return ""
    import hashlib

    digest = hashlib.sha256()
    for chunk in chunks(source):
        digest.update(chunk)
    return digest.hexdigest()


def catalogue() -> dict[str, model.Entry]:
    """Return the catalogue of causes as reports show it."""
    from normalizers.catalogue import load

    return {
        cause.id: model.Entry(
            cause.family,
            cause.title,
            cause.normalizable,
            tuple((fix.tool, fix.since, fix.text) for fix in cause.fixes),
            tuple(cause.debian.issues),
            tuple(cause.debian.usertags),
            tuple(cause.references),
        )
        for cause in load().values()
    }
