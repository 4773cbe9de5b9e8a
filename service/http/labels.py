"""Labels in a request's body: one of /feedback, or many of /feedback/batch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from service.errors import (
    MAX_LABELS,
    ContradictingLabels,
    InvalidField,
    MissingField,
    RequestError,
    TooManyLabels,
)
from service.http.bodies import read_json
from service.http.request_ids import MAX_LENGTH, checked_id

MAX_BATCH_BYTES: Final = 512 * MAX_LABELS
"""Size of a batch's body; an id has 128 characters at most."""


class Label(NamedTuple):
    """The true class of an image, under the id of its prediction."""

    request_id: str
    label: int
    """Index of the class"""


def read_label(headers: Mapping[str, str], body: bytes, classes: Sequence[str]) -> Label:
    """The label in a body. Raises UnsupportedMediaType, UnsupportedEncoding, MalformedJson, MissingField and
    InvalidField."""
    return _label_of(read_json(headers, body), classes)


def read_labels(
    headers: Mapping[str, str], body: bytes, classes: Sequence[str]
) -> list[tuple[str | None, Label | RequestError]]:
    """The labels in the body of a batch, each behind its id as sent; the error in the place of one that is
    refused.

    Labels that differ for one id are all refused: they have one time, so none of them is a correction. Raises
    as `read_label` does for the body as a whole, and TooManyLabels.
    """
    entries = _entries(read_json(headers, body))
    read = [_label_or_error(place, entry, classes) for place, entry in enumerate(entries)]
    for places in _contradictions(read):
        error = ContradictingLabels(places)
        for place in places:
            read[place] = error
    return [(_id_as_sent(entry), one) for entry, one in zip(entries, read, strict=True)]


def _entries(content: Mapping[str, Any]) -> list[Any]:
    if "labels" not in content:
        raise MissingField("the body has no field 'labels'", field="labels")
    entries = content["labels"]
    if not isinstance(entries, list):
        raise InvalidField("labels must be a list of objects with request_id and label", field="labels")
    if not entries:
        raise MissingField("the batch has no labels", field="labels", value=0)
    if len(entries) > MAX_LABELS:
        raise TooManyLabels(len(entries))
    return entries


def _label_or_error(place: int, entry: Any, classes: Sequence[str]) -> Label | RequestError:
    try:
        if not isinstance(entry, dict):
            raise InvalidField("a label must be an object with request_id and label")
        return _label_of(entry, classes)
    except RequestError as error:
        error.field = f"labels[{place}]" if error.field is None else f"labels[{place}].{error.field}"
        return error


def _contradictions(read: Iterable[Label | RequestError]) -> list[list[int]]:
    """The places of labels that differ for one id."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    labels: defaultdict[str, set[int]] = defaultdict(set)
    for place, one in enumerate(read):
        if isinstance(one, Label):
            places[one.request_id].append(place)
            labels[one.request_id].add(one.label)
    return [places[request_id] for request_id, given in labels.items() if len(given) > 1]


def _id_as_sent(entry: Any) -> str | None:
    """The id of an entry, if it is one that an answer can repeat."""
    given = entry.get("request_id") if isinstance(entry, dict) else None
    return given[:MAX_LENGTH] if isinstance(given, str) else None


def _label_of(content: Mapping[str, Any], classes: Sequence[str]) -> Label:
    for name in ("request_id", "label"):
        if name not in content:
            raise MissingField(f"the label has no field {name!r}", field=name)
    return Label(checked_id(content["request_id"]), _class_of(content["label"], classes))


def _class_of(value: Any, classes: Sequence[str]) -> int:
    """The index of a class from a whole number, also one that is written as 1.0, or from its name. Raises
    InvalidField."""
    if isinstance(value, str) and value in classes:
        return classes.index(value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and 0 <= value < len(classes) and value == int(value):
        return int(value)
    raise InvalidField(
        f"label must be a whole number from 0 to {len(classes) - 1} or the name of a class",
        field="label",
        value=value if isinstance(value, str | int | float | bool) else None,
        limit=[0, len(classes) - 1],
    )
