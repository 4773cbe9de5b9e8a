"""JPEG to tensor: the serving path beside plain Pillow, by the size of the photograph.

    python benchmarks/decode.py [--runs 7] [--record [FOLDER]] [--out DIR]

CPU milliseconds of one image on one thread, interleaved; medians with the smallest and largest run.
Pictures are synthetic and have the bytes of photographs (see harness/photographs.py). Bytes are stated,
because at an eighth of the scale decoding is little more than reading them. Targets: 12 megapixels to a
tensor in 18 ms, normalising in .15 ms.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from time import process_time

import numpy as np
from harness.figures import markdown, shown
from harness.models import SPEC
from harness.photographs import photograph
from harness.record import Claim, Recording, add_record_option
from harness.venvs import CACHE
from PIL import Image

from bundle.images.decode import decode
from bundle.images.preprocess import decode_target, normalise, preprocess
from demur.profile.figures import Repeated

PICTURES = {
    "1280 x 720": (720, 1280, 90),
    "1920 x 1080": (1080, 1920, 90),
    "4000 x 3000, quality 80": (3000, 4000, 80),
    "4000 x 3000, quality 90": (3000, 4000, 90),
    "4000 x 3000, quality 95": (3000, 4000, 95),
}
MOST_MS = 18.0
"""Target for a picture of 12 megapixels."""
_MEAN, _STD = (np.array(values, dtype=np.float32) for values in (SPEC.mean, SPEC.std))


def served(encoded: bytes) -> np.ndarray:
    """The path of the service and the trainer."""
    return preprocess(decode(encoded, target=decode_target([SPEC])), SPEC)


def plain(encoded: bytes) -> np.ndarray:
    """The path of most examples: decode whole, resize, divide, subtract, divide, transpose."""
    image = Image.open(BytesIO(encoded)).convert("RGB").resize(SPEC.size[::-1], Image.Resampling.BILINEAR)
    pixels = np.asarray(image, dtype=np.float32) / 255.0
    return np.ascontiguousarray(((pixels - _MEAN) / _STD).transpose(2, 0, 1))


def plain_normalise(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(((pixels.astype(np.float32) / 255.0 - _MEAN) / _STD).transpose(2, 0, 1))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--out", type=Path, default=CACHE / "decode")
    add_record_option(parser)
    given = parser.parse_args(arguments)
    recording = Recording.begin(given.record)
    rows = []
    claims = []
    for name, (height, width, quality) in PICTURES.items():
        encoded = photograph(height, width, quality=quality)
        ours, theirs = _compare(
            lambda image=encoded: served(image), lambda image=encoded: plain(image), given.runs, 4
        )
        rows.append([name, f"{len(encoded) / 1e6:.2f}", *_cells(ours, theirs)])
        if height * width >= 12_000_000:
            claims.append(
                Claim(
                    f"{name} ({len(encoded) / 1e6:.2f} MB) to a tensor",
                    f"{shown(ours)} ms, {theirs.median / ours.median:.1f} times faster than plain Pillow",
                    f"at most {MOST_MS:g} ms",
                    ours.median <= MOST_MS,
                )
            )
    pixels = np.random.default_rng(0).integers(0, 256, (*SPEC.size, 3), dtype=np.uint8)
    ours, theirs = _compare(lambda: normalise(pixels, SPEC), lambda: plain_normalise(pixels), given.runs, 200)
    rows.append(["normalising alone, 224 x 224", "-", *_cells(ours, theirs)])
    table = markdown(["picture", "MB", "demur, ms", "plain Pillow, ms", "times faster"], rows)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "decode.md").write_text(table)
    print(table)
    recording.save(
        "decode",
        "serving",
        "From JPEG to tensor",
        about="CPU milliseconds of one image on one thread, from the file's bytes to 224 x 224; "
        f"interleaved, medians and ranges over {given.runs} runs. At an eighth of the scale nothing is "
        "left of decoding but to read the bytes, about 10 ms per megabyte, so the time of a 12 megapixel "
        "picture goes by its weight: about 1.5 MB is an ordinary photograph at quality 80.",
        claims=claims,
        detail=table,
        raw=table,
    )


def _compare(
    ours: Callable[[], object], theirs: Callable[[], object], runs: int, times: int
) -> tuple[Repeated, Repeated]:
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for work, into in zip((ours, theirs), found, strict=True):
            began = process_time()
            for _ in range(times):
                work()
            into.append(1e3 * (process_time() - began) / times)
    return Repeated.of(found[0]), Repeated.of(found[1])


def _cells(ours: Repeated, theirs: Repeated) -> tuple[str, str, str]:
    return shown(ours), shown(theirs), f"{theirs.median / ours.median:.1f}"


if __name__ == "__main__":
    main()
