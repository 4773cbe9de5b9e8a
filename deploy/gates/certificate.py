"""Gate on the certificate: what the newcomer promises on its engine is no less than what the champion does.

Two certificates are compared field by field, and part by part where they promise for each part. A promise
about another population is neither more nor less than the other one, so it fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bundle.engines.contract import EngineKey
from bundle.manifest import BundleManifest
from bundle.selection.local_certificate import carries_cases
from bundle.system.subprocess_call import Say
from calibration.certificate import ASSUMPTIONS, Certificate
from deploy.gates.outcome import GateResult, Outcome
from deploy.gates.plan import CertificateGate
from deploy.gates.served import Served

_CAPPED = "image, groups capped at "


@dataclass(frozen=True, slots=True)
class Comparison:
    """One property of both certificates."""

    name: str
    newcomer: float | str | None
    champion: float | str | None
    weaker: str | None
    """Why the newcomer's is weaker; None: it is not"""

    def to_values(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "newcomer": self.newcomer,
            "champion": self.champion,
            "weaker": self.weaker,
        }


def ask_certificate(
    newcomer: Served, champion: Served | None, gate: CertificateGate, *, say: Say
) -> list[GateResult]:
    """Whether the newcomer is certified on its engine, within the plan's limits and no weaker than the
    champion. Raises GateUndecided for a champion that cannot be opened."""
    manifest = newcomer.manifest()
    entry = manifest.entry(str(newcomer.key))
    if entry is None or not entry.certificate.feasible:
        return [_result("failed", _no_promise(manifest, newcomer.key), None, gate)]
    ours = entry.certificate
    weaker = [one for one in absolute_limits(ours, gate) if one.weaker]
    if weaker:
        return [_result("failed", _sentence(weaker), ours, gate, tuple(absolute_limits(ours, gate)))]
    if champion is None:
        return [_result("passed", ours.sentence(), ours, gate)]
    return [_beside_champion(ours, manifest, champion, gate)]


def _beside_champion(
    ours: Certificate, manifest: BundleManifest, champion: Served, gate: CertificateGate
) -> GateResult:
    theirs = champion.manifest()
    if set(theirs.classes) != set(manifest.classes):
        text = (
            f"the newcomer tells apart {', '.join(manifest.classes)}, the champion "
            f"{', '.join(theirs.classes)}: it promises something else; promote it to a fleet of its own"
        )
        return _result("failed", text, ours, gate)
    other = theirs.entry(str(champion.key))
    if other is None or not other.certificate.feasible:
        text = f"{ours.sentence()} The champion promises nothing on {champion.key}."
        return _result("passed", text, ours, gate)
    compared = tuple(compare_certificates(ours, other.certificate, gate.coverage))
    weaker = [one for one in compared if one.weaker]
    outcome: Outcome = "failed" if weaker else "passed"
    text = _sentence(weaker) if weaker else ours.sentence()
    return _result(outcome, text, ours, gate, compared, other.certificate)


def absolute_limits(ours: Certificate, gate: CertificateGate) -> Iterator[Comparison]:
    """The limits that the plan sets by itself."""
    for name, value, most in (("alpha", ours.alpha, gate.alpha), ("delta", ours.delta, gate.delta)):
        if most is not None:
            yield Comparison(name, value, most, _above(name, value, most, "the plan allows"))


def compare_certificates(ours: Certificate, theirs: Certificate, tolerance: float) -> Iterator[Comparison]:
    """Every property of the promises, the champion's as the limit. `tolerance`: of the coverages."""
    yield Comparison(
        "alpha", ours.alpha, theirs.alpha, _above("alpha", ours.alpha, theirs.alpha, "the champion has")
    )
    yield _kinds(ours, theirs)
    if theirs.delta is not None and ours.delta is not None:
        why = _above("delta", ours.delta, theirs.delta, "the champion has")
        yield Comparison("delta", ours.delta, theirs.delta, why)
    same = is_as_wide(ours.population, theirs.population)
    why = None if same else f"it promises for {ours.population!r}, the champion for {theirs.population!r}"
    yield Comparison("population", ours.population, theirs.population, why)
    yield _coverage("coverage", ours.coverage_lower_bound, theirs.coverage_lower_bound, tolerance)
    yield from _parts(ours, theirs, tolerance)
    yield _doubts(ours, theirs)


