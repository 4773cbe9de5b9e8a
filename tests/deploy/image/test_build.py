"""The script behind `make image`: which builder it takes, and what it hands to it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "deploy" / "image" / "build.sh"
BASE = "python@sha256:" + "0" * 64
TOOLS = ("sh", "git", "sed", "date", "dirname")


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with what the script needs, and no builder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in TOOLS:
        place = next(Path(one) / name for one in os.get_exec_path() if (Path(one) / name).exists())
        (folder / name).symlink_to(place)
    return folder


def add(programs: Path, name: str, *, works: bool = True) -> None:
    """A builder that says how it was called; one that does not work fails at `info`, as without a daemon."""
    info = "exit 0" if works else "exit 1"
    (programs / name).write_text(f'#!/bin/sh\n[ "$1" != info ] || {info}\necho {name} "$@"\n')
    (programs / name).chmod(0o755)


def built(programs: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [programs / "sh", SCRIPT, *arguments],
        env={"PATH": str(programs), "HOME": str(programs), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_client_without_its_daemon_is_no_builder(programs: Path) -> None:
    add(programs, "docker", works=False)
    add(programs, "buildah")
    done = built(programs, "service", BASE=BASE)
    assert done.stdout.startswith("buildah build --timestamp ")
    assert "--format docker --target service --tag demur/service:0.1.0 " in done.stdout
    add(programs, "podman")
    assert built(programs, "service", BASE=BASE).stdout.startswith("podman build --timestamp ")
    add(programs, "docker")
    assert built(programs, "service", BASE=BASE).stdout.startswith("docker build --target service ")


def test_the_builder_gets_the_commit_and_what_it_is_given(programs: Path) -> None:
    add(programs, "buildah")
    options = ("trainer", "mine:1", "--build-arg", "LOCK=service-certify")
    words = built(programs, *options, BASE=BASE, FORMAT="oci").stdout.split()
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    values = dict(word.split("=", 1) for word in words if "=" in word)
    assert values["BASE"] == BASE
    assert values["REVISION"].removesuffix("-dirty") == head.stdout.strip()
    assert values["SOURCE_DATE_EPOCH"] == words[words.index("--timestamp") + 1]
    assert values["CREATED"].endswith("Z")
    assert values["LOCK"] == "service-certify"
    assert words[words.index("--format") + 1] == "oci"
    assert words[words.index("--tag") + 1] == "mine:1"
    assert words[-1] == "."


def test_without_a_base_it_says_what_one_is(programs: Path) -> None:
    add(programs, "buildah")
    done = built(programs, "service")
    assert done.returncode == 2
    assert done.stderr.startswith("BASE is not set; it is an image with Python 3.11 or later, by its digest")


def test_without_a_builder_it_names_those_that_it_takes(programs: Path) -> None:
    done = built(programs, "service", BASE=BASE)
    assert done.returncode != 0
    assert "no docker with a running daemon, no podman and no buildah" in done.stderr
