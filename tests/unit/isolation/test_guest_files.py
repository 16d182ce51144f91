"""The guest's operations on files and directories, on real files."""

import base64
import os
import resource
import sys
from pathlib import Path
from typing import Any

import pytest

from cloister.errors import GuestError, InputError, LimitExceeded
from cloister.isolation.guest.operations import OPERATIONS, run_operation
from cloister.limits import ResourceLimits

LIMITS = ResourceLimits(value_bytes=10_000, file_bytes=2_000)


def run(name: str, /, **arguments: object) -> Any:
    return run_operation(
        name, {key: str(each) if isinstance(each, Path) else each for key, each in arguments.items()}, LIMITS
    )


def refused(name: str, code: str = "guest.io", /, **arguments: object) -> GuestError:
    with pytest.raises(GuestError) as caught:
        run(name, **arguments)
    assert caught.value.code == code
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize("text", ["", "café\r\nline\n", "\x00\x1b 😀"])
def test_text_is_written_and_read_unchanged(tmp_path: Path, text: str) -> None:
    path = tmp_path / "new.txt"
    assert run("write_file", path=path, content=text) == {"bytes": len(text.encode())}
    assert path.read_bytes() == text.encode()
    assert run("read_file", path=path) == text


def test_bytes_are_written_and_read_as_base64(tmp_path: Path) -> None:
    path = tmp_path / "new.bin"
    content = bytes(range(256))
    run("write_file_base64", path=path, content=base64.b64encode(content).decode())
    assert path.read_bytes() == content
    assert base64.b64decode(run("read_file_base64", path=path)) == content


def test_content_that_is_not_base64_writes_nothing(tmp_path: Path) -> None:
    for wrong in ("a", "####", "YQ==\n", "é"):
        error = refused("write_file_base64", "guest.encoding", path=tmp_path / "new", content=wrong)
        assert error.kind == "InvalidArgument"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_text_names_the_byte_and_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "latin"
    path.write_bytes(b"caf\xe9")
    error = refused("read_file", "guest.encoding", path=path)
    assert error.kind == "IoError"
    assert error.details["offset"] == 3
    assert "read-file-base64" in str(error.hint)
    assert run("read_file_base64", path=path) == "Y2Fm6Q=="


def test_reading_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * LIMITS.value_bytes)
    assert len(run("read_file", path=path)) == LIMITS.value_bytes
    path.write_bytes(b"x" * (LIMITS.value_bytes + 1))
    for name in ("read_file", "read_file_base64"):
        with pytest.raises(LimitExceeded) as caught:
            run(name, path=path)
        assert (caught.value.limit, caught.value.used) == ("value_bytes", LIMITS.value_bytes + 1)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a kernel file that claims to be empty")
