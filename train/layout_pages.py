# SPDX-License-Identifier: Apache-2.0
"""Draws pages with the regions of a layout model, in reading order. Nothing here needs PyTorch.

    page(data, seed, group, photo) -> (uint8 [SIZE, SIZE, 3], float32 [n, 6]) with rows (class, x0, y0, x1, y1 in 0..1, rank)
    python3 layout_pages.py DATA OUT [--count N] [--group test] [--photo] [--kind NAME]        pictures with their boxes, and the time of a page

`data` is the folder of layout_prepare.py. Group `test` has the reserved families and texts, and kinds of pages (HELD_OUT) that training never has.
"""
import argparse
import os
import random
import time

import numpy as np
from PIL import Image, ImageDraw

from layout_ink import barcode, figure, library, price
from layout_photo import SIZE, camera_light, damage, photograph, scan_light, squeeze
from layout_sheet import LABELS, MAX_REGIONS, Sheet

__all__ = ["LABELS", "MAX_REGIONS", "SIZE", "page"]

MENUS = {"paper": dict(text=9, title=2.2, formula=2.6, figure=1.1, table=0.8, list=0.6, code=0.4, quote=0.2),
         "book": dict(text=10, title=1, formula=1.4, figure=0.5, table=0.3, list=0.6, code=0.2, quote=0.6),
         "report": dict(text=7, title=2.5, figure=1.3, table=1.3, list=1.5, note=0.5),
         "manual": dict(text=6, title=1.6, code=3.5, list=1.2, definitions=1.4, table=0.3, figure=0.25, note=0.6),
         "maths": dict(text=6, formula=5, title=0.8, list=0.4),
         "data": dict(text=2, title=1.5, table=4, figure=1.5),
         "vignette": dict(text=7, code=4, title=1.4, figure=0.6, list=0.9, table=0.3, formula=0.4, definitions=0.3),
         "news": dict(text=9, title=1.6, figure=0.8)}
PAPER_SHAPES = dict(wide=(1.333, 1.778, 1.778, 1.414), tall=(1.414, 1.414, 1.414, 1.294, 1.294, 1.5))


def paper_size(rng, wide=False, largest=2340):
    """Scans and rendered files are mostly far larger than the model's input; what is thin there is lost in the squeeze."""
    chance = rng.random()
    high = rng.randint(1500, largest) if chance < 0.3 else rng.randint(1000, 1500) if chance < 0.6 else rng.randint(700, 1100)
    if wide:
        high = int(high * 0.75)
        return int(high * rng.choice(PAPER_SHAPES["wide"])), high
    return int(high / (rng.choice(PAPER_SHAPES["tall"]) if rng.random() < 0.8 else rng.uniform(1.2, 1.6))), high


def varied(rng, menu):
    return {name: weight * rng.uniform(0.3, 1.8) for name, weight in menu.items()}


# ---------------------------------------------------------------- running text in columns
def running(sheet, kind):
    """Papers, books, reports, manuals, data sheets: head, title block, columns, footnotes, foot."""
    rng, width, height = sheet.rng, sheet.width, sheet.height
    odds = {"paper": (3, 6, 0.5), "book": (9, 1, 0), "report": (6, 3, 0.5), "manual": (8, 2, 0), "maths": (7, 3, 0), "data": (6, 3, 1), "news": (0, 2, 6), "vignette": (2, 9, 1)}[kind]
    count = rng.choices((1, 2, 3), odds)[0]
    sheet.size = height * {1: rng.uniform(0.0112, 0.018), 2: rng.uniform(0.0098, 0.0145), 3: rng.uniform(0.009, 0.0125)}[count]
    sheet.inline = rng.uniform(0.2, 0.9) if kind == "maths" or kind == "paper" and rng.random() < 0.25 else 0
    if sheet.rich and rng.random() < {"maths": 0.7, "paper": 0.5, "book": 0.3, "report": 0.2, "vignette": 0.3}.get(kind, 0):
        sheet.inline = rng.uniform(0.7, 1)
    if kind in ("manual", "vignette"):
        sheet.mixed = rng.uniform(0.3, 1)
    margin, top, bottom = width * rng.uniform(0.05, 0.17), height * rng.uniform(0.05, 0.1), height * rng.uniform(0.05, 0.1)
    gutter, inner = width * rng.uniform(0.025, 0.05), width - 2 * margin
    if sheet.rich and rng.random() < 0.3:
        gutter = width * rng.uniform(0.01, 0.025)
    if rng.random() < 0.04:
        sheet.put_watermark()
    numbered = sheet.put_header(margin, top)
    y, end, menu = top, height - bottom, varied(rng, MENUS[kind])
    if rng.random() < {"paper": 0.42, "report": 0.25, "book": 0.12, "maths": 0.1, "vignette": 0.2}.get(kind, 0):
        y = title_block(sheet, kind, margin, y, inner)
    if count > 1 and rng.random() < 0.25 and y < height * 0.5:
        y = ((sheet.put_figure if rng.random() < 0.6 else sheet.put_table)(margin, y, inner, height * 0.38) or y) + sheet.size
    notes = None
    if rng.random() < (0.3 if kind in ("paper", "book", "maths") else 0.1):
        notes = end - sheet.size * rng.uniform(2, 9)
        end = notes - sheet.size * 1.2
    sheet.ruled_columns = rng.random() < 0.06
    last = end if rng.random() < 0.85 else y + (end - y) * rng.uniform(0.3, 0.9)
    sheet.columns(count, margin, y, last, menu, gutter)
    if notes:
        sheet.put_footnotes(margin, inner if count == 1 or rng.random() < 0.3 else (inner - gutter) / 2, notes, height - bottom)
    sheet.put_footer(margin, bottom, numbered)


