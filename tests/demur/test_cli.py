"""The list of verbs, what `--help` shows and costs, and what becomes of errors."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from fakes.command_line import Demur
from typer.testing import CliRunner

from calibration.errors import DemurError
from demur import cli, verbs
from demur.commands.decision_table import DecisionRow
from trainer.scoring.score_file import ROW_NAMES, USUAL_SCORES

VERBS = {verb.__name__: verb for group in cli.PANELS.values() for verb in group}
HEAVY = ("numpy", "pydantic", "rich.progress", "torch", "onnxruntime", "fastapi", "redis")


def test_a_verb_lives_in_the_file_of_its_name() -> None:
    """A large group of verbs may go on in a second file, which bears its name and one word more."""
    folder = Path(verbs.__path__[0])
    groups = {group.info.name: group for panel in cli.GROUPS.values() for group in panel}
    more = {path.stem for name in groups for path in folder.glob(f"{name}_*.py")}
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "options"} - more
    assert set(VERBS) | set(groups) == files
    for stem in more:
        name = stem.rpartition("_")[0]
        assert getattr(import_module(f"demur.verbs.{stem}"), name) is groups[name]
    for name, group in groups.items():
        assert getattr(import_module(f"demur.verbs.{name}"), str(name)) is group
    for name, verb in VERBS.items():
        assert getattr(import_module(f"demur.verbs.{name}"), name) is verb


def test_building_the_command_line_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom demur.cli import app\nfrom typer.testing import CliRunner\n"
        "result = CliRunner().invoke(app, ['--help'])\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert result.exit_code == 0 and 'train' in result.output, result.output\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class TestHelp:
    @pytest.mark.parametrize("name", VERBS)
    def test_every_option_says_what_it_is_and_its_default(self, name: str) -> None:
        command: Any = typer.main.get_command(cli.app)
        for parameter in command.commands[name].params:
            if parameter.name == "help":
                continue
            text = parameter.help or ""
            assert re.match(r"[A-Z`]", text), (name, parameter.name, text)
            optional = parameter.default is None and not (parameter.required or parameter.multiple)
            if optional and parameter.param_type_name == "option" and not parameter.is_flag:
                assert re.search(r"\[(default: |required)", text), (name, parameter.name, text)

    @pytest.mark.parametrize("name", VERBS)
    def test_every_verb_shows_an_example(self, name: str) -> None:
        result = CliRunner().invoke(cli.app, [name, "--help"], env={"COLUMNS": "100"})
        assert f"demur {name} " in result.output

    def test_the_columns_of_tables_are_named(self) -> None:
        written = [field.name for field in fields(DecisionRow)]
        assert (
            re.findall(r"`(\w+)`", words(VERBS["predict"]).partition("Columns of the table:")[2]) == written
        )
        assert set(re.findall(r"`(\w+)`", words(VERBS["calibrate"]))) >= {"label", *ROW_NAMES}
        command: Any = typer.main.get_command(cli.app)
        (option,) = [one for one in command.commands["calibrate"].params if one.name == "score_column"]
        for name in USUAL_SCORES:
            assert name in option.help

    @pytest.mark.parametrize("name", ["show", "merge"])
    def test_every_verb_of_a_group_shows_an_example(self, name: str) -> None:
        result = CliRunner().invoke(cli.app, ["ledger", name, "--help"], env={"COLUMNS": "100"})
        assert f"demur ledger {name}" in result.output


def words(verb: Any) -> str:
    """The docstring of a verb in one line."""
    return " ".join((verb.__doc__ or "").split())


class TestOptionsOfAllVerbs:
    def test_the_version_names_what_a_report_of_a_fault_needs(self, demur: Demur) -> None:
        ended = demur("--version")
        assert ended.code == 0
        assert re.fullmatch(r"demur \d\S* \(Python 3\.\d+\.\d+, .*onnxruntime \d.*\)\n", ended.out)

    @pytest.mark.parametrize("name", ["", *VERBS, "ledger", "ledger show", "ledger merge"])
    def test_a_short_option_shows_the_help(self, name: str, demur: Demur) -> None:
        short, long = demur(*name.split(), "-h"), demur(*name.split(), "--help")
        assert short.code == 0
        assert short.out == long.out != ""

    @pytest.mark.parametrize(
        ("arguments", "nearest"),
        [
            (["trian"], "Did you mean 'train'"),
            (["ledger", "shwo"], "Did you mean 'show'?"),
            (["train", "--minuts", "3"], "--minutes"),
            (["serve", "--workes", "3"], "--workers"),
        ],
    )
    def test_a_mistyped_word_gets_the_nearest(self, arguments: list[str], nearest: str, demur: Demur) -> None:
        ended = demur(*arguments)
        assert ended.code == 2
        assert nearest in ended.err

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_the_shell_completes_verbs_and_options(
        self, shell: str, demur: Demur, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("_DEMUR_COMPLETE", f"complete_{shell}")
        monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
        for typed, found in (("demur pre", "pretrain"), ("demur train --min", "--min-coverage")):
            monkeypatch.setenv("_TYPER_COMPLETE_ARGS", typed)
            monkeypatch.setenv("COMP_WORDS", typed)
            monkeypatch.setenv("COMP_CWORD", str(typed.count(" ")))
            assert found in demur().out


class TestErrors:
    def run(self, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> int:
        def fail() -> None:
            raise error

        monkeypatch.setattr(cli, "app", fail)
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert isinstance(stop.value.code, int)
        return stop.value.code

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (DemurError("alpha is 2"), "alpha is 2"),
            (OSError(28, "No space left", "/full"), "/full: no space left"),
        ],
    )
    def test_an_error_that_a_user_can_mend_is_one_line(
        self,
        error: Exception,
        message: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.delenv("DEMUR_DEBUG", raising=False)
        assert self.run(error, monkeypatch) == cli.EXPECTED_FAULT
        assert capsys.readouterr().err == f"demur: {message}\n"

    def test_the_cause_of_an_error_names_the_limit_that_helps(self) -> None:
        error = DemurError("model.onnx cannot be quantised")
        error.__cause__ = OSError(24, "Too many open files")
        assert cli.fault(error) == (
            "model.onnx cannot be quantised; too many files are open: raise `ulimit -n`"
        )
        assert cli.fault(ValueError("a bug")) is None

    def test_a_data_folder_that_cannot_be_written_names_the_option(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["demur", "serve", "--bundle", "b"])
        assert "--data-dir (DEMUR_DATA_DIR)" in str(cli.fault(PermissionError(13, "Permission denied", "/x")))

    def test_debugging_shows_its_traceback(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DEMUR_DEBUG", "1")
        with pytest.raises(DemurError):
            self.run(DemurError("alpha is 2"), monkeypatch)

    @pytest.mark.parametrize("error", [ValueError("a bug"), KeyError("a bug")])
    def test_any_other_error_is_a_bug_and_keeps_its_traceback(
        self, error: Exception, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(type(error)):
            self.run(error, monkeypatch)

    def test_an_interrupt(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        def interrupted(run: Path) -> None:
            raise KeyboardInterrupt

        app = typer.Typer()
        app.command()(interrupted)
        monkeypatch.setattr(cli, "app", partial(app, ["somewhere"]))
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code == cli.INTERRUPTED
        assert capsys.readouterr().err == "demur: interrupted\n"

    def test_a_reader_that_has_gone_ends_the_output_in_silence(self, tmp_path: Path) -> None:
        demur = Path(sys.executable).with_name("demur")
        done = subprocess.run(
            f"{demur} --help | head -c 1; echo; {demur} train --help | true",
            shell=True,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "COLUMNS": "100"},
        )
        assert "Traceback" not in done.stderr
