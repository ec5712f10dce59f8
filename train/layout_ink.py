# SPDX-License-Identifier: Apache-2.0
"""What layout_pages.py puts on a sheet: faces and words, formulas, charts, pictures, seals. Nothing here knows of regions."""
import functools
import glob
import io
import json
import math
import os
import random
import string

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

cv2.setNumThreads(1)


# ---------------------------------------------------------------- faces and words
class Face:
    """A face at one size: widths of words are kept, `up` and `down` are its ink above and below the base line."""

    def __init__(self, data, size):
        self.font = ImageFont.truetype(io.BytesIO(data), size, layout_engine=ImageFont.Layout.BASIC)
        self.size, self.widths = size, {}
        self.up = -self.font.getbbox("Hl", anchor="ls")[1]
        self.down = max(1, self.font.getbbox("gp", anchor="ls")[3])
        self.space = self.font.getlength(" ") or size * 0.28

    def width(self, word):
        width = self.widths.get(word)
        if width is None:
            width = self.widths[word] = self.font.getlength(word)
        return width


class Library:
    """The families, prose and code of one group (train or test) out of the folder of layout_prepare.py."""

    def __init__(self, data, group):
        folder, self.group = os.path.join(data, group), group
        read = lambda name: open(os.path.join(folder, name), encoding="utf-8").read()
        self.families, self.latex = {}, None
        for name, family in json.loads(read("families.json")).items():
            faces = {style: open(os.path.join(folder, file), "rb").read() for style, file in family["faces"].items()}
            self.families.setdefault(family["kind"], []).append(faces)
            self.latex = faces if name == "computermodern" else self.latex
        self.maths = [open(path, "rb").read() for path in sorted(glob.glob(os.path.join(data, "maths", "*.ttf")))]
        self.prose = [words for words in (piece.split() for piece in read("prose.txt").split("\0")) if len(words) > 12]
        self.code = [[line for line in piece.split("\n")] for piece in read("code.txt").split("\0")]
        self.hanzi, self.kana = open(os.path.join(data, "asian.txt"), encoding="utf-8").read().split("\n")
        self.cache = {}

    def face(self, data, size):
        size = max(5, round(size))
        size = size if size < 26 else size // 2 * 2
        key = (id(data), size)
        if key not in self.cache:
            if len(self.cache) > 500:
                self.cache.clear()
            self.cache[key] = Face(data, size)
        return self.cache[key]

    def words(self, rng, count):
        words = []
        while len(words) < count:
            piece = rng.choice(self.prose)
            start = rng.randrange(max(1, len(piece) - 20))
            words += piece[start:start + rng.randint(10, 120)]
        return words[:count]


@functools.lru_cache(None)
def library(data, group):
    return Library(data, group)


# ---------------------------------------------------------------- formulas
class Formula:
    """Runs of letters and strokes around the origin of a base line; `width`, `top` (negative) and `bottom` are its extent."""

    def __init__(self):
        self.runs, self.strokes, self.width, self.top, self.bottom = [], [], 0.0, 0.0, 0.0

    def put(self, text, face, dx=None, dy=0.0):
        """Letters at dx (default: the end, which moves)."""
        x = self.width if dx is None else dx
        self.runs.append((x, dy, text, face))
        self.width = max(self.width, x + face.width(text))
        self.top, self.bottom = min(self.top, dy - face.up), max(self.bottom, dy + face.down * 0.4)

    def add(self, other, dx=None, dy=0.0):
        x = self.width if dx is None else dx
        self.runs += [(x + a, dy + b, text, face) for a, b, text, face in other.runs]
        self.strokes += [[(x + a, dy + b) for a, b in line] for line in other.strokes]
        self.width = max(self.width, x + other.width)
        self.top, self.bottom = min(self.top, dy + other.top), max(self.bottom, dy + other.bottom)

    def stroke(self, *points):
        self.strokes.append(list(points))
        self.top, self.bottom = min(self.top, min(p[1] for p in points)), max(self.bottom, max(p[1] for p in points))

    def draw(self, pen, x, base, ink):
        for dx, dy, text, face in self.runs:
            pen.text((x + dx, base + dy), text, font=face.font, fill=ink, anchor="ls")
        for line in self.strokes:
            pen.line([(x + a, base + b) for a, b in line], fill=ink, width=max(1, round(self.stroke_width)))

    stroke_width = 1.0


