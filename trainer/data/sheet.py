"""A contact sheet: one picture of many images with their class, group and metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bundle.images.decode import decode
from bundle.images.errors import ImageError
from calibration.scores import IntArray
from trainer.data.images import UNLABELLED, Column, ImageSource
from trainer.errors import DataError
from trainer.run.folder import write_bytes

MARGIN, GAP, CAPTION_LINES = 28, 16, 3
PAPER, INK, FAINT, FRAME = "#fbfaf7", "#22262b", "#6d7680", "#dcd9d2"
CLASS_COLOURS = ("#3b6ea5", "#d9622b", "#4d8f5b", "#8a5aa8", "#b0892c", "#3f9c9c")
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def contact_sheet(
    source: ImageSource,
    path: Path,
    *,
    rows: int = 5,
    columns: int = 8,
    seed: int = 0,
    captions: Sequence[str] | None = None,
    tile: int = 168,
) -> None:
    """Write a PNG of rows x columns images, each class equally often, from as many groups as possible.

    `captions`: metadata columns below each image; by default a few that vary. `tile`: side of an image in
    pixels. In place of an image that cannot be decoded stands its fault. Raises `DiskError`.
    """
    if rows < 1 or columns < 1:
        raise DataError(f"a contact sheet of {rows} x {columns} images is empty; both must be at least 1")
    chosen = choose_images(source, rows * columns, seed)
    shown_columns = list(captions) if captions is not None else varying_columns(source.metadata)
    if unknown := [name for name in shown_columns if name not in source.metadata]:
        raise DataError(
            f"there is no column {unknown[0]!r} to show; the columns are {', '.join(sorted(source.metadata))}"
        )
    title, body, small = (ImageFont.load_default(size) for size in (22, 14, 12))
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    captioned = [_lines(measure, source, row, shown_columns, small, tile) for row in chosen.tolist()]
    cell = tile + 30 + 16 * max(len(lines) for lines in captioned)
    rows = -(-len(chosen) // columns)
    width = 2 * MARGIN + columns * tile + (columns - 1) * GAP
    height = 2 * MARGIN + 56 + rows * cell + (rows - 1) * GAP
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN - 6), _fit(draw, source.name, title, width - 2 * MARGIN), INK, title)
    draw.text((MARGIN, MARGIN + 24), _fit(draw, _summary(source), body, width - 2 * MARGIN), FAINT, body)
    for position, row in enumerate(chosen.tolist()):
        left = MARGIN + (position % columns) * (tile + GAP)
        top = MARGIN + 56 + (position // columns) * (cell + GAP)
        _picture(page, draw, source, row, (left, top), tile, small)
        _caption(draw, source, row, captioned[position], (left, top + tile + 6), tile, (body, small))
    stream = BytesIO()
    page.save(stream, "PNG")
    write_bytes(path, stream.getvalue())


def choose_images(source: ImageSource, count: int, seed: int) -> IntArray:
    """Up to `count` rows, ascending: classes in turn, and within a class new groups before known ones."""
    rng = np.random.default_rng(seed)
    queues = []
    for label in np.unique(source.labels).tolist():
        rows = rng.permutation(np.flatnonzero(source.labels == label))
        if source.groups is not None:
            first = np.unique(source.groups[rows], return_index=True)[1]
            is_new = np.zeros(len(rows), dtype=np.bool_)
            is_new[first] = True
            rows = np.concatenate([rng.permutation(rows[is_new]), rows[~is_new]])
        queues.append(rows[:count])
    turns = [queue[turn] for turn in range(count) for queue in queues if turn < len(queue)]
    return np.sort(np.array(turns[:count], dtype=np.int64))


def varying_columns(metadata: Mapping[str, Column], most: int = 4) -> list[str]:
    """Columns for the captions: those that vary, texts with few values before numbers."""
    varied = {name: len(np.unique(column)) for name, column in metadata.items()}
    useful = [name for name, count in varied.items() if count > 1]
    useful.sort(key=lambda name: (metadata[name].dtype.kind != "U", varied[name]))
    return useful[:most]


def _summary(source: ImageSource) -> str:
    parts = [f"{len(source):,} images"]
    for index, name in enumerate(source.class_names):
        parts.append(f"{int((source.labels == index).sum()):,} {name}")
    if source.groups is not None:
        parts.append(f"{len(np.unique(source.groups)):,} groups by {source.group_column}")
    return "   ·   ".join(parts)


def _picture(
    page: Image.Image,
    draw: ImageDraw.ImageDraw,
    source: ImageSource,
    row: int,
    corner: tuple[int, int],
    tile: int,
    font: Font,
) -> None:
    left, top = corner
    draw.rounded_rectangle((left - 1, top - 1, left + tile, top + tile), 3, fill="#efede8", outline=FRAME)
    try:
        picture = Image.fromarray(decode(source.read(row), target=(tile, tile)))
    except (ImageError, DataError) as fault:
        words = _wrap(draw, f"cannot be shown: {fault}", font, tile - 16)
        draw.multiline_text((left + 8, top + 8), "\n".join(words[:8]), "#a03020", font)
        return
    scale = tile / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    shown = picture.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)
    page.paste(shown, (left + (tile - size[0]) // 2, top + (tile - size[1]) // 2))


def _lines(
    draw: ImageDraw.ImageDraw,
    source: ImageSource,
    row: int,
    shown_columns: Sequence[str],
    font: Font,
    width: int,
) -> list[str]:
    """Caption lines of an image: its group and metadata, or else its path."""
    lines = [] if source.groups is None else [f"{source.group_column} {source.groups[row]}"]
    facts = [
        f"{name.rsplit('.', 1)[-1]} {_value(source.metadata[name][row])}"
        for name in shown_columns
        if name != source.group_column
    ]
    lines += _pack(draw, facts, font, width)
    return lines[:CAPTION_LINES] or [source.paths[row]]


def _caption(
    draw: ImageDraw.ImageDraw,
    source: ImageSource,
    row: int,
    lines: Sequence[str],
    corner: tuple[int, int],
    tile: int,
    fonts: tuple[Font, Font],
) -> None:
    left, top = corner
    body, small = fonts
    label = int(source.labels[row])
    name = source.class_names[label] if label != UNLABELLED else "no label"
    colour = CLASS_COLOURS[label % len(CLASS_COLOURS)] if label != UNLABELLED else FAINT
    draw.ellipse((left, top + 4, left + 9, top + 13), fill=colour)
    draw.text((left + 15, top), _fit(draw, name, body, tile - 15), INK, body)
    for number, line in enumerate(lines):
        draw.text((left, top + 20 + 16 * number), _fit(draw, line, small, tile), FAINT, small)


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value) or "-"


def _pack(draw: ImageDraw.ImageDraw, facts: Sequence[str], font: Font, width: int) -> list[str]:
    """Facts joined to lines of at most `width` pixels, if they fit."""
    lines: list[str] = []
    for fact in facts:
        joined = f"{lines[-1]} · {fact}" if lines else fact
        if lines and draw.textlength(joined, font) <= width:
            lines[-1] = joined
        else:
            lines.append(fact)
    return lines


def _wrap(draw: ImageDraw.ImageDraw, text: str, font: Font, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if draw.textlength(joined, font) <= width:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines


def _fit(draw: ImageDraw.ImageDraw, text: str, font: Font, width: int) -> str:
    """The text, shortened in its middle to at most `width` pixels."""
    kept = len(text)
    shown = text
    while draw.textlength(shown, font) > width and kept > 2:
        kept -= 1
        shown = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
    return shown
