# SPDX-License-Identifier: Apache-2.0
"""A sheet of paper that keeps account of its regions: paragraphs, headings, lists, tables, formulas, figures, code, margins.

Blocks are methods `put_…(x, y, width, room)`: they draw at (x, y), no wider than `width` and no lower than y + room, add their regions
in reading order and return the y below them, or None (and draw nothing) where the room is too small.
"""
import string

import numpy as np
from PIL import Image, ImageDraw

import layout_ink
from layout_ink import Formulas, colours, figure
from layout_margins import Margins

LABELS = ("abstract algorithm aside_text chart content display_formula doc_title figure_title footer footer_image footnote formula_number "
          "header header_image image inline_formula number paragraph_title reference reference_content seal table text vertical_text "
          "vision_footnote").split()
MAX_REGIONS, RESERVED = 80, 12                  # of a page; so many are left for what comes last
EXACT = {"image", "chart", "header_image", "footer_image", "seal", "table"}       # their edges are drawn: less air around them
TITLES = {"References": ("References", "REFERENCES", "Bibliography", "Literatur", "Bibliographie", "Literature cited"),
          "Contents": ("Contents", "Table of Contents", "Inhalt", "Inhaltsverzeichnis", "Table des matières", "CONTENTS"),
          "Abstract": ("Abstract", "ABSTRACT", "Summary", "Zusammenfassung", "Résumé")}
HANZI_TITLES = {"References": "参考文献", "Contents": "目录", "Abstract": "摘要"}


