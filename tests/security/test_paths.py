"""Threat: a plan names a path outside its grants in a way that looks as if it were inside.

Every trick has a permitted twin that differs only in the grant or in the trick itself. Real files, links and resolver.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from cloister.authority.authorizer import Decision, SecurityAuthorizer
from cloister.authority.capability import Access, AccessKind, CapabilitySpec, Parameter, ParameterType
from cloister.authority.context import RuntimeContext
from cloister.authority.registry import CapabilityRegistry
from cloister.capabilities.contracts import READS
from cloister.errors import PathDenied
from cloister.isolation.host_paths import HostPathResolver


def _spec(capability_id: str, kind: AccessKind) -> CapabilitySpec:
    return CapabilitySpec(
        id=capability_id,
        summary="A test.",
        parameters=(Parameter(name="path", type=ParameterType.TEXT),),
        returns="any",
        effects=frozenset({":filesystem"}),
        contract=READS,
        permission="ccos.io.file-access",
        access=(Access(parameter="path", kind=kind),),
    )


REGISTRY = CapabilityRegistry(
    [_spec("ccos.io.read-file", AccessKind.READ), _spec("ccos.io.write-file", AccessKind.WRITE)],
    aliases={"ccos.fs.read": "ccos.io.read-file"},
)
BOTH = ("ccos.io.read-file", "ccos.io.write-file")


@dataclass(frozen=True)
class Place:
    """A directory tree with a granted part, a neighbour of almost its name, and a secret outside."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def secret(self) -> Path:
        return self.root / "secret.txt"

    def decide(
        self, path: str, *, read: tuple[Path, ...] = (), write: tuple[Path, ...] = (), capability: str = BOTH[0]
    ) -> Decision:
        context = RuntimeContext.controlled(
            capabilities=BOTH, read=[str(granted) for granted in read], write=[str(granted) for granted in write]
        )
        return SecurityAuthorizer(REGISTRY, HostPathResolver(self.root)).authorize(context, capability, (path,))

    def read(self, path: object, *granted: Path) -> Decision:
        return self.decide(str(path), read=granted or (self.data,))

    def write(self, path: object, *granted: Path) -> Decision:
        return self.decide(str(path), write=granted or (self.data,), capability="ccos.io.write-file")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    root = tmp_path.resolve()
    for name in ("data/sub", "data-twin", "elsewhere"):
        (root / name).mkdir(parents=True)
    for name in ("data/file.txt", "data/sub/deep.txt", "data-twin/file.txt", "secret.txt", "elsewhere/file.txt"):
        (root / name).write_text("x")
    return Place(root)


def assert_refused(decision: Decision, code: str = "denied.path") -> None:
    assert not decision.allowed
    assert decision.reason == code
    assert decision.permissions == frozenset()
    assert (decision.read_paths, decision.write_paths) == ((), ())
    with pytest.raises(PathDenied) as caught:
        decision.require()
    assert caught.value.code == code


def test_absolute_outside_and_inside(place: Place) -> None:
    assert_refused(place.read(place.secret))
    assert place.read(place.data / "file.txt").read_paths == (str(place.data / "file.txt"),)
    assert place.read(place.secret, place.secret).allowed


def test_the_granted_directory_itself_is_inside(place: Place) -> None:
    assert place.read(place.data).allowed
    assert_refused(place.read(place.root))
    assert place.read(place.root, place.root).allowed


def test_prefix_twin(place: Place) -> None:
    assert_refused(place.read(place.root / "data-twin" / "file.txt"))
    assert_refused(place.read(f"{place.data}-twin"))
    assert_refused(place.read(str(place.data)[:-1]))
    assert place.read(place.root / "data-twin" / "file.txt", place.root / "data-twin").allowed


@pytest.mark.parametrize(
    "climb", ["../secret.txt", "sub/../../secret.txt", "./../secret.txt", "sub/..//..//secret.txt"]
)
def test_climbing_out(place: Place, climb: str) -> None:
    assert_refused(place.read(f"{place.data}/{climb}"))
    assert place.read(f"{place.data}/{climb}", place.root).read_paths == (str(place.secret),)


def test_climbing_that_stays_inside(place: Place) -> None:
    assert place.read(f"{place.data}/sub/../file.txt").read_paths == (str(place.data / "file.txt"),)
    assert place.read(f"{place.data}/../data/file.txt").allowed


