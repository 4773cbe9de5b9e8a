from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from calibration.certificate import Certificate, CertifiedOn, RiskTarget
from calibration.decision import OperatingPoint, StageRule, decide, decide_stage
from calibration.groups import Sampling
from calibration.prediction_sets import critical_for_answer, critical_for_set, set_report
from calibration.scores import StageOutputs
from calibration.scrc import (
    ScrcError,
    ScrcGrids,
    ScrcI,
    ScrcScores,
    ScrcT,
    ScrcTerms,
    images_needed,
    plan_scrc_t,
    selector_and_classifier,
)

MARGIN = StageRule(score="margin")


def world(n, generator, classes=2, signal=3.0):
    """Raw outputs and labels of n images; harder and easier ones."""
    labels = generator.integers(0, classes, n)
    logits = generator.normal(0, 1, (n, classes))
    logits[np.arange(n), labels] += signal * generator.random(n) ** 0.5 * 1.5
    return StageOutputs(1.7 * logits), labels


def literal_decision(g, f, labels, new_g, new_f, alpha, xi, limit, loss):
    """SCRC-T as the paper defines it (with floor for ceil), recomputed for one new image in O(n log n)."""
    everyone = [*g, new_g]
    n = len(g)
    acceptance_thresholds = [
        t
        for t in sorted(set(everyone))
        if Fraction(sum(x < t for x in everyone), n + 1) <= 1 - Fraction(repr(xi))
    ]
    threshold = acceptance_thresholds[-1]
    if new_g < threshold:
        return None
    accepted = [i for i in range(n) if g[i] >= threshold]
    critical = loss(np.asarray(f), np.asarray(labels))
    budget = (len(accepted) + 1) * Fraction(repr(alpha)) - 1
    candidates = sorted({limit, *(c for c in critical if c <= limit)})
    good = [s for s in candidates if sum(critical[i] < s for i in accepted) <= budget]
    if not good:
        return "nothing can be promised"
    return tuple(k for k, p in enumerate(new_f) if p >= good[-1])


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.lists(st.integers(1, 6), min_size=3, max_size=3), st.integers(0, 2)),
        min_size=10,
        max_size=30,
    ),
    st.sampled_from([("sets", 0.2, 1.0), ("sets", 0.4, 1.0), ("answers", 0.9, 0.2), ("answers", 0.8, 0.3)]),
    st.sampled_from([0.05, 0.3, 0.5, 0.7, 0.9, 1.0]),
)
def test_a_constant_time_decision_is_the_literal_one_ties_included(rows, promised, xi):
    promise, alpha, share = promised
    g = [float(c) for c, _, _ in rows]
    f = np.array([w for _, w, _ in rows], dtype=float)
    f /= f.sum(axis=1, keepdims=True)
    labels = [y for _, _, y in rows]
    loss = critical_for_answer if promise == "answers" else critical_for_set
    policy = ScrcT.fit(
        ScrcScores(g, f, labels),
        RiskTarget(alpha, 0.05, 0.0),
        ScrcTerms(promise, xi),
        answer_share=share,
        set_threshold_limit=1.0,
    )
    event(f"{promise}, feasible: {policy.feasible}")
    for new_g in [*{*g}, *(x + 0.5 for x in {*g}), -1.0]:
        for new_f in ([0.5, 0.3, 0.2], [0.4, 0.35, 0.25], [1 / 3] * 3, *f[:3]):
            expected = literal_decision(g, f, labels, new_g, new_f, alpha * share, xi, 1.0, loss)
            if policy.feasible:
                assert policy.predict_set(new_g, new_f) == expected
            else:
                assert policy.predict_set(new_g, new_f) is None


