"""`demur init`: files that hold every setting, load, and equal the defaults."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from fakes.command_line import Demur
from pydantic import BaseModel

from demur.commands.init import promotion_file, serving_file, training_file
from demur.commands.settings_text import meanings
from deploy.promotion.plan import Plan
from deploy.promotion.plan_file import read_plan
from service.environment import read_env_file, variable_of
from service.settings import Settings
from trainer.config import TrainConfig, load_config


def fields_of(values: BaseModel, path: str = "") -> Iterator[tuple[str, type[BaseModel], str]]:
    """(dotted field, model, field) of a configuration and of every part of it."""
    for name in type(values).model_fields:
        yield f"{path}{name}", type(values), name
        inner = getattr(values, name)
        if isinstance(inner, BaseModel):
            yield from fields_of(inner, f"{path}{name}.")


class TestTraining:
    def test_the_file_loads_and_equals_the_defaults(self, tmp_path: Path) -> None:
        path = tmp_path / "train.yaml"
        path.write_text(training_file(), "utf-8")
        assert load_config(path, {}) == TrainConfig()

    def test_every_field_is_there(self) -> None:
        values = yaml.safe_load(training_file())
        for dotted, _, _ in fields_of(TrainConfig()):
            place: Any = values
            for name in dotted.split("."):
                assert name in place, dotted
                place = place[name]

    def test_every_field_says_what_it_is(self) -> None:
        silent = [dotted for dotted, model, name in fields_of(TrainConfig()) if not meanings(model)[name]]
        assert silent == []

    def test_a_comment_stands_above_its_field_with_the_range(self) -> None:
        lines = training_file().splitlines()
        place = lines.index("minutes: 12.0")
        assert lines[place - 1].startswith("# ")
        assert "Above 0" in lines[place - 1]
        assert max(map(len, lines)) <= 100

    def test_the_verb_takes_it(self, demur: Demur, tmp_path: Path) -> None:
        file = tmp_path / "train.yaml"
        assert demur("init", file).code == 0
        ended = demur(
            "train", "--config", file, "--data", f"folder:{tmp_path / 'gone'}", "--out", tmp_path / "r"
        )
        assert "gone" in ended.err


class TestServing:
    def test_the_file_loads_and_equals_the_defaults(self, tmp_path: Path) -> None:
        path = tmp_path / "serve.env"
        path.write_text(serving_file(), "utf-8")
        assert Settings.read(read_env_file(path), bundle="b") == Settings(bundle=Path("b"))

    def test_every_setting_is_there_once_in_a_form_that_docker_reads(self) -> None:
        names = [line.partition("=")[0] for line in serving_file().splitlines() if re.match(r"\w", line)]
        assert names == [variable_of(name) for name in Settings.model_fields]
        assert '"' not in "".join(line for line in serving_file().splitlines() if not line.startswith("#"))


class TestPromotion:
    def test_the_file_loads_and_equals_the_defaults(self, demur: Demur, tmp_path: Path) -> None:
        file = tmp_path / "plan.yaml"
        assert demur("init", "--promotion", file).code == 0
        assert read_plan(file) == Plan()

    def test_every_field_says_what_it_is_and_durations_are_short(self) -> None:
        lines = promotion_file().splitlines()
        fields = [number for number, line in enumerate(lines) if re.match(r" *[a-z_0-9]+:", line)]
        canary = lines.index("canary:")
        assert len(fields) > 40
        silent = [lines[n] for n in fields if n < canary and not lines[n - 1].lstrip().startswith("# ")]
        assert silent == []
        assert "  longest: 10m" in lines
        assert not re.search(r"\d\.000s", promotion_file())

    def test_it_is_one_of_two_files(self, demur: Demur, tmp_path: Path) -> None:
        ended = demur("init", "--promotion", "--serve", tmp_path / "x")
        assert ended.code == 2
        assert "not both" in ended.err


class TestFile:
    def test_an_existing_file_stays(self, demur: Demur, tmp_path: Path) -> None:
        file = tmp_path / "serve.env"
        file.write_text("mine")
        ended = demur("init", "--serve", file)
        assert ended.code == 2
        assert "exists and stays as it is" in ended.err
        assert file.read_text() == "mine"

    def test_only_the_owner_can_read_what_may_hold_a_token(self, demur: Demur, tmp_path: Path) -> None:
        assert demur("init", "--serve", tmp_path / "new" / "serve.env").code == 0
        assert stat.S_IMODE((tmp_path / "new" / "serve.env").stat().st_mode) == 0o600

    def test_a_place_that_cannot_be_written_is_one_line(self, demur: Demur, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        ended = demur("init", tmp_path / "file" / "train.yaml")
        assert ended.code == 2
        assert ended.err.count("\n") == 1


class TestEnvFile:
    @pytest.fixture(autouse=True)
    def environment(self) -> Iterator[None]:
        """The verb changes the environment of its process, which is that of the tests here."""
        before = dict(os.environ)
        yield
        os.environ.clear()
        os.environ.update(before)

    @pytest.fixture
    def env_file(self, tmp_path: Path) -> Path:
        return tmp_path / "serve.env"

    def test_values_as_shells_and_containers_write_them(self, env_file: Path) -> None:
        env_file.write_text(
            "# a comment\n\nexport DEMUR_PORT=9000\nDEMUR_HOST='0.0.0.0'\nOMP_NUM_THREADS=2\n"
        )
        assert read_env_file(env_file) == {
            "DEMUR_PORT": "9000",
            "DEMUR_HOST": "0.0.0.0",
            "OMP_NUM_THREADS": "2",
        }

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("DEMUR_PORT\n", r"line 1: 'DEMUR_PORT' is not"),
            ("A=1\n= 3\n", r"line 2: '= 3' is not of the form"),
        ],
    )
    def test_a_line_of_another_form_is_named(
        self, env_file: Path, tmp_path: Path, text: str, message: str, demur: Demur
    ) -> None:
        env_file.write_text(text)
        ended = demur("serve", "--env-file", env_file, "--bundle", tmp_path)
        assert (ended.code, ended.err.count("\n")) == (2, 1)
        assert re.search(message, ended.err)

    def test_options_and_variables_override_it(
        self, env_file: Path, tmp_path: Path, demur: Demur, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        served: list[Settings] = []
        monkeypatch.setattr(
            "demur.commands.serve.serve_until_stopped", lambda settings, *_: served.append(settings)
        )
        env_file.write_text("DEMUR_PORT=9000\nDEMUR_WORKERS=3\nDEMUR_DRAIN=2\nDEMUR_HOST=0.0.0.0\n")
        monkeypatch.setenv("DEMUR_WORKERS", "2")
        monkeypatch.setenv("DEMUR_HOST", " ")
        for name in ("DEMUR_PORT", "DEMUR_DRAIN"):
            monkeypatch.setenv(name, "")
        ended = demur("serve", "--env-file", env_file, "--bundle", tmp_path, "--port", "9100")
        assert ended.code == 0, ended.err
        (settings,) = served
        assert (settings.port, settings.workers, settings.drain, settings.host) == (9100, 2, 2.0, "0.0.0.0")

    def test_a_faulty_value_names_its_variable(self, env_file: Path, tmp_path: Path, demur: Demur) -> None:
        env_file.write_text("DEMUR_PORT=high\n")
        ended = demur("serve", "--env-file", env_file, "--bundle", tmp_path)
        assert ended.code == 2
        assert "DEMUR_PORT is 'high'" in ended.err

    def test_a_file_that_is_not_there(self, env_file: Path, demur: Demur) -> None:
        ended = demur("serve", "--env-file", env_file)
        assert ended.code == 2
        assert f"env file {env_file} cannot be read: No such file or directory" in ended.err
