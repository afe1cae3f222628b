"""`python -m reprodiff`."""

import sys

from reprodiff.cli import main

sys.exit(main())
