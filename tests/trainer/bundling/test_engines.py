"""One run on several engines and precisions: who is let in, what it costs, and what the bundle then holds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from fakes.channel_models import GREEN, RED, channel_images, channel_model
from rich.console import Console

from bundle import extras
from bundle.engines.contract import EngineKey, EngineUnavailable
from bundle.engines.model import OnnxModel
from bundle.inspect import inspect_bundle
from bundle.loader import load_bundle
from bundle.policy import CertificateEntry
from bundle.selection import local_certificate
from bundle.selection.choice import EnginePreference, choose_engine
from bundle.selection.issued import IssuedCertificates
from bundle.selection.local_certificate import certify_locally, read_cases, reserve_of
from bundle.selection.timing_cache import TimingCache
from bundle.verify import verify_bundle
from calibration.errors import DeltaExhausted
from calibration.known_splits import KnownCertificate
from demur.commands.bundle import result_lines
from service.lineup.deployment import deployment_for
from service.settings import Settings
from trainer.bundling import engine_scores, fastest
from trainer.bundling.engines import CertifiedEngines, EngineRequest, certify_engines
from trainer.bundling.pack import pack_bundle
from trainer.bundling.rerun import recalibrate
from trainer.bundling.wrap import WrapConfig, certify_models
from trainer.bundling.wrapped_model import ModelInput
from trainer.certify import evidence
from trainer.certify.account import split_of
from trainer.certify.delta import NeedsReissue
from trainer.certify.user_ledger import change_accounts, ledger_in
from trainer.data import opening
from trainer.data.config import DataConfig, DataOverrides
from trainer.data.images import ImageSource
from trainer.data.reopening import SourceChanged
from trainer.errors import RunError
from trainer.reports.summary import idle_stage_note
from trainer.run.console import RunConsole
from trainer.run.digests import DamagedFile
from trainer.run.folder import RunFolder, read_json
from trainer.run.origin import origin_of_run
from trainer.run.promise import PromiseConfig
from trainer.run.record import read_record
from trainer.scoring.agreement import Agreement, agreement
from trainer.scoring.collect import open_runner
from trainer.scoring.split_scores import SplitScores, load_scores

ORT, ORT8 = EngineKey("onnxruntime-cpu", "fp32"), EngineKey("onnxruntime-cpu", "int8")
VINO = EngineKey("openvino", "fp32")
IMAGES = 700


def _open_again(data: DataConfig, **_: object) -> ImageSource:
    return channel_images(int(data.source.removeprefix("memory:")))


@pytest.fixture(autouse=True, scope="module")
def _images_are_found_again() -> Iterator[None]:
    """The world's images have no file; `memory:N` opens the first N of them again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "open_source", _open_again)
        yield


@pytest.fixture(scope="module")
def unproven(tmp_path_factory: pytest.TempPathFactory, quiet: RunConsole) -> RunFolder:
    """A run whose calibration labels nobody has looked at."""
    folder = tmp_path_factory.mktemp("unproven")
    config = WrapConfig(
        ModelInput(channel_model(folder / "red.onnx", RED), normalisation="zero-one"),
        fast=ModelInput(channel_model(folder / "green.onnx", GREEN), normalisation="zero-one"),
        promise=PromiseConfig(certificate="none", alpha=0.05),
    )
    return certify_models(config, channel_images(IMAGES), folder / "run", quiet).run


@pytest.fixture
def fresh(unproven: RunFolder, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(unproven.root, tmp_path / "run")))


def certify(run: RunFolder, *keys: EngineKey, console: RunConsole, **options: object) -> CertifiedEngines:
    given = {
        "data": DataOverrides(source=f"memory:{IMAGES}"),
        "changes": {"certificate": "exact"},
        **options,
    }
    return certify_engines(run, EngineRequest((ORT, *keys), **given), console)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made(
    unproven: RunFolder, tmp_path_factory: pytest.TempPathFactory, quiet: RunConsole
) -> tuple[RunFolder, CertifiedEngines]:
    run = RunFolder(Path(shutil.copytree(unproven.root, tmp_path_factory.mktemp("made") / "run")))
    with ledger_in(run.root / "known"):
        return run, certify(run, ORT8, VINO, console=quiet)


