from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cloister.audit.signer import PublicKey, Signer
from cloister.errors import KeyUnavailable


def test_a_key_is_made_once_and_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "chain.key"
    first, second = Signer.open(path), Signer.open(path)
    assert first.key_id == second.key_id
    assert len(first.key_id) == 16
    assert PublicKey.load(path.with_suffix(".pub")).key_id == first.key_id
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["chain.key", "chain.pub"]


def test_signatures_verify_over_exactly_these_bytes(tmp_path: Path) -> None:
    signer = Signer.open(tmp_path / "chain.key")
    signature = signer.sign(b"message")
    assert signer.public_key.verify(signature, b"message")
    assert not signer.public_key.verify(signature, b"massage")
    assert not signer.public_key.verify(signature[:-1], b"message")
    assert not Signer.open(tmp_path / "other.key").public_key.verify(signature, b"message")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_open_to_others_is_refused_until_it_is_closed(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "chain.key"
    Signer.open(path)
    path.chmod(mode)
    with pytest.raises(KeyUnavailable) as caught:
        Signer.load(path)
    assert caught.value.code == "attestation.key"
    assert f"{mode:04o}" in caught.value.message
    assert caught.value.hint is not None
    assert f"chmod 600 {path}" in caught.value.hint
    path.chmod(0o600)
    Signer.load(path)


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "chain.key"
    path.touch(0o600)
    path.write_bytes(content)
    for load in (Signer.load, Signer.open, PublicKey.load):
        with pytest.raises(KeyUnavailable):
            load(path)


def test_keys_of_another_kind_are_refused(tmp_path: Path) -> None:
    key, path = X25519PrivateKey.generate(), tmp_path / "x.key"
    path.touch(0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(KeyUnavailable):
        Signer.load(path)
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(KeyUnavailable):
        PublicKey.load(path)


def test_a_missing_key_and_a_link_are_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyUnavailable):
        Signer.load(tmp_path / "none.key")
    with pytest.raises(KeyUnavailable):
        PublicKey.load(tmp_path / "none.pub")
    Signer.open(tmp_path / "chain.key")
    (tmp_path / "link.key").symlink_to(tmp_path / "chain.key")
    with pytest.raises(KeyUnavailable):
        Signer.load(tmp_path / "link.key")


def test_a_replaced_public_key_is_noticed(tmp_path: Path) -> None:
    Signer.open(tmp_path / "chain.key")
    Signer.open(tmp_path / "other.key")
    (tmp_path / "other.pub").replace(tmp_path / "chain.pub")
    with pytest.raises(KeyUnavailable):
        Signer.open(tmp_path / "chain.key")
    (tmp_path / "chain.pub").unlink()
    Signer.open(tmp_path / "chain.key")


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyUnavailable):
        Signer.open(tmp_path / "file" / "chain.key")


def test_no_key_is_shown(tmp_path: Path) -> None:
    signer = Signer.open(tmp_path / "chain.key")
    assert repr(signer) == f"Signer({signer.key_id})"
    assert repr(signer.public_key) == f"PublicKey({signer.key_id})"


def test_cryptography_is_loaded_only_when_a_key_is_used() -> None:
    code = "import sys, cloister.audit.home, cloister.audit.verify; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_no_public_key_is_said_to_be_none(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("hello", encoding="utf-8")
    with pytest.raises(KeyUnavailable, match="does not hold an Ed25519 public key") as caught:
        PublicKey.load(wrong)
    assert (caught.value.hint or "").startswith("name a file with a public key")
    Signer.open(tmp_path / "keys" / "chain.key")
    assert PublicKey.load(tmp_path / "keys" / "chain.pub")
