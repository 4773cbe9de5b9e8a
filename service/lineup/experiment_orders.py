"""Orders of an experiment: what somebody wants to begin or to change, and what of it cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bundle.manifest import BundleError
from monitoring.experiments.changes import Design, Entrant
from monitoring.experiments.dealing import ChangeImpossible
from monitoring.experiments.definition import REQUEST, Arm
from service.errors import ChangeRefused
from service.lineup.lineup import label_of
from service.settings import ChallengerSettings

_ROUTE: Final = "the private port"
"""Who has changed a challenger by a route that asks for no name"""


@dataclass(frozen=True, slots=True)
class Start:
    """What an experiment is to be, and who begins it."""

    design: Design
    by: str
    reason: str
    challengers: Sequence[ChallengerSettings] = ()
    """To add, or to change; those that serve already are in the experiment as well."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Who wants a change, and why."""

    by: str = _ROUTE
    reason: str = "by its own route"
    experiment: str | None = None
    """The experiment that is meant; None: the one that runs, if any"""
    cause: str = REQUEST
    """Of a withdrawal, as in `Withdrawal`"""


@contextmanager
def refusals() -> Iterator[None]:
    """Raise ChangeRefused where an experiment cannot change."""
    try:
        yield
    except ChangeImpossible as error:
        raise ChangeRefused(str(error)) from error


def entrant(challenger: ChallengerSettings) -> Entrant:
    """A challenger as an experiment has it. Raises ChangeRefused."""
    return Entrant(arm_of(challenger.folder), challenger.share)


def arm_of(folder: Path) -> Arm:
    """A bundle as an experiment has it. Raises ChangeRefused."""
    try:
        return Arm(label_of(folder), str(folder))
    except BundleError as error:
        raise ChangeRefused(str(error)) from error