def title_block(sheet, kind, x, y, width):
    rng, size = sheet.rng, sheet.size
    align = rng.choice(("middle", "middle", "left"))
    y += sheet.height * (rng.uniform(0.02, 0.16) if kind == "book" else rng.uniform(0, 0.05))
    y = sheet.put_words(x, y, width, "doc_title", size * rng.uniform(1.6, 2.8), rng.choice(("bold", "bold", "regular")), sheet.head,
                        sheet.words(rng.randint(2, 13)), align=align, lead=1.25, ink=sheet.accent) + size * 1.2
    if kind != "paper":
        return y + size
    for _ in range(rng.randint(1, 3)):                                    # authors, places, date
        y = sheet.put_words(x + width * 0.1, y, width * 0.8, size=size * rng.uniform(0.9, 1.15), words=sheet.words(rng.randint(3, 24)), align=align) + size * 0.8
    inset = width * rng.choice((0, 0.06, 0.1))
    if rng.random() < 0.8:
        words = sheet.words(rng.randint(50, 170))
        if rng.random() < 0.6:
            y = sheet.put_words(x, y + size * 0.4, width, "paragraph_title", size * 1.05, "bold", None, sheet.title_words("Abstract"),
                                align=rng.choice(("middle", "middle", "left"))) + size * 0.5
        elif rng.random() < 0.6:
            words = ["Abstract" + rng.choice((".", ":", "—", " –"))] + words
        y = sheet.put_words(x + inset, y, width - 2 * inset, "abstract", size * rng.uniform(0.88, 1), rng.choice(("regular", "regular", "italic")),
                            words=words, room=sheet.height * 0.3) + size
        if rng.random() < 0.4:
            y = sheet.put_words(x + inset, y, width - 2 * inset, size=size * 0.95, words=["Keywords:"] + sheet.words(rng.randint(4, 12)), align="left") + size
    return y + size * 0.8


def bibliography(sheet):
    rng, width, height = sheet.rng, sheet.width, sheet.height
    count = rng.choice((1, 2, 2))
    sheet.size = height * (rng.uniform(0.011, 0.016) if count == 1 else rng.uniform(0.0095, 0.0135))
    margin, top, bottom, gutter = width * rng.uniform(0.06, 0.13), height * rng.uniform(0.05, 0.09), height * rng.uniform(0.05, 0.09), width * 0.04
    numbered = sheet.put_header(margin, top)
    column, first = (width - 2 * margin - gutter * (count - 1)) / count, rng.randrange(count)
    menu = varied(rng, MENUS["paper"])
    for i in range(count):
        x, y = margin + i * (column + gutter), top
        if i < first:
            sheet.flow(x, y, column, height - bottom, menu)
            continue
        if i == first and rng.random() < 0.7:
            y = sheet.flow(x, y, column, top + (height - bottom - top) * rng.uniform(0, 0.6), menu)
        if i == first:
            y = sheet.put_words(x, y + sheet.size * 0.6, column, "paragraph_title", sheet.size * 1.25, "bold", sheet.head, sheet.title_words("References"),
                                align="left", ink=sheet.accent) + sheet.size * 0.8
        sheet.put_references(x, y, column, height - bottom - y)
    sheet.put_footer(margin, bottom, numbered)


def contents(sheet):
    rng, width, height = sheet.rng, sheet.width, sheet.height
    sheet.size = height * rng.uniform(0.0105, 0.017)
    margin, top, bottom = width * rng.uniform(0.07, 0.17), height * rng.uniform(0.06, 0.12), height * rng.uniform(0.05, 0.1)
    numbered, inner, y = sheet.put_header(margin, top), width - 2 * margin, top
    if rng.random() < 0.65:
        y = sheet.put_words(margin, y, inner, "paragraph_title", sheet.size * rng.uniform(1.3, 2.2), "bold", sheet.head,
                            sheet.title_words("Contents"), align=rng.choice(("left", "left", "middle")), ink=sheet.accent) + sheet.size * rng.uniform(0.8, 2.5)
    chance, end = rng.random(), height - bottom
    if chance < 0.72:
        y = sheet.put_contents(margin, y, inner, end - y) or y
        if rng.random() < 0.3:
            sheet.flow(margin, y + sheet.size * 2, inner, end, MENUS["book"])
    elif chance < 0.87:
        gutter = width * 0.05
        for i in range(2):
            sheet.put_contents(margin + i * (inner + gutter) / 2, y, (inner - gutter) / 2, end - y)
    else:
        y = sheet.flow(margin, y, inner, y + (end - y) * rng.uniform(0.2, 0.5), MENUS["report"])
        sheet.put_contents(margin, y + sheet.size, inner, end - y - sheet.size)
    sheet.put_footer(margin, bottom, numbered)


def reference_manual(sheet):
    """A function and what it does: a ruled head, short headings, usage as code, arguments, examples."""
    rng, width, height = sheet.rng, sheet.width, sheet.height
    sheet.size, sheet.mixed = height * rng.uniform(0.011, 0.0165), rng.uniform(0.3, 1)
    margin, top, bottom = width * rng.uniform(0.1, 0.2), height * rng.uniform(0.06, 0.11), height * rng.uniform(0.06, 0.15)
    numbered, inner, y = sheet.put_header(margin, top), width - 2 * margin, top
    inset = sheet.size * rng.choice((0, 0, 2, 3))

    def head(y):
        ruled = rng.random() < 0.6
        name = sheet.cut(sheet.code_line().split("(")[0].split(" ")[0], sheet.face(None, "regular", sheet.mono), inner * 0.3)
        box = sheet.write(margin, y, name, sheet.size * 1.05, family=sheet.mono)
        other = sheet.write(margin + max(inner * 0.3, box[2] - margin + sheet.size), y, sheet.cut(sheet.phrase(3, 7), sheet.face(), inner * 0.65), style="italic")
        sheet.add("paragraph_title", box[0], min(box[1], other[1]), other[2], max(box[3], other[3]))
        if ruled:
            for line in (y - sheet.size * 0.8, other[3] + sheet.size * 0.8):
                sheet.pen.line((margin, line, margin + inner, line), fill=sheet.ink)
        return other[3] + sheet.size * rng.uniform(1.5, 2.5)

    y = head(y + sheet.size) if rng.random() < 0.6 else y
    end = height - bottom
    while y < end - sheet.size * 5 and not sheet.full:
        name = rng.choice("Description Usage Arguments Details Value Examples Note Author(s) Références Syntax Options Beispiele".split() + ["See Also", "Return value"])
        y = sheet.write(margin, y, name, sheet.size * rng.uniform(1, 1.15), "paragraph_title", "bold", sheet.head)[3] + sheet.size * rng.uniform(0.6, 1)
        block = sheet.put_code if name in ("Usage", "Examples", "Syntax", "Beispiele") else sheet.put_definitions if name in ("Arguments", "Options") else None
        for _ in range(1 if block else rng.randint(1, 3)):
            function = block or (sheet.put_definitions if rng.random() < 0.12 else sheet.put_text)
            below = function(margin + inset, y, inner - inset, end - y)
            y = (below or y) + sheet.size * rng.uniform(0.6, 0.9)
        y += sheet.size * rng.uniform(0.4, 0.9)
        if rng.random() < 0.06 and y < end - sheet.size * 9:
            y = head(y + sheet.size * 2)
    sheet.put_footer(margin, bottom, numbered)