def is_as_wide(ours: str, theirs: str) -> bool:
    """Whether a promise for the population `ours` covers `theirs`: the same one, or groups capped less."""
    if ours == theirs:
        return True
    if not theirs.startswith(_CAPPED):
        return False
    return ours == "image" or (ours.startswith(_CAPPED) and _cap(ours) >= _cap(theirs))


def _cap(population: str) -> int:
    text = population.removeprefix(_CAPPED)
    return int(text) if text.isdecimal() else -1


def _kinds(ours: Certificate, theirs: Certificate) -> Comparison:
    weaker = theirs.kind == "pac" and ours.kind != "pac"
    why = "it holds on average only, the champion's with a confidence" if weaker else None
    return Comparison("kind", ours.kind, theirs.kind, why)


def _coverage(name: str, ours: float, theirs: float, tolerance: float) -> Comparison:
    why = None
    if not ours >= theirs - tolerance:
        why = (
            f"its {name} is certified as {100 * ours:.1f} %, the champion's as {100 * theirs:.1f} %; at most "
            f"{100 * tolerance:g} points less are allowed (gates.certificate.coverage)"
        )
    return Comparison(name, ours, theirs, why)


def _parts(ours: Certificate, theirs: Certificate, tolerance: float) -> Iterator[Comparison]:
    """Each part for which the champion promises by itself."""
    if theirs.each is None:
        return
    if ours.each != theirs.each:
        why = f"the champion promises for each {theirs.each} by itself, and it does not"
        yield Comparison("each", ours.each, theirs.each, why)
        return
    parts = {part.name: part for part in ours.parts}
    for part in theirs.parts:
        name = f"coverage of {theirs.each} {part.name}"
        mine = parts.get(part.name)
        if mine is None:
            why = f"the champion promises for {theirs.each} {part.name}, and it does not"
            yield Comparison(name, None, part.coverage, why)
        elif part.n:
            yield _coverage(name, mine.coverage if mine.n else 0.0, part.coverage, tolerance)


def _doubts(ours: Certificate, theirs: Certificate) -> Comparison:
    """Reservations under which a promise stands, which the champion's does not have."""
    added = [
        text
        for text, known in (
            (ours.doubt, theirs.doubt),
            (ASSUMPTIONS.get(ours.method), ASSUMPTIONS.get(theirs.method)),
        )
        if text is not None and known is None
    ]
    why = (
        f"it holds with a reservation that the champion's does not have: {' '.join(added)}" if added else None
    )
    return Comparison("reservation", ours.doubt, theirs.doubt, why)


def _above(name: str, value: float | None, most: float, whose: str) -> str | None:
    if value is None or value <= most * (1.0 + 1e-9):
        return None
    return f"its {name} is {value:g}, and {whose} {most:g}"


def _no_promise(manifest: BundleManifest, key: EngineKey) -> str:
    entry = manifest.entry(str(key))
    if entry is not None:
        return f"{entry.certificate.sentence()} It would answer no image."
    certified = ", ".join(one.key for one in manifest.certificates) or "none"
    carried = (
        "; it carries calibration images, with which a service certifies it for itself, but nothing can be "
        "compared before"
        if carries_cases(manifest)
        else ""
    )
    return (
        f"the bundle has no certificate for {key}, which would serve it, only for {certified}{carried}: "
        "certify it for this engine (`demur bundle`), or name the engine of the services in gates.engine"
    )


def _sentence(weaker: list[Comparison]) -> str:
    reasons = [one.weaker for one in weaker if one.weaker is not None]
    return "The newcomer promises less: " + "; ".join(reasons)


def _result(
    outcome: Outcome,
    text: str,
    ours: Certificate | None,
    gate: CertificateGate,
    compared: tuple[Comparison, ...] = (),
    theirs: Certificate | None = None,
) -> GateResult:
    return GateResult(
        "certificate",
        outcome,
        text,
        None if ours is None else _short(ours),
        _short(theirs) if theirs is not None else "a feasible certificate",
        {"compared": [one.to_values() for one in compared], "tolerance": gate.coverage},
    )


def _short(certificate: Certificate) -> str:
    """`alpha 0.01, delta 0.05, coverage >= 72.0 %`."""
    delta = "on average" if certificate.delta is None else f"delta {certificate.delta:g}"
    return f"alpha {certificate.alpha:g}, {delta}, coverage >= {100 * certificate.coverage_lower_bound:.1f} %"
