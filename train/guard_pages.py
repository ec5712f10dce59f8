# SPDX-License-Identifier: Apache-2.0
"""Draws pages on which the engine's repetition guard must not act, with their truth, from the reserved families and texts.

    python3 guard_pages.py DATA OUT --count 2000 [--first 0]    # pages as in training: reads, then replays
    python3 guard_pages.py DATA OUT --count 2000 --equal        # pages full of equal lines or cells

Writes OUT/NUMBER.png and OUT/truth.jsonl: the picture, its task and its text. tests/replay/guard_replay.cc reads the latter, and
what `glm-ocr read --guard off -f jsonl --logprobs 1` says of the pictures.
"""
import argparse
import json
import os
import random
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from PIL import Image, ImageDraw
from tokenizers import Tokenizer

from damage import degrade
from pages import SHAPES, Library, Page, Shape, number, prose_span, sample, table_html

A4 = Shape(1754, 1240, 7000)
EQUAL_SHAPES = (A4, A4, Shape(1240, 1754, 7000), Shape(1008, 896, 6000), Shape(896, 672, 6000), Shape(2212, 1568, 8000))

library = tokenizer = None


def prepare(data):
    global library, tokenizer
    library, tokenizer = Library(data, "test", "test"), Tokenizer.from_file(f"{data}/tokenizer.json")


# ---------------------------------------------------------------- pages as in training
def weight(shape):
    """Fewer of the sizes that take long to read."""
    pixels = shape.height * shape.width
    return 1 if pixels < 800_000 else 0.5 if pixels < 1_300_000 else 0.25


def trained_page(rng):
    shape = rng.choices(SHAPES, [weight(s) for s in SHAPES])[0]
    made = sample(rng, library, shape, tokenizer, rng.choice(("train", "train", "clean", "degraded")))
    return made.image, shape.task, made.text


# ---------------------------------------------------------------- pages full of equal lines
def words_of(rng, most):
    return " ".join(prose_span(rng, iter([rng.choice(library.prose)]), most))


def fill(mark, face, width):
    return mark * max(3, int(width / face.width(mark)))


def line_maker(rng, face, width):
    """number of the line -> its text; equal but for numbers that count."""
    head, step, first = words_of(rng, rng.randint(3, 8)), rng.choice((0, 0, 1, 1, 2, 10)), rng.randint(0, 400)
    share, indent = rng.uniform(0.3, 0.9) * width, " " * rng.choice((0, 0, 4, 8))
    unit = rng.choice((number(rng), head.split(" ")[0], "0", "0.00", "yes", "0x00,", "[ ]", "|", "-", "*", "x"))
    mark = rng.choice((".", " .", "_", "-", " _", "=", "·", ". .", "…"))
    return rng.choice((
        lambda i: f"{head} {fill(mark, face, share)} {first + step * i}",
        lambda i: f"{fill(mark, face, share)}",
        lambda i: f"{head}: {fill('_', face, share)}",
        lambda i: f"{rng.choice('-')} {head}",
        lambda i: f"{first + step * i}. {head}",
        lambda i: f"{first + step * i}",
        lambda i: indent + head + rng.choice(";"),
        lambda i: " ".join([unit] * max(1, int(share / (face.width(unit) + face.space)))),
        lambda i: unit * max(1, int(share / face.width(unit))),
        lambda i: f"| {unit} | {first + step * i} | {unit} |",
        lambda i: head,
        lambda i: indent + "}",
    ))


