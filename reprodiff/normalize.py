"""Normalize files: rewrite by rules, check what was written, put it in the place of the file."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

from reprodiff.budget import Budget
from reprodiff.codecs import printable
from reprodiff.compare import compare
from reprodiff.comparison import Change, Comparison
from reprodiff.encoders import LABELS
from reprodiff.errors import LimitError, NormalizeError, ReprodiffError
from reprodiff.layout import emit, size_of
from reprodiff.replace import Original, create, is_temporary, replace
from reprodiff.rewrite import Rewritten, Rulebook, canonical, rewrite
from reprodiff.rules import UNIFY, Drop, DropEmpty, Number, Policy, Rederive, Reencode, Respell, Rule, Rules, Set, Sort
from reprodiff.sources import Source, chunks, open_file, same, spool
from reprodiff.tree import Leaf, Role

SCHEMA = "reprodiff.normalize/1"
Status: TypeAlias = Literal["unchanged", "normalized", "would-change", "left", "failed"]


class State(NamedTuple):
    """A file's bytes: size, SHA-256 in hex ('' where not asked for)."""

    size: int
    sha256: str


class Done(NamedTuple):
    """What became of one file.

    status    unchanged: nothing to do; normalized, would-change; left: it must stay as it is; failed: it should
              have changed or been understood and was not
    causes    ids of the rules that changed something; encoders: what compressed again, in words
    notices   sentences: why it was left or failed, and what inside it was left
    """

    path: str
    status: Status
    causes: tuple[str, ...] = ()
    encoders: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    before: State | None = None
    after: State | None = None


class Plan(NamedTuple):
    """How to normalize. budget: makes a fresh one for every pass over a file; digests: fill in SHA-256 sums."""

    book: Rulebook
    policy: Policy
    budget: Callable[[], Budget]
    check: bool = False
    output: str | None = None
    digests: bool = False


def files(paths: Iterable[str]) -> Iterator[str]:
    """Yield the files to normalize: those named, and the regular ones below directories, sorted by name.

    Symbolic links below a directory are left out; so are this program's temporary files.
    """
    for path in paths:
        if os.path.isdir(path) and not os.path.islink(path):
            yield from _below(path)
        else:
            yield path


def _below(directory: str) -> Iterator[str]:
    try:
        with os.scandir(directory) as found:
            entries = sorted(found, key=lambda entry: os.fsencode(entry.name))
    except OSError:
        yield directory
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path)
        elif entry.is_file(follow_symlinks=False) and not is_temporary(entry.name):
            yield entry.path


def normalize(path: str, plan: Plan) -> Done:
    """Normalize one file. Never raises for what is wrong with the file: the answer says it."""
    plan = plan._replace(book=plan.book._replace(idle=set()))
    try:
        if plan.output is not None:
            source = open_file(path)
            return _decide(path, source, plan, lambda new: _write(plan.output or "", source, new, plan))
        if os.path.islink(path):
            return Done(path, "left", notices=("a symbolic link: neither followed nor replaced",))
        if not os.path.lexists(path):
            return Done(path, "failed", notices=("no such file or directory",))
        if os.path.isdir(path):
            return Done(path, "failed", notices=("a directory that cannot be read",))
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return Done(path, "left", notices=("not a regular file",))
        with Original(path) as original:
            return _decide(path, original.source, plan, lambda new: _put(original, new, plan))
    except ReprodiffError as error:
        return Done(path, "failed", notices=(f"left as it is: {error}",))
    except OSError as error:
        return Done(path, "failed", notices=(f"left as it is: {(error.strerror or str(error)).lower()}",))
    except RecursionError:
        return Done(path, "failed", notices=("left as it is: its parts lie too deep inside each other",))
    except Exception as error:
        if os.environ.get("REPRODIFF_TRACEBACK"):
            raise
        text = f"left as it is: internal error, please report it: {type(error).__name__}: {error}"
        return Done(path, "failed", notices=(text,))


def _decide(path: str, source: Source, plan: Plan, put: Callable[[Rewritten], None]) -> Done:
    new = rewrite(source, plan.book, plan.policy, plan.budget())
    notices = tuple(text if "/" not in where else f"{printable(where)}: {text}" for where, text in new.notices)
    before = State(source.size, _sha256(chunks(source), plan))
    causes = tuple(sorted(new.causes))
    if new.pieces is None or same_pieces(new, source):
        if plan.output is not None and not plan.check:
            put(new)
        refused = any("/" not in where for where, _text in new.notices)
        status: Status = "failed" if new.broken else "left" if refused else "unchanged"
        return Done(path, status, notices=notices, before=before, after=before)
    encoders = tuple(sorted(LABELS[name] for name in new.encoders))
    after = State(size_of(new.pieces), _sha256(emit(new.pieces), plan))
    if not plan.check:
        put(new)
    return Done(path, "would-change" if plan.check else "normalized", causes, encoders, notices, before, after)


