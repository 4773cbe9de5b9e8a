"""What the services have been told about engines and signatures, as far as this machine's environment says.

A promotion runs where the variables of the services are set, or says in its plan what they are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, get_args

from bundle.choices import AUTO, ENGINE_NAMES, PRECISION_NAMES, SignatureMode
from bundle.selection.choice import EnginePreference
from bundle.signing.policy import SignaturePolicy
from deploy.errors import GateUndecided
from deploy.gates.plan import GatesPlan

_SIGNATURES: Final = "DEMUR_SIGNATURES"
_KEYS: Final = "DEMUR_TRUSTED_KEYS"
_ENGINE, _PRECISION = "DEMUR_ENGINE", "DEMUR_PRECISION"


def signature_mode(plan: GatesPlan, environment: Mapping[str, str] | None = None) -> SignatureMode:
    """What is asked of the newcomer's signature. An unknown word in the environment asks for one."""
    if plan.signature.mode != "settings":
        return plan.signature.mode
    said = _value(_SIGNATURES, environment) or "off"
    return next((mode for mode in get_args(SignatureMode) if mode == said), "require")


def signature_policy(plan: GatesPlan, environment: Mapping[str, str] | None = None) -> SignaturePolicy:
    """The policy that requires a signature. Raises GateUndecided without a key to check it with."""
    keys = plan.signature.trusted_keys or tuple(
        Path(part.strip()) for part in _value(_KEYS, environment).split(",") if part.strip()
    )
    if not keys:
        raise GateUndecided(
            "a signature is required and no key is trusted; name files of public keys or certificates in "
            f"gates.signature.trusted_keys or in {_KEYS}"
        )
    return SignaturePolicy("require", keys)


def engine_preference(plan: GatesPlan, environment: Mapping[str, str] | None = None) -> EnginePreference:
    """Engine and precision that the services ask for. Raises GateUndecided for an unknown name.

    Images are computed one by one, so that nothing is timed where only one engine may serve.
    """
    engine = plan.engine if plan.engine != AUTO else _value(_ENGINE, environment).lower() or AUTO
    precision = plan.precision if plan.precision != AUTO else _value(_PRECISION, environment).lower() or AUTO
    for variable, value, known in (
        (_ENGINE, engine, ENGINE_NAMES),
        (_PRECISION, precision, PRECISION_NAMES),
    ):
        if value not in (AUTO, *known):
            raise GateUndecided(f"{variable} is {value!r}; it must be one of auto, {', '.join(known)}")
    return EnginePreference(engine, precision, batch=1)


def _value(variable: str, environment: Mapping[str, str] | None) -> str:
    said = (os.environ if environment is None else environment).get(variable, "").strip()
    return said if variable == _KEYS else said.lower()
