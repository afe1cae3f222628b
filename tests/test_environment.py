"""What `normalize` writes depends on the file and the options, not on where and by whom it is run."""

import os
import shutil
import subprocess
import sys

import pytest

from fixtures import FIXTURES

CASES = [
    "gzip/mtime",
    "tar/mixed",
    "targz/mixed",
    "zip/timezone",
    "jar/nested",
    "ar/order",
    "cpio/order",
    "tarxz/mtime",
]
ENVIRONMENTS = [
    {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "0"},
    {"TZ": "Asia/Kathmandu", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1", "USER": "somebody", "HOME": "/nonexistent"},
    {"TZ": "America/St_Johns", "LC_ALL": "POSIX", "PYTHONHASHSEED": "4242"},
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("mode", ["clamp", "unify"])
def test_the_bytes_are_the_same_everywhere(case, mode, tmp_path):
    (original,) = (FIXTURES / case / "left").iterdir()
    seen = set()
    for number, variables in enumerate(ENVIRONMENTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        copy = folder / original.name
        shutil.copy(original, copy)
        os.utime(copy, (number * 10**8, number * 10**8))
        command = [sys.executable, "-m", "reprodiff", "normalize", "--mode", mode, "--epoch", "1600000000"]
        subprocess.run(
            [*command, "--output", folder / "new", copy],
            env={**os.environ, **variables},
            umask=[0o022, 0o077, 0o002][number],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        seen.add((folder / "new").read_bytes())
    assert len(seen) == 1
