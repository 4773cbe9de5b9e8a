"""`demur bundle`: one run certified on several engines and precisions, which share its delta.

Each has scores of its own, from the bytes to the logits, and a certificate of its own at delta / m, so
that with confidence 1 - delta all m of them hold (Bonferroni). Whatever decides too differently from
full precision is left out on val_select, before a label of val_calib is read or any delta is spent. Where
the bundle carries its calibration images, one share more is kept for an engine that is not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bundle.engines.contract import DEFAULT_PRECISION, file_precision
from bundle.engines.installed import require_key
from bundle.engines.model import DEFAULT_KEY, EngineKey
from bundle.manifest import BundleManifest
from trainer.bundling.calibration_images import calibration_files
from trainer.bundling.finish import report_on
from trainer.bundling.pack import Further, pack_bundle
from trainer.bundling.quantise import quantise
from trainer.certify.certification import prove, spends_delta, write_policy
from trainer.certify.delta import spend
from trainer.certify.evidence import Evidence, Policy
from trainer.certify.gate import fit_gate, read_rules, write_gate
from trainer.certify.policy_outcome import apply_policy
from trainer.data.reopening import reopen
from trainer.errors import RunError
from trainer.run.console import RunConsole
from trainer.run.folder import RunFolder
from trainer.run.promise import PromiseConfig
from trainer.run.record import RunRecord, read_record, write_record
from trainer.scoring.agreement import Agreement, agreement
from trainer.scoring.collect import open_runner, score_split
from trainer.scoring.split_scores import SplitScores, load_scores

LEAST_AGREEMENT = 0.98
"""Share of val_select that must get the label that full precision gives it."""


@dataclass(frozen=True, slots=True)
class Member:
    """One engine and precision of the family, and what was found of it on val_calib and val_test."""

    key: EngineKey
    policy: Policy
    on_test: Agreement | None
    """None for the run's own, and where val_test is empty"""


@dataclass(frozen=True, slots=True)
class Family:
    """What `demur bundle` made."""

    members: tuple[Member, ...]
    """The run's own engine and precision first"""
    left_out: tuple[Agreement, ...]
    """Decided too differently; no delta was spent on them"""
    alone: float | None
    """Coverage that the first would be certified at with the whole delta; None where it is the whole"""
    manifest: BundleManifest
    shares: int
    """Parts that delta was divided into: one a member, one more where the calibration images are carried"""

    @property
    def price(self) -> float | None:
        """Share of the images that the first member answers less because the delta is shared."""
        return None if self.alone is None else self.alone - self.members[0].policy.certificate.coverage


def certify_family(
    run: RunFolder,
    keys: Sequence[EngineKey],
    console: RunConsole,
    *,
    data: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
    least_agreement: float = LEAST_AGREEMENT,
    reissue: bool = False,
    carry_calibration: bool = False,
) -> Family:
    """Score, certify and pack a finished run on `keys`; the run's own, which is always there, comes first.

    `data`: where the images are, as `trainer.data.reopening.reopen` takes it; `changes`: fields of the
    promise. A promise that was proven before on this calibration split has spent its delta; `reissue`
    withdraws it. With `carry_calibration` the bundle carries the images of val_calib, so that it can be
    certified on an engine that is not here; delta is then divided among one more.
    Raises NeedsReissue, EngineUnavailable, SourceChanged, NotQuantised.
    """
    record = read_record(run)
    promise = record.promise.changed(changes or {})
    if promise.certificate == "none":
        raise RunError("the run was trained without a certificate; say which one with --certificate exact")
    for key in keys:
        require_key(key)
    full = _full(run)
    wanted = [key for key in dict.fromkeys(keys) if key != DEFAULT_KEY]

    evidence = {
        DEFAULT_KEY: Evidence(
            full["val_select"], full["val_calib"], read_rules(run), record.costs, promise, record.classes
        )
    }
    tests = {DEFAULT_KEY: full["val_test"]}
    left_out = []
    if wanted or carry_calibration:
        console.heading("The images of the run")
        source, splits = reopen(run, record, data or {}, console)
        _quantise(run, record, wanted, console)
    for key in wanted:
        console.heading(f"Scores on {key}")
        folder, runner = run.on_engine(str(key)), open_runner(record, run, key)
        select = score_split(source, splits, "val_select", runner, folder, console)
        found = agreement(select, full["val_select"])
        console.note(found.sentence())
        if found.labels < least_agreement:
            left_out.append(found)
            console.warn(
                f"{key} is left out: it must agree on {100 * least_agreement:g} % of val_select. "
                "No delta was spent on it"
            )
            continue
        gate = fit_gate(select, promise, splits.units["val_calib"])
        write_gate(gate, folder)
        calib = score_split(source, splits, "val_calib", runner, folder, console)
        tests[key] = score_split(source, splits, "val_test", runner, folder, console)
        evidence[key] = Evidence(select, calib, gate.rules, record.costs, promise, record.classes)

    console.heading(f"Certificates: {len(evidence)}, on val_calib")
    shares = len(evidence) + carry_calibration
    members_share = spends_delta(promise) and shares > 1
    shared = {key: _with_share(one, shares) for key, one in evidence.items()} if members_share else evidence
    # A promise that images cannot carry is refused before it costs anything.
    carried = calibration_files(source, splits, _by_precision(shared)) if carry_calibration else {}
    notice = spend(run, list(shared.values()), promise.delta, reissue=reissue, reserve=carry_calibration)
    record = _renewed(record, promise, notice)
    write_record(record, run)
    if carry_calibration:
        record = _noting_reserve(record, shared[DEFAULT_KEY].promise.delta)
    with console.bar("Certifying", len(shared), "certificates") as bar:
        policies = {}
        for key, one in shared.items():
            policies[key] = prove(one)
            bar.advance(1)
    alone = prove(evidence[DEFAULT_KEY]).certificate.coverage if members_share else None
    members = tuple(_member(key, policy, tests, run) for key, policy in policies.items())

    report = report_on(tests[DEFAULT_KEY], policies[DEFAULT_KEY], promise.seed, run)
    further = [
        Further(member.key, member.policy, _figures(member, tests[member.key])) for member in members[1:]
    ]
    manifest = pack_bundle(record, policies[DEFAULT_KEY], report, run, further, carried)
    return Family(members, tuple(left_out), alone, manifest, shares)