class Sheet(Margins):
    def __init__(self, rng, library, width, height):
        self.rng, self.library, self.width, self.height = rng, library, width, height
        self.noise = np.random.default_rng(rng.getrandbits(63))
        self.regions = []
        self.rich = library.group == "train"                      # what was added after the pages of the test were fixed
        self.choose_colours()
        self.image = Image.new("RGB", (width, height), self.paper)
        self.pen = ImageDraw.Draw(self.image)
        self.size = 12.0
        self.choose_type()

    def choose_colours(self):
        rng, chance = self.rng, self.rng.random()
        self.paper = (255, 255, 255)
        if chance < 0.22:
            self.paper = (rng.randint(225, 252),) * 3
        elif chance < 0.36:
            level = rng.randint(225, 252)
            self.paper = (level, level - rng.randint(0, 10), level - rng.randint(4, 35))
        elif chance < 0.4:
            self.paper = tuple(rng.randint(190, 245) for _ in range(3))
        self.ink = (rng.randint(0, 60),) * 3 if rng.random() < 0.9 else tuple(rng.randint(0, 90) for _ in range(3))
        self.accent = self.ink if rng.random() < 0.65 else tuple(rng.randint(0, 150) for _ in range(3))

    def choose_type(self):
        rng = self.rng
        self.body = self.library.latex if self.library.latex and rng.random() < 0.15 else self.family("serif" if rng.random() < 0.6 else "sans")
        self.head = self.body if rng.random() < 0.5 else self.family("sans" if rng.random() < 0.7 else "serif")
        self.mono = self.family("mono")
        self.justified, self.lead = rng.random() < 0.5, rng.uniform(1.12, 1.55)
        self.indent = rng.choice((0, 0, 1.2, 2))                  # of a paragraph's first line, in letters
        self.gap = rng.uniform(0.35, 1.2) if not self.indent else rng.choice((0, 0, 0.2, 0.5))
        chance = rng.random()
        self.script = "chinese" if chance < 0.09 else "japanese" if chance < 0.13 else "latin"
        self.asian = rng.choice(self.library.families["hanzi"])["regular"]
        self.mixed = rng.choice((0, 0, 0.3, 0.8))                 # share of paragraphs with words in other faces
        self.inline = 0.0                                         # share of paragraphs with formulas in them

    def family(self, kind):
        return self.rng.choice(self.library.families[kind])

    def hand(self):
        self.shaky, self.script = True, "chinese" if self.rng.random() < 0.35 else "latin"
        self.body = self.rng.choice(self.library.families["hand"] if "hand" in self.library.families else self.library.families["serif"])
        self.head, self.justified, self.mixed, self.inline = self.body, False, 0, 0
        if self.rng.random() < 0.6:
            self.ink = self.rng.choice(((20, 30, 110), (30, 30, 40), (10, 10, 10), (60, 60, 90)))

    # ---------------------------------------------------------------- words and faces
    @property
    def dense(self):
        """Chinese and Japanese have no spaces."""
        return self.script in ("chinese", "japanese")

    def face(self, size=None, style="regular", family=None):
        family = family or self.body
        if self.dense and family is not self.mono:
            return self.library.face(self.asian, size or self.size)
        return self.library.face(family.get(style) or family["regular"], size or self.size)

    def words(self, count):
        rng = self.rng
        if not self.dense:
            return self.library.words(rng, count)
        out = []
        while len(out) < count * 2:
            alphabet = self.library.kana if self.script == "japanese" and rng.random() < 0.6 else self.library.hanzi
            out += [rng.choice(alphabet) for _ in range(rng.randint(2, 9))]
            if rng.random() < 0.3:
                out.append(rng.choice("，。、"))
        return out[:count * 2]

    def phrase(self, least, most):
        text = ("" if self.dense else " ").join(self.words(self.rng.randint(least, most))).strip(" ,.;:-")
        return text[:1].upper() + text[1:]

    def title_words(self, name):
        return [HANZI_TITLES[name]] if self.dense else self.rng.choice(TITLES[name]).split()

    def cut(self, text, face, width):
        while text and face.width(text) > width:
            text = text[:-2] if len(text) > 2 else ""
        return text

    # ---------------------------------------------------------------- regions
    def add(self, label, x0, y0, x1, y1):
        """A region with the air that a reader of crops wants: a quarter of a letter beside text, less where lines are close."""
        if label in EXACT:
            across = down = max(1.5, 0.002 * self.height)
        else:
            across, down = 0.25 * self.size + 1, min(0.18, max(0.07, 0.5 * (self.lead - 1))) * self.size + 0.5
        if x1 - x0 > 2 and y1 - y0 > 2:
            self.regions.append([LABELS.index(label), x0 - across, y0 - down, x1 + across, y1 + down])

    @property
    def full(self):
        return len(self.regions) >= MAX_REGIONS - RESERVED

    # ---------------------------------------------------------------- lines and paragraphs
    def write(self, x, y, text, size=None, label=None, style="regular", family=None, align="left", ink=None):
        """One line whose capitals begin at y; x is its left, middle or right. Returns its box."""
        face = self.face(size, style, family)
        width = face.width(text)
        x -= {"left": 0, "middle": width / 2, "right": width}[align]
        self.pen.text((x, y + face.up), text, font=face.font, fill=ink or self.ink, anchor="ls")
        box = (x, y, x + width, y + face.up + face.down)
        if label:
            self.add(label, *box)
        return box

    def mix(self, tokens, size, style):
        """Some words in other faces, some replaced by formulas."""
        rng = self.rng
        maths = self.inline and rng.random() < self.inline
        if maths and self.rich and rng.random() < 0.6:
            return self.mix_formulas(tokens, size)
        if rng.random() < 0.15:                               # a heading that runs into the text
            bold = self.face(size, "bold", self.body if rng.random() < 0.7 else self.mono)
            for i in range(rng.randint(1, 5)):
                tokens[i] = (tokens[i][0], bold, None)
        if maths:
            writer = Formulas(rng, self.library, self.body.get("italic", self.body["regular"]), self.body["regular"])
        for _ in range(rng.randint(1, max(1, len(tokens) // 9))):
            start, count = rng.randrange(len(tokens)), rng.randint(1, 4)
            if maths and rng.random() < 0.5:
                formula = writer.line(size, size * rng.uniform(0.3, 6), 1)
                tokens[start] = ("", None, formula)
            else:
                face = self.face(size, rng.choice(("bold", "italic", "italic")), None) if rng.random() < 0.55 else self.face(size * 0.95, "regular", self.mono)
                for i in range(start, min(start + count, len(tokens))):
                    if tokens[i][2] is None:
                        tokens[i] = (tokens[i][0], face, None)
        return tokens

    def mix_formulas(self, tokens, size):
        """Formulas after every few words; now and then some words in italics, which are none."""
        rng, writer = self.rng, Formulas(self.rng, self.library, self.body.get("italic", self.body["regular"]), self.body["regular"])
        every = rng.choice((5, 8, 14, 20))
        for at in range(rng.randint(0, every), len(tokens), every):
            if rng.random() < 0.7:
                tokens[at] = ("", None, writer.line(size, size * rng.choice((0.3, rng.uniform(0.5, 6), rng.uniform(1.5, 8))), 1))
            elif rng.random() < 0.3:
                face = self.face(size, rng.choice(("italic", "bold")), None)
                tokens[at:at + 2] = [(word, face, None) for word, _, _ in tokens[at:at + 2]]
        return tokens

    def break_lines(self, tokens, width, first, space, hang):
        """Lists of (token, width of it); the first line begins `first` inwards, the others `hang`."""
        lines, line, used = [], [], first
        for token in tokens:
            wide = token[2].width if token[2] is not None else token[1].width(token[0])
            if line and used + space + wide > width:
                lines.append(line)
                line, used = [], hang
            used += wide + (space if line else 0)
            line.append((token, wide))
        return lines + [line] if line else lines

    def put_line(self, line, x, base, space, natural, ink):
        """Draws the tokens of a line from x; returns the boxes of its formulas."""
        boxes, plain = [], all(token[1] is line[0][0][1] for token, _ in line) and line[0][0][1] is not None
        if plain and space == natural and not self.shaky:
            text = ("" if self.dense else " ").join(token[0] for token, _ in line)
            self.pen.text((x, base), text, font=line[0][0][1].font, fill=ink, anchor="ls")
            return boxes
        for (text, face, formula), wide in line:
            if formula is not None:
                formula.draw(self.pen, x, base, ink)
                boxes.append((x, base + formula.top, x + wide, base + formula.bottom))
            else:
                shake = self.rng.uniform(-0.08, 0.08) * face.size if self.shaky else 0
                self.pen.text((x, base + shake), text, font=face.font, fill=ink, anchor="ls")
            x += wide + space
        return boxes

    def put_words(self, x, y, width, label="text", size=None, style="regular", family=None, words=None, room=1e9, align=None, lead=None, ink=None,
                  indent=0.0, hang=0.0):
        """A paragraph; `indent` and `hang` in pixels. Leaves its box in self.box."""
        rng, size = self.rng, size or self.size
        face = self.face(size, style, family)
        step = max(face.size * (lead or self.lead), face.up + face.down + 1)
        most = int((room - face.up - face.down) / step) + 1
        if room < face.up + face.down or most < 1:
            return None
        words = words or self.words(int(rng.triangular(8, 130, 45)))
        tokens = [(word, face, None) for word in words]
        if label == "text" and family is None and not self.dense and len(tokens) > 8 and rng.random() < max(self.mixed, self.inline):
            tokens = self.mix(tokens, size, style)
        align, ink, natural = align or ("justified" if self.justified else "left"), ink or self.ink, 0 if self.dense else face.space
        lines = self.break_lines(tokens, width, indent, natural, hang)[:most]
        left, right, formulas = 1e9, 0, []
        for number, line in enumerate(lines):
            start = x + (indent if number == 0 else hang)
            inner = sum(wide for _, wide in line) + natural * (len(line) - 1)
            space, missing = natural, x + width - start - inner
            if align == "justified" and number < len(lines) - 1 and len(line) > 2 and 0 < missing < 5 * face.space * (len(line) - 1):
                space += missing / (len(line) - 1)
                inner += missing
            elif align == "middle":
                start = x + (width - inner) / 2
            elif align == "right":
                start = x + width - inner
            formulas += self.put_line(line, start, y + number * step + face.up, space, natural, ink)
            left, right = min(left, start), max(right, start + inner)
        self.box = (left, y, right, y + (len(lines) - 1) * step + face.up + face.down)
        if label:
            self.add(label, *self.box)
        for box in formulas:
            if box[2] - box[0] > 1.6 * size and label and not self.full:
                self.add("inline_formula", *box)
        return self.box[3]

    # ---------------------------------------------------------------- text blocks
    def put_text(self, x, y, width, room):
        rng = self.rng
        words = self.words(rng.randint(2, 14)) if rng.random() < 0.14 else None
        return self.put_words(x, y, width, words=words, room=room, indent=self.indent * self.size)

    def put_quote(self, x, y, width, room):
        inset = self.size * self.rng.uniform(1.5, 3)
        return self.put_words(x + inset, y, width - 2 * inset, size=self.size * self.rng.uniform(0.88, 1), style=self.rng.choice(("regular", "italic")),
                              words=self.words(self.rng.randint(15, 70)), room=room)

    def put_title(self, x, y, width, room, level=None):
        rng = self.rng
        level = level or rng.choice((1, 1, 2, 2, 3))
        size = self.size * {1: rng.uniform(1.25, 1.9), 2: rng.uniform(1.08, 1.35), 3: rng.uniform(1, 1.12)}[level]
        if room < size * 2 + self.size * 3:
            return None
        words = self.words(rng.randint(1, 8))
        if rng.random() < 0.55:
            number = ".".join(str(rng.randint(1, 19)) for _ in range(level)) + rng.choice(("", ".", " "))
            if rng.random() < 0.12:
                number = rng.choice(("Chapter", "Section", "Kapitel", "Annexe", "Appendix", "I.", "II.", "A.", "§")) + " " + number
            words = [number + (" " if self.dense else "")] + words
        if rng.random() < 0.15:
            words = [word.upper() for word in words]
        style = "bold" if rng.random() < 0.85 else "italic"
        y += self.size * rng.uniform(0.2, 0.9)
        bottom = self.put_words(x, y, width, "paragraph_title", size, style, self.head, words, room - self.size, "middle" if rng.random() < 0.18 else "left", 1.2, self.accent)
        return bottom and bottom + self.size * rng.uniform(0, 0.5)

    def put_list(self, x, y, width, room):
        """Close items are one region, loose ones are each their own."""
        rng = self.rng
        mark = rng.choice(("•", "–", "-", "1.", "(1)", "a)", "*", "[1]", "1", "□", "B-1", "(a)"))
        inset, hang = self.size * rng.uniform(0, 2.2), self.size * rng.uniform(1.2, 2.4)
        loose = rng.random() < 0.4
        gap = self.size * (rng.uniform(0.5, 1) if loose else rng.choice((0, 0.08, 0.16)))
        boxes, start, long = [], y, rng.random() < 0.25
        for i in range(rng.randint(1, 9)):
            words = self.words(rng.randint(20, 90) if long else rng.randint(2, 22))
            bottom = self.put_words(x + inset + hang, y, width - inset - hang, None, words=words, room=room - (y - start), align=None if long else "left")
            if bottom is None:
                break
            text = "" if mark == "□" else mark.replace("1", str(i + 1)).replace("a", string.ascii_lowercase[i])
            if text:
                self.write(x + inset, y, text)
            else:
                self.pen.rectangle((x + inset, y, x + inset + self.size * 0.7, y + self.size * 0.7), outline=self.ink)
            boxes.append((x + inset, y, self.box[2], bottom))
            y = bottom + gap + self.size * max(0.1, self.lead - 1)
        return self.add_items(boxes, loose)

    def add_items(self, boxes, loose):
        if not boxes:
            return None
        if not loose:
            boxes = [(min(b[0] for b in boxes), boxes[0][1], max(b[2] for b in boxes), boxes[-1][3])]
        for box in boxes:
            if not self.full:
                self.add("text", *box)
        return boxes[-1][3]

    def put_definitions(self, x, y, width, room):
        """Names with their explanations beside or below them, as in manuals: a name and its explanation are one region."""
        rng = self.rng
        beside, loose = rng.random() < 0.6, rng.random() < 0.75
        column = width * rng.uniform(0.12, 0.3) if beside else self.size * rng.uniform(1.5, 3.5)
        family, style = rng.choice(((self.mono, "regular"), (None, "bold"), (None, "italic"), (None, "regular"), (self.mono, "regular")))
        boxes, start, inset = [], y, self.size * rng.choice((0, 0, 1.5))
        for _ in range(rng.randint(2, 9)):
            face = self.face(self.size, style, family)
            name = self.cut(" ".join(self.library.words(rng, rng.choice((1, 1, 1, 2)))).strip(".,;:()"), face, column - inset - face.space * 2 if beside else width * 0.5)
            top = y if beside else y + self.size * self.lead
            bottom = self.put_words(x + column, top, width - column, None, words=self.words(rng.randint(3, 45)), room=room - (top - start))
            if bottom is None or not name:
                break
            box = self.box
            self.write(x + inset, y, name, style=style, family=family)
            boxes.append((x + inset, y, box[2], bottom))
            y = bottom + self.size * (rng.uniform(0.45, 0.75) if loose else 0.1) + self.size * max(0.1, self.lead - 1)
        return self.add_items(boxes, loose)

    def put_entries(self, x, y, width, room):
        """Rows of a reference card: a few words at the left, a command or formula at the right; a group of them is one region."""
        rng, size = self.rng, self.size
        step, start, right = size * max(1.18, self.lead * 0.95), y, x
        mono, leader = rng.random() < 0.5, rng.random() < 0.15
        second = width * rng.uniform(0.5, 0.72) if self.rich and rng.random() < 0.45 else None        # where commands begin, not end
        heads = 0.07 if self.rich and rng.random() < 0.4 else 0
        rows = min(rng.randint(3, 22), int((room - size * 1.3) / step))
        if rows < 2:
            return None
        writer = Formulas(rng, self.library, self.body.get("italic", self.body["regular"]), self.body["regular"])
        for i in range(rows):
            bold = rng.random() < heads if heads else False
            left = self.write(x, y, self.cut(self.phrase(1, 6), self.face(), (second - size if second else width * 0.55)), style="bold" if bold else "regular")
            if second and not bold:
                family = self.mono if mono else None
                end = self.write(x + second, y, self.cut(self.code_line(), self.face(size, "regular", family), width - second), family=family)[2]
                right = max(right, end)
            elif not bold and rng.random() < 0.85:
                if rng.random() < 0.35 and not self.dense:
                    formula = writer.line(size, width * rng.uniform(0.05, 0.25), 1)
                    end, begin = x + width, x + width - formula.width
                    formula.draw(self.pen, begin, y + self.face().up, self.ink)
                else:
                    family = self.mono if mono else None
                    text = self.cut(self.code_line(), self.face(size, "regular", family), width * 0.38)
                    begin, _, end, _ = self.write(x + width, y, text, family=family, align="right")
                if leader:
                    self.leaders(left[2], begin, y)
                right = max(right, end)
            right, bottom = max(right, left[2]), left[3]
            y += step
        self.add("text", x, start, right, bottom)
        return bottom

    def leaders(self, left, right, y):
        face, mark = self.face(), self.rng.choice((". ", ". ", ".", " . "))
        pitch = max(1, face.width(mark))
        count = int((right - left - face.space) / pitch) - 1
        if count > 0:
            self.pen.text((right - face.space / 2 - count * pitch, y + face.up), mark * count, font=face.font, fill=self.ink, anchor="ls")

    def put_question(self, x, y, width, room):
        """A question of an examination and its answers to tick, below each other, in a row or in columns."""
        rng, size, start = self.rng, self.size, y
        if room < size * 9:
            return None
        number = rng.choice((f"Question {rng.randint(1, 60)}", f"{rng.randint(1, 60)}.", f"Q{rng.randint(1, 40)}.", f"Aufgabe {rng.randint(1, 12)}:")).split()
        y = self.put_words(x, y, width, words=number + self.words(rng.randint(4, 30)), room=room - size * 5) or y
        y += size * rng.uniform(0.5, 1)
        inset, side = size * rng.uniform(0, 3), size * rng.uniform(0.7, 1)
        shape, columns = rng.choice((self.pen.rectangle, self.pen.rectangle, self.pen.ellipse)), rng.choice((1, 1, 2, 3, 4, 5))
        count, pitch, right, bottom, top = rng.randint(3, 6), (width - inset) / columns, x, y, y
        for i in range(count):
            if i and i % columns == 0:
                y = bottom + size * rng.choice((0.35, 0.35, 0.6))
            left = x + inset + (i % columns) * pitch
            shape((left, y, left + side, y + side), outline=self.ink, fill=self.ink if rng.random() < 0.1 else None)
            words = self.cut(self.phrase(1, 1 if columns > 2 else 3 if columns == 2 else 9), self.face(), pitch - side * 3)
            box = self.write(left + side * 1.6, y, words)
            right, bottom = max(right, box[2], left + side), max(bottom, box[3], y + side)
            if bottom - start > room - size * 2 and i % columns == columns - 1:
                break
        self.add("text", x + inset, top, right, bottom)
        return bottom + size * rng.uniform(0.3, 1)

    def put_note(self, x, y, width, room):
        """A paragraph on a tinted or framed ground, as hints and warnings of manuals."""
        rng, pad = self.rng, self.size * self.rng.uniform(0.6, 1.2)
        if room < self.size * 8:
            return None
        mark = len(self.regions)
        bottom = self.put_words(x + pad * 3, y + pad, width - pad * 4, words=self.words(rng.randint(12, 60)), room=room - 2 * pad, align="left")
        if bottom is None:
            return None
        covered = self.image.crop((int(x), int(y), int(x + width), int(bottom + pad)))
        if rng.random() < 0.6:                                 # the ground comes under what is drawn already
            tint = tuple(rng.randint(215, 250) for _ in range(3))
            ground = Image.new("RGB", covered.size, tint)
            ground.paste(covered, mask=covered.convert("L").point(lambda v: 255 if v < min(self.paper) - 40 else 0))
            self.image.paste(ground, (int(x), int(y)))
        else:
            self.pen.rectangle((x, y, x + width, bottom + pad), outline=self.accent)
        if rng.random() < 0.5:
            self.pen.rectangle((x, y, x + max(2, pad * 0.25), bottom + pad), fill=self.accent)
        if rng.random() < 0.4:
            side = pad * 1.4
            self.pen.polygon([(x + pad * 1.5, y + pad), (x + pad * 1.5 - side / 2, y + pad + side), (x + pad * 1.5 + side / 2, y + pad + side)], outline=self.ink, fill=(250, 210, 60))
        assert len(self.regions) > mark
        return bottom + pad

    # ---------------------------------------------------------------- code
    def code_line(self):
        for _ in range(8):
            line = self.rng.choice(self.rng.choice(self.library.code)).strip()
            if 3 < len(line) < 70:
                return line
        return "f(x)"

    def put_code(self, x, y, width, room):
        """A listing: one line or many, on plain, tinted or dark ground, framed, numbered, coloured."""
        rng = self.rng
        slanted = self.rich and rng.random() < 0.2
        face = self.face(self.size * rng.uniform(0.78, 1), "italic" if slanted else "regular", self.mono)
        step = max(face.size * rng.uniform(1.05, 1.4), face.up + face.down)
        count = int(min(rng.choice((1, 2, 3, rng.randint(3, 12), rng.randint(5, 40))), (room - self.size * 2) / step))
        if count < 1:
            return None
        frame = rng.choice(("none", "none", "none", "tint", "tint", "dark", "box", "rules"))
        frame = "none" if count < 3 and frame == "rules" else frame
        pad = 0 if frame in ("none", "rules") else face.size * rng.uniform(0.4, 0.9)
        inset = rng.choice((0, 1.5, 3)) * self.size if frame == "none" else 0
        x, width = x + inset, width - inset
        bottom = y + (count - 1) * step + face.up + face.down + 2 * pad
        ink, shades = self.ink, colours(rng, 4, 160)
        if frame == "dark":
            self.pen.rectangle((x, y, x + width, bottom), fill=tuple(rng.randint(20, 50) for _ in range(3)))
            ink, shades = (230,) * 3, [tuple(rng.randint(120, 255) for _ in range(3)) for _ in range(4)]
        elif frame == "tint":
            self.pen.rectangle((x, y, x + width, bottom), fill=tuple(rng.randint(225, 248) for _ in range(3)))
        elif frame == "box":
            self.pen.rectangle((x, y, x + width, bottom), outline=ink)
        piece = rng.choice(self.library.code)
        start = rng.randrange(max(1, len(piece) - count))
        prompt = rng.choice(("> ", "$ ", "? ", ">>> ")) if rng.random() < 0.2 else ""
        numbered, coloured, right = rng.random() < 0.2, rng.random() < 0.4, x
        margin = face.width("000 ") if numbered else 0
        for i in range(count):
            line = piece[(start + i) % len(piece)]
            if (count < 3 or i in (0, count - 1)) and not line.strip():
                line = self.code_line()
            line = (prompt if rng.random() < 0.5 else "") + line
            line = line[:max(4, int((width - pad * 2 - margin) / max(1, face.width("0"))))]
            base = y + pad + face.up + i * step
            if numbered:
                self.pen.text((x + pad, base), str(i + 1), font=face.font, fill=(140,) * 3, anchor="ls")
            self.pen.text((x + pad + margin, base), line, font=face.font, fill=rng.choice(shades) if coloured else ink, anchor="ls")
            right = max(right, x + pad + margin + face.width(line.rstrip()))
        if frame == "rules":
            self.pen.line((x, y - step * 0.4, x + width, y - step * 0.4), fill=ink, width=2)
            self.pen.line((x, bottom + step * 0.3, x + width, bottom + step * 0.3), fill=ink, width=2)
            right = x + width
        self.add("algorithm", x, y, right if frame == "none" else x + width, bottom)
        return bottom + self.size * 0.3

    # ---------------------------------------------------------------- formulas
    def put_formula(self, x, y, width, room):
        rng, size = self.rng, self.size * self.rng.uniform(0.98, 1.2)
        if room < size * 7:
            return None
        writer = Formulas(rng, self.library, self.body.get("italic", self.body["regular"]), self.body["regular"])
        lines = [writer.line(size, width * rng.uniform(0.1, 0.62)) for _ in range(rng.choice((1, 1, 1, 1, 2, 3)))]
        lines = [line for line in lines if line.width < width * 0.86] or [writer.line(size, width * 0.15, 1)]
        left = x + width * rng.uniform(0.04, 0.2) if rng.random() < 0.35 else None
        widest = max(line.width for line in lines)
        start = left if left is not None else x + (width - widest) / 2
        numbered, top = rng.random() < 0.5, y
        start = min(start, x + width - widest - (size * 4 if numbered else 0))
        for line in lines:
            if y - line.top + line.bottom - top > room - size and line is not lines[0]:
                break
            base = y - line.top
            line.draw(self.pen, start if len(lines) > 1 or left is not None else start, base, self.ink)
            bottom = base + line.bottom
            y = bottom + size * 0.55
        self.add("display_formula", start, top, start + widest, bottom)
        if numbered:
            number = rng.choice((f"({rng.randint(1, 99)})", f"({rng.randint(1, 9)}.{rng.randint(1, 30)})", f"[{rng.randint(1, 30)}]", f"({rng.randint(1, 9)}{rng.choice('ab')})"))
            face = self.face()
            self.write(x + width, (top + bottom) / 2 - face.up / 2, number, label="formula_number", align="right")
        return bottom + size * rng.uniform(0.2, 0.6)

    # ---------------------------------------------------------------- tables
    def caption(self, x, y, width, what, room):
        rng = self.rng
        names = {"table": ("Table", "Tab.", "Tabelle", "Tableau", "TABLE"), "figure": ("Figure", "Fig.", "Abbildung", "Abb.", "FIGURE")}[what]
        number = rng.choice((str(rng.randint(1, 20)), f"{rng.randint(1, 9)}.{rng.randint(1, 12)}"))
        words = [rng.choice("图表") + number + " "] if self.dense else [rng.choice(names), number + rng.choice((":", ".", ""))]
        return self.put_words(x, y, width, "figure_title", self.size * rng.uniform(0.8, 1), rng.choice(("regular", "regular", "regular", "bold", "italic")), None,
                              words + self.words(rng.randint(2, 34)), room, rng.choice(("middle", "left", "justified")))

    def cell(self):
        return figure(self.rng) if self.rng.random() < 0.5 else self.phrase(1, 2)[:18]

    def note_below(self, x, y, width, room):
        words = [self.rng.choice(("Note:", "Notes:", "Source:", "Quelle:", "*", "a", "†", "Remarque :"))] + self.words(self.rng.randint(3, 26))
        return self.put_words(x, y, width, "vision_footnote", self.size * self.rng.uniform(0.7, 0.85), words=words, room=room, align="left", lead=1.15)

    def put_table(self, x, y, width, room, fill=False, captioned=True):
        """`fill`: as many rows as the room takes."""
        rng, size, start = self.rng, self.size * self.rng.uniform(0.78, 1), y
        below = captioned and rng.random() < 0.15
        if captioned and not below and rng.random() < 0.55:
            y = (self.caption(x, y, width, "table", room * 0.3) or y) + self.size * rng.uniform(0.4, 0.8)
        wrapped = rng.random() < 0.18                         # names of several lines in the first column
        pitch = size * (rng.uniform(2.6, 5) if wrapped else rng.uniform(1.35, 2.5))
        space = int((room - (y - start) - self.size * (6 if below else 2)) / pitch)
        rows = min(space, rng.randint(10, 40) if fill else rng.randint(3, 15))
        if rows < 3:
            return None
        columns = rng.randint(2, min(9, max(2, int(width / (size * 4)))))
        wide = max(width * (1 if fill or rng.random() < 0.55 else rng.uniform(0.5, 1)), min(width, columns * size * 3.2))
        x += (width - wide) * rng.choice((0, 0.5))
        shares = np.array([rng.uniform(0.7, 1.3) * (rng.uniform(1, 2) if i == 0 else 1) for i in range(columns)])
        edges = x + np.concatenate([[0], np.cumsum(shares / shares.sum())]) * wide
        box = (x, y, x + wide, y + rows * pitch)
        dark = self.rule_table(box, edges, rows, pitch)
        self.fill_table(edges, y, rows, pitch, size, dark, wrapped)
        self.add("table", *box)
        y = box[3] + self.size * rng.uniform(0.5, 0.9)
        if below:
            y = self.caption(x, y, wide, "table", room - (y - start)) or y
        elif rng.random() < (0.5 if self.rich else 0.35):
            y = self.note_below(x, y, wide, room - (y - start)) or y
        return y

    def rule_table(self, box, edges, rows, pitch):
        """Draws the ground and the rules; tells whether the head is dark."""
        rng, pen, (x0, y0, x1, y1) = self.rng, self.pen, box
        style = rng.choice(("grid", "grid", "grid", "rows", "book", "book", "book", "none", "stripes", "frame", "head"))
        style = "book" if style == "none" and len(edges) < 4 else style        # it would look like the entries of a card
        shade = self.ink if rng.random() < 0.55 else tuple(rng.randint(60, 215) for _ in range(3))
        width, dark = rng.choice((1, 1, 1, 2)), False
        if style == "stripes" or rng.random() < 0.08:
            tint = tuple(max(0, int(c * rng.uniform(0.85, 0.96))) for c in self.paper)
            for i in range(0, rows, 2):
                pen.rectangle((x0, y0 + i * pitch, x1, y0 + (i + 1) * pitch), fill=tint)
        if style == "head" or rng.random() < 0.15:
            tint = tuple(rng.randint(30, 230) for _ in range(3))
            dark = sum(tint) < 330
            pen.rectangle((x0, y0, x1, y0 + pitch), fill=tint)
        lines = range(rows + 1) if style in ("grid", "rows") else (0, 1, rows) if style in ("book", "head", "frame") else ()
        for i in lines:
            thick = 2 if style == "book" and i in (0, rows) else width
            pen.line((x0, y0 + i * pitch, x1, y0 + i * pitch), fill=shade, width=thick)
        for edge in (edges if style == "grid" else (x0, x1) if style == "frame" else ()):
            pen.line((edge, y0, edge, y1), fill=shade, width=width)
        return dark

    def fill_table(self, edges, y, rows, pitch, size, dark, wrapped):
        rng = self.rng
        aligned = ["left"] + [rng.choice(("left", "right", "middle")) for _ in edges[2:]]
        empty = rng.choice((0, 0, 0.1, 0.4))
        tall = rng.random() < 0.15 and pitch > size * 2.2 and not wrapped
        for i in range(rows):
            face = self.face(size, "bold" if i == 0 else "regular")
            for j, align in enumerate(aligned):
                if rng.random() < empty and i and j:
                    continue
                if wrapped and i and j == 0:
                    self.put_words(edges[0] + size * 0.3, y + i * pitch + size * 0.3, edges[1] - edges[0] - size * 0.6, None, size, words=self.words(rng.randint(2, 14)),
                                   room=pitch - size * 0.5, align="left", lead=1.12)
                    continue
                text = self.cut(self.phrase(1, 3)[:24] if i == 0 or j == 0 else self.cell(), face, edges[j + 1] - edges[j] - size * 0.6)
                x = {"left": edges[j] + size * 0.3, "right": edges[j + 1] - size * 0.3, "middle": (edges[j] + edges[j + 1]) / 2}[align]
                top = y + (i + 0.5) * pitch - face.up / 2 - (size * 0.5 if tall and i else 0)
                ink = (250,) * 3 if dark and i == 0 else self.ink
                self.write(x, top, text, size, style="bold" if i == 0 else "regular", align=align, ink=ink)
                if tall and i and rng.random() < 0.6:
                    self.write(x, top + size * 1.05, self.cut(self.phrase(1, 2), face, edges[j + 1] - edges[j] - size), size, align=align)

    # ---------------------------------------------------------------- figures
    def put_picture(self, x, y, width, height, label="image"):
        rng = self.rng
        box = (x, y, x + width, y + height)
        if label == "chart":
            face = self.face(max(6, self.size * rng.uniform(0.6, 0.85)), family=self.head)
            layout_ink.chart(rng, self.noise, self.pen, box, face, self.ink, lambda: self.phrase(1, 1))
        elif rng.random() < 0.6:
            self.image.paste(layout_ink.photograph(rng, self.noise, width, height), (int(x), int(y)))
            if rng.random() < 0.2:
                self.pen.rectangle(box, outline=self.ink)
        else:
            face = self.face(max(6, self.size * rng.uniform(0.6, 0.9)), family=self.head)
            layout_ink.diagram(rng, self.pen, box, face, self.ink, lambda: self.phrase(1, 1)[:9])
        self.add(label, *box)

    def put_figure(self, x, y, width, room):
        rng, start = self.rng, y
        wide = width * (1 if rng.random() < 0.4 else rng.uniform(0.45, 1))
        high, captioned = wide * rng.uniform(0.3, 1), rng.random() < 0.8
        if high + self.size * (5 if captioned else 1) > room:
            high = room - self.size * 6
            if high < self.size * 5:
                return None
        left, above = x + (width - wide) * rng.choice((0.5, 0.5, 0)), captioned and rng.random() < 0.1
        if above:
            y = (self.caption(x, y, width, "figure", self.size * 4) or y) + self.size * 0.5
            high = min(high, room - (y - start) - self.size)
        label = "chart" if rng.random() < 0.42 else "image"
        count = rng.choice((1, 1, 1, 1, 1, 1, 2, 3)) if wide > self.size * 20 else 1
        for i in range(count):
            self.put_picture(left + i * wide / count, y, wide / count * (0.95 if count > 1 else 1), high, label)
        y += high + self.size * rng.uniform(0.4, 1)
        if rng.random() < (0.38 if self.rich else 0.24):
            y = (self.note_below(left, y, wide, room - (y - start)) or y) + self.size * 0.4
        if captioned and not above:
            y = self.caption(x, y, width, "figure", room - (y - start)) or y
        return y

    def put_seal(self, x, y, radius):
        rng = self.rng
        stamp = layout_ink.seal(self.library, rng.randrange(300))
        squeeze = rng.choice((1, 1, 1, rng.uniform(0.6, 0.85)))
        stamp = stamp.resize((max(8, int(2 * radius)), max(8, int(2 * radius * squeeze))), Image.Resampling.BILINEAR)
        turned = stamp.rotate(rng.uniform(-30, 30), Image.Resampling.BILINEAR, expand=True)
        strength = rng.uniform(0.5, 1)
        turned.putalpha(turned.getchannel("A").point(lambda v: int(v * strength)))
        left, top = int(x - turned.width / 2), int(y - turned.height / 2)
        self.image.paste(turned, (left, top), turned)
        box = turned.getchannel("A").point(lambda v: 255 if v > 40 else 0).getbbox()
        if box:
            self.add("seal", left + box[0], top + box[1], left + box[2], top + box[3])

    def put_logo(self, x, y, width, height, label):
        rng, ink = self.rng, tuple(self.rng.randint(0, 200) for _ in range(3))
        width = max(width, height)
        (self.pen.ellipse if rng.random() < 0.5 else self.pen.rectangle)((x, y, x + height, y + height), fill=ink)
        if width > height * 1.4:
            face = self.library.face(self.head.get("bold") or self.head["regular"], max(6, height * 0.7))
            text = self.cut("".join(rng.choice(string.ascii_uppercase) for _ in range(12)), face, width - height * 1.15)
            self.pen.text((x + height * 1.15, y + height * 0.8), text, font=face.font, fill=ink, anchor="ls")
            width = height * 1.15 + face.width(text)
        self.add(label, x, y, x + width, y + height)

    # ---------------------------------------------------------------- contents and references
    def put_contents(self, x, y, width, room):
        """Entries of a table of contents (one region): numbered or not, levels by indents, page numbers with or without leaders."""
        rng, face = self.rng, self.face()
        step = self.size * max(1.2, self.lead)
        count = int(min(rng.randint(6, 60), (room - self.size * 1.5) / step))
        if count < 4:
            return None
        dotted, numbered, right_numbers = rng.random() < 0.75, rng.random() < 0.7, rng.random() < 0.92
        depth, page, start, right, spread = rng.choice((1, 2, 2, 3)), rng.randint(1, 20), y, x, rng.random() < 0.4
        for i in range(count):
            level = 0 if i == 0 else rng.randrange(depth)
            left = x + level * self.size * rng.choice((1.3, 1.6))
            if level == 0 and i and spread:
                y += self.size * 0.5
                if y - start + step > room:
                    break
            style = "bold" if level == 0 and depth > 1 else "regular"
            text = (".".join(str(rng.randint(1, 14)) for _ in range(level + 1)) + "  " if numbered else "") + self.phrase(1, 7)
            box = self.write(left, y, self.cut(text, self.face(None, style), width * 0.78 - (left - x)), style=style)
            page += rng.randint(0, 7)
            if right_numbers and not (level == 0 and rng.random() < 0.1):
                number = self.write(x + width, y, str(page), align="right")
                if dotted and (level or rng.random() < 0.4):
                    self.leaders(box[2], number[0], y)
                right = x + width
            right, bottom = max(right, box[2]), box[3]
            y += step
        self.add("content", x, start, right, bottom)
        return bottom

    def put_references(self, x, y, width, room):
        """Works cited, each a region."""
        rng, start = self.rng, y
        if not hasattr(self, "cited"):
            self.cited, self.cite = rng.randint(1, 40), rng.choice(("[%d]", "%d.", "[%d]", "", "", "(%d)"))
            self.cite_gap, self.cite_hang = rng.choice((0.15, 0.3, 0.6)), rng.choice((0, 1.6, 2.2))
        while not self.full:
            words = ([self.cite % self.cited] if self.cite else []) + [rng.choice(string.ascii_uppercase) + "."] + self.words(rng.randint(8, 34))
            words.append(f"{rng.randint(1960, 2026)}.")
            bottom = self.put_words(x, y, width, "reference_content", self.size * 0.94, words=words, room=room - (y - start), hang=self.cite_hang * self.size)
            if bottom is None:
                break
            self.cited += 1
            y = bottom + self.size * (self.cite_gap + max(0.1, self.lead - 1))
        return y if y > start else None

    # ---------------------------------------------------------------- columns
    def flow(self, x, y, width, bottom, menu):
        """Fills a column with blocks drawn from `menu` (name -> weight)."""
        rng, fails, before = self.rng, 0, None
        names, weights = list(menu), list(menu.values())
        floating = ("figure", "table", "list", "contents", "code", "definitions", "note", "entries", "formula", "quote")
        while y < bottom - self.size * 1.5 and not self.full and fails < 4:
            name = rng.choices(names, weights)[0]
            if "text" in menu and (name == before and name in floating or before == "title" and name in ("title", "figure", "formula")):
                name = "text"
            if before and name in floating:
                y += self.size * rng.uniform(0.35, 0.8)
            below = getattr(self, "put_" + name)(x, y, width, bottom - y)
            if below is None:
                fails += 1
                continue
            pause = self.gap if name == "text" else max(0.4, self.gap)
            y = below + self.size * (pause + max(0.1, self.lead - 0.98))
            before = name
            if rng.random() < 0.015:
                y += self.size * rng.uniform(1, 6)
        return y

    def columns(self, count, margin, y, bottom, menu, gutter):
        width = (self.width - 2 * margin - gutter * (count - 1)) / count
        for i in range(count):
            x = margin + i * (width + gutter)
            self.flow(x, y, width, bottom, menu)
            if i and self.ruled_columns:
                self.pen.line((x - gutter / 2, y, x - gutter / 2, bottom), fill=(130,) * 3)

    ruled_columns = shaky = False
