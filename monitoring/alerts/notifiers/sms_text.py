"""Text of an SMS: at most three parts, and only characters that do not make a part shorter."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from monitoring.alerts.message import AlertLine, Message
from monitoring.alerts.notifiers.facts import figure_of, moment, title_line

MOST_CHARACTERS: Final = 3 * 153
"""Three parts of 160 characters, of which each gives seven to the number that joins them."""
_PLAINER: Final = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
        **dict.fromkeys("\u2018\u2019`\u00b4^", "'"),
        **dict.fromkeys("\u201c\u201d", '"'),
        # In the alphabet of SMS each of these takes the room of two.
        "[": "(",
        "]": ")",
        "{": "(",
        "}": ")",
        "|": "/",
        "\\": "/",
        "~": "-",
        "\u20ac": "EUR",
        "\u2026": "...",
    }
)
_OTHER: Final = re.compile(r"[^ -~]")


def sms_text(message: Message) -> str:
    """The message with its most severe alerts; what does not fit is left out, the ids never."""
    first, others = message.alerts[:1], len(message.alerts) - 1
    end = " ".join(
        [
            *(f"+{others} more." for _ in range(others > 0)),
            *(f"Alert {alert.fingerprint}." for alert in first),
            f"Id {message.id}",
        ]
    )
    body = ". ".join([title_line(message).rstrip("."), *(_about(alert) for alert in first)])
    body, end = _plain(body), _plain(end)
    room = MOST_CHARACTERS - len(end) - 2
    if room <= 0:
        return end[:MOST_CHARACTERS]
    return f"{_shortened(body, room)} {end}"


def _about(alert: AlertLine) -> str:
    facts = [figure_of(alert)]
    facts += [] if alert.since is None else [f"since {moment(alert.since)}"]
    facts += [] if alert.bundle is None else [f"bundle {alert.bundle}"]
    what_to_do = [part.rstrip(".") for part in (alert.action, alert.runbook) if part]
    return ". ".join([", ".join(facts), *what_to_do])


def _shortened(text: str, most: int) -> str:
    text = text if text.endswith(".") else f"{text}."
    return text if len(text) <= most else f"{text[: most - 3].rstrip()}..."


def _plain(text: str) -> str:
    """ASCII of the same look, without line ends."""
    decomposed = unicodedata.normalize("NFKD", " ".join(text.split()).translate(_PLAINER))
    kept = "".join(character for character in decomposed if not unicodedata.combining(character))
    return _OTHER.sub("?", kept.translate(_PLAINER))
