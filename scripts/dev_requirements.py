"""Print a dependency group of pyproject.toml (`dev` if none is named), one requirement a line, for any pip."""

import sys
import tomllib
from pathlib import Path

group = sys.argv[1] if len(sys.argv) > 1 else "dev"
project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
sys.stdout.write("\n".join(project["dependency-groups"][group]) + "\n")
