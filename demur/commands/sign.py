"""`demur sign`: a bundle signed, and how it is checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bundle.sign import NotSigned, SigningKey, sign_bundle
from bundle.signing.envelope import SIGNATURE_FILE
from demur.output import write_json


def sign_and_tell(
    folder: Path, key: Path, certificate: Path | None, chain: Sequence[Path], *, as_json: bool
) -> None:
    """Sign the bundle and print by which key. Raises as `sign_bundle` does."""
    if chain and certificate is None:
        raise NotSigned("--certificate-chain is given without --certificate, the certificate of the key")
    signed = sign_bundle(folder, SigningKey(key, certificate, tuple(chain)))
    if as_json:
        write_json({"signature": folder / SIGNATURE_FILE, **asdict(signed)})
        return
    print(f"{signed.name} {signed.version}: {signed.files} files are signed by the key {signed.key}.")
    if signed.replaced:
        print("The earlier signature was replaced.")
    option = "--key public.pem" if certificate is None else "--certificate-chain ca.pem"
    print(f"Signature: {folder / SIGNATURE_FILE}; it is checked with `demur verify {folder} {option}`.")
