"""The verb `verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bundle.choices import DEFAULT_TIME_LIMIT
from demur.verbs.options import AsJson, BundleFolder, EngineOption, EnginePrecision

ExpectOption = Annotated[
    str | None,
    typer.Option(
        "--expect",
        metavar="VERSION",
        help="Version that the bundle must have, as `demur inspect` shows it. [default: any]",
    ),
]

TimeLimitOption = Annotated[
    float,
    typer.Option("--time-limit", min=0.1, help="Seconds for the models, and again for the golden cases."),
]


KeysOption = Annotated[
    list[Path],
    typer.Option(
        "--key",
        metavar="FILE",
        help="Public key that the bundle must be signed with, as PEM; several are several that may have "
        "signed it. [default: no signature is asked for]",
    ),
]
ChainsOption = Annotated[
    list[Path],
    typer.Option(
        "--certificate-chain",
        metavar="FILE",
        help="Certificates of authorities, as PEM, one of which must have issued the signer's. [default: no "
        "signature is asked for]",
    ),
]


def verify(
    folder: BundleFolder,
    engine: EngineOption = None,
    precision: EnginePrecision = None,
    expect: ExpectOption = None,
    time_limit: TimeLimitOption = DEFAULT_TIME_LIMIT,
    key: KeysOption = [],  # noqa: B006 - typer reads the default and never changes it
    certificate_chain: ChainsOption = [],  # noqa: B006 - as above
    as_json: AsJson = False,
) -> None:
    """Check every file of a bundle against its digest, and decide its golden cases again.

    Examples: `demur verify runs/first/bundle`

    `demur verify runs/first/bundle --key public.pem` refuses it unless this key has signed it (`demur sign`).

    The golden cases run on every engine and precision that the bundle is certified on and that this
    machine has, unless one is named. Digests show damage, not deceit: a bundle from others is only the one
    that you expect if its author's key has signed it, or if it has the version that its author has told you
    in another way (--expect).
    """
    from bundle.choices import AUTO
    from bundle.selection.choice import EnginePreference
    from bundle.signing.policy import policy_for
    from demur.commands.verify import verify_on_engines
    from demur.output import write_json

    preference = EnginePreference(engine or AUTO, precision or AUTO)
    trust = policy_for([*key, *certificate_chain])
    verified = verify_on_engines(folder, preference, expect, time_limit, trust)
    if as_json:
        write_json(verified.to_dict())
        return
    for line in verified.lines():
        print(line)
