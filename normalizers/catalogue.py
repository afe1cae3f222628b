"""The catalogue of causes: why two builds differ, and what makes each difference go away.

The catalogue is data (`causes.json` beside this file). Rules and reports name its entries by id.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any, Literal, NamedTuple

Normalizable = Literal["yes", "opt-in", "no"]
"""May a rewrite undo it: without asking, when asked for, or never because it may carry meaning."""


class Fix(NamedTuple):
    """One way to make a cause go away: what to tell `tool`, from version `since` on (None: any version)."""

    tool: str
    since: str | None
    text: str


class Signature(NamedTuple):
    """How a cause looks in bytes: `where` it lies, `how` it is recognized, how precise that is."""

    where: str
    how: str
    regex: tuple[str, ...]
    precision: str


class Debian(NamedTuple):
    """The names that Debian's reproducible-builds notes and bug tracker use for a cause."""

    issues: tuple[str, ...]
    usertags: tuple[str, ...]


class Cause(NamedTuple):
    """One entry of the catalogue; `fixes` starts with the best one."""

    id: str
    family: str
    title: str
    formats: tuple[str, ...]
    varies_with: tuple[str, ...]
    normalizable: Normalizable
    signature: Signature
    fixes: tuple[Fix, ...]
    normalize: str
    debian: Debian
    references: tuple[str, ...]
    evidence: str


@cache
def load() -> dict[str, Cause]:
    """Return every cause by id, in catalogue order; read once, treat as read-only."""
    return {name: _cause(entry) for name, entry in _entries().items()}


def find(names: Iterable[str]) -> dict[str, Cause]:
    """Return those of these causes that the catalogue has; a report names few, and all take as long as reading them."""
    entries = _entries()
    return {name: _cause(entries[name]) for name in names if name in entries}


@cache
def _entries() -> dict[str, dict[str, Any]]:
    # Imported here: most runs never ask. pkgutil, because importlib.resources takes seven times as long to import.
    import json
    import pkgutil

    data = pkgutil.get_data("normalizers", "causes.json")
    if data is None:
        message = "normalizers/causes.json is not part of this installation"
        raise FileNotFoundError(message)
    return {entry["id"]: entry for entry in json.loads(data)["causes"]}


def _cause(entry: dict[str, Any]) -> Cause:
    """Build a cause from its JSON object; a missing key is a KeyError, an unknown one a TypeError."""
    signature = entry["signature"]
    return Cause(
        **entry
        | {
            "formats": tuple(entry["formats"]),
            "varies_with": tuple(entry["varies_with"]),
            "signature": Signature(**signature | {"regex": tuple(signature["regex"])}),
            "fixes": tuple(Fix(**fix) for fix in entry["fixes"]),
            "debian": Debian(**{name: tuple(values) for name, values in entry["debian"].items()}),
            "references": tuple(entry["references"]),
        }
    )
