"""Definitions on the disk: read back as they were, and refused if they are none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitoring.experiments.definition import (
    Arm,
    Definition,
    DefinitionUnreadable,
    Guardrails,
    Note,
    Stratum,
    Withdrawal,
)
from monitoring.experiments.folder import ExperimentFolder

NOTE = Note(1e9, "Ada", "a try")
DEFINITION = Definition(
    "ramp",
    "salt",
    Arm("one:1", "/bundles/one"),
    (Arm("two:1", "/bundles/two"),),
    (Stratum(NOTE, {"two:1": 0.25}, ((0, 2**51, "two:1", True),)),),
    NOTE,
    "/bundles/one",
    guardrails=Guardrails(risk=None),
    withdrawals=(Withdrawal("two:1", NOTE, "request"),),
)


def test_a_definition_comes_back(tmp_path: Path) -> None:
    folder = ExperimentFolder(tmp_path)
    assert (folder.running(), folder.names(), folder.read("ramp")) == (None, [], None)
    folder.write(DEFINITION)
    assert folder.read("ramp") == folder.running() == DEFINITION
    ended = replace(DEFINITION, ended=Note(1e9 + 9, "Bo", "enough"))
    folder.write(ended)
    assert folder.running() is None
    assert folder.all() == [ended]
    assert [path.name for path in folder.path.iterdir()] == ["ramp.json"]


@pytest.mark.parametrize("name", ["../ramp", "", "a/b", ".ramp", "x" * 65, "ramp\0"])
def test_a_name_that_is_no_name_reads_no_file(tmp_path: Path, name: str) -> None:
    assert ExperimentFolder(tmp_path).read(name) is None


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../../etc"},
        {"name": "other"},
        {"strata": []},
        {"strata": [{"note": None}]},
        {"arms": [{"label": "a"}]},
        {"arms": []},
        {"guardrails": 3},
        {"on_mismatch": "guess"},
        {"format": 2},
        {"started": {"at": "yesterday", "by": "a", "reason": "b"}},
        {"ended": 3},
        {"withdrawals": 3},
    ],
)
def test_a_document_that_is_no_experiment_is_refused_and_said_once(
    tmp_path: Path, change: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ExperimentFolder(tmp_path)
    folder.write(DEFINITION)
    (folder.path / "ramp.json").write_text(json.dumps({**DEFINITION.to_values(), **change}))
    with pytest.raises(DefinitionUnreadable, match=r"^it (is|has) "):
        folder.read("ramp")
    assert folder.all() == folder.all() == []


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"ramp"'])
def test_a_torn_file_is_refused(tmp_path: Path, text: str) -> None:
    folder = ExperimentFolder(tmp_path)
    folder.write(DEFINITION)
    (folder.path / "ramp.json").write_text(text)
    with pytest.raises(DefinitionUnreadable):
        folder.read("ramp")


def test_what_the_watch_has_seen_is_shown(tmp_path: Path) -> None:
    folder = ExperimentFolder(tmp_path)
    assert folder.view("ramp") is None
    folder.keep_view("ramp", {"units": {"control": 3}})
    assert folder.view("ramp") == {"units": {"control": 3}}
    assert folder.names() == []


def test_the_name_of_a_log_stays_with_its_data(tmp_path: Path) -> None:
    one, two = ExperimentFolder(tmp_path / "one"), ExperimentFolder(tmp_path / "two")
    first = one.log_name()
    assert ExperimentFolder(tmp_path / "one").log_name() == first != two.log_name()
    (one.path / "log-name").write_bytes(b"")
    assert one.log_name() not in ("", first)
    assert one.names() == []
