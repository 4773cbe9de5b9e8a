"""Secrets of the channels: named in the file as `${NAME}`, held by the environment, shown nowhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

ENVIRONMENT: Final = "environment"
"""Key of the variables in the context of a validation; without it the process's own are read."""
_NAMED: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_ANY_BRACES: Final = re.compile(r"\$\{[^}]*\}?")
_SECRET_KEYS: Final = re.compile(r"token|secret|passw|key|sig", re.IGNORECASE)
_HIDDEN: Final = "***"
_LOGIN: Final = re.compile(r"\b(Basic|Bearer) +[A-Za-z0-9+/=._~-]+", re.IGNORECASE)
"""What a receiver repeats that shows the headers of the request"""
_SHORTEST: Final = 4
"""Characters; shorter values are no secrets, and hiding them would make a text unreadable."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Text in which environment variables are named. Shown as it stands in the file, without their values."""

    written: str
    """As in the file, with `${NAME}`"""
    _value: str = field(repr=False)
    _values: tuple[str, ...] = field(repr=False)
    """Values of the variables"""

    def reveal(self) -> str:
        """The text with the values of the variables."""
        return self._value

    def hidden_parts(self) -> tuple[str, ...]:
        """What must not be shown: the values of the variables."""
        return self._values

    def __str__(self) -> str:
        return self.written


def redacted(text: str, secrets: Iterable[Secret]) -> str:
    """`text` without the values of the secrets."""
    values = [part for secret in secrets for value in secret.hidden_parts() for part in _parts_of(value)]
    for part in sorted({*values, *map(quote, values), *map(quote_plus, values)}, key=len, reverse=True):
        text = text.replace(part, _HIDDEN)
    return _LOGIN.sub(rf"\1 {_HIDDEN}", text)


def _parts_of(value: str) -> Iterator[str]:
    """The value, and of a URL what stands behind the host, as a receiver repeats it."""
    candidates = [value]
    if "://" in value:
        candidates.append(value.split("://", 1)[1].partition("/")[2])
    return (part for part in candidates if len(part) >= _SHORTEST)


def shown_input(fault: ErrorDetails) -> str | None:
    """The value of a fault of a channel as it may be shown; None if a secret may stand in it."""
    value = fault["input"]
    # A misspelt key is as likely to hold a secret as the right one.
    hidden = fault["type"].startswith("secret_") or fault["type"] == "extra_forbidden"
    if hidden or not isinstance(value, str | int | float | bool):
        return None
    return repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:77]}..."


def _resolved(value: Any, info: ValidationInfo) -> Secret:
    """The text of a field with its variables. Raises PydanticCustomError, without the value."""
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("secret_type", "it must be text, with a secret in it as ${NAME}")
    environment: Mapping[str, str] = (info.context or {}).get(ENVIRONMENT, os.environ)
    written = value.strip()
    if _ANY_BRACES.search(_NAMED.sub("", written)):
        raise PydanticCustomError(
            "secret_name",
            "a variable is named as ${NAME}, of letters, digits and '_', as in ${SMTP_PASSWORD}",
        )
    names = tuple(dict.fromkeys(_NAMED.findall(written)))
    found = {name: environment.get(name, "").strip() for name in names}
    if unset := [name for name in names if not found[name]]:
        raise PydanticCustomError(
            "secret_unset",
            "{variables} not set; set it in the environment of the service, or in the file of --env-file",
            {"variables": " and ".join(unset) + (" is" if len(unset) == 1 else " are")},
        )
    return Secret(written, _NAMED.sub(lambda match: found[match[1]], written), tuple(found.values()))


def _required(value: Any, info: ValidationInfo) -> Secret:
    secret = _resolved(value, info)
    if not secret.hidden_parts():
        raise PydanticCustomError(
            "secret_inline",
            "a secret is written out; put it into an environment variable and write its name as ${NAME}",
        )
    return secret


def _url(value: Any, info: ValidationInfo) -> Secret:
    secret = _resolved(value, info)
    try:
        parts, written = urlsplit(secret.reveal()), urlsplit(_NAMED.sub("", secret.written))
        port = parts.port
    except ValueError:
        raise PydanticCustomError("secret_url", "it is no URL; write one as https://host/path") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise PydanticCustomError("secret_url", "it must begin with https:// or http:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise PydanticCustomError("secret_url", "it must not hold a user or a password before the host")
    if any(_SECRET_KEYS.search(key) and text for key, text in parse_qsl(written.query)):
        raise PydanticCustomError(
            "secret_inline",
            "a secret is written out behind the '?'; put it into an environment variable and write ${NAME}",
        )
    return secret


def _secret_url(value: Any, info: ValidationInfo) -> Secret:
    _required(value, info)
    return _url(value, info)


_SHOWN: Final = (PlainSerializer(str), WithJsonSchema({"type": "string"}))
PlainText = Annotated[Secret, BeforeValidator(_resolved), *_SHOWN]
"""Text that may name variables: a user, an account."""
SecretText = Annotated[Secret, BeforeValidator(_required), *_SHOWN]
"""Text that must name a variable: a password, a token."""
Url = Annotated[Secret, BeforeValidator(_url), *_SHOWN]
"""URL that may name variables and holds no secret written out."""
SecretUrl = Annotated[Secret, BeforeValidator(_secret_url), *_SHOWN]
"""URL that is a secret by itself, as Slack's are."""
