"""The calibration images of a run as files of its bundle, for certification on another machine's engine."""

from __future__ import annotations

from collections.abc import Mapping

from bundle.draft import FileSource
from bundle.images.headers import read_header
from bundle.selection.local_certificate import CASES_FILE, CalibrationCase, CalibrationCases, Plan
from calibration.decision import OperatingPoint
from calibration.encoding import encode_path
from trainer.certify.evidence import Evidence, plan_path
from trainer.certify.exact import reads_all_frames
from trainer.data.images import ImageSource
from trainer.data.splits import Splits
from trainer.errors import RunError

_SUFFIXES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}


def calibration_files(
    source: ImageSource, splits: Splits, by_precision: Mapping[str, Evidence]
) -> dict[str, FileSource]:
    """Files by their path in the bundle: the images of val_calib, and the path to test on them.

    `by_precision`: evidence of the certificate at each precision, fp32 first, at its share of delta; one more
    share is reserved for the other machine. `RunError` for a promise that images alone cannot prove.
    """
    first = next(iter(by_precision.values()))
    promise = first.promise
    in_parts = promise.each_answer or promise.slices or promise.alphas or promise.for_shares
    if promise.certificate != "exact" or in_parts:
        raise RunError(
            "calibration images can be carried for an exact certificate over all answers only; "
            f"this run promises {promise.certificate}"
            + ("" if promise.certificate != "exact" else " in parts, at several risks or for shares")
        )
    if len(splits.val_calib) == 0:
        raise RunError("val_calib is empty: there are no calibration images to carry")
    files: dict[str, FileSource] = {}
    cases = []
    for place, row in enumerate(splits.val_calib.tolist()):
        data = source.read(row)
        file = f"calibration/images/{place:06d}.{_SUFFIXES[read_header(data).format]}"
        files[file] = data
        group = None if source.groups is None else str(source.groups[row])
        cases.append(CalibrationCase(file=file, label=int(source.labels[row]), group=group))
    whole = CalibrationCases(
        alpha=promise.alpha,
        reserved_delta=promise.delta,
        min_coverage=promise.min_coverage,
        unit=promise.unit,
        max_group_size=promise.max_group_size,
        seed=promise.seed,
        all_frames=reads_all_frames(first),
        split_digest=first.calib.digest,
        plans={precision: _plan(evidence) for precision, evidence in by_precision.items()},
        cases=tuple(cases),
    )
    files[CASES_FILE] = whole.model_dump_json(indent=1).encode() + b"\n"
    return files


def _plan(evidence: Evidence) -> Plan:
    return Plan(rules=OperatingPoint(evidence.rules), path=encode_path(plan_path(evidence)))
