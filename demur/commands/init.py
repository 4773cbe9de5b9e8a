"""`demur init`: files with every setting, its meaning and its default, written from the models themselves."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from demur.commands.settings_text import limits, meanings
from demur.errors import InterfaceError
from trainer.run.disk import explain_disk_errors

WIDTH = 100
_SECONDS = re.compile(r"\b(\d+)\.000s\b")
"""A duration as the plan of a promotion is dumped"""


class FileExists(InterfaceError, ValueError):
    """A file is in the place of the one to be written."""


def write_new(path: Path, text: str) -> None:
    """Write a file that only its owner can read, since it may come to hold a token.

    Raises FileExists instead of replacing anything, and DiskError.
    """
    with explain_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise FileExists(f"{path} exists and stays as it is; name another file, or remove it") from None
        with open(number, "w", encoding="utf-8") as file:
            file.write(text)


def training_file() -> str:
    """YAML with every field of the configuration of `demur train`; loaded, it equals the defaults."""
    from trainer.config import TrainConfig

    head = (
        "Configuration of `demur train`: every setting with its default. Keep what you change and delete "
        "the rest, or keep all of it: a later version may have other defaults. Use it by\n"
        "demur train --config THIS_FILE --out runs/first\n"
        "Options on the command line override it."
    )
    return "\n".join([*_comment(head), "", *_fields(TrainConfig, TrainConfig(), 0)])


def promotion_file() -> str:
    """YAML with every gate, step and limit of a promotion; loaded, it equals the defaults."""
    from deploy.promotion.plan import Plan
    from monitoring.alerts.durations import in_words

    head = (
        "Plan of `demur promote`: every gate, step and limit with its default. Durations are written like "
        "30s, 5m, 1h30m or 2d. Keep what you change and delete the rest, or keep all of it: a later version "
        "may have other defaults. Use it by\n"
        "demur promote BUNDLE --plan THIS_FILE\n"
        "shadow: none leaves the shadow out, canary: [] the canary, and services: 0 both."
    )
    text = "\n".join([*_comment(head), "", *_fields(Plan, Plan(), 0)])
    return _SECONDS.sub(lambda found: in_words(float(found[1])), text)


def serving_file() -> str:
    """Lines NAME=VALUE with every setting of `demur serve`; an empty value is not set."""
    from service.environment import variable_of
    from service.settings import Settings

    head = (
        "Settings of `demur serve`: every one with its default; an empty value counts as not set. Use it by\n"
        "demur serve --env-file THIS_FILE\n"
        "docker run --env-file and systemd's EnvironmentFile take it as well. Options and variables of the "
        "environment override it. DEMUR_BUNDLE has no default: fill it in."
    )
    lines = [*_comment(head)]
    for name, field in Settings.model_fields.items():
        lines += ["", *_comment(_explained(Settings, name).replace("None:", "empty:"))]
        lines.append(f"{variable_of(name)}={_as_text(field)}")
    return "\n".join(lines) + "\n"


def _fields(model: type[BaseModel], values: BaseModel, depth: int) -> Iterator[str]:
    """The fields of `values` as commented YAML, indented by `depth` levels."""
    indent = "  " * depth
    for name in model.model_fields:
        value = getattr(values, name)
        said = _explained(model, name).replace("None:", "null:")
        if not said and isinstance(value, BaseModel):
            said = " ".join((type(value).__doc__ or "").split()).replace("None:", "null:")
        yield from (indent + line for line in _comment(said, WIDTH - len(indent)))
        if isinstance(value, BaseModel):
            yield f"{indent}{name}:"
            yield from _fields(type(value), value, depth + 1)
        else:
            plain = values.model_dump(mode="json", include={name})
            yield indent + yaml.safe_dump(plain, default_flow_style=False, allow_unicode=True).rstrip("\n")
            yield ""


def _explained(model: type[BaseModel], name: str) -> str:
    """Meaning and limits of a field, in one or two sentences."""
    sentences = (text.rstrip(".") for text in (meanings(model)[name], limits(model, name)) if text)
    return " ".join(f"{text[:1].upper()}{text[1:]}." for text in sentences)


def _comment(text: str, width: int = WIDTH) -> Iterator[str]:
    for line in text.splitlines():
        yield from (f"# {part}" for part in textwrap.wrap(line, width - 2, break_on_hyphens=False))


def _as_text(field: FieldInfo) -> str:
    """The default of a setting as its variable holds it."""
    value: Any = None if field.is_required() else field.default
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
