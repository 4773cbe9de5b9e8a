"""The promise of a run: target, score and certificate.

This part of the configuration needs no training library; the later steps (`sweep`, `gate`, `evaluate`,
`calibrate`) and `wrap` read nothing else of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from calibration.certificate import ClassShares, RiskTarget, class_intervals
from calibration.groups import Sampling, Unit
from trainer.choices import CertificateName, ScoreChoice
from trainer.errors import RunError


class UnlabelledImages(BaseModel):
    """Unlabelled images from which the interval of the prevalence is found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    """Name of the source, as it was given"""
    digest: str
    """sha256 of the scores of the images"""
    units: int
    """Number of independent images, or groups"""
    planned: tuple[float, float]
    """Rough interval from val_select, for which the path is planned before a label of val_calib is read"""
    delta: float = Field(gt=0.0, lt=1.0)
    """Part of delta that the interval has spent"""


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

    prevalence: ClassShares | None = None
    """The promise holds as long as the share of class 1 lies in this interval and each class looks as it did;
    of more than two classes one interval per class. None: the classes are mixed as in val_calib."""
    unlabelled: UnlabelledImages | None = None
    """The images from which `prevalence` is found; null: it is given, or there is none. Written by
    `demur calibrate RUN --prevalence-from`."""

    @field_validator("prevalence", "unlabelled", mode="before")
    @classmethod
    def _nothing_is_none(cls, value: Any) -> Any:
        return None if isinstance(value, Sequence | Mapping) and len(value) == 0 else value

    @field_validator("prevalence")
    @classmethod
    def _within_one(cls, value: ClassShares | None) -> ClassShares | None:
        for low, high in () if value is None else class_intervals(value):
            if not 0.0 <= low <= high <= 1.0:
                raise ValueError(
                    f"an interval of shares must rise, within 0 and 1, and {low:g} to {high:g} does not"
                )
        return value

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        kinds = {"each_answer": self.each_answer, "slices": bool(self.slices), "alphas": bool(self.alphas)}
        kinds["prevalence"] = self.for_shares
        asked = [name for name, is_asked in kinds.items() if is_asked]
        if len(asked) > 1:
            raise ValueError(f"{' and '.join(asked)} are different promises; choose one")
        if asked and self.certificate not in ("exact", "none"):
            raise ValueError(
                f"{asked[0]} is promised by the exact certificate only, not by {self.certificate}"
            )
        if self.for_shares and self.frames == "all":
            raise ValueError(
                "frames is 'all', which bets on the means of groups, but a promise for an interval of the "
                "prevalence is proven on one frame per group; choose frames one or best"
            )
        if self.unlabelled is not None and self.unlabelled.delta >= self.delta:
            raise ValueError(
                f"delta is {self.delta:g}, and the interval of the prevalence has spent "
                f"{self.unlabelled.delta:g} of it; find the interval again, with --prevalence-from"
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
    def for_shares(self) -> bool:
        """Whether the promise is for an interval of the prevalence."""
        return self.prevalence is not None or self.unlabelled is not None

    @property
    def planned_shares(self) -> ClassShares | None:
        """The class shares for which a path is planned; they depend on no label of val_calib."""
        return self.prevalence if self.unlabelled is None else self.unlabelled.planned

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