def test_climbing_through_something_that_does_not_exist(place: Place) -> None:
    assert_refused(place.read(f"{place.data}/missing/../../secret.txt"))
    assert place.read(f"{place.data}/missing/../file.txt").allowed


def test_relative_paths_start_where_the_run_did(place: Place) -> None:
    assert_refused(place.read("secret.txt"))
    assert_refused(place.read("data/../secret.txt"))
    assert_refused(place.read("."))
    assert place.read("data/file.txt").read_paths == (str(place.data / "file.txt"),)


def test_trailing_and_doubled_slashes(place: Place) -> None:
    assert place.read(f"{place.data}/").read_paths == (str(place.data),)
    assert place.read(f"{place.data}//file.txt").allowed
    assert place.read(f"/{place.data}/file.txt").allowed
    assert_refused(place.read(f"{place.secret}/"))
    assert_refused(place.read(f"/{place.secret}"))
    assert_refused(place.read(f"//{place.secret}"))


@pytest.mark.parametrize("text", ["", "\0", "/\0", "{data}/file.txt\0", "{data}/file.txt\0/../../secret.txt"])
def test_empty_and_nul(place: Place, text: str) -> None:
    assert_refused(place.read(text.format(data=place.data)), "denied.path-invalid")
    assert place.read(f"{place.data}/file.txt").allowed


def test_the_root_directory(place: Place) -> None:
    assert_refused(place.read("/"))
    assert_refused(place.read("//"))
    assert_refused(place.read("/" + "../" * 40))
    assert place.read("/", Path("/")).read_paths == ("/",)


def test_a_link_out_says_where_it_leads(place: Place) -> None:
    (place.data / "link").symlink_to(place.secret)
    refused = place.read(place.data / "link")
    assert_refused(refused)
    assert refused.message == (
        f'path "{place.data}/link" leads to "{place.secret}", which is outside the granted paths ({place.data})'
    )
    assert refused.hint == f"grant it with --read {place.secret}"
    allowed = place.read(place.data / "link", place.data, place.secret)
    assert allowed.read_paths == (str(place.secret),)


def test_a_link_inside_is_resolved(place: Place) -> None:
    (place.data / "link").symlink_to(place.data / "file.txt")
    assert place.read(place.data / "link").read_paths == (str(place.data / "file.txt"),)


def test_a_link_to_a_directory_in_the_middle(place: Place) -> None:
    (place.data / "door").symlink_to(place.root / "elsewhere")
    assert_refused(place.read(place.data / "door" / "file.txt"))
    assert_refused(place.write(place.data / "door" / "new.txt"))
    assert place.read(place.data / "door" / "file.txt", place.data, place.root / "elsewhere").allowed


def test_climbing_is_done_in_the_text_and_never_behind_a_link(place: Place) -> None:
    (place.data / "door").symlink_to(place.root / "elsewhere")
    # The kernel would go to the parent of where the link leads; what is decided here is what is acted on
    found = place.read(f"{place.data}/door/../secret.txt")
    assert found.read_paths == (f"{place.data}/secret.txt",)
    assert_refused(place.read(f"{place.data}/door/../../secret.txt"))


def test_a_chain_of_links_and_a_relative_link(place: Place) -> None:
    (place.data / "second").symlink_to("../secret.txt")
    (place.data / "first").symlink_to("second")
    assert_refused(place.read(place.data / "first"))
    (place.data / "third").symlink_to("sub/../file.txt")
    assert place.read(place.data / "third").allowed


def test_a_link_that_leads_into_the_grant_from_outside(place: Place) -> None:
    (place.root / "way-in").symlink_to(place.data)
    assert place.read(place.root / "way-in" / "file.txt").read_paths == (str(place.data / "file.txt"),)
    assert_refused(place.read(place.root / "way-in" / ".." / "secret.txt"))


def test_where_a_link_outside_leads_is_not_told(place: Place) -> None:
    (place.root / "hidden-link").symlink_to(place.secret)
    refused = place.read(place.root / "hidden-link")
    assert_refused(refused)
    assert refused.message is not None
    assert "secret" not in refused.message + str(refused.hint)


def test_links_in_a_circle(place: Place) -> None:
    (place.data / "a").symlink_to("b")
    (place.data / "b").symlink_to("a")
    assert_refused(place.read(place.data / "a"), "denied.path-unresolved")
    (place.data / "b").unlink()
    (place.data / "b").write_text("x")
    assert place.read(place.data / "a").allowed


