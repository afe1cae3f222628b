"""Claims, canonical values and details that several formats share."""

from typing import Any

from normalizers.patterns import Sure
from reprodiff.rules import UNIFY, Policy
from reprodiff.textdiff import order_name

TYPE, REGULAR, DIRECTORY, SPECIAL = 0o170000, 0o100000, 0o040000, 0o7000
MEMBER_OWNER = "owners that do not follow the pattern of the whole: likely content"
MEMBER_MODE = "permissions that no umask of the builder explains: likely content"


def same_value(change: Any, evidence: Any) -> Sure | None:
    """Claim a change whose two sides spell the same value."""
    values = evidence.values(change)
    return "origin" if values is not None and values[0] == values[1] else None


def suspect(_change: Any, _evidence: Any) -> Sure:
    """Claim anything as no more than likely."""
    return "suspected"


def clamp(value: float, policy: Policy) -> float:
    """Return the canonical time of a time in seconds since the epoch."""
    return policy.time(value)


def zero(_value: int, _policy: Policy) -> int:
    """Return 0, the canonical id and device number."""
    return 0


def owner_name(value: bytes, policy: Policy) -> bytes:
    """Return the canonical name of owner 0: `root`, or none where none is, so that a file that names no builder stays
    as it is; to compare, none."""
    return b"" if policy.mode == UNIFY or not value else b"root"


def umask_mode(value: int, policy: Policy) -> int:
    """Return a mode as if no umask had made a difference.

    To compare, group and others get what the owner's x bit tells. To ship, permissions are only taken away, as umask
    022 does: what a file was made with is not known any more. Modes with special bits were set on purpose, and those of
    links and devices (where the mode tells the type) are not the umask's.
    """
    if value & TYPE not in {0, REGULAR, DIRECTORY}:
        return value
    if policy.mode == UNIFY:
        return value & ~0o77 | (0o55 if value & 0o100 else 0o44)
    return value if value & SPECIAL else value & ~0o22


def orders(order: Any, _evidence: Any) -> tuple[str, str]:
    """Name the order of the members on each side."""
    left, right = order_name(order.left), order_name(order.right)
    if left != right:
        return left, right
    place = next(i for i, (a, b) in enumerate(zip(order.left, order.right, strict=True)) if a != b)
    name = order.left[place].decode("utf-8", "replace")
    return f"{left}, {name} as member {place + 1}", f"{right}, as member {order.right.index(order.left[place]) + 1}"


def missing(change: Any, evidence: Any) -> Sure | None:
    """Claim a member of one side alone whose content no member of the other side alone has."""
    return None if evidence.twin(change) else "suspected"


def renamed(change: Any, evidence: Any) -> Sure | None:
    """Claim a member of one side alone whose content is that of one of the other side alone."""
    return "suspected" if evidence.twin(change) else None


def new_name(change: Any, evidence: Any) -> tuple[str, str]:
    """Show a renamed member's name on both sides."""
    names = [change.keys[-1].decode("utf-8", "replace"), evidence.twin(change).decode("utf-8", "replace")]
    return (names[0], names[1]) if change.kind == "left" else (names[1], names[0])
