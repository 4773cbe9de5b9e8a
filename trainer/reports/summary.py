"""The result of a run in plain words, printed at its end."""

from __future__ import annotations

from trainer.certify.evidence import Policy
from trainer.reports.evaluation import REWARD, Measurement, Report
from trainer.reports.way_out import is_pretrained, way_out
from trainer.run.folder import RunFolder
from trainer.run.record import RunRecord, remembered_ledger


def closing_lines(
    record: RunRecord, policy: Policy, report: Report | None, run: RunFolder
) -> tuple[str, ...]:
    """One line each: the certificate, its number on the split, figures on val_test, paths of the files."""
    return (
        policy.certificate.sentence(),
        *_ledger_note(run),
        *policy.remarks,
        *_coverage_note(policy),
        *idle_stage_note(record, policy),
        *(("val_test is empty: nothing was measured on images never seen.",) if report is None else ()),
        *(_figures(record, report) if report is not None else ()),
        *way_out(record, policy, report, run),
        f"Picture: {run.metrics / 'risk_coverage_curve.png'}",
        f"Bundle: {run.bundle}",
    )


def _ledger_note(run: RunFolder) -> tuple[str, ...]:
    remembered = remembered_ledger(run)
    return (f"{remembered.sentence}.",) if remembered is not None and remembered.sentence else ()


def _coverage_note(policy: Policy) -> tuple[str, ...]:
    certificate = policy.certificate
    if not certificate.feasible:
        return ("The bundle is valid and abstains on every image.",)
    if certificate.meets_coverage:
        return ()
    return (f"It answers {100 * certificate.coverage:.1f} % of the images, less than was asked for.",)


def idle_stage_note(record: RunRecord, policy: Policy) -> tuple[str, ...]:
    """Says that a cascade works as one stage, why, and what would help; nothing for other policies."""
    idle = len(policy.point.stages) == 2 and policy.point.stages[0].threshold is None
    if not policy.certificate.feasible or not idle:
        return ()
    stage = record.stages[0]
    if 0 < stage.epochs < stage.planned_epochs:
        reason = f"it trained {stage.epochs} of {stage.planned_epochs} planned epochs in its time"
        remedy = "more minutes of training, or a machine without other load"
    else:
        reason = "on val_select its answers cost more errors than they save compute"
        # The multiply-accumulates of a wrapped model are unknown.
        stronger = "a stronger model for stage A (`demur wrap --fast`)"
        wider = "a wider stage A (recipe.stage_a.model.width), more training images"
        longer = "more minutes, more training images"
        trained = longer if is_pretrained(record, "stage_a") else wider
        remedy = f"{trained if stage.macs else stronger}, or more promise.slack"
    return (
        f"This cascade works as one stage: stage A answers nothing, because {reason}. Every image costs "
        f"the compute of stage B. What helps: {remedy}.",
    )


def _figures(record: RunRecord, report: Report) -> tuple[str, ...]:
    lines = [f"On {report.n:,} images of {report.split}, never seen before:"]
    lines.append(
        f"  answered {percent(report['coverage'])}, wrong among them {percent(report['selective_error'], 2)}"
    )
    if len(record.stages) == 2 and report.value("coverage"):
        share = 100 * record.costs[0] / record.costs[1] if record.costs[1] else float("nan")
        lines.append(
            f"  stage A gives {percent(report['stage_a_share'])} of the answers, at {share:.0f} % of the "
            "compute of stage B"
        )
    if len(record.classes) == 2 and report.value("answered_recall_1") is not None:
        lines.append(
            f"  of the answered {record.classes[1]!r} {percent(report['answered_recall_1'])} are recognised"
        )
    lines.append(
        f"  forced to answer everything: MCC {number(report['forced_mcc'])}, balanced MCC "
        f"{number(report['forced_balanced_mcc'])}, accuracy {percent(report['forced_accuracy'])}"
    )
    if len(record.classes) == 2:
        lines.append(
            f"  forced: recall {percent(report['forced_recall'])}, specificity "
            f"{percent(report['forced_specificity'])}"
        )
    if REWARD in report:
        lines.append(
            f"  such a stream would earn a mean reward of {number(report[REWARD])} in the roadwork task"
        )
    return tuple(lines)


def percent(measured: Measurement, digits: int = 1) -> str:
    """`79.3 % (77.1 to 81.2)`, or `undefined`."""
    if measured.value is None:
        return "undefined"
    text = f"{100 * measured.value:.{digits}f} %"
    if measured.low is None or measured.high is None:
        return text
    return f"{text} ({100 * measured.low:.{digits}f} to {100 * measured.high:.{digits}f})"


def number(measured: Measurement) -> str:
    """`0.962 (0.951 to 0.972)`, or `undefined`."""
    if measured.value is None:
        return "undefined"
    if measured.low is None or measured.high is None:
        return f"{measured.value:.3f}"
    return f"{measured.value:.3f} ({measured.low:.3f} to {measured.high:.3f})"
