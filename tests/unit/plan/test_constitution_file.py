"""Files of constitutions: only what the home's key signed is read; each refusal has its permitted twin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cloister.audit.signer import Signer
from cloister.authority.constitution import Action, builtin_constitution
from cloister.errors import AttestationError, CloisterError, ConfigError, InputError, KeyUnavailable, SignatureInvalid
from cloister.plan.constitution_file import (
    ConstitutionKeys,
    builtin_facts,
    load_constitution,
    read_unverified,
    sign_constitution,
    signature_path,
)

TEXT = """\
version = 3

[[rule]]
id = "no-deletes"
pattern = "ccos.io.delete-*"
action = "deny"
reason = "nothing is deleted here"
when = [{ argument = "path", under = ["/srv"] }]
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def refusal(file: Path, home: Path) -> tuple[type[CloisterError], str]:
    with pytest.raises(CloisterError) as caught:
        load_constitution(file, home)
    return type(caught.value), caught.value.code


def test_what_was_signed_is_loaded_with_the_facts_for_the_record(file: Path, home: Path) -> None:
    signed = sign_constitution(file, home)
    loaded = load_constitution(file, home)
    assert loaded == signed
    ruling = loaded.constitution.decide("ccos.io.delete-file", {"path": "/srv/a"})
    assert (ruling.action, ruling.rule_id) == (Action.DENY, "no-deletes")
    facts = loaded.facts()
    assert facts["version"] == 3
    assert facts["sha256"] == loaded.constitution.sha256
    assert facts["key_id"] == Signer.load(ConstitutionKeys(home).private_path).key_id
    assert facts.keys() == builtin_facts(builtin_constitution()).keys()


def test_the_key_is_made_once_and_is_private(file: Path, home: Path) -> None:
    first, second = sign_constitution(file, home), sign_constitution(file, home)
    assert first.key_id == second.key_id
    assert ConstitutionKeys(home).private_path.stat().st_mode & 0o077 == 0
    assert home.stat().st_mode & 0o077 == 0


def test_an_unsigned_file_is_refused(file: Path, home: Path) -> None:
    sign_constitution(file, home)
    signature_path(file).unlink()
    assert refusal(file, home) == (SignatureInvalid, "attestation.unsigned")


@pytest.mark.parametrize("place", [0, 10, len(TEXT) - 1])
def test_a_file_that_was_altered_is_refused(file: Path, home: Path, place: int) -> None:
    sign_constitution(file, home)
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)
    assert refusal(file, home) == (SignatureInvalid, "attestation.signature")
    file.write_text(TEXT, encoding="utf-8")
    load_constitution(file, home)


def test_a_signature_of_another_key_is_refused(file: Path, home: Path, tmp_path: Path) -> None:
    sign_constitution(file, home)
    sign_constitution(file, tmp_path / "other")
    assert refusal(file, home) == (SignatureInvalid, "attestation.signer")
    load_constitution(file, tmp_path / "other")


def test_another_key_that_takes_the_name_of_the_trusted_one_is_refused(file: Path, home: Path, tmp_path: Path) -> None:
    trusted = sign_constitution(file, home)
    sign_constitution(file, tmp_path / "other")
    body = json.loads(signature_path(file).read_text(encoding="utf-8"))
    signature_path(file).write_text(json.dumps(body | {"key_id": trusted.key_id}), encoding="utf-8")
    assert refusal(file, home) == (SignatureInvalid, "attestation.signature")


def test_a_home_that_pins_no_key_takes_no_file(file: Path, home: Path, tmp_path: Path) -> None:
    sign_constitution(file, tmp_path / "other")
    assert refusal(file, home) == (KeyUnavailable, "attestation.key")
    pinned = ConstitutionKeys(home).public_path
    pinned.parent.mkdir(parents=True)
    pinned.write_bytes(ConstitutionKeys(tmp_path / "other").public_path.read_bytes())
    assert load_constitution(file, home).constitution.version == 3


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "x", "key_id": "k", "signature": ""}', "[" * 3_000, '{"format": 1']
)
def test_what_is_no_signature_is_refused(file: Path, home: Path, text: str) -> None:
    sign_constitution(file, home)
    signature_path(file).write_text(text, encoding="utf-8")
    assert refusal(file, home) == (AttestationError, "attestation.format")


def test_a_signature_is_worth_nothing_for_another_file(file: Path, home: Path, tmp_path: Path) -> None:
    sign_constitution(file, home)
    milder = tmp_path / "milder.toml"
    milder.write_text(TEXT.replace("deny", "allow"), encoding="utf-8")
    signature_path(milder).write_bytes(signature_path(file).read_bytes())
    assert refusal(milder, home) == (SignatureInvalid, "attestation.signature")


@pytest.mark.parametrize("text", ["version = ", "version = 0", "\udcff", 'version = 1\n[[rule]]\nid = "a"'])
def test_what_could_not_be_loaded_is_not_signed(file: Path, home: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ConfigError) as caught:
        sign_constitution(file, home)
    assert caught.value.code == "config.constitution"
    assert not signature_path(file).exists()


def test_a_file_that_is_not_there_or_too_large_is_an_input_error(file: Path, home: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(InputError) as caught:
            load_constitution(path, home)
        assert caught.value.code == "input.constitution"
    file.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(InputError, match="more than 1048576 bytes"):
        sign_constitution(file, home)


def test_showing_needs_no_signature(file: Path) -> None:
    assert read_unverified(file).version == 3