def test_scrc_t_thresholds_are_right_by_hand():
    # Nine units, xi = 0.7: K = floor(0.3 * 10) = 3, so the threshold is the third smallest confidence and
    # m = 6. At alpha = 0.3: floor(7 * 0.3) - 1 = 1 loss is allowed, and floor(8 * 0.3) - 1 = 1 at the tie.
    g = np.arange(1, 10) / 10
    p_of_label = np.array([0.9, 0.9, 0.31, 0.42, 0.9, 0.33, 0.9, 0.9, 0.9])
    f = np.stack([1 - p_of_label, p_of_label], axis=1)
    policy = ScrcT.fit(
        ScrcScores(g, f, np.ones(9, dtype=int)),
        RiskTarget(0.3, 0.05, 0.7),
        ScrcTerms("sets"),
        set_threshold_limit=1.0,
    )
    assert policy.threshold == pytest.approx(0.3)
    assert policy.accepted == 6
    assert policy.set_threshold == pytest.approx(0.42)
    assert policy.set_threshold_at_boundary == pytest.approx(0.33)
    assert policy.predict_set(0.29, [0.6, 0.4]) is None
    assert policy.predict_set(0.3, [0.6, 0.4]) == (0, 1)
    assert policy.predict_set(0.31, [0.6, 0.4]) == (0,)


@pytest.mark.parametrize("m", [98, 99])
def test_scrc_t_needs_enough_accepted_units(m):
    policy = ScrcT.fit(
        ScrcScores(np.arange(m), np.tile([0.1, 0.9], (m, 1)), np.ones(m, dtype=int)),
        RiskTarget(0.01, 0.05, 0.7),
        ScrcTerms("answers", acceptance=1.0),
        answer_share=1.0,
    )
    assert policy.feasible == (m >= 99)
    if m < 99:
        assert "at least 99 accepted calibration units are needed, there are 98" in policy.needed
        assert policy.stage_rule(MARGIN).threshold is None


def test_online_and_offline_decide_identically(tmp_path):
    """A bundle keeps the stage rule; the rule alone decides, one image or many, as the policy does."""
    generator = np.random.default_rng(4)
    base = StageRule(score="margin", temperature=1.3)
    calibration, labels = world(800, generator)
    new, _ = world(3000, generator)
    # Some new images have exactly the confidence of the boundary.
    logits = np.concatenate([new.logits, calibration.logits])
    raw = StageOutputs(logits)
    policy = ScrcT.fit(
        ScrcScores(*selector_and_classifier(calibration, base), labels),
        RiskTarget(0.05, 0.05, 0.7),
        answer_share=0.8,
    )
    assert policy.feasible
    kept = tmp_path / "scrcparams.json"
    kept.write_text(json.dumps(policy.to_dict()))
    read = ScrcT.from_dict(json.loads(kept.read_text()))
    assert read == policy

    rule = read.stage_rule(base)
    offline = decide([raw], OperatingPoint((rule,)))
    g, f = selector_and_classifier(raw, base)
    assert np.count_nonzero(g == policy.threshold) >= 1
    for row, decision in enumerate(offline):
        alone = decide_stage(StageOutputs(logits[row : row + 1]), rule)
        assert bool(alone.answered[0]) == (decision.decision == "answer")
        assert tuple(np.flatnonzero(alone.sets[0])) == decision.prediction_set
        expected = policy.predict_set(float(g[row]), f[row].tolist())
        if expected is None:
            assert decision.decision == "abstain"
            assert decision.prediction_set == (0, 1)
        else:
            assert decision.prediction_set == expected
            assert (decision.decision == "answer") == (len(expected) == 1)


def test_the_boundary_has_its_own_set_threshold_in_the_rule():
    g = np.array([1.0] * 3 + [2.0] * 6)
    p = np.array([0.32, 0.34, 0.36, 0.42, 0.9, 0.9, 0.44, 0.9, 0.9])
    f = np.stack([1 - p, p], axis=1)
    policy = ScrcT.fit(ScrcScores(g, f, np.ones(9, dtype=int)), RiskTarget(0.3, 0.05, 0.7), ScrcTerms("sets"))
    assert (policy.threshold, policy.set_threshold, policy.set_threshold_at_boundary) == (1.0, 0.44, 0.36)
    logit = math.log(0.4 / 0.6)
    raw = StageOutputs(np.array([[0.0, logit], [0.0, logit]]), np.array([1.0, 2.0]))
    rule = policy.stage_rule(StageRule(score="gate"))
    g_new, _ = selector_and_classifier(raw, rule)
    at = ScrcT.from_dict({**policy.to_dict(), "threshold": float(g_new[0])})
    sets = decide_stage(raw, at.stage_rule(StageRule(score="gate"))).sets
    assert sets.tolist() == [[True, True], [True, False]]


