"""Circumstances of a run, for the provenance of its bundle: command, git revisions and installed packages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bundle.extras import installation_folder
from bundle.manifest import BuildRecord, GitState, Provenance
from trainer.run.packages import package_versions

HIDDEN: Final = "***"
"""Stands for what is left out of a command line"""
_SECRET_OPTION: Final = re.compile(
    r"--?[\w-]*(?:token|secret|password|passwd|credential)[\w-]*", re.IGNORECASE
)
_USER_OF_URL: Final = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_QUERY_OF_URL: Final = re.compile(r"(?<=://)([^\s?#]*)[?#]\S+")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST: Final = 1000
"""Characters of one argument"""
_MOST: Final = 200
"""Arguments"""
_GIT_SECONDS: Final = 10.0


def build_record() -> BuildRecord:
    """The circumstances of this process."""
    own = installation_folder()
    return BuildRecord(
        command=command_line(sys.argv),
        folder=git_state(Path.cwd()),
        demur=None if own is None else git_state(own),
        packages=package_versions(),
    )


def with_build(provenance: Provenance) -> Provenance:
    """The provenance with the circumstances of this process, unless they are among its own already."""
    build = build_record()
    known = provenance.builds
    return provenance if build in known else provenance.model_copy(update={"builds": (*known, build)})


def command_line(arguments: Sequence[str]) -> tuple[str, ...]:
    """The command line of demur without secrets; empty if another program calls demur.

    Left out are values of options that are named for a token, secret or password, users, passwords and
    queries of URLs, and the path of the home folder.
    """
    program = Path(arguments[0]) if arguments else Path()
    if program.stem != "demur" and program.parts[-2:] != ("demur", "start.py"):
        return ()
    found, hides = ["demur"], False
    for argument in arguments[1:_MOST]:
        name, equals, _ = argument.partition("=")
        secret = _SECRET_OPTION.fullmatch(name) is not None
        if hides:
            found.append(HIDDEN)
        else:
            found.append(f"{name}={HIDDEN}" if secret and equals else _shown(argument))
        hides = secret and not equals
    return tuple(found)


def git_state(folder: Path) -> GitState | None:
    """Revision of the git repository that holds `folder`; None if there is none, or no git."""
    revision = _git(folder, "rev-parse", "HEAD")
    if revision is None or not re.fullmatch("[0-9a-f]{40,64}", revision):
        return None
    changes = _git(folder, "status", "-s", "-uno")
    return GitState(revision=revision, dirty=None if changes is None else changes != "")


def _shown(argument: str) -> str:
    text = _USER_OF_URL.sub(HIDDEN, argument)
    text = _QUERY_OF_URL.sub(rf"\1?{HIDDEN}", text)
    home = os.path.expanduser("~")
    if home not in ("", "/", "~"):
        text = text.replace(home, "~")
    return _UNPRINTABLE.sub("?", text)[:_LONGEST]


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints; None if it fails. It writes nothing, and starts no program that the folder names."""
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - the arguments are fixed, and no shell reads them
            command,
            capture_output=True,
            check=False,
            timeout=_GIT_SECONDS,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None
