"""The promise of a run: target, score and certificate.

This part of the configuration needs no training library; the later steps (`sweep`, `gate`, `evaluate`,
`calibrate`) and `wrap` read nothing else of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from calibration.certificate import RiskTarget
from calibration.groups import Sampling, Unit
from trainer.choices import CertificateName, ScoreChoice
from trainer.errors import RunError


class PromiseConfig(BaseModel):
    """The target, the score that ranks the images, and the method of certification."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alpha: float = Field(default=0.01, gt=0.0, lt=1.0)
    """Largest share of wrong answers among the answered images."""
    delta: float = Field(default=0.05, gt=0.0, lt=1.0)
    """Largest probability that the promise is false, over the draw of val_calib."""
    min_coverage: float = Field(default=0.70, ge=0.0, le=1.0)
    """Share of the images to be answered; a certificate that misses it is valid, and says so."""
    score: ScoreChoice = "best"
    """`best`: the score that ranks val_select best, by group-wise cross-fitting."""
    certificate: CertificateName = "exact"
    """Method of certification, or none."""
    slack: float = Field(default=1.25, ge=1.0, le=3.0)
    """Factor on the fewest planned errors within which a cheaper pair of thresholds is taken."""
    unit: Unit = "group"
    """Population of the promise if images come in groups: a random frame of a random group, or a random
    image (by thinning, which costs coverage)."""
    frames: Literal["best", "one", "all"] = "best"
    """What the certificate reads of each group: `one` random frame, or `all` frames by betting on group
    means, which certifies more if the frames of a group differ. `best`: chosen on val_select."""
    max_group_size: int | None = Field(default=None, ge=1)
    """Images of one group that may count if `unit` is image; larger groups are capped. State it from
    knowledge of the recording: the largest group of a split misses rare larger ones."""
    seed: int = Field(default=0, ge=0)
    """Seed of the draw of one frame per group."""
    each_answer: bool = False
    """The promise holds for each answer separately, not only over all answers together."""
    slices: str = ""
    """The promise holds for each value of this metadata column; empty: over all images."""
    alphas: tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...] = ()
    """Several risks in this order, which share delta; the first is `alpha`, and its policy is served."""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        kinds = {"each_answer": self.each_answer, "slices": bool(self.slices), "alphas": bool(self.alphas)}
        asked = [name for name, is_asked in kinds.items() if is_asked]
        if len(asked) > 1:
            raise ValueError(f"{' and '.join(asked)} are different promises; choose one")
        if asked and self.certificate not in ("exact", "none"):
            raise ValueError(
                f"{asked[0]} is promised by the exact certificate only, not by {self.certificate}"
            )
        if self.unit == "image" and self.max_group_size is None:
            raise ValueError(
                "unit is 'image' without max_group_size; state how many images of one group may count, or "
                "choose unit group"
            )
        if self.frames == "all" and self.unit == "image":
            raise ValueError(
                "frames is 'all', which proves the risk of a random frame of a random group, but unit is "
                "'image'; choose unit group, or frames best"
            )
        if self.alphas and (self.alphas[0] != self.alpha or len(set(self.alphas)) < len(self.alphas)):
            raise ValueError(
                f"alphas are {', '.join(f'{a:g}' for a in self.alphas)}; they must begin with alpha = "
                f"{self.alpha:g}, which is served, and name each risk once"
            )
        return self

    @property
    def target(self) -> RiskTarget:
        return RiskTarget(self.alpha, self.delta, self.min_coverage)

    def sampling(self, groups: ArrayLike | None) -> Sampling:
        """The draw of independent units from images of these groups [n]."""
        return Sampling(groups, self.unit, self.seed, self.max_group_size)

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """The promise with some fields replaced; None replaces nothing. `RunError` lists every fault."""
        asked = {name: value for name, value in changes.items() if value is not None}
        try:
            return self.model_validate(self.model_dump() | asked)
        except ValidationError as error:
            raise RunError("; ".join(_fault(fault) for fault in error.errors())) from None


def _fault(fault: ErrorDetails) -> str:
    """One fault: a field with its value, or the message of a check across fields."""
    if not fault["loc"]:
        return fault["msg"].removeprefix("Value error, ")
    return f"{fault['loc'][0]} is {fault['input']!r}: {fault['msg']}"
