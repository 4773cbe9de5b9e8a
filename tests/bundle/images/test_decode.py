"""Any bytes become the right pixels, or an `ImageError` with the reason."""

from __future__ import annotations

import re
import struct
import warnings
import zlib
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from bundle.images import decode as decode_module
from bundle.images.decode import DecodeLimits, decode
from bundle.images.errors import (
    EmptyImage,
    ImageError,
    NotAnImage,
    TooFewPixels,
    TooManyBytes,
    TooManyPixels,
    TruncatedImage,
    UnsupportedFormat,
)
from bundle.images.exif import exif_orientation
from bundle.images.headers import read_header

ORIENTATION_TAG = 0x0112


def picture(height: int = 40, width: int = 60) -> NDArray[np.uint8]:
    """A smooth picture without any symmetry, so that every turn of it is another picture."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack(
        [255 * rows / height, 255 * columns / width, 255 * (rows + columns) / (height + width)], axis=2
    ).astype(np.uint8)


def encoded(image: Image.Image, encoding: str, **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, encoding, **options)
    return buffer.getvalue()


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + b"".join(chunks) + png_chunk(b"IEND", b"")


JPEG = encoded(Image.fromarray(picture()), "JPEG", quality=92)
PROGRESSIVE = encoded(Image.fromarray(picture()), "JPEG", quality=92, progressive=True)
PNG = encoded(Image.fromarray(picture()), "PNG")
WEBP = encoded(Image.fromarray(picture()), "WEBP", lossless=True)
LOSSY_WEBP = encoded(Image.fromarray(picture()), "WEBP", quality=90)


class TestFormats:
    @pytest.mark.parametrize("data", [JPEG, PROGRESSIVE, LOSSY_WEBP])
    def test_lossy_formats_come_back_nearly_as_they_were(self, data: bytes) -> None:
        pixels = decode(data)
        assert pixels.shape == (40, 60, 3)
        assert pixels.dtype == np.uint8
        assert np.abs(pixels.astype(int) - picture()).mean() < 3

    @pytest.mark.parametrize("data", [PNG, WEBP])
    def test_lossless_formats_come_back_exactly(self, data: bytes) -> None:
        assert np.array_equal(decode(data), picture())

    @pytest.mark.parametrize("encoding", ["JPEG", "PNG", "WEBP"])
    def test_the_result_is_contiguous(self, encoding: str) -> None:
        assert decode(encoded(Image.fromarray(picture()), encoding)).flags.c_contiguous

    def test_the_content_decides_on_the_format(self) -> None:
        assert [read_header(data).format for data in (JPEG, PNG, WEBP)] == ["JPEG", "PNG", "WEBP"]

    @pytest.mark.parametrize("encoding", ["GIF", "BMP", "TIFF", "ICO", "PDF", "JPEG2000", "AVIF"])
    def test_other_image_formats_are_refused_by_name(self, encoding: str) -> None:
        try:
            data = encoded(Image.fromarray(picture()), encoding)
        except (OSError, KeyError):
            pytest.skip(f"this Pillow does not write {encoding}")
        with pytest.raises(UnsupportedFormat, match=encoding[:4]):
            decode(data)

    @pytest.mark.parametrize("data", [b"hello", b"<html>", b"PK\3\4" + bytes(100), bytes(64), b"\xff"])
    def test_what_is_no_image_is_refused(self, data: bytes) -> None:
        with pytest.raises(NotAnImage):
            decode(data)

    def test_no_bytes(self) -> None:
        with pytest.raises(EmptyImage, match="0 bytes"):
            decode(b"")

    def test_a_format_that_the_caller_does_not_want(self) -> None:
        with pytest.raises(UnsupportedFormat, match="PNG; accepted here: JPEG"):
            decode(PNG, DecodeLimits(formats=frozenset({"JPEG"})))


class TestModes:
    def test_grey(self) -> None:
        grey = Image.fromarray(picture()).convert("L")
        for encoding in ("JPEG", "PNG"):
            pixels = decode(encoded(grey, encoding))
            assert np.array_equal(pixels[..., 0], pixels[..., 2])

    def test_sixteen_bit_grey_keeps_the_high_byte(self) -> None:
        values = (np.arange(40 * 60, dtype=np.uint16) * 27).reshape(40, 60)
        pixels = decode(encoded(Image.fromarray(values), "PNG"))
        assert np.array_equal(pixels[..., 1], (values >> 8).astype(np.uint8))

    def test_sixteen_bit_colour_keeps_the_high_byte(self) -> None:
        row = b"\0" + 8 * struct.pack(">HHH", 0xABCD, 0x1234, 0xFF00)
        data = png(8, 8, png_chunk(b"IDAT", zlib.compress(8 * row)), depth=16, colour=2)
        assert (decode(data) == (0xAB, 0x12, 0xFF)).all()

    def test_one_bit_and_palette(self) -> None:
        black_and_white = Image.fromarray(picture()).convert("1")
        assert set(np.unique(decode(encoded(black_and_white, "PNG")))) == {0, 255}
        palette = Image.fromarray(picture()).quantize(200)
        assert np.array_equal(decode(encoded(palette, "PNG")), np.asarray(palette.convert("RGB")))

    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    @pytest.mark.parametrize("encoding", ["PNG", "WEBP"])
    def test_transparent_pixels_are_white(self, mode: str, encoding: str) -> None:
        image = Image.new(mode, (8, 8), (0,) * len(mode))
        assert (decode(encoded(image, encoding, lossless=True)) == 255).all()

    def test_half_transparent_black_is_grey(self) -> None:
        pixels = decode(encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 128)), "PNG"))
        assert (np.abs(pixels.astype(int) - 127) <= 1).all()

    def test_a_transparent_palette_entry_is_white(self) -> None:
        image = Image.new("P", (8, 8), 0)
        image.putpalette([10, 20, 30] + [0] * 765)
        assert (decode(encoded(image, "PNG", transparency=0)) == 255).all()
        assert (decode(encoded(image, "PNG", transparency=b"\0\x80")) == 255).all()

    def test_a_transparent_colour_is_white(self) -> None:
        image = Image.new("RGB", (8, 8), (10, 20, 30))
        assert (decode(encoded(image, "PNG", transparency=(10, 20, 30))) == 255).all()

    def test_cmyk(self) -> None:
        red = Image.new("RGB", (16, 16), (250, 10, 10)).convert("CMYK")
        pixels = decode(encoded(red, "JPEG", quality=95))
        assert np.abs(pixels.astype(int) - (250, 10, 10)).max() < 8

    @pytest.mark.parametrize("encoding", ["PNG", "WEBP"])
    def test_an_animation_is_refused_and_a_single_frame_is_an_image(self, encoding: str) -> None:
        frames = [Image.new("RGB", (20, 10), colour) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200))]
        data = encoded(frames[0], encoding, save_all=True, append_images=frames[1:], lossless=True)
        with pytest.raises(UnsupportedFormat, match=f"the {encoding} is an animation; send"):
            decode(data)
        single = encoded(frames[0], encoding, save_all=True, lossless=True)
        assert (decode(single) == (200, 0, 0)).all()


class TestOrientation:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("encoding", ["JPEG", "PNG", "WEBP"])
    def test_pixels_come_upright(self, orientation: int, encoding: str) -> None:
        exif = Image.Exif()
        exif[ORIENTATION_TAG] = orientation
        transpositions = {
            2: Image.Transpose.FLIP_LEFT_RIGHT,
            3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_270,
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_90,
        }
        stored = Image.fromarray(picture(40, 64))
        expected = stored if orientation == 1 else stored.transpose(transpositions[orientation])
        data = encoded(stored, encoding, exif=exif, quality=95)
        pixels = decode(data)
        assert pixels.shape == np.asarray(expected).shape
        assert np.abs(pixels.astype(int) - np.asarray(expected)).mean() < 4

    @pytest.mark.parametrize("orientation", [1, 6])
    def test_the_target_is_of_the_upright_image(self, orientation: int) -> None:
        exif = Image.Exif()
        exif[ORIENTATION_TAG] = orientation
        data = encoded(Image.fromarray(picture(400, 800)), "JPEG", exif=exif)
        target = (100, 200) if orientation == 1 else (200, 100)
        assert decode(data, target=target).shape[:2] == target

    def test_both_byte_orders(self) -> None:
        entry = (ORIENTATION_TAG, 3, 1, 6, 0)
        assert exif_orientation(b"II*\0" + struct.pack("<IHHHIHH", 8, 1, *entry)) == 6
        assert exif_orientation(b"MM\0*" + struct.pack(">IHHHIHH", 8, 1, *entry)) == 6

    @given(st.binary(max_size=200))
    def test_invalid_exif_changes_nothing(self, junk: bytes) -> None:
        assert 1 <= exif_orientation(junk) <= 8
        assert 1 <= exif_orientation(b"II*\0\x08\0\0\0" + junk) <= 8

    def test_the_first_exif_counts(self) -> None:
        def segment(orientation: int) -> bytes:
            tiff = b"II*\0" + struct.pack("<IHHHIHH", 8, 1, ORIENTATION_TAG, 3, 1, orientation, 0)
            return b"\xff\xe1" + struct.pack(">H", 8 + len(tiff)) + b"Exif\0\0" + tiff

        for first, second in ((1, 6), (6, 1), (6, 3)):
            data = JPEG[:2] + segment(first) + segment(second) + JPEG[2:]
            assert read_header(data).orientation == first

    def test_huge_and_repeated_exif_costs_nothing(self) -> None:
        segment = b"\xff\xe1\xff\xff" + b"Exif\0\0MM\0*" + bytes(0xFFFF - 2 - 10)
        data = JPEG[:2] + segment * 250 + JPEG[2:]
        assert len(read_header(data).encoded) <= len(JPEG)
        assert np.array_equal(decode(data), decode(JPEG))


class TestScale:
    @given(height=st.integers(8, 900), width=st.integers(8, 900), target=st.integers(8, 300))
    @settings(max_examples=40, deadline=None)
    def test_a_scaled_jpeg_is_never_smaller_than_the_target(
        self, height: int, width: int, target: int
    ) -> None:
        data = encoded(Image.fromarray(picture(height, width)), "JPEG")
        pixels = decode(data, target=(target, target))
        assert pixels.shape[0] >= min(target, height)
        assert pixels.shape[1] >= min(target, width)

    def test_a_large_jpeg_is_decoded_small(self) -> None:
        data = encoded(Image.fromarray(picture(1800, 2400)), "JPEG")
        assert decode(data, target=(224, 224)).shape == (225, 300, 3)

    def test_without_a_target_nothing_is_scaled(self) -> None:
        assert decode(JPEG).shape == decode(JPEG, target=(30, 50)).shape == (40, 60, 3)


class TestLimits:
    def test_bytes(self) -> None:
        with pytest.raises(TooManyBytes, match="at most 100") as caught:
            decode(JPEG, DecodeLimits(max_bytes=100))
        assert (caught.value.size, caught.value.limit) == (len(JPEG), 100)

    @pytest.mark.parametrize("data", [JPEG, PNG, WEBP, LOSSY_WEBP])
    def test_pixels(self, data: bytes) -> None:
        assert decode(data, DecodeLimits(max_pixels=40 * 60)).shape == (40, 60, 3)
        with pytest.raises(TooManyPixels, match="60 x 40 pixels; at most 2399"):
            decode(data, DecodeLimits(max_pixels=40 * 60 - 1))

    def test_a_bomb_is_refused_by_its_header(self) -> None:
        side = 13_000
        row = zlib.compressobj(9)
        body = b"".join(row.compress(bytes(side // 8 + 1)) for _ in range(side)) + row.flush()
        bomb = png(side, side, png_chunk(b"IDAT", body), depth=1, colour=0)
        assert len(bomb) < 40_000
        with pytest.raises(TooManyPixels):
            decode(bomb)

    def test_a_header_that_promises_few_pixels_binds_the_decoder(self) -> None:
        honest = read_header(WEBP)
        extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + struct.pack("<I", 8)[:3] * 2
        lying = b"RIFF" + struct.pack("<I", len(WEBP) - 8 + len(extended)) + b"WEBP" + extended + WEBP[12:]
        assert (read_header(lying).width, honest.width) == (9, 60)
        with pytest.raises(TruncatedImage):
            decode(lying)

    def test_the_decoded_size_must_be_that_of_the_header(self, monkeypatch: pytest.MonkeyPatch) -> None:
        lying = replace(read_header(PNG), width=8, height=8)
        monkeypatch.setattr(decode_module, "read_header", lambda data: lying)
        with pytest.raises(TruncatedImage, match="header says otherwise"):
            decode(PNG)

    def test_a_second_header_is_refused(self) -> None:
        small = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
        with pytest.raises(TruncatedImage, match="IHDR"):
            decode(PNG[:8] + small + PNG[8:])
        frame = JPEG.index(b"\xff\xc0")
        end = frame + 2 + int.from_bytes(JPEG[frame + 2 : frame + 4], "big")
        with pytest.raises(TruncatedImage, match="two frame headers"):
            decode(JPEG[:end] + JPEG[frame:])

    @pytest.mark.parametrize("size", [(1, 1), (7, 100), (100, 7)])
    def test_images_smaller_than_any_that_is_certified(self, size: tuple[int, int]) -> None:
        data = encoded(Image.new("RGB", size), "PNG")
        with pytest.raises(TooFewPixels, match=f"{size[0]} x {size[1]} pixels; each side must"):
            decode(data)
        assert decode(data, DecodeLimits(min_side=1)).shape == (size[1], size[0], 3)

    def test_no_pixels(self) -> None:
        with pytest.raises(EmptyImage, match="0 x 5"):
            decode(png(0, 5, png_chunk(b"IDAT", zlib.compress(b""))))

    def test_compressed_text_is_never_inflated(self) -> None:
        bomb = png_chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(50_000_000), 9))
        profile = png_chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(50_000_000), 9))
        assert np.array_equal(decode(PNG[:33] + bomb + profile + PNG[33:]), picture())

    def test_endless_segments_chunks_and_scans_are_refused(self) -> None:
        with pytest.raises(TruncatedImage, match="2048 segments"):
            decode(JPEG[:2] + b"\xff\xfe\0\2" * 100_000 + JPEG[2:])
        with pytest.raises(TruncatedImage, match="16384 chunks"):
            decode(PNG[:33] + png_chunk(b"tEXt", b"") * 100_000 + PNG[33:])
        with pytest.raises(TruncatedImage, match="damaged"):
            decode(JPEG[:2] + b"\xff" * 1_000_000 + JPEG[2:])
        scan = PROGRESSIVE.index(b"\xff\xda")
        with pytest.raises(UnsupportedFormat, match="scans"):
            decode(PROGRESSIVE[:scan] + b"\xff\xda\0\2" * 200 + PROGRESSIVE[scan:])

    def test_scans_are_counted_up_to_the_end_marker(self) -> None:
        behind = b"\xff\xda" * 500
        for data in (JPEG, PROGRESSIVE):
            assert np.array_equal(decode(data + behind), decode(data))

    @pytest.mark.parametrize("restarts", [True, False])
    def test_restart_markers_without_data_are_refused(self, restarts: bool) -> None:
        options = {"restart_marker_rows": 1} if restarts else {}
        data = encoded(Image.fromarray(picture(200, 300)), "JPEG", **options)
        scan = data.index(b"\xff\xda")
        start = scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")
        markers = b"".join(bytes([0xFF, 0xD0 + number % 8]) for number in range(8)) * 250_000
        with pytest.raises(TruncatedImage, match="no data"):
            decode(data[:start] + markers + b"\xff\xd9")
        if restarts:
            with pytest.raises(TruncatedImage, match="restart markers, at most 12 belong to 300 x 200"):
                decode(data[:-2] + markers + b"\xff\xd9")
            assert decode(data).shape == (200, 300, 3)

    def test_a_scan_without_data_is_refused(self) -> None:
        scan = JPEG.index(b"\xff\xda")
        start = scan + 2 + int.from_bytes(JPEG[scan + 2 : scan + 4], "big")
        with pytest.raises(TruncatedImage, match="first scan has no data"):
            decode(JPEG[:start] + b"\xff\xd9")

    @pytest.mark.parametrize(("process", "name"), [(3, "lossless"), (5, "hierarchical"), (9, "arithmetic")])
    def test_rare_jpegs_are_refused_by_name(self, process: int, name: str) -> None:
        frame = JPEG.index(b"\xff\xc0")
        with pytest.raises(UnsupportedFormat, match=name):
            decode(JPEG[: frame + 1] + bytes([0xC0 + process]) + JPEG[frame + 2 :])

    @pytest.mark.parametrize("field", ["max_bytes", "max_pixels", "min_side"])
    def test_invalid_limits(self, field: str) -> None:
        with pytest.raises(ValueError, match=field):
            DecodeLimits(**{field: 0})
        with pytest.raises(ValueError, match="formats"):
            DecodeLimits(formats=frozenset())


class TestDamage:
    @pytest.mark.parametrize("data", [JPEG, PROGRESSIVE, PNG, WEBP, LOSSY_WEBP])
    def test_cut_anywhere_an_image_is_refused_or_whole(self, data: bytes) -> None:
        whole = decode(data)
        for end in range(1, len(data)):
            try:
                cut = decode(data[:end])
            except ImageError:
                continue
            # Only the end marker of a JPEG may be missing, or padding: no pixel is lost with it.
            assert end >= len(data) - 3
            assert np.array_equal(cut, whole)

    @pytest.mark.parametrize("noise", [0.0, 20.0])
    @pytest.mark.parametrize("mode", ["RGB", "L"])
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"progressive": True},
            {"restart_marker_rows": 1},
            {"progressive": True, "restart_marker_rows": 1},
            {"progressive": True, "restart_marker_blocks": 2, "subsampling": 0},
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("tail", [b"", b"\xff", bytes(300)], ids=["nothing", "half a marker", "zeros"])
    def test_a_jpeg_without_its_end_marker(
        self, noise: float, mode: str, options: dict[str, object], tail: bytes
    ) -> None:
        rng = np.random.default_rng(0)
        for size in ((33, 17), (96, 120)):
            pixels = np.clip(picture(*size) + rng.normal(0.0, noise, (*size, 3)), 0, 255).astype(np.uint8)
            data = encoded(Image.fromarray(pixels).convert(mode), "JPEG", quality=90, **options)
            whole = decode(data)
            assert np.array_equal(decode(data[:-2] + tail), whole)
            assert np.array_equal(decode(data[:-2] + tail, target=(8, 8)), decode(data, target=(8, 8)))
            for cut in (*range(4, 20), 60, 200, len(data) // 3):
                with pytest.raises(TruncatedImage):
                    decode(data[: len(data) - cut] + tail)

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"progressive": True},
            {"restart_marker_blocks": 3},
            {"progressive": True, "restart_marker_blocks": 3},
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
    def test_what_follows_the_cut_does_not_make_an_image_whole(
        self, mode: str, options: dict[str, object]
    ) -> None:
        rng = np.random.default_rng(1)
        pixels = np.clip(picture(40, 56) + rng.normal(0.0, 20.0, (40, 56, 3)), 0, 255).astype(np.uint8)
        data = encoded(Image.fromarray(pixels).convert(mode), "JPEG", quality=90, **options)
        whole = decode(data)
        for behind in (b"\xff\xd9", data, b"\xff\xe1\0\x08garbage", b"\0" * 9 + b"\xff\xd9"):
            assert np.array_equal(decode(data + behind), whole)
        markers = [found.start() for found in re.finditer(rb"\xff[\xc0-\xfe]", data[:-2])][1:]
        for cut in (*markers, len(data) // 2, len(data) * 2 // 3, len(data) - 9):
            for behind in (b"", b"\xff", b"\xff\xe1\0\x08garbage", b"\xff\xfe", b"\0" * 99):
                with pytest.raises(TruncatedImage):
                    decode(data[:cut] + behind)
        # An end marker behind the cut hides it from the header, not from the scans, rows and restarts.
        for cut in (*markers, len(data) // 2 if not options.get("progressive") else markers[-1]):
            with pytest.raises(TruncatedImage):
                decode(data[:cut] + b"\xff\xd9")

    @pytest.mark.parametrize("grey", [127, 128, 129])
    def test_a_grey_corner_is_no_missing_row(self, grey: int) -> None:
        image = Image.fromarray(picture(40, 56))
        image.paste((grey, grey, grey), (32, 24, 56, 40))
        data = encoded(image, "JPEG", quality=95)
        assert decode(data).shape == (40, 56, 3)
        assert np.array_equal(decode(data[:-2]), decode(data))

    @pytest.mark.parametrize("data", [JPEG, PNG, WEBP])
    def test_cut_in_the_middle_it_is_truncated(self, data: bytes) -> None:
        with pytest.raises(TruncatedImage):
            decode(data[: len(data) // 2])

    @given(st.sampled_from([JPEG, PROGRESSIVE, PNG, WEBP, LOSSY_WEBP]), st.data())
    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_damaged_bytes_give_pixels_or_an_image_error(self, data: bytes, draw: st.DataObject) -> None:
        damaged = bytearray(data)
        for _ in range(draw.draw(st.integers(1, 6))):
            damaged[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                pixels = decode(bytes(damaged), DecodeLimits(max_pixels=1_000_000), target=(16, 16))
            except ImageError:
                return
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3

    @given(
        st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x20\0\0\0WEBP"]),
        st.binary(max_size=300),
    )
    @settings(deadline=None)
    def test_a_signature_with_anything_behind_it(self, signature: bytes, junk: bytes) -> None:
        with pytest.raises(ImageError):
            decode(signature + junk)

    def test_a_polyglot_is_what_its_first_bytes_say(self) -> None:
        archive = b"PK\3\4" + bytes(200) + b"<script>"
        assert np.array_equal(decode(JPEG + archive), decode(JPEG))
        assert np.array_equal(decode(PNG + archive), picture())
