"""Metadata of a sequence: time, place and weather of the recording.

Drawn from a stream of its own, so nothing here can depend on whether the scene shows roadwork.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import cos, hypot, radians

import numpy as np


class Weather(StrEnum):
    CLEAR = "clear"
    CLOUDY = "cloudy"
    RAIN = "rain"
    FOG = "fog"


class District(StrEnum):
    CENTRE = "centre"
    OLD_TOWN = "old town"
    GARDENS = "gardens"
    HARBOUR = "harbour"
    OUTSKIRTS = "outskirts"


CITY_LATITUDE = 51.2
CITY_LONGITUDE = 7.1
_WEATHER_SHARES = {Weather.CLEAR: 0.5, Weather.CLOUDY: 0.25, Weather.RAIN: 0.15, Weather.FOG: 0.1}
_HOURS = np.array([0.4, 0.3, 0.2, 0.2, 0.3, 0.8, 2, 4, 6, 6, 6, 6, 6, 6, 6, 6, 6, 5, 4, 3, 2, 1.5, 1, 0.6])


@dataclass(frozen=True, slots=True)
class Conditions:
    """The circumstances of one sequence."""

    hour: int
    """0..23, local solar time"""
    month: int
    """1..12"""
    weather: Weather
    severity: float
    """How bad the weather is within its kind, in [0, 1]; not part of the metadata"""
    cloudiness: float
    """How much cloud a clear day has, in [0, 1]; not part of the metadata"""
    heading: float
    """Degrees clockwise from north, [0, 360)"""
    latitude: float
    longitude: float
    district: District

    def metadata(self) -> dict[str, str | int | float]:
        return {
            "hour": self.hour,
            "month": self.month,
            "weather": self.weather.value,
            "heading": self.heading,
            "latitude": self.latitude,
            "longitude": self.longitude,
            "district": self.district.value,
        }


def draw_conditions(rng: np.random.Generator, hardness: float) -> Conditions:
    """Conditions at random; `hardness` in [0, 1] only makes the weather worse within its kind."""
    weathers = list(_WEATHER_SHARES)
    weather = weathers[rng.choice(len(weathers), p=list(_WEATHER_SHARES.values()))]
    hour = int(rng.choice(24, p=_HOURS / _HOURS.sum()))
    severity = 0.15 + 0.7 * hardness + 0.15 * float(rng.uniform(-1.0, 1.0))
    east, north = rng.normal(0.0, 2.4, size=2).tolist()
    return Conditions(
        hour=hour,
        month=int(rng.integers(1, 13)),
        weather=weather,
        severity=min(max(severity, 0.0), 1.0),
        cloudiness=float(rng.random()),
        heading=round(float(rng.uniform(0.0, 360.0)), 1) % 360.0,
        latitude=round(CITY_LATITUDE + north / 111.2, 5),
        longitude=round(CITY_LONGITUDE + east / (111.2 * cos(radians(CITY_LATITUDE))), 5),
        district=_district(east, north),
    )


def _district(east: float, north: float) -> District:
    """The quarter of the city at a position in kilometres from the market square."""
    distance = hypot(east, north)
    if distance < 1.5:
        return District.CENTRE
    if distance > 4.0:
        return District.OUTSKIRTS
    if north < -0.6 and east > -1.0:
        return District.HARBOUR
    if distance < 2.6:
        return District.OLD_TOWN
    return District.GARDENS
