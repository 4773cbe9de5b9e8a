"""Messages of alerts as the engine makes them."""

from __future__ import annotations

from dataclasses import replace

from monitoring.alerts.message import AlertLine, Message, MessageKind

LINE = AlertLine(
    fingerprint="3f9c1a7be2",
    rule="promise-broken",
    severity="critical",
    state="firing",
    labels=(("bundle", "roadwork:7"), ("part", "all answers")),
    value=0.0213,
    low=0.0131,
    high=0.0342,
    n=940,
    since=1_790_000_000.0,
    bundle="roadwork:7",
    text="The promise is broken: 20 of 940 audited answers were wrong; with 95 % confidence the risk is "
    "between 1.3 and 3.4 %, and at most 1 % was promised.",
    action="Activate the bundle before this one, or let the service abstain.",
    runbook="https://demur.example/runbooks/promise-broken.html",
)


def message(
    id: str = "m-1",
    kind: MessageKind = "firing",
    lines: int = 1,
    *,
    at: float = 1_790_000_060.0,
    **changes: object,
) -> Message:
    """A message of `lines` alerts, each with `changes`."""
    alerts = tuple(
        replace(LINE, **{"fingerprint": f"{LINE.fingerprint[:-2]}{number:02x}", **changes})  # type: ignore[arg-type]
        for number in range(lines)
    )
    return Message(id, kind, f"[{kind.upper()}] promise-broken (roadwork:7)", alerts, at)
