"""What Cloud Hypervisor is told of a machine: pure functions.

Owns the names of endpoints and fields, and the changes a saved configuration needs to be restored in another place.
There is never a network device.

Source: Cloud Hypervisor 53, its API description (version 0.3.0), docs/api.md, docs/snapshot_restore.md; read 2026-11.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cloister.isolation.microvm.vmm import AGENT_PORT, RateLimit
from cloister.limits import MIB

API: Final = "api"
VSOCK: Final = "vsock"
SNAPSHOT: Final = "snapshot"
SAVED: Final = "saved"
_JSON: Final = ".json"
CONFIG_FILE: Final = f"config{_JSON}"
"""Cloud Hypervisor's own names of what it saves, and of what it loads."""
STATE_FILE: Final = f"state{_JSON}"
