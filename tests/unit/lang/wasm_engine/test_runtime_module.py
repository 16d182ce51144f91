"""The runtime support is made once, whoever asks for it."""

from __future__ import annotations

import subprocess
import sys

_AT_ONCE = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from cloister.lang.wasm_engine.runtime_module import runtime_support

ready = Barrier(8)

def ask(_):
    ready.wait()
    return runtime_support()

with ThreadPoolExecutor(8) as pool:
    made = list(pool.map(ask, range(8)))
print(len({id(each) for each in made}), len(made[0].signatures) > 500)
"""


def test_threads_that_ask_at_once_get_one_and_the_same() -> None:
    done = subprocess.run([sys.executable, "-c", _AT_ONCE], capture_output=True, text=True, timeout=90, check=False)
    assert (done.stdout, done.stderr) == ("1 True\n", "")
