"""`demur promote`, `demur promotion`, `demur rollback` and `demur fleet` over a real registry in a folder.

No service runs here (`services: 0`); tests/e2e has some.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from fakes.command_line import Demur
from fakes.fleet_bundles import write_fleet_bundle
from fakes.terminal import Terminal
from fakes.waiting import eventually

from bundle.registry.errors import NoRegistry
from bundle.registry.generation import Generation
from bundle.registry.opening import open_registry

DEMUR = Path(sys.executable).with_name("demur")
QUICK = "services: 0\ngates: {leave_out: [latency, memory, start]}\n"
STRICT = "services: 0\ngates: {leave_out: [latency, memory, start], certificate: {alpha: 0.001}}\n"
ASKING = f"{QUICK}approve: required\nlease: 2s\n"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two of one model."""
    root = tmp_path_factory.mktemp("bundles")
    one, two = (write_fleet_bundle(root / name, gain=gain) for name, gain in (("one", 1.0), ("two", 1.25)))
    return one, two


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DEMUR_REGISTRY", "DEMUR_FOLLOW", "DEMUR_REDIS_URL", "DEMUR_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)


def plan(folder: Path, text: str = QUICK) -> Path:
    path = folder / "plan.yaml"
    path.write_text(text)
    return path


def newest(folder: Path, fleet: str = "tiny") -> Generation:
    found = open_registry(str(folder / "registry")).fleet(fleet).newest()
    assert found is not None
    return found


