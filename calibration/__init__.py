"""Certified selective classification: scores, bounds, risk control, decision rule, metrics.

Names are loaded when first used: importing the decision rule costs no SciPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# The function has its module's name: bound here at once, or the module would take its place.
from calibration.resampling import bootstrap

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
    from calibration.errors import (
        CalibrationError,
        DeltaExhausted,
        DemurError,
        LedgerError,
        ScrcError,
    )
    from calibration.exact.cascade import (
        CascadePath,
        CascadeScores,
        CascadeUsage,
        cascade_usage,
        certify_cascade,
    )
    from calibration.exact.cascade_by_stage import (
        certify_each_stage,
    )
    from calibration.exact.fallback import (
        RiskLadder,
        certify_several,
    )
    from calibration.exact.fixed_sequence import (
        certify,
    )
    from calibration.exact.group_betting import (
        certify_group_means,
        certify_path_by_betting,
    )
    from calibration.exact.intersection_union import (
        JointCertificate,
        certify_answers,
        certify_slices,
    )
    from calibration.exact.path_test import (
        certify_path,
    )
    from calibration.exact.paths import (
        StagePath,
    )
    from calibration.exact.strata import (
        Parts,
    )
    from calibration.groups import (
        intra_group_correlation,
    )
    from calibration.ledger import (
        Ledger,
        LedgerEntry,
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
    from calibration.planning.cascade import (
        plan_cascade,
    )
    from calibration.planning.thresholds import (
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
    "calibration.exact.cascade": (
        "CascadePath",
        "CascadeScores",
        "CascadeUsage",
        "cascade_usage",
        "certify_cascade",
    ),
    "calibration.exact.cascade_by_stage": ("certify_each_stage",),
    "calibration.planning.cascade": ("plan_cascade",),
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
    "calibration.exact.fixed_sequence": ("certify",),
    "calibration.exact.group_betting": (
        "certify_group_means",
        "certify_path_by_betting",
    ),
    "calibration.groups": ("intra_group_correlation",),
    "calibration.exact.intersection_union": (
        "JointCertificate",
        "certify_answers",
        "certify_slices",
    ),
    "calibration.errors": (
        "CalibrationError",
        "DeltaExhausted",
        "DemurError",
        "LedgerError",
        "ScrcError",
    ),
    "calibration.ledger": (
        "Ledger",
        "LedgerEntry",
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
    "calibration.exact.strata": ("Parts",),
    "calibration.exact.paths": ("StagePath",),
    "calibration.planning.thresholds": ("plan_thresholds",),
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
    "calibration.exact.fallback": (
        "RiskLadder",
        "certify_several",
    ),
    "calibration.exact.path_test": ("certify_path",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CalibrationError",
    "CascadePath",
    "CascadeScores",
    "CascadeUsage",
    "Certificate",
    "Decision",
    "DeltaExhausted",
    "DemurError",
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
    "ScrcError",
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
