"""What is made in advance for an agent: the same each time, and used as if it had been made then, or not at all."""

import marshal
import subprocess
import sys
from pathlib import Path

import pytest

from cloister.errors import ProviderError
from cloister.isolation.microvm.guest.prepared import LENGTH_BYTES
from cloister.isolation.microvm.image import agent
from cloister.isolation.microvm.image.bytecode import compiled
from cloister.isolation.microvm.image.preparing import prepared

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
ENTRY = "cloister.entry"
SOURCES = {
    "cloister/__init__.py": b'"""A package."""\n',
    "cloister/isolation/__init__.py": b"",
    "cloister/isolation/microvm/__init__.py": b"",
    "cloister/isolation/microvm/guest/__init__.py": b"",
    "cloister/entry.py": b'''
"""An agent."""
import re
from dataclasses import dataclass
PATTERN = re.compile(r"(?P<word>\\w+) (\\d+)", re.IGNORECASE)
@dataclass(frozen=True, slots=True)
class Point:
    """Has coordinates."""
    x: int
    y: int = 2
''',
}
USE = """
import sys
sys.path.insert(0, sys.argv[1])
from cloister.isolation.microvm.guest import prepared
prepared.use(sys.argv[2])
import cloister.entry as entry
prepared.finish()
import dataclasses, re
assert entry.Point(1) == entry.Point(1, 2) and hash(entry.Point(1)) and repr(entry.Point(3)) == "Point(x=3, y=2)"
try:
    entry.Point(1).x = 5
except dataclasses.FrozenInstanceError:
    pass
else:
    raise AssertionError("it is not frozen")
found = entry.PATTERN.match("Word 12")
assert (found["word"], found[2], entry.PATTERN.flags & re.IGNORECASE) == ("Word", "12", re.IGNORECASE)
other = dataclasses.make_dataclass("Other", ["a"], namespace={"__doc__": "Has one."})
assert other(1).a == 1 and re.compile("b+").match("bb")
import inspect
assert inspect.signature(other)
for name in prepared.DISPENSABLE:
    try:
        __import__(name)
    except ImportError:
        assert type(entry.__loader__).__name__ == "Finder", "without the file nothing is missing"
    else:
        assert type(entry.__loader__).__name__ != "Finder", "with the file it is not there"
import hashlib, shutil, tarfile
assert hashlib.sha256(b"").hexdigest().startswith("e3b0c442")
print(type(entry.__loader__).__name__, entry.__file__)
"""


def guest_of(sources: dict[str, bytes]) -> dict[str, bytes]:
    whole = agent.guest_set()
    path = "cloister/isolation/microvm/guest/prepared.py"
    return sources | {path: whole[path]}


def made(sources: dict[str, bytes]) -> bytes:
    done = compiled([(f"/cloister/{path}", text) for path, text in sources.items()], PYTHON)
    files = {path: (f"/cloister/{path}", code) for path, code in zip(sources, done.files, strict=True)}
    return prepared(sources, ENTRY, PYTHON, files.get)  # type: ignore[return-value, arg-type]


def used(sources: dict[str, bytes], file: bytes | None, place: Path) -> str:
    for path, source in sources.items():
        target = place / "agent" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source)
    if file is not None:
        (place / "prepared").write_bytes(file)
    command = [sys.executable, "-I", "-S", "-E", "-c", USE, str(place / "agent"), str(place / "prepared")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_equal_agents_give_equal_files() -> None:
    sources = guest_of(SOURCES)
    assert made(sources) == made(sources)
    assert made(sources | {"cloister/entry.py": b"X = 1\n"}) != made(sources)


def test_what_was_made_is_used_and_is_what_python_would_make(tmp_path) -> None:
    sources = guest_of(SOURCES)
    assert used(sources, made(sources), tmp_path) == "Finder /cloister/cloister/entry.py"


def test_what_another_python_made_is_not_used(tmp_path) -> None:
    sources = guest_of(SOURCES)
    file = made(sources)
    length = int.from_bytes(file[:LENGTH_BYTES], "big")
    tag, *rest = marshal.loads(file[LENGTH_BYTES : LENGTH_BYTES + length])
    head = marshal.dumps((["cpython-399", *tag[1:]], *rest), 2)
    other = len(head).to_bytes(LENGTH_BYTES, "big") + head + file[LENGTH_BYTES + length :]
    assert used(sources, other, tmp_path) == f"SourceFileLoader {tmp_path}/agent/cloister/entry.py"


def test_without_the_file_python_makes_it_itself(tmp_path) -> None:
    assert used(guest_of(SOURCES), None, tmp_path) == f"SourceFileLoader {tmp_path}/agent/cloister/entry.py"


def test_an_agent_that_cannot_be_loaded_is_no_image() -> None:
    with pytest.raises(ProviderError, match="a defect") as caught:
        made(guest_of(SOURCES | {"cloister/entry.py": b"raise RuntimeError('a defect')\n"}))
    assert caught.value.code == "provider.image-build"


def test_all_that_an_agent_loads_is_in_the_file() -> None:
    whole = agent.guest_set()
    done = compiled([(f"/{path}", text) for path, text in whole.items()], PYTHON)
    files = {path: (f"/{path}", code) for path, code in zip(whole, done.files, strict=True)}
    file = prepared(whole, agent.ENTRY, PYTHON, files.get)  # type: ignore[return-value, arg-type]
    length = int.from_bytes(file[:LENGTH_BYTES], "big")
    _, modules, methods, patterns = marshal.loads(file[LENGTH_BYTES : LENGTH_BYTES + length])
    assert {agent.ENTRY, "cloister.lang.program", "cloister.isolation.guest.main"} <= set(modules)
    assert len(methods) > 100
    assert len(patterns) > 10
