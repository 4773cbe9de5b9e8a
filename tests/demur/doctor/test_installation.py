"""Versions against those that are asked for, extras, engines and weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from bundle.system.subprocess_call import SubprocessLost
from demur.doctor import installation
from demur.doctor.finding import Finding


def by_status(findings: list[Finding], status: str) -> list[Finding]:
    return [one for one in findings if one.status == status]


def test_this_installation_is_complete() -> None:
    assert by_status([*installation.python(), *installation.extras()], "broken") == []
    assert by_status(list(installation.engines()), "ok")


def requirements(monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
    monkeypatch.setattr("importlib.metadata.requires", lambda name: list(texts))


def test_a_library_that_everything_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    requirements(monkeypatch, "numpy>=99", "no-such-thing>=1", 'torch>=99; extra == "train"')
    broken = by_status(list(installation.python()), "broken")
    assert [one.remedy for one in broken] == ["pip install 'numpy>=99'", "pip install 'no-such-thing>=1'"]
    assert "it is not installed" in broken[1].text


@pytest.mark.parametrize(
    ("texts", "status", "said"),
    [
        (['numpy>=1; extra == "train"'], "ok", "[train]: training"),
        (['numpy>=99; extra == "train"'], "broken", "(>=99 is asked for)"),
        (['numpy>=1; extra == "train"', 'nothing-here; extra == "train"'], "missing", "without nothing-here"),
        (['nothing-here; extra == "train"'], "missing", "not installed"),
        (['demur[data]; extra == "train"', 'nothing-here; extra == "data"'], "missing", "not installed"),
    ],
)
def test_an_extra(texts: list[str], status: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    requirements(monkeypatch, "numpy>=1", *texts)
    (found,) = [one for one in installation.extras() if one.text.startswith("[train]")]
    assert (found.status, said in found.text) == (status, True), found
    assert (status == "ok") != ("[train]" in found.remedy)


def test_an_engine_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object, **__: object) -> None:
        raise SubprocessLost("its process ended with -11")

    monkeypatch.setattr(installation, "call_in_subprocess", lost)
    (found,) = installation.engines()
    assert (found.status, "-11" in found.text) == ("broken", True)


def test_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "call_in_subprocess", lambda *_, **__: [])
    (found,) = installation.engines()
    assert found.status == "broken"
    assert "[cpu], [gpu] or [openvino]" in found.remedy


def test_versions_beside_the_constraints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "installation_folder", lambda: tmp_path)
    assert list(installation.constraints()) == []
    (tmp_path / "constraints.txt").write_text("# a set\nnumpy==0.1\nnot-installed==3\n")
    (found,) = installation.constraints()
    assert found.status == "note"
    assert "numpy" in found.text
    assert "not-installed" not in found.text


def test_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setattr(installation, "find_spec", lambda name: None)
    (tmp_path / "hub" / "models--owner--name").mkdir(parents=True)
    absent, kept = installation.weights()
    assert (absent.status, "[imagenet]" in absent.remedy) == ("missing", True)
    assert kept.text == "in the hub's cache: owner/name"


def test_markers_of_other_systems_are_left_out() -> None:
    assert not installation._holds(Requirement("x; sys_platform == 'win32'"), "")
