"""State of a running service that its routes share."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypedDict, cast

from starlette.requests import Request

from calibration.decision import STAGE_NAMES
from monitoring.metrics.instruments import Instruments
from monitoring.promise.sampling import AuditSampler
from monitoring.promise.watch import PromiseWatch
from service.alerting.engine import Alerting
from service.compute.drift_samples import DriftSamples
from service.compute.overruns import Overruns
from service.compute.predictor import Predictor
from service.compute.shadows import Shadows
from service.compute.spare_time import SpareTime
from service.following.state import SharedFleetState
from service.http.broadcast import Broadcast
from service.http.quotas import Quotas, client_of
from service.http.token_gate import TokenGate
from service.lineup.experiment_status import ExperimentStatus
from service.lineup.lineup import Deployments
from service.settings import Settings
from service.window_client import WindowClient


@dataclass(slots=True)
class Phase:
    """Phase in the life of the service."""

    draining: bool = False
    """Not ready any more, but finishing requests."""
    ending: bool = False
    """Finishing requests, also if another worker takes this one's place: answers without end must end."""


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that a request needs."""

    settings: Settings
    deployments: Deployments
    predictor: Predictor
    spare: SpareTime
    shadows: Shadows
    drift: DriftSamples
    overruns: Overruns
    windows: WindowClient
    sampler: AuditSampler
    promise: PromiseWatch
    experiment: ExperimentStatus
    alerting: Alerting
    instruments: Instruments
    phase: Phase
    quotas: Quotas | None
    live: Broadcast
    label_gate: TokenGate | None
    """Tokens of those who may send labels; None: labels are open."""
    fleet: SharedFleetState | None = None
    """What the parent knows of the fleet that it follows; None: it follows none"""
    started_at: float = field(default_factory=time.time)

    def fleet_body(self) -> dict[str, Any] | None:
        """The followed fleet, for /health; None: none is followed."""
        state = None if self.fleet is None else self.fleet.latest()
        return None if state is None else state.to_dict()

    def admit(self, request: Request, sender: str | None = None) -> None:
        """Count one image or label against the quota of the client, or of the sender whose token it carries.
        Raises QuotaExceeded."""
        if self.quotas is not None:
            self.quotas.admit(client_of(request, sender))

    def charge(self, request: Request, further: int, sender: str | None = None) -> None:
        """Count further images or labels of a request that has been admitted."""
        if self.quotas is not None and further:
            self.quotas.charge(client_of(request, sender), further)

    def label_access(self) -> dict[str, Any]:
        """Who may send labels and what may follow from them, for /health, /rolling and the page."""
        is_open = self.label_gate is None
        note = "Labels need a token."
        if is_open:
            effect = (
                "and the service acts on them"
                if self.settings.labels_may_act
                else "so nothing is done on their account"
            )
            note = f"Labels are open: anyone who reaches this port may send them, {effect}."
        return {"open": is_open, "may_act": self.settings.labels_may_act, "note": note}

    @property
    def degraded(self) -> bool:
        """Whether there is a fault that does not keep the service from answering."""
        return (
            self.windows.degraded
            or not self.alerting.engine.working
            or self.overruns.lost_threads > 0
            or self.overruns.replacing > 0
            or self.deployments.champion.label in self.promise.suspended
        )

    def show_load(self) -> None:
        """Update the gauges of this worker's load and line-up."""
        self.instruments.show_shares(self.deployments.shares())
        challengers = [one.deployment for one in self.deployments.challengers]
        for one in (self.deployments.champion, *challengers):
            self.instruments.bundle_promise.labels(one.label).set(one.guarantee is not None)
        self.instruments.show_engines(
            {
                (
                    one.label,
                    one.facts.engine,
                    one.facts.precision,
                    ",".join(one.facts.providers),
                    one.facts.runtime,
                )
                for one in (self.deployments.champion, *challengers)
            }
        )
        self.instruments.queue_depth.set(self.predictor.admission.waiting)
        self.instruments.in_flight.set(self.predictor.admission.running)
        for stage, waiting in zip(STAGE_NAMES, self.predictor.waiting_by_stage(), strict=True):
            self.instruments.stage_queue_depth.labels(stage).set(waiting)
        self.instruments.events_waiting.set(self.windows.waiting)
        # A log that is off on purpose is no fault.
        self.instruments.event_log_up.set(self.windows.log_state != "failing")
        with suppress(OSError):  # It is not there before the first event.
            self.instruments.data_available.set(shutil.disk_usage(self.settings.data_dir).free)


class LifespanState(TypedDict):
    """State that the lifespan hands to the requests."""

    service: Service


def service_of(request: Request) -> Service:
    return cast("Service", request.scope["state"]["service"])


def replaced_ids(request: Request) -> dict[str, str]:
    """The member of an answer that says that the client's X-Request-Id was replaced; empty if it was not."""
    replaced = request.scope["state"]["replaced_id"]
    return {} if replaced is None else {"replaced_request_id": replaced}


def request_id(request: Request) -> str:
    """The id from the client or a generated one; see `service.http.observability`."""
    return cast("str", request.scope["state"]["request_id"])


def log_answers(request: Request, answers: Sequence[Mapping[str, Any]]) -> None:
    """Hand the answers to a request's images to its log line; see `service.logs.requests`."""
    request.scope["state"]["answers"] = answers
