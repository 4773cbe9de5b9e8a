"""Draw docs/images/scenes.jpg: the built-in street scenes at difficulty 0, 0.5 and 1, roadwork on the right.

python docs/images/scenes.py
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from trainer.scenes.generate import iter_frames
from trainer.scenes.options import SceneOptions

OUT = Path(__file__).with_suffix(".jpg")
DIFFICULTIES = (0.0, 0.5, 1.0)
SIDE, GAP, MARGIN = 168, 4, 96
OF_A_CLASS = 3


def scenes(difficulty: float) -> list[Image.Image]:
    """The first few scenes of each class, those without roadwork first."""
    found: dict[int, list[Image.Image]] = {0: [], 1: []}
    for frame in iter_frames(SceneOptions(sequences=1_000, seed=3, difficulty=difficulty, size=224)):
        if len(found[frame.label]) < OF_A_CLASS:
            found[frame.label].append(Image.open(io.BytesIO(frame.jpeg)).resize((SIDE, SIDE)))
        if all(len(images) == OF_A_CLASS for images in found.values()):
            break
    return found[0] + found[1]


def main() -> None:
    step = SIDE + GAP
    width, height = MARGIN + 2 * OF_A_CLASS * step + 4 * GAP, 24 + len(DIFFICULTIES) * step
    page = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for label, name in enumerate(("no roadwork", "roadwork")):
        pen.text((MARGIN + label * (OF_A_CLASS * step + 4 * GAP), 4), name, "black", font)
    for row, difficulty in enumerate(DIFFICULTIES):
        top = 24 + row * step
        pen.text((4, top + SIDE // 2 - 16), f"difficulty\n{difficulty:g}", "black", font)
        for column, image in enumerate(scenes(difficulty)):
            page.paste(image, (MARGIN + column * step + (4 * GAP if column >= OF_A_CLASS else 0), top))
    page.save(OUT, quality=82, optimize=True)


if __name__ == "__main__":
    main()
