"""Environment variables of the service: DEMUR_X_Y holds the setting `x_y`.

Values come from shells, container files and Kubernetes, each with its own habits: empty variables, line ends
after a secret, quotes that an env file keeps, and the Service links that Kubernetes sets for a Service named
`demur` (DEMUR_PORT=tcp://10.0.0.1:8000), which are no settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from service.errors import SettingsError

PREFIX: Final = "DEMUR_"
_ADMIN_TOKEN: Final = "admin_token"  # noqa: S105 - the name of the setting, not its value
SECRETS: Final = frozenset({_ADMIN_TOKEN, "feedback_tokens"})
"""Settings whose values are never shown."""
OTHER_VARIABLES: Final = frozenset(
    {"DEMUR_DEBUG", "DEMUR_LEDGER", "DEMUR_RECORD", "DEMUR_SLOW", "DEMUR_WEIGHTS"}
)
"""Variables of demur outside of these settings."""

_LINK_NAME: Final = re.compile(
    r"DEMUR_(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
_LINK_VALUE: Final = re.compile(r"(?:tcp|udp|sctp)://\S+:\d+", re.IGNORECASE)


EMBEDDED_IN_KUBERNETES: Final = (
    "this service runs in Kubernetes with an embedded store: each pod counts its own part of the labels, and "
    "windows, audits and alerts go with the pod; name a store that all pods share in DEMUR_REDIS_URL"
)
"""What is said of a service that should have been given a store."""


def in_kubernetes(environment: Mapping[str, str]) -> bool:
    """Whether the process runs in a pod: Kubernetes names its API to every container."""
    return bool(environment.get("KUBERNETES_SERVICE_HOST", "").strip())


def variable_of(setting: str) -> str:
    """Name of the variable of a setting."""
    return PREFIX + setting.upper()


def values_of(environment: Mapping[str, str], settings: Iterable[str]) -> dict[str, str]:
    """Setting -> value of its variable. Empty variables and Kubernetes Service links are left out."""
    found = {}
    for setting in settings:
        value = _cleaned(setting, environment.get(variable_of(setting), ""))
        if value and not _is_link(variable_of(setting), value):
            found[setting] = value
    return found


def read_env_file(path: Path) -> dict[str, str]:
    """Variable -> value of a file of lines NAME=VALUE, as Docker and systemd read them.

    Comments, blank lines, quotes and a leading `export` are understood; nothing is expanded. Raises
    SettingsError, which names the file and the line.
    """
    from dotenv.parser import parse_stream

    try:
        with path.open(encoding="utf-8") as stream:
            bindings = list(parse_stream(stream))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise SettingsError(f"env file {path} cannot be read: {reason}") from None
    found = {}
    for binding in bindings:
        if binding.error or (binding.key is not None and binding.value is None):
            line = binding.original.string.strip()
            raise SettingsError(
                f"env file {path}, line {binding.original.line}: {line!r} is not of the form NAME=VALUE"
            )
        if binding.key is not None:
            found[binding.key] = binding.value or ""
    return found


def with_env_file(environment: Mapping[str, str], path: Path) -> dict[str, str]:
    """The environment with the variables of a file, of which those that are set already stay.

    Raises SettingsError, which names the file.
    """
    set_already = {name: value for name, value in environment.items() if value.strip()}
    return {**environment, **read_env_file(path), **set_already}


def environment_notes(environment: Mapping[str, str], settings: Iterable[str]) -> list[str]:
    """One sentence per DEMUR_* variable that has no effect: misspelt names and Service links."""
    known = {variable_of(setting): setting for setting in settings}
    notes = []
    for variable, value in sorted(environment.items()):
        if not variable.startswith(PREFIX) or not value.strip() or variable in OTHER_VARIABLES:
            continue
        if variable in known:
            if _is_link(variable, _cleaned(known[variable], value)):
                notes.append(
                    f"{variable} is {value.strip()!r}, which Kubernetes sets for a Service of this name, "
                    "and has no effect; set enableServiceLinks: false in the pod, or use an option"
                )
        elif not _LINK_NAME.fullmatch(variable) and not _LINK_VALUE.fullmatch(value.strip()):
            close = get_close_matches(variable[len(PREFIX) :].lower(), known.values(), n=1, cutoff=0.75)
            hint = f"; did you mean {variable_of(close[0])}?" if close else ""
            notes.append(f"{variable} is no setting{hint}")
    return notes


def _is_link(variable: str, value: str) -> bool:
    """Whether Kubernetes has set the variable of a setting: DEMUR_X_PORT for a Service named demur-x."""
    return variable.endswith("_PORT") and _LINK_VALUE.fullmatch(value) is not None


def _cleaned(setting: str, value: str) -> str:
    value = value.strip()
    # Docker's --env-file keeps quotes. Those of a token may belong to it.
    if setting != _ADMIN_TOKEN and len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        value = value[1:-1].strip()
    return value
