"""`python -m normalizers PATH...` is `reprodiff normalize PATH...`."""

import sys

from reprodiff.cli import main

sys.exit(main(["normalize", *sys.argv[1:]]))
