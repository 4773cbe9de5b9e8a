"""A dashboard as Grafana's JSON, by way of grafana-foundation-sdk.

No dashboard has a uid or names a data source: both would clash with what an installation has. The data source
is the first variable at the head of each dashboard.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from deploy.dashboards.panel import Dashboard, Kind, Panel, Query, Unit
from monitoring.metrics import names

_SOURCE: Final = "datasource"
_TAG: Final = "demur"
_UNITS: Final[Mapping[Unit, str]] = {
    "seconds": "s",
    "bytes": "bytes",
    "ratio": "percentunit",
    "number": "short",
    "per second": "ops",
}
_VARIABLES: Final[Mapping[str, names.Metric]] = {
    "job": names.REDIS_UP,
    "instance": names.REDIS_UP,
    "bundle": names.BUNDLE_SHARE,
    "experiment": names.EXPERIMENT_UNITS,
    "window": names.WINDOW_LABELLED,
}
"""Label -> the metric whose series have its values"""
_INTERVAL_ENDS: Final = r"/(low|high)$/"
_HIDDEN_COLUMNS: Final = ("Time", "Value")

_Builder = timeseries.Panel | stat.Panel | statetimeline.Panel | table.Panel


def document(described: Dashboard) -> str:
    """The text of the dashboard's file."""
    built = (
        builders.Dashboard(described.title)
        .description(described.about)
        .tags([_TAG])
        .editable()
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .time("now-6h", "now")
        .refresh("30s")
        .link(_to_the_others())
        .with_variable(builders.DatasourceVariable(_SOURCE).label("Data source").type("prometheus"))
    )
    for label in described.variables:
        built.with_variable(_variable(label))
    number = 0
    for row in described.rows:
        built.with_row(builders.Row(row.title))
        for panel in row.panels:
            number += 1
            built.with_panel(_panel(panel, number))
    plain = json.loads(json.dumps(built.build(), cls=JSONEncoder))
    _drop_strangers(plain)
    return json.dumps(plain, indent=2, ensure_ascii=False) + "\n"


def _drop_strangers(plain: dict[str, Any]) -> None:
    """Drop what the SDK writes and the schema of Grafana does not know: fields of an interval in variables of
    other kinds, and the footer of a table."""
    for variable in plain["templating"]["list"]:
        for field in ("auto", "auto_min", "auto_count"):
            variable.pop(field, None)
    for panel in plain["panels"]:
        panel.get("options", {}).pop("footer", None)


def _to_the_others() -> builders.DashboardLink:
    return (
        builders.DashboardLink("demur")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags([_TAG])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )


def _variable(label: str) -> builders.QueryVariable:
    """A choice among the values of a label: at first all of them, but of windows the largest."""
    limit = "" if label == "job" else '{job=~"$job"}'
    built = (
        builders.QueryVariable(label)
        .label(label.capitalize())
        .query(f"label_values({_VARIABLES[label].name}{limit}, {label})")
        .datasource(_source())
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
    )
    if label == "window":
        return built.sort(dashboard.VariableSort.NUMERICAL_DESC)
    everything = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
    built.sort(dashboard.VariableSort.ALPHABETICAL_ASC).current(everything)
    return built.multi(True).include_all(True).all_value(".*")


def _source() -> common.DataSourceRef:
    return common.DataSourceRef(type_val="prometheus", uid=f"${{{_SOURCE}}}")


def _panel(panel: Panel, number: int) -> _Builder:
    built = _KINDS[panel.kind](panel)
    built.id(number).title(panel.title).description(panel.about).datasource(_source())
    built.span(panel.width).height(panel.height).unit(_UNITS[panel.unit])
    for index, query in enumerate(panel.queries):
        built.with_target(_target(query, "ABCDEFGH"[index], now=panel.kind == "table"))
    return built


def _target(query: Query, letter: str, *, now: bool) -> prometheus.Dataquery:
    target = prometheus.Dataquery().datasource(_source()).expr(query.expression).ref_id(letter)
    if query.legend:
        target.legend_format(query.legend)
    if now:
        return target.instant().format(PromQueryFormat.TABLE)
    return target.range()


def _lines(panel: Panel) -> timeseries.Panel:
    """Lines over time; the ends of an interval are dashed, and an alarm's value has a mark."""
    built = timeseries.Panel().legend(_legend()).tooltip(_tooltip()).line_width(2)
    if panel.log:
        built.scale_distribution(_logarithm())
    else:
        built.min(panel.bottom)
    if panel.top is not None:
        built.max(panel.top)
    if panel.alarm is not None:
        mark = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        built.thresholds(_thresholds(panel)).thresholds_style(mark)
    dashes = {"fill": "dash", "dash": [6, 6]}
    return built.override_by_regexp(
        _INTERVAL_ENDS,
        [
            dashboard.DynamicConfigValue(id_val="custom.lineStyle", value=dashes),
            dashboard.DynamicConfigValue(id_val="custom.lineWidth", value=1),
        ],
    )


def _stack(panel: Panel) -> timeseries.Panel:
    stacking = common_builders.StackingConfig().mode(common.StackingMode.NORMAL)
    return _lines(panel).stacking(stacking).fill_opacity(35).line_width(1)


def _number(panel: Panel) -> stat.Panel:
    built = (
        stat.Panel()
        .thresholds(_thresholds(panel))
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .graph_mode(common.BigValueGraphMode.AREA)
    )
    return built.color_mode(common.BigValueColorMode.VALUE)


def _states(panel: Panel) -> statetimeline.Panel:
    words = {
        str(value): dashboard.ValueMappingResult(text=word, color=colour, index=index)
        for index, (value, word, colour) in enumerate(panel.states)
    }
    return (
        statetimeline.Panel()
        .legend(common_builders.VizLegendOptions().show_legend(False))
        .mappings([dashboard.ValueMap(options=words)])
        .show_value(common.VisibilityMode.AUTO)
        .fill_opacity(70)
    )


def _table(panel: Panel) -> table.Panel:
    hidden = dict.fromkeys(_HIDDEN_COLUMNS, True)
    return table.Panel().with_transformation(
        dashboard.DataTransformerConfig(id_val="organize", options={"excludeByName": hidden})
    )


_KINDS: Final[Mapping[Kind, Callable[[Panel], _Builder]]] = {
    "lines": _lines,
    "stack": _stack,
    "number": _number,
    "states": _states,
    "table": _table,
}


def _thresholds(panel: Panel) -> builders.ThresholdsConfig:
    """Green, from `warn` on orange, from `alarm` on red."""
    steps = [dashboard.Threshold(value=None, color="green")]
    if panel.warn is not None:
        steps.append(dashboard.Threshold(value=panel.warn, color="orange"))
    if panel.alarm is not None:
        steps.append(dashboard.Threshold(value=panel.alarm, color="red"))
    return builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def _logarithm() -> common_builders.ScaleDistributionConfig:
    return common_builders.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10)


def _tooltip() -> common_builders.VizTooltipOptions:
    return (
        common_builders.VizTooltipOptions()
        .mode(common.TooltipDisplayMode.MULTI)
        .sort(common.SortOrder.DESCENDING)
    )


def _legend() -> common_builders.VizLegendOptions:
    return (
        common_builders.VizLegendOptions()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
    )
