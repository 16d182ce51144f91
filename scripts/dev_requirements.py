"""Print the `dev` dependency group of pyproject.toml, one requirement a line, for a pip of any age."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
sys.stdout.write("\n".join(project["dependency-groups"]["dev"]) + "\n")
