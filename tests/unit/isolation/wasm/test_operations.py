"""The guest's operations as WebAssembly: the same results and the same errors as the guest's own have."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.isolation.wasm.driver import mounted

from cloister.clock import SystemClock
from cloister.errors import CloisterError, GuestError, InputError, LimitExceeded, ProviderUnavailable
from cloister.isolation.guest.link import require_size
from cloister.isolation.guest.operations import OPERATIONS, run_operation
from cloister.isolation.provider import GuestOperation, Mount
from cloister.isolation.wasm import operations
from cloister.isolation.wasm.engine import Engine
from cloister.isolation.wasm.modules import Modules
from cloister.isolation.wasm.room import Given, Workshop, in_room
from cloister.limits import ResourceLimits

LIMITS = ResourceLimits(value_bytes=2_000, file_bytes=300)
Make = Callable[[Path], None]
Case = tuple[str, dict[str, Any]]


@pytest.fixture(scope="session")
def workshop(engine: Engine) -> Workshop:
    return Workshop(engine=engine, modules=Modules(engine, None), clock=SystemClock())


def populate(place: Path) -> None:
    """Make what the cases are about."""
    (place / "tree" / "a" / "b").mkdir(parents=True)
    (place / "tree" / "a" / "b" / "leaf").write_text("leaf")
    (place / "tree" / "link").symlink_to("/etc")
    (place / "empty").mkdir()
    (place / "text").write_text("café\nsecond\r\nlast")
    (place / "text").chmod(0o640)
    (place / "binary").write_bytes(b"\xff\x00\xfe")
    (place / "large").write_text("x" * 2_001)
    (place / "limit").write_text("y" * 2_000)
    (place / "nothing").touch()
    (place / "link").symlink_to("text")
    (place / "broken").symlink_to("nowhere")
    (place / "circle").symlink_to("circle")
    os.mkfifo(place / "pipe")
    Path(os.fsdecode(os.fsencode(place) + b"/odd-\xff")).touch()


PATHS = ("text", "binary", "large", "limit", "nothing", "link", "broken", "circle", "pipe", "empty", "tree", "missing",
         "text/below", "tree/../text", "tree/a/b/leaf", "x" * 300)  # fmt: skip
NO_PIPES = tuple(path for path in PATHS if path != "pipe")
"""The guest's own would wait for somebody at the other end, until its sandbox is ended."""
SIMPLE = ("file_exists", "read_file", "read_file_base64", "list_directory")
CASES: list[Case] = [
    *[(name, {"path": path}) for name in SIMPLE for path in PATHS],
    *[("read_line", {"path": path, "offset_bytes": offset}) for path in NO_PIPES for offset in (0, 6)],
    *[("read_line", {"path": "text", "offset_bytes": offset}) for offset in (5, 14, 18, 99)],
    *[("append_line", {"path": path, "line": "more"}) for path in NO_PIPES],
    ("append_line", {"path": "text", "line": "two\nlines"}),
    ("append_line", {"path": "text", "line": "x" * 300}),
    *[("write_file", {"path": path, "content": "new ü"}) for path in PATHS],
    ("write_file", {"path": "text", "content": "x" * 301}),
    ("write_file", {"path": "text", "content": ""}),
    ("write_file_base64", {"path": "binary", "content": "/wD+"}),
    ("write_file_base64", {"path": "binary", "content": "no base64"}),
    *[("delete_file", {"path": path, "recursive": recursive}) for path in PATHS for recursive in (True, False)],
    *[
        ("make_directory", {"path": path, "recursive": recursive})
        for path in (*PATHS, "new/deep/er")
        for recursive in (True, False)
    ],
    ("list_directory", {"path": ""}),
]  # fmt: skip


