"""What an expression of PromQL names: metrics, the labels it matches, and those it groups by."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import promql_parser

from monitoring.metrics import names
from service.problems import KINDS

TARGET_LABELS = frozenset({"job", "instance"})
OF_PROMETHEUS = {"up": TARGET_LABELS}
"""Series that Prometheus makes itself"""
_SUFFIXES = {
    "_bucket": (names.Histogram, frozenset({"le"})),
    "_sum": (names.Histogram, frozenset[str]()),
    "_count": (names.Histogram, frozenset[str]()),
}
_QUERY = re.compile(r'printf "(.*?)"[^|]*\| query')
"""A query in a template of an annotation"""


@dataclass(frozen=True)
class Selector:
    """One vector of an expression."""

    name: str
    matchers: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Query:
    """The parts of an expression that name something."""

    selectors: tuple[Selector, ...]
    groupings: frozenset[str]


def query_of(expression: str) -> Query:
    """Raises ValueError if the expression is no PromQL."""
    selectors: list[Selector] = []
    groupings: set[str] = set()

    def note(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            matchers = tuple((one.name, one.value) for one in node.matchers.matchers)
            selectors.append(Selector(node.name, matchers))
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            groupings.update(node.modifier.labels)
        elif isinstance(node, promql_parser.BinaryExpr):
            matching = None if node.modifier is None else node.modifier.matching
            groupings.update(() if matching is None else matching.labels)

    promql_parser.walk(promql_parser.parse(expression), pre_visit=note)
    return Query(tuple(selectors), frozenset(groupings))


def faults_of(expression: str, recorded: Mapping[str, frozenset[str]]) -> Iterator[str]:
    """What the expression names and no metric of demur has. `recorded`: recording rule -> its labels."""
    query = query_of(expression)
    grouped: set[str] = set()
    for selector in query.selectors:
        labels = labels_of(selector.name, recorded)
        if labels is None:
            yield f"no metric {selector.name}"
            continue
        grouped |= labels
        for name, value in selector.matchers:
            if name not in labels:
                yield f"{selector.name} has no label {name}"
            if name == "problem" and value not in {kind.kind for kind in KINDS.values()}:
                yield f"no problem {value}"
    yield from (f"nothing to group by {name}" for name in sorted(query.groupings - grouped))


def labels_of(name: str, recorded: Mapping[str, frozenset[str]]) -> frozenset[str] | None:
    """Labels of a series on a Prometheus; None if there is no such series."""
    known = {**OF_PROMETHEUS, **recorded}
    if name in known:
        return known[name]
    metrics = names.by_name()
    metric, further = metrics.get(name), frozenset[str]()
    for suffix, (kind, labels) in _SUFFIXES.items():
        if metric is None and isinstance(metrics.get(name.removesuffix(suffix)), kind):
            metric, further = metrics[name.removesuffix(suffix)], labels
    if metric is None or (isinstance(metric, names.Histogram) and metric.name == name):
        return None
    return TARGET_LABELS | further | set(metric.labels)


def queries_in(template: str) -> list[str]:
    """The expressions that a template of an annotation asks for."""
    return [found.replace("%q", '"x"') for found in _QUERY.findall(template)]
