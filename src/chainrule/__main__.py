"""`python -m chainrule`: the command line, where its script is not on the PATH."""

import sys

from chainrule.cli.main import main

sys.exit(main())