def card(sheet):
    """A reference card: small print in narrow columns, headings between groups of rows."""
    rng, width, height = sheet.rng, sheet.width, sheet.height
    count = rng.choice((2, 2, 3, 3, 4)) if width > height else rng.choice((1, 2, 2, 3))
    if sheet.rich and rng.random() < 0.3:
        count = rng.choice((3, 3, 4, 5)) if width > height else rng.choice((2, 3, 4))
    sheet.size, sheet.lead, sheet.gap, sheet.indent = min(width / count / 26, height / 62) * rng.uniform(0.75, 1.1), rng.uniform(1.1, 1.25), 0.4, 0
    sheet.justified = False
    margin, gutter, y = width * rng.uniform(0.02, 0.05), width * rng.uniform(0.015, 0.035), height * rng.uniform(0.03, 0.06)
    inner, middle = width - 2 * margin, rng.random() < 0.5
    if rng.random() < 0.4:
        y = sheet.put_words(margin, y, inner, "doc_title", sheet.size * rng.uniform(1.5, 2.4), "bold", sheet.head, sheet.words(rng.randint(2, 5)), align="middle") + sheet.size
    column = (inner - gutter * (count - 1)) / count
    for i in range(count):
        x, top, end = margin + i * (column + gutter), y, height - sheet.size * 3
        if i == 0 and y < height * 0.07 and rng.random() < 0.5:
            top = sheet.put_words(x, top, column, "doc_title", sheet.size * 1.6, "bold", sheet.head, sheet.words(rng.randint(2, 4)), align="middle") + sheet.size
        while top < end - sheet.size * 4 and not sheet.full:
            if rng.random() < 0.75:
                size = sheet.size * rng.uniform(1, 1.3)
                below = sheet.put_words(x, top, column, "paragraph_title", size, "bold", sheet.head, sheet.words(rng.randint(1, 5)), end - top, "middle" if middle else "left", 1.15, sheet.accent)
                top = (below or top) + sheet.size * 0.55
            block = rng.choices((sheet.put_entries, sheet.put_text, sheet.put_code, sheet.put_list, sheet.put_table), (8, 2, 1, 0.6, 0.5))[0]
            top = (block(x, top, column, end - top) or top + sheet.size) + sheet.size * rng.uniform(0.7, 1.4)
        if i and rng.random() < 0.15:
            sheet.pen.line((x - gutter / 2, y, x - gutter / 2, end), fill=sheet.ink)


def index(sheet):
    rng, width, height = sheet.rng, sheet.width, sheet.height
    count = rng.choice((2, 2, 3))
    sheet.size, sheet.lead = height * rng.uniform(0.0095, 0.013), rng.uniform(1.12, 1.3)
    margin, top, bottom, gutter = width * rng.uniform(0.06, 0.13), height * 0.07, height * 0.07, width * 0.04
    numbered, y = sheet.put_header(margin, top), top
    if rng.random() < 0.5:
        y = sheet.put_words(margin, y, width - 2 * margin, "paragraph_title", sheet.size * 1.8, "bold", sheet.head, ["Index"], align="left", ink=sheet.accent) + sheet.size * 2
    column = (width - 2 * margin - gutter * (count - 1)) / count
    for i in range(count):
        x, at = margin + i * (column + gutter), y
        while at < height - bottom - sheet.size * 4 and not sheet.full:
            if rng.random() < 0.7:
                at = sheet.write(x, at, rng.choice("ABCDEFGHIKLMNOPRSTUVW"), sheet.size * 1.15, "paragraph_title", "bold", sheet.head)[3] + sheet.size * 0.6
            start, right, bottom_ = at, x, at
            for _ in range(rng.randint(3, 26)):
                if at > height - bottom - sheet.size:
                    break
                inset = sheet.size * (1.4 if rng.random() < 0.2 else 0)
                pages = ", ".join(str(rng.randint(1, 400)) for _ in range(rng.randint(1, 3)))
                box = sheet.write(x + inset, at, sheet.cut(sheet.phrase(1, 3), sheet.face(), column - inset - sheet.size * 6) + ", " + pages)
                right, bottom_, at = max(right, box[2]), box[3], at + sheet.size * max(1.18, sheet.lead)
            sheet.add("text", x, start, right, bottom_)
            at += sheet.size * 1.1
    sheet.put_footer(margin, bottom, numbered)


# ---------------------------------------------------------------- correspondence, forms, examinations
def letter(sheet):
    rng, width, height = sheet.rng, sheet.width, sheet.height
    sheet.size, sheet.gap, sheet.indent = height * rng.uniform(0.0115, 0.016), max(sheet.gap, 0.5), 0
    if rng.random() < 0.1:
        sheet.hand()
    size, margin, y = sheet.size, width * rng.uniform(0.09, 0.15), height * rng.uniform(0.04, 0.08)
    inner, align = width - 2 * margin, rng.choice(("left", "right"))
    if rng.random() < 0.5:
        high = height * rng.uniform(0.03, 0.06)
        sheet.put_logo(rng.choice((margin, width - margin - high * 2)), y, high * rng.choice((1, 2)), high, "header_image")
        y += high + size
    for _ in range(rng.randint(1, 3)):                                    # sender, receiver, date
        top, left, right = y, 1e9, 0
        for _ in range(rng.randint(1, 5)):
            box = sheet.write(margin if align == "left" else width - margin, y, sheet.phrase(1, 4)[:32], align=align)
            left, right, y = min(left, box[0]), max(right, box[2]), y + size * max(1.2, sheet.lead)
        sheet.add("text", left, top, right, box[3])
        y += size * rng.uniform(0.8, 2.5)
        align = rng.choice(("left", "left", "right"))
    if rng.random() < 0.5:
        y = sheet.put_words(margin, y, inner, "paragraph_title", size * rng.uniform(1, 1.4), "bold", words=sheet.words(rng.randint(2, 9)), align="left") + size * 1.2
    y = sheet.put_words(margin, y, inner, words=sheet.words(2), align="left") + size
    y = sheet.flow(margin, y, inner, y + (height * 0.8 - y) * rng.uniform(0.5, 1), dict(text=10, list=0.8, table=0.3)) + size
    y = sheet.put_words(margin, y, inner, words=sheet.words(rng.randint(2, 4)), align="left") + size * 0.6
    if rng.random() < 0.5:                                                # a signature
        wide, high = width * 0.2, height * 0.04
        path = [(margin + wide * i / 12, y + high * rng.random()) for i in range(13)]
        sheet.pen.line(path, fill=rng.choice(((20, 30, 120), (10, 10, 10))), width=2, joint="curve")
        sheet.add("image", margin, min(p[1] for p in path), margin + wide, max(p[1] for p in path))
        y += high + size * 0.5
    y = sheet.put_words(margin, y, inner, words=sheet.words(rng.randint(2, 5)), align="left")
    if rng.random() < 0.35:
        radius = height * rng.uniform(0.035, 0.08)
        sheet.put_seal(width - margin - radius * rng.uniform(1, 3), min(height - radius * 1.2, y - radius * rng.uniform(-0.2, 1)), radius)
    if rng.random() < 0.5:
        count = rng.randint(1, 3)
        for i in range(count):
            sheet.put_words(margin + i * inner / count, height * 0.94, inner / count * 0.9, "footer", size * 0.72, words=sheet.words(rng.randint(4, 14)), align="left", room=height * 0.05)


