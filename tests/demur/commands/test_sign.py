"""`demur sign` and `demur verify --key`, on the command line."""

from __future__ import annotations

import json
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from fakes.command_line import Demur
from fakes.signing_keys import write_certified, write_pair

from bundle import extras


@pytest.fixture
def folder(tiny_bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle, tmp_path / "bundle"))


def test_sign_inspect_verify(folder: Path, tmp_path: Path, demur: Demur) -> None:
    pair, other = write_pair(tmp_path, "ours"), write_pair(tmp_path, "other")
    fingerprint = sha256(pair.public.read_bytes()).hexdigest()
    assert "Not signed." in demur("verify", folder).out
    assert "Not signed." in demur("inspect", folder).out
    ended = demur("sign", folder, "--key", pair.private)
    assert ended.code == 0, ended.err
    assert f"signed by the key {fingerprint}" in ended.out
    assert "replaced" in demur("sign", folder, "--key", pair.private).out
    claim = f"Signed with the key {fingerprint}, by its own words"
    assert claim in demur("verify", folder).out
    assert claim in demur("inspect", folder).out.replace("\n", " ")
    assert (
        f"Signed by the key {fingerprint}, which is trusted."
        in demur("verify", folder, "--key", pair.public).out
    )
    refused = demur("verify", folder, "--key", other.public)
    assert refused.code == 2
    assert refused.err.startswith("demur: model.sig: was not made with the key ")
    assert demur("verify", folder, "--key", other.public, "--key", pair.public).code == 0
    assert json.loads(demur("verify", folder, "--json").out)["signature"]["state"] == "unchecked"
    assert json.loads(demur("inspect", folder, "--json").out)["signature"]["key"] == fingerprint


def test_a_certificate(folder: Path, tmp_path: Path, demur: Demur) -> None:
    signer = write_certified(tmp_path, "anna")
    arguments = ("--key", signer.private, "--certificate", signer.certificate)
    assert demur("sign", folder, *arguments, "--certificate-chain", signer.authority).code == 0
    ended = demur("verify", folder, "--certificate-chain", signer.authority)
    assert "Signed by CN=signer anna " in ended.out
    assert "Signed with a certificate" in demur("inspect", folder).out
    refused = demur("sign", folder, "--key", signer.private, "--certificate-chain", signer.authority)
    assert refused.err.startswith("demur: --certificate-chain is given without --certificate")
    other = write_pair(tmp_path, "other")
    refused = demur("sign", folder, "--key", other.private, "--certificate", signer.certificate)
    assert (refused.code, refused.out) == (2, "")
    assert "does not match" in refused.err


def test_a_damaged_signature_is_shown_and_refused(folder: Path, demur: Demur) -> None:
    (folder / "model.sig").write_text("half")
    assert "Signed, and not trusted: is no signature" in demur("inspect", folder).out.replace("\n", " ")
    assert demur("verify", folder).err.startswith("demur: model.sig: is no signature of a model")


@pytest.mark.parametrize("content", ["", "no key", None])
def test_faulty_keys_are_one_sentence(
    folder: Path, tmp_path: Path, content: str | None, demur: Demur
) -> None:
    key = tmp_path / "key.pem"
    if content is not None:
        key.write_text(content)
    for arguments in (("sign", folder, "--key", key), ("verify", folder, "--key", key)):
        ended = demur(*arguments)
        assert (ended.code, ended.out) == (2, "")
        assert str(key) in ended.err
        assert ended.err.count("\n") == 1


def test_an_encrypted_key_names_the_way_out(folder: Path, tmp_path: Path, demur: Demur) -> None:
    plain, encrypted = write_pair(tmp_path, "plain").private, tmp_path / "encrypted.pem"
    command = ["openssl", "pkey", "-in", plain, "-aes256", "-passout", "pass:secret", "-out", encrypted]
    subprocess.run(command, check=True, capture_output=True)
    assert "is encrypted" in demur("sign", folder, "--key", encrypted).err


def test_a_missing_extra_is_named(
    folder: Path, tmp_path: Path, demur: Demur, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, there = write_pair(tmp_path, "ours"), extras._found
    monkeypatch.setattr(extras, "_found", lambda name: name != "cryptography" and there(name))
    err = demur("verify", folder, "--key", pair.public).err
    assert "DEMUR_SIGNATURES) needs cryptography; install demur with the extra [verify]: pip install" in err
