"""`python -m eitheror` is the command `eitheror`."""

import sys

from eitheror.cli import main

__all__: list[str] = []

sys.exit(main())