def form(sheet):
    """Invoices and forms: pairs of names and values, a table, sums; or fields to fill in."""
    rng, width, height = sheet.rng, sheet.width, sheet.height
    sheet.size, sheet.gap = height * rng.uniform(0.0105, 0.015), max(sheet.gap, 0.6)
    size, margin, y = sheet.size, width * rng.uniform(0.06, 0.11), height * rng.uniform(0.03, 0.07)
    inner = width - 2 * margin
    if rng.random() < 0.4:
        high = height * rng.uniform(0.03, 0.06)
        sheet.put_logo(margin, y, high * 2, high, "header_image")
        y += high + size
    y = sheet.put_words(margin, y, inner, "doc_title", size * rng.uniform(1.5, 2.6), "bold", sheet.head, sheet.words(rng.randint(1, 5)), align=rng.choice(("left", "middle", "right")),
                        ink=sheet.accent) + size * 1.4
    for _ in range(rng.randint(1, 2)):
        count, below = rng.choice((1, 2, 2)), y
        for i in range(count):
            at, left, right = y, margin + i * inner / count, 0
            for _ in range(rng.randint(2, 6)):
                box = sheet.write(left, at, sheet.cut(sheet.phrase(1, 2)[:18] + ": " + sheet.cell(), sheet.face(), inner / count - size))
                right, at = max(right, box[2]), at + size * max(1.2, sheet.lead)
            sheet.add("text", left, y, right, box[3])
            below = max(below, at)
        y = below + size * rng.uniform(0.5, 1.5)
    if rng.random() < 0.6:
        y = (sheet.put_table(margin, y, inner, height * 0.55, True, False) or y) + size
        if rng.random() < 0.6:
            top, left = y, width
            for _ in range(rng.randint(1, 4)):
                box = sheet.write(width - margin, y, sheet.phrase(1, 1)[:12] + "  " + price(rng), align="right", style="bold" if rng.random() < 0.4 else "regular")
                left, y = min(left, box[0]), y + size * 1.4
            sheet.add("text", left, top, width - margin, box[3])
            y += size
        y = sheet.flow(margin, y, inner, y + (height * 0.88 - y) * rng.uniform(0.1, 1), dict(text=5, list=0.5, title=0.7))
    else:
        y = fields(sheet, margin, y, inner)
    if rng.random() < 0.3:
        radius = height * rng.uniform(0.05, 0.09)
        sheet.put_seal(width * rng.uniform(0.25, 0.85), min(height - radius * 1.2, y), radius)
    if rng.random() < 0.5:
        sheet.write(width / 2, height * 0.96, sheet.cut(sheet.phrase(4, 10), sheet.face(), inner), size * 0.75, "footer", align="middle")


def fields(sheet, x, y, width):
    rng, size = sheet.rng, sheet.size
    for _ in range(rng.randint(4, 18)):
        if y > sheet.height * 0.85 or sheet.full:
            break
        if rng.random() < 0.2:
            y = (sheet.put_title(x, y, width, sheet.height * 0.9 - y) or y) + size * 0.8
            continue
        if rng.random() < 0.15:
            y = (sheet.put_text(x, y, width, sheet.height * 0.9 - y) or y) + size
            continue
        text = sheet.cut(sheet.phrase(1, 4), sheet.face(), width * 0.4)
        if rng.random() < 0.3:
            side = size * 0.9
            sheet.pen.rectangle((x, y, x + side, y + side), outline=sheet.ink)
            box = sheet.write(x + side * 1.5, y, text)
            sheet.add("text", x, y, box[2], box[3])
        else:
            box = sheet.write(x, y, text + ":", label="text")
            left, right = box[2] + size, min(x + width, box[2] + size + width * 0.5)
            if rng.random() < 0.5:
                sheet.pen.line((left, y + size, right, y + size), fill=sheet.ink)
            else:
                sheet.pen.rectangle((left, y - size * 0.3, right, y + size * 1.2), outline=sheet.ink)
        y += size * rng.uniform(1.8, 2.6)
    return y


