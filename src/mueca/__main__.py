"""``python -m mueca``."""

import sys

from mueca.cli import main

sys.exit(main())
