"""A model has one delta on a split: in eleven folders, with other labels, and without its ledger."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.worlds import CascadeWorld
from typer.testing import CliRunner

from bundle.inspect import inspect_bundle
from calibration.decision import StageRule
from calibration.errors import DeltaExhausted
from calibration.known_splits import KnownSplits, SplitIdentity
from calibration.scores import StageOutputs
from demur.cli import app
from trainer.bundling.finish import RunResult
from trainer.bundling.rerun import recalibrate
from trainer.certify.account import LedgerDisagrees
from trainer.certify.certification import certify_run
from trainer.certify.evidence import Evidence
from trainer.certify.from_scores import certify_scores
from trainer.certify.ledger_document import Change, DamagedLedger, LedgerUnavailable
from trainer.certify.ledger_folder import FILE
from trainer.certify.user_ledger import change_accounts, read_accounts
from trainer.run.folder import RunFolder, read_json, write_json
from trainer.run.promise import PromiseConfig
from trainer.scoring.score_file import ScoreFileColumns
from trainer.scoring.split_scores import SplitScores, load_scores, save_scores

WORLD = CascadeWorld(accuracy_a=0.96, accuracy_b=0.985)


def scores(split: str, n: int, seed: int) -> SplitScores:
    rng = np.random.default_rng(seed)
    _, _, confidence, wrong = WORLD.draw(rng, n)
    labels = (rng.random(n) < 0.4).astype(np.int64)
    signed = np.where(np.where(wrong, 1 - labels, labels) == 1, confidence, -confidence) / 2
    return SplitScores(
        split=split,
        digest=f"{split} {seed}",
        engine="onnxruntime-cpu/fp32",
        labels=labels,
        stages=(StageOutputs(np.stack([-signed, signed], axis=1)),),
        content=tuple(f"{split} image {seed * n + i}" for i in range(n)),
    )


SELECT, CALIB = scores("val_select", 600, 1), scores("val_calib", 1500, 2)


def evidence(calib: SplitScores = CALIB, **promise: object) -> Evidence:
    return Evidence(SELECT, calib, (StageRule(),), (1.0,), PromiseConfig().changed(promise))


def test_one_split_in_eleven_folders_is_certified_once(tmp_path: Path) -> None:
    certify_run(evidence(alpha=0.01), RunFolder(tmp_path / "run 0"))
    for index in range(1, 11):
        run = RunFolder(tmp_path / f"run {index}")
        with pytest.raises(DeltaExhausted, match=r"0 of 0\.05 is left.*run 0 at 20.*demur ledger show"):
            certify_run(evidence(alpha=0.01 + index / 1000), run)
        assert not run.ledger.exists()
        assert not run.certificate.exists()


def test_the_same_computation_is_free_in_another_folder(tmp_path: Path) -> None:
    first = certify_run(evidence(), RunFolder(tmp_path / "a"))
    second = certify_run(evidence(), RunFolder(tmp_path / "b"))
    assert first.certificate == second.certificate
    assert certify_run(evidence(), RunFolder(tmp_path / "b")).certificate == first.certificate


def test_two_promises_of_a_model_share_its_delta_in_several_folders(tmp_path: Path) -> None:
    for index in range(2):
        certify_run(evidence(delta=0.025, alpha=0.01 + index / 100), RunFolder(tmp_path / f"{index}"))
    with pytest.raises(DeltaExhausted, match="2 certificate"):
        certify_run(evidence(delta=0.025, alpha=0.03), RunFolder(tmp_path / "3"))


def test_shares_of_one_delta_fit_one_folder(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    for alpha in (0.01, 0.02):
        certify_run(evidence(delta=0.025, alpha=alpha), run)
    with pytest.raises(DeltaExhausted):
        certify_run(evidence(delta=0.025, alpha=0.03), run)


def test_two_promises_of_one_run_share_the_delta_of_its_split(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    for alpha in (0.01, 0.02):
        certify_run(evidence(delta=0.025, alpha=alpha), run)
    with pytest.raises(DeltaExhausted):
        certify_run(evidence(delta=0.025, alpha=0.03), run)


def test_other_labels_on_the_same_images_get_no_fresh_delta(tmp_path: Path) -> None:
    certify_run(evidence(), RunFolder(tmp_path / "a"))
    relabelled = replace(CALIB, labels=1 - CALIB.labels, digest="relabelled")
    for folder in ("a", "b"):
        with pytest.raises(DeltaExhausted):
            certify_run(evidence(relabelled), RunFolder(tmp_path / folder))


def test_a_split_that_shares_images_is_counted_with_the_first(tmp_path: Path) -> None:
    certify_run(evidence(), RunFolder(tmp_path / "a"))
    fresh = scores("val_calib", 1500, 3)
    overlapping = replace(fresh, content=(*CALIB.content[:40], *fresh.content[40:]))
    certify_run(evidence(overlapping), RunFolder(tmp_path / "b"))
    assert read_accounts().confidence(SplitIdentity.of(overlapping.content)) == pytest.approx(0.9)
    assert certify_run(evidence(fresh), RunFolder(tmp_path / "c")).certificate.feasible


def test_scores_keep_the_content_of_their_images(tmp_path: Path) -> None:
    save_scores(CALIB, tmp_path / "scores.parquet")
    assert load_scores(tmp_path / "scores.parquet").content == CALIB.content
    assert CALIB.take(np.arange(3)).content == CALIB.content[:3]
    old = replace(CALIB, content=())
    assert len(set(old.identities)) == len(old)
    assert replace(old, labels=1 - old.labels).identities == old.identities


class TestARunsOwnLedger:
    def test_deleted(self, run_copy: Path) -> None:
        (run_copy / "ledger.json").unlink()
        with pytest.raises(LedgerDisagrees, match=r"is missing, but .*run\.json remembers 1 of delta 0\.05"):
            recalibrate(run_copy, {"alpha": 0.02})

    def test_deleted_with_the_memory_of_run_json(self, run_copy: Path) -> None:
        recalibrate(run_copy, {})
        (run_copy / "ledger.json").unlink()
        record = read_json(run_copy / "run.json")
        write_json(run_copy / "run.json", {name: value for name, value in record.items() if name != "ledger"})
        with pytest.raises(DeltaExhausted, match="an earlier folder of this name"):
            recalibrate(run_copy, {"alpha": 0.02})

    def test_edited(self, run_copy: Path) -> None:
        ledger = read_json(run_copy / "ledger.json")
        for entries in ledger["accounts"].values():
            entries[0]["delta"] = 0.001
        write_json(run_copy / "ledger.json", ledger)
        with pytest.raises(LedgerDisagrees, match=r"1 certificate\(s\) of delta 0\.001 together"):
            recalibrate(run_copy, {"alpha": 0.02})

    def test_edited_with_the_memory_of_run_json(self, run_copy: Path) -> None:
        recalibrate(run_copy, {})
        ledger = read_json(run_copy / "ledger.json")
        for entries in ledger["accounts"].values():
            entries[0]["delta"] = 0.001
        write_json(run_copy / "ledger.json", ledger)
        record = read_json(run_copy / "run.json")
        record["ledger"]["total"] = 0.001
        write_json(run_copy / "run.json", record)
        with pytest.raises(LedgerDisagrees, match="lacks 1 certificate"):
            recalibrate(run_copy, {"alpha": 0.02})

    def test_an_earlier_copy_put_back(self, tmp_path: Path) -> None:
        run = RunFolder(tmp_path / "run")
        write_json(run.ledger, {"budget": 0.05, "accounts": {}})
        certify_run(evidence(delta=0.025), run)
        earlier = run.ledger.read_bytes()
        certify_run(evidence(delta=0.025, alpha=0.02), run)
        run.ledger.write_bytes(earlier)
        with pytest.raises(LedgerDisagrees, match=r"lacks 1 certificate.*alpha 0\.02"):
            certify_run(evidence(delta=0.025, alpha=0.03), run)

    def test_a_copied_folder_has_no_second_delta(self, run_copy: Path, tmp_path: Path) -> None:
        recalibrate(run_copy, {})
        copy = Path(shutil.copytree(run_copy, tmp_path / "copy"))
        assert recalibrate(copy, {}).policy.certificate.feasible
        write_json(copy / "ledger.json", {"budget": 0.05, "accounts": {}})
        record = read_json(copy / "run.json")
        write_json(copy / "run.json", {name: value for name, value in record.items() if name != "ledger"})
        with pytest.raises(LedgerDisagrees):
            recalibrate(copy, {"alpha": 0.02})

    def test_a_removed_folder_may_be_made_again(self, tmp_path: Path) -> None:
        run = RunFolder(tmp_path / "run")
        before = certify_run(evidence(), run)
        shutil.rmtree(run.root)
        assert certify_run(evidence(), run).certificate == before.certificate
        shutil.rmtree(run.root)
        with pytest.raises(DeltaExhausted, match="an earlier folder of this name"):
            certify_run(evidence(alpha=0.02), run)


def test_the_bundle_says_which_certificate_of_its_split_it_is(run_copy: Path, wrapped: RunResult) -> None:
    first = "Certificate 1 of this calibration split known here"
    assert any(notice.startswith(first) for notice in wrapped.manifest.provenance.notices)
    # SCRC-T reads the labels and spends nothing.
    again = recalibrate(run_copy, {"certificate": "scrc-t", "alpha": 0.02})
    (notice,) = [text for text in again.manifest.provenance.notices if "known here" in text]
    assert notice == "Certificate 2 of this calibration split known here; all 2 share delta 0.05"
    assert notice in inspect_bundle(run_copy / "bundle")["provenance"]["notices"]
    assert notice in (run_copy / "bundle" / "README.md").read_text("utf-8")
    none = recalibrate(run_copy, {"certificate": "none"})
    assert not any("known here" in text for text in none.manifest.provenance.notices)


class TestAChargeThatIsInterrupted:
    """The run is killed between the user's ledger and its own."""

    def killed(self, run: RunFolder, patch: pytest.MonkeyPatch, *, entered: bool) -> None:
        calls = 0

        def change(change: Change) -> KnownSplits:
            nonlocal calls
            calls += 1
            charging = calls == 2
            if charging and not entered:
                raise KeyboardInterrupt
            known = change_accounts(change)
            if charging:
                raise KeyboardInterrupt
            return known

        with patch.context() as inner:
            inner.setattr("trainer.certify.account.change_accounts", change)
            with pytest.raises(KeyboardInterrupt):
                certify_run(evidence(), run)
        assert run.intended_ledger.is_file()
        assert not run.ledger.exists()

    def test_before_the_users_ledger_has_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run = RunFolder(tmp_path / "run")
        self.killed(run, monkeypatch, entered=False)
        # Nothing was charged, so another folder may spend the delta, and this run may not.
        certify_run(evidence(alpha=0.02), RunFolder(tmp_path / "other"))
        with pytest.raises(DeltaExhausted, match=r"other at 20"):
            certify_run(evidence(), run)
        assert not run.intended_ledger.exists()
        assert not run.certificate.exists()

    def test_after_the_users_ledger_has_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run = RunFolder(tmp_path / "run")
        self.killed(run, monkeypatch, entered=True)
        with pytest.raises(DeltaExhausted):
            certify_run(evidence(alpha=0.02), RunFolder(tmp_path / "other"))
        with pytest.raises(DeltaExhausted):
            certify_run(evidence(alpha=0.02), run)
        assert certify_run(evidence(), run).certificate.feasible
        assert read_accounts().spent(SplitIdentity.of(CALIB.content)) == 0.05

    def test_a_refusal_leaves_no_intent(self, tmp_path: Path) -> None:
        certify_run(evidence(), RunFolder(tmp_path / "a"))
        run = RunFolder(tmp_path / "b")
        with pytest.raises(DeltaExhausted):
            certify_run(evidence(alpha=0.02), run)
        assert not run.intended_ledger.exists()
        assert not run.ledger.exists()


