"""`--json`: one JSON object on standard output, of every verb that reports, for a refusal as well."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from fakes.command_line import Demur, Ended
from fakes.signing_keys import write_pair
from fakes.tiny_bundle import write_tiny_bundle
from fakes.tiny_vit import save_tiny_transformer

from bundle.registry import changes
from bundle.registry.generation import Change
from bundle.registry.opening import open_registry
from demur import cli

WITHOUT_REPORT = {"demo", "serve", "init", "logs", "health"}
"""Verbs that serve, write a file, show one line by line, or say one line, and report nothing"""


@pytest.fixture(scope="module")
def run_folder(photos: Path, onnx_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a wrapped model."""
    from typer.testing import CliRunner

    out = tmp_path_factory.mktemp("runs") / "wrapped"
    arguments = ["wrap", f"--model={onnx_model}", f"--data=folder:{photos}", f"--out={out}"]
    CliRunner().invoke(cli.app, [*arguments, "--class-names=calm,busy"], catch_exceptions=False)
    return out


def not_json(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def object_of(ended: Ended) -> dict[str, Any]:
    """The one object on standard output."""
    value = json.loads(ended.out, parse_constant=not_json)
    assert isinstance(value, dict)
    return value


COVERED: dict[str, Callable[[Any, Path, Path], list[object]]] = {
    "data": lambda request, run, out: ["data", f"folder:{request('photos')}"],
    "train": lambda request, run, out: [
        *("train", f"--data=folder:{request('squares')}", f"--out={out}", "--minutes=0.01"),
        *("--alpha=0.3", "--delta=0.3"),
    ],
    "wrap": lambda request, run, out: [
        *("wrap", f"--model={request('onnx_model')}", f"--data=folder:{request('photos')}"),
        *(f"--out={out}", "--class-names=calm,busy"),
    ],
    "compare": lambda request, run, out: [
        *("compare", f"--data=folder:{request('squares')}", f"--out={out}", "--methods=full,head"),
        *("--seeds=1", "--no-search", "--epochs=1", "--alpha=0.3", "--delta=0.3"),
        f"--backbone=folder:{save_tiny_transformer('dinov2', out.parent / 'vit')}",
    ],
    "pretrain": lambda request, run, out: [
        *("pretrain", f"--data=folder:{request('squares')}", f"--out={out}", "--backbone=vit"),
        *("--from-scratch", "--rows=all", "--epochs=1", "--layers=1", "--hidden-size=48"),
    ],
    "sweep": lambda request, run, out: ["sweep", run],
    "gate": lambda request, run, out: ["gate", run],
    "calibrate": lambda request, run, out: ["calibrate", run],
    "evaluate": lambda request, run, out: ["evaluate", run],
    "bundle": lambda request, run, out: ["bundle", run],
    "inspect": lambda request, run, out: ["inspect", request("tiny_bundle")],
    "sign": lambda request, run, out: [
        *("sign", copytree(request("tiny_bundle"), out), f"--key={write_pair(out.parent, 'key').private}"),
    ],
    "verify": lambda request, run, out: ["verify", request("tiny_bundle")],
    "predict": lambda request, run, out: [
        *("predict", f"--bundle={request('tiny_bundle')}", f"--data=folder:{request('photos')}"),
        f"--out={out}.csv",
    ],
    "profile": lambda request, run, out: [
        *("profile", f"--bundle={request('tiny_bundle')}", f"--out={out}", "--seconds=3", "--processes=1"),
    ],
    "doctor": lambda request, run, out: ["doctor"],
    "promote": lambda request, run, out: [
        *("promote", request("tiny_bundle"), f"--registry={out}", "--dry-run", "--by=tests"),
        f"--plan={a_plan(out.with_suffix('.yaml'))}",
    ],
    "rollback": lambda request, run, out: ["rollback", f"--registry={a_registry(out)}", "--by=tests"],
    "fleet": lambda request, run, out: ["fleet", f"--registry={a_registry(out)}"],
}


def a_plan(path: Path) -> Path:
    """A plan that needs no service and no time."""
    path.write_text("services: 0\ngates: {leave_out: [latency, memory, start]}\n")
    return path


def a_registry(folder: Path) -> Path:
    """A registry with a fleet of two generations, whose bundles are in it."""
    registry = open_registry(str(folder))
    one, two = (
        registry.push(write_tiny_bundle(folder.parent / name, name=name), "tests") for name in ("one", "two")
    )
    log = registry.fleet("tiny")
    log.change(lambda now: changes.promoted(now, one, Change(1.0, "tests", "the first")))
    log.change(lambda now: changes.promoted(now, two, Change(2.0, "tests", "the second")))
    return folder


def test_every_verb_that_reports_is_covered() -> None:
    assert {verb.__name__ for verbs in cli.PANELS.values() for verb in verbs} - WITHOUT_REPORT == set(COVERED)


@pytest.mark.parametrize("verb", COVERED)
def test_one_object_on_standard_output(
    verb: str, run_folder: Path, demur: Demur, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    arguments = COVERED[verb](request.getfixturevalue, run_folder, tmp_path / "out")
    ended = demur(*arguments, "--json")
    assert ended.code == 0, ended.err
    value = object_of(ended)
    assert "error" not in value
    if verb in ("train", "wrap", "calibrate"):
        assert value["certificate"]["sentence"] == value["summary"][0]
        assert Path(value["bundle"]).is_dir()


def test_a_ledger(demur: Demur, score_table: Path) -> None:
    demur("calibrate", "--scores", score_table)
    (split,) = object_of(demur("ledger", "show", "--json")).values()
    assert split["units"] == 1000


def test_a_table_of_scores(demur: Demur, score_table: Path) -> None:
    value = object_of(demur("calibrate", "--scores", score_table, "--json"))
    assert value["certificate"]["feasible"]
    assert value["certificates"] == [value["certificate"]]
    assert "every row on its own" not in value


def test_several_risks(demur: Demur, score_table: Path) -> None:
    value = object_of(demur("calibrate", "--scores", score_table, "--alphas", "0.02,0.01", "--json"))
    assert [one["alpha"] for one in value["certificates"]] == [0.02, 0.01]


def test_thresholds_that_answer_nothing_are_null(demur: Demur, run_folder: Path) -> None:
    rows = object_of(demur("sweep", run_folder, "--json"))["rows"]
    assert {type(row["threshold_a"]) for row in rows} <= {float, int, type(None)}


def test_the_counts_of_a_prediction(demur: Demur, tiny_bundle: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "decisions.jsonl"
    ended = demur("predict", "--bundle", tiny_bundle, f"--data=folder:{photos}", "--out", out, "--json")
    value = object_of(ended)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert value["images"] == len(rows) == 120
    assert value["answered"] + value["abstained"] + value["unreadable"] == 120
    assert value["version"] == rows[0]["bundle_version"]


class TestRefusals:
    def test_an_error_that_a_user_can_mend(self, demur: Demur, tmp_path: Path) -> None:
        ended = demur("inspect", tmp_path / "nothing", "--json")
        assert object_of(ended) == {
            "error": ended.err.removeprefix("demur: ").rstrip("\n"),
            "kind": "BundleMissing",
            "exit_code": 2,
        }
        assert ended.code == 2

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["calibrate"], "give the folder of a run"),
            (["sweep"], "Missing argument"),
            (["sweep", "run", "--colour"], "No such option: --colour"),
            (["train", "--out", "run", "--augment", "much"], "augment"),
            (["swep", "run"], "Did you mean 'sweep'?"),
        ],
    )
    def test_a_command_line_that_cannot_be_read(
        self, demur: Demur, arguments: list[str], message: str
    ) -> None:
        ended = demur(*arguments, "--json")
        assert message in object_of(ended)["error"]
        assert object_of(ended)["exit_code"] == ended.code == 2

    def test_without_json_nothing_goes_to_standard_output(self, demur: Demur, tmp_path: Path) -> None:
        ended = demur("inspect", tmp_path / "nothing")
        assert (ended.code, ended.out) == (2, "")
