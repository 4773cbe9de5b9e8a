"""Signatures of a bundle in a registry: any number beside its files, since a signature changes no digest."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import Final

from bundle.manifest import BundleManifest
from bundle.registry import keys
from bundle.registry.location import Exists, Location, Missing
from bundle.signing.envelope import MAX_SIGNATURE_BYTES, SignatureRefused
from bundle.signing.policy import SignaturePolicy, claimed

_SUFFIX: Final = ".sig"
_MAX: Final = 64
"""Signatures of one bundle that are looked at"""


def add_signature(location: Location, digest: str, signature: bytes) -> None:
    """Put a signature beside the others of a bundle."""
    name = hashlib.sha256(signature).hexdigest() + _SUFFIX
    # One of this content is there then.
    with suppress(Exists):
        location.create(f"{keys.signatures(digest)}/{name}", signature)


def choose_signature(
    location: Location, digest: str, manifest: BundleManifest, data: bytes, trust: SignaturePolicy | None
) -> bytes | None:
    """The signature for a copy of the bundle: one that `trust` trusts, if there is one, otherwise the first
    by its digest that is of this bundle; None if there is none.

    `data`: bundle.json. Whether the signature is good enough is for `verify_signed` to say.
    """
    fitting = None
    for signature in _signatures(location, digest):
        try:
            if trust is None:
                claimed(manifest, data, signature)
            elif trust.check(manifest, data, signature).state != "trusted":
                continue
            return signature
        except SignatureRefused:
            fitting = fitting or signature
    return fitting


def _signatures(location: Location, digest: str) -> list[bytes]:
    prefix = keys.signatures(digest)
    names = [name for name in location.names(prefix) if name.endswith(_SUFFIX)]
    found = []
    for name in names[:_MAX]:
        # Removed meanwhile.
        with suppress(Missing):
            found.append(location.read(f"{prefix}/{name}", MAX_SIGNATURE_BYTES))
    return found
