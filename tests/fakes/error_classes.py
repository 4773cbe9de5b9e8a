"""The exception classes that a package defines."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType


def error_classes(package: ModuleType) -> set[type[BaseException]]:
    """Every exception class that a module of `package` defines."""
    names = [module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    found = {
        cls
        for name in names
        for _, cls in inspect.getmembers(importlib.import_module(name), inspect.isclass)
        if issubclass(cls, BaseException) and cls.__module__.partition(".")[0] == package.__name__
    }
    assert found
    return found
