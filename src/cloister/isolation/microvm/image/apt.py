"""Packages from Debian, or from what is like it, through the machine's own apt.

Owns asking apt which packages there are, which others those need, and fetching them as files. Whether lists and
packages are genuine is apt's decision, by its own keys; each file must have the digest that the lists name. Nothing is
installed and no script of a package is run; an ordinary user may do this as well.

Source: apt-cache(8), apt-get(8), deb-control(5), "Package interrelationship fields".
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.errors import InputError, ProviderError, ProviderUnavailable, quoted
from cloister.isolation.microvm.image.digests import file_sha256
from cloister.isolation.microvm.image.packages import Package

PACKAGES_MAX: Final = 500
_AHEAD_MAX: Final = 2000
_ANSWER_TIMEOUT_S: Final = 60
_FETCH_TIMEOUT_S: Final = 900
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9+.-]{0,127}")
_FIELD: Final = re.compile(r"^([A-Za-z0-9-]+):[ \t]*(.*)$")
_SCRIPTS_ONLY: Final = frozenset({"dpkg", "debconf", "debconf-2.0", "install-info", "init-system-helpers"})
"""What packages depend on for their maintainer scripts, which never run here."""
_UPDATE: Final = "apt-get update"
_APT_USER: Final = "_apt"
"""As whom apt fetches. Source: APT::Sandbox::User, apt.conf(5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A package that apt offers.

    Attributes:
        package: Name, version, architecture, and the digest of its file.
        depends: Each dependency as the names of its alternatives, in their order.
    """

    package: Package
    depends: tuple[tuple[str, ...], ...]


class Apt:
    """The machine's apt.

    Args:
        cache: Directory where fetched packages are kept, by digest.

    Raises:
        ProviderUnavailable: `provider.image-tool`: there is no apt on this machine; `provider.image-lists`: it has no
            lists of packages.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        for program in ("apt-get", "apt-cache"):
            if shutil.which(program) is None:
                raise ProviderUnavailable(
                    f"images are made from packages of Debian, and this machine has no {program}",
                    code="provider.image-tool",
                    hint="build on a Debian or Ubuntu system, or from the host's own files: --from host",
                )
        self._offers: dict[str, Offer | None] = {}
        self._require_lists()

    def closure(self, names: Sequence[str], without: frozenset[str] = frozenset()) -> tuple[Offer, ...]:
        """Return the named packages and all that they depend on, sorted by name.

        Args:
            names: Packages to begin with.
            without: Dependencies that are not followed; a package that is named is taken all the same.

        Raises:
            InputError: `input.package`: there is no such package, or they are too many.
            ProviderError: `provider.image-fetch`: apt failed.
        """
        for name in names:
            _require_name(name)
        self._look_ahead(names)
        found: dict[str, Offer] = {}
        pending = list(dict.fromkeys(names))
        while pending:
            self._look_up(pending)
            offers = [self._offer(name) for name in pending]
            found |= {offer.package.name: offer for offer in offers}
            if len(found) > PACKAGES_MAX:
                raise InputError(f"more than {PACKAGES_MAX} packages would go into one image", code="input.package")
            groups = list(dict.fromkeys(group for offer in offers for group in offer.depends))
            self._look_up([name for group in groups for name in group])
            chosen = (self._choice(group, found) for group in groups if not set(group) & (without | _SCRIPTS_ONLY))
            pending = [name for name in dict.fromkeys(chosen) if name not in found]
        return tuple(found[name] for name in sorted(found))

    def offer(self, name: str) -> Offer:
        """Return what apt offers under a name.

        Raises:
            InputError: `input.package`: nothing.
        """
        _require_name(name)
        self._look_up([name])
        return self._offer(name)

    def fetch(self, offers: Iterable[Offer]) -> Mapping[str, Path]:
        """Return the file of each package by its name; those that are not kept already are fetched.

        Raises:
            ProviderError: `provider.image-fetch`: one cannot be fetched, or what came is not what the lists name.
        """
        places = {offer.package: self._cache / f"{offer.package.sha256}.deb" for offer in offers}
        missing = [package for package, place in places.items() if not _is(place, package.sha256)]
        if missing:
            self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="cloister-packages-") as directory:
                self._download(missing, Path(directory))
                self._keep(missing, Path(directory))
        return {package.name: place for package, place in places.items()}

    def _download(self, packages: Sequence[Package], directory: Path) -> None:
        if os.geteuid() == 0:
            # So that apt need not be root while it speaks with servers
            with suppress(KeyError):
                os.chown(directory, pwd.getpwnam(_APT_USER).pw_uid, -1)
        words = [f"{package.name}={package.version}" for package in packages]
        _run(["apt-get", "-qq", "download", *words], directory, _FETCH_TIMEOUT_S)

    def _keep(self, packages: Sequence[Package], directory: Path) -> None:
        """Copy what was fetched, then look at the copy: the directory is not ours alone."""
        wanted = {package.sha256: package for package in packages}
        for path in sorted(directory.glob("*.deb")):
            with tempfile.NamedTemporaryFile(dir=self._cache, prefix=".fetch-") as copy:
                shutil.copyfile(path, copy.name, follow_symlinks=False)
                sha256 = file_sha256(Path(copy.name))
                if wanted.pop(sha256, None) is not None:
                    place = self._cache / f"{sha256}.deb"
                    place.unlink(missing_ok=True)
                    os.link(copy.name, place)
        for package in wanted.values():
            raise ProviderError(
                f"apt did not fetch {package.name} {package.version} with the digest that its lists name",
                code="provider.image-fetch",
                hint=f"as root: {_UPDATE}; then build again",
            )

    def _require_lists(self) -> None:
        if self._packages_named(["libc6"]).get("libc6") is None:
            raise ProviderUnavailable(
                "apt has no lists of packages to take an image's from",
                code="provider.image-lists",
                hint=f"as root: {_UPDATE}",
            )

    def _look_ahead(self, names: Sequence[str]) -> None:
        """Look up at once what will probably be needed: each question makes apt read all its lists anew."""
        text = _answer(["apt-cache", "depends", "--recurse", "--important", *names])
        lines = (line.strip() for line in text.splitlines() if not line.startswith(" "))
        self._look_up([name for name in lines if _NAME.fullmatch(name)][:_AHEAD_MAX])

    def _look_up(self, names: Sequence[str]) -> None:
        unknown = [name for name in dict.fromkeys(names) if name not in self._offers]
        if unknown:
            found = self._packages_named(unknown)
            self._offers |= {name: found.get(name) for name in unknown}

    def _packages_named(self, names: Sequence[str]) -> dict[str, Offer]:
        # A name that is unknown makes apt-cache fail though it prints the others
        text = _answer(["apt-cache", "show", "--no-all-versions", *names])
        offers = (_parsed(stanza) for stanza in text.split("\n\n") if stanza.strip())
        return {offer.package.name: offer for offer in offers if offer is not None}

    def _offer(self, name: str) -> Offer:
        offer = self._offers.get(name)
        if offer is None:
            raise InputError(
                f"apt offers no package {quoted(name)} with a file and digest",
                code="input.package",
                hint=f"`apt-cache search` finds names; as root: {_UPDATE}",
            )
        return offer

    def _choice(self, group: tuple[str, ...], found: Mapping[str, Offer]) -> str:
        """Return which alternative is taken: one that is there, else the first that exists, else a provider."""
        for name in (*(name for name in group if name in found), *group):
            if self._offers.get(name) is not None:
                return name
        for name in group:
            for provider in self._providers(name):
                return provider
        return group[0]

    def _providers(self, name: str) -> Iterator[str]:
        """Yield the packages that provide a name, sorted."""
        text = _answer(["apt-cache", "showpkg", name]).partition("Reverse Provides:")[2]
        names = sorted({line.split()[0] for line in text.splitlines() if line.strip()})
        self._look_up(names)
        yield from (each for each in names if self._offers.get(each) is not None)


