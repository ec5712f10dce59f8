# SPDX-License-Identifier: Apache-2.0
"""What happens to a sheet before the model sees it: scanned or cropped (`damage`) or photographed (`photograph`), squeezed to the input
(`squeeze`), and lit (`scan_light`, `camera_light`: on the squeezed picture, for there they cost least).

The first two take and give (picture, regions) with regions [n, 5] (class, x0, y0, x1, y1) in pixels.
"""
import math

import cv2
import numpy as np

SIZE = 640
LEAST_SEEN = 0.35                    # of a region that is cut by the picture's edge; less is no region


def moved(regions, forward):
    """Boxes around where `forward` (points [n, 2] -> [n, 2]) puts the outlines of regions."""
    if not len(regions):
        return regions
    t = np.linspace(0, 1, 9, dtype=np.float32)
    zero, one = np.zeros_like(t), np.ones_like(t)
    rim = np.stack([np.concatenate([t, one, t, zero]), np.concatenate([zero, t, one, t])], 1)
    corners, sides = regions[:, None, 1:3], (regions[:, 3:5] - regions[:, 1:3])[:, None]
    points = forward((corners + rim[None] * sides).reshape(-1, 2)).reshape(len(regions), -1, 2)
    return np.concatenate([regions[:, :1], points.min(1), points.max(1)], 1).astype(np.float32)


def clipped(regions, width, height):
    """Regions cut to the picture, without those of which little is left; and which were left out though a part is seen."""
    cut = regions.copy()
    cut[:, [1, 3]] = cut[:, [1, 3]].clip(0, width)
    cut[:, [2, 4]] = cut[:, [2, 4]].clip(0, height)
    area = lambda r: np.maximum(0, r[:, 3] - r[:, 1]) * np.maximum(0, r[:, 4] - r[:, 2])
    seen = area(cut) / np.maximum(1, area(regions))
    return cut[seen >= LEAST_SEEN], cut[(seen > 0) & (seen < LEAST_SEEN)]


def jpeg(picture, quality):
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def cloud(noise, width, height, cells, low, high):
    """Smooth random values between `low` and `high`."""
    coarse = noise.uniform(low, high, (max(2, cells), max(2, cells))).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


# ---------------------------------------------------------------- scans
def damage(rng, noise, picture, regions, paper):
    """The dark edge of a scan; a slight turn, or a part of the page; blur; JPEG."""
    height, width = picture.shape[:2]
    if rng.random() < 0.05:
        picture, deep = picture.copy(), int(width * rng.uniform(0.003, 0.03))
        edge = rng.choice((np.s_[:, :deep], np.s_[:, width - deep:], np.s_[:deep], np.s_[height - deep:]))
        picture[edge] = picture[edge] // rng.choice((2, 4, 12))
    chance = rng.random()
    if chance < 0.22:
        angle = math.radians(rng.gauss(0, 0.8))
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], np.float32)
        middle = np.array([width / 2, height / 2], np.float32)
        matrix = np.concatenate([turn, (middle - turn @ middle)[:, None]], 1)
        picture = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_CONSTANT, borderValue=tuple(map(int, paper)))
        regions = moved(regions, lambda p: p @ turn.T + matrix[:, 2])
        regions, _ = clipped(regions, width, height)
    elif chance < 0.27:
        x0, x1 = int(rng.uniform(0, 0.35) * width), int(rng.uniform(0.65, 1) * width)
        y0, y1 = int(rng.uniform(0, 0.4) * height), int(rng.uniform(0.6, 1) * height)
        picture = picture[y0:y1, x0:x1].copy()
        regions, slivers = clipped(regions - np.array([0, x0, y0, x0, y0], np.float32), x1 - x0, y1 - y0)
        for left, top, right, bottom in slivers[:, 1:].astype(int):
            cv2.rectangle(picture, (left, top), (right, bottom), tuple(map(int, paper)), -1)
    if rng.random() < 0.12:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.1) * max(1, picture.shape[0] / 1000))
    if rng.random() < 0.18:
        picture = jpeg(picture, rng.randint(18, 80))
    return picture, regions


