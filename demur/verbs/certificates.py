"""Verbs about finished bundles."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    pass
