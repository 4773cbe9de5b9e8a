"""What is promised (`RiskTarget`) and what was proven (`Certificate`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from calibration.encoding import decode_threshold, encode_threshold

Kind = Literal["pac", "expectation"]
"""`pac`: holds with probability 1 - delta over the draw of the calibration split.
`expectation`: holds on average over such draws; a single draw may break it."""

Population = Literal["image", "random group, random frame"]
"""Of which random image the promise speaks."""

EACH_ANSWER = "answer"
"""`Certificate.each` where the promise holds for each answer by itself."""


@dataclass(frozen=True, slots=True)
class RiskTarget:
    """The promise asked for: at most `alpha` of the answers wrong, with confidence 1 - `delta`.

    `min_coverage` is the share of images to be answered; missing it makes a certificate less useful,
    never invalid.
    """

    alpha: float = 0.01
    delta: float = 0.05
    min_coverage: float = 0.70

    def __post_init__(self) -> None:
        for name in ("alpha", "delta"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0.0 < value < 1.0):
                raise ValueError(f"{name} is {value!r}; it must lie strictly between 0 and 1")
        if not 0.0 <= self.min_coverage <= 1.0:
            raise ValueError(f"min_coverage is {self.min_coverage!r}; it must lie between 0 and 1")


@dataclass(frozen=True, slots=True)
class CertifiedOn:
    """Provenance of a certificate: the calibration split and the engine that scored it."""

    split_digest: str | None = None
    """sha256 of the calibration split"""
    engine: str | None = None
    """Engine and precision that computed the scores, for example `onnxruntime-cpu/fp32`"""


UNRECORDED = CertifiedOn()


@dataclass(frozen=True, slots=True)
class PromisedPart:
    """What was seen of one part at the certified threshold (or, where infeasible, at none)."""

    name: str
    """The answer's label, or the slice's value"""
    n: int
    answered: int
    errors: int

    @property
    def coverage(self) -> float:
        """Share of the part that is answered; NaN for an empty part."""
        return self.answered / self.n if self.n else float("nan")


@dataclass(frozen=True, slots=True)
class Certificate:
    """The outcome of one certification on one calibration split.

    An infeasible certificate is a valid result: its `threshold` is None, the policy abstains on
    everything, and `needed` says what would be needed instead.
    """

    feasible: bool
    """The risk condition was proven at some threshold."""
    meets_coverage: bool
    """The observed coverage reaches the target's `min_coverage`; never empties a policy."""
    method: str
    kind: Kind
    population: Population
    alpha: float
    delta: float | None
    """None where the guarantee is in expectation: there is no confidence level to state."""
    n: int
    """Independent units tested: images, or groups of which one frame each was drawn."""
    answered: int
    errors: int
    threshold: float | tuple[float, ...] | None
    """`confidence >= threshold` answers; one a stage for a cascade."""
    risk_upper_bound: float | None
    """Upper confidence bound of the error among the answered at `threshold`; None for `expectation`."""
    coverage: float
    coverage_lower_bound: float
    split_digest: str | None = None
    """sha256 of the calibration split that was used."""
    engine: str | None = None
    """Engine and precision that computed the scores, for example `onnxruntime-cpu/fp32`."""
    needed: str | None = None
    """Where infeasible: what is missing, in one sentence."""
    seed: int | None = None
    """Of the random draws that the certificate rests on (one frame a group, thinning); None: no draws."""
    images: int | None = None
    """Images behind the `n` units, where there are more of them than units."""
    each: str | None = None
    """Where the promise holds in each part by itself: "answer", or the column whose values are the parts.
    None: it holds over all answers together, and may be broken in a part of them."""
    parts: tuple[PromisedPart, ...] = ()
    """The parts, where the promise holds in each; of an answer, `n` counts the images that would get it."""

    def __post_init__(self) -> None:
        if self.kind == "expectation" and (self.delta is not None or self.risk_upper_bound is not None):
            raise ValueError("a guarantee in expectation has neither a delta nor an upper confidence bound")
        if self.feasible == (self.threshold is None):
            raise ValueError("a certificate has a threshold exactly where it is feasible")
        if (self.each is None) != (not self.parts):
            raise ValueError("a certificate has parts exactly where it says of what they are")

    def sentence(self) -> str:
        """The certificate in one plain sentence."""
        alpha = f"{100 * self.alpha:g} %"
        of_what = "images" if self.population == "image" else "random frames of random groups"
        each = self._in_each()
        if not self.feasible:
            return (
                f"No promise of at most {alpha} wrong answers{each} can be made: {self.needed or 'unknown'}."
            )
        if self.kind == "expectation" or self.delta is None:
            return (
                f"On average over calibration draws, at most {alpha} of the answered {of_what} are answered "
                f"wrongly{each} (in expectation only, no confidence level); "
                f"{100 * self.coverage:.1f} % of {self.n} calibration units are answered."
            )
        return (
            f"With {100 * (1 - self.delta):g} % confidence, at most {alpha} of the answered {of_what} are "
            f"answered wrongly{each}: {self.errors} wrong among {self.answered} answered of {self.n} "
            f"independent calibration units, coverage {100 * self.coverage:.1f} %."
        )

    def _in_each(self) -> str:
        """` for each answer by itself (yes: 3 of 800, no: 4 of 700)`; nothing for a promise over all."""
        if self.each is None:
            return ""
        what = "answer by itself" if self.each == EACH_ANSWER else f"value of {self.each}"
        seen = (f"{part.name}: {part.errors} of {part.answered}" for part in self.parts)
        return f" for each {what}" + (f" ({', '.join(seen)})" if self.feasible else "")

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` is the inverse."""
        values = asdict(self)
        values["parts"] = list(values["parts"])
        if isinstance(self.threshold, tuple):
            values["threshold"] = [encode_threshold(t) for t in self.threshold]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown certificate fields: {', '.join(unknown)}")
        read = dict(values)
        if isinstance(read.get("threshold"), list):
            read["threshold"] = tuple(decode_threshold(t) for t in read["threshold"])
        read["parts"] = tuple(PromisedPart(**part) for part in read.get("parts", ()))
        return cls(**read)
