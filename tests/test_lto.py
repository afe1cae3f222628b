"""Objects for link-time optimization: texts and their lengths follow a path, and a change of anything else stands out."""

import random
import shutil
import subprocess
import zlib

import pytest
from elftools.elf.elffile import ELFFile
from test_executables import causes, report, sides, unexplained

zstandard = pytest.importorskip("zstandard")
needs_objcopy = pytest.mark.skipif(not shutil.which("objcopy"), reason="needs objcopy")
CASE = "elf/lto-path-same"


def decoded(path):
    """The compressed sections of an object, decoded, by name."""
    with path.open("rb") as file:
        found = {each.name: each.data() for each in ELFFile(file).iter_sections() if each.name.startswith(".gnu.lto_")}
    return {
        name: zstandard.ZstdDecompressor().decompressobj().decompress(data)
        for name, data in found.items()
        if data[:4] == b"\x28\xb5\x2f\xfd"
    }


def replaced(path, folder, name, data):
    """The object with another content of a section."""
    section, made = folder / "section", folder / "changed.o"
    section.write_bytes(data)
    subprocess.run(["objcopy", "--update-section", f"{name}={section}", str(path), str(made)], check=True)
    return made.read_bytes()


@needs_objcopy
@pytest.mark.parametrize(
    "pack", [zlib.compress, lambda data: zstandard.ZstdCompressor().compress(data)], ids=["zlib", "zstd"]
)
def test_another_byte(tmp_path, pack):
    """One byte of a decoded section beside the path: unexplained, or suspected where it may be a digest."""
    left, right = sides(CASE)
    good = left.read_bytes()
    rng = random.Random(CASE)
    contents = decoded(right)
    assert len(contents) > 5
    digests = 0
    for name in sorted(contents):
        data = contents[name]
        for at in rng.sample(range(len(data)), min(12, len(data))):
            changed = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
            found = report(good, replaced(right, tmp_path, name, pack(changed)))
            own = [path for path in unexplained(found) if name in path]
            if not own:
                assert found["verdict"] == "suspected", (name, at)
                assert name.startswith((".gnu.lto_.decls.", ".gnu.lto_.icf.")), (name, at)
                digests += 1
    assert digests < 8


@needs_objcopy
def test_the_same_compressed_otherwise(tmp_path):
    """No content differs, and what compressed it is no cause that is known."""
    _left, right = sides(CASE)
    contents = decoded(right)
    name = max(contents, key=lambda each: len(contents[each]))
    same = replaced(right, tmp_path, name, zstandard.ZstdCompressor().compress(contents[name]))
    found = report(same, replaced(right, tmp_path, name, zlib.compress(contents[name])))
    assert causes(found) == set()


@pytest.mark.parametrize("other", [b"\x28\xb5\x2f\xfd", b"\x78\x9c", b""])
def test_damage(other):
    """A section that only begins as if it were compressed is compared as bytes."""
    left, right = sides(CASE)
    data = right.read_bytes()
    with right.open("rb") as file:
        section = next(each for each in ELFFile(file).iter_sections() if ".lto_.jmpfuncs" in each.name)
        start, size = section["sh_offset"], section["sh_size"]
    broken = other + bytes(range(size - len(other)))
    found = report(left.read_bytes(), data[:start] + broken + data[start + size :])
    assert any(".gnu.lto_.jmpfuncs" in path for path in unexplained(found))
