"""What tests of several kinds share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from cloister.clock import SystemClock
from cloister.isolation.microvm.image.building import BuildOrder, build, home_signer
from cloister.isolation.microvm.image.store import ImageStore

# Of every test, the properties in tests/property included: a failure is the fault of the change at hand
settings.register_profile("the same examples every time", derandomize=True, database=None)
settings.load_profile("the same examples every time")


@pytest.fixture(scope="session")
def vm_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the image `base`, built once for all tests; they must not change it."""
    home = tmp_path_factory.mktemp("vm") / "home"
    build(ImageStore(home), BuildOrder(), home_signer(home, SystemClock()))
    return home


@pytest.fixture(scope="session")
def machine_home(vm_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the image `base` that runs may use, and with the snapshots that they leave."""
    home = tmp_path_factory.mktemp("machines") / "home"
    shutil.copytree(vm_home, home)
    return home
