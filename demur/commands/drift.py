"""`demur drift report`: what moved, by how much, with a picture per signal."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle.reference import read_reference
from bundle.verify import read_verified, verify_bundle
from calibration.drift.comparison import SignalShift
from calibration.drift.signals import SignalSample
from demur.errors import InterfaceError
from monitoring.drift.conclusion import Conclusion
from monitoring.drift.sample_folder import SampleFolder, Window, drift_folder
from monitoring.drift.wording import signal_name


class NoDriftYet(InterfaceError):
    """There is nothing to report on: no reference, or no closed window."""


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The closed windows of one bundle."""

    bundle: str
    """`name:version`"""
    reference: SignalSample
    windows: tuple[tuple[Window, Conclusion], ...]
    """The oldest first; at least one"""

    @property
    def latest(self) -> Conclusion:
        return self.windows[-1][1]


def default_data_dir() -> Path:
    """Data folder of the service, as its variable says."""
    return Path(os.environ.get("DEMUR_DATA_DIR") or "demur-data")


def read_drift(bundle: Path, data_dir: Path) -> DriftReport:
    """The windows that a service with this data folder has closed for a bundle.

    Raises NoDriftYet, and a BundleError.
    """
    manifest = verify_bundle(bundle)
    label = f"{manifest.name}:{manifest.version}"
    if manifest.reference is None:
        raise NoDriftYet(
            f"{bundle} has no reference: drift is off. `demur calibrate RUN` writes the bundle of a run "
            "again, with a reference if the run was trained or wrapped by this version"
        )
    key = manifest.certificates[0].key if manifest.certificates else ""
    reference = read_reference(read_verified(bundle, manifest, manifest.reference)).on(key)
    folder = SampleFolder(drift_folder(data_dir, label))
    windows = tuple(_concluded(folder))
    if not windows:
        raise NoDriftYet(
            f"no window of {label} is closed in {folder.folder}: {folder.waiting} images are there. Name the "
            "data folder of the service with --data-dir, or wait until it has seen more images"
        )
    return DriftReport(label, reference, windows)


def report_lines(report: DriftReport) -> Iterator[str]:
    """The report in words, and a table of all signals."""
    found = report.latest
    yield f"{report.bundle}: {found.sentence()}."
    expected = found.performance_sentence()
    if expected is not None:
        yield f"{expected[:1].upper()}{expected[1:]}."
    alarms = sum(conclusion.alarm for _, conclusion in report.windows)
    yield f"Windows closed: {len(report.windows)}, with an alarm: {alarms}."
    if not found.shifts:
        return
    yield ""
    yield f"{'signal':<24}{'reference':>12}{'now':>12}{'PSI':>8}{'p':>10}  moved"
    for shift in sorted(found.shifts, key=lambda one: -one.psi):
        yield _row(shift)
    if found.joint_p_value is not None:
        moved = "yes" if found.joint_moved else ""
        yield f"{'all together (MMD)':<48}{'':>8}{found.joint_p_value:>10.2g}  {moved}"


def report_values(report: DriftReport, pictures: Sequence[Path]) -> dict[str, Any]:
    """The report as plain JSON values."""
    return {
        "bundle": report.bundle,
        "latest": {**report.latest.to_values(), "expected_sentence": report.latest.performance_sentence()},
        "windows": [
            {
                "at": one.at,
                "images": one.images,
                "alarm": one.alarm,
                "moved": [shift.name for shift in one.moved],
            }
            for _, one in report.windows
        ],
        "pictures": [str(path) for path in pictures],
    }


def draw_report(report: DriftReport, out: Path) -> list[Path]:
    """Draw a picture of each signal into `out`, those that moved most first."""
    from trainer.reports.drift_pictures import Course, draw_signal

    drawn = []
    for shift in sorted(report.latest.shifts, key=lambda one: -one.psi):
        before = _column(report.reference, shift.name)
        course = [
            (window.until, values, _has_moved(conclusion, shift.name))
            for window, conclusion in report.windows
            if (values := _column(window.sample, shift.name)) is not None
        ]
        if before is None or not course:
            continue
        path = out / f"{shift.name}.png"
        draw_signal(path, shift, before, Course(*map(list, zip(*course, strict=True))))
        drawn.append(path)
    return drawn + _draw_embedding(report, out / "embedding.png")


def _draw_embedding(report: DriftReport, path: Path) -> list[Path]:
    """The picture of the joint test; none for a model without an embedding."""
    from trainer.reports.drift_pictures import draw_embedding

    before, now = report.reference.embedding, report.windows[-1][0].sample.embedding
    tested = [
        (window.until, conclusion.joint_p_value)
        for window, conclusion in report.windows
        if conclusion.joint_p_value is not None
    ]
    if before is None or now is None or before.shape[1] != now.shape[1] or not tested:
        return []
    draw_embedding(path, before, now, [at for at, _ in tested], [p for _, p in tested])
    return [path]


def _concluded(folder: SampleFolder) -> Iterator[tuple[Window, Conclusion]]:
    """The closed windows whose conclusions this version reads."""
    for window, values in folder.closed():
        try:
            yield window, Conclusion.from_values(values)
        except (ValueError, KeyError, TypeError):
            continue


def _row(shift: SignalShift) -> str:
    before, now = f"{shift.reference:.4g}", f"{shift.current:.4g}"
    if shift.category is not None:
        before, now = f"{100 * shift.reference:.1f} %", f"{100 * shift.current:.1f} %"
    moved = "yes" if shift.moved else ""
    return f"{signal_name(shift):<24}{before:>12}{now:>12}{shift.psi:>8.2f}{shift.p_value:>10.2g}  {moved}"


def _column(sample: SignalSample, name: str) -> Any:
    return sample.numbers.get(name, sample.categories.get(name))


def _has_moved(conclusion: Conclusion, name: str) -> bool:
    return any(shift.name == name for shift in conclusion.moved)
