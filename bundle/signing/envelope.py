"""`model.sig` as it is read: a Sigstore bundle with one DSSE envelope around an in-toto statement.

The statement lists every signed file with its sha256, as OpenSSF model signing 1.0 does. Nothing here
checks a key: what is returned is a claim until `bundle.signing.keys` has checked it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bundle.manifest import BundleError

SIGNATURE_FILE: Final = "model.sig"
"""Name of the signature in the folder of a bundle; the only file that the manifest does not list."""
MAX_SIGNATURE_BYTES: Final = 16 * 2**20
"""A signed list of 50,000 files, which is what fits into a manifest, takes 12 MB."""
MAX_CERTIFICATES: Final = 10
"""Largest number of certificates in a signature."""

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"


class SignatureRefused(BundleError):
    """The bundle is not signed, or not by a trusted key, or the signature is of other content."""

    def __init__(self, why: str, *, signed: bool = True) -> None:
        super().__init__(SIGNATURE_FILE, why)
        self.signed = signed
        """Whether there is a signature at all"""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A signature file, parsed."""

    payload: bytes
    """The signed statement"""
    signature: bytes
    key: str | None
    """Fingerprint of the key as the file claims it: sha256 of the public key as PEM; None if it holds
    certificates instead"""
    certificates: tuple[bytes, ...]
    """The certificates that the file brings, as DER, that of the signer first"""
    files: Mapping[str, str]
    """Signed file -> sha256, as hex digits"""

    def signed_bytes(self) -> bytes:
        """The bytes that the key signed: DSSE's pre-authentication encoding of type and payload."""
        kind = PAYLOAD_TYPE.encode()
        return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)

    def differs_from(self, files: Mapping[str, str]) -> str | None:
        """Why the signed list is not exactly `files` (file -> sha256), naming one file; None if it is."""
        for file in sorted(files.keys() - self.files.keys()):
            return f"does not sign {file}"
        for file in sorted(self.files.keys() - files.keys()):
            return f"signs {_short(file)}, which the bundle does not hold"
        for file in sorted(files):
            if self.files[file] != files[file]:
                return f"signs another {file}: it is the signature of another bundle, or {file} was changed"
        return None


def read_envelope(data: bytes) -> Envelope:
    """Parse a signature file. Raises SignatureRefused."""
    try:
        return _envelope(data)
    except SignatureRefused:
        raise
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
        raise SignatureRefused(
            f"is no signature of a model ({type(error).__name__}: {str(error)[:120]}); sign the bundle "
            "again with `demur sign`"
        ) from error


def _envelope(data: bytes) -> Envelope:
    content = json.loads(data)
    envelope, material = content["dsseEnvelope"], content["verificationMaterial"]
    if envelope["payloadType"] != PAYLOAD_TYPE:
        raise SignatureRefused(
            f"has a payload of type {_short(envelope['payloadType'])}, not {PAYLOAD_TYPE!r}"
        )
    (signature,) = envelope["signatures"]
    payload = _bytes(envelope["payload"])
    chain = material.get("x509CertificateChain", {}).get("certificates", [])
    if len(chain) > MAX_CERTIFICATES:
        raise SignatureRefused(f"holds {len(chain)} certificates; the most is {MAX_CERTIFICATES}")
    hint = material.get("publicKey", {}).get("hint")
    if hint is not None and not re.fullmatch("[0-9a-f]{64}", hint):
        raise SignatureRefused(f"names a key by {_short(hint)}, which is no sha256")
    return Envelope(
        payload,
        _bytes(signature["sig"]),
        hint,
        tuple(_bytes(one["rawBytes"]) for one in chain),
        _signed_files(json.loads(payload)),
    )


def _signed_files(statement: dict[str, Any]) -> dict[str, str]:
    """Signed file -> sha256. Raises SignatureRefused for a statement of another kind."""
    if statement["_type"] != STATEMENT_TYPE or statement["predicateType"] != PREDICATE_TYPE:
        raise SignatureRefused(
            f"is a statement of type {_short(statement['predicateType'])}, not {PREDICATE_TYPE!r}"
        )
    predicate = statement["predicate"]
    method = predicate["serialization"]["method"]
    if method != "files":
        raise SignatureRefused(
            f"signs {_short(method)}; a bundle is signed file by file, as `demur sign` does"
        )
    digests = hashlib.sha256()
    files: dict[str, str] = {}
    for resource in predicate["resources"]:
        name, algorithm, digest = resource["name"], resource["algorithm"], resource["digest"]
        if algorithm != "sha256":
            raise SignatureRefused(
                f"signs {_short(name)} by {_short(algorithm)}; a bundle is signed by sha256"
            )
        if name in files:
            raise SignatureRefused(f"signs {_short(name)} twice")
        files[name] = digest
        digests.update(bytes.fromhex(digest))
    (subject,) = statement["subject"]
    if subject["digest"]["sha256"] != digests.hexdigest():
        raise SignatureRefused("contradicts itself: its digest of all files is not that of its list")
    return files


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error


def _short(value: object) -> str:
    """A value of the file as it may stand in a message: without control characters, and short."""
    return repr(value)[:120]
