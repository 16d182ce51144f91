"""Names and sockets of sessions."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloister.errors import InputError, ProviderError
from cloister.sessions.place import SessionPlace


@pytest.fixture
def place(tmp_path: Path) -> SessionPlace:
    return SessionPlace(tmp_path / "home")


def test_a_name_is_taken_once(place: SessionPlace) -> None:
    with place.claim("build")[1]:
        with pytest.raises(InputError) as caught:
            place.claim("build")
        assert caught.value.code == "input.session-taken"
        place.connect("build").close()


def test_free_names_are_counted(place: SessionPlace) -> None:
    first, one = place.claim(None)
    second, two = place.claim(None)
    with one, two:
        assert (first, second, place.names()) == ("s1", "s2", ("s1", "s2"))


def test_a_socket_without_its_holder_is_stale_and_its_name_free(place: SessionPlace) -> None:
    place.claim("build")[1].close()
    with pytest.raises(ProviderError) as caught:
        place.connect("build")
    assert caught.value.code == "provider.session-stale"
    with place.claim("build")[1]:
        place.connect("build").close()


def test_unknown_session_names_the_known_ones(place: SessionPlace) -> None:
    with place.claim("build")[1], pytest.raises(InputError) as caught:
        place.connect("biuld")
    assert caught.value.code == "input.session-unknown"
    assert "build" in str(caught.value.hint)
    assert "cloister session new biuld" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["", "a/b", "..", "A", "-x", "a" * 41, "a\n"])
def test_names_that_cannot_be(place: SessionPlace, name: str) -> None:
    with pytest.raises(InputError) as caught:
        place.claim(name)
    assert caught.value.code == "input.session-name"
    with pytest.raises(InputError) as caught:
        place.connect(name)
    assert caught.value.code == "input.session-unknown"


def test_a_directory_others_may_use_is_refused_and_a_private_one_not(place: SessionPlace, tmp_path: Path) -> None:
    place.claim("build")[1].close()
    directory = tmp_path / "home" / "sessions"
    assert directory.stat().st_mode & 0o7777 == 0o700
    assert (tmp_path / "home").stat().st_mode & 0o7777 == 0o700
    directory.chmod(0o770)
    with pytest.raises(ProviderError) as caught:
        place.connect("build")
    assert caught.value.code == "provider.session-place"
    directory.chmod(0o700)
    place.claim("build")[1].close()


def test_a_long_path_of_the_home_does_not_matter(tmp_path: Path) -> None:
    place = SessionPlace(tmp_path / ("d" * 150) / "home")
    (tmp_path / ("d" * 150)).mkdir()
    with place.claim("build")[1]:
        place.connect("build").close()
