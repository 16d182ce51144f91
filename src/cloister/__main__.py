"""`python -m cloister`: the command `cloister`, for where its script is not on the PATH."""

from __future__ import annotations

from cloister.cli.main import main

main()
