"""The offline gates on real bundles: good ones pass, and each kind of bad one is named by its own gate."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from fakes.fleet_bundles import write_fleet_bundle
from fakes.forged_bundle import forge
from fakes.labelled_images import opens
from fakes.signing_keys import write_certified, write_pair
from fakes.tiny_bundle import looping_model, write_tiny_bundle

from bundle.engines.contract import DEFAULT_KEY
from bundle.sign import SigningKey, sign_bundle
from bundle.signing.envelope import SIGNATURE_FILE
from calibration.errors import DemurError
from deploy.errors import GateUndecided
from deploy.gates.identity import ask_signature
from deploy.gates.offline import gate_names, run_gates
from deploy.gates.outcome import GateResult
from deploy.gates.plan import GatesPlan, RegressionGate
from deploy.gates.regression import ask_test_set
from deploy.gates.served import Served

QUICK = ("latency", "memory", "start")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIGNATURES", "TRUSTED_KEYS", "ENGINE", "PRECISION"):
        monkeypatch.delenv(f"DEMUR_{name}", raising=False)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It decides as the champion does."""
    return write_fleet_bundle(tmp_path_factory.mktemp("newcomer") / "good", gain=1.01)


def run(
    newcomer: Path, champion: Path | None, *, test_set: Any = None, **values: Any
) -> dict[str, GateResult]:
    plan = GatesPlan.model_validate({"leave_out": QUICK, **values})
    told: list[GateResult] = []
    found = run_gates(plan, newcomer, champion, told.append, open_test_set=test_set)
    assert found == told
    assert tuple(one.gate for one in found) == gate_names(plan, first=champion is None)
    assert all(one.text for one in found)
    return {one.gate: one for one in found}


def outcomes(found: dict[str, GateResult]) -> dict[str, str]:
    return {gate: result.outcome for gate, result in found.items()}


REGRESSION = {"test_set": "folder:colours", "loss": 0.1, "risk": 0.1}


def test_an_equal_newcomer_passes_every_gate(newcomer: Path, tiny_bundle: Path) -> None:
    found = run(newcomer, tiny_bundle, test_set=opens(count=120), regression=REGRESSION)
    assert outcomes(found) == dict.fromkeys(
        ("verification", "golden", "certificate", "regression", "risk"), "passed"
    )
    assert found["regression"].details["lost"] == 0


def test_a_worse_newcomer_fails_on_the_test_set_alone(tmp_path: Path, tiny_bundle: Path) -> None:
    wrong = write_fleet_bundle(tmp_path / "wrong", fault="wrong")
    found = run(wrong, tiny_bundle, test_set=opens(count=120, tinted=2), regression=REGRESSION)
    assert outcomes(found) == {
        **dict.fromkeys(("verification", "golden", "certificate"), "passed"),
        "regression": "failed",
        "risk": "failed",
    }
    assert found["regression"].details["lost"] == 30


def test_a_few_images_decide_nothing_and_say_how_many_would(newcomer: Path, tiny_bundle: Path) -> None:
    found = run(newcomer, tiny_bundle, test_set=opens(count=12), regression={"test_set": "folder:colours"})
    for gate, what in (("regression", "images"), ("risk", "answers")):
        assert found[gate].outcome == "inconclusive"
        assert f"{what} would decide" in found[gate].text


def test_without_a_reader_a_test_set_decides_nothing(newcomer: Path, tiny_bundle: Path) -> None:
    found = run(newcomer, tiny_bundle, regression=REGRESSION)
    for gate in ("regression", "risk"):
        assert found[gate].outcome == "inconclusive"
        assert "demur promote" in found[gate].text


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"broken": 30}, "30 of 60 images"),
        ({"broken": 60}, "60 of 60 images"),
        ({"unlabelled": 60}, "without a label"),
        ({"class_names": ("cat", "dog")}, "'cat'"),
        ({"count": 0}, "holds no image"),
    ],
)
def test_a_bad_test_set_is_said_in_one_sentence(newcomer: Path, options: dict[str, Any], says: str) -> None:
    served = Served("newcomer", newcomer, DEFAULT_KEY)
    gate = RegressionGate(test_set="folder:colours")
    with pytest.raises(GateUndecided, match=says) as undecided:
        ask_test_set(served, served, gate, opens(**options), say=lambda _: None)
    assert "\n" not in str(undecided.value)


def test_a_corrupt_newcomer_fails_and_no_model_of_it_is_computed(
    newcomer: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    corrupt = shutil.copytree(newcomer, tmp_path / "corrupt")
    (corrupt / "stage_a" / "model.onnx").write_bytes(b"\0")
    found = run(corrupt, tiny_bundle)
    assert outcomes(found) == {
        "verification": "failed",
        "golden": "inconclusive",
        "certificate": "inconclusive",
    }
    assert "stage_a/model.onnx" in found["verification"].text
    assert found["golden"].text == "not asked, because verification has failed"


@pytest.mark.parametrize("content", ["{}", "[" * 10_000])
def test_what_is_no_bundle_fails_or_decides_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "bundle.json").write_text(content)
    assert "passed" not in outcomes(run(tmp_path, None)).values()


