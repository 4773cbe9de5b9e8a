"""Trial of a bundle in a process of its own, before any worker loads it.

A model may loop without end, take all memory or crash its runtime. In a trial that costs one process, which
is killed after its time; in a worker it would cost the requests of that worker and every later change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bundle.engines.contract import EngineError
from bundle.manifest import BundleError
from bundle.selection.local_certificate import CERTIFY_SECONDS, carries_cases
from bundle.system.subprocess_call import Say, SubprocessLost, call_in_subprocess
from bundle.verify import read_manifest
from service.errors import ChangeRefused
from service.lineup.deployment import deployment_for
from service.logs.setup import configure_logging
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class _Result:
    refusal: str | None = None
    """Why the bundle cannot serve"""
    abstains: str | None = None
    """Why it would answer no image"""


def try_bundle(settings: Settings, folder: Path, cancelled: Callable[[], bool]) -> str | None:
    """Load the bundle in `folder` and decide its golden cases in another process, within
    `settings.prepare_timeout` seconds.

    `cancelled` is checked every second. Returns the reason why the bundle would abstain on every image here,
    or None. Raises ChangeRefused with the reason why it cannot serve.
    """
    settings = settings.model_copy(update={"bundle": folder})
    work = partial(_load, settings)
    try:
        result = call_in_subprocess(work, limit=preparation_limit(settings, [folder]), cancelled=cancelled)
    except SubprocessLost as error:
        raise ChangeRefused(
            f"it could not be loaded and decide its golden cases in a trial: {error}; "
            "DEMUR_PREPARE_TIMEOUT sets the time"
        ) from error
    if result.refusal is not None:
        raise ChangeRefused(result.refusal)
    return result.abstains


def preparation_limit(settings: Settings, folders: list[Path]) -> float:
    """Seconds that these bundles may take to be verified, loaded and tried; longer if one carries its
    calibration images, all of which may have to be scored first."""
    if any(map(_may_be_certified_here, folders)):
        return CERTIFY_SECONDS + settings.prepare_timeout
    return settings.prepare_timeout


def _load(settings: Settings, *, say: Say) -> _Result:
    # Standard output of this process leads nowhere.
    configure_logging(replace(settings.log_options(), stream="stderr"))
    try:
        deployment = deployment_for(settings)
    except (BundleError, EngineError, OSError) as error:
        return _Result(refusal=str(error))
    return _Result(abstains=deployment.guarantee_reason)


def _may_be_certified_here(folder: Path) -> bool:
    try:
        return carries_cases(read_manifest(folder))
    except (BundleError, OSError):
        return False  # The trial reports what is wrong with it.
