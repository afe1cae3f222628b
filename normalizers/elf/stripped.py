"""What was stripped from one side alone: symbols, debug information, their names."""

from typing import Any

from normalizers.elf.claims import either, images
from normalizers.patterns import Sure
from reprodiff.formats.program.names import STT_FILE


def stripped(change: Any, evidence: Any) -> Sure | None:
    """Claim a whole section of one side alone, where that side has symbols or debug information and the other none."""
    both = images(evidence)
    if both is None or change.nodes is None:
        return None
    node = change.nodes[0] or change.nodes[1]
    return _removed(node.name.encode(), both)


def file_symbol(change: Any, evidence: Any) -> Sure | None:
    """Claim the symbol of a source file, which is stripped with debug information."""
    both = images(evidence)
    raw = change.left if change.left is not None else change.right
    if both is None or raw is None:
        return None
    kind = raw[4 if both[0].wide else 12] & 15
    return _removed(b".debug_", both) if kind == STT_FILE and _lacks(change, both) else None


def _lacks(change: Any, both: tuple[Any, Any]) -> bool:
    """Tell whether the side that does not have something is the one without debug information."""
    without = both[1] if change.kind == "left" else both[0]
    return not any(section.name.startswith(_KINDS[1]) for section in without.sections)


def _file_names(evidence: Any) -> set[bytes]:
    changes = evidence.comparison.changes.get("elf/.symtab/symbol[*]", ())
    return {
        key for change in changes if change.kind != "changed" and file_symbol(change, evidence) for key in change.keys
    }


def file_name(change: Any, evidence: Any) -> Sure | None:
    """Claim the name of a source file whose symbol was stripped."""
    return "origin" if either(change) in evidence.once(_file_names) else None


def stripped_name(change: Any, evidence: Any) -> Sure | None:
    """Claim the name of a section that was stripped with its section."""
    both = images(evidence)
    return _removed(either(change), both) if both is not None else None


_KINDS = ((b".symtab", b".strtab"), (b".debug_", b".zdebug_", b".gdb_index", b".rela.debug_", b".rel.debug_"))


def _removed(name: bytes, both: tuple[Any, Any]) -> Sure | None:
    for kind in _KINDS:
        if name.startswith(kind):
            has = [any(section.name.startswith(kind) for section in image.sections) for image in both]
            return "origin" if has[0] != has[1] else None
    return "origin" if name in {b".gnu_debuglink", b".gnu_debugaltlink", b".gnu_debugdata"} else None
