"""Watch of the promises in a worker: the bundles that answer, their gauges, and what /health shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from monitoring.metrics.instruments import Instruments
from monitoring.promise.reading import Reading
from monitoring.promise.stored_items import StoredItems
from monitoring.promise.terms import WatchPolicy
from monitoring.promise.watch import MonitorView, PromiseWatch
from service.lineup.deployment import Deployment
from service.lineup.lineup import Deployments
from service.lineup.promises import promise_archive
from service.settings import NO_STORE, Settings


def promise_watch(
    settings: Settings, deployments: Deployments, instruments: Instruments, report: Callable[[str], None]
) -> PromiseWatch:
    """The watch over the bundles that answer. `report`: says that the promise of one is broken."""
    model = settings.model or deployments.champion.name
    reader = None
    if settings.redis_url not in (None, NO_STORE):
        reader = StoredItems.at(
            settings.redis_url,
            model,
            settings.item_times(),
            sizes=settings.windows,
            timeout=settings.redis_timeout,
        )
    policy = WatchPolicy(
        acts=settings.on_broken_promise != "alert",
        trusted=settings.labels_may_act,
        open_labels=not settings.feedback_tokens,
    )
    observer = _Observer(instruments, deployments, report)
    return PromiseWatch(
        reader,
        promise_archive(settings, model),
        lambda: [one.terms for one in answering(deployments)],
        observer,
        settings.watch_options(),
        policy,
    )


def answering(deployments: Deployments) -> list[Deployment]:
    """The bundles that answer some unit: the champion first, then the challengers with a share."""
    sharing = [one.deployment for one in deployments.challengers if one.share is not None]
    return [deployments.champion, *sharing]


def monitor_bodies(watch: PromiseWatch, deployments: Deployments) -> list[dict[str, Any]]:
    """The monitors of the bundles that answer, for /health."""
    return [_body(watch.view(one.terms)) for one in answering(deployments)]


def audited_risk(view: MonitorView) -> tuple[float, float] | None:
    """The 95 % interval of the risk over the audits; None without an audit."""
    return view.reading.risk if view.reading is not None and view.reading.audits else None


def _body(view: MonitorView) -> dict[str, Any]:
    reading = view.reading or Reading(view.terms.bundle, None)
    return {
        "bundle": view.terms.bundle,
        "sentence": view.sentence,
        "standing": view.terms.standing,
        "suspended": view.suspended,
        "begin": view.latch.begin or None,
        "alarms": [asdict(alarm) for alarm in view.latch.alarms.values()],
        **{name: value for name, value in reading.to_dict().items() if name != "bundle"},
    }


class _Observer:
    """Sets the gauges, and reports broken promises."""

    def __init__(
        self, instruments: Instruments, deployments: Deployments, report: Callable[[str], None]
    ) -> None:
        self._instruments, self._deployments, self._report = instruments, deployments, report

    def show(self, view: MonitorView) -> None:
        if view.reading is not None:
            self._instruments.show_promise(view.reading, _alarmed(view))
        # Until it has left: whatever a broken champion does, a challenger is on trial.
        if view.latch.suspends and view.terms.bundle != self._deployments.champion.label:
            self._report(view.terms.bundle)

    def broken(self, bundle: str) -> None:
        if bundle == self._deployments.champion.label:
            self._report(bundle)


def _alarmed(view: MonitorView) -> Sequence[tuple[str, str]]:
    return [(alarm.signal, alarm.part) for alarm in view.latch.alarms.values()]