def test_ambiguous_and_atypical_images_are_abstained_on():
    raw = StageOutputs(np.log([[0.9, 0.1], [0.1, 0.9], [0.58, 0.42], [0.42, 0.58]]))
    wide = decide([raw], OperatingPoint((StageRule(score="softmax", threshold=0.5, set_threshold=0.41),)))
    assert [d.prediction_set for d in wide] == [(0,), (1,), (0, 1), (0, 1)]
    assert [d.reason for d in wide] == [None, None, "ambiguous", "ambiguous"]
    assert [d.label for d in wide] == [0, 1, None, None]
    # lambda_2 < 1/2, that is a set threshold above 1/2, leaves unsure images without any label.
    narrow = decide([raw], OperatingPoint((StageRule(score="softmax", threshold=0.5, set_threshold=0.7),)))
    assert [d.prediction_set for d in narrow] == [(0,), (1,), (), ()]
    assert [d.reason for d in narrow] == [None, None, "atypical", "atypical"]


def test_a_set_threshold_above_one_half_comes_only_by_request():
    generator = np.random.default_rng(5)
    raw, labels = world(500, generator, signal=9.0)
    data = ScrcScores(*selector_and_classifier(raw, MARGIN), labels)
    target = RiskTarget(0.2, 0.05, 0.7)
    assert ScrcT.fit(data, target, ScrcTerms("sets")).set_threshold == 0.5
    loose = ScrcT.fit(data, target, ScrcTerms("sets"), set_threshold_limit=1.0)
    assert loose.set_threshold > 0.5
    outcome = decide_stage(raw, loose.stage_rule(MARGIN))
    assert np.any(~outcome.sets.any(axis=1))
    assert not np.any(outcome.answered & ~outcome.sets.any(axis=1))


def test_a_promise_about_sets_makes_no_certificate():
    generator = np.random.default_rng(6)
    raw, labels = world(500, generator)
    data = ScrcScores(*selector_and_classifier(raw, MARGIN), labels)
    target = RiskTarget(0.1, 0.05, 0.7)
    with pytest.raises(ScrcError, match="bounds no error among answers"):
        ScrcT.fit(data, target, ScrcTerms("sets")).certificate(target)
    with pytest.raises(ScrcError, match="bounds no error among answers"):
        ScrcI.fit(data, ScrcGrids([1.0], [0.5]), target, ScrcTerms("sets")).certificate(target)


def test_the_certificate_of_scrc_t_is_in_expectation():
    generator = np.random.default_rng(7)
    raw, labels = world(2000, generator, signal=6.0)
    target = RiskTarget(0.05, 0.05, 0.7)
    policy = ScrcT.fit(ScrcScores(*selector_and_classifier(raw, MARGIN), labels), target, answer_share=0.9)
    certificate = policy.certificate(target, CertifiedOn("d", "e"))
    assert certificate.feasible
    assert certificate.kind == "expectation"
    assert certificate.delta is None
    assert certificate.risk_upper_bound is None
    assert "in expectation only" in certificate.sentence()
    assert certificate.coverage_lower_bound < certificate.coverage
    assert Certificate.from_dict(json.loads(json.dumps(certificate.to_dict()))) == certificate
    outcome = decide_stage(raw, policy.stage_rule(MARGIN))
    assert certificate.answered == outcome.answered.sum()
    assert certificate.errors == (outcome.answered & (outcome.labels != labels)).sum()


def test_the_certificate_of_scrc_i_is_pac():
    generator = np.random.default_rng(8)
    raw, labels = world(20_000, generator, signal=6.0)
    target = RiskTarget(0.05, 0.05, 0.5)
    grid, sets = np.linspace(4, 0, 10), np.linspace(0.5, 0.05, 10)
    policy = ScrcI.fit(
        ScrcScores(*selector_and_classifier(raw, MARGIN), labels), ScrcGrids(grid, sets), target
    )
    certificate = policy.certificate(target)
    assert certificate.feasible
    assert (certificate.kind, certificate.delta) == ("pac", 0.05)
    assert certificate.errors / certificate.answered < certificate.risk_upper_bound <= 0.05
    outcome = decide_stage(raw, policy.stage_rule(MARGIN))
    assert certificate.answered == outcome.answered.sum()
    assert certificate.errors == (outcome.answered & (outcome.labels != labels)).sum()
    assert ScrcI.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy


