# SPDX-License-Identifier: Apache-2.0
"""Draws pages, tables and formulas with their truth. Nothing here needs PyTorch.

`sample(rng, library, shape, style)` gives a Sample: a grey picture (uint8 [height, width]), the text that a reader
should give, the letter height in pixels and the kind. Styles: `train` (any mix), `clean` (dark ink on light paper,
no damage), `degraded` (always damaged: skew, blur, noise, JPEG, uneven light, stains).
"""
import io
import itertools
import json
import math
import os
import random
import string
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from damage import damage, degrade
from letters import enlargement

ACCENTED = ("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿĄąĆćČčĎďĐđĘęĚěĞğİıŁłŃńŇňŐőŒœŘřŚśŞşŠšŤťŮůŰűŹźŻżŽž")
SIGNS = "€£$§%°±²³«»“”„’‘–—…•·™©®×½¼¾†‰≤≥≠→Δμπαβ"
RARE = "¡¢¥¿÷ªĀāĂăĒēĪīŌōŪū‚‹›−√∞≈∑∫∂γδεθλρσφωΣΩΠ←»"
CHARSET = set(map(chr, range(32, 127))) | set(ACCENTED + SIGNS + RARE)

A4_PIXELS = 1_900_000                 # half of the training pictures above have full damage, a quarter of the others
PROMPTS = {"text": "Text Recognition:", "table": "Table Recognition:", "formula": "Formula Recognition:"}


@dataclass(frozen=True)
class Shape:
    """One picture size of the training: rows of 28 pixels, so that nothing is resized."""
    height: int
    width: int
    max_tokens: int
    task: str = "text"

    def __str__(self):
        return f"{self.width}x{self.height}" + ("" if self.task == "text" else " " + self.task)


# The token limits let a size be filled with 10 px print (about one token for 220 pixels, 4,096 on the largest): a limit
# that cuts dense pages off leaves a model that has never seen one whole (README.md, "What went wrong").
SHAPES = [Shape(*s) for s in (
    (56, 56, 16), (56, 224, 56), (56, 448, 112), (56, 896, 192), (112, 112, 56), (112, 448, 224), (112, 672, 320),
    (168, 280, 208), (224, 448, 448), (336, 336, 512), (224, 896, 896), (336, 672, 768), (448, 448, 896), (392, 616, 1088),
    (616, 392, 1088), (448, 616, 1248), (588, 924, 2048), (672, 672, 2048), (672, 896, 2560), (896, 672, 2560), (896, 1008, 3072),
    (1008, 896, 3072), (728, 1288, 3072), (1288, 728, 3072), (1400, 560, 2560), (1260, 980, 3584), (1008, 1344, 3584),
    (1344, 1512, 3584), (1568, 1120, 4096), (1764, 1232, 4096), (1232, 1764, 4096), (2212, 1568, 4096), (1568, 2212, 4096),
    (224, 448, 256, "table"), (448, 672, 640, "table"), (672, 896, 1024, "table"), (896, 1008, 1408, "table"),
    (112, 224, 64, "formula"), (112, 448, 96, "formula"), (168, 616, 128, "formula"))]


@dataclass
class Sample:
    image: np.ndarray
    ids: list
    text: str
    letter: int          # cap to descender, pixels; of the body text
    kind: str            # prose, code, numbers, textless, table, formula


# ---------------------------------------------------------------- faces and words
class Face:
    """A font file at one size, with cached word widths."""

    def __init__(self, data, size, facts):
        self.font = ImageFont.truetype(io.BytesIO(data), size, layout_engine=ImageFont.Layout.BASIC)
        self.size, self.missing, self.mono = size, facts["missing"], facts["mono"]
        self.letter = facts["letter"] * size
        self.ascent, descent = self.font.getmetrics()
        self.height = self.ascent + descent
        if self.height > 1.75 * size:                        # implausible metrics: use the height of the ink
            self.height = self.font.getbbox("Ágjp|")[3] + 1
        self.space = self.font.getlength(" ") or size * 0.28
        self.widths = {}

    def width(self, word):
        width = self.widths.get(word)
        if width is None:
            width = self.widths[word] = self.font.getlength(word)
        return width

    def can_draw(self, word):
        return all(c in CHARSET and c not in self.missing for c in word)


