# SPDX-License-Identifier: Apache-2.0
"""Damage to a sheet between printer and file: blur, stains, scan borders, JPEG, skew, noise, uneven light."""
import io
import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter


def blotch(rng, image):
    """A soft darker or lighter stain."""
    width, height = image.size
    spot = Image.new("L", (64, 64), 0)
    ImageDraw.Draw(spot).ellipse((12, 12, 52, 52), fill=rng.randint(15, 70), outline=rng.randint(30, 90))
    size = rng.randint(12, max(13, min(width, height) // 3))
    spot = spot.filter(ImageFilter.GaussianBlur(rng.uniform(1, 6))).resize((size, size))
    layer = Image.new("L", image.size, 0)
    layer.paste(spot, (rng.randint(-size // 2, width), rng.randint(-size // 2, height)))
    return (ImageChops.subtract if rng.random() < 0.8 else ImageChops.add)(image, layer)


def scan_border(rng, image):
    """The dark edge of a scan with the lid open."""
    width, height = image.size
    depth = rng.randint(1, max(1, min(width, height) // 60))
    box = rng.choice(((0, 0, width, depth), (0, height - depth, width, height), (0, 0, depth, height), (width - depth, 0, width, height)))
    ImageDraw.Draw(image).rectangle(box, fill=rng.randint(0, 120))
    return image


def jpeg(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    image = Image.open(buffer)
    image.load()
    return image


def resample(image, factor):
    width, height = image.size
    small = image.resize((max(1, int(width * factor)), max(1, int(height * factor))), Image.Resampling.BILINEAR)
    return small.resize((width, height), Image.Resampling.BICUBIC)


def damage(rng, image, letter):
    """The part of the damage that is applied while drawing; train.py adds skew, light and noise on the GPU."""
    chance = rng.random()
    if chance < 0.12:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, min(1.0, letter / 16))))
    elif chance < 0.24 and letter >= 13:
        image = resample(image, rng.uniform(max(0.5, 8 / letter), 0.95))
    if rng.random() < 0.08:
        for _ in range(rng.randint(1, 3)):
            image = blotch(rng, image)
    if rng.random() < 0.04:
        image = scan_border(rng, image)
    return jpeg(image, rng.randint(25, 88)) if rng.random() < 0.2 else image


def degrade(rng, image, letter):
    """Full damage, for the degraded test pictures and some of the training's: two or three kinds, clearly visible."""
    noise = np.random.default_rng(rng.getrandbits(32))
    paper = int(np.median(np.asarray(image)))
    width, height = image.size
    for name in rng.sample(("skew", "blur", "noise", "jpeg", "light", "stain"), rng.randint(2, 3)):
        if name == "skew":
            limit = min(2.0, math.degrees(0.12 * min(width, height) / max(width, height)))
            angle = rng.uniform(-limit, limit)
            grow = 1 + abs(math.radians(angle)) * max(width / height, height / width)
            big = image.resize((round(width / grow), round(height / grow)), Image.Resampling.BICUBIC)
            sheet = Image.new("L", (width, height), paper)
            sheet.paste(big, ((width - big.width) // 2, (height - big.height) // 2))
            image = sheet.rotate(angle, Image.Resampling.BICUBIC, fillcolor=paper)
        elif name == "blur":
            image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, min(0.9, letter / 20))))
        elif name == "jpeg":
            image = jpeg(image, rng.randint(30, 70))
        elif name == "stain":
            for _ in range(rng.randint(1, 4)):
                image = blotch(rng, image)
        else:
            array = np.asarray(image, np.float32)
            if name == "noise":
                array = array + noise.normal(0, rng.uniform(4, 14), array.shape)
            else:
                array = array - rng.uniform(15, 50) * np.linspace(0, 1, width)[None] - rng.uniform(0, 30) * np.linspace(0, 1, height)[:, None]
            image = Image.fromarray(array.clip(0, 255).astype(np.uint8))
    return image
