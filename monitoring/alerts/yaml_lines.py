"""YAML with the line of each value, and the faults that a parser passes over: a key written twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import yaml

from monitoring.errors import MonitoringError

Place = tuple[str | int, ...]
"""Way to a value: keys of mappings, and indices of lists from 0"""

_DEEPEST: Final = 20


class YamlFault(MonitoringError):
    """The text is no YAML that can be read."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line


class YamlLines:
    """The content of a text of YAML, and where each part of it stands. Raises YamlFault."""

    def __init__(self, text: str) -> None:
        try:
            self._refuse_aliases(text)
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            self.content: Any = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            hint = "; a value with ${NAME}, : or # in it needs quotes" if "mapping" in str(error) else ""
            why = f"it is no YAML: {error.problem or error.context}{hint}"
            raise YamlFault(1 if mark is None else mark.line + 1, why) from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise YamlFault(1, f"it is no YAML: {str(error).splitlines()[0]}") from None
        self.faults = list(self._twice(self._root, ()))
        """(line, field, why) of keys that stand twice"""

    def has(self, place: Place) -> bool:
        """Whether the text has a value at this place."""
        return len(self._found(place)) == len(place) + 1

    def line(self, place: Place) -> int:
        """Line, from 1, of the value at a place, or of the nearest one around it."""
        found = self._found(place)
        return int(found[-1].start_mark.line) + 1 if found else 1

    def _found(self, place: Place) -> list[Any]:
        """The nodes on the way, as far as it goes; the line of a value is that of its key."""
        node: Any = self._root
        found = [] if node is None else [node]
        for part in place:
            step = _step(node, part)
            if step is None:
                break
            marked, node = step
            found.append(marked)
        return found

    def _refuse_aliases(self, text: str) -> None:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise YamlFault(_line(event), "an alias (*name) is not read here; write it out")
            opens = isinstance(event, yaml.CollectionStartEvent)
            depth += opens - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise YamlFault(_line(event), f"it is nested more than {_DEEPEST} deep")

    def _twice(self, node: Any, place: Place) -> Iterator[tuple[int, str, str]]:
        if isinstance(node, yaml.SequenceNode):
            for index, one in enumerate(node.value):
                yield from self._twice(one, (*place, index))
        if not isinstance(node, yaml.MappingNode):
            return
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                yield line, str(key.value), f"it stands in line {seen[key.value]} already; remove one of them"
            elif isinstance(key.value, str):
                seen[key.value] = line
            yield from self._twice(value, (*place, str(key.value)))


def _line(event: yaml.Event) -> int:
    return 1 if event.start_mark is None else event.start_mark.line + 1


def _step(node: Any, part: str | int) -> tuple[Any, Any] | None:
    """(node that bears the line, node inside) of one step; None if there is none."""
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def shown_place(place: Place) -> str:
    """A place in the file for people: ladders.duty.steps[1].wait."""
    return "".join(_shown_parts(place)).removeprefix(".")


def _shown_parts(place: Place) -> Iterator[str]:
    for part in place:
        yield f"[{part}]" if isinstance(part, int) else f".{part}"