class TestEngines:
    def test_each_member_has_a_certificate_on_its_own_scores(
        self, made: tuple[RunFolder, CertifiedEngines]
    ) -> None:
        run, certified = made
        assert [engine.key for engine in certified.engines] == [ORT, ORT8, VINO]
        for engine in certified.engines:
            certificate = engine.policy.certificate
            assert certificate.engine == str(engine.key)
            assert certificate.delta == pytest.approx(0.05 / 3)
            assert certificate.feasible
        scores = {key: load_scores(run.on_engine(str(key)).scores("val_calib")) for key in (ORT8, VINO)}
        own = load_scores(run.scores("val_calib"))
        assert scores[ORT8].engine == str(ORT8)
        assert not np.array_equal(scores[ORT8].stages[1].logits, own.stages[1].logits)
        assert np.allclose(scores[VINO].stages[1].logits, own.stages[1].logits, atol=1e-4)

    def test_together_they_spend_the_delta_and_no_more(
        self, made: tuple[RunFolder, CertifiedEngines], quiet: RunConsole
    ) -> None:
        run, certified = made
        (entries,) = read_json(run.ledger)["accounts"].values()
        assert sum(entry["delta"] for entry in entries) == pytest.approx(0.05)
        before = run.ledger.read_bytes()
        again = certify(run, ORT8, VINO, console=quiet)
        assert run.ledger.read_bytes() == before
        assert [one.policy.certificate for one in again.engines] == [
            one.policy.certificate for one in certified.engines
        ]

    def test_a_damaged_int8_model_is_refused_by_name(
        self, made: tuple[RunFolder, CertifiedEngines], tmp_path: Path
    ) -> None:
        run = RunFolder(Path(shutil.copytree(made[0].root, tmp_path / "run")))
        record, path = read_record(run), run.onnx("b", "int8")
        assert [set(stage.further_digests) for stage in record.stages] == [{"int8"}, {"int8"}]
        open_runner(record, run, ORT8)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.raises(DamagedFile, match=r"stage_b/model\.int8\.onnx is damaged .*run `demur bundle`"):
            open_runner(record, run, ORT8)
        open_runner(record, run)

    def test_a_cascade_that_works_as_one_stage_is_called_so_by_bundle_and_inspect(
        self, made: tuple[RunFolder, CertifiedEngines], tmp_path: Path
    ) -> None:
        run = RunFolder(Path(shutil.copytree(made[0].root, tmp_path / "run")))
        own = made[1].engines[0]
        stage_a, stage_b = own.policy.point.stages
        point = replace(own.policy.point, stages=(replace(stage_a, threshold=None), stage_b))
        idle = replace(own.policy, point=point)
        note = idle_stage_note(read_record(run), idle)
        assert "works as one stage" in note[0]
        assert note[0] in "\n".join(
            result_lines(replace(made[1], engines=(replace(own, policy=idle, remarks=note),)), run.bundle)
        )
        pack_bundle(read_record(run), idle, None, run)
        assert f"{ORT}: {note[0]}" in inspect_bundle(run.bundle)["provenance"]["notices"]

    def test_the_price_is_what_the_first_would_answer_alone(
        self, made: tuple[RunFolder, CertifiedEngines]
    ) -> None:
        _, certified = made
        assert certified.coverage_alone is not None
        assert certified.price is not None
        assert certified.price >= 0
        assert certified.coverage_alone == pytest.approx(
            certified.engines[0].policy.certificate.coverage + certified.price
        )

    def test_the_bundle_holds_every_member(self, made: tuple[RunFolder, CertifiedEngines]) -> None:
        run, certified = made
        manifest = verify_bundle(run.bundle)
        assert [entry.key for entry in manifest.certificates] == [str(one.key) for one in certified.engines]
        assert sorted(manifest.stages[1].models) == ["fp32", "int8"]
        assert set(manifest.golden[0].expected) == {str(one.key) for one in certified.engines}
        assert manifest.evaluation[f"{ORT8} agreement"] >= 0.98
        assert f"{VINO} forced_mcc" in manifest.evaluation
        shown = inspect_bundle(run.bundle)
        assert shown["here"] == [str(one.key) for one in certified.engines]

    def test_each_decides_by_its_own_operating_point(self, made: tuple[RunFolder, CertifiedEngines]) -> None:
        run, certified = made
        source = channel_images(60, seed=9)
        for engine in certified.engines:
            loaded = load_bundle(run.bundle, key=engine.key)
            assert loaded.operating_point == engine.policy.point
            scored = loaded.runner.score(1, [source.read(row) for row in range(60)])
            assert scored.logits.shape == (60, 2)


