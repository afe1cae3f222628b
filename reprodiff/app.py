"""Wiring: opens what the command line names, and joins the engine with the opinions of `normalizers`."""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from reprodiff.budget import Budget
from reprodiff.codecs import printable
from reprodiff.compare import compare
from reprodiff.comparison import Comparison
from reprodiff.errors import ReprodiffError
from reprodiff.findings import Explanation
from reprodiff.report import model
from reprodiff.sources import Source, chunks, open_file

if TYPE_CHECKING:
    from reprodiff.advice import Advice
    from reprodiff.normalize import Done
    from reprodiff.rewrite import Rulebook

IDENTICAL, DIFFER, TROUBLE = 0, 1, 2


class Outcome(NamedTuple):
    """A finished comparison: the report as data, and what it was made from; both None when the sides are identical.

    excluded  how many members and files were not compared because the budget says so
    """

    report: dict[str, Any]
    explanation: Explanation | None
    comparison: Comparison | None = None
    excluded: int = 0

    @property
    def status(self) -> int:
        """Exit status as diff(1): 0 identical, 1 differ, 2 not complete."""
        if self.explanation is None:
            return IDENTICAL
        return DIFFER if self.explanation.complete else TROUBLE

    def accepted(self, causes: Iterable[str]) -> bool:
        """Tell whether nothing is left but these causes: all is read, nothing unexplained."""
        if self.explanation is None or not self.explanation.complete or self.explanation.unexplained:
            return self.explanation is None
        return {finding.cause for finding in self.explanation.findings.values()} <= set(causes)

    def advice(self, epoch: int) -> "Advice | None":
        """Return what makes the sides identical, None where nothing does."""
        if self.explanation is None or self.comparison is None or self.excluded:
            return None
        from reprodiff.advice import advise
        from reprodiff.rules import Policy

        books = partial(_book, Policy(epoch), disable=frozenset())
        found = advise(self.comparison, self.explanation, self.report["proof"], books, epoch)
        return found if found.mode else None


def diff(left: str, right: str, budget: Budget, *, digests: bool = False, directory_metadata: bool = True) -> Outcome:
    """Compare two files or two directories.

    digests: put SHA-256 sums into the report; directory_metadata: modes, owners and times of files count too.

    Raises ReprodiffError with a sentence when a side is missing or cannot be read.
    """
    if os.path.isdir(left) != os.path.isdir(right):
        kinds = [f"{path} is a {'directory' if os.path.isdir(path) else 'file'}" for path in (left, right)]
        _require(left, right)
        raise ReprodiffError(f"{kinds[0]}, {kinds[1]}: give two files or two directories")
    if os.path.isdir(left):
        from reprodiff.directory import compare_directories

        name = printable(os.path.basename(left.rstrip("/")) or left)
        compared = compare_directories(left, right, name, budget, metadata=directory_metadata)
        return _outcome(compared, (model.Input(left, None, ""), model.Input(right, None, "")), budget)
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
    return _outcome(found, inputs, budget)


def _outcome(found: Comparison | None, inputs: tuple[model.Input, model.Input], budget: Budget) -> Outcome:
    """Explain and prove what a comparison found."""
    if found is None or (budget.exclude is not None and found.empty):
        return Outcome(model.build(*inputs, None, "none", {}), None, excluded=budget.excluded)
    import normalizers
    from reprodiff.explain import explain
    from reprodiff.prove import prove

    explanation = explain(found, normalizers.rulebook)
    proof = prove(explanation, normalizers.rulebook, budget)
    causes = {finding.cause for finding in explanation.findings.values()}
    entries = _fitting(catalogue(causes), explanation, found) if causes else {}
    return Outcome(
        model.build(*inputs, explanation, proof, entries),
        explanation,
        found,
        budget.excluded,
    )


def _fitting(entries: dict[str, model.Entry], explanation: Explanation, top: Comparison) -> dict[str, model.Entry]:
    """Put the fixes first that are for the tools which made the files."""
    from normalizers.tools import made_by, rank

    # What lies inside a section says nothing of its own.
    whole: dict[int, Comparison] = {}
    for outer in top.all():
        whole.update((id(inner), whole.get(id(outer), outer)) for inner in outer.inner if inner.part)
    for finding in explanation.findings.values():
        entry = entries.get(finding.cause)
        if entry is not None:
            compilers = {made_by(whole.get(id(claimed.comparison), claimed.comparison)) for claimed in finding.claimed}
            examples = [text for example in finding.examples for text in (example.left, example.right)]
            fixes = sorted(entry.fixes, key=lambda fix: rank(fix[0], compilers, examples))
            entries[finding.cause] = entry._replace(fixes=tuple(fixes))
    return entries


def _sha256(source: Source, wanted: bool) -> str:
    if not wanted:
        return ""
    import hashlib

    digest = hashlib.sha256()
    for chunk in chunks(source):
        digest.update(chunk)
    return digest.hexdigest()


def catalogue(causes: Iterable[str] | None = None) -> dict[str, model.Entry]:
    """Return the catalogue of causes as reports show it; causes: ids of those that are wanted, None for all."""
    from normalizers.catalogue import find, load

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
        for cause in (load() if causes is None else find(causes)).values()
    }


