"""Code, data and symbols that were linked in another order."""

from typing import Any

from normalizers.patterns import Sure

# So many names of a new order are shown.
NAMED = 4


def _tools_differ(evidence: Any) -> bool:
    return any(where.startswith(("elf/.comment", "elf/.GCC.command.line")) for where in evidence.comparison.changes)


def linked_otherwise(order: Any, evidence: Any) -> Sure | None:
    """Claim code and data in another order: the same functions, most of them unchanged, by the same tools."""
    if order.where in {"elf/.symtab", "elf/.dynsym", "elf/.strtab"}:
        moved = any(
            other.where not in {"elf/.symtab", "elf/.dynsym", "elf/.strtab"} for other in evidence.comparison.orders
        )
        if not moved:
            return None
    changed = sum(
        len(changes)
        for where, changes in evidence.comparison.changes.items()
        if where.endswith(("/function[*]", "/object[*]"))
    )
    total = max(len(other.left) for other in evidence.comparison.orders)
    # Functions that other flags made anew stand in another order too, but have another length.
    resized = sum(
        change.l1 - change.l0 != change.r1 - change.r0
        for where, changes in evidence.comparison.changes.items()
        if where.startswith("elf/.text")
        for change in changes
    )
    if _tools_differ(evidence) or 2 * changed > max(total, 2) or 4 * resized > max(total, 4):
        return None
    # A function or symbol of one side alone may have moved others: compilers write what is inline where it is first
    # used. Without symbols data that nothing names cannot be followed. Then less is certain.
    alone = any(
        change.l0 < 0 or change.r0 < 0 or change.l0 == change.l1 or change.r0 == change.r1
        for where, changes in evidence.comparison.changes.items()
        if where.endswith(("/function[*]", "/symbol[*]"))
        for change in changes
    )
    return "origin" if 10 * changed <= max(total, 10) and not alone else "suspected"


def permutation(order: Any, _evidence: Any) -> tuple[str, str]:
    """Name what comes first, from where both sides begin to differ."""
    pairs = zip(order.left, order.right, strict=False)
    start = next((index for index, (one, two) in enumerate(pairs) if one != two), 0)
    left, right = (
        ", ".join(name.decode("utf-8", "replace") for name in side[start : start + NAMED])
        + (", …" if len(side) > start + NAMED else "")
        for side in (order.left, order.right)
    )
    return left, right


def same_symbols(_order: Any, evidence: Any) -> Sure | None:
    """Claim symbols in another order, where neither side has one that the other lacks."""
    changes = evidence.comparison.changes
    if _tools_differ(evidence) or any(where.endswith(("/symbol[*]", "/DT_NEEDED")) for where in changes):
        return None
    return "origin"
