"""The version of the package.

Owns the one number; `pyproject.toml` reads it from here.
"""

from typing import Final

VERSION: Final = "0.1.0"
