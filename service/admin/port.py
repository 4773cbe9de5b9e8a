"""Port of the admin routes: a server of its own, on a thread of the parent process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn

from monitoring.promise.archive import Archive
from monitoring.promise.stored_items import StoredItems
from service.admin.app import create_admin_app
from service.admin.experiment_log import ExperimentLog
from service.admin.figures import Figures
from service.admin.followed import FollowedFleet
from service.admin.promoter import MakePromoter
from service.alerting.journal import journal_of
from service.http.connection import guarded_connection
from service.lineup.experiment_watch import label_times
from service.lineup.experiments import Experiments
from service.lineup.fleet import Fleet
from service.settings import NO_STORE, Settings
from service.window_client import log_folder

logger = structlog.get_logger("demur.admin")


@contextmanager
def admin_port(
    settings: Settings,
    fleet: Fleet,
    promises: Archive,
    experiments: Experiments,
    public_url: str,
    followed: FollowedFleet | None = None,
    make_promoter: MakePromoter | None = None,
) -> Iterator[socket.socket | None]:
    """Serve the admin routes inside the context, on the socket that it gives; without an admin port in the
    settings, do nothing. `public_url`: of the workers' port; `followed`: the fleet that is followed;
    `make_promoter`: makes what starts promotions of it."""
    if settings.admin_port is None or settings.admin_token is None:
        yield None
        return
    bundles = (settings.bundles or settings.bundle.parent).resolve()
    items, journal = _items(settings), journal_of(settings)
    promoter = None if followed is None or make_promoter is None else make_promoter(settings)
    config = uvicorn.Config(
        create_admin_app(
            fleet,
            bundles,
            settings.admin_token,
            feedback_tokens=settings.feedback_tokens,
            figures=Figures(items, promises, public_url, settings.data_dir, journal),
            experiments=experiments,
            experiment_log=_experiment_log(settings),
            trust=settings.trust(),
            followed=followed,
            promoter=promoter,
        ),
        http=guarded_connection(settings.max_header_bytes, settings.header_timeout),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    family = socket.AF_INET6 if ":" in settings.admin_host else socket.AF_INET
    listener = socket.create_server((settings.admin_host, settings.admin_port), family=family)
    logger.info("admin_port", host=settings.admin_host, port=listener.getsockname()[1])
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="admin", daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        server.should_exit = True
        thread.join(5.0)
        if promoter is not None:
            promoter.close()
        journal.close()
        if items is not None:
            items.close()


def _experiment_log(settings: Settings) -> ExperimentLog | None:
    """The event logs; None without them."""
    logs = None if settings.model is None else log_folder(settings, settings.model)
    return None if logs is None else ExperimentLog(logs, label_times(settings))


def _items(settings: Settings) -> StoredItems | None:
    """The audits in the settings' store; None without one."""
    if settings.redis_url in (None, NO_STORE) or settings.model is None:
        return None
    return StoredItems.at(
        settings.redis_url,
        settings.model,
        settings.item_times(),
        sizes=settings.windows,
        timeout=settings.redis_timeout,
    )