LETTERS = list("abcdefghijklmnpqrstuvwxyzABCDEFGHKLMNPQRSTUVXYZ")
GREEK = list("αβγδεζηθκλμνξπρσφχψωΓΔΘΛΣΦΨΩ")
NAMES = ("sin", "cos", "log", "exp", "max", "min", "det", "lim", "Var", "Pr", "tr", "dim")
OPERATORS = ("=", "=", "=", "+", "+", "−", "−", "≤", "≥", "·", "×", "→", "∈", "≈", "<", ">", "∼", "≡", "⊂", "∪")


class Formulas:
    """Writes formulas in the italic of the text and a face of mathematics."""

    def __init__(self, rng, library_, italic, upright):
        self.rng, self.library, self.italic, self.upright = rng, library_, italic, upright
        self.maths = rng.choice(library_.maths)

    def letter(self, formula, text, size, dx=None, dy=0.0):
        plain = all(ord(c) < 128 for c in text)
        data = self.maths if not plain else self.italic if text.isalpha() and len(text) == 1 else self.upright
        formula.put(text, self.library.face(data, size), dx, dy)

    def atom(self, size):
        """A letter, number or name, with subscript and superscript now and then."""
        rng, formula = self.rng, Formula()
        chance = rng.random()
        text = rng.choice(LETTERS) if chance < 0.6 else rng.choice(GREEK) if chance < 0.78 else \
            str(rng.randint(0, 99)) if chance < 0.9 else rng.choice(NAMES)
        self.letter(formula, text, size)
        end, small = formula.width, size * 0.65
        if rng.random() < 0.3:
            self.letter(formula, rng.choice("ijknmt0123"), small, end, size * 0.2)
        if rng.random() < 0.25:
            self.letter(formula, rng.choice("2nTk∗") if rng.random() < 0.8 else "-1", small, end + size * 0.05, -size * 0.4)
        return formula

    def bracketed(self, size):
        formula = Formula()
        left, right = self.rng.choice(("()", "()", "[]", "||", "{}"))
        self.letter(formula, left, size)
        for _ in range(self.rng.randint(1, 3)):
            formula.add(self.atom(size))
            if self.rng.random() < 0.4:
                self.letter(formula, self.rng.choice(", + −".split()), size)
        self.letter(formula, right, size)
        return formula

    def fraction(self, size):
        formula = Formula()
        over, under = self.line(size * 0.85, size * self.rng.uniform(0.5, 3), 1), self.line(size * 0.85, size * self.rng.uniform(0.5, 2.5), 1)
        width = max(over.width, under.width) + size * 0.3
        formula.add(over, (width - over.width) / 2, -size * 0.5 - over.bottom)
        formula.add(under, (width - under.width) / 2, size * 0.15 - under.top)
        formula.stroke((0, -size * 0.25), (width, -size * 0.25))
        formula.width = width + size * 0.1
        return formula

    def operator(self, size):
        """A sum, product or integral with its limits."""
        rng, formula = self.rng, Formula()
        big = self.library.face(self.maths, size * 1.6)
        formula.put(rng.choice("∑∑∫∏"), big, 0, size * 0.25)
        width, small = formula.width, size * 0.6
        low = rng.choice(("i=1", "k=0", "n", "j", "0", "t=1"))
        self.letter(formula, low, small, max(0, width / 2 - size * 0.5), size * 1.05)
        self.letter(formula, rng.choice(("n", "N", "∞", "T", "m")), small, width / 2 - size * 0.2, -size * 1.35)
        formula.width += size * 0.15
        return formula

    def root(self, size):
        formula, inner = Formula(), self.line(size, size * self.rng.uniform(0.6, 2.5), 1)
        formula.add(inner, size * 0.7, 0)
        top = inner.top - size * 0.15
        formula.stroke((0, -size * 0.3), (size * 0.25, inner.bottom), (size * 0.55, top), (size * 0.7 + inner.width, top))
        return formula

    def matrix(self, size):
        rng, formula = self.rng, Formula()
        rows, columns, gap = rng.randint(2, 3), rng.randint(1, 3), size * 1.35
        cells = [[self.atom(size * 0.95) for _ in range(columns)] for _ in range(rows)]
        pitch = max(cell.width for row in cells for cell in row) + size * 0.7
        top, bottom = -size * 0.3 - rows * gap / 2, -size * 0.3 + rows * gap / 2
        for i, row in enumerate(cells):
            for j, cell in enumerate(row):
                formula.add(cell, size * 0.5 + j * pitch, top + (i + 0.72) * gap)
        end = size * 0.3 + columns * pitch
        for x, inward in ((0, size * 0.22), (end, -size * 0.22)):
            formula.stroke((x + inward, top), (x, top + size * 0.2), (x, bottom - size * 0.2), (x + inward, bottom))
        formula.width = end + size * 0.1
        return formula

    def line(self, size, width, depth=0):
        """Terms and operators about `width` wide; no towers below the first depth."""
        rng, formula, first = self.rng, Formula(), True
        simple = depth or rng.random() < 0.4              # a line without towers looks most like text
        while formula.width < width and len(formula.runs) < 120:
            chance = rng.random()
            term = self.atom if simple and chance < 0.8 or chance < 0.55 else self.bracketed if simple or chance < 0.68 else \
                self.fraction if chance < 0.82 else self.operator if chance < 0.92 else self.root if chance < 0.97 else self.matrix
            if depth and term not in (self.atom, self.bracketed):
                term = self.atom
            formula.add(term(size))
            if formula.width < width and rng.random() < 0.65:
                formula.width += size * 0.25
                self.letter(formula, "=" if first and rng.random() < 0.7 else rng.choice(OPERATORS), size)
                formula.width += size * 0.25
                first = False
        return formula