@pytest.mark.parametrize(
    ("confidence_grid", "set_grid", "expected"),
    [(1, 1, 45_700), (100, 1, 93_000), (100, 100, 140_300)],
)
def test_scrc_i_needs_as_many_images_as_the_theory_says(confidence_grid, set_grid, expected):
    target = RiskTarget(0.01, 0.05, 0.7)
    needed = images_needed(target, 0.7, confidence_grid, set_grid)
    assert needed == pytest.approx(expected, abs=100)

    def fit(n):
        """n images of which exactly 70 % lie above the only threshold that can matter, all right."""
        g = (np.arange(n) < math.ceil(0.7 * n)).astype(float)
        f = np.tile([0.001, 0.999], (n, 1))
        return ScrcI.fit(
            ScrcScores(g, f, np.ones(n, dtype=int)),
            ScrcGrids(np.linspace(1, 0.5, confidence_grid), np.linspace(0.5, 0.1, set_grid)),
            target,
            ScrcTerms("sets"),
        )

    assert fit(needed + 10).feasible
    below = fit(needed - 10)
    assert not below.feasible
    assert str(needed) in below.needed


def test_scrc_i_sets_by_hand():
    generator = np.random.default_rng(9)
    n = 4000
    g = generator.random(n)
    p = np.where(generator.random(n) < 0.05 * (1 - g), generator.random(n) * 0.4, 0.9)
    f, labels = np.stack([1 - p, p], axis=1), np.ones(n, dtype=int)
    target = RiskTarget(0.1, 0.05, 0.7)
    grid, sets = np.array([0.5, 0.3, 0.29, 0.1]), np.linspace(0.5, 0.05, 10)
    policy = ScrcI.fit(ScrcScores(g, f, labels), ScrcGrids(grid, sets), target, ScrcTerms("sets"))
    threshold = max(t for t in grid if np.mean(g >= t) >= 0.7)
    eps_q = math.sqrt(math.log(4 / 0.05) / (2 * n))
    eps_n = math.sqrt(math.log(4 * 40 / 0.05) / (2 * n))
    budget = 0.1 * (np.mean(g >= threshold) - eps_q)
    good = [s for s in sets if np.mean((g >= threshold) & (p < s)) + eps_n <= budget]
    assert policy.threshold == threshold
    assert policy.set_threshold == max(good)
    assert policy.coverage_lower_bound == pytest.approx(np.mean(g >= threshold) - eps_q)


def test_scrc_i_answers_by_hand():
    generator = np.random.default_rng(14)
    raw, labels = world(6000, generator)
    g, f = selector_and_classifier(raw, MARGIN)
    target = RiskTarget(0.1, 0.05, 0.7)
    grid, sets = np.linspace(4, 0, 9), np.array([0.5, 0.3, 0.1])
    policy = ScrcI.fit(ScrcScores(g, f, labels), ScrcGrids(grid, sets), target)
    eps = math.sqrt(math.log(2 * 27 / 0.05) / (2 * 6000))
    safe = {}
    for threshold in grid:
        for cut in sets:
            answered = (g >= threshold) & ((f >= cut).sum(axis=1) == 1)
            risk = ((answered & (f.argmax(axis=1) != labels)).mean() + eps) / (answered.mean() - eps)
            if 0 <= risk <= 0.1:
                safe[answered.mean()] = (threshold, cut, risk)
    assert 0 < len(safe) < 27
    threshold, cut, risk = safe[max(safe)]
    assert (policy.threshold, policy.set_threshold) == (threshold, cut)
    assert policy.risk_upper_bound == pytest.approx(risk)
    assert policy.coverage_lower_bound == pytest.approx(max(safe) - eps)
    assert policy.answered == round(max(safe) * 6000)