def examination(sheet):
    """Questions with answers to tick; at the head a code for the scanner, a frame for the name, marks in the corners."""
    rng, width, height = sheet.rng, sheet.width, sheet.height
    sheet.size, sheet.justified, sheet.indent = height * rng.uniform(0.0105, 0.0155), False, 0
    size, margin, y = sheet.size, width * rng.uniform(0.07, 0.13), height * rng.uniform(0.025, 0.05)
    inner = width - 2 * margin
    if rng.random() < 0.15:
        sheet.put_watermark()
    if rng.random() < 0.5:
        if rng.random() < 0.7:
            for x, at in ((margin, y), (width - margin, y), (margin, height - y), (width - margin, height - y)):
                sheet.pen.ellipse((x - size * 0.5, at - size * 0.5, x + size * 0.5, at + size * 0.5), fill=sheet.ink)
        wide, high = inner * rng.uniform(0.15, 0.4), size * rng.uniform(1.3, 2.6)
        box = (margin + inner * 0.1, y - high / 2, margin + inner * 0.1 + wide, y + high / 2)
        barcode(rng, sheet.pen, box, sheet.ink)
        sheet.add("header_image", *box)
        if rng.random() < 0.6:
            sheet.write(margin + inner * 0.7, y - size / 2, f"+{rng.randint(1, 99)}/{rng.randint(1, 9)}/{rng.randint(1, 60)}+", label="header", family=sheet.mono)
        y += high + size
    if rng.random() < 0.6:
        y = sheet.put_words(margin, y, inner, "doc_title", size * rng.uniform(1.2, 2), "bold", sheet.head, sheet.words(rng.randint(1, 5)), align=rng.choice(("left", "middle"))) + size * 1.2
    if rng.random() < 0.35:
        wide, high = inner * rng.uniform(0.35, 1), size * rng.uniform(3, 5)
        left = rng.choice((margin, margin + inner - wide))
        sheet.pen.rectangle((left, y, left + wide, y + high), outline=sheet.ink)
        sheet.write(left + size * 0.6, y + size * 0.6, sheet.cut(sheet.phrase(1, 4) + ":", sheet.face(), wide - size), label="text")
        y += high + size
    if rng.random() < 0.4:
        y = (sheet.put_text(margin, y, inner, height * 0.9 - y) or y) + size
    sheets = rng.random() < 0.2                                           # an answer sheet: letters in a row behind each number
    while y < height * 0.9 and not sheet.full:
        if sheets:
            top, right = y, margin
            for i in range(rng.randint(3, 20)):
                if y > height * 0.9:
                    break
                box = sheet.write(margin, y, f"Question {i + 1}:", style=rng.choice(("regular", "bold")))
                for j in range(rng.randint(2, 8)):
                    x = margin + size * (7 + j * 1.9)
                    sheet.pen.rectangle((x, y - size * 0.2, x + size * 1.3, y + size * 1.1), outline=sheet.ink)
                    sheet.write(x + size * 0.65, y, "ABCDEFGH"[j], size * 0.85, align="middle")
                    right = max(right, x + size * 1.3)
                bottom, y = box[3] + size * 0.2, y + size * rng.uniform(1.9, 2)
            sheet.add("text", margin, top - size * 0.2, right, bottom)
            y += size
            if rng.random() < 0.6:
                break
            continue
        block = rng.choices((sheet.put_question, sheet.put_title, sheet.put_text, sheet.put_figure, sheet.put_formula, sheet.put_table), (9, 0.7, 0.7, 0.4, 0.5, 0.3))[0]
        below = block(margin, y, inner, height * 0.93 - y)
        if below is None:
            break
        y = below + size * rng.uniform(0.8, 1.6)
    if rng.random() < 0.5:
        sheet.write(width / 2, height * 0.955, sheet.page_number(), size * 0.9, "number", align="middle")


def handwritten(sheet):
    """Notes by hand, on plain, ruled or squared paper."""
    rng, width, height = sheet.rng, sheet.width, sheet.height
    sheet.hand()
    sheet.size, sheet.lead, sheet.gap, sheet.indent = height * rng.uniform(0.017, 0.03), rng.uniform(1.25, 1.8), rng.uniform(0.4, 1.5), rng.choice((0, 0, 1.5))
    margin, y, step = width * rng.uniform(0.04, 0.15), height * rng.uniform(0.03, 0.12), sheet.size * sheet.lead
    rule, shade = rng.random(), tuple(rng.randint(150, 215) for _ in range(3))
    if rule < 0.55:
        for at in np.arange(step, height, step):
            sheet.pen.line((0, at, width, at), fill=shade)
        for at in (np.arange(step, width, step) if rule < 0.2 else ()):
            sheet.pen.line((at, 0, at, height), fill=shade)
        if rule > 0.4:
            sheet.pen.line((margin * 0.8, 0, margin * 0.8, height), fill=(220, 120, 120))
    inner = width - 2 * margin
    if rng.random() < 0.5:
        y = sheet.put_words(margin, y, inner, "doc_title", sheet.size * rng.uniform(1.25, 1.7), words=sheet.words(rng.randint(1, 6)),
                            align=rng.choice(("left", "middle"))) + sheet.size
    if rng.random() < 0.2:
        sheet.write(width - margin, height * 0.02, figure(rng), align="right", label="text")
    sheet.flow(margin, y, inner, height * rng.uniform(0.5, 0.97), dict(text=6, list=1.2, title=0.6, formula=0.3))


# ---------------------------------------------------------------- newspapers, slides, titles
def newspaper(sheet):
    rng, width, height = sheet.rng, sheet.width, sheet.height
    sheet.size, sheet.indent, sheet.gap = height * rng.uniform(0.0088, 0.012), rng.choice((0, 1, 1.2)), rng.choice((0, 0.1, 0.4))
    size, margin, y, gutter = sheet.size, width * rng.uniform(0.04, 0.07), height * 0.03, width * 0.025
    inner = width - 2 * margin
    if rng.random() < 0.5:
        y = sheet.put_words(margin, y, inner, "doc_title", size * rng.uniform(3, 5), "bold", sheet.head, sheet.words(rng.randint(1, 3)), align="middle", lead=1.15) + size
        sheet.pen.line((margin, y, margin + inner, y), fill=sheet.ink)
        y += size * 0.6
        sheet.write(margin, y, sheet.phrase(2, 4)[:30], size * 0.85, "header")
        sheet.write(width - margin, y, f"{rng.randint(1, 28)}.{rng.randint(1, 12)}.{rng.randint(1950, 2030)}", size * 0.85, "header", align="right")
        y += size * 1.6
        sheet.pen.line((margin, y, margin + inner, y), fill=sheet.ink)
        y += size
    while y < height * 0.9 and not sheet.full:
        count, high, top = rng.choice((2, 3, 4, 4, 5)), min(height * 0.96 - y, height * rng.uniform(0.22, 0.7)), y
        high = height * 0.96 - y if height * 0.96 - y - high < height * 0.15 else high
        below = sheet.put_words(margin, y, inner, "paragraph_title", size * rng.uniform(1.8, 3.4), "bold", sheet.head,
                                sheet.words(rng.randint(3, 9)), high, rng.choice(("left", "middle")), 1.15)
        if below is None:
            break
        y = below + size
        if rng.random() < 0.3:
            y = (sheet.put_figure(margin, y, inner, high * 0.45) or y) + size
        column = (inner - gutter * (count - 1)) / count
        for i in range(count):
            x = margin + i * (column + gutter)
            sheet.flow(x, y, column, top + high, dict(text=9, title=0.5, figure=0.5))
            if i and rng.random() < 0.4:
                sheet.pen.line((x - gutter / 2, y, x - gutter / 2, top + high - size), fill=(120,) * 3)
        y = top + high + size
        if rng.random() < 0.7:
            sheet.pen.line((margin, y - size * 0.5, margin + inner, y - size * 0.5), fill=sheet.ink)


