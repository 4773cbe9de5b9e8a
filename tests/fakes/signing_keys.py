"""Keys and certificates as `openssl` would make them, on disk as PEM."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key and its public half, on disk."""

    private: Path
    public: Path
    key: Key


@dataclass(frozen=True, slots=True)
class Certified:
    """A key with a certificate, and the authority that issued it, on disk."""

    private: Path
    certificate: Path
    authority: Path


def write_pair(folder: Path, name: str, curve: ec.EllipticCurve | None = None) -> KeyPair:
    """`name.pem` and `name.pub.pem` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(curve or ec.SECP256R1())
    pair = KeyPair(folder / f"{name}.pem", folder / f"{name}.pub.pem", key)
    pair.private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    pair.public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return pair


def write_certified(
    folder: Path, name: str, *, days: tuple[float, float] = (-1, 30), signs: bool = True
) -> Certified:
    """A signer valid from `days[0]` to `days[1]` days from now, issued by an authority of its own; not
    `signs`: its certificate is for a server."""
    authority, signer = write_pair(folder, f"{name}-ca"), write_pair(folder, name)
    root = _certificate(authority.key, authority.key, "Our authority", "Our authority", (-400, 400), None)
    leaf = _certificate(signer.key, authority.key, f"signer {name}", "Our authority", days, signs)
    found = Certified(signer.private, folder / f"{name}.crt", folder / f"{name}-ca.crt")
    found.certificate.write_bytes(leaf.public_bytes(Encoding.PEM))
    found.authority.write_bytes(root.public_bytes(Encoding.PEM))
    return found


def _certificate(
    key: Key, issuer: Key, subject: str, issued_by: str, days: tuple[float, float], signs: bool | None
) -> x509.Certificate:
    """`signs`: None for an authority."""
    now = datetime.now(UTC)
    usage = ExtendedKeyUsageOID.CODE_SIGNING if signs else ExtendedKeyUsageOID.SERVER_AUTH
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issued_by))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=signs is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False
        )
    )
    if signs is None:
        builder = builder.add_extension(_usage_of_an_authority(), critical=True)
    else:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return builder.sign(issuer, hashes.SHA256())


def _usage_of_an_authority() -> x509.KeyUsage:
    others = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
    return x509.KeyUsage(
        **dict.fromkeys((*others, "key_agreement", "encipher_only", "decipher_only"), False),
        key_cert_sign=True,
        crl_sign=True,
    )


def _key_of(issuer: Key) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
