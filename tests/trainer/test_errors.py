"""Every exception of the trainer hangs below its root, and the tree that errors.py draws is complete."""

from __future__ import annotations

import importlib
import pkgutil

import trainer
from trainer import errors
from trainer.errors import TrainerError


def test_every_exception_of_the_trainer_is_in_the_tree() -> None:
    found = set()
    for module in pkgutil.walk_packages(trainer.__path__, "trainer."):
        for kind in vars(importlib.import_module(module.name)).values():
            is_error = isinstance(kind, type) and issubclass(kind, Exception)
            if is_error and kind.__module__.startswith("trainer."):
                found.add(kind)
    assert len(found) > 20
    assert [kind.__name__ for kind in found if not issubclass(kind, TrainerError)] == []
    assert [kind.__name__ for kind in found if kind.__name__ not in (errors.__doc__ or "")] == []
