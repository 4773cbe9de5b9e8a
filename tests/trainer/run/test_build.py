"""Circumstances of a run: the command without secrets, the revision of git, and the installed packages."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundle.manifest import BuildRecord, GitState, Provenance
from trainer.run.build import HIDDEN, build_record, command_line, git_state, with_build
from trainer.run.packages import package_versions


def git(folder: Path, *arguments: str) -> None:
    names = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", folder, *names, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "config.yaml").write_text("a: 1")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


class TestGit:
    def test_the_revision_and_whether_a_tracked_file_differs(self, repository: Path) -> None:
        clean = git_state(repository)
        assert clean is not None
        assert not clean.dirty
        (repository / "results.csv").write_text("untracked")
        (repository / "below").mkdir()
        assert git_state(repository / "below") == clean
        (repository / "config.yaml").write_text("a: 2")
        assert git_state(repository) == GitState(revision=clean.revision, dirty=True)

    def test_no_repository_no_commit_no_git(
        self, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        empty = tmp_path / "empty"
        empty.mkdir()
        assert git_state(empty) is None
        git(empty, "init", "-q")
        assert git_state(empty) is None
        assert git_state(tmp_path / "gone") is None
        monkeypatch.setenv("PATH", str(empty))
        assert git_state(repository) is None

    def test_the_repository_starts_no_program(self, repository: Path) -> None:
        trap = repository / "trap.sh"
        trap.write_text(f"#!/bin/sh\ntouch {repository}/sprung\n")
        trap.chmod(0o755)
        git(repository, "config", "core.fsmonitor", str(trap))
        assert git_state(repository) is not None
        assert not (repository / "sprung").exists()


class TestCommand:
    @pytest.mark.parametrize("program", ["/opt/venv/bin/demur", "demur", "/opt/demur/start.py"])
    def test_of_demur_alone(self, program: str) -> None:
        assert command_line([program, "train", "--out", "runs/a"]) == ("demur", "train", "--out", "runs/a")
        assert command_line(["/usr/bin/pytest", "train"]) == ()
        assert command_line([]) == ()

    @pytest.mark.parametrize(
        ("argument", "shown"),
        [
            ("--token=abc", f"--token={HIDDEN}"),
            ("--hub-token=abc", f"--hub-token={HIDDEN}"),
            ("redis://user:abc@host/0", f"redis://{HIDDEN}@host/0"),
            ("https://host/images.parquet?signature=abc", f"https://host/images.parquet?{HIDDEN}"),
            ("a\x1b[31mb", "a?[31mb"),
        ],
    )
    def test_without_secrets_and_control_characters(self, argument: str, shown: str) -> None:
        assert command_line(["demur", "train", argument])[2] == shown

    def test_the_value_after_a_secret_option(self) -> None:
        line = command_line(["demur", "train", "--password", "abc", "--out", "a"])
        assert line == ("demur", "train", "--password", HIDDEN, "--out", "a")

    def test_without_the_home_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/home/anna")
        assert command_line(["demur", "train", "--data=folder:/home/anna/x"])[2] == "--data=folder:~/x"

    @given(st.lists(st.text(max_size=2000), max_size=300))
    def test_any_command_line_fits_a_manifest(self, arguments: list[str]) -> None:
        BuildRecord(command=command_line(["demur", *arguments]))


def test_packages_are_those_of_demur_as_installed() -> None:
    found = package_versions()
    assert next(iter(found)) == "demur"
    assert {"numpy": version("numpy"), "torch": version("torch")}.items() <= found.items()
    assert "pytest" not in found


def test_a_process_is_noted_once() -> None:
    once = with_build(Provenance())
    assert once.builds == (build_record(),)
    assert with_build(once) == once
    before = Provenance(builds=(BuildRecord(command=("demur", "train")),))
    assert with_build(before).builds == (*before.builds, *once.builds)
