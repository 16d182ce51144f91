"""Where the sessions of a home can be reached: one socket for each, in a directory of their user alone.

Owns names, the directory, and telling a session that is held from a socket that its holder left behind. Sockets are
bound and reached through a descriptor of the directory, so that a long path of the home does not matter.

Source: unix(7): a path of a socket has at most 107 bytes.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cloister.errors import InputError, ProviderError, quoted

DIRECTORY: Final = "sessions"
NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
BACKLOG: Final = 64


class SessionPlace:
    """The directory of a home's sessions.

    Args:
        home: The home directory.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._path = home / DIRECTORY

    def names(self) -> tuple[str, ...]:
        """Return the names of all sockets there, stale ones among them, sorted."""
        try:
            return tuple(sorted(each.name for each in self._path.iterdir() if NAME.fullmatch(each.name)))
        except FileNotFoundError:
            return ()

    def claim(self, name: str | None) -> tuple[str, socket.socket]:
        """Take a name and listen under it.

        Args:
            name: None for the first free one of `s1`, `s2` and so on.

        Raises:
            InputError: `input.session-name` when it cannot be one; `input.session-taken` when a session has it.
            ProviderError: `provider.session-place` when the directory is not this user's alone.
        """
        if name is not None:
            require_name(name)
        with self._opened(make=True) as directory:
            fcntl.flock(directory, fcntl.LOCK_EX)
            for candidate in (name,) if name is not None else (f"s{number}" for number in itertools.count(1)):
                if self._is_free(directory, candidate):
                    return candidate, _listen(directory, candidate)
        raise InputError(
            f"there is a session {quoted(str(name))} already",
            code="input.session-taken",
            hint=f"use it, end it with `cloister session rm {name}`, or choose another name",
        )

    def connect(self, name: str) -> socket.socket:
        """Return a connection to whoever holds a session.

        Raises:
            InputError: `input.session-unknown` when there is none; the hint names those there are.
            ProviderError: `provider.session-stale` when its holder is gone.
        """
        with contextlib.suppress(FileNotFoundError), self._opened(make=False) as directory:
            if NAME.fullmatch(name):
                return _connect(directory, name)
        others = ", ".join(self.names())
        raise InputError(
            f"there is no session {quoted(name)}",
            code="input.session-unknown",
            hint=(f"the sessions are {others}; " if others else "")
            + f"make one with `cloister session new {name if NAME.fullmatch(name) else 'NAME'}`",
        )

    def remove(self, name: str) -> None:
        """Remove a socket; the caller holds the session, or knows that nobody does."""
        with contextlib.suppress(FileNotFoundError), self._opened(make=False) as directory:
            os.unlink(name, dir_fd=directory)

    def _is_free(self, directory: int, name: str) -> bool:
        try:
            _connect(directory, name).close()
        except FileNotFoundError:
            return True
        except ProviderError:
            os.unlink(name, dir_fd=directory)
            return True
        return False

    @contextlib.contextmanager
    def _opened(self, *, make: bool) -> Iterator[int]:
        if make:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            facts = os.fstat(descriptor)
            if facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o077:
                raise ProviderError(
                    f"others may use the directory of sessions, {self._path}",
                    code="provider.session-place",
                    hint=f"make it yours alone: chown it, and chmod 700 {self._path}",
                )
            yield descriptor
        finally:
            os.close(descriptor)


def require_name(name: str) -> None:
    """Accept a name for a session.

    Raises:
        InputError: `input.session-name`.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f'"{quoted(name, 60)}" cannot be the name of a session',
            code="input.session-name",
            hint="use up to 40 small letters, digits, - and _, beginning with a letter or digit",
        )


def _address(directory: int, name: str) -> str:
    return f"/proc/self/fd/{directory}/{name}"


def _listen(directory: int, name: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind(_address(directory, name))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _connect(directory: int, name: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(_address(directory, name))
    except ConnectionRefusedError as error:
        connection.close()
        raise ProviderError(
            f"the process that held session {quoted(name)} is gone, and the session with it",
            code="provider.session-stale",
            hint=f"remove what is left with `cloister session rm {name}`",
        ) from error
    except BaseException:
        connection.close()
        raise
    return connection