def _full(run: RunFolder) -> dict[str, SplitScores]:
    """The scores that the run was certified with."""
    scores = {
        name: load_scores(run.need(run.scores(name), "demur train"))
        for name in ("val_select", "val_calib", "val_test")
    }
    engine = scores["val_calib"].engine
    if engine != str(DEFAULT_KEY):
        raise RunError(f"{run.root} was scored on {engine}; a family starts from {DEFAULT_KEY}")
    return scores


def _quantise(run: RunFolder, record: RunRecord, keys: Sequence[EngineKey], console: RunConsole) -> None:
    """The model files that the precisions of `keys` need and training did not leave."""
    images = [file.read_bytes() for file in sorted(run.golden.iterdir())] if run.golden.is_dir() else []
    for precision in sorted({file_precision(key.precision) for key in keys} - {DEFAULT_PRECISION}):
        for name, stage in zip("ab", record.stages, strict=False):
            out = run.onnx(name, precision)
            scales = quantise(run.onnx(name), out, images, stage.preprocess)
            smaller = run.onnx(name).stat().st_size / out.stat().st_size
            console.note(
                f"Stage {name.upper()} at {precision}: {scales} scales, a file {smaller:.1f} times smaller"
            )


def _renewed(record: RunRecord, promise: PromiseConfig, notice: str | None) -> RunRecord:
    """The record with what is promised now; a withdrawal stays with the run, whatever is proven later."""
    told = () if notice is None else (notice,)
    provenance = record.provenance.model_copy(update={"notices": (*record.provenance.notices, *told)})
    return record.model_copy(update={"promise": promise, "provenance": provenance})


def _noting_reserve(record: RunRecord, delta: float) -> RunRecord:
    """The record as this bundle states it; the next one may keep nothing."""
    told = (
        f"Delta {delta:g} is kept for one certificate on an engine that is not here, issued where it serves"
    )
    provenance = record.provenance.model_copy(update={"notices": (*record.provenance.notices, told)})
    return record.model_copy(update={"provenance": provenance})


def _by_precision(family: Mapping[EngineKey, Evidence]) -> dict[str, Evidence]:
    """The first member at each precision."""
    found: dict[str, Evidence] = {}
    for key, evidence in family.items():
        found.setdefault(key.precision, evidence)
    return found


def _with_share(evidence: Evidence, shares: int) -> Evidence:
    share = evidence.promise.model_copy(update={"delta": evidence.promise.delta / shares})
    return replace(evidence, promise=share)


def _member(key: EngineKey, policy: Policy, tests: Mapping[EngineKey, SplitScores], run: RunFolder) -> Member:
    """Leave the member's files in its folder."""
    own = key == DEFAULT_KEY
    write_policy(policy, run if own else run.on_engine(str(key)))
    test = tests[key]
    compared = None if own or len(test) == 0 else agreement(test, tests[DEFAULT_KEY])
    return Member(key, policy, compared)


def _figures(member: Member, test: SplitScores) -> dict[str, float]:
    """What the bundle states of a further member, measured on val_test."""
    if member.on_test is None:
        return {}
    outcome = apply_policy(test, member.policy.point)
    answered = int(outcome.answered.sum())
    by_a = int((outcome.answered & (outcome.by_stage == 0)).sum())
    return {
        "agreement": member.on_test.labels,
        "forced_mcc": member.on_test.mcc,
        "coverage": answered / len(test),
        **({"stage_a_share": by_a / answered} if answered else {}),
    }
