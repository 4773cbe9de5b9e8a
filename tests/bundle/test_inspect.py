"""What `demur inspect` shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.referenced_bundle import write_referenced_bundle
from fakes.tiny_bundle import tiny_draft
from rich.console import Console

from bundle.inspect import inspect_bundle, render_bundle
from bundle.manifest import BundleManifest, BundleTampered, Provenance
from bundle.verify import verify_bundle
from bundle.writer import write_bundle


def shown(manifest: BundleManifest) -> str:
    console = Console(width=200, record=True, file=None, quiet=False)
    with console.capture() as capture:
        render_bundle(manifest, console)
    return capture.get()


def test_the_promise_in_one_sentence(tiny_bundle: Path) -> None:
    text = shown(verify_bundle(tiny_bundle))
    assert "With 95 % confidence, at most 1 % of the answered images are answered wrongly" in text
    assert "0 = blue, 1 = red" in text
    assert "margin >= 2.5" in text
    assert "stage_a_share" in text


def test_what_monitoring_finds_in_it(make_tiny_bundle: Callable[..., Path], tmp_path: Path) -> None:
    plain = make_tiny_bundle()
    assert "no reference for drift" in shown(verify_bundle(plain))
    values = inspect_bundle(plain)
    assert (values["audit_curves"], values["drift_reference"]) == ([], None)
    manifest = verify_bundle(write_referenced_bundle(tmp_path / "referenced"))
    assert "a reference for drift" in shown(manifest)
    assert inspect_bundle(tmp_path / "referenced")["drift_reference"] == "reference.json"


def test_an_infeasible_bundle_says_what_is_missing(make_tiny_bundle: Callable[..., Path]) -> None:
    text = shown(verify_bundle(make_tiny_bundle(feasible=False)))
    assert "149 more independent labelled images are needed" in text
    assert text.count("│ never") == 2


def test_without_a_certificate(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    write_bundle(replace(tiny_draft(), certificates=(), evaluation={}), folder)
    assert "every image is abstained on" in shown(verify_bundle(folder))
    inspected = inspect_bundle(folder)
    assert inspected["certificate"] is None
    assert inspected["stage_a_share"] is None


def test_prediction_sets_are_explained(make_tiny_bundle: Callable[..., Path]) -> None:
    text = shown(verify_bundle(make_tiny_bundle(rule="scrc")))
    assert "gate >= 0.3 and one label has p >= 0.2" in text
    assert "in expectation only" in text


def test_notices_and_markup_are_shown_as_they_are(tmp_path: Path) -> None:
    draft = replace(
        tiny_draft(),
        classes=("[red]a[/red]", "b"),
        task="[bold]task",
        evaluation={"[x]": 1.0},
        provenance=Provenance(notices=("column 'drive' was [not] used",)),
    )
    manifest = write_bundle(draft, tmp_path / "bundle")
    text = shown(manifest)
    for literal in ("[red]a[/red]", "[bold]task", "[x]", "column 'drive' was [not] used"):
        assert literal in text


def test_a_tampered_bundle_is_not_shown(tiny_bundle: Path, make_tiny_bundle: Callable[..., Path]) -> None:
    folder = make_tiny_bundle()
    (folder / "README.md").write_text("other")
    with pytest.raises(BundleTampered):
        inspect_bundle(folder)


def test_it_states_what_programs_read(bundle: Path) -> None:
    shown = json.loads(json.dumps(inspect_bundle(bundle), allow_nan=False))
    assert shown["stage_a_share"] == 0.6
    certificate = tiny_draft().certificates[0].certificate.to_dict()
    assert {name: shown["certificate"][name] for name in certificate} == json.loads(json.dumps(certificate))
