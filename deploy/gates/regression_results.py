"""Outcomes of the gates on a test set, from what both bundles decided on each image."""

from __future__ import annotations

from calibration.bounds import clopper_pearson_lower, clopper_pearson_upper
from calibration.certificate import Certificate
from calibration.experiments.paired_regression import (
    PairedCounts,
    answers_to_decide,
    images_to_decide,
    largest_loss,
    regression_p_value,
)
from deploy.gates.outcome import GateResult, Outcome
from deploy.gates.plan import RegressionGate
from deploy.gates.score import Score

_RISK_TIMES_ALPHA = 2.0


def regression_result(score: Score, gate: RegressionGate) -> GateResult:
    """Failed if McNemar's test finds the newcomer worse; passed if a loss above the plan's is ruled out."""
    ours, theirs = score.right[:, 0], score.right[:, 1]
    counts = PairedCounts(len(ours), int((theirs & ~ours).sum()), int((ours & ~theirs).sum()))
    p_value, most = regression_p_value(counts), largest_loss(counts, gate.level)
    seen = (
        f"On {counts.images:,} images of {score.name} the newcomer is right on {100 * ours.mean():.2f} %, "
        f"the champion on {100 * theirs.mean():.2f} %; {counts.lost:,} images are lost and "
        f"{counts.won:,} won (exact McNemar, one-sided: p = {p_value:.2g})"
    )
    bound = f"it loses at most {100 * most:.2f} points with {100 * (1 - gate.level):g} % confidence"
    outcome: Outcome
    if p_value <= gate.level:
        outcome, text = "failed", f"{seen}: the newcomer is worse."
    elif most <= gate.loss:
        outcome, text = "passed", f"{seen}: {bound}."
    else:
        outcome, text = (
            "inconclusive",
            f"{seen}: {bound}, and {100 * gate.loss:g} must be ruled out; "
            + _more(images_to_decide(counts, gate.level, gate.loss), "images"),
        )
    details = {
        "images": counts.images,
        "lost": counts.lost,
        "won": counts.won,
        "p_value": p_value,
        "largest_loss": most,
        "accuracy": float(ours.mean()),
        "champion_accuracy": float(theirs.mean()),
        "notes": list(score.notes),
    }
    return GateResult("regression", outcome, _noted(text, score), most, gate.loss, details)


def risk_result(score: Score, gate: RegressionGate, certificate: Certificate | None) -> GateResult:
    """Failed if the test set refutes the promise; passed if a risk above the plan's limit is ruled out."""
    answered = score.answered[:, 0]
    m, wrong = int(answered.sum()), int((answered & ~score.right[:, 0]).sum())
    promised = certificate.alpha if certificate is not None and certificate.feasible else gate.risk
    if promised is None:
        text = "the newcomer promises nothing on this engine, so it answers nothing that could be judged"
        return GateResult("risk", "inconclusive", text)
    limit = gate.risk if gate.risk is not None else min(0.5, _RISK_TIMES_ALPHA * promised)
    promised = min(promised, limit)
    low = float(clopper_pearson_lower(wrong, m, gate.level))
    high = float(clopper_pearson_upper(wrong, m, gate.level))
    seen = f"{wrong:,} of {m:,} answers on {score.name} are wrong (of {len(answered):,} images)"
    outcome: Outcome
    if low > promised:
        outcome = "failed"
        text = f"{seen}: the risk is at least {100 * low:.2f} %, and {100 * promised:g} % is promised."
    elif high <= limit:
        outcome, text = "passed", f"{seen}: the risk is at most {100 * high:.2f} %."
    else:
        outcome = "inconclusive"
        text = (
            f"{seen}: the risk may be {100 * high:.2f} %, and {100 * limit:g} % must be ruled out; "
            + _more(answers_to_decide(wrong, m, gate.level, promised, limit), "answers")
        )
    details = {
        "answers": m,
        "wrong": wrong,
        "low": low,
        "high": high,
        "promised": promised,
        "coverage": float(answered.mean()),
        "notes": list(score.notes),
    }
    if score.answered.shape[1] == 2:
        theirs = score.answered[:, 1]
        details |= {
            "champion_answers": int(theirs.sum()),
            "champion_wrong": int((theirs & ~score.right[:, 1]).sum()),
        }
    return GateResult("risk", outcome, _noted(text, score), high, limit, details)


def _more(needed: int | None, what: str) -> str:
    if needed is None:
        return f"more than ten million {what} would be needed"
    return f"about {needed:,} {what} would decide if the shares stay as they are"


def _noted(text: str, score: Score) -> str:
    notes = f" ({'; '.join(score.notes)})" if score.notes else ""
    return f"{text.rstrip('.')}{notes}."
