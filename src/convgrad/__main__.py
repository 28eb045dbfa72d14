"""`python -m convgrad` is the command `convgrad`."""

import sys

from .cli import main

sys.exit(main())
