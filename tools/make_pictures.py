#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the test pictures and writes the results of Pillow, torchvision and transformers for them.

    make_pictures.py [--fonts DIR] [--expect-only]      needs pillow < 13, numpy, torchvision, transformers 5.17

Draws tests/data/pictures/* and tests/data/broken/* (fonts of Debian's fonts-dejavu-core, fonts-liberation, fonts-sil-gentium and fonts-cabin
under DIR, /usr/share/fonts by default), then writes four lists; --expect-only keeps the pictures and writes the lists anew.

tests/data/pictures/expected.json: `versions`, `normalisation` (profile -> image_mean, image_std, shortest_edge, longest_edge), `pictures`:
    file, format, mode     name; format and mode as Pillow names them
    width, height          after the EXIF rotation
    rgb                    {crc32, sum} of the 8-bit RGB bytes, row by row
    mini, published        after transformers' processor (torchvision backend) with that profile: width and height of the resized picture, its
                           crc32 and sum (8-bit RGB bytes again), grid [1, height/14, width/14], image_tokens, and of the fp32 pixel_values
                           pixel_sum and pixel_sum_sq (added up in double)
    text                   the text on it, if there is text to read
    note                   what is special about it
tests/data/pictures/resize.json: `cases` of [width, height, new width, new height, crc32 torchvision, sum torchvision, crc32 Pillow, sum Pillow]
    on noise that needs no file: byte n of the picture (row by row, RGB) is x_(n+1) >> 24 of the generator x_(n+1) = 1664525·x_n + 1013904223
    mod 2^32, started at x_0 = 65536·height + width. "torchvision" is its uint8 CPU resize (bicubic, antialias), "Pillow" that of Pillow < 13.
tests/data/pictures/smart_resize.json: `cases` of [width, height, shortest_edge, longest_edge, new width, new height], both 0 where the ratio is refused
tests/data/broken/expected.json: `files` of {file, kind, pillow}: pictures that must fail, why, and the type of Pillow's error (null: Pillow accepts it)

Decoding follows Pillow's convert("RGB") after exif_transpose, with two deliberate departures (see `load_rgb`).
"""

from __future__ import annotations

import argparse
import io
import json
import random
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "tests/data/pictures"
BROKEN = ROOT / "tests/data/broken"

# --- reading ----------------------------------------------------------------------------------------------------------------------------


def load_rgb(source: Path | io.BytesIO) -> np.ndarray:
    """The picture as 8-bit RGB [height, width, 3]: EXIF rotation, then Pillow's convert("RGB"), which drops alpha. Two departures:
    16-bit grey takes the high byte (Pillow clips everything above 255 to white), and where the colour is the same all over, so that only
    alpha draws something, the picture is composed on white: (c·a + 255·(255 − a) + 127) div 255.
    """
    with Image.open(source) as opened:
        picture = ImageOps.exif_transpose(opened)
    if picture.mode.startswith("I"):
        return np.repeat((np.asarray(picture).astype(np.int64) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    rgb = np.asarray(picture.convert("RGB"))
    if picture.has_transparency_data:
        rgba = np.asarray(picture.convert("RGBA")).astype(np.int64)
        alpha = rgba[..., 3:]
        if (alpha < 255).any() and (rgba[..., :3] == rgba[0, 0, :3]).all():
            return ((rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return rgb


def digest(values: np.ndarray) -> dict[str, int]:
    return {"crc32": zlib.crc32(np.ascontiguousarray(values).tobytes()), "sum": int(values.sum(dtype=np.int64))}


# --- drawing ----------------------------------------------------------------------------------------------------------------------------

PAGE = """Notes on reading machines
A page of print is a picture before it is a text. The machine
cuts it into small squares, looks at all of them at once, and
then writes down, letter by letter, what it believes to see.
It is not told where a line begins or how wide the margin is.
1. Clean paper and a good scan matter more than a large model.
2. Small letters are hard: below 10 pixels an e becomes a c.
3. Numbers have no context. 1,482.07 is as likely as 1,432.01.
On 14 March 2023 we read 48 pages (12,640 words) in 37 seconds,
with 31 errors; the worst page had 7 of them, most had none."""
PARAGRAPH = """The quick brown fox jumps over
the lazy dog. "Why?" asked she;
nobody knew (not even 3 of 10)."""
ACCENTS = """Grüße aus Köln: größer, schöner.
Où est passé l'élève français ?
El niño comió mañana; ¡qué día!"""
INVOICE = """Invoice No. 20417-B
Date: 2024-02-29
Paper, 500 sheets   12.50
Ink, black   38.90
Total   EUR 51.40"""


LARGE_PRINT = """This page has as many
squares as the model
takes: 24,576 of them."""


class Fonts:
    """Fonts by file name, anywhere under `folder`."""

    def __init__(self, folder: Path) -> None:
        self.paths = {path.name: path for path in sorted(folder.rglob("*.[to]tf"))}

    def get(self, name: str, size: int) -> ImageFont.FreeTypeFont:
        if name not in self.paths:
            raise SystemExit(f"font {name} not found; see --fonts")
        return ImageFont.truetype(str(self.paths[name]), size, layout_engine=ImageFont.Layout.BASIC)


def printed(
    fonts: Fonts, text: str, size: tuple[int, int], font: str, height: int, *, ink: int = 20, paper: int = 250, at: tuple[int, int] = (10, 8)
) -> Image.Image:
    picture = Image.new("L", size, paper)
    ImageDraw.Draw(picture).multiline_text(at, text, fill=ink, font=fonts.get(font, height), spacing=max(2, height // 5))
    return picture


def page_with_title(fonts: Fonts, size: tuple[int, int], margin: int) -> Image.Image:
    title, body = PAGE.split("\n", 1)
    picture = printed(fonts, body, size, "Gentium-R.ttf", 30, at=(margin, 110))
    ImageDraw.Draw(picture).text((margin, 36), title, fill=20, font=fonts.get("Cabin-Bold.otf", 38))
    return picture


def large_print(fonts: Fonts) -> Image.Image:
    """As large as the published limit allows without a resize (one bit per pixel, to stay small)."""
    return printed(fonts, LARGE_PRINT, (2688, 1792), "LiberationSerif-Regular.ttf", 240, ink=0, paper=255, at=(200, 300)).point(
        lambda grey: 255 * (grey > 127), "1"
    )


def ruled_table(fonts: Fonts, rows: list[list[str]], size: tuple[int, int], cell: tuple[int, int]) -> Image.Image:
    picture = Image.new("L", size, 255)
    draw, font = ImageDraw.Draw(picture), fonts.get("LiberationSans-Regular.ttf", 22)
    for y, row in enumerate(rows):
        for x, text in enumerate(row):
            left, top = 12 + x * cell[0], 12 + y * cell[1]
            draw.rectangle((left, top, left + cell[0], top + cell[1]), outline=0)
            draw.text((left + 10, top + cell[1] // 2), text, fill=10, font=font, anchor="lm")
    return picture


def scene(width: int, height: int, seed: int = 1) -> np.ndarray:
    """A coloured picture with gradients, edges and a little noise, in integers only: [height, width, 3]."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([x * 255 // max(1, width - 1), y * 255 // max(1, height - 1), (x + y) * 255 // max(1, width + height - 2)], axis=-1)
    picture[(x // 8 + y // 8) % 5 == 0] = (230, 30, 60)
    disc = (x - width // 3) ** 2 + (y - height // 2) ** 2 < (min(width, height) // 3) ** 2
    picture[disc] = 255 - picture[disc]
    return np.clip(picture + lcg_bytes(seed, picture.size).reshape(picture.shape) % 16 - 8, 0, 255).astype(np.uint8)


def lcg_bytes(seed: int, count: int) -> np.ndarray:
    """The high bytes of the generator described above. Doubling: x_1..x_k give x_(k+1)..x_2k by one multiplication and one addition."""
    states = np.zeros(count, np.uint32)
    if count:
        states[0] = (seed * 1664525 + 1013904223) & 0xFFFFFFFF
    known, factor, offset = 1, 1664525, 1013904223
    while known < count:
        fresh = min(known, count - known)
        states[known : known + fresh] = states[:fresh] * np.uint32(factor) + np.uint32(offset)
        known += fresh
        factor, offset = factor * factor & 0xFFFFFFFF, (offset * factor + offset) & 0xFFFFFFFF
    return (states >> np.uint32(24)).astype(np.uint8)


def noise(width: int, height: int) -> np.ndarray:
    return lcg_bytes(65536 * height + width, width * height * 3).reshape(height, width, 3)


# --- writers of what Pillow cannot write ------------------------------------------------------------------------------------------------

ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]  # x, y, step x, step y
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bytes(samples: np.ndarray, color_type: int, *, interlaced: bool = False, extra: bytes = b"") -> bytes:
    """A PNG of 8- or 16-bit samples [height, width, channels], filter 0."""
    height, width = samples.shape[:2]
    big_endian = samples.astype(samples.dtype.newbyteorder(">"))
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    rows = [b"\0" + row.tobytes() for x, y, step_x, step_y in passes for row in big_endian[y::step_y, x::step_x] if row.size]
    header = struct.pack(">IIBBBBB", width, height, samples.itemsize * 8, color_type, 0, 0, int(interlaced))
    return PNG_MAGIC + png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(b"".join(rows), 9)) + png_chunk(b"IEND", b"")


def tiff_bytes(samples: np.ndarray, photometric: int, *, big_endian: bool = False) -> bytes:
    """An uncompressed TIFF of one strip: [height, width] grey or [height, width, channels], 8 or 16 bits."""
    order = ">" if big_endian else "<"
    height, width = samples.shape[:2]
    channels = samples.shape[2] if samples.ndim == 3 else 1
    data = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    bits = struct.pack(f"{order}{channels}H", *[samples.itemsize * 8] * channels)
    tags = [(256, 3, [width]), (257, 3, [height]), (258, 3, bits), (259, 3, [1]), (262, 3, [photometric]), (273, 4, [8]), (277, 3, [channels]), (278, 3, [height]), (279, 4, [len(data)])]  # fmt: skip
    bits_at = 8 + len(data)
    directory = struct.pack(f"{order}H", len(tags))
    for tag, kind, value in tags:
        if isinstance(value, bytes):
            field = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(f"{order}I", bits_at)
            directory += struct.pack(f"{order}HHI", tag, kind, channels) + field
        else:
            directory += struct.pack(f"{order}HHI", tag, kind, 1) + struct.pack(f"{order}{'H' if kind == 3 else 'I'}", *value).ljust(4, b"\0")
    header = (b"MM" if big_endian else b"II") + struct.pack(f"{order}HI", 42, bits_at + len(bits))
    return header + data + bits + directory + struct.pack(f"{order}I", 0)


def encoded(picture: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format_name, **options)
    return buffer.getvalue()


def exif_with_orientation(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


# --- the corpus -------------------------------------------------------------------------------------------------------------------------


def text_pictures(fonts: Fonts) -> dict[str, tuple[bytes, str]]:
    """Pictures to be read: file name -> bytes and the text on them."""
    serif, sans, mono = "Gentium-R.ttf", "Cabin-Regular.otf", "DejaVuSansMono.ttf"
    rows = [["Item", "Qty", "Price"], ["Paper", "12", "4.50"], ["Pens", "30", "17.25"], ["Total", "42", "21.75"]]
    html = "<table>" + "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows) + "</table>"
    png: Callable[[Image.Image], bytes] = lambda picture: encoded(picture, "PNG", optimize=True)  # noqa: E731
    degraded = printed(fonts, PARAGRAPH, (448, 140), "LiberationSerif-Regular.ttf", 26, ink=50, paper=225)
    degraded = degraded.filter(ImageFilter.GaussianBlur(0.7)).rotate(-0.7, Image.Resampling.BICUBIC, fillcolor=225)
    colored = ImageOps.colorize(printed(fonts, ACCENTS, (448, 140), "DejaVuSans.ttf", 24, ink=0, paper=255), (20, 40, 110), (250, 244, 225))
    return {
        "word_56x56.png": (png(printed(fonts, "ok", (56, 56), "LiberationSans-Regular.ttf", 28, at=(10, 8))), "ok"),
        "word_112x56.png": (png(printed(fonts, "page 7", (112, 56), serif, 28, at=(10, 8))), "page 7"),
        "line_308x84.png": (png(printed(fonts, "Reading is seeing.", (308, 84), sans, 32, at=(14, 18))), "Reading is seeing."),
        "line_300x40.png": (
            png(printed(fonts, "exactly 28 pixels high", (300, 40), "LiberationSans-Regular.ttf", 24, at=(8, 4))),
            "exactly 28 pixels high",
        ),
        "paragraph_448x140.png": (png(printed(fonts, PARAGRAPH, (448, 140), serif, 28)), PARAGRAPH),
        "accents_448x140.png": (encoded(colored, "PNG", optimize=True), ACCENTS),
        "invoice_401x237.png": (png(printed(fonts, INVOICE, (401, 237), mono, 22)), INVOICE),
        "dark_448x140.png": (png(printed(fonts, PARAGRAPH, (448, 140), sans, 27, ink=235, paper=25)), PARAGRAPH),
        "degraded_448x140.jpg": (encoded(degraded, "JPEG", quality=55), PARAGRAPH),
        "page_900x700.png": (png(page_with_title(fonts, (900, 700), 50)), PAGE),
        "table_448x224.png": (png(ruled_table(fonts, rows, (448, 224), (140, 48))), html),
        "limit_2688x1792.png": (png(large_print(fonts)), LARGE_PRINT),
        "blank_112x112.png": (png(Image.new("L", (112, 112), 252)), ""),
    }


def format_pictures() -> dict[str, tuple[bytes, str]]:
    """One picture for each way in which a file can store one: file name -> bytes and what is special about it."""
    rgb = scene(75, 50)
    color = Image.fromarray(rgb)
    grey = color.convert("L")
    ramp16 = (np.arange(75 * 50, dtype=np.uint32).reshape(50, 75) * 65535 // (75 * 50 - 1)).astype(np.uint16)
    rgb16 = rgb.astype(np.uint16) * 257 ^ ramp16[..., None] & 0xFF
    alpha = np.tile(np.linspace(0, 255, 75).astype(np.uint8), (50, 1))
    rgba = Image.fromarray(np.dstack([rgb, alpha]))
    letter = Image.new("L", (75, 50), 0)
    ImageDraw.Draw(letter).ellipse((12, 8, 60, 40), outline=255, width=6)
    only_alpha = Image.merge("RGBA", [Image.new("L", (75, 50), 0)] * 3 + [letter.filter(ImageFilter.GaussianBlur(1))])
    palette = color.quantize(23)
    transparent_palette = png_bytes(
        np.asarray(palette)[..., None], 3, extra=png_chunk(b"PLTE", bytes(palette.getpalette()[:69])) + png_chunk(b"tRNS", bytes(range(0, 230, 10)))
    )
    second_frame = Image.fromarray(255 - rgb)
    cmyk = Image.fromarray(np.dstack([rgb, np.roll(rgb[..., 0], 9, axis=0)]), "CMYK")
    files = {
        "grey.png": (encoded(grey, "PNG"), ""),
        "grey_alpha.png": (encoded(Image.merge("LA", [grey, Image.fromarray(alpha)]), "PNG"), "alpha is dropped"),
        "rgb_alpha.png": (encoded(rgba, "PNG"), "alpha is dropped"),
        "only_alpha.png": (encoded(only_alpha, "PNG"), "colour constant: composed on white"),
        "palette.png": (encoded(palette, "PNG"), ""),
        "palette_4_colors.png": (encoded(color.quantize(4), "PNG", bits=2), "2 bits a pixel"),
        "palette_transparent.png": (transparent_palette, "tRNS is dropped"),
        "bilevel.png": (encoded(grey.convert("1"), "PNG"), "1 bit a pixel"),
        "grey_16.png": (png_bytes(ramp16[..., None], 0), "16-bit grey: the high byte, not Pillow's clipping"),
        "grey_alpha_16.png": (png_bytes(np.dstack([ramp16, ramp16.T.reshape(50, 75)]), 4), "the high byte, alpha dropped"),
        "rgb_16.png": (png_bytes(rgb16, 2), "the high byte"),
        "rgb_alpha_16.png": (png_bytes(np.dstack([rgb16, ramp16]), 6), "the high byte, alpha dropped"),
        "interlaced.png": (png_bytes(scene(61, 43), 2, interlaced=True), "Adam7"),
        "interlaced_16.png": (png_bytes(rgb16[:21, :19], 6 if rgb16.shape[2] == 4 else 2, interlaced=True), "Adam7, 16 bits"),
        "rgb_transparent_color.png": (png_bytes(rgb, 2, extra=png_chunk(b"tRNS", struct.pack(">HHH", *map(int, rgb[0, 0])))), "tRNS is dropped"),
        "orientation_6.png": (encoded(Image.fromarray(scene(40, 30)), "PNG", exif=exif_with_orientation(6)), "EXIF turn in a PNG"),
        "444.jpg": (encoded(color, "JPEG", quality=85, subsampling=0), ""),
        "422.jpg": (encoded(color, "JPEG", quality=85, subsampling=1), "fancy upsampling"),
        "420.jpg": (encoded(color, "JPEG", quality=85, subsampling=2), "fancy upsampling, odd blocks"),
        "progressive.jpg": (encoded(Image.fromarray(scene(91, 67)), "JPEG", quality=70, progressive=True), ""),
        "grey.jpg": (encoded(grey, "JPEG", quality=80), ""),
        "cmyk.jpg": (encoded(cmyk, "JPEG", quality=85), "Adobe's inverted CMYK"),
        "jpeg_inside.png": (encoded(color, "JPEG", quality=60), "the name lies; the content counts"),
        "lossy.webp": (encoded(color, "WEBP", quality=70), ""),
        "lossless.webp": (encoded(color, "WEBP", lossless=True), ""),
        "alpha.webp": (encoded(rgba, "WEBP", quality=80, exact=True), "alpha is dropped"),
        "orientation_8.webp": (encoded(Image.fromarray(scene(40, 30)), "WEBP", lossless=True, exif=exif_with_orientation(8)), "EXIF turn in a WebP"),
        "lzw.tiff": (encoded(color, "TIFF", compression="tiff_lzw"), ""),
        "deflate.tiff": (encoded(grey, "TIFF", compression="tiff_adobe_deflate"), ""),
        "bilevel_group4.tiff": (encoded(grey.convert("1"), "TIFF", compression="group4"), "fax"),
        "palette.tiff": (encoded(palette, "TIFF", compression="packbits"), ""),
        "cmyk.tiff": (encoded(cmyk, "TIFF", compression="tiff_lzw"), ""),
        "grey_16.tiff": (tiff_bytes(ramp16, 1), "16-bit grey: the high byte"),
        "grey_16_big_endian.tiff": (tiff_bytes(ramp16, 1, big_endian=True), "16-bit grey: the high byte"),
        "rgb_16.tiff": (tiff_bytes(rgb16, 2), "the high byte"),
        "white_is_zero.tiff": (tiff_bytes(np.asarray(grey), 0), "0 is white"),
        "orientation_3.tiff": (encoded(Image.fromarray(scene(40, 30)), "TIFF", compression="tiff_lzw", tiffinfo={0x0112: 3}), "orientation tag"),
        "two_frames.gif": (encoded(color.quantize(32), "GIF", save_all=True, append_images=[second_frame.quantize(32)]), "the first frame"),
        "transparent.gif": (encoded(palette, "GIF", transparency=5, interlace=1), "the transparent colour is shown"),
        "rgb.bmp": (encoded(Image.fromarray(rgb[:30, :41]), "BMP"), "rows padded to 4 bytes"),
        "palette.bmp": (encoded(Image.fromarray(rgb[:30, :41]).quantize(16), "BMP"), ""),
        "bilevel.bmp": (encoded(grey.crop((0, 0, 41, 30)).convert("1"), "BMP"), ""),
        "bilevel.pbm": (encoded(grey.crop((0, 0, 41, 30)).convert("1"), "PPM"), "P4: 1 is black"),
        "grey.pgm": (encoded(grey.crop((0, 0, 41, 30)), "PPM"), "P5"),
        "rgb.ppm": (encoded(Image.fromarray(rgb[:30, :41]), "PPM"), "P6"),
        "ascii.ppm": (b"P3\n# a comment\n3 2 # another\n255\n255 0 0  0 255 0\n0 0 255 1 2 3   254 253 252\t9 8 7\n", "P3, comments"),
        "grey_16.pgm": (b"P5 41 30 65535\n" + ramp16[:30, :41].astype(">u2").tobytes(), "16-bit grey: the high byte"),
    }  # fmt: skip
    turned = Image.fromarray(scene(40, 30, seed=2))
    for orientation in range(1, 9):
        files[f"orientation_{orientation}.jpg"] = (
            encoded(turned, "JPEG", quality=75, exif=exif_with_orientation(orientation)),
            f"EXIF orientation {orientation}",
        )
    return files


def broken_files(pictures: dict[str, bytes]) -> dict[str, tuple[bytes, str]]:
    def cut(name: str, share: float = 0.6) -> bytes:
        return pictures[name][: int(len(pictures[name]) * share)]

    png = pictures["rgb_16.png"]
    data_at = png.index(b"IDAT") + 4
    header_16 = lambda width, height: struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # noqa: E731
    empty_data = png_chunk(b"IDAT", zlib.compress(b"")) + png_chunk(b"IEND", b"")
    bmp = bytearray(pictures["rgb.bmp"])
    bmp[18:26] = struct.pack("<ii", 0x7FFFFFFF, 0x7FFFFFFF)
    tiff = bytearray(pictures["grey_16.tiff"])
    tiff[4:8] = struct.pack("<I", 0x7FFFFFF0)
    zero_jpeg = bytearray(pictures["444.jpg"])
    frame_at = zero_jpeg.index(b"\xff\xc0")
    zero_jpeg[frame_at + 5 : frame_at + 9] = bytes(4)
    return {
        "truncated.png": (cut("rgb_16.png"), "truncated"),
        "truncated.jpg": (cut("444.jpg"), "truncated"),
        "truncated_progressive.jpg": (cut("progressive.jpg"), "truncated"),
        "truncated.webp": (cut("lossy.webp"), "truncated"),
        "truncated_lossless.webp": (cut("lossless.webp"), "truncated"),
        "truncated.tiff": (cut("lzw.tiff"), "truncated"),
        "truncated_uncompressed.tiff": (cut("grey_16.tiff"), "truncated"),
        "truncated.gif": (cut("two_frames.gif", 0.3), "truncated"),
        "truncated.bmp": (cut("rgb.bmp"), "truncated"),
        "truncated.ppm": (cut("rgb.ppm"), "truncated"),
        "truncated_ascii.ppm": (cut("ascii.ppm"), "truncated"),
        "header_only.png": (PNG_MAGIC, "truncated"),
        "header_only.jpg": (b"\xff\xd8\xff\xe0", "truncated"),
        "header_only.gif": (b"GIF89a", "truncated"),
        "header_only.webp": (b"RIFF\x24\0\0\0WEBP", "truncated"),
        "empty.png": (b"", "empty"),
        "wrong_magic.png": (b"\x89PNX" + png[4:], "unknown format"),
        "text.png": (b"This is not a picture.\n", "unknown format"),
        "zeros.jpg": (bytes(256), "unknown format"),
        "corrupt_data.png": (png[:data_at] + b"\xff" * 40 + png[data_at + 40 :], "corrupt"),
        "no_palette.png": (png_bytes(np.zeros((4, 4, 1), np.uint8), 3), "corrupt"),
        "no_data.png": (PNG_MAGIC + png_chunk(b"IHDR", header_16(8, 8)) + png_chunk(b"IEND", b""), "corrupt"),
        "zero_width.png": (PNG_MAGIC + png_chunk(b"IHDR", header_16(0, 8)) + empty_data, "corrupt"),
        "zero_size.jpg": (bytes(zero_jpeg), "corrupt"),
        "huge.png": (PNG_MAGIC + png_chunk(b"IHDR", header_16(60000, 60000)) + empty_data, "too large"),
        "huge.bmp": (bytes(bmp), "too large"),
        "huge.ppm": (b"P6 99999999999 99999999999 255\n\0\0\0", "too large"),
        "bad_number.ppm": (b"P6 12x 10 255\n" + bytes(360), "corrupt"),
        "zero_maxval.pgm": (b"P5 4 4 0\n" + bytes(16), "corrupt"),
        "directory_outside.tiff": (bytes(tiff), "corrupt"),
        "too_narrow.png": (encoded(Image.new("L", (5628, 28), 200), "PNG"), "ratio"),
    }


# --- expectations -----------------------------------------------------------------------------------------------------------------------

PUBLISHED = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711], "size": {"shortest_edge": 12544, "longest_edge": 9633792}}  # fmt: skip
MINI = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"shortest_edge": 12544, "longest_edge": 1806336}}
PROFILES = {"mini": MINI, "published": PUBLISHED}


def unpatch(patches: np.ndarray, grid: list[int]) -> np.ndarray:
    """The picture [height, width, 3] whose patches these are: blocks of 2 × 2, in each (channel, frame, y, x)."""
    _, grid_height, grid_width = grid
    blocks = patches.reshape(grid_height // 2, grid_width // 2, 2, 2, 3, 2, 14, 14)[:, :, :, :, :, 0]
    return blocks.transpose(0, 2, 5, 1, 3, 6, 4).reshape(grid_height * 14, grid_width * 14, 3)


def processed(rgb: np.ndarray, profile: dict) -> dict:
    from transformers.models.glm46v.image_processing_glm46v import Glm46VImageProcessor

    processor = Glm46VImageProcessor(**profile)
    bytes_only = processor(Image.fromarray(rgb), do_rescale=False, do_normalize=False, return_tensors="pt")
    pixels = processor(Image.fromarray(rgb), return_tensors="pt").pixel_values.numpy()
    grid = bytes_only.image_grid_thw[0].tolist()
    resized = unpatch(bytes_only.pixel_values.numpy(), grid).astype(np.uint8)
    double = pixels.astype(np.float64)
    return {
        "width": grid[2] * 14,
        "height": grid[1] * 14,
        **digest(resized),
        "grid": grid,
        "image_tokens": grid[1] * grid[2] // 4,
        "pixel_sum": float(double.sum()),
        "pixel_sum_sq": float((double**2).sum()),
    }


def expected_picture(path: Path, text: str | None, note: str) -> dict:
    with Image.open(path) as opened:
        format_name, mode = opened.format, opened.mode
    rgb = load_rgb(path)
    entry = {"file": path.name, "format": format_name, "mode": mode, "width": rgb.shape[1], "height": rgb.shape[0], "rgb": digest(rgb)}
    entry |= {name: processed(rgb, profile) for name, profile in PROFILES.items()}
    return entry | ({"text": text} if text is not None else {}) | ({"note": note} if note else {})


def keys_kernel(t: np.ndarray) -> np.ndarray:
    t = np.abs(t)
    return np.where(t < 1, 1.5 * t**3 - 2.5 * t**2 + 1, np.where(t < 2, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2, 0.0))


def resize_axis(rows: np.ndarray, size: int, int16_weights: bool) -> np.ndarray:
    """Antialiased bicubic along axis 0 in the integers that Pillow (22 bits) and torchvision (weights in int16) use."""
    old = rows.shape[0]
    if old == size:
        return rows
    scale = old / size
    filter_scale = max(scale, 1.0)
    windows = []
    for index in range(size):
        center = (index + 0.5) * scale
        first = max(0, int(center - 2 * filter_scale + 0.5))
        last = min(old, int(center + 2 * filter_scale + 0.5))
        weights = keys_kernel((np.arange(first, last) - center + 0.5) * (1 / filter_scale))
        windows.append((first, last, weights / weights.sum()))
    bits = 22
    if int16_weights:
        largest = max(weights.max() for _, _, weights in windows)
        bits = 0
        while bits < 22 and int(0.5 + largest * 2 ** (bits + 1)) < 1 << 15:
            bits += 1
    out = np.empty((size, *rows.shape[1:]), np.uint8)
    for index, (first, last, weights) in enumerate(windows):
        integers = np.trunc(weights * 2**bits + np.copysign(0.5, weights)).astype(np.int64)
        total = (1 << (bits - 1)) + np.tensordot(integers, rows[first:last].astype(np.int64), axes=1)
        out[index] = np.clip(total >> bits, 0, 255)
    return out


def resize_by_definition(picture: np.ndarray, width: int, height: int, int16_weights: bool) -> np.ndarray:
    horizontal = resize_axis(picture.transpose(1, 0, 2), width, int16_weights).transpose(1, 0, 2)
    return resize_axis(horizontal, height, int16_weights)


RESIZE_PAIRS = [
    (1, 1, 28, 28), (1, 1, 84, 84), (1, 100, 28, 112), (2, 2, 84, 84), (3, 5, 84, 112), (7, 11, 84, 112), (13, 17, 84, 112), (20, 20, 84, 84), (30, 10, 140, 56),
    (28, 28, 112, 112), (50, 60, 84, 112), (56, 56, 112, 112), (70, 70, 84, 84), (98, 98, 112, 112), (99, 101, 112, 112), (100, 100, 112, 112), (112, 112, 112, 112),
    (113, 111, 112, 112), (111, 112, 112, 112), (112, 113, 112, 112), (300, 40, 308, 28), (40, 300, 28, 308), (200, 150, 196, 140), (255, 256, 252, 252), (224, 225, 224, 224),
    (301, 203, 308, 196), (333, 77, 336, 84), (401, 237, 392, 224), (448, 140, 448, 140), (512, 384, 504, 392), (640, 480, 644, 476), (700, 900, 700, 896),
    (900, 700, 896, 700), (800, 100, 28, 28), (100, 800, 28, 28), (1000, 30, 308, 28), (1023, 767, 84, 56), (37, 1201, 28, 1204), (1240, 33, 1232, 28), (600, 600, 28, 28),
    (97, 89, 980, 868), (5, 400, 140, 28), (1500, 1100, 1092, 812),
]  # fmt: skip


def resize_cases() -> list[list[int]]:
    import torch
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.v2 import functional

    cases = []
    for width, height, new_width, new_height in RESIZE_PAIRS:
        picture = noise(width, height)
        tensor = torch.from_numpy(picture.transpose(2, 0, 1).copy())
        resized = functional.resize(tensor, [new_height, new_width], InterpolationMode.BICUBIC, antialias=True)
        torchvision_result = resized.numpy().transpose(1, 2, 0)
        pillow_result = np.asarray(Image.fromarray(picture).resize((new_width, new_height), Image.Resampling.BICUBIC))
        for result, int16_weights in ((torchvision_result, True), (pillow_result, False)):
            if not np.array_equal(result, resize_by_definition(picture, new_width, new_height, int16_weights)):
                raise SystemExit(f"{width}x{height} -> {new_width}x{new_height}: the library does not resize by its definition, {int16_weights=}")
        cases.append([width, height, new_width, new_height, *digest(torchvision_result).values(), *digest(pillow_result).values()])
    return cases


WORKED_SIZES = [
    (6000, 4000), (100, 100), (4000, 3000), (98, 98), (2550, 3300), (70, 70), (2480, 3508), (20, 20), (1700, 2200), (30, 10), (1654, 2339), (50, 60), (1240, 1754),
    (300, 40), (1200, 900), (5600, 28), (1000, 1300), (10, 2000), (840, 840), (5628, 28), (10, 2001),
    (1, 1), (1, 2), (2, 1), (27, 27), (28, 28), (29, 27), (14, 14), (42, 42), (42, 126), (126, 70), (13, 2600), (28, 5600), (28, 5601), (1, 200), (1, 201), (3, 600), (3, 601),
    (7, 1400), (11, 2200), (19, 3800), (23, 4600), (25, 5000), (112, 112), (56, 112), (111, 57), (2184, 2184), (2198, 2198), (2212, 2212), (2688, 1792), (2702, 1806), (100000, 500),
    (65000, 65000), (20000, 100), (100, 20000), (1008, 896), (1009, 897), (1400, 1400), (1240, 1753), (8, 1599), (8, 1600), (8, 1601),
]  # fmt: skip


def smart_resize_cases() -> list[list[int]]:
    from transformers.models.glm46v.image_processing_glm46v import smart_resize

    rng = random.Random(11)
    ranges = (30, 120, 1000, 4000, 9000)
    sizes = WORKED_SIZES + [(rng.randint(1, rng.choice(ranges)), rng.randint(1, rng.choice(ranges))) for _ in range(400)]
    sizes += [(14 * (2 * rng.randint(0, 90) + 1), 14 * (2 * rng.randint(0, 90) + 1)) for _ in range(60)]  # ties on both sides
    cases = []
    for width, height in sizes:
        for profile in PROFILES.values():
            limits = (profile["size"]["shortest_edge"], profile["size"]["longest_edge"])
            try:
                new_height, new_width = smart_resize(2, height, width, 2, 28, *limits)
            except ValueError:
                new_height = new_width = 0
            cases.append([width, height, *limits, new_width, new_height])
    return cases


def pillow_error(path: Path) -> str | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as picture:
                picture.load()
        except Exception as error:  # noqa: BLE001 - the kind of error is what is asked for
            return type(error).__name__
    return None


def write_list(path: Path, head: dict, key: str, rows: list) -> None:
    """One line per row."""
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    body = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    path.write_text("{\n" + ",\n".join([*lines, f'"{key}": [\n{body}\n]']) + "\n}\n", encoding="utf-8")


def main() -> None:
    import torchvision
    import transformers

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fonts", type=Path, default=Path("/usr/share/fonts"))
    parser.add_argument("--expect-only", action="store_true")
    options = parser.parse_args()
    if int(PIL.__version__.split(".")[0]) >= 13:
        raise SystemExit("Pillow 13 resizes in another order; install pillow<13")
    texts = text_pictures(Fonts(options.fonts))
    formats = format_pictures()
    broken = broken_files({name: data for name, (data, _) in formats.items()})
    for folder, files in ((PICTURES, texts | formats), (BROKEN, broken)):
        folder.mkdir(parents=True, exist_ok=True)
        if not options.expect_only:
            for name, (data, _) in files.items():
                (folder / name).write_bytes(data)
    versions = {"pillow": PIL.__version__, "torchvision": torchvision.__version__, "transformers": transformers.__version__}
    rows = [expected_picture(PICTURES / name, text, "") for name, (_, text) in texts.items()]
    rows += [expected_picture(PICTURES / name, None, note) for name, (_, note) in formats.items()]
    write_list(PICTURES / "expected.json", {"versions": versions, "normalisation": PROFILES}, "pictures", rows)
    write_list(PICTURES / "resize.json", {"versions": versions}, "cases", resize_cases())
    write_list(PICTURES / "smart_resize.json", {"versions": versions}, "cases", smart_resize_cases())
    rows = [{"file": name, "kind": kind, "pillow": pillow_error(BROKEN / name)} for name, (_, kind) in broken.items()]
    write_list(BROKEN / "expected.json", {"versions": versions}, "files", rows)
    for row in rows:
        if row["pillow"] is None:
            print(f"Pillow reads {row['file']} ({row['kind']})")


if __name__ == "__main__":
    main()