def equal_lines(rng, shape, letter, style):
    page = Page(rng, library, shape, tokenizer, style)
    face = library.face(rng, letter, mono=rng.random() < 0.3)
    columns, margin = rng.choice((1, 1, 1, 2, 3)), rng.randint(4, shape.width // 20)
    width = (shape.width - 2 * margin) // columns - int(face.size)
    step = max(face.height - 1, int(face.letter * rng.uniform(1.05, 1.4)))
    makers = [line_maker(rng, face, width) for _ in range(rng.choice((1, 1, 1, 2, 4)))]
    top = margin
    if rng.random() < 0.3:                                   # a title in larger letters
        title = library.face(rng, letter * rng.uniform(1.5, 4))
        words = iter(words_of(rng, 12).split(" ") * 4)
        top = page.paragraph(words, margin, margin, shape.width - 2 * margin, shape.height // 3, title, title.height, most_words=12) + margin
    for column in range(columns):
        for i, y in enumerate(range(top, shape.height - margin - face.height, step)):
            text = makers[i % len(makers)](i // len(makers))
            if not face.can_draw(text) or face.width(text) > width:
                return None
            if not page.line(margin + column * (width + int(face.size)), y, [text], face, width):
                return page if len(page.lines) > 9 else None
    return page if page.lines else None


def equal_table(rng, shape, letter, style):
    """(picture, text): a ruled table whose rows are equal, of as many cells as the picture can hold."""
    page = Page(rng, library, shape, tokenizer, style)
    face = library.face(rng, letter)
    columns = rng.randint(2, 14)
    row = [rng.choice(("", "", "0", "-", "0.00", "yes", number(rng))) for _ in range(columns)]
    row = row if rng.random() < 0.5 else row[:1] * columns
    if not all(map(face.can_draw, row)):
        return None
    pad = rng.randint(2, int(face.size))
    widths = [int(max(face.width(cell), face.size)) + 2 * pad for cell in row]
    height, limit = face.height + rng.randint(0, int(face.size)), shape.max_tokens
    count = min((shape.height - 8) // height, limit // max(1, len(tokenizer.encode(table_html([[(0, c, 1, 1) for c in range(columns)]], [row])).ids)))
    if sum(widths) > shape.width - 8 or count < 4:
        return None
    for r in range(count):
        x, y = 4, 4 + r * height
        for cell, cell_width in zip(row, widths):
            page.draw.rectangle((x, y, x + cell_width, y + height), outline=page.ink)
            page.draw.text((x + pad, y + (height - face.height) / 2), cell, font=face.font, fill=page.ink)
            x += cell_width
    return page.image, table_html([[(r, c, 1, 1) for c in range(columns)] for r in range(count)], [row] * count)


def equal_page(rng):
    while True:
        shape, letter = rng.choice(EQUAL_SHAPES), rng.choice((rng.uniform(9, 14), rng.uniform(13, 26), rng.uniform(20, 48)))
        style = rng.choice(("clean", "degraded"))
        if rng.random() < 0.25:
            made = equal_table(rng, shape, letter, style)
        else:
            page = equal_lines(rng, shape, letter, style)
            made = page and (page.image, page.text())
        if made:
            image, text = made
            image = degrade(rng, image, letter) if style == "degraded" else image
            return np.asarray(image), "table" if text.startswith("<table>") else "text", text


# ---------------------------------------------------------------- files
def draw(job):
    equal, out, i = job
    rng = random.Random(f"guard {'equal ' if equal else ''}{i}")
    image, task, text = (equal_page if equal else trained_page)(rng)
    file = f"{out}/{i:05d}.png"
    Image.fromarray(image).save(file, compress_level=1)
    return json.dumps({"file": file, "task": task, "text": text}, ensure_ascii=False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data")
    parser.add_argument("out")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--equal", action="store_true")
    parser.add_argument("--workers", type=int)
    arguments = parser.parse_args()
    jobs = [(arguments.equal, arguments.out, arguments.first + i) for i in range(arguments.count)]
    os.makedirs(arguments.out, exist_ok=True)
    with ProcessPoolExecutor(arguments.workers, initializer=prepare, initargs=(arguments.data,)) as pool, \
            open(f"{arguments.out}/truth.jsonl", "w") as truth:
        for line in pool.map(draw, jobs, chunksize=4):
            truth.write(line + "\n")


if __name__ == "__main__":
    main()
