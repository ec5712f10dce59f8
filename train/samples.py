# SPDX-License-Identifier: Apache-2.0
"""Makes the small set of pictures with truth that tests and the demo use, from the reserved families and texts.

    python3 samples.py DATA OUT      # OUT/*.png, OUT/truth.json (name, size, task, kind, letter height, text)
"""
import json
import os
import random
import sys
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw
from tokenizers import Tokenizer

from evaluate import rows
from pages import SHAPES, Face, Library, Page, Shape, sample

# row of the test -> how many of its pictures
CHOICE = {"up to 616x448, clean": 10, "up to 616x448, degraded": 6, "letters 10-14 px, clean": 4, "code, clean": 4,
          "numbers and codes, clean": 6, "numbers and codes, degraded": 2, "tables, clean": 5, "formulas, clean": 8,
          "1008x896, clean": 1, "1240x1754, clean": 1, "textless": 2}
MOST_BYTES = 110_000


class Demo(Page):
    """An ordinary page: a title, two columns, a list, a footnote; nothing random but the faces."""

    def __init__(self, library, tokenizer):
        rng = random.Random(5)
        super().__init__(rng, library, Shape(1008, 896, 1400), tokenizer, "clean")
        self.paper, self.ink = 252, 20
        self.image = Image.new("L", (896, 1008), self.paper)
        self.draw = ImageDraw.Draw(self.image)

    def face_named(self, name, letter):
        facts = self.library.facts[name]
        return Face(self.library.bytes[name], round(letter / facts["letter"]), facts)

    def fill(self, texts):
        title, small = self.face_named("test/CharisSIL-Bold.ttf", 34), self.face_named("test/CharisSIL-Italic.ttf", 17)
        body, head = self.face_named("test/CharisSIL-Regular.ttf", 19), self.face_named("test/Cabin-Bold.ttf", 22)
        left, width, bottom = 60, 776, 900
        y = self.paragraph(iter(texts["title"].split()), left, 48, width, bottom, title, 46, "centre", most_words=len(texts["title"].split()))
        y = self.paragraph(iter(texts["date"].split()), left, y + 4, width, bottom, small, 26, "centre", most_words=len(texts["date"].split()))
        self.rule((left, y + 8, left + width, y + 8), 0.8)
        column = 370
        for x, part in ((left, "one"), (left + width - column, "two")):
            at = y + 26
            for heading, paragraph in texts[part]:
                if heading:
                    at = self.paragraph(iter(heading.split()), x, at, column, bottom, head, 32, most_words=len(heading.split()))
                words = paragraph.split()
                mark = words[0] if words[0] in "•" else ""
                at = self.paragraph(iter(words[1:] if mark else words), x, at, column, bottom, body, 27, "left",
                                    most_words=len(words) - bool(mark), hanging=mark)
                at += 8
        self.rule((left, 922, left + 240, 922), 0.8)
        self.paragraph(iter(texts["foot"].split()), left, 930, width, 1000, small, 24, most_words=len(texts["foot"].split()))
        return np.asarray(self.image)


DEMO_TEXT = {
    "title": "Notes on the Reading of Pages", "date": "No. 12, 24 November 2026, price € 3.50",
    "one": [("Why small models read", "A page of print is not a photograph of the world. It has ink and paper, a few families of "
             "letters, and lines that run from left to right. A model of twenty million numbers can learn this much."),
            ("What it was shown", "Millions of drawn pages: books, letters, lists, tables and programs, in hundreds of faces, "
             "clean and stained, straight and slightly skewed. Every page came with its own truth."),
            ("", "• Prices such as $1,249.00 or 17,50 €"), ("", "• Dates: 03/11/1987, 2024-02-29"),
            ("", "• Names: Zoë Müller, François Lefèvre, Łukasz Żak")],
    "two": [("What it cannot do", "It does not read handwriting, nor scripts other than Latin. It guesses when letters are "
             "smaller than nine pixels, and says so nowhere; look at the picture when a number matters."),
            ("How it is measured", "By the share of wrong characters on faces and texts that it never saw. A wrong comma counts "
             "as much as a wrong digit. White space is folded before counting."),
            ("", "“Well begun is half done,” said the printer — and set the second half himself.")],
    "foot": "* This page was drawn for the demonstration; its words are in the public domain."}


def within_training(shape):
    """The shape with no more text than its size had in training."""
    trained = [s.max_tokens for s in SHAPES if s.task == shape.task and s.height * s.width <= shape.height * shape.width * 1.02]
    return replace(shape, max_tokens=min(shape.max_tokens, max(trained)))


def main():
    data, out = sys.argv[1:]
    os.makedirs(out, exist_ok=True)
    library, tokenizer = Library(data, "test", "test"), Tokenizer.from_file(f"{data}/tokenizer.json")
    truth = []

    def keep(name, image, task, kind, letter, text, row):
        Image.fromarray(image).save(f"{out}/{name}.png", optimize=True)
        truth.append(dict(file=f"{name}.png", width=image.shape[1], height=image.shape[0], task=task, kind=kind, row=row,
                          letter=letter, bytes=os.path.getsize(f"{out}/{name}.png"), text=text))

    page = Demo(library, tokenizer)
    keep("demo-page", page.fill(DEMO_TEXT), "text", "prose", 19, page.text(), "demo")
    for row, count in CHOICE.items():
        shapes, style, kind, letters, _ = rows()[row]
        made, i = 0, 0
        while made < count:
            rng = random.Random(f"samples {row} {i}")
            shape = within_training(shapes[i % len(shapes)])
            s = sample(rng, library, shape, tokenizer, style, kind, rng.uniform(*letters) if letters else None)
            i += 1
            name = f"{row.split(',')[0].replace(' ', '-')}-{style}-{made + 1:02d}"
            keep(name, s.image, shape.task, s.kind, s.letter, s.text, row)
            if truth[-1]["bytes"] > MOST_BYTES * (3 if shape.height > 1000 else 1):
                os.remove(f"{out}/{truth.pop()['file']}")
                continue
            made += 1
    json.dump(truth, open(f"{out}/truth.json", "w"), ensure_ascii=False, indent=1)
    print(len(truth), "pictures", sum(t["bytes"] for t in truth), "bytes")


if __name__ == "__main__":
    main()
