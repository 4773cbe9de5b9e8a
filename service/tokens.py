"""Tokens that clients send as `Authorization: Bearer TOKEN`: what a token may be, and who may send labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

MIN_LENGTH: Final = 16
_TOKEN: Final = re.compile(r"[!-~]+")
"""Characters that every client can send in a header: printable ASCII without spaces."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SEPARATORS: Final = re.compile(r"[,\n]")


@dataclass(frozen=True, slots=True)
class FeedbackToken:
    """The token of one sender of labels."""

    name: str
    """Recorded with each label that the token lets in"""
    token: str = field(repr=False)


def token_fault(token: str) -> str | None:
    """What keeps `token` from being one; None if nothing does. The token itself is never repeated."""
    if not _TOKEN.fullmatch(token):
        return "a token has only printable ASCII characters and no spaces or line ends"
    if len(token) < MIN_LENGTH:
        return f"the token has {len(token)} characters; it must have at least {MIN_LENGTH}"
    return None


def read_feedback_tokens(text: str) -> tuple[FeedbackToken, ...]:
    """The tokens of a list NAME=TOKEN, separated by commas or line ends.

    Raises ValueError with every fault and its place. Neither names nor tokens are repeated, because a token
    may stand in the place of a name.
    """
    entries = [entry.strip() for entry in _SEPARATORS.split(text)]
    entries = [entry for entry in entries if entry]
    if not entries:
        raise ValueError("the list is empty; leave the variable empty for labels without a token")
    pairs = [entry.partition("=") for entry in entries]
    tokens = tuple(FeedbackToken(name.strip(), token.strip()) for name, _, token in pairs)
    faults = [
        f"entry {place} of {len(entries)}: {fault}"
        for place, ((_, equals, _), one) in enumerate(zip(pairs, tokens, strict=True), start=1)
        if (fault := _fault(one) if equals else "it must be NAME=TOKEN") is not None
    ]
    if faults := faults or list(_repeated(tokens)):
        raise ValueError("; ".join(faults))
    return tokens


def _fault(entry: FeedbackToken) -> str | None:
    if not _NAME.fullmatch(entry.name):
        return "a name has 1 to 64 letters, digits, '.', '_' and '-', and begins with a letter or digit"
    return token_fault(entry.token)


def _repeated(tokens: Sequence[FeedbackToken]) -> Iterator[str]:
    """Faults of names and of tokens that stand in several entries."""
    for what, values in (("name", [one.name for one in tokens]), ("token", [one.token for one in tokens])):
        for value, times in Counter(values).items():
            if times > 1:
                places = [str(place) for place, other in enumerate(values, start=1) if other == value]
                yield f"entries {' and '.join(places)} have the same {what}"