def same_pieces(new: Rewritten, source: Source) -> bool:
    """Tell whether a rewrite gave the bytes that were there."""
    return new.pieces is not None and size_of(new.pieces) == source.size and _same_bytes(emit(new.pieces), source)


def _same_bytes(data: Iterator[bytes], source: Source) -> bool:
    at = 0
    for piece in data:
        if source.read(at, at + len(piece)) != piece:
            return False
        at += len(piece)
    return at == source.size


def _sha256(data: Iterator[bytes], plan: Plan) -> str:
    if not plan.digests:
        return ""
    import hashlib

    digest = hashlib.sha256()
    for piece in data:
        digest.update(piece)
    return digest.hexdigest()


def _put(original: Original, new: Rewritten, plan: Plan) -> None:
    assert new.pieces is not None
    pieces = new.pieces
    replace(original, emit(pieces), lambda written: verify(original.source, written, new, plan))


def _write(output: str, source: Source, new: Rewritten, plan: Plan) -> None:
    data = chunks(source) if new.pieces is None else emit(new.pieces)
    if output != "-" and (not os.path.exists(output) or os.path.isfile(output)):
        create(output, data, lambda written: verify(source, written, new, plan))
        return
    # Standard output or a device: nothing can be taken back, so the check comes first.
    finished = spool(data, plan.budget())
    verify(source, finished, new, plan)
    with open(1 if output == "-" else output, "wb", closefd=output != "-") as file:
        file.writelines(chunks(finished))


def verify(old: Source, written: Source, new: Rewritten, plan: Plan) -> None:
    """Raise NormalizeError unless what was written is what was meant, and nothing but what rules name has changed.

    Independent of how it was rewritten: both files are compared as any two files are, and each difference must be
    what the rule at its place makes of the old value, or follow from such a one.
    """
    if new.pieces is None:
        if not same(old, written):
            raise NormalizeError("what was written is not what was read")
        return
    if size_of(new.pieces) != written.size or not _same_bytes(emit(new.pieces), written):
        raise NormalizeError("what was written is not what was meant")
    again = rewrite(written, plan.book, plan.policy, plan.budget())
    if again.pieces is not None and not same_pieces(again, written):
        raise NormalizeError("it would not be stable: normalizing it once more would change it again")
    try:
        found = compare(old, written, "", plan.budget())
    except LimitError as error:
        raise NormalizeError(f"the result could not be checked ({error})") from error
    if found is not None:
        for comparison in found.all():
            _verify_stream(comparison, plan)


def _verify_stream(found: Comparison, plan: Plan) -> None:
    rules = plan.book.rules(found.format)
    for notice in (notice for notice in found.notices if notice.kind != "security"):
        raise NormalizeError(f"the result could not be checked ({notice.text})")
    for where, changes in found.changes.items():
        here = rules.at(where)
        if _respelled(where, rules):
            continue
        place = found.places[where]
        for change in changes:
            if not _meant(change, here, place.role, found, plan.policy):
                raise NormalizeError(
                    f"{found.path_of(where, change.keys).lstrip('!/')} would change, and no rule says so"
                )
    for order in found.orders:
        if not any(isinstance(rule.action, Sort) for rule in rules.at(order.where)):
            raise NormalizeError(f"{order.where} would be in another order, and no rule says so")


def _respelled(where: str, rules: Rules) -> bool:
    """Tell whether a place lies in a group whose head is spelled anew as a whole."""
    while "/" in where:
        where = where.rpartition("/")[0]
        if any(isinstance(rule.action, Respell) and rule.action.at == where for rule in rules.at(where)):
            return True
    return False


def _meant(change: Change, rules: tuple[Rule, ...], role: Role, found: Comparison, policy: Policy) -> bool:
    """Tell whether one difference is what a rule at its place does."""
    if change.kind == "left":
        return role is Role.DERIVED or any(isinstance(rule.action, Drop | DropEmpty) for rule in rules)
    if change.kind == "right":
        return role is Role.DERIVED
    for rule in rules:
        if isinstance(rule.action, Reencode) and change.same:
            return policy.mode == UNIFY
        # What was written is stable: a number that a rule gives is the one that it would give again.
        if isinstance(rule.action, Rederive | Number):
            return True
        if isinstance(rule.action, Set):
            old, new = found.left.read(change.l0, change.l1), found.right.read(change.r0, change.r1)
            # Where both sides are spelled in other ways, the rule read the old one.
            first = change.nodes[0] if change.nodes else None
            codec = first.codec if isinstance(first, Leaf) else change.codec
            if any(canonical(old, rule, codec, policy, size) == new for size in (len(old), -1)):
                return True
    return False


def as_json(done: Iterable[Done]) -> dict[str, Any]:
    """Return the report of a run (`reprodiff.normalize/1`)."""
    return {
        "schema": SCHEMA,
        "files": [
            {
                "path": printable(item.path),
                "status": item.status,
                "causes": list(item.causes),
                "encoders": list(item.encoders),
                "notices": list(item.notices),
                "before": item.before._asdict() if item.before else None,
                "after": item.after._asdict() if item.after else None,
            }
            for item in done
        ],
    }