def slide(sheet):
    rng, width, height = sheet.rng, sheet.width, sheet.height
    sheet.size, sheet.justified, sheet.gap, sheet.indent = height * rng.uniform(0.024, 0.038), False, max(sheet.gap, 0.5), 0
    size, margin = sheet.size, width * rng.uniform(0.05, 0.09)
    inner, head, ink = width - 2 * margin, height * 0.17, sheet.accent
    if rng.random() < 0.3:
        sheet.paper = tuple(rng.randint(0, 110) for _ in range(3)) if rng.random() < 0.6 else tuple(rng.randint(180, 250) for _ in range(3))
        sheet.pen.rectangle((0, 0, width, height), fill=sheet.paper)
        if sum(sheet.paper) < 380:
            sheet.ink = sheet.accent = ink = (245,) * 3
    if rng.random() < 0.25:
        head, ink = height * rng.uniform(0.12, 0.2), (250,) * 3
        sheet.pen.rectangle((0, 0, width, head), fill=tuple(rng.randint(0, 160) for _ in range(3)))
    if rng.random() < 0.14:
        y = sheet.put_words(margin, height * rng.uniform(0.25, 0.4), inner, "doc_title", size * rng.uniform(1.6, 2.4), "bold", sheet.head, sheet.words(rng.randint(2, 9)), align="middle", lead=1.25) + size
        for _ in range(rng.randint(1, 3)):
            y = sheet.put_words(margin, y, inner, size=size * rng.uniform(0.8, 1.1), words=sheet.words(rng.randint(2, 9)), align="middle") + size * 0.7
    else:
        sheet.put_words(margin, head * 0.3, inner, "paragraph_title", size * rng.uniform(1.25, 1.7), "bold", sheet.head, sheet.words(rng.randint(1, 6)), head,
                        rng.choice(("left", "left", "middle")), ink=ink)
        y, end, menu = head * 1.25, height * 0.9, dict(text=2, list=5, figure=1.2, table=0.7, title=0.5, formula=0.5, code=0.3)
        if rng.random() < 0.45:
            left = inner * rng.uniform(0.35, 0.6)
            sheet.flow(margin, y, left, end, menu)
            sheet.flow(margin + left + inner * 0.05, y, inner * 0.95 - left, end, dict(figure=3, list=2, table=1, text=1))
        else:
            sheet.flow(margin, y, inner, end, menu)
    if rng.random() < 0.5:
        sheet.write(margin, height * 0.945, sheet.phrase(2, 6)[:40], size * 0.5, "footer")
    if rng.random() < 0.6:
        sheet.write(width - margin, height * 0.945, str(rng.randint(1, 80)), size * 0.5, "number", align="right")


def title_page(sheet):
    rng, width, height = sheet.rng, sheet.width, sheet.height
    sheet.size = size = height * rng.uniform(0.013, 0.02)
    margin, y, align = width * rng.uniform(0.08, 0.2), height * rng.uniform(0.06, 0.3), rng.choice(("middle", "middle", "left", "right"))
    inner = width - 2 * margin
    if rng.random() < 0.3:
        sheet.put_logo(width / 2 - height * 0.04, height * 0.04, height * 0.08, height * 0.05, "header_image")
    y = sheet.put_words(margin, y, inner, "doc_title", size * rng.uniform(1.8, 3.4), "bold", sheet.head, sheet.words(rng.randint(1, 10)), align=align, lead=1.25, ink=sheet.accent)
    for _ in range(rng.randint(1, 4)):
        y += height * rng.uniform(0.015, 0.1)
        if y > height * 0.75:
            break
        y = sheet.put_words(margin, y, inner, words=sheet.words(rng.randint(1, 9)), size=size * rng.uniform(0.9, 1.4), align=align)
    if rng.random() < 0.3 and y < height * 0.55:
        sheet.put_picture(width * 0.3, y + height * 0.05, width * 0.4, height * 0.22)
        y += height * 0.3
    if rng.random() < 0.5 and y < height * 0.75:
        y = sheet.flow(margin, max(y + height * 0.05, height * rng.uniform(0.6, 0.8)), inner, height * 0.92, dict(text=1))
    if rng.random() < 0.4:
        sheet.write(width / 2, height * 0.95, sheet.phrase(2, 6), size * 0.9, "footer", align="middle")


