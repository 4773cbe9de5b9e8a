"""The promise asked for (`RiskTarget`) and the promise proven (`Certificate`)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any, Literal, Self

from calibration.encoding import decode_threshold, encode_threshold
from calibration.errors import CalibrationError

Kind = Literal["pac", "expectation"]
"""`pac`: holds with probability 1 - delta over the draw of the calibration split.
`expectation`: holds on average over such draws; a single draw may break it."""

ClassShares = tuple[float, float] | tuple[tuple[float, float], ...]
"""Shares of the classes: an interval of class 1 of two classes, or one interval per class"""

LOOK_AHEAD_METHOD = "exact fixed sequence, look-ahead"
ASSUMPTIONS: Mapping[str, str] = MappingProxyType(
    {
        LOOK_AHEAD_METHOD: (
            "This assumes that errors never become rarer as the confidence falls; errors below the threshold "
            "enter the test, so these counts alone do not verify it."
        )
    }
)
"""Assumption of a method beyond independent units, as its certificates state it"""

EACH_ANSWER = "answer"
"""Value of `Certificate.each` for a promise about each answer by itself"""


class MalformedCertificate(CalibrationError, ValueError):
    """A text is no certificate; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class RiskTarget:
    """Target of a certificate: at most `alpha` of the answers wrong, with confidence 1 - `delta`.

    `min_coverage` is the share of images to be answered; a certificate that misses it is less useful, but
    valid.
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
    """Counts in one part at the certified threshold; of an infeasible certificate nothing is answered."""

    name: str
    """Label of the answer, or value of the slice"""
    n: int
    answered: int
    errors: int

    @property
    def coverage(self) -> float:
        """Share of the part that is answered; NaN for an empty part."""
        return self.answered / self.n if self.n else float("nan")


@dataclass(frozen=True, slots=True)
class Certificate:
    """Result of one certification on one calibration split.

    An infeasible certificate is a valid result: its `threshold` is None, the policy abstains on every image,
    and `needed` says what is missing.
    """

    feasible: bool
    """The risk condition is proven at some threshold."""
    meets_coverage: bool
    """The observed coverage reaches the target's `min_coverage`; never empties a policy."""
    method: str
    kind: Kind
    population: str
    """The random image that the promise is about: "image", "random group, random frame", or "image, groups
    capped at N" if of a larger group only N images count"""
    alpha: float
    delta: float | None
    """None for a guarantee in expectation, which has no confidence level"""
    n: int
    """Number of independent units tested: images, or groups with one frame drawn from each"""
    answered: int
    errors: int
    threshold: float | tuple[float, ...] | None
    """`confidence >= threshold` answers; for a cascade one threshold per stage"""
    risk_upper_bound: float | None
    """Upper confidence bound of the error among the answered at `threshold`; None for `expectation`."""
    coverage: float
    coverage_lower_bound: float
    split_digest: str | None = None
    """sha256 of the calibration split"""
    engine: str | None = None
    """Engine and precision that computed the scores, for example `onnxruntime-cpu/fp32`"""
    needed: str | None = None
    """If infeasible: what is missing, in one sentence"""
    seed: int | None = None
    """Seed of the random draws behind the certificate (one frame per group, thinning); None: no draws"""
    images: int | None = None
    """Number of images behind the `n` units, if it differs from `n`"""
    each: str | None = None
    """For a promise in each part by itself: "answer", or the column whose values are the parts.
    None: the promise holds over all answers together, and may be broken in a part of them."""
    parts: tuple[PromisedPart, ...] = ()
    """The parts of a promise in each part; for an answer, `n` counts the images that would get it."""
    doubt: str | None = None
    """Why the units may not be independent, in one sentence, as long as nobody has said that they are"""
    prevalence: ClassShares | None = None
    """Shares of the classes at which the promise holds, as long as each class looks as it did: (lo, hi) of
    class 1 of two classes, or an interval per class; `parts` are then the samples at the corners, one after
    the other. None: the promise is about images whose classes are mixed as in the calibration split"""
    prevalence_of: tuple[str, ...] = ()
    """Names of the classes whose shares `prevalence` states"""

    def __post_init__(self) -> None:
        if self.kind == "expectation" and (self.delta is not None or self.risk_upper_bound is not None):
            raise ValueError("a guarantee in expectation has neither a delta nor an upper confidence bound")
        if self.feasible == (self.threshold is None):
            raise ValueError("a certificate has a threshold exactly if it is feasible")
        if self.prevalence is None and (self.each is None) != (not self.parts):
            raise ValueError("a certificate has parts exactly if `each` says of what they are")
        self._check_prevalence()

    def _check_prevalence(self) -> None:
        intervals = self.intervals
        if not all(0.0 <= low <= high <= 1.0 for low, high in intervals):
            raise ValueError(f"prevalence is {self.prevalence!r}; it must be intervals within [0, 1]")
        if len(intervals) != len(self.prevalence_of):
            raise ValueError(
                f"prevalence has {len(intervals)} intervals of {len(self.prevalence_of)} classes"
            )
        if intervals and (self.each is not None or self.kind != "pac" or (self.feasible and not self.parts)):
            raise ValueError(
                "a promise for an interval of the prevalence holds over all answers, with a confidence, and "
                "has the counts at its ends"
            )

    @property
    def intervals(self) -> tuple[tuple[float, float], ...]:
        """The intervals of `prevalence`, one per name in `prevalence_of`."""
        return () if self.prevalence is None else class_intervals(self.prevalence)

    def sentence(self) -> str:
        """The certificate in plain words: claim, evidence and doubt."""
        joint = "; " if self.feasible and self._in_expectation else ": "
        doubt = f" {self.doubt}" if self.doubt is not None and self.feasible else ""
        return f"{self.claim()}{joint}{self.evidence()}{doubt}"

    def claim(self) -> str:
        """What is promised, or that no promise can be made; without a full stop."""
        alpha = f"{100 * self.alpha:g} %"
        what = self._answered_units()
        each = self._in_each()
        if not self.feasible:
            return f"No promise of at most {alpha} wrong answers{each}{self.as_long_as()} can be made"
        if self.delta is None or self._in_expectation:
            return (
                f"On average over calibration draws, at most {alpha} of the answered {what} are answered "
                f"wrongly{each} (in expectation only, no confidence level)"
            )
        return (
            f"With {100 * (1 - self.delta):g} % confidence, at most {alpha} of the answered {what} are "
            f"answered wrongly{each}{self.as_long_as()}"
        )

    def evidence(self) -> str:
        """The counts behind the claim, or what is missing for one."""
        if not self.feasible:
            return f"{self.needed or 'unknown'}."
        if self._in_expectation:
            return f"{100 * self.coverage:.1f} % of {self.n} calibration units are answered."
        ends = "; ".join(
            f"at {part.name} {part.errors} wrong among {part.answered} answered of {part.n} drawn units"
            for part in (self.parts if self.prevalence is not None else ())
        )
        before = f"{ends}; " if ends else ""
        return (
            f"{before}{self.errors} wrong among {self.answered} answered of {self.n} independent calibration "
            f"units, coverage {100 * self.coverage:.1f} %."
            + (f" {ASSUMPTIONS[self.method]}" if self.method in ASSUMPTIONS else "")
        )

    @property
    def _in_expectation(self) -> bool:
        return self.kind == "expectation" or self.delta is None

    def _answered_units(self) -> str:
        if self.population == "random group, random frame":
            return "random frames of random groups"
        _, _, cap = self.population.partition("capped at ")
        return f"images (of a group at most {cap} count)" if cap else "images"

    def _in_each(self) -> str:
        """` for each answer by itself (yes: 3 of 800, no: 4 of 700)`; empty for a promise over all."""
        if self.each is None:
            return ""
        part_kind = "answer by itself" if self.each == EACH_ANSWER else f"value of {self.each}"
        seen = (f"{part.name}: {part.errors} of {part.answered}" for part in self.parts)
        return f" for each {part_kind}" + (f" ({', '.join(seen)})" if self.feasible else "")

    def as_long_as(self) -> str:
        """` as long as between 10 % and 40 % of the images are roadwork and each class looks as it did`."""
        if self.prevalence is None:
            return ""
        shares = ", ".join(
            f"between {_percent(low)} and {_percent(high)} of the images are {name}"
            if high > low
            else f"{_percent(low)} of the images are {name}"
            for name, (low, high) in zip(self.prevalence_of, self.intervals, strict=True)
        )
        return f" as long as {shares} and each class looks as it did"

    def prevalence_values(self) -> dict[str, Any]:
        """`prevalence`, its classes and the condition in words, for a response; empty without one."""
        if self.prevalence is None:
            return {}
        return {
            "prevalence": self.prevalence,
            "prevalence_of": self.prevalence_of,
            "condition": self.as_long_as().strip(),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` is the inverse. What is not stated (a doubt, a prevalence) has no
        entry, so that the text of a certificate without it stays as older versions write it."""
        values = asdict(self)
        values["parts"] = list(values["parts"])
        if self.doubt is None:
            del values["doubt"]
        if self.prevalence is None:
            del values["prevalence"], values["prevalence_of"]
        if isinstance(self.threshold, tuple):
            values["threshold"] = [encode_threshold(t) for t in self.threshold]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`; ValueError for unknown fields."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ValueError(f"unknown certificate fields: {', '.join(unknown)}")
        read = dict(values)
        if isinstance(read.get("threshold"), list):
            read["threshold"] = tuple(decode_threshold(t) for t in read["threshold"])
        read["parts"] = tuple(PromisedPart(**part) for part in read.get("parts", ()))
        if read.get("prevalence") is not None:
            ends = [tuple(one) if isinstance(one, list) else one for one in read["prevalence"]]
            read["prevalence"] = tuple(ends)
        read["prevalence_of"] = tuple(read.get("prevalence_of", ()))
        return cls(**read)


def class_intervals(shares: ClassShares) -> tuple[tuple[float, float], ...]:
    """The intervals of either form."""
    intervals = [one for one in shares if isinstance(one, tuple)]
    if intervals:
        return tuple(intervals)
    low, high = (float(end) for end in shares if not isinstance(end, tuple))
    return ((low, high),)


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"


def write_certificates(certificates: Sequence[Certificate]) -> str:
    """The text of a certificate file: one certificate as an object, several risks as a list of them.

    `read_certificates` is the inverse.
    """
    values = [certificate.to_dict() for certificate in certificates]
    return json.dumps(values[0] if len(values) == 1 else values, indent=2, allow_nan=False) + "\n"


def read_certificates(text: str | bytes) -> tuple[Certificate, ...]:
    """The certificates of a file: of `demur calibrate --out`, or a run's certificate.json.

    Raises MalformedCertificate.
    """
    try:
        values = json.loads(text)
        found = tuple(map(Certificate.from_dict, values if isinstance(values, list) else (values,)))
        for certificate in found:
            certificate.sentence()  # formats the numbers, so that text in their place is noticed here
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise MalformedCertificate(f"no certificate of demur: {error}") from None
    if not found:
        raise MalformedCertificate("no certificate of demur: the list is empty")
    return found