def cause_in_full(cause: str) -> str:
    """Return everything that the catalogue has on a cause, as text. Raises KeyError for an unknown one."""
    from normalizers.catalogue import load

    entry = load()[cause]
    fixes = [f"{fix.tool}{f' ≥ {fix.since}' if fix.since else ''}: {fix.text}" for fix in entry.fixes]
    rows = (
        ("formats", [", ".join(entry.formats)]),
        ("varies with", [", ".join(entry.varies_with)]),
        ("where", [entry.signature.where]),
        ("recognized", [entry.signature.how]),
        ("precision", [entry.signature.precision]),
        ("fixes", fixes),
        ("normalizable", [f"{entry.normalizable}: {entry.normalize}"]),
        ("Debian issues", list(entry.debian.issues)),
        ("Debian usertags", list(entry.debian.usertags)),
        ("references", list(entry.references)),
    )
    lines = [f"{entry.id} ({entry.family}): {entry.title}", ""]
    for name, values in rows:
        for index, value in enumerate(value for value in values if value):
            lines.append(f"  {'' if index else name:<16}{value}")
    return "\n".join(lines) + "\n"


class Job(NamedTuple):
    """What to do with every file of a run; plain data, so that it can be sent to another process.

    mode     "clamp" or "unify"; enable, disable: causes, "all" for every one
    check    change nothing; output: write the result there; digests: fill in SHA-256 sums
    limits   arguments of Budget; deadline: time.monotonic() at which the run has to be over
    """

    epoch: int
    mode: str = "clamp"
    enable: frozenset[str] = frozenset()
    disable: frozenset[str] = frozenset()
    check: bool = False
    output: str | None = None
    digests: bool = False
    limits: tuple[tuple[str, int], ...] = ()
    deadline: float | None = None


def _book(policy: Any, enable: frozenset[str], *, disable: frozenset[str]) -> "Rulebook":
    import normalizers
    from reprodiff.rewrite import Rulebook
    from reprodiff.rules import UNIFY, Rule

    def wanted(rule: Rule) -> bool:
        if disable & {rule.cause, "all"}:
            return False
        return not rule.opt_in or policy.mode == UNIFY or bool(enable & {rule.cause, "all"})

    return Rulebook(normalizers.select(wanted), partial(_guard, policy))


def _guard(policy: Any, name: str, source: Source, root: Any) -> str | None:
    import normalizers

    return normalizers.guard(name, source, root, policy)


def normalize(path: str, job: Job) -> "Done":
    """Normalize one file. Never raises for what is wrong with the file: the answer says it."""
    from reprodiff.normalize import Plan, normalize
    from reprodiff.rules import UNIFY, Policy

    policy = Policy(job.epoch, UNIFY) if job.mode == UNIFY else Policy(job.epoch)

    def budget() -> Budget:
        limits: dict[str, Any] = dict(job.limits)
        fresh = Budget(**limits)
        fresh.deadline = job.deadline
        return fresh

    book = _book(policy, job.enable, disable=job.disable)
    return normalize(path, Plan(book, policy, budget, job.check, job.output, job.digests))


def normalize_all(paths: Iterable[str], job: Job, workers: int = 1) -> Iterator["Done"]:
    """Normalize files, and those below directories; yields in the order of the arguments.

    A file that is named several times, by hard links or twice, is rewritten once. Symbolic links are left.
    """
    from reprodiff.normalize import files
    from reprodiff.replace import sweep

    swept: dict[str, dict[int, str]] = {}
    seen: set[tuple[int, int]] = set()

    def wanted() -> Iterator[tuple[str, str]]:
        for path in files(paths):
            directory = os.path.dirname(path)
            if directory not in swept:
                swept[directory] = {} if job.check or job.output is not None else sweep(directory)
            try:
                status = os.lstat(path)
            except OSError:
                yield path, ""
                continue
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            yield path, swept[directory].get(status.st_ino, "")

    yield from _work(wanted(), job, workers)


def _one(item: tuple[str, str], job: Job) -> "Done":
    path, redo = item
    if redo:
        from reprodiff.normalize import Done

        text = (
            f"left as it is: a run was killed while it rewrote this file in place; its whole new content is in "
            f"{printable(redo)}: copy that over the file, or delete it"
        )
        return Done(path, "failed", notices=(text,))
    return normalize(path, job)


def _work(items: Iterator[tuple[str, str]], job: Job, workers: int) -> Iterator["Done"]:
    do: Callable[[tuple[str, str]], Done] = partial(_one, job=job)
    first = [item for _count, item in zip(range(2), items, strict=False)] if workers > 1 else []
    if len(first) <= 1:
        yield from map(do, first)
        yield from map(do, items)
        return
    # Processes: rewriting is mostly Python, which threads would only take turns at.
    import sys
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    everything = [*first, *items]
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(min(workers, len(everything)), context, _quiet) as pool:
        futures = [pool.submit(do, item) for item in everything]
        try:
            for future in futures:
                yield future.result()
        except BrokenProcessPool as error:
            raise ReprodiffError("a worker process was killed; the files that it had are as they were") from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _quiet() -> None:
    """Let the parent decide what an interrupt from the terminal means: a worker finishes its file."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
