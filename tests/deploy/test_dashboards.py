"""Dashboards: what is committed is what the code builds, it fits any Grafana, and what it asks exists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from fakes.promql import TARGET_LABELS, faults_of, labels_of, query_of
from fakes.rule_files import recorded

from deploy.dashboards.grafana import document
from deploy.dashboards.panel import Dashboard
from deploy.dashboards.write import DASHBOARDS, FOLDER
from monitoring.metrics import names

COLUMNS = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
NOT_DRAWN = {
    # The windows of the reward, which are among the others as well.
    *("demur_rolling_mcc", "demur_rolling_mcc_undefined", "demur_rolling_acc", "demur_rolling_acc_low"),
    *("demur_rolling_acc_high", "demur_rolling_n", "demur_rolling_reward"),
    *("demur_window_labelled", "demur_window_specificity"),
}
EVERY = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.name)


def committed(dashboard: Dashboard) -> dict[str, Any]:
    return json.loads((FOLDER / f"{dashboard.name}.json").read_text(encoding="utf-8"))


def panels_of(dashboard: Dashboard) -> list[dict[str, Any]]:
    return [panel for panel in committed(dashboard)["panels"] if panel["type"] != "row"]


def targets_of(dashboard: Dashboard) -> Iterator[tuple[str, dict[str, Any]]]:
    """(title of the panel, target)"""
    for panel in panels_of(dashboard):
        for target in panel["targets"]:
            yield panel["title"], target


def expression_of(target: dict[str, Any]) -> str:
    return str(target["expr"]).replace("$__rate_interval", "5m")


@EVERY
def test_what_is_committed_is_what_is_built(dashboard: Dashboard) -> None:
    said = "run `python -m deploy.dashboards.write`"
    assert (FOLDER / f"{dashboard.name}.json").read_text(encoding="utf-8") == document(dashboard), said


def test_no_other_dashboard_is_committed() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{one.name}.json" for one in DASHBOARDS}


@EVERY
def test_it_fits_any_grafana(dashboard: Dashboard) -> None:
    """No uid or id that another dashboard may have, no data source by name, no form to fill in."""
    found = committed(dashboard)
    assert not {"uid", "id", "__inputs", "__requires"} & set(found)
    assert found["schemaVersion"] >= 39
    (first, *others) = found["templating"]["list"]
    assert (first["type"], first["name"], first["query"]) == ("datasource", "datasource", "prometheus")
    sources = [variable["datasource"] for variable in others]
    sources += [panel["datasource"] for panel in panels_of(dashboard)]
    sources += [target["datasource"] for _, target in targets_of(dashboard)]
    assert all(source == SOURCE for source in sources)


@EVERY
def test_what_it_asks_exists(dashboard: Dashboard) -> None:
    faults = [
        f"{title}: {fault}"
        for title, target in targets_of(dashboard)
        for fault in faults_of(expression_of(target), {})
    ]
    assert faults == []


@EVERY
def test_a_legend_names_labels_of_its_series(dashboard: Dashboard) -> None:
    missing = [
        f"{title}: {label}"
        for title, target in targets_of(dashboard)
        for label in re.findall(r"{{(\w+)}}", target.get("legendFormat", ""))
        if label not in labels_after(expression_of(target))
    ]
    assert missing == []


def labels_after(expression: str) -> frozenset[str]:
    """Labels that the series of an expression keep: those it groups by, or all of its metric."""
    query = query_of(expression)
    if re.match(r"\w+ by \(", expression) or expression.startswith("histogram_quantile"):
        return query.groupings
    return labels_of(query.selectors[0].name, recorded()) or TARGET_LABELS


@EVERY
def test_variables_ask_for_labels_that_exist(dashboard: Dashboard) -> None:
    for variable in committed(dashboard)["templating"]["list"][1:]:
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
        assert asked is not None
        assert asked[2] == variable["name"]
        assert list(faults_of(f"max by ({asked[2]}) ({asked[1]})", {})) == []


@EVERY
def test_expressions_use_the_variables_of_the_head(dashboard: Dashboard) -> None:
    known = {"job", "instance", *dashboard.variables}
    used = {name for _, target in targets_of(dashboard) for name in re.findall(r'"\$(\w+)"', target["expr"])}
    assert used <= known
    assert used == set(dashboard.variables)


@EVERY
def test_panels_lie_side_by_side(dashboard: Dashboard) -> None:
    panels = committed(dashboard)["panels"]
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] + place["w"] <= COLUMNS for place in places)
    for one, other in combinations(places, 2):
        apart_across = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_down = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_across or apart_down
    ids = [panel["id"] for panel in panels_of(dashboard)]
    assert len(set(ids)) == len(ids)


@EVERY
def test_every_panel_says_what_it_shows(dashboard: Dashboard) -> None:
    for row in dashboard.rows:
        titles = [panel.title for panel in row.panels]
        assert len(set(titles)) == len(titles)
        for panel in row.panels:
            assert panel.about.endswith(".")
            assert panel.kind != "states" or panel.states


def test_every_metric_is_drawn_somewhere() -> None:
    asked = {
        re.sub("_(bucket|sum|count)$", "", selector.name)
        for dashboard in DASHBOARDS
        for _, target in targets_of(dashboard)
        for selector in query_of(expression_of(target)).selectors
    }
    assert set(names.by_name()) - asked == NOT_DRAWN