# ---------------------------------------------------------------- pictures
def scale(values, width, height, how=cv2.INTER_CUBIC):
    return cv2.resize(values, (max(1, int(width)), max(1, int(height))), interpolation=how)


def photograph(rng, noise, width, height):
    """Coloured clouds, shapes and grain: what a small photograph looks like from afar."""
    width, height = max(4, int(width)), max(4, int(height))
    cells = rng.choice((3, 5, 8, 16, 32))
    clouds = noise.integers(0, 256, (max(2, cells * height // max(width, height)), cells, 3), dtype=np.uint8)
    picture = scale(clouds, width, height, rng.choice((cv2.INTER_CUBIC, cv2.INTER_LINEAR)))
    if rng.random() < 0.6:
        cells = rng.choice((24, 48, 90))
        grain = scale(noise.integers(0, 256, (cells, cells), dtype=np.uint8), width, height, cv2.INTER_LINEAR)[..., None]
        picture = (picture * 0.65 + grain * 0.35).astype(np.uint8)
    for _ in range(rng.randint(0, 6)):
        colour = tuple(rng.randint(0, 255) for _ in range(3))
        at = (rng.randint(0, width), rng.randint(0, height))
        if rng.random() < 0.5:
            cv2.circle(picture, at, rng.randint(2, max(3, min(width, height) // 3)), colour, -1, cv2.LINE_AA)
        else:
            cv2.rectangle(picture, at, (rng.randint(0, width), rng.randint(0, height)), colour, -1)
    if rng.random() < 0.45:
        picture = np.repeat(picture.mean(2, keepdims=True).astype(np.uint8), 3, 2)
    if rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(1, 4))
    return Image.fromarray(picture)


def colours(rng, count=6, top=220):
    if rng.random() < 0.3:
        return [(v, v, v) for v in rng.sample((0, 40, 80, 120, 160, 195), min(count, 6))]
    return [tuple(rng.randint(0, top) for _ in range(3)) for _ in range(count)]


def diagram(rng, pen, box, face, ink, word):
    """Boxes and ellipses with words in them, joined by lines; its outline touches all four sides."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    if rng.random() < 0.35:
        pen.rectangle(box, fill=tuple(rng.randint(222, 255) for _ in range(3)), outline=ink if rng.random() < 0.5 else None)
    middles, shapes = [], []
    for i in range(rng.randint(3, 9)):
        w, h = width * rng.uniform(0.1, 0.3), height * rng.uniform(0.1, 0.25)
        x = (x0, x1 - w, rng.uniform(x0, x1 - w))[min(i, 2)]
        y = (y0, y1 - h, rng.uniform(y0, y1 - h))[min(i, 2)]
        shapes.append((x, y, x + w, y + h))
        middles.append((x + w / 2, y + h / 2))
    for _ in range(rng.randint(2, 9)):
        pen.line([rng.choice(middles), rng.choice(middles)], fill=ink, width=rng.choice((1, 1, 2)))
    for shape in shapes:
        fill = None if rng.random() < 0.4 else tuple(rng.randint(150, 255) for _ in range(3))
        (pen.ellipse if rng.random() < 0.3 else pen.rectangle)(shape, outline=ink, fill=fill)
        if face.size * 1.2 < shape[3] - shape[1]:
            text = word()
            while text and face.width(text) > shape[2] - shape[0] - 4:
                text = text[:-1]
            pen.text(((shape[0] + shape[2] - face.width(text)) / 2, (shape[1] + shape[3]) / 2 + face.up / 2), text, font=face.font, fill=ink, anchor="ls")


def pie(rng, pen, box, face, ink, word):
    x0, y0, x1, y1 = box
    radius = min(x1 - x0, y1 - y0) * 0.46
    cx, cy, shades, angle = x0 + radius, (y0 + y1) / 2, colours(rng), rng.uniform(0, 360)
    for i in range(rng.randint(3, 6)):
        sweep = rng.uniform(20, 110)
        pen.pieslice((cx - radius, cy - radius, cx + radius, cy + radius), angle, angle + sweep, fill=shades[i], outline=(255, 255, 255))
        angle += sweep
    pen.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), outline=ink)
    left = max(cx + radius + face.size, x1 - face.width("abcdefgh") - face.size * 1.5)
    for i in range(rng.randint(3, 6)):
        y = y0 + (y1 - y0) * 0.12 + i * face.size * 1.5
        if y + face.size < y1 and left + face.size * 3 < x1:
            pen.rectangle((left, y, left + face.size, y + face.size), fill=shades[i])
            pen.text((left + face.size * 1.4, y + face.up), word()[:8], font=face.font, fill=ink, anchor="ls")


def chart(rng, noise, pen, box, face, ink, word):
    """Bars, lines, points or a pie, with axes and their labels inside the box."""
    x0, y0, x1, y1 = box
    if rng.random() < 0.2:
        pen.rectangle(box, fill=(rng.randint(228, 250),) * 3)
    elif rng.random() < 0.2:
        pen.rectangle(box, outline=(150,) * 3)
    kind = rng.choice(("bars", "bars", "lines", "lines", "lines", "pie", "points", "points", "rows", "boxes"))
    if kind == "pie":
        return pie(rng, pen, box, face, ink, word)
    left, top, right, bottom = x0 + face.size * 2.8, y0 + face.size * 1.2, x1 - 2, y1 - face.size * 2
    if right - left < 20 or bottom - top < 20:
        left, top, right, bottom = x0 + 2, y0 + 2, x1 - 2, y1 - 2
    pen.line((left, top, left, bottom, right, bottom), fill=ink)
    if rng.random() < 0.5:
        pen.rectangle((left, top, right, bottom), outline=ink)
    ticks, grid, highest = rng.randint(3, 7), rng.random() < 0.4, 10 ** rng.randint(0, 4)
    for i in range(ticks + 1):
        y = bottom - (bottom - top) * i / ticks
        if grid:
            pen.line((left, y, right, y), fill=(190,) * 3)
        pen.line((left - 3, y, left, y), fill=ink)
        label = f"{highest * i / ticks:g}"[:5]
        pen.text((left - 4 - face.width(label), y + face.up / 2), label, font=face.font, fill=ink, anchor="ls")
    count = rng.randint(3, 12)
    for i in range(count):
        label = str(2000 + i) if count > 6 else word()[:5]
        if face.width("2000 ") * count < right - left or i % 3 == 0:
            pen.text((left + (right - left) * (i + 0.5) / count - face.width(label) / 2, bottom + 3 + face.up), label, font=face.font, fill=ink, anchor="ls")
    series(rng, noise, pen, kind, (left, top, right, bottom), count)
    if rng.random() < 0.5:
        title = (word() + " " + word())[:24]
        pen.text(((x0 + x1 - face.width(title)) / 2, y0 + face.up), title, font=face.font, fill=ink, anchor="ls")


def series(rng, noise, pen, kind, plot, count):
    left, top, right, bottom = plot
    width, height, shades = right - left, bottom - top, colours(rng)
    for s in range(rng.randint(1, 3)):
        if kind in ("bars", "rows", "boxes"):
            for i in range(count):
                value, share = rng.uniform(0.08, 1), (s * 0.27 + 0.1, s * 0.27 + 0.35)
                if kind == "rows":
                    pitch = height / count
                    pen.rectangle((left, top + pitch * (i + share[0]), left + width * value, top + pitch * (i + share[1])), fill=shades[s])
                else:
                    pitch, low = width / count, bottom if kind == "bars" else bottom - height * value * 0.5
                    pen.rectangle((left + pitch * (i + share[0]), bottom - height * value, left + pitch * (i + share[1]), low),
                                  fill=shades[s] if kind == "bars" else None, outline=shades[s])
        elif kind == "lines":
            points = rng.randint(5, 40)
            walk = np.clip(0.5 + np.cumsum(noise.normal(0, 0.5 / math.sqrt(points), points)), 0.02, 0.98)
            path = [(left + width * i / (points - 1), bottom - height * v) for i, v in enumerate(walk)]
            pen.line(path, fill=shades[s], width=rng.choice((1, 2, 2)))
        else:
            for x, y in noise.normal(noise.uniform(0.2, 0.8, 2), 0.13, (rng.randint(15, 70), 2)).clip(0.02, 0.98):
                at = (left + width * x, bottom - height * y)
                pen.ellipse((at[0] - 2, at[1] - 2, at[0] + 2, at[1] + 2), outline=shades[s], fill=shades[s] if s else None)


def barcode(rng, pen, box, ink):
    """Bars, or two rows of small squares as on answer sheets."""
    x0, y0, x1, y1 = box
    if rng.random() < 0.4:
        x = x0
        while x < x1:
            w = rng.choice((1, 1, 2, 3)) * max(1, (x1 - x0) / 120)
            pen.rectangle((x, y0, max(x, min(x1, x + w - 1)), y1), fill=ink)
            x += w + rng.choice((1, 1, 2, 3)) * max(1, (x1 - x0) / 120)
        return
    columns = max(4, int((x1 - x0) / ((y1 - y0) / 2)))
    pitch = (x1 - x0) / columns
    for row in range(2):
        for i in range(columns):
            pen.rectangle((x0 + i * pitch, y0 + row * (y1 - y0) / 2, x0 + (i + 0.85) * pitch, y0 + (row + 0.85) * (y1 - y0) / 2),
                          outline=ink, fill=ink if rng.random() < 0.3 else None)


# ---------------------------------------------------------------- seals
@functools.lru_cache(400)
def seal(library_, number):
    """A stamp as RGBA, 220 px: round, oval or square, with letters along the rim, a star, a number or a date."""
    rng, side = random.Random(number), 220
    stamp = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    pen = ImageDraw.Draw(stamp)
    red = (rng.randint(150, 240), rng.randint(0, 80), rng.randint(0, 80), 255)
    blue = (rng.randint(0, 70), rng.randint(10, 90), rng.randint(100, 220), 255)
    ink = red if rng.random() < 0.7 else blue if rng.random() < 0.7 else (rng.randint(0, 70),) * 3 + (255,)
    chinese = rng.random() < 0.5
    faces = library_.families["hanzi"] if chinese else library_.families["sans"] + library_.families["serif"]
    data = rng.choice(faces)["regular"]
    letters = lambda count: "".join(rng.choice(library_.hanzi) for _ in range(count)) if chinese else \
        " ".join(library_.words(rng, 5)).upper()[:count * 2].strip()
    width = rng.randint(3, 9)
    if rng.random() < 0.15:
        pen.rectangle((4, 4, side - 5, side - 5), outline=ink, width=width)
        face = library_.face(library_.families["hanzi"][0]["regular"], 80)
        for i in range(4):
            pen.text((25 + 90 * (i % 2), 100 + 90 * (i // 2)), rng.choice(library_.hanzi), font=face.font, fill=ink, anchor="ls")
        return stamp
    pen.ellipse((3, 3, side - 4, side - 4), outline=ink, width=width)
    if rng.random() < 0.4:
        inset = rng.choice((14, 18, 52))
        pen.ellipse((inset, inset, side - inset - 1, side - inset - 1), outline=ink, width=rng.choice((1, 2, 3)))
    text, face = letters(rng.randint(7, 15)), library_.face(data, 28 if chinese else 24)
    span, radius = rng.uniform(190, 300), side / 2 - 30
    for i, letter in enumerate(text):
        angle = -span / 2 + span * i / max(1, len(text) - 1)
        glyph = Image.new("L", (44, 44), 0)
        ImageDraw.Draw(glyph).text((22, 22), letter, font=face.font, fill=255, anchor="mm")
        glyph = glyph.rotate(-angle, Image.Resampling.BILINEAR)
        x, y = side / 2 + radius * math.sin(math.radians(angle)), side / 2 - radius * math.cos(math.radians(angle))
        stamp.paste(ink, (int(x - 22), int(y - 22)), glyph)
    chance = rng.random()
    if chance < 0.5:
        star = [(side / 2 + (34 if i % 2 == 0 else 14) * math.sin(i * math.pi / 5),
                 side / 2 - (34 if i % 2 == 0 else 14) * math.cos(i * math.pi / 5)) for i in range(10)]
        pen.polygon(star, fill=ink)
    elif chance < 0.9:
        middle = rng.choice((str(rng.randint(10 ** 5, 10 ** 9)), f"{rng.randint(1, 28)}.{rng.randint(1, 12)}.{rng.randint(1980, 2030)}", "PAID", "COPY"))
        upright = library_.face(library_.families["sans"][0]["regular"], 24)
        pen.text((side / 2, side / 2), middle, font=upright.font, fill=ink, anchor="mm")
    if rng.random() < 0.5:
        pen.text((side / 2, side * 0.72), letters(5)[:9], font=face.font, fill=ink, anchor="mm")
    return stamp


def price(rng):
    return f"{rng.uniform(0.5, 9999):,.2f}" + rng.choice(("", " €", " $", " CHF"))


def figure(rng):
    """What stands in a cell with a figure."""
    return rng.choice((lambda: f"{rng.uniform(0, 100):.1f}", lambda: f"{rng.randint(0, 99999):,}", lambda: f"{rng.uniform(0, 1):.3f}",
                       lambda: f"{rng.uniform(0, 100):.1f}%", lambda: str(rng.randint(0, 2030)), lambda: f"-{rng.randint(1, 9999):,}",
                       lambda: f"{rng.randint(1, 28):02d}.{rng.randint(1, 12):02d}.{rng.randint(1970, 2030)}", lambda: "-",
                       lambda: f"{rng.uniform(0, 9):.2f} ± {rng.uniform(0, 1):.2f}", lambda: price(rng)))()


def initials(rng):
    return " ".join(rng.choice(string.ascii_uppercase) + "." for _ in range(rng.randint(1, 2)))
