"""Signing of a bundle in the OpenSSF model-signing form, with a private key or a certificate, offline."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from bundle.errors import BundlePackageError
from bundle.manifest import parse_manifest
from bundle.signing.envelope import SIGNATURE_FILE, Envelope, read_envelope
from bundle.signing.keys import CURVES, KeyUnusable, fingerprint_of, key_kind, on_a_curve, read_key_file
from bundle.signing.policy import require_same_files
from bundle.verify import read_manifest_bytes, read_signature, verify_bundle

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


class NotSigned(BundlePackageError):
    """The bundle cannot be signed with these keys."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What a bundle is signed with."""

    private: Path
    """The private key, as PEM"""
    certificate: Path | None = None
    """The certificate of the signer, as PEM; None: a bare key"""
    chain: Sequence[Path] = ()
    """Certificates between the signer's and that of the authority, which are put into the signature"""


@dataclass(frozen=True, slots=True)
class SignedBundle:
    """A bundle that has just been signed."""

    name: str
    version: str
    files: int
    """Signed files, the manifest included"""
    key: str
    """Fingerprint of the key: sha256 of the public key as PEM"""
    replaced: bool
    """Whether an earlier signature was replaced"""


def sign_bundle(folder: Path, key: SigningKey) -> SignedBundle:
    """Verify the bundle in `folder`, sign it and write `model.sig` into it; an earlier one is replaced.

    The signature is read back, and must cover exactly the manifest that was verified before it is put in
    place. Raises a BundleError, KeyUnusable, NotSigned and OSError.
    """
    private = _private_key(key.private)
    data = read_manifest_bytes(folder)
    manifest = parse_manifest(data)
    verify_bundle(folder, expected=manifest.version)
    before = read_signature(folder)
    scratch = folder.parent / f".{folder.name}.{token_hex(6)}.sig"
    try:
        envelope = _signed(folder, key, scratch)
        require_same_files(envelope, manifest, data)
        os.replace(scratch, folder / SIGNATURE_FILE)
    finally:
        scratch.unlink(missing_ok=True)
    fingerprint = fingerprint_of(private.public_key())
    return SignedBundle(manifest.name, manifest.version, len(envelope.files), fingerprint, before is not None)


def _signed(folder: Path, key: SigningKey, scratch: Path) -> Envelope:
    """Write the signature of `folder` to `scratch`, and read it back."""
    # Imported here because it loads the clients of a transparency log, which nothing of demur uses.
    from model_signing.hashing import Config as HashingConfig
    from model_signing.signing import Config as SigningConfig

    hashing = HashingConfig()  # type: ignore[no-untyped-call]  # its __init__ has no annotations
    hashing.use_file_serialization(hashing_algorithm="sha256")
    # The form knows files of git that it leaves out by default; a bundle holds none, and signs everything.
    hashing.set_ignored_paths(paths=[SIGNATURE_FILE], ignore_git_paths=False)
    signing = SigningConfig()  # type: ignore[no-untyped-call]  # as above
    signing.set_hashing_config(hashing)
    try:
        if key.certificate is None:
            signing.use_elliptic_key_signer(private_key=key.private)
        else:
            signing.use_certificate_signer(
                private_key=key.private,
                signing_certificate=key.certificate,
                # The library asks for a chain; one of the signer's certificate alone adds nothing.
                certificate_chain=key.chain or [key.certificate],
            )
        signing.sign(folder.resolve(), scratch)
    except ValueError as error:
        raise NotSigned(f"{folder} is not signed with {key.private}: {error}") from error
    with scratch.open("rb") as stream:
        os.fsync(stream.fileno())
        return read_envelope(stream.read())


def _private_key(file: Path) -> EllipticCurvePrivateKey:
    """The private key in a PEM file. Raises KeyUnusable."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = read_key_file(file)
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError as error:
        raise KeyUnusable(
            f"{file} is encrypted; sign with a decrypted copy in memory: "
            f"openssl pkey -in {file} -out /dev/shm/private.pem, and remove it afterwards"
        ) from error
    except Exception as error:  # cryptography has ValueError, UnsupportedAlgorithm and others
        raise KeyUnusable(f"{file} holds no private key as PEM; {on_a_curve()}") from error
    if not isinstance(key, EllipticCurvePrivateKey) or key.curve.name not in CURVES:
        raise KeyUnusable(f"{file} is a {key_kind(key)}; {on_a_curve()}")
    return key
