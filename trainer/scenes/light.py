"""Light of a scene by hour, season and weather."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from math import acos, asin, cos, degrees, pi, radians, sin, tan

import numpy as np

from trainer.scenes.conditions import CITY_LATITUDE, Conditions, Weather

Rgb = tuple[float, float, float]


def shaded(colour: Rgb, factor: float) -> Rgb:
    """The colour, darker (factor < 1) or lighter."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


class Face(IntEnum):
    """Which way a surface looks, and so which light falls on it."""

    FRONT = 0
    LEFT = 1
    RIGHT = 2
    TOP = 3
    RETRO = 4
    """Looks at the camera and throws headlights back"""
    LIT = 5
    """Shines by itself"""


@dataclass(frozen=True, slots=True)
class Light:
    """All that a painter needs to know about the light. Colours 0..255, multipliers around 1."""

    zenith: Rgb
    skyline: Rgb
    """Colour of the sky just above the horizon"""
    haze: Rgb
    haze_density: float
    """Share of the light that haze replaces, 1/m"""
    faces: tuple[Rgb, Rgb, Rgb, Rgb]
    """Multipliers of a surface's colour by `Face`: FRONT, LEFT, RIGHT, TOP"""
    sun_bearing: float
    """Radians to the right of the camera's axis"""
    sun_elevation: float
    """Radians above the horizon"""
    sun_strength: float
    """0 hidden or set, 1 a clear day"""
    night: float
    """0 day, 1 night: lamps, headlights and windows"""
    wet: float
    """0 dry road, 1 streaming"""
    cloud_cover: float

    @property
    def shadow_reach(self) -> tuple[float, float]:
        """Where the shadow of a point one metre up falls, (u, z) metres from its foot."""
        length = min(1.0 / tan(max(self.sun_elevation, 0.12)), 5.0)
        return -sin(self.sun_bearing) * length, -cos(self.sun_bearing) * length

    def clear_share(self, depth: float) -> float:
        """Share of a surface's own light that arrives from this depth (metres)."""
        return float(np.exp(-self.haze_density * depth))


# Sun elevation (degrees): zenith, skyline, ambient multiplier, sun multiplier.
_DAY = np.array(
    [
        [-12, 9, 13, 30, 24, 29, 50, 0.15, 0.17, 0.25, 0.00, 0.00, 0.00],
        [-5, 38, 54, 104, 196, 128, 116, 0.34, 0.34, 0.43, 0.00, 0.00, 0.00],
        [2, 84, 122, 184, 252, 196, 142, 0.50, 0.49, 0.54, 0.50, 0.33, 0.18],
        [12, 84, 142, 208, 220, 224, 224, 0.58, 0.60, 0.65, 0.54, 0.47, 0.37],
        [45, 62, 124, 204, 190, 215, 236, 0.61, 0.63, 0.67, 0.52, 0.50, 0.46],
    ]
)
_OVERCAST = {Weather.CLEAR: 0.0, Weather.CLOUDY: 0.75, Weather.RAIN: 0.95, Weather.FOG: 1.0}


def light_of(conditions: Conditions) -> Light:
    """The light of a sequence."""
    elevation, azimuth = _sun(conditions.hour + 0.5, conditions.month)
    row = [float(np.interp(degrees(elevation), _DAY[:, 0], _DAY[:, k])) for k in range(1, 13)]
    zenith, skyline, ambient, sun = (np.array(row[k : k + 3]) for k in (0, 3, 6, 9))
    night = float(np.clip((0.44 - float(ambient.mean())) / 0.2, 0.0, 1.0))
    overcast, bad = _OVERCAST[conditions.weather], conditions.severity

    grey = float(ambient.mean()) * np.array([300.0, 306.0, 314.0])
    if conditions.weather is Weather.RAIN:
        grey *= 0.95 - 0.2 * bad
        ambient = ambient * (1.0 - 0.12 * bad)
    # A camera opens up under a grey sky.
    ambient = ambient * (1.16 + 0.30 * overcast)
    zenith = zenith + overcast * (0.86 * grey - zenith)
    skyline = skyline + overcast * (1.08 * grey - skyline)
    sun = sun * (1.0 - overcast) ** 1.5

    bearing = azimuth - radians(conditions.heading)
    flat = cos(elevation)
    towards = (-cos(bearing) * flat, -sin(bearing) * flat, sin(bearing) * flat, sin(elevation))
    open_sky = (0.86, 0.80, 0.80, 1.0)
    faces = tuple(
        _rgb(ambient * sky + sun * max(0.0, cosine)) for sky, cosine in zip(open_sky, towards, strict=True)
    )
    return Light(
        zenith=_rgb(zenith),
        skyline=_rgb(skyline),
        haze=_rgb(skyline * (0.97 - 0.35 * night)),
        haze_density=_haze_density(conditions),
        faces=(faces[0], faces[1], faces[2], faces[3]),
        sun_bearing=(bearing + pi) % (2 * pi) - pi,
        sun_elevation=elevation,
        sun_strength=(1.0 - overcast) * float(np.clip((degrees(elevation) + 1.0) / 8.0, 0.0, 1.0)),
        night=night,
        wet=0.55 + 0.45 * bad if conditions.weather is Weather.RAIN else 0.0,
        cloud_cover=_cloud_cover(conditions),
    )


def _haze_density(conditions: Conditions) -> float:
    bad = conditions.severity
    match conditions.weather:
        case Weather.CLEAR:
            return 1 / 900
        case Weather.CLOUDY:
            return 1 / 600
        case Weather.RAIN:
            return 1 / (260 - 160 * bad)
        case Weather.FOG:
            return 1 / (95 - 68 * bad)


def _cloud_cover(conditions: Conditions) -> float:
    match conditions.weather:
        case Weather.CLEAR:
            return 0.12 + 0.33 * conditions.cloudiness
        case Weather.CLOUDY:
            return 0.8
        case Weather.RAIN:
            return 0.9
        case Weather.FOG:
            return 0.0


def _sun(hour: float, month: int) -> tuple[float, float]:
    """Elevation and azimuth (clockwise from north) of the sun, radians."""
    declination = radians(-23.4) * cos(2 * pi * (month + 0.2) / 12)
    latitude, hour_angle = radians(CITY_LATITUDE), radians(15.0 * (hour - 12.0))
    sine = sin(latitude) * sin(declination) + cos(latitude) * cos(declination) * cos(hour_angle)
    elevation = asin(sine)
    cosine = (sin(declination) - sine * sin(latitude)) / (cos(elevation) * cos(latitude))
    azimuth = acos(min(1.0, max(-1.0, cosine)))
    return elevation, azimuth if hour_angle <= 0 else 2 * pi - azimuth


def _rgb(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Rgb:
    return float(values[0]), float(values[1]), float(values[2])
