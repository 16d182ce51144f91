"""What machines of one image are booted from, measured and sealed.

Owns the joining of image and capability store into boot parts.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.errors import ConfigError, quoted
from cloister.isolation.microvm.image.store import LoadedImage
from cloister.isolation.microvm.vmm import BootParts, Drive, RateLimit

CAPABILITIES: Final = "capabilities"
ROOTFS: Final = "rootfs"
