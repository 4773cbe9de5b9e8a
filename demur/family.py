"""`demur bundle`: which engines and precisions are meant, and what came of them in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bundle.engines.model import PRECISIONS, EngineKey
from trainer.bundling.engines import Family
from trainer.errors import RunError


def wanted_keys(engines: str, precisions: str) -> list[EngineKey]:
    """Every named engine at every named precision that it computes at; `RunError` where one fits nowhere."""
    named, at = _names(engines), _names(precisions)
    for engine in named:
        if engine not in PRECISIONS:
            raise RunError(f"--engine names {engine!r}; it must be of {', '.join(PRECISIONS)}")
    keys = [EngineKey(engine, precision) for engine in named for precision in at if _fits(engine, precision)]
    for precision in at:
        if not any(key.precision == precision for key in keys):
            able = [engine for engine in PRECISIONS if _fits(engine, precision)]
            raise RunError(
                f"{', '.join(named)} does not compute at {precision!r}; "
                + (f"{', '.join(able)} does: name it in --engine" if able else "no engine does")
            )
    return keys


def tell_family(family: Family, folder: Path) -> Iterator[str]:
    """The certificates, what they cost and where the bundle is, a line each."""
    for member in family.members:
        yield f"{member.key}: {member.policy.certificate.sentence()}"
        if member.on_test is not None:
            yield f"  on val_test, {member.on_test.sentence().partition(': ')[2]}"
    for left_out in family.left_out:
        yield f"Left out, decides too differently: {left_out.sentence()}"
    first = family.members[0]
    if family.price is not None and family.alone is not None:
        yield (
            f"The price of sharing delta among {family.shares}: {first.key} answers "
            f"{100 * first.policy.certificate.coverage:.1f} % of the calibration units instead of "
            f"{100 * family.alone:.1f} %."
        )
    yield f"Bundle: {folder}"


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _fits(engine: str, precision: str) -> bool:
    return precision in PRECISIONS[engine]
