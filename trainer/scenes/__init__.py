"""Synthetic street scenes: roadwork against everything that merely looks like it.

Every sequence comes from its own seed, so the images do not depend on how many processes draw them.
"""

from trainer.scenes.generate import iter_frames, render
from trainer.scenes.options import CLASS_NAMES, Frame, SceneOptions
from trainer.scenes.sequence import render_sequence
from trainer.scenes.sites import ROADWORK_NAMES

__all__ = [
    "CLASS_NAMES",
    "ROADWORK_NAMES",
    "Frame",
    "SceneOptions",
    "iter_frames",
    "render",
    "render_sequence",
]
