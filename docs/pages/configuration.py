"""Configuration of a training run: every field of the YAML file, from the models that read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pages.fields import default, limits, meanings, row
from trainer.config import TrainConfig

_HEAD = """# Configuration of training

`demur train --config FILE.yaml` reads these fields; options on the command line override them, and the
resolved configuration stands in the run's folder as `config.yaml`. Every field has a default, so a file names
what differs:

```yaml
name: street
data: {source: "folder:photos", group: drive}
promise: {alpha: 0.005, each_answer: true}
minutes: 30
```

`demur compare`, `pretrain`, `wrap` and `calibrate` share the parts that they need.
"""


def page() -> str:
    parts = [_HEAD]
    for model, paths in _models(TrainConfig).items():
        title = " and ".join(f"`{path}`" for path in paths if path) or "The run"
        parts += [f"\n## {title}\n", " ".join((model.__doc__ or "").split()), "", *_table(model)]
    return "\n".join(parts) + "\n"


def _models(root: type[BaseModel]) -> dict[type[BaseModel], list[str]]:
    """Model -> the dotted fields that hold one, in the order of the configuration."""
    found: dict[type[BaseModel], list[str]] = {}

    def add(model: type[BaseModel], path: str) -> None:
        found.setdefault(model, []).append(path)
        for name, field in model.model_fields.items():
            for inner in _inner(field):
                add(inner, f"{path}.{name}".lstrip("."))

    add(root, "")
    return found


def _table(model: type[BaseModel]) -> Iterator[str]:
    yield from ("| field | default | meaning | range |", "|---|---|---|---|")
    said = meanings(model)
    for name, field in model.model_fields.items():
        shown = "see below" if isinstance(field.default, BaseModel) else default(field)
        yield row(f"`{name}`", shown, said[name], limits(model, name))


def _inner(field: FieldInfo) -> list[type[BaseModel]]:
    """Models in the annotation of a field, such as `X` and `X | None`."""
    options: tuple[Any, ...] = (field.annotation, *get_args(field.annotation))
    return [option for option in options if isinstance(option, type) and issubclass(option, BaseModel)]