@contextmanager
def waiting_for_approval(folder: Path, bundle: Path) -> Iterator[subprocess.Popen[str]]:
    """A promoter in a process of its own, whose promotion waits for a person."""
    words = [DEMUR, "promote", bundle, "--registry", "registry", "--yes", "--by", "Bob", "--json"]
    promoter = subprocess.Popen(
        [str(word) for word in (*words, "--plan", plan(folder, ASKING))],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        eventually(lambda: promoter.poll() is not None or phase_of(folder) == "approval")
        assert promoter.poll() is None, promoter.communicate()
        yield promoter
    finally:
        promoter.kill()
        promoter.communicate()


def phase_of(folder: Path) -> str | None:
    """None before there is a registry."""
    with suppress(NoRegistry):
        found = open_registry(str(folder / "registry")).fleet("tiny").newest()
        return None if found is None or found.promotion is None else found.promotion.phase
    return None


def test_from_the_first_champion_to_a_second_and_back(
    demur: Demur, bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    at = ("--registry", "registry")
    first = demur("promote", bundles[0], *at, "--plan", plan(tmp_path), "--yes", "--reason", "the first")
    assert first.code == 0, first.err
    assert "it is the first champion" in first.out
    for gate in ("verification", "golden", "certificate"):
        assert any(line.split()[:2] == [gate, "passed"] for line in first.out.splitlines()), first.out
    assert "left out: signature: " in first.out
    second = demur("promote", bundles[1], *at, "--plan", plan(tmp_path), "--yes", "--json")
    assert second.code == 0, second.err
    outcome = json.loads(second.out)
    assert (outcome["phase"], outcome["why"]) == ("promoted", None)
    assert {one["outcome"] for one in outcome["results"]} == {"passed"}
    assert "verification" in second.err
    fleet = json.loads(demur("fleet", *at, "--json").out)
    champion, previous = fleet["champion"], fleet["previous"]
    assert champion["label"] != previous["label"]
    assert fleet["unseen"].startswith("no store is named")
    told = demur("fleet", *at).out
    assert f"champion    {champion['label']} ({champion['digest'][:8]})" in told
    back = demur("rollback", *at, "--reason", "too many complaints", "--by", "Ada")
    assert back.code == 0, back.err
    assert f"tiny: {previous['label']} serves" in back.out
    change = newest(tmp_path).change
    assert (change.by, change.reason) == ("Ada", "too many complaints")
    nowhere = demur("rollback", *at)
    assert nowhere.code == 2
    assert "no former champion" in nowhere.err


def test_a_gate_that_fails_rolls_back_and_the_exit_code_says_so(
    demur: Demur, bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    at = ("--registry", "registry", "--plan", plan(tmp_path, STRICT))
    ended = demur("promote", bundles[0], *at, "--yes")
    assert ended.code == 3
    assert "rolled-back" in ended.out
    status = demur("promotion", "status", "--registry", "registry")
    assert status.code == 3
    assert "certificate          failed" in status.out
    assert newest(tmp_path).champion is None
    before = newest(tmp_path).number
    rehearsed = demur("promote", bundles[0], *at, "--dry-run", "--json")
    assert rehearsed.code == 3
    found = json.loads(rehearsed.out)
    assert (found["passed"], found["results"][-1]["outcome"]) == (False, "failed")
    assert newest(tmp_path).number == before


def test_a_person_says_yes_from_elsewhere(demur: Demur, bundles: tuple[Path, Path], tmp_path: Path) -> None:
    with waiting_for_approval(tmp_path, bundles[0]) as promoter:
        status = demur("promotion", "status", "--registry", "registry")
        assert status.code == 0
        assert "phase       approval" in status.out
        assert "waits for" in status.out
        again = demur("promote", bundles[1], "--registry", "registry", "--plan", plan(tmp_path), "--yes")
        assert again.code == 2
        assert "runs in fleet tiny" in again.err
        said = demur(
            *("promotion", "approve", "--registry", "registry", "--comment", "looked at it", "--by", "Ada")
        )
        assert said.code == 0, said.err
        out, err = promoter.communicate(timeout=150)
    assert promoter.returncode == 0, err
    assert json.loads(out)["phase"] == "promoted"
    twice = demur("promotion", "approve", "--registry", "registry", "--comment", "again")
    assert twice.code == 2
    assert "no promotion runs" in twice.err


def test_a_person_ends_it_from_elsewhere(demur: Demur, bundles: tuple[Path, Path], tmp_path: Path) -> None:
    with waiting_for_approval(tmp_path, bundles[0]) as promoter:
        said = demur(
            *(
                "promotion",
                "abort",
                "--registry",
                "registry",
                "--reason",
                "the wrong one",
                "--by",
                "Ada",
                "--json",
            )
        )
        assert said.code == 0, said.err
        assert json.loads(said.out)["promotion"]["why"] == "aborted by Ada: the wrong one"
        out, _ = promoter.communicate(timeout=150)
    assert promoter.returncode == 3
    assert json.loads(out)["why"] == "aborted by Ada: the wrong one"


def test_on_a_terminal_it_asks_and_an_interruption_says_how_to_go_on(
    demur: Demur, bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    words = (DEMUR, "promote", bundles[0], "--registry", "registry", "--plan", plan(tmp_path, ASKING))
    with Terminal(*words, folder=tmp_path, columns=200) as terminal:
        terminal.read_until("Promote tiny:")
        terminal.type("n\n")
        terminal.read_until("demur: nothing was changed")
        assert terminal.process.wait(150) == 2
    with Terminal(*words, folder=tmp_path, columns=200) as terminal:
        terminal.read_until("Promote tiny:")
        terminal.type("y\n")
        terminal.read_until("waits for")
        assert terminal.interrupt() == 130
        shown = terminal.shown
    assert "stands in the registry as it is, in phase approval" in shown
    assert "demur promote --resume" in shown
    assert phase_of(tmp_path) == "approval"
    demur("promotion", "approve", "--registry", "registry", "--comment", "looked at it")
    resumed = demur("promote", "--resume", "--registry", "registry", "--by", "Ada")
    assert resumed.code == 0, resumed.err
    assert newest(tmp_path).champion is not None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["{one}"], "the registry is not named; give --registry"),
        (["{one}", "--registry", "registry"], "give --yes"),
        (["gone", "--registry", "registry", "--yes"], "is no registry yet"),
        (["/no/such/folder", "--registry", "registry", "--yes"], "there is no folder '/no/such/folder'"),
        (["./gone", "--registry", "registry", "--yes"], "there is no folder './gone'"),
        (["a/b/gone", "--registry", "registry", "--yes"], "there is no folder 'a/b/gone'"),
        (["{one}", "--registry", "registry", "--fleet", "../x", "--yes"], "'../x' is no name of a fleet"),
        (["{one}", "--registry", "registry", "--to", "previous"], "--to is 'previous'"),
        (["{one}", "--registry", "registry", "--to", "/champion"], "--to is '/champion'"),
        (["{one}", "--registry", "registry", "--to", "a/champion", "--fleet", "b"], "must name one fleet"),
        (["{one}", "--registry", "registry", "--to", "../x/champion", "--yes"], "../x"),
        (["{one}", "--registry", "registry", "--plan", "gone.yaml"], "gone.yaml"),
        (["{one}", "--registry", "gopher://x", "--yes"], "gopher"),
        (["{one}", "--registry", "registry", "--store", "http://x"], "the scheme 'http'"),
        (
            ["{one}", "--registry", "registry", "--store", "redis://x:port", "--yes"],
            "--store, DEMUR_REDIS_URL",
        ),
        (["--resume", "--registry", "registry"], "registry"),
        ([], "give a bundle, or --resume"),
        (["{one}", "--resume", "--registry", "registry"], "give a bundle, or --resume"),
    ],
)
def test_what_cannot_begin_is_refused_in_one_message(
    demur: Demur, bundles: tuple[Path, Path], options: list[str], said: str
) -> None:
    ended = demur("promote", *(option.format(one=bundles[0]) for option in options))
    assert ended.code == 2
    assert said in ended.err
    assert "Traceback" not in ended.err


def test_a_fleet_of_no_name_is_refused_before_anything_is_pushed(
    demur: Demur, bundles: tuple[Path, Path], tmp_path: Path
) -> None:
    assert demur("promote", bundles[0], "--registry", "registry", "--fleet", "../x", "--yes").code == 2
    assert not (tmp_path / "registry").exists()


@pytest.mark.parametrize("verb", [["promote", "{one}", "--yes"], ["promotion", "status"]])
def test_a_store_that_is_away_is_named_with_its_option(
    demur: Demur, bundles: tuple[Path, Path], tmp_path: Path, verb: list[str]
) -> None:
    at = ("--registry", "registry")
    assert demur("promote", bundles[0], *at, "--plan", plan(tmp_path), "--yes").code == 0
    words = [word.format(one=bundles[1]) for word in verb]
    ended = demur(*words, *at, "--store", "redis://:secret@127.0.0.1:1/0")
    assert "127.0.0.1:1" in ended.err + ended.out
    assert "secret" not in ended.err + ended.out
    if words[0] == "promote":
        assert ended.code == 2
        assert "the store redis://127.0.0.1:1/0 (--store, DEMUR_REDIS_URL) cannot be used" in ended.err


def test_the_settings_of_a_service_say_where_the_fleet_is(
    demur: Demur, bundles: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "serve.env").write_text("DEMUR_REGISTRY=registry\nDEMUR_FOLLOW=signs/champion\n")
    ended = demur("promote", bundles[0], "--env-file", "serve.env", "--plan", plan(tmp_path), "--yes")
    assert ended.code == 0, ended.err
    assert newest(tmp_path, "signs").champion is not None
    monkeypatch.setenv("DEMUR_REGISTRY", "registry")
    assert json.loads(demur("fleet", "--json").out)["fleet"] == "signs"
    unknown: Any = demur("fleet", "--fleet", "cones", "--json")
    assert json.loads(unknown.out)["generation"] is None
