"""Signatures of bundles: who signed which bytes, and every way in which that may be false."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fakes.signing_keys import KeyPair, write_certified, write_pair
from fakes.tiny_bundle import write_tiny_bundle

from bundle.loader import load_bundle
from bundle.manifest import MANIFEST_FILE, BundleError, BundleTampered
from bundle.sign import SigningKey, sign_bundle
from bundle.signing.envelope import MAX_SIGNATURE_BYTES, SIGNATURE_FILE, SignatureRefused
from bundle.signing.keys import KeyUnusable, read_trusted_key
from bundle.signing.policy import SignaturePolicy
from bundle.verify import claimed_signature, verify_bundle, verify_signed


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyPair:
    return write_pair(tmp_path_factory.mktemp("keys"), "ours")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, keys: KeyPair) -> Path:
    folder = tmp_path_factory.mktemp("signed") / "bundle"
    write_tiny_bundle(folder, stages=1)
    sign_bundle(folder, SigningKey(keys.private))
    return folder


@pytest.fixture
def signed(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "bundle"))


def required(*files: Path) -> SignaturePolicy:
    return SignaturePolicy("require", files)


def library(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line of OpenSSF model signing."""
    command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rewritten(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the signed statement and leave the signature over it as it was."""
    content = json.loads((folder / SIGNATURE_FILE).read_bytes())
    statement = json.loads(base64.b64decode(content["dsseEnvelope"]["payload"]))
    change(statement)
    content["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    (folder / SIGNATURE_FILE).write_text(json.dumps(content))


class TestTrusted:
    def test_the_signer_is_named_by_the_digest_of_its_public_key(self, signed: Path, keys: KeyPair) -> None:
        status = verify_signed(signed, trust=required(keys.public)).signature
        assert status is not None
        assert (status.state, status.key) == ("trusted", sha256(keys.public.read_bytes()).hexdigest())
        assert load_bundle(signed, trust=required(keys.public)).signature == status
        assert claimed_signature(signed).key == status.key

    def test_the_library_verifies_what_demur_signs_and_the_reverse(self, signed: Path, keys: KeyPair) -> None:
        signature = signed / SIGNATURE_FILE
        ended = library("verify", "key", "--signature", signature, "--public_key", keys.public, signed)
        assert ended.returncode == 0, ended.stderr
        signature.unlink()
        ended = library("sign", "key", "--signature", signature, "--private_key", keys.private, signed)
        assert ended.returncode == 0, ended.stderr
        verify_bundle(signed, trust=required(keys.public))

    def test_one_of_several_keys_is_enough(self, signed: Path, keys: KeyPair, tmp_path: Path) -> None:
        other, authority = write_pair(tmp_path, "other"), write_certified(tmp_path, "certified")
        verify_bundle(signed, trust=required(other.public, authority.authority, keys.public))

    @pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
    def test_longer_keys(self, signed: Path, tmp_path: Path, curve: ec.EllipticCurve) -> None:
        pair = write_pair(tmp_path, "long", curve)
        assert sign_bundle(signed, SigningKey(pair.private)).replaced
        verify_bundle(signed, trust=required(pair.public))

    def test_a_certificate_of_an_authority(self, signed: Path, tmp_path: Path) -> None:
        certified = write_certified(tmp_path, "anna")
        sign_bundle(signed, SigningKey(certified.private, certified.certificate))
        status = verify_signed(signed, trust=required(certified.authority)).signature
        assert status is not None
        assert status.subject == "CN=signer anna"
        ended = library(
            *("verify", "certificate", "--signature", signed / SIGNATURE_FILE),
            *("--certificate_chain", certified.authority, signed),
        )
        assert ended.returncode == 0, ended.stderr


class TestRefused:
    def refused(self, folder: Path, *files: Path) -> SignatureRefused:
        with pytest.raises(SignatureRefused) as caught:
            verify_bundle(folder, trust=required(*files))
        assert caught.value.file == SIGNATURE_FILE
        with pytest.raises(SignatureRefused):
            load_bundle(folder, trust=required(*files))
        status = verify_signed(folder, trust=SignaturePolicy("warn", files)).signature
        assert status is not None
        assert status.state == ("refused" if caught.value.signed else "unsigned")
        return caught.value

    def test_an_unsigned_bundle(self, signed: Path, keys: KeyPair) -> None:
        (signed / SIGNATURE_FILE).unlink()
        assert "demur sign" in self.refused(signed, keys.public).why

    def test_another_key(self, signed: Path, keys: KeyPair, tmp_path: Path) -> None:
        other = write_pair(tmp_path, "other")
        why = self.refused(signed, other.public).why
        assert str(other.public) in why
        assert sha256(keys.public.read_bytes()).hexdigest() in why

    def test_the_signature_of_another_bundle(self, signed: Path, keys: KeyPair, tmp_path: Path) -> None:
        write_tiny_bundle(tmp_path / "other", stages=1, name="other")
        shutil.copy(signed / SIGNATURE_FILE, tmp_path / "other")
        assert "of another bundle" in self.refused(tmp_path / "other", keys.public).why

    def test_a_changed_list_of_files(self, signed: Path, keys: KeyPair) -> None:
        rewritten(signed, lambda statement: statement["predicate"]["resources"].pop())
        self.refused(signed, keys.public)

    def test_a_list_that_leaves_a_file_out_or_adds_one(
        self, signed: Path, keys: KeyPair, tmp_path: Path
    ) -> None:
        """The library signs what it is told to; a file that it was told to leave out is unsigned."""
        signature, script = signed / SIGNATURE_FILE, ("sign", "key", "--private_key", keys.private)
        signature.unlink()
        ended = library(*script, "--signature", signature, "--ignore-paths", signed / "README.md", signed)
        assert ended.returncode == 0, ended.stderr
        assert "does not sign README.md" in self.refused(signed, keys.public).why
        signature.unlink()
        (signed / "note.txt").write_text("added")
        ended = library(*script, "--signature", signature, signed)
        assert ended.returncode == 0, ended.stderr
        (signed / "note.txt").unlink()
        assert "signs 'note.txt'" in self.refused(signed, keys.public).why

    @pytest.mark.parametrize(
        "content", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b'{"dsseEnvelope": 1}'], ids=repr
    )
    def test_what_is_no_signature(self, signed: Path, keys: KeyPair, content: bytes) -> None:
        (signed / SIGNATURE_FILE).write_bytes(content)
        assert "is no signature" in self.refused(signed, keys.public).why

    def test_half_a_signature(self, signed: Path, keys: KeyPair) -> None:
        data = (signed / SIGNATURE_FILE).read_bytes()
        (signed / SIGNATURE_FILE).write_bytes(data[: len(data) // 2])
        self.refused(signed, keys.public)

    def test_an_expired_certificate(self, signed: Path, tmp_path: Path) -> None:
        certified = write_certified(tmp_path, "old", days=(-30, -1))
        sign_bundle(signed, SigningKey(certified.private, certified.certificate))
        assert (
            "sign the bundle again with a certificate that is valid"
            in self.refused(signed, certified.authority).why
        )

    def test_a_certificate_of_another_authority_or_for_another_use(
        self, signed: Path, keys: KeyPair, tmp_path: Path
    ) -> None:
        certified, other = write_certified(tmp_path, "anna"), write_certified(tmp_path, "bob")
        server = write_certified(tmp_path, "server", signs=False)
        assert "brings no certificate" in self.refused(signed, certified.authority).why
        sign_bundle(signed, SigningKey(certified.private, certified.certificate))
        assert "does not vouch" in self.refused(signed, other.authority).why
        assert "was not made with the key" in self.refused(signed, keys.public).why
        sign_bundle(signed, SigningKey(server.private, server.certificate))
        assert "not for signatures" in self.refused(signed, server.authority).why

    def test_a_key_that_has_gone(self, signed: Path, tmp_path: Path) -> None:
        assert "is not there" in self.refused(signed, tmp_path / "gone.pem").why


class TestFolder:
    def test_a_changed_file_is_named_as_without_a_signature(self, signed: Path, keys: KeyPair) -> None:
        (signed / "README.md").write_text("changed")
        with pytest.raises(BundleTampered) as caught:
            verify_bundle(signed, trust=required(keys.public))
        assert caught.value.file == "README.md"

    def test_an_edited_manifest_with_right_digests_is_refused_by_the_signature(
        self, signed: Path, keys: KeyPair, tmp_path: Path
    ) -> None:
        write_tiny_bundle(tmp_path / "forged", stages=1, name="tiny", feasible=False)
        shutil.copy(signed / SIGNATURE_FILE, tmp_path / "forged")
        verify_bundle(tmp_path / "forged")
        with pytest.raises(SignatureRefused):
            verify_bundle(tmp_path / "forged", trust=required(keys.public))

    def test_the_signature_is_a_plain_file_of_bounded_size(self, signed: Path, keys: KeyPair) -> None:
        signature = signed / SIGNATURE_FILE
        with signature.open("r+b") as stream:
            stream.truncate(MAX_SIGNATURE_BYTES + 1)
        with pytest.raises(BundleTampered, match="bytes"):
            verify_bundle(signed)
        signature.unlink()
        signature.symlink_to(keys.public)
        with pytest.raises(BundleTampered, match=SIGNATURE_FILE):
            verify_bundle(signed)
        signature.unlink()
        signature.mkdir()
        with pytest.raises(BundleTampered):
            verify_bundle(signed)
        signature.rmdir()
        os.mkfifo(signature)
        with pytest.raises(BundleTampered):
            verify_bundle(signed, trust=required(keys.public))

    @pytest.mark.parametrize("name", ["model2.sig", "sub/model.sig", "model.sig.sig", "claims.jsonl"])
    def test_no_other_unlisted_file(self, signed: Path, name: str) -> None:
        (signed / name).parent.mkdir(exist_ok=True)
        (signed / name).write_text("{}")
        with pytest.raises(BundleTampered, match="was added"):
            verify_bundle(signed)

    def test_a_tampered_bundle_is_not_signed(self, signed: Path, keys: KeyPair) -> None:
        before = (signed / SIGNATURE_FILE).read_bytes()
        (signed / "README.md").write_text("changed")
        with pytest.raises(BundleError, match=r"README\.md"):
            sign_bundle(signed, SigningKey(keys.private))
        assert (signed / SIGNATURE_FILE).read_bytes() == before
        assert [one.name for one in signed.parent.iterdir()] == [signed.name]

    def test_a_signature_leaves_the_version(self, signed: Path) -> None:
        before = verify_bundle(signed).version
        (signed / SIGNATURE_FILE).unlink()
        assert verify_bundle(signed).version == before
        assert SIGNATURE_FILE not in json.loads((signed / MANIFEST_FILE).read_bytes())["files"]


class TestKeys:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "neither a public key nor certificates"),
            (b"\xff\x00", "neither"),
            (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "neither"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "neither"),
        ],
    )
    def test_keys_that_are_no_keys(self, tmp_path: Path, content: bytes, said: str) -> None:
        (tmp_path / "key.pem").write_bytes(content)
        with pytest.raises(KeyUnusable, match=said) as caught:
            read_trusted_key(tmp_path / "key.pem")
        assert str(tmp_path / "key.pem") in str(caught.value)

    def test_private_and_public_are_not_exchanged(self, keys: KeyPair, signed: Path) -> None:
        with pytest.raises(KeyUnusable, match="is a private key"):
            read_trusted_key(keys.private)
        with pytest.raises(KeyUnusable, match="holds no private key"):
            sign_bundle(signed, SigningKey(keys.public))

    @pytest.mark.parametrize(
        ("command", "said"),
        [
            (["genpkey", "-algorithm", "RSA"], "is a RSA key"),
            (["genpkey", "-algorithm", "ED25519"], "is a Ed25519 key"),
            (["ecparam", "-name", "secp256k1", "-genkey", "-noout"], "secp256k1"),
        ],
    )
    def test_other_kinds_of_keys(self, tmp_path: Path, signed: Path, command: list[str], said: str) -> None:
        private, public = tmp_path / "p.pem", tmp_path / "q.pem"
        subprocess.run(["openssl", *command, "-out", private], check=True, capture_output=True)
        subprocess.run(
            ["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True
        )
        with pytest.raises(KeyUnusable, match=said):
            read_trusted_key(public)
        with pytest.raises(KeyUnusable, match=said):
            sign_bundle(signed, SigningKey(private))

    def test_a_large_file_and_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "large").write_bytes(b"x" * (2**20 + 1))
        for name in ("large", "gone", "."):
            with pytest.raises(KeyUnusable):
                read_trusted_key(tmp_path / name)


def test_nothing_is_imported_while_no_signature_is_checked(signed: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from bundle.loader import load_bundle; "
        f"load_bundle(Path({str(signed)!r})); "
        "print([name for name in ('cryptography', 'model_signing', 'OpenSSL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