@given(st.integers(0, 10_000))
def test_scrc_i_counts_on_its_grids_as_the_rule_decides(seed):
    from calibration.scrc.inductive import _answered_on_grids
    from calibration.scrc.policy import read_data

    generator = np.random.default_rng(seed)
    n, k = 40, 3
    weights = generator.integers(1, 6, (n, k)).astype(float)
    f = weights / weights.sum(axis=1, keepdims=True)
    g = generator.integers(0, 5, n).astype(float)
    data = read_data(ScrcScores(g, f, generator.integers(0, k, n)))
    grid, sets = np.array([4.0, 2.5, 1.0, -1.0]), np.array([0.6, 0.5, 1 / 3, 0.2, 0.0])
    members = generator.random(n) < 0.7
    expected = [
        [np.count_nonzero(members & (g >= t) & ((f >= s).sum(axis=1) == 1)) for s in sets] for t in grid
    ]
    assert _answered_on_grids(data, members, grid, sets).tolist() == expected


def test_class_conditional_policies_hold_for_the_worse_class():
    generator = np.random.default_rng(10)
    labels = (generator.random(60_000) < 0.2).astype(int)
    logits = np.stack([np.zeros(60_000), 4.0 * labels - 1.3 + generator.normal(0, 1.2, 60_000)], axis=1)
    raw = StageOutputs(logits)
    data = ScrcScores(*selector_and_classifier(raw, MARGIN), labels)
    target = RiskTarget(0.1, 0.05, 0.5)

    def worst_risk(policy):
        outcome = decide_stage(raw, policy.stage_rule(MARGIN))
        return max(
            set_report(outcome.sets[c], outcome.answered[c], labels[c]).answer_risk
            for c in (labels == 0, labels == 1)
        )

    grid, sets = np.quantile(data.confidence, np.linspace(1, 0, 20)), np.linspace(0.5, 0.05, 10)
    for policies in (
        [
            ScrcT.fit(data, target, ScrcTerms(acceptance=0.97, class_conditional=c), answer_share=0.75)
            for c in (False, True)
        ],
        [
            ScrcI.fit(data, ScrcGrids(grid, sets), target, ScrcTerms(class_conditional=c))
            for c in (False, True)
        ],
    ):
        assert all(p.feasible for p in policies)
        assert worst_risk(policies[1]) <= 0.1
        assert worst_risk(policies[0]) > worst_risk(policies[1])
    assert "class-conditional" in policies[1].certificate(target).method


def test_a_planned_answer_share_is_kept_on_another_split():
    generator = np.random.default_rng(11)
    target = RiskTarget(0.01, 0.05, 0.5)
    kept = 0
    for _ in range(20):
        raw, labels = world(3000, generator, signal=2.0)
        plan = plan_scrc_t(ScrcScores(*selector_and_classifier(raw, MARGIN), labels), 2000, target)
        assert 0.05 <= plan.answer_share <= 0.99
        calibration, labels = world(2000, generator, signal=2.0)
        policy = ScrcT.fit(
            ScrcScores(*selector_and_classifier(calibration, MARGIN), labels),
            target,
            ScrcTerms(acceptance=plan.acceptance),
            answer_share=plan.answer_share,
        )
        kept += policy.feasible
    assert kept >= 16
    hopeless, labels = world(500, generator, signal=0.1)
    assert (
        plan_scrc_t(ScrcScores(*selector_and_classifier(hopeless, MARGIN), labels), 500, target).answer_share
        == 0.05
    )


def test_dilution_is_refused_and_explained():
    generator = np.random.default_rng(12)
    raw, labels = world(2000, generator, signal=1.5)
    policy = ScrcT.fit(
        ScrcScores(*selector_and_classifier(raw, MARGIN), labels),
        RiskTarget(0.02, 0.05, 0.7),
        answer_share=0.95,
    )
    assert not policy.feasible
    assert "planned to be answered" in policy.needed
    certificate = policy.certificate(RiskTarget(0.02))
    assert "No promise" in certificate.sentence()
    assert certificate.threshold is None


