"""`demur bundle`: the engines and precisions that are meant, and the result in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bundle.engines.contract import PRECISIONS, EngineKey
from bundle.extras import require_modules
from demur.commands.results import engines_values
from demur.output import run_console, write_json
from trainer.bundling.engines import CertifiedEngines, EngineRequest, certify_engines
from trainer.errors import RunError
from trainer.run.folder import RunFolder


def bundle_run(run: Path, request: EngineRequest, *, as_json: bool) -> None:
    """Certify the run on every engine of `request`, and print the certificates and their cost."""
    if request.sbom:
        require_modules("bundle --sbom", ("cyclonedx",))
    console, folder = run_console(as_json), RunFolder(run)
    certified = certify_engines(folder, request, console)
    console.heading("Result")
    for line in result_lines(certified, folder.bundle):
        console.note(line)
    if as_json:
        write_json(engines_values(certified, run))


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


def result_lines(certified: CertifiedEngines, folder: Path) -> Iterator[str]:
    """The certificates, their cost in coverage and the bundle's folder, one line each."""
    for engine in certified.engines:
        yield f"{engine.key}: {engine.policy.certificate.sentence()}"
        for remark in engine.remarks:
            yield f"  {remark}"
        if engine.on_test is not None:
            yield f"  on val_test, {engine.on_test.sentence().partition(': ')[2]}"
    for left_out in certified.left_out:
        yield f"Left out, decides too differently: {left_out.sentence()}"
    first = certified.engines[0]
    if certified.price is not None and certified.coverage_alone is not None:
        yield (
            f"The price of sharing delta among {certified.shares}: {first.key} answers "
            f"{100 * first.policy.certificate.coverage:.1f} % of the calibration units instead of "
            f"{100 * certified.coverage_alone:.1f} %."
        )
    yield from certified.notes
    yield f"Bundle: {folder}"


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def _supports(engine: str, precision: str) -> bool:
    return precision in PRECISIONS[engine]
