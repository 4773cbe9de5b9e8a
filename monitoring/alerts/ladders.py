"""Ladders: who is told, one after the other; parts of the rules file as frozen values."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from monitoring.alerts.durations import Duration
from monitoring.alerts.notifiers.config import EmailAddress, PhoneNumber

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class Part(BaseModel):
    """A part of the rules file."""

    # Errors of pydantic repeat their input, in which a secret may stand.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Person(Part):
    """Somebody who can be told."""

    email: EmailAddress | None = None
    phone: PhoneNumber | None = None


class Step(Part):
    """One step of a ladder."""

    wait: Duration = 0.0
    """Seconds since the step before it, or since the alert fired"""
    channel: Name
    person: Name | None = None


class Ladder(Part):
    """Who is told, one after the other, until somebody acknowledges."""

    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=20)]
    repeat: Annotated[int, Field(ge=0, le=10)] = 0
    """How often it is climbed again"""
    then: Name | None = None
    """Ladder that follows it"""