def _is(place: Path, sha256: str) -> bool:
    return place.is_file() and file_sha256(place) == sha256


def _require_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(f"{quoted(name)} cannot be the name of a package", code="input.package")


def _parsed(stanza: str) -> Offer | None:
    """Return the offer a paragraph describes; None when it names no file, as for a package that is only installed."""
    fields = {match[1]: match[2] for line in stanza.splitlines() if (match := _FIELD.match(line))}
    if not all(fields.get(key) for key in ("Package", "Version", "Architecture", "SHA256", "Filename")):
        return None
    package = Package(
        name=fields["Package"],
        version=fields["Version"],
        architecture=fields["Architecture"],
        sha256=fields["SHA256"].lower(),
    )
    return Offer(package=package, depends=_relations(fields.get("Pre-Depends"), fields.get("Depends")))


def _relations(*fields: str | None) -> tuple[tuple[str, ...], ...]:
    """Return relations without their versions: apt's candidates of one release fit each other."""
    groups = (group for field in fields if field for group in field.split(","))
    return tuple(
        tuple(re.split(r"[\s(:\[]", alternative.strip())[0] for alternative in group.split("|")) for group in groups
    )


def _answer(command: Sequence[str]) -> str:
    done = _started(command, None, _ANSWER_TIMEOUT_S)
    return done.stdout


def _run(command: Sequence[str], directory: Path, timeout_s: int) -> None:
    done = _started(command, directory, timeout_s)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ProviderError(
            f"{command[0]} failed: {quoted(last, 300)}",
            code="provider.image-fetch",
            hint=f"as root: {_UPDATE}; look whether the network is there",
        )


def _started(command: Sequence[str], directory: Path | None, timeout_s: int) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - fixed programs; names of packages are checked
            command,
            cwd=directory,
            env=os.environ | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProviderError(
            f"{command[0]} did not end within {timeout_s} s", code="provider.image-fetch", hint="look at the network"
        ) from error
