"""Server: `serve(settings)` starts the store, the port and the workers, and shuts them down in order."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from monitoring.store.embedded_valkey import EmbeddedValkey
from service.environment import environment_notes
from service.lineup.lineup import Deployments
from service.logs import configure_logging
from service.process.supervisor import supervise
from service.process.worker import BACKLOG, run_worker
from service.settings import Settings

logger = structlog.get_logger("demur.server")


def serve(settings: Settings, on_ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then finish the accepted requests and return.

    `on_ready` gets the URL of the service once it answers. Raises BundleError, EngineUnavailable,
    EmbeddedValkeyError, OSError (the port) or, with several workers, WorkersFailed.
    """
    configure_logging(settings.log_level)
    for note in environment_notes(os.environ, Settings.model_fields):
        logger.warning("environment", note=note)
    listener = _listen(settings.host, settings.port)
    with listener, _store(settings) as settings:
        if settings.workers == 1 and settings.admin_port is None:
            deployments = Deployments.open(settings)
            run_worker(settings, deployments, listener, lambda: _call(on_ready, _url(listener)))
        else:
            supervise(settings, listener, lambda: _call(on_ready, _url(listener)))


@contextmanager
def _store(settings: Settings) -> Iterator[Settings]:
    """The settings with a store: the named one, or an embedded one that runs inside the context."""
    if settings.redis_url is not None:
        yield settings
        return
    with EmbeddedValkey(settings.data_dir / "valkey") as valkey:
        yield settings.model_copy(update={"redis_url": valkey.url})


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _call(on_ready: Callable[[str], None] | None, url: str) -> None:
    if on_ready is not None:
        on_ready(url)