def test_a_champion_that_cannot_be_opened_decides_nothing(newcomer: Path, tmp_path: Path) -> None:
    found = run(newcomer, tmp_path)
    assert found["verification"].outcome == "passed"
    assert found["certificate"].outcome == "inconclusive"
    assert "the champion cannot be opened" in found["certificate"].text


def test_an_engine_that_is_not_here_decides_nothing(newcomer: Path) -> None:
    found = run(newcomer, None, engine="onnxruntime-cuda")
    assert found["golden"].outcome == "inconclusive"
    assert "onnxruntime-cuda" in found["golden"].text


def test_golden_cases_that_are_not_met_fail(tmp_path: Path) -> None:
    def other_probabilities(content: dict[str, Any]) -> None:
        for case in content["golden"]:
            for expected in case["expected"].values():
                expected["probabilities"] = [one[::-1] for one in expected["probabilities"]]

    folder = write_tiny_bundle(tmp_path / "tiny")
    forge(folder, other_probabilities)
    found = run(folder, None)
    assert outcomes(found)["golden"] == "failed"
    assert "probability differs" in found["golden"].text


def test_a_model_that_loops_costs_its_time_and_nothing_else(newcomer: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(newcomer, tmp_path / "loops")
    (folder / "stage_b" / "model.onnx").write_bytes(looping_model(32))
    forge(folder)
    found = run(folder, None, longest="4s")
    assert found["verification"].outcome == "passed"
    assert found["golden"].outcome != "passed"


def signed(newcomer: Path, folder: Path) -> tuple[Path, Path]:
    """(bundle signed with a key, the public key)"""
    pair = write_pair(folder / "keys", "ours")
    bundle = shutil.copytree(newcomer, folder / "signed")
    sign_bundle(bundle, SigningKey(pair.private))
    return bundle, pair.public


def test_a_signature_by_a_trusted_key_passes(newcomer: Path, tmp_path: Path) -> None:
    bundle, public = signed(newcomer, tmp_path)
    found = run(bundle, None, signature={"mode": "require", "trusted_keys": [str(public)]})
    assert outcomes(found)["signature"] == "passed"


def test_other_signatures_fail_and_end_the_rest(newcomer: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    bundle, public = signed(newcomer, tmp_path)
    policy = {"mode": "require", "trusted_keys": [str(public)]}
    other = write_pair(tmp_path / "keys", "theirs")
    strange = {"mode": "require", "trusted_keys": [str(other.public)]}
    copied = shutil.copytree(tiny_bundle, tmp_path / "copied")
    shutil.copy(bundle / SIGNATURE_FILE, copied / SIGNATURE_FILE)
    for folder, asked in ((newcomer, policy), (bundle, strange), (copied, policy)):
        found = run(folder, None, signature=asked)
        assert found["signature"].outcome == "failed"
        assert found["golden"].text == "not asked, because signature has failed"


def test_an_expired_certificate_fails(newcomer: Path, tmp_path: Path) -> None:
    expired = write_certified(tmp_path / "keys", "late", days=(-30, -1))
    bundle = shutil.copytree(newcomer, tmp_path / "signed")
    sign_bundle(bundle, SigningKey(expired.private, expired.certificate, (expired.authority,)))
    found = run(bundle, None, signature={"mode": "require", "trusted_keys": [str(expired.authority)]})
    assert found["signature"].outcome == "failed"
    assert "expired" in found["signature"].text or "valid" in found["signature"].text


def test_keys_that_are_no_keys_decide_nothing(newcomer: Path, tmp_path: Path) -> None:
    no_key = tmp_path / "key.pem"
    no_key.write_text("no key")
    found = run(newcomer, None, signature={"mode": "require", "trusted_keys": [str(no_key)]})
    assert found["signature"].outcome == "inconclusive"
    assert "neither a public key nor certificates" in found["signature"].text
    assert found["golden"].text == "not asked, because signature has decided nothing"
    for keys, says in (((), "no key is trusted"), ((tmp_path / "nowhere.pem",), "is not there")):
        plan = GatesPlan.model_validate({"signature": {"mode": "require", "trusted_keys": keys}})
        with pytest.raises(DemurError, match=says):
            ask_signature(newcomer, plan, say=lambda _: None)


def test_what_hears_the_results_may_end_the_gates(newcomer: Path) -> None:
    class Ended(Exception):
        """A person has ended the promotion."""

    def end(result: GateResult) -> None:
        raise Ended

    with pytest.raises(Ended):
        run_gates(GatesPlan(), newcomer, None, end)
