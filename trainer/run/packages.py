"""Installed packages that a run of demur may use: demur's requirements, theirs, and so on."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

EXTRAS: Final = ("", "cpu", "gpu", "openvino", "serve", "data", "train", "imagenet", "imagenet-large", "sbom")
"""Extras of demur whose packages may take part in a run; the empty one is demur without any"""


def installed_packages() -> list[Distribution]:
    """The distributions, demur first and then by name; what is not installed is left out."""
    found: dict[str, Distribution] = {}
    pending: list[tuple[str, tuple[str, ...]]] = [("demur", EXTRAS)]
    seen: set[tuple[str, str]] = set()
    while pending:
        name, extras = pending.pop()
        key = canonicalize_name(name)
        if key not in found:
            try:
                found[key] = distribution(name)
            except PackageNotFoundError:
                continue
        for extra in extras:
            if (key, extra) not in seen:
                seen.add((key, extra))
                pending += _required(found[key], extra)
    others = sorted(found.keys() - {"demur"})
    return [found[name] for name in (*(["demur"] if "demur" in found else []), *others)]


def package_versions() -> dict[str, str]:
    """Name of a distribution, in its normal form -> version."""
    return {canonicalize_name(one.name): one.version for one in installed_packages()}


def _required(owner: Distribution, extra: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for text in owner.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # It is of an installer of its own time, and this list needs no more than names.
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement.name, ("", *sorted(requirement.extras))