@pytest.fixture(scope="module")
def carried(
    unproven: RunFolder, tmp_path_factory: pytest.TempPathFactory, quiet: RunConsole
) -> tuple[RunFolder, CertifiedEngines]:
    run = RunFolder(Path(shutil.copytree(unproven.root, tmp_path_factory.mktemp("carried") / "run")))
    with ledger_in(run.root / "known"):
        return run, certify(run, console=quiet, carry_calibration=True)


@pytest.fixture(scope="module")
def carrying(carried: tuple[RunFolder, CertifiedEngines]) -> Path:
    return carried[0].bundle


class TestCarried:
    """A bundle with its calibration images is certified on one engine that none of its certificates names."""

    def test_the_certificate_is_the_one_that_the_trainer_would_have_given(
        self, carried: tuple[RunFolder, CertifiedEngines], carrying: Path
    ) -> None:
        """Full precision on ONNX Runtime again, from the images alone."""
        said: list[str] = []
        entry = certify_locally(carrying, verify_bundle(carrying), ORT, said.append)
        own = carried[1].engines[0].policy
        assert entry.certificate == own.certificate
        assert entry.operating_point == own.point
        assert "scoring" in said[0]

    def test_scoring_without_end_leaves_the_bundle_uncertified_and_its_share_free(
        self, carrying: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wish, issued = EnginePreference("openvino", "fp32"), IssuedCertificates(tmp_path)
        monkeypatch.setattr(local_certificate, "CERTIFY_SECONDS", 0.3)
        choice = choose_engine(carrying, wish, TimingCache(tmp_path), issued, seconds=0.1)
        assert choice.issued_here is None
        assert choice.not_issued is not None
        assert "took longer than 0.3 s; the next start tries again" in choice.not_issued
        assert issued.read(reserve_of(verify_bundle(carrying)) or "") is None

    def test_without_scipy_the_bundle_stays_uncertified_and_its_share_free(
        self, carrying: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wish, issued = EnginePreference("openvino", "fp32"), IssuedCertificates(tmp_path)
        there = extras._found
        monkeypatch.setattr(extras, "_found", lambda name: name != "scipy" and there(name))
        choice = choose_engine(carrying, wish, TimingCache(tmp_path), issued, seconds=0.1)
        assert choice.not_issued is not None
        assert choice.not_issued.startswith(
            "certifying on this machine needs scipy; install demur with the extra [certify]: pip install "
        )
        assert choice.not_issued.endswith("built with --build-arg LOCK=service-certify")
        assert issued.read(reserve_of(verify_bundle(carrying)) or "") is None

    def test_a_share_of_delta_is_kept_and_charged(self, carried: tuple[RunFolder, CertifiedEngines]) -> None:
        run, certified = carried
        (entries,) = read_json(run.ledger)["accounts"].values()
        assert [entry["delta"] for entry in entries] == [0.025, 0.025]
        assert entries[1]["what"] == "one engine that is not here"
        assert certified.shares == 2
        assert certified.price is not None
        manifest = verify_bundle(run.bundle)
        assert read_cases(run.bundle, manifest).reserved_delta == 0.025
        assert any("Delta 0.025 is kept" in notice for notice in manifest.provenance.notices)
        assert not any("is kept" in notice for notice in read_record(run).provenance.notices)

    def test_packed_again_it_keeps_the_same_share(
        self, carried: tuple[RunFolder, CertifiedEngines], quiet: RunConsole, tmp_path: Path
    ) -> None:
        run = RunFolder(Path(shutil.copytree(carried[0].root, tmp_path / "run")))
        before = run.ledger.read_bytes()
        again = certify(run, console=quiet, carry_calibration=True)
        assert run.ledger.read_bytes() == before
        assert reserve_of(again.manifest) == reserve_of(verify_bundle(carried[0].bundle))

    def test_another_engine_gets_one_of_its_own_and_remembers_it(
        self, carrying: Path, tmp_path: Path
    ) -> None:
        wish, said = EnginePreference("openvino", "fp32"), []
        memory, issued = TimingCache(tmp_path), IssuedCertificates(tmp_path)
        choice = choose_engine(carrying, wish, memory, issued, seconds=0.1, say=said.append)
        assert choice.issued_here is not None
        assert choice.issued_here.certificate.engine == str(VINO)
        assert choice.issued_here.certificate.delta == 0.025
        loaded = load_bundle(carrying, key=choice.key, issued_here=choice.issued_here)
        assert (loaded.certified, loaded.issued_here) == (True, True)
        assert not load_bundle(carrying, key=choice.key).certified
        heard = len(said)
        again = choose_engine(carrying, wish, memory, issued, seconds=0.1, say=said.append)
        assert again.issued_here == choice.issued_here
        assert len(said) == heard

    @pytest.mark.parametrize("feasible", [True, False])
    def test_a_second_engine_gets_none_with_the_reason(
        self, carrying: Path, tmp_path: Path, feasible: bool
    ) -> None:
        manifest = verify_bundle(carrying)
        reserve, first = reserve_of(manifest), EngineKey("onnxruntime-cpu", "int8")
        assert reserve is not None
        own = manifest.certificates[0]
        proven = replace(own.certificate, engine=str(first))
        if not feasible:
            proven = replace(proven, feasible=False, threshold=None, coverage=0.0, needed="more images")
        entry = CertificateEntry(
            engine=first.engine,
            precision=first.precision,
            certificate=proven,
            operating_point=own.operating_point if feasible else manifest.abstaining_point(),
        )
        issued = IssuedCertificates(tmp_path)
        issued.claim(reserve, first)
        issued.keep(reserve, entry)
        settings = Settings.read({}, bundle=carrying, data_dir=tmp_path, engine="openvino", precision="fp32")
        deployment = deployment_for(settings)
        assert deployment.guarantee is None
        assert "not certified here" in (deployment.guarantee_reason or "")
        assert "here onnxruntime-cpu/int8 has it" in (deployment.guarantee_reason or "")

    def test_a_run_that_was_proven_without_the_reserve_must_withdraw(
        self, made: tuple[RunFolder, CertifiedEngines], quiet: RunConsole, tmp_path: Path
    ) -> None:
        run = RunFolder(Path(shutil.copytree(made[0].root, tmp_path / "run")))
        before = run.ledger.read_bytes()
        with pytest.raises(NeedsReissue):
            certify(run, ORT8, VINO, console=quiet, carry_calibration=True)
        assert run.ledger.read_bytes() == before
        certified = certify(run, ORT8, VINO, console=quiet, carry_calibration=True, reissue=True)
        assert [one.policy.certificate.delta for one in certified.engines] == [0.0125] * 3
        (entries,) = read_json(run.ledger)["accounts"].values()
        assert sum(entry["delta"] for entry in entries) == pytest.approx(0.05)

    def test_what_the_bundle_certifies_is_never_issued_anew(self, carrying: Path, tmp_path: Path) -> None:
        choice = choose_engine(
            carrying, EnginePreference(), TimingCache(tmp_path), IssuedCertificates(tmp_path), seconds=0.1
        )
        assert choice.issued_here is None
        assert load_bundle(carrying, key=choice.key, issued_here=None).certified

    def test_the_service_says_that_it_was_issued_here(self, carrying: Path, tmp_path: Path) -> None:
        settings = Settings.read({}, bundle=carrying, data_dir=tmp_path, engine="openvino", precision="fp32")
        deployment = deployment_for(settings)
        assert deployment.guarantee is not None
        assert deployment.guarantee["issued"] == "here, not by the bundle"
        assert "issued here, on openvino/fp32" in deployment.promise

    def test_only_a_promise_over_all_answers_can_be_carried(
        self, fresh: RunFolder, quiet: RunConsole
    ) -> None:
        with pytest.raises(RunError, match="exact certificate over all answers only"):
            certify(fresh, console=quiet, changes={"certificate": "scrc-t"}, carry_calibration=True)


class TestLedger:
    @pytest.fixture
    def proven(self, made: tuple[RunFolder, CertifiedEngines], tmp_path: Path) -> RunFolder:
        return RunFolder(Path(shutil.copytree(made[0].root, tmp_path / "proven")))

    def test_a_proven_run_must_withdraw_first(self, proven: RunFolder, quiet: RunConsole) -> None:
        run = proven
        before = {file: file.read_bytes() for file in (run.ledger, run.certificate)}
        with pytest.raises(NeedsReissue, match=r"0 of 0\.05 is left.*--reissue"):
            certify(run, VINO, console=quiet)
        assert {file: file.read_bytes() for file in before} == before

    def test_a_run_with_the_whole_delta_spent_says_so_before_its_images_are_opened(
        self, fresh: RunFolder, quiet: RunConsole, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        certify(fresh, console=quiet)
        opened: list[object] = []
        monkeypatch.setattr("trainer.bundling.engines.reopen", lambda *given: opened.append(given))
        with pytest.raises(NeedsReissue, match=r"2 engines and precisions together.*0 of 0\.05 is left"):
            certify(fresh, console=quiet, fastest=True)
        assert opened == []

    def test_paths_that_an_older_version_has_planned_are_free_again(
        self,
        proven: RunFolder,
        made: tuple[RunFolder, CertifiedEngines],
        quiet: RunConsole,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        planned = evidence.plan_cascade
        monkeypatch.setattr(evidence, "plan_cascade", lambda *given: planned(*given)[:-1])
        again = certify(proven, ORT8, VINO, console=quiet)
        assert [one.policy.certificate for one in again.engines] == [
            one.policy.certificate for one in made[1].engines
        ]

    def test_a_withdrawal_that_cannot_help_is_not_suggested(
        self, proven: RunFolder, quiet: RunConsole
    ) -> None:
        calib = load_scores(proven.scores("val_calib"))
        model = origin_of_run(proven).model
        other = KnownCertificate(
            "of another engine", 0.05, "f", "/runs/other", "2026-01-01T00:00:00+00:00", model=model
        )
        change_accounts(lambda known: known.record(split_of(calib), [other], 0.05))
        for reissue in (False, True):
            with pytest.raises(
                DeltaExhausted, match=r"of another engine.*in /runs/other.*not make enough room"
            ):
                certify(proven, VINO, console=quiet, reissue=reissue)
        assert not proven.withdrawn.exists()

    def test_what_was_withdrawn_is_recorded_and_reported(self, proven: RunFolder, quiet: RunConsole) -> None:
        run = proven
        certified = certify(run, VINO, console=quiet, reissue=True)
        assert [one.policy.certificate.delta for one in certified.engines] == [0.025, 0.025]
        assert [entry["delta"] for entry in read_json(run.withdrawn)] == pytest.approx([0.05 / 3] * 3)
        (notice,) = [text for text in certified.manifest.provenance.notices if text.startswith("Withdrawn")]
        assert "delta 0.0166667" in notice
        (entries,) = read_json(run.ledger)["accounts"].values()
        assert sum(entry["delta"] for entry in entries) == pytest.approx(0.05)
        again = certify(run, VINO, console=quiet)
        assert notice in again.manifest.provenance.notices

    def test_what_cannot_be_carried_is_refused_before_it_costs_anything(
        self, proven: RunFolder, quiet: RunConsole
    ) -> None:
        before = proven.ledger.read_bytes()
        with pytest.raises(RunError, match="exact certificate over all answers only"):
            certify(
                proven,
                console=quiet,
                changes={"certificate": "exact", "each_answer": True},
                carry_calibration=True,
                reissue=True,
            )
        assert proven.ledger.read_bytes() == before
        assert not proven.withdrawn.exists()

    def test_the_run_remembers_what_it_promises_now(self, made: tuple[RunFolder, CertifiedEngines]) -> None:
        assert read_record(made[0]).promise.certificate == "exact"

    def test_a_run_without_a_certificate_must_say_which(self, fresh: RunFolder, quiet: RunConsole) -> None:
        with pytest.raises(RunError, match="--certificate exact"):
            certify(fresh, VINO, console=quiet, changes={})


class TestInExpectation:
    def test_without_delta_there_is_nothing_to_share(self, fresh: RunFolder, quiet: RunConsole) -> None:
        """And `demur calibrate` says which engines it leaves uncertified."""
        certified = certify(fresh, VINO, console=quiet, changes={"certificate": "scrc-t"})
        assert [one.policy.certificate.kind for one in certified.engines] == ["expectation"] * 2
        assert (certified.coverage_alone, certified.price) == (None, None)
        assert read_json(fresh.ledger)["accounts"] == {}
        again = recalibrate(fresh.root, {"certificate": "scrc-t"})
        assert again.summary[-1].startswith("No longer certified on openvino/fp32")


class TestFastest:
    """One further engine is certified: the fastest on this machine that agrees with full precision."""

    @pytest.fixture
    def timed(self, monkeypatch: pytest.MonkeyPatch) -> dict[EngineKey, float]:
        """Seconds per image of a stage, which a test sets, instead of measured ones."""
        seconds: dict[EngineKey, float] = {}

        def time_stage(model: OnnxModel, images: object, limit: float) -> dict[int, float]:
            return {1: seconds[model.key]}

        monkeypatch.setattr(fastest, "time_stage", time_stage)
        monkeypatch.setattr(fastest, "usable_keys", lambda: tuple(seconds))
        return seconds

    def test_the_fastest_that_agrees_is_certified_and_no_other_is_scored(
        self, fresh: RunFolder, timed: dict[EngineKey, float], quiet: RunConsole
    ) -> None:
        timed.update({VINO: 0.010, ORT8: 0.005, ORT: 0.020})
        certified = certify(fresh, console=quiet, fastest=True)
        assert [engine.key for engine in certified.engines] == [ORT, ORT8]
        assert certified.shares == 2
        assert not fresh.on_engine(str(VINO)).root.exists()
        assert [entry.key for entry in certified.manifest.certificates] == [str(ORT), str(ORT8)]

    def test_one_that_does_not_agree_leaves_its_place_to_the_next(
        self,
        fresh: RunFolder,
        timed: dict[EngineKey, float],
        quiet: RunConsole,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def disagree_at_int8(scores: SplitScores, full: SplitScores) -> Agreement:
            found = agreement(scores, full)
            return replace(found, labels=0.9) if scores.engine == str(ORT8) else found

        monkeypatch.setattr(engine_scores, "agreement", disagree_at_int8)
        timed.update({VINO: 0.010, ORT8: 0.005, ORT: 0.020})
        certified = certify(fresh, console=quiet, fastest=True)
        assert [engine.key for engine in certified.engines] == [ORT, VINO]
        assert len(certified.left_out) == 1

    def test_where_none_is_faster_delta_is_not_shared(
        self, fresh: RunFolder, timed: dict[EngineKey, float], quiet: RunConsole
    ) -> None:
        timed.update({VINO: 0.0195, ORT: 0.020})
        certified = certify(fresh, console=quiet, fastest=True)
        assert [engine.key for engine in certified.engines] == [ORT]
        assert (certified.shares, certified.price) == (1, None)


class TestAdmission:
    def test_one_that_decides_too_differently_costs_nothing(
        self, fresh: RunFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def disagree(scores: object, full: object) -> object:
            return replace(agreement(scores, full), labels=0.9)  # type: ignore[arg-type]

        monkeypatch.setattr(engine_scores, "agreement", disagree)
        console = RunConsole(Console(file=StringIO(), width=200))
        certified = certify(fresh, ORT8, console=console)
        assert [one.key for one in certified.engines] == [ORT]
        assert certified.left_out[0].labels == 0.9
        assert (certified.coverage_alone, certified.price) == (None, None)
        assert certified.engines[0].policy.certificate.delta == 0.05
        assert "No delta was spent on it" in console.console.file.getvalue()  # type: ignore[attr-defined]

    def test_an_engine_that_is_not_here_stops_before_anything_is_scored(
        self, fresh: RunFolder, quiet: RunConsole
    ) -> None:
        before = fresh.ledger.read_bytes()
        with pytest.raises(EngineUnavailable, match=r"extra \[gpu\]"):
            certify(fresh, EngineKey("onnxruntime-cuda", "fp32"), console=quiet)
        assert fresh.ledger.read_bytes() == before
        assert not fresh.on_engine("onnxruntime-cuda/fp32").root.exists()

    def test_other_images_are_noticed(self, fresh: RunFolder, quiet: RunConsole) -> None:
        with pytest.raises(SourceChanged, match="is not what"):
            certify(fresh, VINO, console=quiet, data=DataOverrides(source="memory:2399"))

    def test_a_wrapped_run_does_not_know_where_its_images_are(
        self, fresh: RunFolder, quiet: RunConsole
    ) -> None:
        with pytest.raises(RunError, match="give them with --data"):
            certify(fresh, VINO, console=quiet, data=DataOverrides())

    def test_agreement_is_of_one_split(self, unproven: RunFolder) -> None:
        calib = load_scores(unproven.scores("val_calib"))
        assert agreement(calib, calib).labels == 1.0
        with pytest.raises(ValueError, match="one split"):
            agreement(calib, load_scores(unproven.scores("val_test")))

    def test_an_empty_split_tells_nothing_of_agreement(self, unproven: RunFolder) -> None:
        empty = load_scores(unproven.scores("val_select")).take(np.arange(0))
        with pytest.raises(RunError, match="val_select is empty"):
            agreement(empty, empty)