def test_a_dangling_link_out(place: Place) -> None:
    (place.data / "dangling").symlink_to(place.root / "not-yet")
    assert_refused(place.write(place.data / "dangling"))
    assert place.write(place.data / "not-yet").allowed


def test_a_grant_through_a_link_covers_nothing(place: Place) -> None:
    (place.root / "alias").symlink_to(place.data)
    assert_refused(place.read(place.data / "file.txt", place.root / "alias"))
    assert place.read(place.data / "file.txt", (place.root / "alias").resolve()).allowed


def test_a_read_grant_does_not_write(place: Place) -> None:
    refused = place.decide(str(place.data / "file.txt"), read=(place.data,), capability="ccos.io.write-file")
    assert_refused(refused)
    assert refused.message == f'path "{place.data}/file.txt" is granted for reading only'
    assert refused.hint == f"grant it with --write {place.data}/file.txt"
    assert place.write(place.data / "file.txt").allowed


def test_a_write_grant_reads(place: Place) -> None:
    assert place.decide(str(place.data / "file.txt"), write=(place.data,)).allowed


def test_a_new_file_needs_its_directory_or_itself_granted(place: Place) -> None:
    assert place.write(place.data / "new.txt").write_paths == (str(place.data / "new.txt"),)
    assert place.write(place.root / "report.md", place.root / "report.md").allowed
    assert_refused(place.write(place.root / "report.md"))
    assert_refused(place.write(place.root / "report.md2", place.root / "report.md"))
    assert_refused(place.write(f"{place.data}/missing/../../report.md"))


@pytest.mark.parametrize("text", ["/proc/self/environ", "/proc/self/root/etc/passwd", "/sys", "/dev/null", "//proc/1"])
def test_kernel_trees_are_closed_even_to_unsafe_everything(place: Place, text: str) -> None:
    authorizer = SecurityAuthorizer(REGISTRY, HostPathResolver(place.root))
    everything = RuntimeContext.unsafe_everything()
    assert_refused(authorizer.authorize(everything, "ccos.io.read-file", (text,)), "denied.path-kernel")
    assert_refused(place.read(text, Path("/")), "denied.path-kernel")
    assert authorizer.authorize(everything, "ccos.io.read-file", (str(place.secret),)).allowed


def test_a_link_into_a_kernel_tree(place: Place) -> None:
    (place.data / "environ").symlink_to("/proc/1/status")
    assert_refused(place.read(place.data / "environ"), "denied.path-kernel")
    assert place.read(place.data / "file.txt").allowed


def test_a_link_through_the_kernel_to_an_ordinary_file_is_decided_by_that_file(place: Place) -> None:
    (place.data / "back").symlink_to(f"/proc/self/root{place.secret}")
    decision = place.read(place.data / "back")
    assert not decision.allowed
    assert decision.reason in {"denied.path", "denied.path-kernel"}


def test_the_alias_is_held_to_the_same_paths(place: Place) -> None:
    assert_refused(place.decide(str(place.secret), read=(place.data,), capability="ccos.fs.read"))
    assert place.decide(str(place.data / "file.txt"), read=(place.data,), capability="ccos.fs.read").allowed


def test_names_that_only_look_special(place: Place) -> None:
    for name in ("...", "..hidden", "a..", "~", "$HOME", "%2e%2e", "*", "a\nb"):
        assert place.read(place.data / name).allowed
    assert_refused(place.read("~/x"))


def test_text_that_cannot_be_a_file_name(place: Place) -> None:
    assert_refused(place.read(f"{place.data}/\ud800"), "denied.path-unresolved")
    assert place.read(place.data / os.fsdecode(b"\xff")).allowed


def test_a_path_that_is_too_long(place: Place) -> None:
    assert_refused(place.read(f"{place.data}/{'x' * 5000}"), "denied.path-unresolved")
    assert place.read(f"{place.data}/{'x' * 200}").allowed


def test_case_and_unicode_forms_are_different_names(place: Place) -> None:
    assert_refused(place.read(str(place.data).upper()))
    (place.root / "caf\u00e9").mkdir()
    assert_refused(place.read(place.root / "cafe\u0301", place.root / "caf\u00e9"))
    assert place.read(place.root / "caf\u00e9", place.root / "caf\u00e9").allowed
