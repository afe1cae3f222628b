"""Opinions about JAR manifests: who built it, when and with what is no content; what it is, is."""

from typing import Any

from normalizers.patterns import Sure
from reprodiff.rules import Drop, Policy, Rule, Set

# Attributes whose value is the builder, the machine or the clock; a reader of the archive has no use for them.
IDENTITY = ("Built-By,Built-At,Built-Date,Built-Host,Built-On,Built-OS,Build-By,Build-Date,Build-Date-UTC,Build-Host,"
            "Build-Time,Build-Time-ISO-8601,Build-Timestamp,Build-User,Build-Id,Build-Number,Build-Tag,Build-Url,"
            "BuildTime,BuildDate,Bnd-LastModified,DSTAMP,TSTAMP,TODAY,Hudson-Build-Number,Jenkins-Build-Number,"
            "Implementation-Build-Date,Implementation-Build-Time,Implementation-Timestamp,Timestamp,"
            "X-Compile-Source-Date,Os-Name,Os-Arch,Os-Version,OS-Name,Compiled-By")  # fmt: skip
# Attributes that name the tools of the build.
TOOLS = ("Build-Jdk,Build-Jdk-Spec,Build-Jdk-Vendor,Build-OS,Build-Java-Version,Build-Tool,Created-By,Tool,"
         "Originally-Created-By,Archiver-Version,Ant-Version,Built-JDK,Built-With,Gradle-Version,X-Compile-Source-JDK,"
         "X-Compile-Target-JDK,Hudson-Project,Build-Tool-Version,Build-Maven")  # fmt: skip
# Attributes whose value is a set, written as a list (OSGi Core 3.2; bnd).
SETS = ("Export-Package,Import-Package,Private-Package,Provide-Capability,Require-Capability,Include-Resource,"
        "DynamicImport-Package,Export-Service,Import-Service")  # fmt: skip


def _any_case(names: str) -> str:
    """Add to a list of names how they are spelled all in lower and all in upper case: their case means nothing."""
    found = names.split(",")
    return ",".join(dict.fromkeys([*found, *map(str.lower, found), *map(str.upper, found)]))


def clauses(value: bytes) -> list[bytes]:
    """Split a list at its commas outside of quotes."""
    found, quoted, start = [], False, 0
    for at, byte in enumerate(value):
        if byte == 0x22:
            quoted = not quoted
        elif byte == 0x2C and not quoted:
            found.append(value[start:at])
            start = at + 1
    return [*found, value[start:]]


def _arranged(value: bytes, _policy: Policy) -> bytes:
    return b",".join(sorted(clauses(value)))


def _same_set(change: Any, evidence: Any) -> Sure | None:
    values = evidence.values(change)
    return "origin" if values is not None and sorted(clauses(values[0])) == sorted(clauses(values[1])) else None


def _rules() -> tuple[Rule, ...]:
    found: list[Rule] = []
    for names, why, opt_in in (
        (IDENTITY, "who built it, where and when", False),
        (TOOLS, "the tools that the build used", True),
    ):
        for section in ("main", "section[*]"):
            place = f"manifest/{section}/{{{_any_case(names)}}}"
            # The rule for the attribute takes it out, with all its lines; that for the value names what differs.
            found += [
                Rule(place, "jar-manifest-metadata", why, Drop(), opt_in=opt_in),
                Rule(place, "jar-manifest-metadata", why, Drop(), "one-sided", opt_in=opt_in),
                Rule(f"{place}/value", "jar-manifest-metadata", why, Drop(), opt_in=opt_in),
            ]
    return tuple(found)


RULES: tuple[Rule, ...] = (
    *_rules(),
    Rule(f"manifest/main/{{{_any_case(SETS)}}}/value", "jar-manifest-order", "a set that was written in the order of a hash table",
         Set(_arranged), claim=_same_set),
)  # fmt: skip
