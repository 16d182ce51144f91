import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def machine_home():
    return Path(os.environ["KEEP_HOME"])
