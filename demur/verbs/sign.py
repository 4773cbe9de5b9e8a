"""The verb `sign`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from demur.verbs.options import AsJson, BundleFolder

PrivateKey = Annotated[
    Path, typer.Option("--key", metavar="FILE", help="Private key on an elliptic curve, as PEM.")
]
SignerCertificate = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        metavar="FILE",
        help="Certificate of this key, as PEM, if those who check trust its authority instead of the key. "
        "[default: none]",
    ),
]
CertificateChain = Annotated[
    list[Path],
    typer.Option(
        "--certificate-chain",
        metavar="FILE",
        help="Certificates between that of the key and its authority, as PEM. [default: none]",
    ),
]


def sign(
    folder: BundleFolder,
    key: PrivateKey,
    certificate: SignerCertificate = None,
    certificate_chain: CertificateChain = [],  # noqa: B006 - typer reads the default and never changes it
    as_json: AsJson = False,
) -> None:
    """Sign a bundle: `model.sig` in its folder then says who vouches for every byte of it.

    Example: `demur sign runs/first/bundle --key private.pem`

    Keys are made with `openssl ecparam -name prime256v1 -genkey -noout -out private.pem` and
    `openssl ec -in private.pem -pubout -out public.pem`. The signature has the form of OpenSSF model signing,
    whose own program checks it as well; nothing is sent anywhere. The bundle is verified first, and keeps its
    version. A bundle that is written again is another one, and must be signed again. A service refuses what
    your key has not signed with `DEMUR_SIGNATURES=require` and `DEMUR_TRUSTED_KEYS=public.pem`.
    """
    from demur.commands.sign import sign_and_tell

    sign_and_tell(folder, key, certificate, certificate_chain, as_json=as_json)
