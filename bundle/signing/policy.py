"""Policy of signatures: whether a bundle must be signed, and by which keys.

The signature is checked against the bytes of `bundle.json` as they were parsed, and its list against the
manifest's. Every other file is then bound by the manifest's digests, which are checked as each file is read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from bundle.extras import require_modules
from bundle.manifest import MANIFEST_FILE, BundleManifest
from bundle.signing.envelope import Envelope, SignatureRefused, read_envelope
from bundle.signing.keys import KeyUnusable, TrustedKey, check_by_any, read_trusted_key

MAX_TRUSTED_KEYS: Final = 32
"""Largest number of files with trusted keys."""


@dataclass(frozen=True, slots=True)
class SignatureStatus:
    """What is known of a bundle's signature."""

    state: Literal["trusted", "unsigned", "refused", "unchecked"]
    key: str | None = None
    """Fingerprint of the key: sha256 of the public key as PEM; checked only if the state is `trusted`"""
    subject: str | None = None
    """The name in the signer's certificate, if there is one"""
    why: str | None = None
    """Why the signature is not trusted"""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    def sentence(self) -> str:
        """One line for people."""
        if self.state == "trusted":
            return f"Signed by {self.subject or 'the key'} {self.key}, which is trusted."
        if self.state == "unchecked":
            key = f"the key {self.key}" if self.key else "a certificate"
            return f"Signed with {key}, by its own words; `demur verify --key` checks it."
        return "Not signed." if self.state == "unsigned" else f"Signed, and not trusted: {self.why}."


def claimed(manifest: BundleManifest, data: bytes, signature: bytes | None) -> SignatureStatus:
    """What a signature says of itself, checked against the bundle and against no key; its state is never
    `trusted`. Raises SignatureRefused for one that is damaged or of other content."""
    if signature is None:
        return SignatureStatus("unsigned")
    envelope = read_envelope(signature)
    require_same_files(envelope, manifest, data)
    return SignatureStatus("unchecked", envelope.key)


@dataclass(frozen=True, slots=True)
class SignaturePolicy:
    """What is asked of a bundle's signature."""

    mode: Literal["warn", "require"]
    keys: tuple[Path, ...]
    """Files of trusted public keys or certificates; read at each check, so that a key can be changed."""

    def trusted_keys(self) -> list[TrustedKey]:
        """The keys. Raises KeyUnusable, which names the file, and ExtraMissing."""
        require_modules("verify --key (and serve with DEMUR_SIGNATURES)", ("cryptography",))
        return [read_trusted_key(file) for file in self.keys]

    def check(self, manifest: BundleManifest, data: bytes, signature: bytes | None) -> SignatureStatus:
        """Check the signature of the bundle with this manifest.

        `data`: bundle.json as it was parsed; `signature`: model.sig, None if there is none. Raises
        SignatureRefused with mode `require` unless a trusted key has signed exactly this bundle.
        """
        try:
            return self._checked(manifest, data, signature)
        except SignatureRefused as error:
            if self.mode == "require":
                raise
            return SignatureStatus("refused" if error.signed else "unsigned", why=error.why)

    def _checked(self, manifest: BundleManifest, data: bytes, signature: bytes | None) -> SignatureStatus:
        if signature is None:
            raise SignatureRefused(
                "is missing: the bundle is not signed; sign it with `demur sign`", signed=False
            )
        envelope = read_envelope(signature)
        try:
            keys = self.trusted_keys()
        except KeyUnusable as error:
            raise SignatureRefused(f"cannot be checked: {error}") from error
        signer = check_by_any(envelope, keys)
        require_same_files(envelope, manifest, data)
        return SignatureStatus("trusted", signer.fingerprint, signer.subject)


def policy_for(keys: Sequence[Path]) -> SignaturePolicy | None:
    """The policy that requires a signature by one of `keys`; None without a key. Raises KeyUnusable, so that
    a wrong file is not taken for a wrong bundle."""
    if not keys:
        return None
    policy = SignaturePolicy("require", tuple(keys))
    policy.trusted_keys()
    return policy


def signed_files(manifest: BundleManifest, data: bytes) -> Mapping[str, str]:
    """File -> sha256 of everything that a signature must cover: the manifest and what it lists."""
    return {
        MANIFEST_FILE: hashlib.sha256(data).hexdigest(),
        **{file: record.sha256 for file, record in manifest.files.items()},
    }


def require_same_files(envelope: Envelope, manifest: BundleManifest, data: bytes) -> None:
    """Raise SignatureRefused unless the signed list is exactly the bundle."""
    if (difference := envelope.differs_from(signed_files(manifest, data))) is not None:
        raise SignatureRefused(difference)
