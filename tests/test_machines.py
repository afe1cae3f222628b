"""Code of machines other than x86: what moved follows, and a change of one instruction among it stands out."""

import random

import pytest
from elftools.elf.elffile import ELFFile
from test_executables import causes, changed, hit, report, sides, unexplained

MACHINES = ("aarch64", "riscv64", "arm", "ppc64el", "s390x")
# Pairs in which the constants that the code refers to moved, and one in which only debug information did.
MOVED = [f"elf/file-macro-{machine}{form}-longer" for machine in MACHINES for form in ("", "-static")]
CASES = [*MOVED, *(f"elf/path-{machine}-longer" for machine in MACHINES), "elf/link-order-aarch64"]
# Masks of the instructions of each machine, in words of so many bytes: registers and operation; the rest is immediate.
WORD = {"aarch64": 4, "riscv64": 2, "arm": 2, "ppc64el": 4, "s390x": 2}
REGISTERS = {"aarch64": 0x001F03FF, "riscv64": 0x0F80, "arm": 0x0707, "ppc64el": 0x03FF0000, "s390x": 0xF000}
OPERATION = {"aarch64": 0xFFC00000, "riscv64": 0x007F, "arm": 0xF800, "ppc64el": 0xFC000000, "s390x": 0x00FF}


def machine_of(case):
    return next(machine for machine in MACHINES if f"-{machine}-" in f"{case}-")


def functions(data_path):
    """(name, file offset, size) of the functions of a file, without the bit that tells Thumb code."""
    with data_path.open("rb") as file:
        elf = ELFFile(file)
        code = elf.get_section_by_name(".text")
        odd = 1 if elf["e_machine"] == "EM_ARM" else 0
        return [
            (symbol.name, code["sh_offset"] + (symbol["st_value"] & ~odd) - code["sh_addr"], symbol["st_size"])
            for symbol in elf.get_section_by_name(".symtab").iter_symbols()
            if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_size"]
        ]


def edits(case, count):
    """(what, start, new bytes) of changes to single instructions of the right side."""
    machine = machine_of(case)
    path = sides(case)[1]
    data, rng = path.read_bytes(), random.Random(case)
    places = functions(path)
    width = WORD[machine]
    masks = {
        "register": REGISTERS[machine],
        "operation": OPERATION[machine],
        "immediate": ((1 << 8 * width) - 1) & ~(REGISTERS[machine] | OPERATION[machine]),
    }
    found = set()
    while len(found) < count:
        name, start, size = rng.choice(places)
        at = start + rng.randrange(size // width) * width
        word = int.from_bytes(data[at : at + width], "little")
        kind = rng.choice([*masks, "more", "less"])
        if kind in masks:
            bits = [bit for bit in range(8 * width) if masks[kind] >> bit & 1]
            word ^= 1 << rng.choice(bits)
        else:
            # The next number in the field: another place for a displacement.
            low = rng.choice([bit for bit in range(8 * width) if masks["immediate"] >> bit & 1])
            word += (1 << low) * (1 if kind == "more" else -1)
        new = (word % (1 << 8 * width)).to_bytes(width, "little")
        if new != data[at : at + width]:
            found.add((f"{kind} in {name}+{at - start:#x}", at, new))
    return sorted(found)


@pytest.mark.parametrize("case", CASES)
def test_instructions(case):
    """A register, an operation, an immediate, a branch's target: none is explained by what moved."""
    left, right = (path.read_bytes() for path in sides(case))
    assert unexplained(report(left, right)) == []
    missed = []
    for what, at, new in edits(case, 60):
        found = report(left, right[:at] + new + right[at + len(new) :])
        start = next(i for i in range(len(new)) if new[i] != right[at + i])
        spans = [item["spans"][1] for item in found["unexplained"]]
        if not any(span and span[0] < at + len(new) and at + start < span[1] for span in spans):
            missed.append(f"{what}: {found['verdict']} {sorted(causes(found))} {spans}")
    assert missed == []


@pytest.mark.parametrize("case", CASES)
def test_all_kinds(case):
    """Constants, strings, symbols, relocations and flags, as on x86."""
    left, right = sides(case)
    good = left.read_bytes()
    some = changed(right, 50, seed=3)
    assert len(some) >= 50
    missed = []
    for mutation in some:
        found = report(good, mutation.data)
        if mutation.data != good and (found["verdict"] != "unexplained" or not hit(found, mutation)):
            missed.append(f"{found['verdict']} {sorted(causes(found))}: {mutation}")
    assert missed == []


@pytest.mark.parametrize("case", MOVED)
def test_instructions_that_point_where_they_did(case):
    """Each word of code that moved, with the left side's bytes: alone it is of no use, and it points elsewhere."""
    left, right = (path.read_bytes() for path in sides(case))
    ones, twos = ({name: (start, size) for name, start, size in functions(path)} for path in sides(case))
    width = WORD[machine_of(case)]
    tried = 0
    for name, (one, size) in ones.items():
        two, other = twos[name]
        assert size == other
        for at in range(0, size, width):
            old = left[one + at : one + at + width]
            if old != right[two + at : two + at + width]:
                stale = right[: two + at] + old + right[two + at + width :]
                assert report(left, stale)["verdict"] != "explained", f"{name}+{at:#x}"
                tried += 1
    assert tried


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_random_damage(case):
    """Anything may be lost, but not in silence: no traceback, no hang, never identical."""
    rng = random.Random(case)
    left, right = (path.read_bytes() for path in sides(case))
    for _ in range(100):
        data = bytearray(rng.choice((left, right)))
        for _ in range(rng.choice((1, 2, 10, 100))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if bytes(data) != left:
            assert report(left, bytes(data))["verdict"] != "identical"
