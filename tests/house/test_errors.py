"""One error tree: whatever a package raises on purpose derives from DemurError."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

from calibration.errors import DemurError

PACKAGES = ("demur", "calibration", "bundle", "monitoring", "trainer", "service", "deploy")


def exceptions(package: str) -> Iterator[type[Exception]]:
    """Exception classes that the modules of `package` define; those with a leading underscore are private."""
    root = importlib.import_module(package)
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        for value in vars(importlib.import_module(found.name)).values():
            if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == found.name:
                yield value


@pytest.mark.parametrize("package", PACKAGES)
def test_every_exception_derives_from_the_root(package: str) -> None:
    strays = {
        f"{kind.__module__}.{kind.__name__}"
        for kind in exceptions(package)
        if not issubclass(kind, DemurError) and not kind.__name__.startswith("_")
    }
    assert strays == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_draws_its_tree(package: str) -> None:
    root = importlib.import_module(package)
    names = [found.name for found in pkgutil.walk_packages(root.__path__, f"{package}.")]
    drawn = [importlib.import_module(name).__doc__ for name in names if name.endswith(".errors")]
    tree = "\n".join(text for text in drawn if text)
    missing = {
        kind.__name__
        for kind in exceptions(package)
        if not kind.__name__.startswith("_") and kind.__name__ not in tree
    }
    assert missing == set()
