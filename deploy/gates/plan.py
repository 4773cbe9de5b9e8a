"""Plan of the offline gates: which are asked for, with their limits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator
from pydantic_core import PydanticCustomError

from bundle.choices import EngineName, PrecisionName
from bundle.signing.policy import MAX_TRUSTED_KEYS
from monitoring.alerts.durations import Duration

GateName = Literal[
    "signature",
    "verification",
    "golden",
    "certificate",
    "regression",
    "risk",
    "latency",
    "memory",
    "start",
]
GATE_NAMES: Final[tuple[GateName, ...]] = get_args(GateName)
"""In the order in which they are asked"""


def or_none(value: Any) -> Any:
    """`none` as people write it: no such limit."""
    return None if value == "none" else value


Seconds = Annotated[Duration, PlainSerializer(lambda seconds: f"{seconds:.3f}s", return_type=str)]
Longest = Annotated[Seconds, Field(ge=1.0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Level = Annotated[float, Field(ge=0.0001, le=0.5)]
Times = Annotated[
    Annotated[float, Field(ge=1.0, le=1000.0, allow_inf_nan=False)] | None, BeforeValidator(or_none)
]
Milliseconds = Annotated[
    Annotated[float, Field(gt=0.0, le=600_000.0, allow_inf_nan=False)] | None, BeforeValidator(or_none)
]
Megabytes = Annotated[
    Annotated[float, Field(gt=0.0, le=10_000_000.0, allow_inf_nan=False)] | None, BeforeValidator(or_none)
]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SignatureGate(_Section):
    """The newcomer is signed by a trusted key."""

    mode: Literal["settings", "off", "require"] = "settings"
    """`settings`: as DEMUR_SIGNATURES says where the promotion runs, so that `off` and `warn` leave the gate
    out; `require`: always; `off`: the gate is left out"""
    trusted_keys: Annotated[tuple[Path, ...], Field(max_length=MAX_TRUSTED_KEYS)] = ()
    """Files of public keys or certificates; empty: those of DEMUR_TRUSTED_KEYS"""


class CertificateGate(_Section):
    """The newcomer promises no less than the champion."""

    coverage: Fraction = 0.05
    """Largest fall of the certified coverage, of the whole and of each part"""
    alpha: Annotated[Annotated[float, Field(gt=0.0, lt=1.0)] | None, BeforeValidator(or_none)] = None
    """Largest alpha of the newcomer's certificate; None: that of the champion"""
    delta: Annotated[Annotated[float, Field(gt=0.0, lt=1.0)] | None, BeforeValidator(or_none)] = None
    """Largest delta of the newcomer's certificate; None: that of the champion"""


class RegressionGate(_Section):
    """The newcomer is not worse than the champion on a shared test set."""

    test_set: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """Labelled images that neither bundle has seen, as `demur train --data` names them; None: the gates
    `regression` and `risk` are left out"""
    label_column: str | None = None
    """Column of the labels; None: `label`, if there is one, or the names of folders"""
    group: str | None = None
    """Column whose images are not independent (drive, burst), of which one each is compared; `none`: every
    image stands alone"""
    level: Level = 0.05
    """Largest probability of a wrong outcome: of failed for an equal newcomer, and of passed for one that
    loses more than `loss`"""
    loss: Annotated[float, Field(gt=0.0, le=1.0)] = 0.02
    """Fall of the accuracy that must be ruled out to pass"""
    risk: Annotated[Annotated[float, Field(gt=0.0, lt=1.0)] | None, BeforeValidator(or_none)] = None
    """Largest upper bound of the share of answers that are wrong; None: twice the alpha of the newcomer's
    certificate"""
    unreadable: Fraction = 0.05
    """Largest share of test images that cannot be read or decoded"""
    longest: Longest = 1800.0
    """Seconds"""


class SpeedGate(_Section):
    """The newcomer is as quick and as small as it must be on this machine."""

    p99: Milliseconds = None
    """Largest 99th percentile of the latency of one image, from its bytes to its decision; None: no budget"""
    p99_ratio: Times = 1.5
    """The same as a multiple of the champion's in the same run; None: not compared"""
    memory: Megabytes = None
    """Largest memory of a process that serves the bundle, MiB; None: no budget"""
    memory_ratio: Times = 1.5
    """As a multiple of the champion's; None: not compared"""
    start: Milliseconds = None
    """Longest time from the call that opens the bundle to its first decision; None: no budget"""
    start_ratio: Times = 2.0
    """As a multiple of the champion's; None: not compared"""
    seconds: Annotated[float, Field(ge=1.0, le=3600.0)] = 30.0
    """Longest time in which latencies are measured, seconds"""


class GatesPlan(_Section):
    """The offline gates. `GatesPlan()` has the defaults."""

    engine: Literal["auto", EngineName] = "auto"
    """Engine that the services have; auto: DEMUR_ENGINE, or the one that a service would choose here"""
    precision: Literal["auto", PrecisionName] = "auto"
    """Precision that the services have; auto: likewise, by DEMUR_PRECISION"""
    leave_out: tuple[GateName, ...] = ()
    """Gates that are not asked for, which the report says"""
    signature: SignatureGate = Field(default_factory=SignatureGate)
    certificate: CertificateGate = Field(default_factory=CertificateGate)
    regression: RegressionGate = Field(default_factory=RegressionGate)
    speed: SpeedGate = Field(default_factory=SpeedGate)
    longest: Longest = 600.0
    """Seconds for each gate but those of the test set"""
    memory: Megabytes = None
    """Largest memory of the process of a gate, MiB; None: three quarters of what the machine has free"""

    @model_validator(mode="after")
    def _verification_stays(self) -> Self:
        if "verification" in self.leave_out:
            raise PydanticCustomError(
                "left_out",
                "leave_out names verification, without which no other gate means anything; take it out",
            )
        return self
