"""What tells one program and one processor from another.

Owns digests and the description of the processor, on which a snapshot depends.

Source: proc_cpuinfo(5).
"""

from __future__ import annotations

import hashlib
from pathlib import Path


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def processor() -> str:
    """Return what the host's kernel says of the first processor that does not change while it runs."""
    wanted = {"vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "CPU part"}
    first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    return "\n".join(line for line in first.splitlines() if line.partition(":")[0].strip() in wanted)