# ---------------------------------------------------------------- photographs
def background(rng, noise, width, height):
    """A table top: clouds of a colour, with a grain along one side or a weave; now and then other paper. Drawn at half the size."""
    full, (width, height) = (width, height), (width // 2, height // 2)
    colour = np.array([rng.randint(10, 200) for _ in range(3)] if rng.random() < 0.5 else [rng.randint(10, 220)] * 3, np.float32)
    if rng.random() < 0.3:
        colour = np.array((rng.randint(90, 190), rng.randint(60, 130), rng.randint(30, 90)), np.float32)      # wood
    level = cloud(noise, width, height, rng.choice((2, 4, 8)), 0.7, 1.25)
    chance = rng.random()
    if chance < 0.35:
        lines = noise.normal(1, rng.uniform(0.03, 0.15), (rng.choice((60, 150, 300)), 4)).astype(np.float32)
        level *= cv2.resize(lines if rng.random() < 0.5 else np.ascontiguousarray(lines.T), (width, height), interpolation=cv2.INTER_LINEAR)
    elif chance < 0.6:
        level *= 1 + rng.uniform(0.02, 0.12) * noise.standard_normal((height, width), np.float32)
    ground = cv2.merge([cv2.multiply(level, float(part), dtype=cv2.CV_8U) for part in colour])
    if rng.random() < 0.25:
        x, y = rng.uniform(-0.3, 1) * width, rng.uniform(-0.3, 1) * height
        sheet = np.int32([[x, y], [x + width * 0.7, y + rng.uniform(-30, 30)], [x + width * 0.8, y + height * 0.6], [x - 20, y + height * 0.6]])
        cv2.fillPoly(ground, [sheet], [float(rng.randint(150, 250))] * 3)
    return cv2.resize(ground, full, interpolation=cv2.INTER_LINEAR)


def photograph(rng, noise, picture, regions, paper):
    """The page on a table, seen by a hand-held camera: perspective, turn, bent paper, blur, JPEG."""
    height, width = picture.shape[:2]
    scale = min(1.0, rng.choice((900, 1300)) / max(height, width))
    wide, high = int(width * scale), int(height * scale)
    if rng.random() < 0.2:                                   # another frame than the paper's
        wide, high = (int(high * rng.uniform(0.7, 1.4)), high) if rng.random() < 0.5 else (wide, int(wide * rng.uniform(0.7, 1.4)))
    margin, shake = rng.choice((rng.uniform(-0.08, 0.03), rng.uniform(0, 0.12), rng.uniform(0, 0.05))), rng.choice((0.015, 0.04, 0.07))
    angle = math.radians(rng.gauss(0, 3.5))
    corners = []
    for u, v in ((0, 0), (1, 0), (1, 1), (0, 1)):
        x, y = ((margin + side * (1 - 2 * margin) + rng.uniform(-shake, shake) - 0.5) for side in (u, v))
        corners.append((((x * wide) * math.cos(angle) - (y * high) * math.sin(angle)) + wide / 2, ((x * wide) * math.sin(angle) + (y * high) * math.cos(angle)) + high / 2))
    lens = cv2.getPerspectiveTransform(np.float32([(0, 0), (1, 0), (1, 1), (0, 1)]), np.float32(corners))
    back = np.linalg.inv(lens)
    bend, waves, phase = (rng.uniform(-0.025, 0.025) if rng.random() < 0.5 else 0.0), rng.uniform(0.5, 1.2), rng.uniform(0, math.pi)
    curl = lambda u: bend * np.sin(waves * math.pi * u + phase)

    def forward(points):
        u, v = points[:, 0] / width, points[:, 1] / height
        at = np.stack([u, v + curl(u), np.ones_like(u)], 0)
        x, y, w = lens @ at
        return np.stack([x / w, y / w], 1)

    columns, rows = np.linspace(0, wide, 48), np.linspace(0, high, 48)
    x, y = np.meshgrid(columns, rows)
    u, v, w = np.tensordot(back, np.stack([x, y, np.ones_like(x)]), 1)
    u, v = u / w, v / w
    grid = np.stack([u * width, (v - curl(u)) * height], -1).astype(np.float32)
    grid = cv2.resize(grid, (wide, high), interpolation=cv2.INTER_LINEAR)
    shot = cv2.remap(picture, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR, dst=background(rng, noise, wide, high), borderMode=cv2.BORDER_TRANSPARENT)
    regions, _ = clipped(moved(regions, forward), wide, high)
    chance = rng.random()
    if chance < 0.3:
        shot = cv2.GaussianBlur(shot, (0, 0), rng.uniform(0.5, 1.8))
    elif chance < 0.4:
        length = rng.randint(2, 6)
        kernel = np.eye(length, dtype=np.float32) / length if rng.random() < 0.5 else np.ones((1, length), np.float32) / length
        shot = cv2.filter2D(shot, -1, kernel)
    if rng.random() < 0.5:
        shot = jpeg(shot, rng.randint(25, 85))
    return shot, regions


# ---------------------------------------------------------------- the model's input
def squeeze(rng, picture, regions):
    """The picture as the image processor resizes it (bicubic, without antialiasing; some as other programs do), and the truth."""
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC if rng.random() < 0.85 else cv2.INTER_AREA)
    truth = regions.copy()
    truth[:, [1, 3]] = (truth[:, [1, 3]] / width).clip(0, 1)
    truth[:, [2, 4]] = (truth[:, [2, 4]] / height).clip(0, 1)
    truth = truth[(truth[:, 3] - truth[:, 1] > 0.004) & (truth[:, 4] - truth[:, 2] > 0.004)]
    ranks = np.arange(len(truth), dtype=np.float32)[:, None]
    return small, np.concatenate([truth, ranks], 1).astype(np.float32)


