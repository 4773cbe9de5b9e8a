"""`demur bundle`: the engines and precisions that are meant, and the result in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.engines.model import PRECISIONS, EngineKey
from trainer.bundling.engines import Family, certify_family
from trainer.errors import RunError
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder


def bundle_run(
    run: Path,
    keys: Sequence[EngineKey],
    *,
    data: Mapping[str, Any],
    changes: Mapping[str, Any],
    least_agreement: float,
    reissue: bool,
    carry_calibration: bool,
) -> None:
    """Certify the run on every key, and print certificates and their cost. See `certify_family`."""
    console, folder = RunConsole(), RunFolder(run)
    family = certify_family(
        folder,
        keys,
        console,
        data=data,
        changes=changes,
        least_agreement=least_agreement,
        reissue=reissue,
        carry_calibration=carry_calibration,
    )
    console.heading("Result")
    for line in result_lines(family, folder.bundle):
        console.note(line)


def engine_keys(engines: str, precisions: str) -> list[EngineKey]:
    """Every named engine at every named precision that it supports. Names are separated by commas.

    Raises RunError for a name that is unknown, and for a precision that no named engine supports.
    """
    names, levels = _names(engines), _names(precisions)
    for engine in names:
        if engine not in PRECISIONS:
            raise RunError(f"--engine names {engine!r}; it must be of {', '.join(PRECISIONS)}")
    keys = [
        EngineKey(engine, precision)
        for engine in names
        for precision in levels
        if _supports(engine, precision)
    ]
    for precision in levels:
        if not any(key.precision == precision for key in keys):
            able = [engine for engine in PRECISIONS if _supports(engine, precision)]
            raise RunError(
                f"{', '.join(names)} does not compute at {precision!r}; "
                + (f"{', '.join(able)} does: name it in --engine" if able else "no engine does")
            )
    return keys


def result_lines(family: Family, folder: Path) -> Iterator[str]:
    """The certificates, their cost in coverage and the bundle's folder, one line each."""
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


def _supports(engine: str, precision: str) -> bool:
    return precision in PRECISIONS[engine]