def test_folders_of_one_name_on_two_machines_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder(tmp_path / "run")
    monkeypatch.setattr("platform.node", lambda: "one")
    certify_run(evidence(delta=0.02), run)
    run.root.rename(tmp_path / "of one")
    monkeypatch.setattr("platform.node", lambda: "two")
    certify_run(evidence(delta=0.03, alpha=0.02), run)
    run.root.rename(tmp_path / "of two")
    (tmp_path / "of one").rename(run.root)
    monkeypatch.setattr("platform.node", lambda: "one")
    assert certify_run(evidence(delta=0.02), run).certificate.feasible
    with pytest.raises(DeltaExhausted, match=rf"in one:{run.root} at .*in two:{run.root} at"):
        certify_run(evidence(delta=0.01), run)


class TestARunOfAnOlderVersion:
    """Its ledger.json holds what it has spent; no user's ledger knows it, and its scores name no content."""

    def old(self, folder: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
        run = RunFolder(folder)
        monkeypatch.setenv("DEMUR_LEDGER", str(folder / "its own"))
        certify_run(evidence(replace(CALIB, content=())), run)
        monkeypatch.setenv("DEMUR_LEDGER", str(ledger))
        return run

    def test_meeting_it_enters_what_it_has_spent(
        self, tmp_path: Path, ledger_of_test: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = self.old(tmp_path / "old", ledger_of_test, monkeypatch)
        with pytest.raises(DeltaExhausted):
            certify_run(evidence(replace(CALIB, content=()), alpha=0.02), old)
        # A new run on the same split knows its images, and shares the account all the same.
        with pytest.raises(DeltaExhausted, match="old at 20"):
            certify_run(evidence(alpha=0.02), RunFolder(tmp_path / "new"))

    @pytest.mark.parametrize("certificate", ["none", "scrc-t"])
    def test_also_if_the_meeting_spends_nothing(
        self, tmp_path: Path, ledger_of_test: Path, monkeypatch: pytest.MonkeyPatch, certificate: str
    ) -> None:
        old = self.old(tmp_path / "old", ledger_of_test, monkeypatch)
        certify_run(evidence(replace(CALIB, content=()), certificate=certificate), old)
        with pytest.raises(DeltaExhausted, match="old at 20"):
            certify_run(evidence(alpha=0.02), RunFolder(tmp_path / "new"))

    def test_a_copy_of_its_folder_cannot_spend_it_again(
        self, tmp_path: Path, ledger_of_test: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        old = self.old(tmp_path / "old", ledger_of_test, monkeypatch)
        copy = RunFolder(Path(shutil.copytree(old.root, tmp_path / "copy")))
        certify_run(evidence(replace(CALIB, content=())), old)
        copy.ledger.unlink()
        with pytest.raises(DeltaExhausted, match="old at 20"):
            certify_run(evidence(replace(CALIB, content=()), alpha=0.02), copy)


class TestTables:
    def table(self, path: Path, *, relabelled: int = 0, named: bool = False) -> Path:
        rng = np.random.default_rng(5)
        label = rng.integers(0, 2, 900)
        score = np.where(label == 1, 1 - rng.random(900) ** 4 / 2, rng.random(900) ** 4 / 2)
        label[:relabelled] = 1 - label[:relabelled]
        names = [f"camera-7/{i:05d}.jpg" if named else str(i) for i in range(900)]
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = (f"{n},{k},{float(p)!r}" for n, k, p in zip(names, label, score, strict=True))
        path.write_text("path,label,probability\n" + "\n".join(rows) + "\n")
        return path

    def certify(self, path: Path, alpha: float) -> str:
        return certify_scores(path, PromiseConfig(alpha=alpha), ScoreFileColumns()).known

    @pytest.mark.parametrize("named", [False, True])
    def test_eleven_folders_and_other_labels(self, tmp_path: Path, named: bool) -> None:
        first = self.certify(self.table(tmp_path / "0" / "scores.csv", named=named), 0.02)
        assert first.startswith("Certificate 1 of")
        assert self.certify(self.table(tmp_path / "same" / "other.csv", named=named), 0.02) == first
        for index in range(1, 11):
            path = self.table(tmp_path / f"{index}" / "scores.csv", relabelled=index % 2, named=named)
            with pytest.raises(DeltaExhausted, match=r"0/scores\.csv"):
                self.certify(path, 0.02 if index % 2 else 0.02 + index / 1000)

    def test_numbered_rows_with_coarse_scores_are_no_names(self, tmp_path: Path) -> None:
        for index in range(2):
            rng = np.random.default_rng(index)
            path = tmp_path / f"{index}.csv"
            rows = (f"{i},{i % 2},{i % 2 * 0.9 + rng.integers(0, 10) / 100:.2f}" for i in range(600))
            path.write_text("id,label,probability\n" + "\n".join(rows) + "\n")
            self.certify(path, 0.02)


class TestTheUsersLedger:
    def test_processes_at_once_lose_no_entry_and_spend_the_delta_once(self, ledger_of_test: Path) -> None:
        code = (
            "import sys\n"
            "from calibration.errors import DeltaExhausted\n"
            "from calibration.known_splits import KnownCertificate, SplitIdentity\n"
            "from trainer.certify.user_ledger import change_accounts, now\n"
            "split = SplitIdentity.of([f'image {i}' for i in range(3000)])\n"
            "done = 0\n"
            "for turn in range(5):\n"
            "    one = KnownCertificate('w', .01, f'{sys.argv[1]} {turn}', sys.argv[1], now())\n"
            "    try:\n"
            "        change_accounts(lambda known: known.charge(split, [one], .01))\n"
            "        done += 1\n"
            "    except DeltaExhausted:\n"
            "        pass\n"
            "print(done)\n"
        )
        started = [
            subprocess.Popen([sys.executable, "-c", code, f"{place}"], stdout=subprocess.PIPE, text=True)
            for place in range(3)
        ]
        assert sum(int(process.communicate(timeout=120)[0]) for process in started) == 5
        known = read_accounts()
        split = SplitIdentity.of([f"image {i}" for i in range(3000)])
        assert known.spent(split) == pytest.approx(0.05)
        assert len(known.certificates(split)) == 5

    @pytest.mark.parametrize("fault", ["cut", "edited", "empty"])
    def test_a_damaged_one_is_refused_by_name_and_stays(
        self, fault: str, ledger_of_test: Path, tmp_path: Path
    ) -> None:
        certify_run(evidence(), RunFolder(tmp_path / "run"))
        file = ledger_of_test / FILE
        whole = file.read_bytes()
        damaged = {"cut": whole[:-200], "edited": whole.replace(b"0.05", b"0.01"), "empty": b""}[fault]
        file.write_bytes(damaged)
        with pytest.raises(DamagedLedger, match=rf"{FILE} is damaged.*demur ledger merge"):
            certify_run(evidence(), RunFolder(tmp_path / "run"))
        assert file.read_bytes() == damaged

    def test_a_folder_that_cannot_be_written_names_the_way_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("DEMUR_LEDGER", str(tmp_path / "file" / "below"))
        with pytest.raises(LedgerUnavailable, match=r"DEMUR_LEDGER=FOLDER"):
            certify_run(evidence(), RunFolder(tmp_path / "run"))
        assert not RunFolder(tmp_path / "run").ledger.exists()
        certify_run(evidence(certificate="none"), RunFolder(tmp_path / "none"))

    def test_it_is_shown_and_merged(
        self, ledger_of_test: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def demur(*words: str) -> str:
            result = CliRunner().invoke(app, words, catch_exceptions=False, env={"COLUMNS": "200"})
            assert result.exit_code == 0, result.output
            return result.output

        assert "No certificate is known here" in demur("ledger", "show")
        certify_run(evidence(), RunFolder(tmp_path / "run"))
        shown = demur("ledger", "show")
        assert "0 of 0.05" in shown
        assert "alpha 0.01" in shown
        monkeypatch.setenv("DEMUR_LEDGER", str(tmp_path / "mine"))
        certify_run(evidence(scores("val_calib", 1500, 3)), RunFolder(tmp_path / "other"))
        assert "holds 2 certificates on 2 splits" in demur("ledger", "merge", str(ledger_of_test))
        assert "holds 2 certificates" in demur("ledger", "merge", str(ledger_of_test / FILE))
        assert '"left": 0.0' in demur("ledger", "show", "--json")
        with pytest.raises(DeltaExhausted):
            certify_run(evidence(alpha=0.02), RunFolder(tmp_path / "third"))