def lit(picture, light, tint=(1.0, 1.0, 1.0)):
    return cv2.multiply(picture, cv2.merge([light * part for part in tint]), dtype=cv2.CV_8U)


def grain(noise, picture, strength):
    layer = (strength * noise.standard_normal(picture.shape[:2], np.float32))
    return cv2.add(picture, cv2.merge([layer] * 3), dtype=cv2.CV_8U)


def scan_light(rng, noise, picture):
    """Uneven light, noise, grey, inversion; most pages have none of it."""
    if rng.random() < 0.15:
        picture = lit(picture, cloud(noise, SIZE, SIZE, rng.choice((2, 3)), 0.6, 1.05))
    if rng.random() < 0.12:
        picture = grain(noise, picture, rng.uniform(2, 12))
    if rng.random() < 0.15:
        picture = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    return 255 - picture if rng.random() < 0.03 else picture


def camera_light(rng, noise, picture):
    """Pale ink, uneven light, the edge of a shadow, a flash, a tint, noise."""
    if rng.random() < 0.5:
        contrast = rng.uniform(0.4, 0.9)
        picture = cv2.convertScaleAbs(picture, alpha=contrast, beta=(1 - contrast) * rng.uniform(120, 230))
    light = cloud(noise, SIZE, SIZE, rng.choice((2, 2, 3, 4)), rng.uniform(0.45, 0.95), 1.1)
    if rng.random() < 0.4:
        side = SIZE // 8
        shadow, middle = np.ones((side, side), np.float32), np.array([rng.uniform(0, side), rng.uniform(0, side)])
        angles = np.sort(noise.uniform(0, 2 * math.pi, rng.randint(3, 7)))
        outline = middle + np.stack([np.cos(angles), np.sin(angles)], 1) * noise.uniform(0.2, 0.9, (len(angles), 1)) * side
        cv2.fillPoly(shadow, [outline.astype(np.int32)], rng.uniform(0.5, 0.85))
        light *= cv2.resize(cv2.GaussianBlur(shadow, (0, 0), rng.uniform(1, 8)), (SIZE, SIZE))
    if rng.random() < 0.1:
        line = np.linspace(-1, 1, SIZE, dtype=np.float32)
        across, down = (np.exp(-8 * (line - rng.uniform(-0.5, 0.5)) ** 2) for _ in range(2))
        light *= 1 + rng.uniform(0.2, 0.6) * down[:, None] * across[None]
    picture = lit(picture, light, [rng.uniform(0.86, 1.04) for _ in range(3)])
    return grain(noise, picture, rng.uniform(1, 12)) if rng.random() < 0.6 else picture