def vertical(sheet):
    """Chinese in columns from right to left."""
    rng, width, height = sheet.rng, sheet.width, sheet.height
    sheet.script = "chinese"
    sheet.size = height * rng.uniform(0.016, 0.026)
    face = sheet.face()
    pitch, x, top = face.size * 1.1, width * 0.92 - face.size, height * rng.uniform(0.05, 0.12)
    if rng.random() < 0.3:
        for i, letter_ in enumerate(sheet.phrase(2, 4)[:8]):
            sheet.pen.text((x - face.size * 0.5, top + i * pitch * 1.5), letter_, font=sheet.face(sheet.size * 1.4).font, fill=sheet.ink)
        sheet.add("vertical_text", x - face.size * 0.5, top, x + face.size, top + (i + 1) * pitch * 1.5)
        x -= face.size * 2.6
    for _ in range(rng.randint(1, 4)):
        right, rows, columns = x + face.size, int(height * rng.uniform(0.5, 0.83) / pitch), rng.randint(2, 9)
        for i in range(columns):
            if x < width * 0.08:
                break
            letters = sheet.words(rows // 2 + 1)[:rows if i < columns - 1 else max(2, rows // 2)]
            for j, letter_ in enumerate(letters):
                sheet.pen.text((x, top + j * pitch), letter_, font=face.font, fill=sheet.ink)
            left, x = x, x - face.size * rng.uniform(1.38, 1.48)
        sheet.add("vertical_text", left, top, right, top + rows * pitch)
        x -= face.size * rng.uniform(0.8, 2)
        if x < width * 0.12:
            break


def single(sheet):
    """A crop that holds one thing."""
    rng, width, height = sheet.rng, sheet.width, sheet.height
    sheet.size, sheet.gap = min(height, width) * rng.uniform(0.022, 0.05), max(0.4, sheet.gap)
    margin, y = width * rng.uniform(0.01, 0.1), height * rng.uniform(0.01, 0.1)
    inner, kind = width - 2 * margin, rng.choice(("table", "table", "table", "code", "text", "formula", "figure", "seal", "seal", "list", "contents"))
    if kind == "seal":
        at = height * rng.uniform(0, 0.3)
        for _ in range(rng.randint(0, 4)):
            at = (sheet.put_words(margin, at, inner, words=sheet.words(rng.randint(2, 12)), room=height * 0.9 - at, ink=(rng.randint(0, 170),) * 3) or at) + sheet.size
        sheet.put_seal(width * rng.uniform(0.35, 0.65), height * rng.uniform(0.4, 0.6), min(width, height) * rng.uniform(0.12, 0.46))
    elif kind == "table":
        sheet.put_table(margin, y, inner, height - y - height * 0.03, True, rng.random() < 0.4)
    elif kind in ("text", "list"):
        sheet.flow(margin, y, inner, height * 0.95, dict(text=4, list=1, title=0.5))
    else:
        getattr(sheet, "put_" + kind)(margin, y, inner, height - y - 5)


def gallery(sheet):
    """Plates: rows of figures with their captions, each row read from left to right, between paragraphs."""
    rng, width, height = sheet.rng, sheet.width, sheet.height
    sheet.size = size = height * rng.uniform(0.0105, 0.015)
    margin, top, bottom = width * rng.uniform(0.05, 0.14), height * rng.uniform(0.05, 0.1), height * rng.uniform(0.05, 0.1)
    numbered, y, inner = sheet.put_header(margin, top), top, width - 2 * margin
    while y < height - bottom - size * 12 and not sheet.full:
        if rng.random() < 0.4:
            y = sheet.flow(margin, y, inner, y + height * rng.uniform(0.06, 0.2), dict(text=5, title=1)) + size
        count, high, below = rng.choice((1, 2, 2, 3, 3, 4)), height * rng.uniform(0.08, 0.24), 0
        gap, label = size * rng.uniform(1.2, 3), rng.choice(("image", "image", "chart"))
        wide = (inner - gap * (count - 1)) / count
        if y + high + size * 5 > height - bottom:
            break
        for i in range(count):
            x = margin + i * (wide + gap)
            sheet.put_picture(x, y, wide, high, label)
            end = y + high + size * rng.uniform(0.5, 0.8)
            if rng.random() < 0.25:
                end = (sheet.note_below(x, end, wide, size * 4) or end) + size * 0.4
            if rng.random() < 0.85:
                end = sheet.caption(x, end, wide, "figure", size * rng.uniform(2, 6)) or end
            below = max(below, end)
        y = below + size * rng.uniform(1, 2.5)
    sheet.put_footer(margin, bottom, numbered)


def remarks(sheet):
    """A wide column of paragraphs, some with a remark beside them, which is read after its paragraph."""
    rng, width, height = sheet.rng, sheet.width, sheet.height
    sheet.size = size = height * rng.uniform(0.011, 0.0155)
    margin, top, bottom, left = width * rng.uniform(0.06, 0.11), height * rng.uniform(0.06, 0.1), height * rng.uniform(0.05, 0.1), rng.random() < 0.35
    numbered, inner, y = sheet.put_header(margin, top), width - 2 * margin, top
    share = rng.uniform(0.18, 0.3)
    wide, side = inner * (0.97 - share), inner * share
    x, beside = (margin + inner - wide, margin) if left else (margin, margin + inner - side)
    free = y                                                                # where the margin is free
    while y < height - bottom - size * 5 and not sheet.full:
        if rng.random() < 0.2:
            y = (sheet.put_title(x, y, wide, height - bottom - y) or y) + size * 0.5
        start, below = y, sheet.put_text(x, y, wide, height - bottom - y)
        if below is None:
            break
        y = below + size * rng.uniform(0.5, 1.2)
        if start >= free and rng.random() < 0.5:
            free = (sheet.put_words(beside, start, side, size=size * rng.uniform(0.8, 0.95), words=sheet.words(rng.randint(1, 18)), align="left",
                                    room=height - bottom - start) or free) + size * 1.5
        if rng.random() < 0.1:
            y = max(y, free)
            y = (sheet.put_figure(x, y, wide, height - bottom - y) or y) + size
            free = max(free, y)
    sheet.put_footer(margin, bottom, numbered)


# ---------------------------------------------------------------- kinds that only tests have
def catalogue(sheet):
    """A grid of pictures, each with a title, a line below it and a price."""
    rng, width, height = sheet.rng, sheet.width, sheet.height
    sheet.size, sheet.justified = height * rng.uniform(0.011, 0.015), False
    size, margin, y = sheet.size, width * 0.07, height * 0.08
    numbered = sheet.put_header(margin, y)
    y = sheet.put_words(margin, y, width - 2 * margin, "doc_title", size * 2, "bold", sheet.head, sheet.words(rng.randint(1, 4)), align="left", ink=sheet.accent) + size * 2
    columns, rows = rng.choice((2, 3)), rng.choice((2, 3))
    pitch, high = (width - 2 * margin) / columns, (height * 0.9 - y) / rows
    for i in range(rows * columns):
        x, top = margin + i % columns * pitch, y + i // columns * high
        wide = pitch - size * 2
        sheet.put_picture(x, top, wide, high * 0.5)
        below = sheet.put_words(x, top + high * 0.5 + size, wide, "figure_title", size * 0.95, words=sheet.words(rng.randint(2, 6)), align="left", room=size * 3)
        sheet.put_words(x, below + size * 0.9, wide, size=size * 0.9, words=sheet.words(rng.randint(4, 12)), align="left", room=size * 4)
    sheet.put_footer(margin, height * 0.07, numbered)


def minutes(sheet):
    """Items at the left with a narrow column of names at the right, ruled off."""
    rng, width, height = sheet.rng, sheet.width, sheet.height
    sheet.size = size = height * rng.uniform(0.0115, 0.015)
    margin, y, top = width * 0.09, height * 0.09, height * 0.08
    numbered, inner = sheet.put_header(margin, top), width - 2 * margin
    y = sheet.put_words(margin, y, inner, "doc_title", size * 1.8, "bold", sheet.head, sheet.words(rng.randint(2, 6)), align="left") + size * 1.5
    for _ in range(2):
        y = sheet.put_words(margin, y, inner, words=sheet.words(rng.randint(4, 20)), align="left") + size * 1.2
    while y < height * 0.82 and not sheet.full:
        sheet.pen.line((margin, y - size * 0.4, margin + inner, y - size * 0.4), fill=(120,) * 3)
        y = sheet.put_words(margin, y + size * 0.4, inner * 0.7, "paragraph_title", size * 1.1, "bold", sheet.head, [f"{rng.randint(1, 20)}."] + sheet.words(rng.randint(1, 4)), align="left") + size
        start, y = y, (sheet.put_text(margin, y, inner * 0.7, height * 0.9 - y) or y)
        sheet.write(margin + inner * 0.76, start, sheet.cut(sheet.phrase(1, 2), sheet.face(), inner * 0.22), label="text")
        y += size * 1.6
    sheet.put_footer(margin, height * 0.07, numbered)


KINDS = {"paper": 20, "book": 9, "report": 9, "manual": 9, "maths": 6, "data": 4, "news": 3, "bibliography": 4, "contents": 6, "manual_entry": 6, "card": 5, "index": 2,
         "letter": 6, "form": 6, "examination": 6, "handwritten": 3.5, "newspaper": 5, "slide": 7, "title_page": 2, "vertical": 2, "single": 7, "spread": 3}
ADDED = {"vignette": 12, "card": 6, "maths": 14, "paper": 5, "manual": 6, "gallery": 5, "remarks": 4, "spread": 2}    # weights on top of KINDS, for training alone
HELD_OUT = {"catalogue": 5, "minutes": 5}
FUNCTIONS = {"manual_entry": reference_manual, **{f.__name__: f for f in (bibliography, contents, card, index, letter, form, examination, handwritten, newspaper, slide, title_page, gallery, remarks,
                                                                           vertical, single, catalogue, minutes)}}


def draw(rng, stock, kind):
    """A sheet of the kind."""
    if kind == "spread":                                   # two pages of a book
        left, right = draw(rng, stock, "book"), draw(rng, stock, "book")
        scale = left.height / right.height
        other = right.image.resize((int(right.width * scale), left.height), Image.Resampling.BILINEAR)
        both = Image.new("RGB", (left.width + other.width, left.height))
        both.paste(left.image, (0, 0))
        both.paste(other, (left.width, 0))
        fold = (rng.randint(0, 150),) * 3
        ImageDraw.Draw(both).line((left.width, 0, left.width, left.height), fill=fold, width=rng.randint(1, 5))
        left.regions += [[c, x0 * scale + left.width, y0 * scale, x1 * scale + left.width, y1 * scale] for c, x0, y0, x1, y1 in right.regions]
        left.image, left.width = both, both.width
        return left
    if kind == "single":
        size = rng.randint(300, 1400), rng.randint(250, 1100)
    else:
        size = paper_size(rng, kind == "slide" or kind == "card" and rng.random() < 0.6 or rng.random() < 0.03, 1500 if kind == "newspaper" else 2340)
    sheet = Sheet(rng, stock, *size)
    if kind in MENUS:
        running(sheet, kind)
    else:
        FUNCTIONS[kind](sheet)
    return sheet


def kinds_of(group):
    return {**KINDS, **HELD_OUT} if group == "test" else {kind: KINDS.get(kind, 0) + ADDED.get(kind, 0) for kind in {**KINDS, **ADDED}}


def page(data, seed, group="train", photo=None, kind=None):
    """photo: True, False or None (a share of the training's)."""
    rng, stock = random.Random(seed), library(data, group)
    for _ in range(9):
        names = kinds_of(group)
        chosen = kind or rng.choices(list(names), list(names.values()))[0]
        camera = photo if photo is not None else rng.random() < 0.27
        sheet = draw(rng, stock, chosen)
        regions = np.array(sheet.regions, np.float32).reshape(-1, 5)
        picture, regions = (photograph if camera else damage)(rng, sheet.noise, np.asarray(sheet.image), regions, sheet.paper)
        picture, truth = squeeze(rng, picture, regions)
        if 0 < len(truth) <= MAX_REGIONS:
            return (camera_light if camera else scan_light)(rng, sheet.noise, picture), truth
    raise RuntimeError(f"seed {seed} gives no page with 1 to {MAX_REGIONS} regions")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data")
    parser.add_argument("out")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--first", type=int, default=1000)
    parser.add_argument("--group", default="train")
    parser.add_argument("--photo", action="store_true")
    parser.add_argument("--kind")
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    counts, regions, seconds = np.zeros(len(LABELS), int), [], 0.0
    for i in range(options.count):
        start = time.process_time()
        picture, truth = page(options.data, options.first + i, options.group, options.photo or None, options.kind)
        seconds += time.process_time() - start
        counts += np.bincount(truth[:, 0].astype(int), minlength=len(LABELS))
        regions.append(len(truth))
        image = Image.fromarray(picture).resize((960, 960), Image.Resampling.BICUBIC)
        pen = ImageDraw.Draw(image)
        for label, x0, y0, x1, y1, rank in truth:
            shade = ((int(label) * 67) % 200, (int(label) * 131) % 200, (int(label) * 29 + 90) % 220)
            pen.rectangle((x0 * 960, y0 * 960, x1 * 960, y1 * 960), outline=shade, width=2)
            pen.text((x0 * 960 + 2, y0 * 960 - 11), f"{int(rank)} {LABELS[int(label)]}", fill=(220, 0, 0))
        image.save(os.path.join(options.out, f"{options.first + i}.png"))
    print(f"{1000 * seconds / options.count:.0f} ms a page, {np.mean(regions):.1f} regions (at most {max(regions)})")
    print({label: int(count) for label, count in zip(LABELS, counts)})


if __name__ == "__main__":
    main()