def test_reading_is_bounded_where_the_size_is_a_lie() -> None:
    with pytest.raises(LimitExceeded) as caught:
        run_operation("read_file", {"path": "/proc/self/maps"}, ResourceLimits(value_bytes=100))
    assert caught.value.limit == "value_bytes"
    assert run_operation("read_file", {"path": "/proc/self/comm"}, LIMITS)


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text("old")
    path.chmod(0o750)
    run("write_file", path=path, content="new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o750)


def test_a_file_that_is_too_large_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(LimitExceeded) as caught:
        run("write_file", path=path, content="x" * (LIMITS.file_bytes + 1))
    assert caught.value.limit == "file_bytes"
    assert (path.read_text(), list(tmp_path.iterdir())) == ("old", [path])
    run("write_file", path=path, content="x" * LIMITS.file_bytes)
    assert len(path.read_text()) == LIMITS.file_bytes


def test_a_link_is_replaced_and_a_directory_is_not(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "else")
    run("write_file", path=tmp_path / "dangling", content="x")
    assert not (tmp_path / "dangling").is_symlink()
    refused("write_file", path=tmp_path, content="x")
    assert [each.name for each in tmp_path.iterdir()] == ["dangling"]


def test_a_write_that_the_kernel_cuts_leaves_nothing(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(LimitExceeded) as caught:
            run("write_file", path=tmp_path / "file", content="x" * 1_500)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.limit == "file_bytes"
    assert list(tmp_path.iterdir()) == []
    run("write_file", path=tmp_path / "file", content="x" * 1_500)


def test_what_is_not_there_is_an_error_with_its_name(tmp_path: Path) -> None:
    for name, more in (("read_file", {}), ("delete_file", {}), ("list_directory", {}), ("read_file_base64", {})):
        error = refused(name, path=tmp_path / "absent", **more)
        assert (error.kind, error.details["errno"]) == ("IoError", "ENOENT")
        assert "absent" in error.message
    assert refused("write_file", path=tmp_path / "absent" / "file", content="x").details["errno"] == "ENOENT"


def test_existence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert run("file_exists", path=tmp_path / "file")
    assert run("file_exists", path=tmp_path)
    assert not run("file_exists", path=tmp_path / "absent")
    assert not run("file_exists", path=tmp_path / "file" / "below")
    assert not run("file_exists", path=tmp_path / "dangling")


def test_existence_that_cannot_be_told_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert refused("file_exists", path=tmp_path / "loop").details["errno"] == "ELOOP"


def test_pipes_and_directories_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "neither a file nor a directory" in refused("read_file", path=tmp_path / "pipe").message
    assert refused("read_file", path=tmp_path).details["errno"] == "EISDIR"
    assert "neither" in refused("write_file", path=tmp_path / "pipe", content="x").message


def test_deleting(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "file").write_text("x")
    (tree / "link").symlink_to(outside)
    assert refused("delete_file", path=tree).details["errno"] == "ENOTEMPTY"
    assert run("delete_file", path=tree, recursive=True) is True
    assert not tree.exists()
    assert (outside / "kept").read_text() == "kept"


def test_deleting_a_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to("file")
    run("delete_file", path=tmp_path / "link")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_an_empty_directory_is_deleted_without_more(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    run("delete_file", path=tmp_path / "empty")
    assert list(tmp_path.iterdir()) == []


def test_making_directories(tmp_path: Path) -> None:
    run("make_directory", path=tmp_path / "one")
    assert refused("make_directory", path=tmp_path / "one").details["errno"] == "EEXIST"
    assert run("make_directory", path=tmp_path / "one", recursive=True) is True
    assert refused("make_directory", path=tmp_path / "two" / "three").details["errno"] == "ENOENT"
    run("make_directory", path=tmp_path / "two" / "three", recursive=True)
    assert (tmp_path / "two" / "three").is_dir()
    (tmp_path / "file").write_text("x")
    assert refused("make_directory", path=tmp_path / "file", recursive=True).details["errno"] == "EEXIST"


def test_a_listing_tells_kind_and_size_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("four")
    (tmp_path / "a").mkdir()
    (tmp_path / "c").symlink_to("b")
    listed = run("list_directory", path=tmp_path)
    assert [entry["name"] for entry in listed] == ["a", "b", "c"]
    assert listed[1] == {"name": "b", "path": f"{tmp_path}/b", "is_dir": False, "is_file": True, "size": 4}
    assert (listed[0]["is_dir"], listed[0]["is_file"]) == (True, False)
    assert (listed[2]["is_dir"], listed[2]["is_file"]) == (False, False)


def test_a_listing_shows_names_that_are_no_text(tmp_path: Path) -> None:
    for name in (b"new\nline", b"bad\xff\xfe", "café".encode()):
        (Path(os.fsdecode(bytes(tmp_path) + b"/" + name))).touch()
    bad, cafe, newline = run("list_directory", path=tmp_path)
    assert (bad["name"], bad["path"]) == ("bad\\xff\\xfe", f"{tmp_path}/bad\\xff\\xfe")
    assert base64.b64decode(bad["name_base64"]) == b"bad\xff\xfe"
    assert (cafe["name"], newline["name"]) == ("café", "new\nline")
    assert "name_base64" not in cafe


def test_a_listing_is_bounded(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"file-{number}").touch()
    with pytest.raises(LimitExceeded) as caught:
        run("list_directory", path=tmp_path)
    assert caught.value.limit == "value_bytes"
    assert len(run_operation("list_directory", {"path": str(tmp_path)}, ResourceLimits())) == 200


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOISTER_TEST", "väl=ue")
    monkeypatch.setitem(os.environb, b"CLOISTER_BYTES", b"\xff")
    assert run("get_environment", name="CLOISTER_TEST") == "väl=ue"
    assert run("get_environment", name="CLOISTER_ABSENT") is None
    refused("get_environment", "guest.encoding", name="CLOISTER_BYTES")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("read_file", {}),
        ("read_file", {"path": ""}),
        ("read_file", {"path": "a\0b"}),
        ("read_file", {"path": 1}),
        ("read_file", {"path": "a", "other": 1}),
        ("write_file", {"path": "a", "content": None}),
        ("delete_file", {"path": "a", "recursive": "yes"}),
        ("probe", {"read_path": "a", "connect": ["127.0.0.1"], "host_pid": 1}),
        ("probe", {"read_path": "a", "connect": ["127.0.0.1", 1], "host_pid": 0}),
    ],
)
def test_arguments_are_checked_before_anything_happens(name: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        run_operation(name, arguments, LIMITS)
    assert caught.value.code == "input.arguments"


def test_an_unknown_operation_names_the_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        run_operation("format_disk", {}, LIMITS)
    assert caught.value.code == "input.operation"
    assert all(name in str(caught.value.hint) for name in OPERATIONS)
