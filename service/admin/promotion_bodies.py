"""Bodies of the routes of promotions; names and reasons go into the record, without control characters."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from service.openapi.fleet import BUNDLE_PATTERN, MAX_NAME, MAX_TEXT, NAME_PATTERN, TEXT_PATTERN

Who = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME, pattern=NAME_PATTERN),
]
Why = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TEXT, pattern=TEXT_PATTERN),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PromoteBody(_Body):
    """The bundle that is to become the champion."""

    bundle: Annotated[str, StringConstraints(pattern=BUNDLE_PATTERN)]
    by: Who
    reason: Why
    plan: Annotated[dict[str, Any], Field(max_length=100)] | None = None


class ResumeBody(_Body):
    """Who lets the promotion go on."""

    by: Who


class ApproveBody(_Body):
    """Who says yes, and why."""

    by: Who
    comment: Why


class EndBody(_Body):
    """Who ends the promotion or goes back, and why."""

    by: Who
    reason: Why
