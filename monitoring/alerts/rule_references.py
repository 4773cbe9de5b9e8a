"""References between the parts of a rules file: names that must exist, and ladders that must end.

They are looked for in the plain values, so that a fault in one part hides none in another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from monitoring.alerts.rules import raw
from monitoring.alerts.yaml_lines import Place

_NEEDS: Final = {"email": "email", "sms": "phone"}
"""Kind of a channel -> what a person must have to be told through it"""


def reference_faults(content: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """(place, why) of each reference that leads nowhere."""
    ladders = raw(content.get("ladders"))
    for name, ladder in ladders.items():
        yield from _of_ladder(content, name, raw(ladder))
    yield from _endless(ladders)
    users: list[tuple[Place, Any]] = [(("defaults", "ladder"), raw(content.get("defaults")).get("ladder"))]
    written = content.get("rules")
    listed = written if isinstance(written, list) else []
    users += [(("rules", i, "ladder"), raw(rule).get("ladder")) for i, rule in enumerate(listed)]
    for place, used in users:
        if used is not None and not _in(used, ladders):
            yield place, f"there is no ladder {used!r}; {_there_are('ladders', ladders)}"
    if ladders and users[0][1] is None and any(raw(rule).get("ladder") is None for rule in listed or [{}]):
        yield (
            ("ladders",),
            "some rules have no ladder, so nobody would be told; name one under defaults.ladder",
        )
    yield from _named_twice(listed)


def _of_ladder(
    content: Mapping[str, Any], name: Any, ladder: Mapping[str, Any]
) -> Iterator[tuple[Place, str]]:
    people, channels = raw(content.get("people")), raw(content.get("channels"))
    steps = ladder.get("steps")
    for index, step in enumerate(steps if isinstance(steps, list) else []):
        place: Place = ("ladders", name, "steps", index)
        channel, person = raw(step).get("channel"), raw(step).get("person")
        if channel is not None and not _in(channel, channels):
            yield (*place, "channel"), f"there is no channel {channel!r}; {_there_are('channels', channels)}"
        if person is not None and not _in(person, people):
            yield (*place, "person"), f"there is no person {person!r}; {_there_are('people', people)}"
        yield from _reached(place, _named(channels, channel), _named(people, person), channel, person)


def _reached(
    place: Place, channel: Mapping[str, Any], person: Mapping[str, Any], channel_name: Any, person_name: Any
) -> Iterator[tuple[Place, str]]:
    """The person of a step must have what its channel needs."""
    needed = _NEEDS.get(str(channel.get("kind")))
    if needed is None:
        return
    if person_name is None and not channel.get("to"):
        yield place, f"person is missing: channel {channel_name!r} needs somebody's {needed}, or a `to`"
    elif person and not person.get(needed):
        way_out = f"add {needed} under people.{person_name}"
        yield (*place, "person"), f"{person_name!r} has no {needed} for channel {channel_name!r}; {way_out}"


def _endless(ladders: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    for name, ladder in ladders.items():
        then = raw(ladder).get("then")
        if then is not None and not _in(then, ladders):
            yield ("ladders", name, "then"), f"there is no ladder {then!r}; {_there_are('ladders', ladders)}"
        way = [str(name)]
        while isinstance(then, str) and then in ladders:
            if then in way:
                shown = " -> ".join(map(str, (*way, then)))
                yield ("ladders", name, "then"), f"the ladder has no end: {shown}; remove one `then`"
                break
            way.append(then)
            then = raw(ladders[then]).get("then")


def _named_twice(listed: Sequence[Any]) -> Iterator[tuple[Place, str]]:
    names = Counter(name for rule in listed if isinstance(name := raw(rule).get("name"), str))
    for index, rule in enumerate(listed):
        name = raw(rule).get("name")
        if isinstance(name, str) and names[name] > 1:
            yield ("rules", index, "name"), f"several rules are named {name!r}; each needs a name of its own"


def _in(name: Any, names: Mapping[str, Any]) -> bool:
    return isinstance(name, str) and name in names


def _named(parts: Mapping[str, Any], name: Any) -> Mapping[str, Any]:
    return raw(parts[name]) if _in(name, parts) else {}


def _there_are(what: str, names: Mapping[str, Any]) -> str:
    known = ", ".join(map(str, names))
    return f"the {what} are {known}" if known else f"the file has no {what}"
