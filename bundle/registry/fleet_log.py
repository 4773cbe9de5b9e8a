"""Log of a fleet: its generations, in order, which are written once and never changed.

A generation is written by exclusive creation of its key. So two writers of one number are never both told
that they have won, and a writer that has not seen the newest record is told who came first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex
from typing import Any, Final

from bundle.registry import keys
from bundle.registry.errors import RegistryDamaged, RegistryError
from bundle.registry.generation import Generation
from bundle.registry.location import Exists, Location, Missing
from bundle.registry.marker import Marker
from bundle.registry.records import MAX_RECORD_BYTES, from_bytes, require_readable, to_bytes

READERS: Final = 8
"""Records that are read at a time; an object store answers each after tens of milliseconds"""
_ATTEMPTS: Final = 20
"""Of one change, each after another writer came first"""


class Overtaken(RegistryError):
    """Another writer has written the generation first; nothing was changed."""

    def __init__(self, fleet: str, number: int, newest: Generation) -> None:
        change = newest.change
        super().__init__(
            f"fleet {fleet}: generation {number} is not written, since {change.by} has written generation "
            f"{newest.number} ({change.reason}); look at it with `demur registry history {fleet}`, and ask "
            "again if the change is still wanted"
        )
        self.newest = newest
        """What the fleet serves now"""


class FleetLog:
    """The generations of one fleet."""

    def __init__(self, location: Location, name: str, marker: Marker) -> None:
        """Raises FleetUnknown for what is no name of a fleet."""
        keys.fleet_prefix(name)
        self.name = name
        self._location = location
        self._marker = marker

    def newest(self) -> Generation | None:
        """What the fleet serves; None before its first record. Raises a RegistryError."""
        found = self._read(self._hinted() or 0) or self._read(max(self._numbers(), default=0))
        while found is not None and (later := self.after(found.number)) is not None:
            found = later
        return found

    def after(self, number: int) -> Generation | None:
        """The generation that came after `number`, None while there is none. One read of the store."""
        return self._read(number + 1)

    def append(self, generation: Generation) -> None:
        """Write the generation after the newest one. Raises Overtaken if another writer came first."""
        self._marker.claim_for_fleets()
        key = keys.generation(self.name, generation.number)
        data = to_bytes({**self._checked(generation, key), "writer": token_hex(8)})
        if generation.number > 1 and self._read(generation.number - 1) is None:
            raise RegistryError(
                f"fleet {self.name}: generation {generation.number} is not written, since there is no "
                f"generation {generation.number - 1}; read the newest one and build on that"
            )
        try:
            self._location.create(key, data)
        except Exists:
            # A store may have taken the first try of a request whose answer was lost, and refuse the second.
            if self._location.read(key, MAX_RECORD_BYTES) != data:
                raise Overtaken(self.name, generation.number, self._newest_from(generation.number)) from None
        self._hint(generation.number)

    def change(self, build: Callable[[Generation | None], Generation]) -> Generation:
        """Write the generation that `build` makes of the newest one; again if another writer came first.

        Raises what `build` raises, and Overtaken if that happens too often.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            # A registry that is not there yet has no generation, and comes into being with the first one.
            self._marker.claim_for_fleets()
            built = build(self.newest())
            try:
                self.append(built)
                return built
            except Overtaken:
                if attempt == _ATTEMPTS:
                    raise
        raise AssertionError

    def history(self) -> Iterator[Generation]:
        """Every generation that the registry holds, the first one first. Raises a RegistryError."""
        with ThreadPoolExecutor(READERS) as pool:
            yield from filter(None, pool.map(self._read, self._numbers()))

    def at(self, time: float) -> Generation | None:
        """What the fleet served at `time` (Unix time, seconds); None before its first record."""
        for number in reversed(self._numbers()):
            found = self._read(number)
            if found is not None and found.change.at <= time:
                return found
        return None

    def keep_beat(self, values: Mapping[str, Any]) -> None:
        """Overwrite the sign of life of the promoter. It says that one lives, never what is true."""
        self._marker.claim_for_fleets()
        self._location.put(keys.promoter(self.name), to_bytes(dict(values)))

    def beat(self) -> Mapping[str, Any] | None:
        """The sign of life of the promoter; None if there is none that can be read."""
        return self._read_hint(keys.promoter(self.name))

    def _checked(self, generation: Generation, key: str) -> dict[str, Any]:
        """Its values, which read back: what no reader would take is never written."""
        values = generation.to_values()
        require_readable(lambda: Generation.from_values(values, self._what(key)))
        return values

    def _numbers(self) -> list[int]:
        self._marker.require()
        names = self._location.names(keys.generations(self.name))
        return sorted(number for name in names if (number := keys.generation_number(name)))

    def _read(self, number: int) -> Generation | None:
        self._marker.require()
        if not 1 <= number <= keys.MAX_GENERATION:
            return None
        key = keys.generation(self.name, number)
        try:
            data = self._location.read(key, MAX_RECORD_BYTES)
        except Missing:
            return None
        what = self._what(key)
        found = Generation.from_values(from_bytes(data, what), what)
        if found.number != number:
            raise RegistryDamaged(f"{what} says that it is generation {found.number}")
        return found

    def _newest_from(self, number: int) -> Generation:
        found = self._read(number)
        while found is not None and (later := self.after(found.number)) is not None:
            found = later
        if found is None:
            raise RegistryDamaged(
                f"fleet {self.name}: generation {number} was written by another and is gone; the records of "
                "a fleet are never deleted, so look who removes files there"
            )
        return found

    def _hinted(self) -> int | None:
        """The number in the hint; None if there is none that can be read."""
        number = (self._read_hint(keys.newest(self.name)) or {}).get("number")
        return number if type(number) is int else None

    def _read_hint(self, key: str) -> dict[str, Any] | None:
        self._marker.require()
        try:
            values = from_bytes(self._location.read(key, MAX_RECORD_BYTES), "the hint")
        except (Missing, RegistryDamaged):
            return None
        return values if isinstance(values, dict) else None

    def _hint(self, number: int) -> None:
        """Say where the newest record is. The record is written, so a failure of this is none."""
        try:
            self._location.put(keys.newest(self.name), to_bytes({"number": number}))
        except RegistryError:
            return

    def _what(self, key: str) -> str:
        return f"{key} in {self._location.address}"
