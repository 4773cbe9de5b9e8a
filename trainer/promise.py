"""What a run promises: the part of the config that needs no training library.

Later steps (`sweep`, `gate`, `evaluate`, `calibrate`) and `wrap` read this part alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from calibration.certificate import RiskTarget
from trainer.run_folder import RunError

CertificateName = Literal["exact", "scrc-i", "scrc-t", "none"]
ScoreChoice = Literal["softmax", "margin", "gate", "best"]


class PromiseConfig(BaseModel):
    """The target, the score that ranks the images, and the method that proves the target."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float = Field(default=0.01, gt=0.0, lt=1.0)
    """Largest share of wrong answers among the answered."""
    delta: float = Field(default=0.05, gt=0.0, lt=1.0)
    """Largest probability, over the draw of val_calib, that the promise is false."""
    min_coverage: float = Field(default=0.70, ge=0.0, le=1.0)
    score: ScoreChoice = "best"
    """`best`: whichever ranks best on val_select, by group-wise cross-fitting."""
    certificate: CertificateName = "exact"
    slack: float = Field(default=1.25, ge=1.0, le=3.0)
    """How many times the least planned errors a cheaper pair of thresholds may have."""
    unit: Literal["group", "image"] = "group"
    """Of what the promise speaks where images come in groups: a random frame of a random group, or a
    random image (by thinning, which costs coverage)."""
    seed: int = Field(default=0, ge=0)
    """Draws the frame of each group that the certificate reads."""

    @property
    def target(self) -> RiskTarget:
        return RiskTarget(self.alpha, self.delta, self.min_coverage)

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """A promise with some fields changed; None changes nothing. `RunError` names every fault."""
        asked = {name: value for name, value in changes.items() if value is not None}
        try:
            return self.model_validate(self.model_dump() | asked)
        except ValidationError as error:
            faults = [f"{fault['loc'][0]} is {fault['input']!r}: {fault['msg']}" for fault in error.errors()]
            raise RunError("; ".join(faults)) from None
