"""`python -m fetal_jax`: the command line, if the script `fetal-jax` is not on the path."""

import sys

from fetal_jax.cli.main import main

sys.exit(main())