class Library:
    """Fonts and text of one group (train, dev or test), loaded once per process."""

    def __init__(self, data, fonts="train", text="train", seed=0):
        facts = json.load(open(f"{data}/fonts.json"))
        self.facts = {name: f for name, f in facts.items() if name.startswith(fonts + "/")}
        self.bytes = {name: open(f"{data}/fonts/{name}", "rb").read() for name in self.facts}
        self.prose = open(f"{data}/prose.{text}.txt").read().split("\0")
        self.code = [piece.split("\n") for piece in open(f"{data}/code.{text}.txt").read().split("\0")]
        self.choose_working_set(random.Random(seed), 10 ** 6)

    def choose_working_set(self, rng, count=100):
        """Keeps a few faces loaded: loading a face at a size costs more than drawing with it."""
        mono = [n for n, f in self.facts.items() if f["mono"]]
        other = [n for n, f in self.facts.items() if not f["mono"]]
        self.mono = rng.sample(mono, min(len(mono), max(8, count // 5)))
        self.faces = rng.sample(other, min(len(other), count))
        self.cache = {}

    def face(self, rng, letter, mono=False):
        name = rng.choice(self.mono if mono else self.faces)
        size = max(7, round(letter / self.facts[name]["letter"]))
        size = size if size < 20 else size // 2 * 2 if size < 36 else size // 4 * 4
        face = self.cache.get((name, size))
        if face is None:
            face = self.cache[name, size] = Face(self.bytes[name], size, self.facts[name])
        return face


def some(rng, count, alphabet):
    return "".join(rng.choice(alphabet) for _ in range(count))


def number(rng):
    """Amounts, dates, times, codes and the words next to them."""
    n = rng.randint
    return rng.choices((
        lambda: f"{rng.uniform(0, 10 ** n(1, 6)):,.2f}",
        lambda: rng.choice(("{0:02d}/{1:02d}/{2}", "{0:02d}.{1:02d}.{2}", "{2}-{1:02d}-{0:02d}")).format(
            n(1, 31), n(1, 12), n(1900, 2040)),
        lambda: str(n(0, 10 ** n(1, 9))),
        lambda: rng.choice("$€£#") + str(n(1, 9999)) + rng.choice(("", ".50", ".99", ",00", "k")),
        lambda: f"{n(0, 23):02d}:{n(0, 59):02d}" + rng.choice(("", f":{n(0, 59):02d}")),
        lambda: f"({n(100, 999)}) {n(100, 999)}-{n(1000, 9999)}",
        lambda: f"{rng.uniform(0, 100):.1f}%",
        lambda: f"{n(0, 999_999_999):,}".replace(",", rng.choice((".", " ", ","))),
        lambda: rng.choice(("EUR", "USD", "GBP", "CHF", "kg", "mm", "km", "°C", "No.", "pp.", "vol.", "Fig.", "ISBN",
                            "VAT", "Qty", "Tel.", "IBAN", "Total", "Ref.")),
        lambda: some(rng, n(1, 4), string.ascii_uppercase) + rng.choice(("-", "/", "")) + str(n(1, 99999)),
        lambda: " ".join(some(rng, 4, string.digits) for _ in range(n(2, 5))),
        lambda: rng.choice(("{}–{}", "{}/{}", "{} ± {}", "{}:{}", "{}.{}.{}", "-{}", "+{}", "{}x")).format(
            n(1, 999), n(1, 999), n(0, 20)),
    ), (18, 11, 14, 8, 7, 6, 6, 5, 7, 8, 4, 8))[0]()


CODE_ALPHABETS = (string.ascii_letters, string.ascii_uppercase + string.digits, string.ascii_letters + string.digits,
                  string.ascii_letters + string.digits + string.punctuation, string.ascii_lowercase, string.digits,
                  "0123456789abcdef")
WRAPPERS = ("“{}”", "«{}»", "({})", "[{}]", "„{}“", "‘{}’", "{}…", "{},", "{}:", "*{}*", "{}!", "{}?", "'{}'", '"{}"', "{};")


def code_word(rng):
    return some(rng, rng.randint(1, 12), rng.choice(CODE_ALPHABETS))


def decorate(rng, word):
    """A word with a random accent, a sign or quotes: which are too rare in the prose."""
    chance = rng.random()
    if chance < 0.3:
        at = rng.randrange(len(word))
        return [word[:at] + rng.choice(ACCENTED) + word[at + 1:]]
    if chance < 0.4:
        return [rng.choice(SIGNS) + rng.choice(("", str(rng.randint(0, 99)))), word]
    return [rng.choice(WRAPPERS).format(word)] if chance < 0.5 else [word]


def paragraphs(rng, library):
    """Endless paragraphs; from a small text (the tests') each comes once before one comes again."""
    while len(library.prose) > 5000:
        yield rng.choice(library.prose)
    while True:
        yield from rng.sample(library.prose, len(library.prose))


def few(rng, source):
    """The same few paragraphs over and over, as laws, forms and logs do: the reader must keep the place by the picture, not by the words."""
    pool = [next(source) for _ in range(rng.randint(1, 6))]
    while True:
        yield rng.choice(pool)


def phrases(rng, source):
    """A stock of short phrases in random order: only the picture shows which one comes next."""
    stock = [" ".join(prose_span(rng, source, 9)) for _ in range(rng.randint(2, 24))]
    while True:
        yield " ".join(rng.choice(stock) for _ in range(24))


def misspell(rng, word):
    """A word that is nearly one: a letter dropped, doubled, swapped or strange, an ending cut off. Guessing gives the wrong word."""
    at = rng.randrange(len(word))
    return rng.choice((word[:at] + word[at + 1:], word[:at] + word[at] + word[at:], word[:at] + word[at:at + 2][::-1] + word[at + 2:],
                       word[:at] + rng.choice(string.ascii_lowercase) + word[at + 1:], word[:at + 1])) or word


def prose_span(rng, source, longest):
    words = next(source).split(" ")
    start = rng.randrange(max(1, len(words) - 3))
    return [w for w in words[start:start + rng.randint(3, longest)] if w]


def spaced_marks(rng):
    """Equal marks with spaces between, like the separators and the remains of boxes in licences: only the picture shows how many."""
    return [rng.choice("***-.=#_~+") * rng.choice((1, 1, 1, 1, 2, 3))] * rng.randint(3, 14)


def words(rng, library, kind="prose", style="clean"):
    """Endless words. Kind `numbers`: figures and codes alone; else mostly prose. In training, half of the time from a small stock."""
    source, learns = paragraphs(rng, library), style == "train"
    repeats = learns and rng.random() < 0.5
    if repeats:
        source, stock = rng.choice((few, phrases))(rng, source), [number(rng) for _ in range(rng.randint(2, 12))]
    while True:
        if learns and rng.random() < 0.04:
            yield from spaced_marks(rng)
        chance = rng.random()
        if kind == "numbers":
            figure = rng.choice(stock) if repeats and rng.random() < 0.6 else number(rng)
            yield from figure.split(" ") if chance < 0.75 else [code_word(rng)]
        elif chance < 0.71:
            span, case = prose_span(rng, source, 60), rng.random()
            if learns:
                span = [misspell(rng, w) if rng.random() < 0.03 else w for w in span]
            yield from (w.upper() for w in span[:14]) if case < 0.04 else \
                (w.title() for w in span) if case < 0.07 else span
        elif chance < 0.83:
            for _ in range(rng.randint(1, 12)):
                yield from number(rng).split(" ")
        elif chance < 0.93:
            for _ in range(rng.randint(1, 5)):
                yield code_word(rng)
        else:
            for word in prose_span(rng, source, 16):
                yield from decorate(rng, word)


def letter_height(rng, height, width):
    """10-14 px three times in ten (more often on large pages), the rest log-uniform to 56 px."""
    large = height * width > 1_000_000
    chance = rng.random()
    if chance < (0.36 if large else 0.30):
        letter = rng.uniform(9.5, 14)
    elif chance < (0.95 if large else 0.85):
        letter = math.exp(rng.uniform(math.log(13.5), math.log(26 if large else 31)))
    else:
        letter = rng.uniform(26, 44 if large else 56)
    return fitting(letter, height, width)


def fitting(letter, height, width):
    """A letter height that leaves room for a line and some words on a picture of this size."""
    return max(9, min(letter, height * 0.66, max(11, width * 0.28)))


# ---------------------------------------------------------------- text pages
def in_columns(rng, body):
    """A program set in columns, like C headers: runs of spaces between words, continuation lines far to the right."""
    stops = sorted(rng.sample(range(4, 76), rng.randint(1, 3)))
    out = []
    for line in body:
        indent, chance = len(line) - len(line.lstrip()), rng.random()
        if chance < 0.2:
            line = " " * rng.choice(stops) + line.lstrip()
        elif chance < 0.8:
            first, *others = line.lstrip().split(" ") if line else [""]
            line = " " * indent + first
            for word, stop in itertools.zip_longest(others, stops[:len(others)], fillvalue=0):
                line = line.ljust(stop) + " " + word
        out.append(line)
    return out


def repeated(rng, body):
    """A program whose lines repeat themselves with small changes, as tables of data and lists of declarations do."""
    stock = rng.sample(body, min(len(body), rng.randint(2, 8)))
    out = []
    for _ in body:
        line = rng.choice(stock)
        pieces = line.split(" ")
        at = rng.randrange(len(pieces))
        if pieces[at] and rng.random() < 0.4:
            pieces[at] = misspell(rng, pieces[at])
        out.append(" ".join(pieces))
    return out


def ruled_line(rng):
    """A rule typed with characters, as in programs: only its width shows how many there are."""
    mark = rng.choice("#-=~*_./+")
    if rng.random() < 0.25:                                  # groups of them
        return mark + " " + " ".join(mark * rng.randint(1, 12) for _ in range(rng.randint(2, 7)))
    return rng.choice(("", "", "# ", "// ", "/*", " * ", "; ", "%", "<!-- ", "--")) + mark * rng.randint(3, 78)


class Page:
    """A sheet that is filled from top to bottom; keeps the lines in reading order."""

    def __init__(self, rng, library, shape, tokenizer, style):
        self.rng, self.library, self.tokenizer = rng, library, tokenizer
        self.height, self.width = shape.height, shape.width
        self.paper, self.ink = paper_and_ink(rng, style)
        self.image = Image.new("L", (self.width, self.height), self.paper)
        self.draw = ImageDraw.Draw(self.image)
        self.lines, self.tokens_left, self.style = [], shape.max_tokens - 2, style

    def shade(self, strength):
        """Ink of a given strength over the paper."""
        return round(self.paper + (self.ink - self.paper) * strength)

    def rule(self, box, strength=None):
        self.draw.line(box, fill=self.shade(strength or self.rng.uniform(0.4, 1)), width=self.rng.randint(1, 2))

    def line(self, x, y, line_words, face, width, align="left", fill=None, prefix=""):
        """Writes one line; False when the token budget is used up."""
        text = prefix + " ".join(line_words)
        cost = len(self.tokenizer.encode(text).ids) + 1
        if cost > self.tokens_left:
            return False
        self.tokens_left -= cost
        self.lines.append(text)
        fill = self.ink if fill is None else fill
        used = face.width(prefix) + sum(map(face.width, line_words)) + face.space * (len(line_words) - 1)
        spare, rng = width - used, self.rng
        if self.style != "clean" and rng.random() < 0.012:   # marker, then the text on it
            self.draw.rectangle((x - 2, y, x + used + 2, y + face.height), fill=self.shade(rng.uniform(0.05, 0.3)))
        if align == "justify" and spare < width * 0.3 and len(line_words) > 1:
            gap = face.space + spare / (len(line_words) - 1)
            for word in line_words:
                self.draw.text((x, y), word, font=face.font, fill=fill)
                x += face.width(word) + gap
            return True
        if align == "split" and len(line_words) > 1 and spare > width * 0.15:   # the last word at the right edge
            self.draw.text((x, y), prefix + " ".join(line_words[:-1]), font=face.font, fill=fill)
            self.draw.text((x + width - face.width(line_words[-1]), y), line_words[-1], font=face.font, fill=fill)
            return True
        x += spare / 2 if align == "centre" else spare if align == "right" else 0
        self.draw.text((x, y), text, font=face.font, fill=fill)
        if rng.random() < 0.015:
            self.draw.line((x, y + face.ascent + 2, x + used, y + face.ascent + 2), fill=fill)
        return True

    def paragraph(self, stream, x, y, width, bottom, face, step, align="left", most_words=10 ** 6, most_lines=10 ** 6,
                  first_indent=0, hanging="", fill=None):
        """Fills lines until a limit; gives the y below the last one, or None when the budget is used up."""
        line_words, used, count, skipped, first = [], 0.0, 0, 0, True
        indent = face.width(hanging) + face.space if hanging else 0
        while y + face.height <= bottom and most_lines > 0 and skipped < 60:
            word = next(stream) if count < most_words else None
            room = width - (first_indent if first else indent)
            if word is not None:
                if not word or face.width(word) > room or not face.can_draw(word):
                    skipped += 1
                    continue
                if not line_words or used + face.space + face.width(word) <= room:
                    used += face.width(word) + (face.space if line_words else 0)
                    line_words.append(word)
                    count += 1
                    continue
            if not line_words:
                break
            last = word is None or most_lines == 1 or y + step + face.height > bottom
            shift = first_indent if first else indent
            if hanging and first:
                shift = 0
            ok = self.line(x + shift, y, line_words, face, width - shift,
                           "left" if last and align == "justify" else align, fill,
                           prefix=hanging + " " if hanging and first else "")
            if not ok:
                return None
            y, first, most_lines = y + step, False, most_lines - 1
            line_words, used = ([word], face.width(word)) if word is not None else ([], 0.0)
            count += word is not None
            if word is None:
                break
        return y

    def code(self, x, y, width, bottom, face, step, fill=None):
        """Lines of a program with their indentation; long ones are cut."""
        piece = self.rng.choice(self.library.code)
        columns = int(width / face.space)
        start = self.rng.randrange(max(1, len(piece) - 12))
        body = piece[start:start + self.rng.randint(8, 120)]
        if self.style == "train" and self.rng.random() < 0.4:
            body = repeated(self.rng, body)
        if self.style == "train" and self.rng.random() < 0.35:
            body = in_columns(self.rng, body)
        if self.style == "train" and self.rng.random() < 0.4:
            for _ in range(self.rng.randint(1, 6)):
                at = self.rng.randrange(len(body))
                body.insert(at, body[at][:len(body[at]) - len(body[at].lstrip())] + ruled_line(self.rng))
        body = [line[:columns].rstrip() for line in body]
        margin = min((len(b) - len(b.lstrip()) for b in body if b), default=0)
        blank = False
        for line in body:
            line = line[margin:].rstrip()
            if not line:
                if not blank and self.lines:
                    y += step
                blank = True
                continue
            if y + face.height > bottom:
                break
            if not face.can_draw(line):
                continue
            cost = len(self.tokenizer.encode(line).ids) + 2
            if cost > self.tokens_left:
                return None
            self.tokens_left -= cost
            self.lines.append(("\n" if blank and self.lines else "") + line)
            self.draw.text((x, y), line, font=face.font, fill=self.ink if fill is None else fill)
            y, blank = y + step, False
        return y

    def leaders(self, stream, x, y, width, bottom, face, step, fill=None):
        """Lines of a table of contents or of a form: words, a run of dots or low lines, a number."""
        rng = self.rng
        mark = rng.choices("._-", (7, 3, 1))[0]
        for _ in range(rng.randint(1, 9)):
            head = [w for w in (next(stream) for _ in range(rng.randint(1, 6))) if w and len(w) < 20 and face.can_draw(w)]
            tail = rng.choice(([str(rng.randint(1, 400))], [number(rng).split(" ")[0]], []))
            used = sum(face.width(w) + face.space for w in head + tail)
            count = int((width - used) / face.width(mark)) if head and all(map(face.can_draw, tail)) else 0
            count = min(count, 24 if mark == "_" else 70)       # longer ones cannot be counted
            if count < 3 or y + face.height > bottom:
                continue
            if rng.random() < 0.4:
                count = rng.randint(3, count)
            if not self.line(x, y, head + [mark * count] + tail, face, width, fill=fill):
                return None
            y += step
        return y

    def text(self):
        return "\n".join(self.lines)


def paper_and_ink(rng, style):
    if style == "clean":
        return rng.randint(235, 255), rng.randint(0, 50)
    chance = rng.random()
    if chance < 0.08:                                        # dark mode
        return rng.randint(0, 80), rng.randint(165, 255)
    if chance < 0.16:                                        # light or coloured ink, tinted paper
        paper = rng.randint(170, 255)
        return paper, max(0, paper - rng.randint(70, 120))
    return rng.randint(190, 255), rng.randint(0, 100)


def bullet(rng):
    return rng.choice(("•", "-", "*", "–", f"{rng.randint(1, 20)}.", f"{rng.randint(1, 9)})", f"({rng.choice('abcdefgh')})"))


def column(page, stream, x, y, width, bottom, face, small, kind):
    """Blocks one under another: paragraphs, lists, sub-headings, code. None when the budget is spent."""
    rng, library = page.rng, page.library
    step = max(face.height - 1, int(face.height * (rng.uniform(0.97, 1.3) if rng.random() < 0.85 else rng.uniform(1.3, 1.9))))
    align = rng.choices(("left", "justify", "centre", "right", "split"), (70, 15, 6, 3, 6))[0]
    gap, indent = rng.choice((0, 0, step // 3, step // 2)), rng.choice((0, 0, int(1.5 * face.size)))
    lists = rng.random() < 0.15
    while y is not None and y + face.height <= bottom:
        before, roomy = y, width > 9 * face.size
        fill = page.shade(rng.uniform(0.45, 0.9)) if page.style != "clean" and rng.random() < 0.08 else None
        if kind == "code":
            y = page.code(x, y, width, bottom, face, step, fill)
        elif roomy and rng.random() < 0.03 and kind == "prose":
            y = page.code(x, y, width, bottom, library.face(rng, face.letter, mono=True), step, fill)
        elif roomy and rng.random() < 0.06 and page.height > 300:
            head = library.face(rng, face.letter * rng.uniform(1, 1.5))
            y = page.paragraph(stream, x, y, width, bottom, head, head.height + 1, most_words=rng.randint(1, 8), fill=fill)
        elif roomy and page.style == "train" and rng.random() < 0.04:
            y = page.leaders(stream, x, y, width, bottom, face, step, fill)
        else:
            mark = bullet(rng) if lists and roomy and rng.random() < 0.8 else ""
            y = page.paragraph(stream, x, y, width, bottom, face, step, align, fill=fill, most_words=rng.randint(3, 70),
                               first_indent=indent if roomy and not mark else 0,
                               hanging=mark if mark and face.can_draw(mark) else "")
        if y == before:
            break
        if y is not None:
            if rng.random() < 0.04 and y + 6 < bottom:
                page.rule((x, y + 2, x + width, y + 2))
                y += 6
            y += gap
    return y


def text_page(rng, library, shape, tokenizer, style, kind=None, letter=None):
    page = Page(rng, library, shape, tokenizer, style)
    height, width = shape.height, shape.width
    kind = kind or rng.choices(("prose", "numbers", "code"), (68, 15, 17) if height >= 112 else (80, 20, 0))[0]
    letter = letter or letter_height(rng, height, width)
    face = library.face(rng, letter, mono=kind == "code" or rng.random() < 0.06)
    if face.height > height - 3:
        return None
    stream = words(rng, library, kind, style)
    margin_x, margin_y = rng.randint(2, max(3, width // 14)), rng.randint(1, max(2, height // 18))
    columns = 1
    if width >= 600 and height >= 300 and kind != "code":
        columns = rng.choices((1, 2, 3), (62, 28, 10) if width > 850 else (70, 27, 3))[0]
    gutter = rng.randint(int(face.size), int(2 * face.size) + 12)
    inner = (width - 2 * margin_x - gutter * (columns - 1)) // columns
    if inner < 8 * face.size:
        columns, inner = 1, width - 2 * margin_x
    if columns == 1 and rng.random() < 0.15:
        inner = int(inner * rng.uniform(0.5, 1))
    top, bottom = margin_y, height - 1 - rng.randint(0, margin_y)
    if rng.random() < 0.1:
        top = rng.randint(margin_y, max(margin_y, height // 2 - face.height))
    small = library.face(rng, max(9.5, face.letter * 0.75))
    y = top
    if height >= 300 and kind != "code" and rng.random() < 0.4:          # a title over all columns
        head = library.face(rng, min(56, face.letter * rng.uniform(1.1, 2)))
        if head.height * 3 < height:
            y = page.paragraph(stream, margin_x, top, width - 2 * margin_x, bottom, head, head.height + 2,
                               rng.choice(("left", "centre")), most_lines=rng.randint(1, 2), most_words=rng.randint(2, 14))
            if y is None:
                return None
            if rng.random() < 0.2:
                page.rule((margin_x, y + 2, width - margin_x, y + 2))
            y += int(0.4 * face.size)
    footnote = height >= 400 and kind != "code" and rng.random() < 0.2
    body_bottom = bottom - (small.height + 2) * 3 - 8 if footnote else bottom
    if rng.random() < 0.3:                                               # a text that ends before the sheet does
        body_bottom = min(body_bottom, y + rng.randint(face.height, max(face.height, body_bottom - y)))
    for index in range(columns):
        x = margin_x + index * (inner + gutter)
        if columns == 1 and inner < width - 2 * margin_x:
            x += rng.randint(0, width - 2 * margin_x - inner)
        if index and rng.random() < 0.3:
            page.rule((x - gutter // 2, y, x - gutter // 2, body_bottom))
        if column(page, stream, x, y, inner, body_bottom, face, small, kind) is None:
            footnote = False
            break
    if footnote:
        y = bottom - (small.height + 2) * 3
        page.rule((margin_x, y - 4, margin_x + width // 3, y - 4))
        page.paragraph(stream, margin_x, y, width - 2 * margin_x, bottom, small, small.height + 1,
                       hanging=rng.choice(("", "*", "1", "2", "†")) if small.can_draw("†") else "", most_words=40)
    if not page.lines:
        return None
    if rng.random() < 0.03:
        page.draw.rectangle((0, 0, width - 1, height - 1), outline=page.shade(rng.uniform(0.3, 1)))
    return page.image, page.text(), face.letter, kind


def textless(rng, library, shape, tokenizer, style):
    """Paper, shapes, or a blurred photograph-like field: the right answer is an empty text."""
    height, width = shape.height, shape.width
    paper, ink = paper_and_ink(rng, style)
    image = Image.new("L", (width, height), paper)
    draw = ImageDraw.Draw(image)
    chance = rng.random()
    if chance < 0.4:                                         # smooth random field
        small = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, (rng.randint(3, 9), rng.randint(3, 9)), np.uint8)
        image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        draw = ImageDraw.Draw(image)
    if chance > 0.2:
        for _ in range(rng.randint(0, 7)):
            box = sorted(rng.randint(0, width) for _ in "12"), sorted(rng.randint(0, height) for _ in "12")
            box = (box[0][0], box[1][0], box[0][1], box[1][1])
            shape_kind, fill = rng.random(), rng.choice((None, rng.randint(0, 255)))
            if shape_kind < 0.4:
                draw.ellipse(box, fill=fill, outline=ink)
            elif shape_kind < 0.7:
                draw.rectangle(box, fill=fill, outline=ink)
            else:
                draw.line(box, fill=ink, width=rng.randint(1, 5))
    return image, "", 20, "textless"


# ---------------------------------------------------------------- tables
def merge_cells(rng, rows, columns):
    """owner[r][c] = (top, left, height, width) of the cell that covers the grid place."""
    owner = [[(r, c, 1, 1) for c in range(columns)] for r in range(rows)]
    for _ in range(rng.randint(1, max(1, rows * columns // 8))):
        r, c = rng.randrange(rows), rng.randrange(columns)
        h, w = rng.choice(((1, 2), (2, 1), (1, 3), (2, 2), (3, 1), (1, columns - c)))
        places = [(i, j) for i in range(r, min(rows, r + h)) for j in range(c, min(columns, c + w))]
        h, w = min(h, rows - r), min(w, columns - c)
        if h * w > 1 and h < rows and all(owner[i][j][2:] == (1, 1) for i, j in places):
            for i, j in places:
                owner[i][j] = (r, c, h, w)
    return owner


def table_html(owner, cells):
    out = []
    for r, row in enumerate(owner):
        out.append("<tr>")
        for c, (top, left, height, width) in enumerate(row):
            if (top, left) == (r, c):
                out.append("<td" + (f' colspan="{width}"' if width > 1 else "") +
                           (f' rowspan="{height}"' if height > 1 else "") + f">{cells[r][c]}</td>")
        out.append("</tr>")
    return "<table>" + "".join(out) + "</table>"


def cell_text(rng, stream, face):
    chance = rng.random()
    if chance < 0.06:
        return ""
    text = number(rng) if chance < 0.5 else " ".join(w for w in (next(stream) for _ in range(rng.choice((1, 1, 1, 2, 2, 3)))) if len(w) < 16)
    text = "".join(c for c in text if c not in "&<>").strip()
    return text if face.can_draw(text) else str(rng.randint(0, 999))


def table(rng, library, shape, tokenizer, style, kind=None, letter=None):
    height, width = shape.height, shape.width
    letter = letter or (rng.uniform(10, 14) if rng.random() < 0.25 else rng.uniform(12, 27))
    face = library.face(rng, letter, mono=rng.random() < 0.05)
    pad_x, pad_y = rng.randint(4, int(face.size) + 1), rng.randint(1, max(2, int(face.size) // 2))
    row_height = face.height + 2 * pad_y
    rows = rng.randint(2, max(2, min(12, (height - 6) // row_height)))
    columns = rng.randint(2, max(2, min(8, int(width / (3.5 * face.size)))))
    rules = rng.choices(("grid", "rows", "head", "none"), (60, 12, 13, 15))[0]
    stream = words(rng, library)
    cells = [[cell_text(rng, stream, face) for _ in range(columns)] for _ in range(rows)]
    widths = [int(max(face.width(row[c]) for row in cells)) + 2 * pad_x for c in range(columns)]
    while sum(widths) > width - 6 and columns > 1:
        columns -= 1
        widths, cells = widths[:columns], [row[:columns] for row in cells]
    if sum(widths) > width - 6 or rows * row_height > height - 4:
        return None
    merged = rules == "grid" and columns > 1 and rng.random() < 0.55
    owner = merge_cells(rng, rows, columns) if merged else [[(r, c, 1, 1) for c in range(columns)] for r in range(rows)]
    for c in range(columns):                                 # an empty column cannot be seen in an unruled table
        if all(not row[c] for row in cells):
            cells[0][c] = str(rng.randint(0, 99))
    html = table_html(owner, cells)
    spare = (width - 6 - sum(widths)) * rng.random() / columns if rng.random() < 0.6 else 0
    widths = [int(w + spare) for w in widths]
    left = rng.randint(2, width - 3 - sum(widths))
    top = rng.randint(1, max(1, height - 2 - rows * row_height)) if rng.random() < 0.5 else min(height - 2 - rows * row_height, rng.randint(1, 8))
    xs = [left + sum(widths[:c]) for c in range(columns + 1)]
    ys = [top + r * row_height for r in range(rows + 1)]
    paper, ink = paper_and_ink(rng, style)
    image = Image.new("L", (width, height), paper)
    draw = ImageDraw.Draw(image)
    rule = dict(fill=ink if rng.random() < 0.6 else (paper + ink) // 2, width=rng.choice((1, 1, 2)))
    if style != "clean" and rng.random() < 0.15:             # a shaded head
        draw.rectangle((xs[0], ys[0], xs[-1], ys[1]), fill=round(paper + (ink - paper) * rng.uniform(0.05, 0.25)))
    aligns = [rng.choice(("left", "centre", "right")) for _ in range(columns)]
    for r in range(rows):
        for c in range(columns):
            r0, c0, h, w = owner[r][c]
            if (r0, c0) != (r, c):
                continue
            x0, x1, y0, y1 = xs[c], xs[c + w], ys[r], ys[r + h]
            align = "centre" if w > 1 and rng.random() < 0.6 else aligns[c]
            text_width = face.width(cells[r][c])
            x = {"left": x0 + pad_x, "right": x1 - pad_x - text_width, "centre": (x0 + x1 - text_width) / 2}[align]
            draw.text((x, (y0 + y1 - face.height) / 2), cells[r][c], font=face.font, fill=ink)
            if rules == "grid":
                for line in ((x0, y0, x1, y0), (x0, y1, x1, y1), (x0, y0, x0, y1), (x1, y0, x1, y1)):
                    draw.line(line, **rule)
    for r in {"rows": range(rows + 1), "head": (0, 1, rows)}.get(rules, ()):
        draw.line((xs[0], ys[r], xs[-1], ys[r]), **rule)
    return image, html, face.letter, "table"


# ---------------------------------------------------------------- formulas
GREEK = [r"\alpha", r"\beta", r"\gamma", r"\delta", r"\epsilon", r"\theta", r"\lambda", r"\mu", r"\pi", r"\rho",
         r"\sigma", r"\phi", r"\omega", r"\Delta", r"\Sigma", r"\Omega"]
ITALIC = "abcdefghijkmnpqrstuvwxyzABCDEFGHKLMNPQRSTVXYZ"      # no o, O, l, I: they look like 0 and 1


def latex(rng, depth=0):
    """A formula of the kind matplotlib's mathtext draws."""
    def atom():
        chance = rng.random()
        return rng.choice(ITALIC) if chance < 0.55 else rng.choice(GREEK) + " " if chance < 0.73 else str(rng.randint(0, 99))
    chance = rng.random()
    if depth > 2 or chance < 0.3:
        return atom()
    if chance < 0.42:
        return atom() + "^{" + latex(rng, depth + 2) + "}"
    if chance < 0.52:
        return atom() + "_{" + latex(rng, depth + 2) + "}"
    if chance < 0.62:
        return r"\frac{" + latex(rng, depth + 1) + "}{" + latex(rng, depth + 1) + "}"
    if chance < 0.67:
        return r"\sqrt{" + latex(rng, depth + 1) + "}"
    if chance < 0.72:
        return rng.choice((r"\sum", r"\int", r"\prod")) + "_{" + latex(rng, depth + 2) + "}^{" + latex(rng, depth + 2) + "}" + latex(rng, depth + 1)
    if chance < 0.77:
        return rng.choice((r"\sin ", r"\cos ", r"\log ", r"\exp ")) + latex(rng, depth + 1)
    if chance < 0.83:
        return "(" + latex(rng, depth + 1) + ")"
    operator = rng.choice("+-=<") if rng.random() < 0.75 else rng.choice((r" \leq ", r" \cdot ", r" \times ", r" \neq ", r" \rightarrow ", r" \in "))
    return latex(rng, depth + 1) + operator + latex(rng, depth + 1)


_mathtext = None


def formula(rng, library, shape, tokenizer, style, kind=None, letter=None):
    global _mathtext
    from matplotlib.font_manager import FontProperties
    from matplotlib.mathtext import MathTextParser
    _mathtext = _mathtext or MathTextParser("agg")
    source = " ".join("=".join(latex(rng) for _ in range(rng.randint(1, 2))).split())
    size, family = rng.randint(16, 40), rng.choice(("cm", "cm", "stix", "dejavusans", "dejavuserif", "stixsans"))
    try:
        ink_map = np.asarray(_mathtext.parse(f"${source}$", 72, FontProperties(size=size, math_fontfamily=family)).image)
    except (ValueError, RuntimeError):
        return None
    h, w = ink_map.shape[:2]
    if h > shape.height - 4 or w > shape.width - 4 or h < 3:
        return None
    paper, ink = paper_and_ink(rng, style)
    x, y = rng.randint(2, shape.width - w - 2), rng.randint(2, shape.height - h - 2)
    image = np.full((shape.height, shape.width), paper, np.float32)
    image[y:y + h, x:x + w] += ink_map.astype(np.float32) / 255 * (ink - paper)
    return Image.fromarray(image.clip(0, 255).astype(np.uint8)), f"$${source}$$", size * 0.9, "formula"


# ---------------------------------------------------------------- any of them
MAKERS = {"text": text_page, "table": table, "formula": formula}


def small_print(rng, shape):
    """(letter height, enlargement) of a training picture of this shape, with more small print than the tests have; the
    height is estimated, as in the engine."""
    size = shape.height, shape.width
    letter = fitting(rng.uniform(9.5, 14), *size) if rng.random() < 0.12 else letter_height(rng, *size)
    guess = letter * math.exp(rng.gauss(0, 0.15))
    factor = enlargement(guess, 1, 1) if rng.random() < 0.9 else 1.0
    return letter, min(factor, 1.25) if shape.height * shape.width > 3_000_000 else factor


def sample(rng, library, shape, tokenizer, style="train", kind=None, letter=None):
    """One picture with its truth; tries until a layout fits the shape. In training it is drawn smaller and enlarged to the
    shape if its letters are small."""
    while True:
        drawn, factor = shape, 1.0
        if kind == "textless" or style == "train" and kind is None and shape.task == "text" and rng.random() < 0.015:
            made = textless(rng, library, shape, tokenizer, style)
        else:
            if style == "train":
                letter, factor = small_print(rng, shape)
                drawn = replace(shape, height=round(shape.height / factor), width=round(shape.width / factor))
            made = MAKERS[shape.task](rng, library, drawn, tokenizer, style, kind, letter)
        if made is None:
            continue
        image, text, letter_px, what = made
        ids = tokenizer.encode(text).ids
        if len(ids) < shape.max_tokens:
            break
    if style == "train" and rng.random() < (0.5 if shape.height * shape.width > A4_PIXELS else 0.75):
        image = damage(rng, image, letter_px)
    elif style != "clean":
        image = degrade(rng, image, letter_px)
    if factor > 1:
        image = image.resize((shape.width, shape.height), Image.Resampling.BICUBIC)
    return Sample(np.asarray(image), ids, text, round(letter_px * factor), what)