def test_frames_of_a_group_count_once():
    generator = np.random.default_rng(13)
    raw, labels = world(300, generator, signal=9.0)
    g, f = selector_and_classifier(raw, MARGIN)
    rows = np.repeat(np.arange(300), 5)
    target = RiskTarget(0.05, 0.05, 0.5)
    policy = ScrcT.fit(
        ScrcScores(g[rows], f[rows], labels[rows]), target, sampling=Sampling(rows), answer_share=0.9
    )
    alone = ScrcT.fit(ScrcScores(g, f, labels), target, answer_share=0.9)
    assert (policy.n, policy.images) == (300, 1500)
    assert policy.threshold == alone.threshold
    assert policy.certificate(target).population == "random group, random frame"


@settings(deadline=None)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_row_order_and_the_scale_of_the_confidence_do_not_matter(seed, random):
    generator = np.random.default_rng(seed)
    raw, labels = world(200, generator, signal=6.0)
    g, f = selector_and_classifier(raw, MARGIN)
    order = list(range(200))
    random.shuffle(order)
    target = RiskTarget(0.1, 0.05, 0.6)
    first = ScrcT.fit(ScrcScores(g, f, labels), target, answer_share=0.7)
    second = ScrcT.fit(ScrcScores(np.exp(g[order]), f[order], labels[order]), target, answer_share=0.7)
    assert first.feasible == second.feasible
    assert first.set_threshold == second.set_threshold
    if first.feasible:
        assert second.threshold == pytest.approx(math.exp(first.threshold))


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_a_larger_alpha_never_makes_sets_larger(seed):
    generator = np.random.default_rng(seed)
    raw, labels = world(200, generator)
    data = ScrcScores(*selector_and_classifier(raw, MARGIN), labels)
    cuts = [
        ScrcT.fit(data, RiskTarget(alpha, 0.05, 0.7), ScrcTerms("sets")).set_threshold or 0.0
        for alpha in (0.01, 0.05, 0.1, 0.3)
    ]
    assert cuts == sorted(cuts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"confidence": [np.nan, 1.0]}, "NaN"),
        ({"confidence": [1.0]}, "1 rows and probabilities 2"),
        ({"labels": [0, 5]}, r"0\.\.1"),
        ({"promise": "both"}, "promise is 'both'"),
        ({"acceptance": 0.0}, "acceptance is 0.0"),
        ({"answer_share": 1.2}, "answer_share is 1.2"),
        ({"answer_share": None}, "plan it on the selection split"),
        ({"groups": ["a"]}, "groups has shape"),
    ],
)
def test_bad_input_is_named(change, message):
    given = {
        "confidence": [0.5, 0.7],
        "probabilities": [[0.1, 0.9], [0.8, 0.2]],
        "labels": [1, 0],
        "promise": "answers",
        "acceptance": None,
        "groups": None,
        "answer_share": 0.9,
        **change,
    }
    with pytest.raises(ValueError, match=message):
        ScrcT.fit(
            ScrcScores(given["confidence"], given["probabilities"], given["labels"]),
            RiskTarget(0.3),
            ScrcTerms(given["promise"], given["acceptance"]),
            Sampling(given["groups"]),
            answer_share=given["answer_share"],
        )


def test_empty_and_one_class_data_make_no_promise_and_no_noise():
    empty = ScrcScores(np.empty(0), np.empty((0, 2)), np.empty(0, dtype=int))
    target = RiskTarget(0.1)
    assert not ScrcT.fit(empty, target, answer_share=0.9).feasible
    assert not ScrcI.fit(empty, ScrcGrids([1.0], [0.5]), target).feasible
    assert plan_scrc_t(empty, 100, target).answer_share == 0.05
    assert "needed" in ScrcT.fit(empty, target, answer_share=0.9).certificate(target).sentence()
    one_class = ScrcScores(np.arange(50.0), np.tile([0.2, 0.8], (50, 1)), np.ones(50, dtype=int))
    assert ScrcT.fit(one_class, target, answer_share=0.9).feasible
    assert not ScrcT.fit(one_class, target, ScrcTerms(class_conditional=True), answer_share=0.9).feasible


def test_unknown_fields_are_refused():
    with pytest.raises(ValueError, match="unknown SCRC-T fields: colour"):
        ScrcT.from_dict({"colour": 1})
    with pytest.raises(ValueError, match="unknown SCRC-I fields: colour"):
        ScrcI.from_dict({"colour": 1})
