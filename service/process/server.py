"""Server: `serve(settings)` starts the store, the port and the workers, and shuts them down in order."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from monitoring.experiments.folder import ExperimentFolder
from monitoring.store.embedded_valkey import EmbeddedValkey
from service.admin.promoter import MakePromoter
from service.alerting.engine import rules_of_settings
from service.environment import EMBEDDED_IN_KUBERNETES, environment_notes, in_kubernetes
from service.errors import PortUnavailable
from service.following.opening import OpenedFleet, opened_fleet
from service.lineup.lineup import Deployments
from service.lineup.trial import try_bundle
from service.logs.setup import configure_logging
from service.process.serving import ServedBundle, Serving, listens_everywhere, url_of
from service.process.supervisor import supervise
from service.process.worker import BACKLOG, run_worker
from service.settings import Settings

logger = structlog.get_logger("demur.server")


def for_terminal(settings: Settings) -> Settings:
    """The settings with a log format: where none is set, text if the log's stream is a terminal."""
    if settings.log_format != "auto":
        return settings
    terminal = getattr(sys, settings.log_stream).isatty()
    return settings.model_copy(update={"log_format": "text" if terminal else "json"})


def serve(
    settings: Settings,
    on_ready: Callable[[Serving], None] | None = None,
    promoter: MakePromoter | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, then finish the accepted requests and return.

    `on_ready` is called once the service answers; `promoter`: makes what starts promotions for the private
    port, None: they are started elsewhere. Raises BundleError, EngineUnavailable,
    EmbeddedValkeyError, PortUnavailable, RulesUnreadable, FleetUnavailable or, with several workers,
    WorkersFailed.
    """
    settings = for_terminal(settings)
    configure_logging(settings.log_options())
    for note in environment_notes(os.environ, Settings.model_fields):
        logger.warning("environment", note=note)
    rules_of_settings(settings)  # Faults of the file end the start here, before anything is started.
    listener = _listen(settings.host, settings.port)
    everywhere, url = listens_everywhere(listener), url_of(listener)

    def ready(bundle: ServedBundle, admin_url: str | None = None) -> None:
        if on_ready is not None:
            on_ready(Serving(url, everywhere, admin_url, bundle, settings.store_note, fleet))

    with listener, _store(settings) as settings, _followed(settings) as opened:
        fleet = None if opened is None else opened.sentence()
        # An experiment goes on over a restart, and its guardrails with it.
        alone = settings.workers == 1 and settings.admin_port is None
        if opened is not None:
            supervise(opened.settings(settings), listener, ready, opened, promoter)
        elif alone and ExperimentFolder(settings.data_dir).running() is None:
            deployments = Deployments.open(settings)
            bundle = ServedBundle.of(deployments.champion)
            run_worker(settings, deployments, listener, lambda: ready(bundle))
        else:
            supervise(settings, listener, ready)


@contextmanager
def _followed(settings: Settings) -> Iterator[OpenedFleet | None]:
    """The fleet that the settings' registry has, opened; None without a registry."""
    if settings.registry is None:
        yield None
        return
    with opened_fleet(settings, lambda folder: try_bundle(settings, folder, lambda: False)) as opened:
        yield opened


@contextmanager
def _store(settings: Settings) -> Iterator[Settings]:
    """The settings with a store: the named one, or an embedded one that runs inside the context."""
    if settings.redis_url is not None:
        yield settings
        return
    note = EMBEDDED_IN_KUBERNETES if in_kubernetes(os.environ) else None
    if note is not None:
        logger.warning("embedded_store_in_kubernetes", note=note)
    with EmbeddedValkey(settings.data_dir / "valkey") as valkey:
        yield settings.with_embedded_store(valkey.url, note)


def _listen(host: str, port: int) -> socket.socket:
    """Raises PortUnavailable."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise PortUnavailable(f"{host}:{port} cannot be listened on: {_why(error, host, port)}") from error


def _why(error: OSError, host: str, port: int) -> str:
    """Why an address cannot be listened on, and what helps."""
    if error.errno == errno.EADDRINUSE:
        return f"another program listens on port {port}; choose another with --port, 0 takes a free one"
    if error.errno == errno.EACCES:
        return f"port {port} needs rights that this user lacks; choose one above 1023 with --port"
    # Faults of the name's resolution have negative numbers.
    if error.errno == errno.EADDRNOTAVAIL or (error.errno or 0) < 0:
        return (
            f"{host!r} is no address of this machine; --host takes one, 127.0.0.1 for this machine alone or "
            "0.0.0.0 for every network"
        )
    return os.strerror(error.errno) if error.errno else str(error)