def shape(place: Path) -> dict[str, object]:
    """Return everything below a directory: what it is, its content, its permission bits."""
    found: dict[str, object] = {}
    for path in sorted(place.rglob("*")):
        facts = path.lstat()
        content: object = None
        if stat.S_ISREG(facts.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(facts.st_mode):
            content = str(path.readlink())
        found[str(path.relative_to(place))] = (stat.filemode(facts.st_mode), content)
    return found


def outcome(act: Callable[[], Any], place: Path) -> object:
    """Return a result, or everything that an error says, without the name of the directory."""
    try:
        return repr(act()).replace(str(place), "PLACE")
    except CloisterError as error:
        return {name: repr(value).replace(str(place), "PLACE") for name, value in error.to_dict().items()}


def wasm(workshop: Workshop, given: Given, name: str, arguments: dict[str, Any]) -> Any:
    operation = GuestOperation(name=name, arguments=arguments)
    return in_room(workshop, given, lambda room: operations.run_operation(workshop, room, operation)).value


def as_the_guest(name: str, arguments: dict[str, Any]) -> Any:
    value = run_operation(name, arguments, LIMITS)
    require_size(value, LIMITS, f"the result of {name}")
    return value


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{list(case[1].values())}"[:60])
def test_results_errors_and_effects_are_the_guests(workshop: Workshop, tmp_path: Path, case: Case) -> None:
    name, given = case
    ours, theirs = tmp_path.resolve() / "ours", tmp_path.resolve() / "they"
    for place in (ours, theirs):
        place.mkdir()
        populate(place)
    there = {**given, "path": f"{theirs}/{given['path']}"}
    expected = outcome(lambda: as_the_guest(name, there), theirs)
    here = {**given, "path": f"{ours}/{given['path']}"}
    grants = Given(mounts=mounted(write=(ours,)), limits=LIMITS)
    assert outcome(lambda: wasm(workshop, grants, name, here), ours) == expected
    assert shape(ours) == shape(theirs)


def test_every_operation_but_that_of_the_self_test_is_there(workshop: Workshop) -> None:
    assert set(OPERATIONS) - set(operations._ACTS) == {"probe"}
    facts = {"read_path": "/x", "tcp": ["::1", 1], "udp": ["::1", 1], "abstract": "x", "host_pid": 1, "granted": "",
             "disk_bytes": 0, "inodes_count": 0}  # fmt: skip
    with pytest.raises(ProviderUnavailable) as caught:
        wasm(workshop, Given(), "probe", facts)
    assert caught.value.code == "provider.wasm-only"


def test_unknown_operations_and_arguments_are_refused(workshop: Workshop) -> None:
    for name, arguments in (("nothing", {}), ("read_file", {}), ("read_file", {"path": ""})):
        with pytest.raises(InputError):
            wasm(workshop, Given(), name, arguments)


def test_variables(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOISTER_TEST_SECRET", "of the host")
    given = Given(environment={"NAME": "va=lue", "EMPTY": ""})
    answers = [wasm(workshop, given, "get_environment", {"name": name}) for name in ("NAME", "EMPTY", "NAM", "PATH")]
    assert answers == ["va=lue", "", None, None]
    assert wasm(workshop, given, "get_environment", {"name": "CLOISTER_TEST_SECRET"}) is None


def test_nothing_is_seen_that_was_not_granted(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "granted").mkdir()
    place = tmp_path.resolve()
    granted = Given(mounts=mounted(place / "granted"))
    for path in (f"{place}/secret", f"{place}/granted/../secret", "/etc/passwd"):
        with pytest.raises(CloisterError) as caught:
            wasm(workshop, granted, "read_file", {"path": path})
        assert caught.value.details["errno"] == "ENOENT"
    assert wasm(workshop, Given(mounts=mounted(place)), "read_file", {"path": f"{place}/secret"}) == "secret"


def test_a_place_is_found_at_its_target(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    mount = Mount(source=str(tmp_path.resolve()), target="/data")
    given = Given(mounts=(mount,), working_directory="/data")
    assert wasm(workshop, given, "read_file", {"path": "/data/file"}) == "text"
    assert wasm(workshop, given, "read_file", {"path": "file"}) == "text"


def test_content_needs_memory(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "large").write_text("x" * 5_000_000)
    mounts = mounted(tmp_path.resolve())
    arguments = {"path": f"{tmp_path.resolve()}/large"}
    with pytest.raises(LimitExceeded) as caught:
        wasm(workshop, Given(mounts=mounts, limits=ResourceLimits(memory_bytes=2_000_000)), "read_file", arguments)
    assert caught.value.limit == "memory_bytes"
    assert len(wasm(workshop, Given(mounts=mounts), "read_file", arguments)) == 5_000_000


@pytest.mark.parametrize(("name", "more"), [("read_line", {"offset_bytes": 0}), ("append_line", {"line": "x"})])
def test_nobody_waits_for_the_other_end_of_a_pipe(
    workshop: Workshop, tmp_path: Path, name: str, more: dict[str, Any]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(GuestError) as caught:
        wasm(
            workshop,
            Given(mounts=mounted(write=(tmp_path.resolve(),))),
            name,
            {"path": f"{tmp_path.resolve()}/pipe", **more},
        )
    assert caught.value.kind == "IoError"


def test_a_large_directory_is_listed(workshop: Workshop, tmp_path: Path) -> None:
    for number in range(3_000):
        (tmp_path / f"a-rather-long-name-for-an-entry-{number:05}").touch()
    listed = wasm(
        workshop, Given(mounts=mounted(tmp_path.resolve())), "list_directory", {"path": str(tmp_path.resolve())}
    )
    assert len(listed) == 3_000
