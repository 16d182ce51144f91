"""Threat: a component reads or changes files that were not granted, or keeps hold of one that it has closed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.security.components import CODES, component
from tests.security.webassembly import WasmBench, granted_beside_secret

from cloister.errors import InputError, LimitExceeded
from cloister.limits import ResourceLimits

USED = (
    "get_arguments", "directories", "open_at", "read_via", "write_via", "append_via", "read", "read_at", "write",
    "get_stdout", "exit_with_code", "unlink", "symlink", "rename", "read_directory", "next_entry", "drop_descriptor",
    "drop_listing",
)  # fmt: skip
EACH_DIRECTORY = """
  (call $get_arguments (i32.const 0)) (call $directories (i32.const 16)) (local.set $a (i32.load (i32.const 16)))
  (loop $next
    (if (local.get $b) (then (local.set $a (i32.add (local.get $a) (i32.const 12)))))
    (if (i32.lt_u (local.get $b) (i32.load (i32.const 20))) (then
      (local.set $b (i32.add (local.get $b) (i32.const 1)))
      ACT
      (if (i32.eqz (i32.load8_u (i32.const 200))) (then (call $exit_with_code (i32.const 0))))
      (if (i32.eqz (local.get $c)) (then (local.set $c (i32.add (i32.load8_u (i32.const 204)) (i32.const 1)))))
      (br $next))))
  (call $exit_with_code (local.get $c))"""
PATH = "(i32.load offset=8 (i32.load (i32.const 0))) (i32.load offset=12 (i32.load (i32.const 0)))"
OTHER = "(i32.load offset=16 (i32.load (i32.const 0))) (i32.load offset=20 (i32.load (i32.const 0)))"
OPEN = (
    f"(call $open_at (i32.load (local.get $a)) (i32.const 1) {PATH} (i32.const HOW) (i32.const FLAGS) (i32.const 200))"
)
SUCCEEDED = "(if (i32.eqz (i32.load8_u (i32.const 200))) (then {}))"
SHOW = """(call $read_via (i32.load (i32.const 204)) (i64.const 0) (i32.const 208))
  (call $read (i32.load (i32.const 212)) (i64.const 65536) (i32.const 216))
  (if (i32.eqz (i32.load8_u (i32.const 216))) (then
    (call $write (call $get_stdout) (i32.load (i32.const 220)) (i32.load (i32.const 224)) (i32.const 232))))"""
PUT = """(call $WAY (i32.load (i32.const 204)) OFFSET (i32.const 208))
  (call $write (i32.load (i32.const 212)) (i32.const 600) (i32.const 3) (i32.const 232))"""


def program(act: str) -> str:
    """Return a component that does something in each directory it has, and ends with 0 or the first error after 1."""
    return component(EACH_DIRECTORY.replace("ACT", act), *USED, data='(data (i32.const 600) "new")')


def opening(how: int, flags: int, then: str = "") -> str:
    return program(OPEN.replace("HOW", str(how)).replace("FLAGS", str(flags)) + SUCCEEDED.format(then))


READS = opening(0, 1, SHOW)
WRITES = opening(1, 2, PUT.replace("WAY", "write_via").replace("OFFSET", "(i64.const 0)"))
APPENDS = opening(0, 2, PUT.replace("WAY", "append_via").replace("OFFSET", ""))
HERE = "(i32.load (local.get $a))"
ANSWERED = """(i32.store8 (i32.const 200) (i32.load8_u (i32.const 204)))
  (i32.store8 (i32.const 204) (i32.load8_u (i32.const 205)))"""
UNLINKS = program(f"(call $unlink {HERE} {PATH} (i32.const 204)) {ANSWERED}")
LINKS = program(f"(call $symlink {HERE} {PATH} {OTHER} (i32.const 204)) {ANSWERED}")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    root = tmp_path.resolve()
    granted_beside_secret(root)
    (root / "granted" / "link").symlink_to("../granted-not/secret")
    (root / "granted" / "absolute").symlink_to(root / "granted-not" / "secret")
    (root / "granted" / "inner" / "up").symlink_to("../..")
    os.mkfifo(root / "granted" / "pipe")
    return root


@pytest.mark.parametrize(
    "path",
    [
        "../granted-not/secret",
        "inner/../../granted-not/secret",
        "inner/../../../../../../../../etc/passwd",
        "/etc/passwd",
        "link",
        "absolute",
        "inner/up/granted-not/secret",
        "missing",
        "",
        "pipe",
        "file/",
    ],
)
def test_no_way_leads_out(wasm: WasmBench, place: Path, path: str) -> None:
    done = wasm.command(READS, path, read=(place / "granted",))
    assert done.exit_status > 0
    assert done.stdout == b""
    twin = wasm.command(READS, "inner/../file", read=(place / "granted",))
    assert (twin.exit_status, twin.stdout) == (0, b"granted")


def test_a_granted_file_is_all_of_its_directory(wasm: WasmBench, place: Path) -> None:
    assert wasm.command(READS, "file", read=(place / "granted" / "file",)).stdout == b"granted"
    refused = wasm.command(READS, "inner/deep", read=(place / "granted" / "file",))
    assert CODES[refused.exit_status - 1] == "no-entry"


@pytest.mark.parametrize("source", [WRITES, APPENDS, UNLINKS])
def test_reading_is_not_writing(wasm: WasmBench, place: Path, source: str) -> None:
    refused = wasm.command(source, "file", read=(place / "granted",))
    assert CODES[refused.exit_status - 1] in {"read-only", "no-entry"}  # another directory has no such file
    assert (place / "granted" / "file").read_text() == "granted"
    assert wasm.command(source, "file", write=(place / "granted",)).exit_status == 0
    expected = {WRITES: "newnted", APPENDS: "grantednew"}.get(source)
    assert (place / "granted" / "file").exists() is (expected is not None)
    assert expected is None or (place / "granted" / "file").read_text() == expected


def test_what_is_opened_for_one_thing_does_not_do_the_other(wasm: WasmBench, place: Path) -> None:
    shown = opening(0, 2, SHOW)  # opened for writing, and read
    written = opening(0, 1, PUT.replace("WAY", "write_via").replace("OFFSET", "(i64.const 0)"))
    assert wasm.command(READS, "file", write=(place / "granted",)).stdout == b"granted"
    for source in (shown, written):
        with pytest.raises(Exception, match="handle"):  # there is no stream to go on with
            wasm.command(source, "file", write=(place / "granted",))
    assert (place / "granted" / "file").read_text() == "granted"


def test_links_lead_nowhere_else(wasm: WasmBench, place: Path) -> None:
    assert wasm.command(LINKS, "/etc/passwd", "new", write=(place / "granted",)).exit_status > 0
    assert not (place / "granted" / "new").is_symlink()
    assert wasm.command(LINKS, "file", "new", write=(place / "granted",)).exit_status == 0
    assert wasm.command(READS, "new", read=(place / "granted",)).stdout == b"granted"


def test_what_is_written_has_its_limit(wasm: WasmBench, place: Path) -> None:
    for limits in (ResourceLimits(file_bytes=2), ResourceLimits(io_bytes=2)):
        with pytest.raises(LimitExceeded) as caught:
            wasm.command(WRITES, "file", write=(place / "granted",), limits=limits)
        assert caught.value.code in {"limit.file", "limit.io"}
        assert (place / "granted" / "file").read_text() == "granted"
    wide = ResourceLimits(file_bytes=3, io_bytes=10_000)
    assert wasm.command(WRITES, "file", write=(place / "granted",), limits=wide).exit_status == 0


@pytest.mark.parametrize(
    ("wanted", "offset"), [("(i64.const -1)", "(i64.const 0)"), ("(i64.const 7)", "(i64.const 0x7fffffffffffffff)"),
                           ("(i64.const 7)", "(i64.const -1)")]
)  # fmt: skip
def test_reading_far_more_than_there_is(wasm: WasmBench, place: Path, wanted: str, offset: str) -> None:
    act = f"""(call $read_at (i32.load (i32.const 204)) {wanted} {offset} (i32.const 216))
      (if (i32.eqz (i32.load8_u (i32.const 216))) (then
        (call $write (call $get_stdout) (i32.load (i32.const 220)) (i32.load (i32.const 224)) (i32.const 240))))"""
    done = wasm.command(opening(0, 1, act), "file", read=(place / "granted",))
    assert (done.exit_status, done.stdout) == (0, b"granted" if offset == "(i64.const 0)" else b"")


def test_a_stream_of_a_closed_file_reads_no_other(wasm: WasmBench, place: Path) -> None:
    """The kernel gives the number of a closed file to the next one that is opened."""
    again = OPEN.replace("HOW", "0").replace("FLAGS", "1").replace("200", "260")
    act = f"""(call $read_via (i32.load (i32.const 204)) (i64.const 0) (i32.const 208))
      (call $drop_descriptor (i32.load (i32.const 204))) {again}
      (if (i32.load8_u (i32.const 260)) (then unreachable))
      (call $read (i32.load (i32.const 212)) (i64.const 65536) (i32.const 216))
      (call $exit_with_code (i32.add (i32.const 50) (i32.load8_u (i32.const 216))))"""
    assert wasm.command(opening(0, 1, act), "file", read=(place / "granted",)).exit_status == 51
    kept = act.replace("(call $drop_descriptor (i32.load (i32.const 204)))", "")
    assert wasm.command(opening(0, 1, kept), "file", read=(place / "granted",)).exit_status == 50


def test_open_files_have_their_limit(wasm: WasmBench, place: Path) -> None:
    again = OPEN.replace("HOW", "0").replace("FLAGS", "1")
    act = f"""(loop $l {again} (local.set $e (i32.add (local.get $e) (i32.const 1)))
      (br_if $l (i32.and (i32.eqz (i32.load8_u (i32.const 200))) (i32.lt_u (local.get $e) (i32.const TIMES)))))
      (call $exit_with_code (select (i32.add (i32.const 1) (i32.load8_u (i32.const 204))) (i32.const 0)
        (i32.load8_u (i32.const 200))))"""
    few, source = ResourceLimits(open_files_count=20), opening(0, 1, act)
    done = wasm.command(source.replace("TIMES", "100"), "file", read=(place / "granted",), limits=few)
    assert CODES[done.exit_status - 1] == "insufficient-memory"  # WASI 0.2 has no code for too many
    assert wasm.command(source.replace("TIMES", "5"), "file", read=(place / "granted",), limits=few).exit_status == 0


LISTS = opening(
    2,
    1,
    """(call $read_directory (i32.load (i32.const 204)) (i32.const 208))
    (loop $more
      (call $next_entry (i32.load (i32.const 212)) (i32.const 216))
      (if (i32.load8_u (i32.const 216)) (then (call $exit_with_code (i32.const 99))))
      (if (i32.load8_u (i32.const 220)) (then
        (call $write (call $get_stdout) (i32.load (i32.const 228)) (i32.load (i32.const 232)) (i32.const 240))
        (call $write (call $get_stdout) (i32.const 600) (i32.const 1) (i32.const 240))
        (br $more))))""",
)


def test_a_listing_shows_what_was_granted(wasm: WasmBench, place: Path) -> None:
    done = wasm.command(LISTS, "inner", read=(place / "granted",))
    assert sorted(done.stdout.decode().split("n")) == ["", "deep", "up"]
    top = place.relative_to("/").parts[0]
    assert wasm.command(LISTS, "..", read=(place / "granted",)).stdout.decode() == f"{top}n"  # nothing is above the top
    (place / "granted" / "inner" / "\udcff").touch()
    assert wasm.command(LISTS, "inner", read=(place / "granted",)).exit_status == 99  # no text is that name


def test_listings_have_their_bounds(wasm: WasmBench, place: Path) -> None:
    act = """(loop $more (call $read_directory (i32.load (i32.const 204)) (i32.const 208)) DROP
      (local.set $e (i32.add (local.get $e) (i32.const 1)))
      (br_if $more (i32.and (i32.eqz (i32.load8_u (i32.const 208))) (i32.lt_u (local.get $e) (i32.const 200)))))
      (call $exit_with_code (local.get $e))"""
    source, granted = opening(2, 1, act), (place / "granted",)
    kept, dropped = (
        source.replace("DROP", ""),
        source.replace("DROP", "(call $drop_listing (i32.load (i32.const 212)))"),
    )
    few = ResourceLimits(open_files_count=30)
    assert 10 < wasm.command(kept, "inner", read=granted, limits=few).exit_status < 30
    assert wasm.command(dropped, "inner", read=granted, limits=few).exit_status == 200
    short = ResourceLimits(value_bytes=1_000)
    with pytest.raises(LimitExceeded) as caught:
        wasm.command(kept, "inner", read=granted, limits=short)
    assert caught.value.details["limit"] == "value_bytes"
    assert wasm.command(dropped, "inner", read=granted, limits=short).exit_status == 200


def test_a_directory_whose_name_is_no_text_is_told_and_not_raised_as_it_comes(wasm: WasmBench, tmp_path: Path) -> None:
    directory = tmp_path.resolve() / os.fsdecode(b"d\xff")
    directory.mkdir()
    asks = component("(call $directories (i32.const 16))", "directories")
    with pytest.raises(InputError) as caught:
        wasm.command(asks, read=(directory,))
    assert caught.value.code == "input.argv"
    assert wasm.command(asks, read=(tmp_path.resolve(),)).exit_status == 0
    assert wasm.command(component(""), read=(directory,)).exit_status == 0
