"""Trusted keys: public keys on an elliptic curve, and certificates of authorities, both as PEM.

Only `cryptography` is needed, and only once a signature is checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bundle.errors import BundlePackageError
from bundle.signing.envelope import Envelope, SignatureRefused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.x509 import Certificate

MAX_KEY_BYTES: Final = 2**20
CURVES: Final = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
"""Curve -> hash, as the form has them"""
_MAKE_KEY: Final = "openssl ecparam -name prime256v1 -genkey -noout -out private.pem"


class KeyUnusable(BundlePackageError):
    """A file does not hold the key or the certificates that it is named for."""


@dataclass(frozen=True, slots=True)
class Signer:
    """The key that a signature was checked with."""

    fingerprint: str
    """sha256 of the public key as PEM, which `sha256sum public.pem` prints as well"""
    file: Path
    """The trusted file that the signature was checked with"""
    subject: str | None = None
    """The name in the certificate; None for a bare key"""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A trusted public key."""

    file: Path
    key: EllipticCurvePublicKey

    @property
    def fingerprint(self) -> str:
        """See `Signer.fingerprint`."""
        return fingerprint_of(self.key)

    def check(self, envelope: Envelope) -> Signer:
        """The signer. Raises SignatureRefused."""
        _check_bytes(envelope, self.key, f"the key {self.file}")
        return Signer(self.fingerprint, self.file)


@dataclass(frozen=True, slots=True)
class Authorities:
    """Certificates that may issue the certificate of a signer."""

    file: Path
    certificates: tuple[Certificate, ...]

    def check(self, envelope: Envelope, now: datetime | None = None) -> Signer:
        """The signer, whose certificate must be valid at `now`. Raises SignatureRefused."""
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

        if not envelope.certificates:
            raise SignatureRefused(f"brings no certificate that {self.file} could have issued")
        chain = [_der_certificate(one) for one in envelope.certificates]
        _check_chain(chain, self, datetime.now(UTC) if now is None else now)
        key = chain[0].public_key()
        if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in CURVES:
            raise SignatureRefused("has a certificate with a key that is on none of the curves of the form")
        subject = chain[0].subject.rfc4514_string()
        _check_bytes(envelope, key, f"the certificate of {subject[:120]!r}")
        return Signer(fingerprint_of(key), self.file, subject)


TrustedKey = PublicKey | Authorities


def read_trusted_key(file: Path) -> TrustedKey:
    """The public key or the certificates in a PEM file. Raises KeyUnusable."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from cryptography.x509 import load_pem_x509_certificates

    data = read_key_file(file)
    if b"PRIVATE KEY-----" in data:
        raise KeyUnusable(
            f"{file} is a private key, and what checks signatures needs the public one: "
            f"openssl ec -in {file} -pubout -out public.pem"
        )
    try:
        if b"BEGIN CERTIFICATE-----" in data:
            return Authorities(file, tuple(load_pem_x509_certificates(data)))
        key = load_pem_public_key(data)
    except Exception as error:  # cryptography has ValueError, UnsupportedAlgorithm and others
        raise KeyUnusable(
            f"{file} holds neither a public key nor certificates as PEM; make a key with `{_MAKE_KEY}` and "
            "`openssl ec -in private.pem -pubout -out public.pem`"
        ) from error
    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in CURVES:
        raise KeyUnusable(f"{file} is a {key_kind(key)}; {on_a_curve()}")
    return PublicKey(file, key)


def read_key_file(file: Path) -> bytes:
    """The bytes of a file of bounded size. Raises KeyUnusable."""
    try:
        if not file.is_file():
            raise KeyUnusable(f"{file} is not there, or is no plain file; name the path of a PEM file")
        with file.open("rb") as stream:
            data = stream.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        raise KeyUnusable(f"{file} cannot be read: {error.strerror}") from error
    if len(data) > MAX_KEY_BYTES:
        raise KeyUnusable(f"{file} has more than {MAX_KEY_BYTES} bytes; a PEM file of keys is smaller")
    return data


def key_kind(key: Any) -> str:
    """The kind of a key in words: `RSA key`, `key on the curve secp256k1`."""
    curve = getattr(key, "curve", None)
    if curve is not None:
        return f"key on the curve {curve.name}"
    return type(key).__name__.removesuffix("PublicKey").removesuffix("PrivateKey").strip("_") + " key"


def on_a_curve() -> str:
    """The keys that the form knows, and how one is made."""
    return f"model signing knows keys on {', '.join(CURVES)}; make one with `{_MAKE_KEY}`"


def fingerprint_of(key: EllipticCurvePublicKey) -> str:
    """sha256 of the public key as PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def check_by_any(envelope: Envelope, keys: Iterable[TrustedKey]) -> Signer:
    """The first trusted key that made the signature. Raises SignatureRefused with the reason of each."""
    whys = []
    for key in keys:
        try:
            return key.check(envelope)
        except SignatureRefused as error:
            whys.append(error.why)
    raise SignatureRefused("; ".join(dict.fromkeys(whys)))


def _check_bytes(envelope: Envelope, key: EllipticCurvePublicKey, whose: str) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA

    try:
        digest = getattr(hashes, CURVES[key.curve.name])()
        key.verify(envelope.signature, envelope.signed_bytes(), ECDSA(digest))
    except InvalidSignature:
        made = f"; it names the key {envelope.key}" if envelope.key else ""
        raise SignatureRefused(f"was not made with {whose}{made}") from None


def _der_certificate(data: bytes) -> Certificate:
    from cryptography.x509 import load_der_x509_certificate

    try:
        return load_der_x509_certificate(data)
    except ValueError as error:
        raise SignatureRefused(f"holds a certificate that cannot be read: {error}") from error


def _check_chain(chain: list[Certificate], trusted: Authorities, now: datetime) -> None:
    """Raise SignatureRefused unless the first certificate is valid, for signing, issued by a trusted one."""
    from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store, VerificationError

    signer = chain[0]
    subject = signer.subject.rfc4514_string()
    if not signer.not_valid_before_utc <= now <= signer.not_valid_after_utc:
        raise SignatureRefused(
            f"was made with the certificate of {subject[:120]!r}, which is valid from "
            f"{signer.not_valid_before_utc:%Y-%m-%d} to {signer.not_valid_after_utc:%Y-%m-%d}; it is "
            f"{now:%Y-%m-%d}: sign the bundle again with a certificate that is valid"
        )
    if not _may_sign(signer):
        raise SignatureRefused(
            f"was made with the certificate of {subject[:120]!r}, which is not for signatures"
        )
    policy = PolicyBuilder().store(Store(list(trusted.certificates))).time(now)
    verifier = policy.extension_policies(
        ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ExtensionPolicy.permit_all()
    ).build_client_verifier()
    try:
        verifier.verify(signer, chain[1:])
    except VerificationError as error:
        raise SignatureRefused(
            f"was made with the certificate of {subject[:120]!r}, which "
            f"{trusted.file} does not vouch for: {error}"
        ) from error


def _may_sign(certificate: Certificate) -> bool:
    """Whether the certificate is for digital signatures or for signing code, as the form asks."""
    from cryptography.x509 import ExtendedKeyUsage, ExtensionNotFound, KeyUsage
    from cryptography.x509.oid import ExtendedKeyUsageOID

    extensions = certificate.extensions
    try:
        return extensions.get_extension_for_class(KeyUsage).value.digital_signature
    except ExtensionNotFound:
        pass
    try:
        usages = extensions.get_extension_for_class(ExtendedKeyUsage).value
    except ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.CODE_SIGNING in usages
