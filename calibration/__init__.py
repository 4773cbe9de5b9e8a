"""Certified selective classification: scores, bounds, risk control, decision rule, metrics.

Names are loaded when first used: importing the decision rule costs no SciPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# The function has its module's name: bound here at once, or the module would take its place.
from calibration.bootstrap import bootstrap

if TYPE_CHECKING:
    from calibration.bounds import (
        binomial_p_value,
        clopper_pearson_lower,
        clopper_pearson_upper,
        dkw_band,
        dkw_margin,
        fewest_answered,
        hoeffding_bentkus_p_value,
        hoeffding_bentkus_upper,
        most_errors,
        randomised_binomial_p_value,
        randomised_clopper_pearson_upper,
        wsr_betting_upper,
    )
    from calibration.cascade import (
        CascadePath,
        CascadeScores,
        CascadeUsage,
        cascade_usage,
        certify_cascade,
    )
    from calibration.cascade_by_stage import (
        certify_each_stage,
    )
    from calibration.cascade_planning import (
        plan_cascade,
    )
    from calibration.certificate import (
        Certificate,
        PromisedPart,
        RiskTarget,
    )
    from calibration.decision import (
        Decision,
        OperatingPoint,
        StageRule,
        answers,
        decide,
    )
    from calibration.fixed_sequence import (
        certify,
    )
    from calibration.group_betting import (
        certify_group_means,
        certify_path_by_betting,
    )
    from calibration.groups import (
        intra_group_correlation,
    )
    from calibration.joint import (
        JointCertificate,
        certify_answers,
        certify_slices,
    )
    from calibration.ledger import (
        DeltaExhausted,
        Ledger,
        LedgerEntry,
        LedgerError,
    )
    from calibration.metrics import (
        augrc,
        aurc,
        brier,
        expected_calibration_error,
        mcc,
        nll,
        risk_coverage_curve,
        selective_risk_at,
    )
    from calibration.parts import (
        Parts,
    )
    from calibration.paths import (
        StagePath,
    )
    from calibration.planning import (
        plan_thresholds,
    )
    from calibration.risk_control import (
        RiskControl,
        conformal_risk_control,
        learn_then_test,
        rcps,
        sgr,
    )
    from calibration.scores import (
        ScoreTable,
        StageOutputs,
    )
    from calibration.scrc import (
        ScrcI,
        ScrcT,
    )
    from calibration.several_risks import (
        RiskLadder,
        certify_several,
    )
    from calibration.walk import (
        certify_path,
    )

_HOMES = {
    "calibration.bounds": (
        "binomial_p_value",
        "clopper_pearson_lower",
        "clopper_pearson_upper",
        "dkw_band",
        "dkw_margin",
        "fewest_answered",
        "hoeffding_bentkus_p_value",
        "hoeffding_bentkus_upper",
        "most_errors",
        "randomised_binomial_p_value",
        "randomised_clopper_pearson_upper",
        "wsr_betting_upper",
    ),
    "calibration.cascade": (
        "CascadePath",
        "CascadeScores",
        "CascadeUsage",
        "cascade_usage",
        "certify_cascade",
    ),
    "calibration.cascade_by_stage": ("certify_each_stage",),
    "calibration.cascade_planning": ("plan_cascade",),
    "calibration.certificate": (
        "Certificate",
        "PromisedPart",
        "RiskTarget",
    ),
    "calibration.decision": (
        "Decision",
        "OperatingPoint",
        "StageRule",
        "answers",
        "decide",
    ),
    "calibration.fixed_sequence": ("certify",),
    "calibration.group_betting": (
        "certify_group_means",
        "certify_path_by_betting",
    ),
    "calibration.groups": ("intra_group_correlation",),
    "calibration.joint": (
        "JointCertificate",
        "certify_answers",
        "certify_slices",
    ),
    "calibration.ledger": (
        "DeltaExhausted",
        "Ledger",
        "LedgerEntry",
        "LedgerError",
    ),
    "calibration.metrics": (
        "augrc",
        "aurc",
        "brier",
        "expected_calibration_error",
        "mcc",
        "nll",
        "risk_coverage_curve",
        "selective_risk_at",
    ),
    "calibration.parts": ("Parts",),
    "calibration.paths": ("StagePath",),
    "calibration.planning": ("plan_thresholds",),
    "calibration.risk_control": (
        "RiskControl",
        "conformal_risk_control",
        "learn_then_test",
        "rcps",
        "sgr",
    ),
    "calibration.scores": (
        "ScoreTable",
        "StageOutputs",
    ),
    "calibration.scrc": (
        "ScrcI",
        "ScrcT",
    ),
    "calibration.several_risks": (
        "RiskLadder",
        "certify_several",
    ),
    "calibration.walk": ("certify_path",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CascadePath",
    "CascadeScores",
    "CascadeUsage",
    "Certificate",
    "Decision",
    "DeltaExhausted",
    "JointCertificate",
    "Ledger",
    "LedgerEntry",
    "LedgerError",
    "OperatingPoint",
    "Parts",
    "PromisedPart",
    "RiskControl",
    "RiskLadder",
    "RiskTarget",
    "ScoreTable",
    "ScrcI",
    "ScrcT",
    "StageOutputs",
    "StagePath",
    "StageRule",
    "answers",
    "augrc",
    "aurc",
    "binomial_p_value",
    "bootstrap",
    "brier",
    "cascade_usage",
    "certify",
    "certify_answers",
    "certify_cascade",
    "certify_each_stage",
    "certify_group_means",
    "certify_path",
    "certify_path_by_betting",
    "certify_several",
    "certify_slices",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "conformal_risk_control",
    "decide",
    "dkw_band",
    "dkw_margin",
    "expected_calibration_error",
    "fewest_answered",
    "hoeffding_bentkus_p_value",
    "hoeffding_bentkus_upper",
    "intra_group_correlation",
    "learn_then_test",
    "mcc",
    "most_errors",
    "nll",
    "plan_cascade",
    "plan_thresholds",
    "randomised_binomial_p_value",
    "randomised_clopper_pearson_upper",
    "rcps",
    "risk_coverage_curve",
    "selective_risk_at",
    "sgr",
    "wsr_betting_upper",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOME_OF[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
