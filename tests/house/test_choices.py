"""Each set of choices is spelled once, and command line, configurations and settings take it from there."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

import bundle.choices
import demur.choices
import service.choices
import trainer.choices
from bundle.engines.contract import PRECISIONS
from bundle.engines.outputs import TO_LOGITS
from bundle.images.preprocess import PreprocessSpec
from demur.cli import PANELS
from demur.commands.table_file import WRITERS
from service.settings import Settings
from trainer.bundling.wrapped_model import NORMALISATIONS, ModelInput
from trainer.compare.config import CompareConfig
from trainer.config import TrainConfig
from trainer.pretrain.config import PretrainConfig
from trainer.run.promise import PromiseConfig

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("demur", "calibration", "bundle", "monitoring", "trainer", "service")
CHOICES = (bundle.choices, demur.choices, service.choices, trainer.choices)
VERBS: Mapping[str, Callable[..., None]] = {verb.__name__: verb for verb in chain(*PANELS.values())}


def names_in(annotation: Any) -> frozenset[str]:
    """Every name of the literals in a type, at any depth."""
    if get_origin(annotation) is Literal:
        return frozenset(name for name in get_args(annotation) if isinstance(name, str))
    return frozenset().union(*(names_in(part) for part in get_args(annotation)))


def option(verb: str, parameter: str) -> frozenset[str]:
    return names_in(get_type_hints(VERBS[verb])[parameter])


def field(owner: type[Any], name: str) -> frozenset[str]:
    return names_in(get_type_hints(owner)[name])


COMPUTE = get_type_hints(TrainConfig)["compute"]


@pytest.mark.parametrize(
    ("verb", "parameter", "configured"),
    [
        ("train", "score", field(PromiseConfig, "score")),
        ("train", "certificate", field(PromiseConfig, "certificate")),
        ("train", "checkpoint_selection", field(TrainConfig, "checkpoint_selection")),
        ("train", "augment", field(TrainConfig, "augment")),
        ("train", "adapt", field(TrainConfig, "adapt")),
        ("train", "device", field(COMPUTE, "device")),
        ("train", "precision", field(COMPUTE, "precision")),
        ("compare", "device", field(get_type_hints(CompareConfig)["compute"], "device")),
        ("compare", "precision", field(get_type_hints(CompareConfig)["compute"], "precision")),
        ("pretrain", "rows", field(PretrainConfig, "rows")),
        ("pretrain", "device", field(get_type_hints(PretrainConfig)["compute"], "device")),
        ("gate", "score", field(PromiseConfig, "score")),
        ("calibrate", "certificate", field(PromiseConfig, "certificate")),
        ("bundle", "certificate", field(PromiseConfig, "certificate") - {"none"}),
        ("wrap", "normalisation", field(ModelInput, "normalisation")),
        ("wrap", "resize", field(ModelInput, "resize")),
        ("wrap", "resize", field(PreprocessSpec, "resize")),
        ("wrap", "output", field(ModelInput, "output")),
        *(
            (verb, name, field(Settings, name))
            for verb in ("verify", "predict", "serve", "profile")
            for name in ("engine", "precision")
        ),
    ],
)
def test_the_command_line_takes_what_the_configuration_takes(
    verb: str, parameter: str, configured: frozenset[str]
) -> None:
    assert option(verb, parameter) == configured != frozenset()


def test_every_choice_is_acted_on_and_nothing_else() -> None:
    assert set(PRECISIONS) == set(bundle.choices.ENGINE_NAMES)
    assert set(chain(*PRECISIONS.values())) == set(bundle.choices.PRECISION_NAMES)
    assert set(TO_LOGITS) == set(get_args(bundle.choices.OutputKind))
    assert set(NORMALISATIONS) == set(get_args(trainer.choices.Normalisation))
    assert tuple(WRITERS) == demur.choices.TABLE_SUFFIXES
    assert field(Settings, "log_level") == set(service.choices.LOG_LEVELS)
    assert field(Settings, "log_format") == set(service.choices.LOG_FORMATS)
    assert field(Settings, "log_stream") == set(service.choices.LOG_STREAMS)


def sources() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text("utf-8"))


def strings_of(node: ast.AST) -> frozenset[str] | None:
    """The strings of `(...)`, `[...]` or `{...}`, if it holds nothing else."""
    if not isinstance(node, ast.Tuple | ast.List | ast.Set):
        return None
    values = [element.value for element in node.elts if isinstance(element, ast.Constant)]
    texts = frozenset(value for value in values if isinstance(value, str))
    return texts if len(texts) == len(node.elts) else None


def test_no_set_of_literals_is_spelled_twice() -> None:
    spelled: dict[frozenset[str], list[str]] = defaultdict(list)
    for file, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "Literal":
                texts = strings_of(node.slice)
                if texts is not None and len(texts) > 1:
                    spelled[texts].append(f"{file}:{node.lineno}")
    assert {tuple(sorted(texts)): places for texts, places in spelled.items() if len(places) > 1} == {}


def chosen_sets() -> Iterator[tuple[str, ...]]:
    """The sets of three and more names, from every choices.py."""
    for module in CHOICES:
        for value in vars(module).values():
            if get_origin(value) is Literal and len(names_in(value)) > 2:
                yield tuple(sorted(names_in(value)))


def test_no_list_of_choices_is_written_by_hand() -> None:
    sets = {frozenset(names): names for names in chosen_sets()}
    # Names in a row, in any order: "none, geometric or colour".
    patterns = {
        names: re.compile(
            rf"\b({'|'.join(map(re.escape, names))})\b"
            + rf"(?:[`'\"]?(?:,|;| or| and|/)+ *(?:or |and )?[`'\"]?\b({'|'.join(map(re.escape, names))})\b)"
            + f"{{{len(names) - 1}}}"
        )
        for names in sets.values()
    }
    found = []
    for file, tree in sources():
        # A table such as engine -> precisions relates names of one set to those of another.
        related = {
            id(value) for node in ast.walk(tree) if isinstance(node, ast.Dict) for value in node.values
        }
        for node in ast.walk(tree):
            texts = strings_of(node)
            if texts in sets and id(node) not in related and not file.endswith("/choices.py"):
                found.append(f"{file}:{getattr(node, 'lineno', 0)} spells {sorted(texts or ())}")
            if file.startswith("demur/verbs/") and isinstance(node, ast.Constant):
                found += [
                    f"{file}:{node.lineno} lists {list(names)}"
                    for names, pattern in patterns.items()
                    if isinstance(node.value, str) and pattern.search(node.value)
                ]
    assert found == []
