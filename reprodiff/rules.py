"""Rules: where something may differ, the cause that it is called, and what undoes it. Opinions, as data."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

from reprodiff.tree import Derive, Group

CLAMP: Literal["clamp"] = "clamp"
UNIFY: Literal["unify"] = "unify"


class Policy(NamedTuple):
    """What canonical values aim at.

    epoch  seconds since the epoch (SOURCE_DATE_EPOCH, else 0): no time stays later than it
    mode   "clamp" keeps what is reproducible already, to ship; "unify" sets constants, to compare
    """

    epoch: int = 0
    mode: Literal["clamp", "unify"] = CLAMP

    def time(self, seconds: float) -> float:
        """Return the canonical time for a time in seconds since the epoch."""
        return self.epoch if self.mode == UNIFY else min(seconds, self.epoch)


class Set(NamedTuple):
    """Replace a field's value: (value, policy) to the canonical value, spelled by the field's codec.

    respell: write the canonical spelling even where the value stays."""

    value: Callable[[Any, Policy], Any]
    respell: bool = False


class Drop(NamedTuple):
    """Take the node out of the stream. when: (its bytes, policy) to whether; None: always."""

    when: Callable[[bytes, Policy], bool] | None = None


class DropEmpty(NamedTuple):
    """Take the group out of the stream once nothing is left in its child of that name."""

    child: str


class Rederive(NamedTuple):
    """Compute a DERIVED leaf from what it should follow from, also where it did not.

    derive: how, where the format knows several ways; None: as the format says."""

    derive: Derive | None = None


class Sort(NamedTuple):
    """Put the members of a group's keyed children into the canonical order: (members) to members."""

    arrange: Callable[[list[Group]], list[Group]]


class Number(NamedTuple):
    """Replace a field of a group's keyed children by what follows from their order: (members in the new order,
    policy) to a value for each."""

    values: Callable[[list[Group], Policy], list[Any]]


class Reencode(NamedTuple):
    """Write the payload again with the canonical encoder; done in "unify" mode only, it may make a file longer."""


class Respell(NamedTuple):
    """Replace the bytes of all children of a group before its payload: (their bytes after all other rules) to bytes.

    For formats that spell the same facts in several ways (tar dialects). at: path pattern of the group, which
    the rule may claim parts of."""

    at: str
    head: Callable[[bytes], bytes]


class Contents(str):
    """A guard's reason why the contents of an archive must stay, while the archive around them may change."""

    __slots__ = ()


Action: TypeAlias = Set | Drop | DropEmpty | Rederive | Sort | Number | Reencode | Respell
Sureness: TypeAlias = Literal["origin", "suspected", "consequence"]
# (change, evidence) to how sure the rule is that the change has this cause; "consequence": it follows from contents
# that differ elsewhere (Evidence.follows_from); None: not this cause
Claim: TypeAlias = Callable[[Any, Any], Sureness | None]


class Rule(NamedTuple):
    """One opinion.

    where   path pattern of a node; keys are `[*]`, a `*` alone matches one step
    cause   id in the catalogue
    why     one sentence for the person who asks why this is no content
    action  what undoes it; None: it can be explained, never undone
    kind    "changed" (both sides have the node), "one-sided", "moved", or "encoding" (same decoded bytes)
    claim   decides change by change; None: every change at this place has this cause
    detail  (change, evidence) to how a report names the two sides; None: the values themselves
    opt_in  the action changes what a user may see, so `normalize` does it only when asked
    parts   (change, evidence) to what a change consists of that has several causes, each with its own and how sure that
            is; their sizes add up to that of the change; an empty list: it has one
    """

    where: str
    cause: str
    why: str
    action: Action | None = None
    kind: Literal["changed", "one-sided", "moved", "encoding"] = "changed"
    claim: Claim | None = None
    detail: Callable[[Any, Any], tuple[str, str]] | None = None
    opt_in: bool = False
    parts: Callable[[Any, Any], list[tuple[str, Sureness, Any]]] | None = None


class Rules:
    """Rules by the place that they speak of."""

    __slots__ = ("_acting", "_below", "_found", "_rules", "acting")

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        # Whether any of them changes something.
        self.acting = any(rule.action is not None for rule in rules)
        self._rules = [(tuple(rule.where.split("/")), rule) for rule in rules]
        self._found: dict[str, tuple[Rule, ...]] = {}
        self._acting = [pattern for pattern, rule in self._rules if rule.action is not None]
        self._below: dict[str, bool] = {}

    def at(self, where: str) -> tuple[Rule, ...]:
        """Return the rules for a place, in the order in which they were given."""
        found = self._found.get(where)
        if found is None:
            steps = split(where)
            found = tuple(rule for pattern, rule in self._rules if _matches(pattern, steps))
            self._found[where] = found
        return found

    def act_below(self, where: str) -> bool:
        """Tell whether any rule changes something at a place or at one inside of it."""
        found = self._below.get(where)
        if found is None:
            steps = split(where)
            found = any(_matches(pattern[: len(steps)], steps) for pattern in self._acting)
            self._below[where] = found
        return found


def split(where: str) -> tuple[str, ...]:
    """Split a path pattern into its steps."""
    return tuple(where.split("/"))


def _matches(pattern: tuple[str, ...], steps: tuple[str, ...]) -> bool:
    if len(pattern) != len(steps):
        return False
    return all(p in ("*", s) or (p.endswith("*") and not p.endswith("[*]") and s.startswith(p[:-1])) or _either(p, s)
               for p, s in zip(pattern, steps, strict=True))  # fmt: skip


def _either(pattern: str, step: str) -> bool:
    """Match `{a,b}` as a choice of whole steps."""
    return pattern.startswith("{") and step in pattern[1:-1].split(",")
