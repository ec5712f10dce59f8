#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws tests/data/samples/demo-document.pdf, which scripts/demo.sh reads: two pages with columns, a table, a formula
and a plot. Needs reportlab.

  tools/make_demo_document.py tests/data/samples/demo-document.pdf
"""
import math
import sys

from reportlab.lib import colors
from reportlab.lib.enums import TA_JUSTIFY
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Frame, KeepInFrame, Paragraph, Table, TableStyle

WIDTH, HEIGHT = A4
MARGIN = 22 * mm
BODY = ParagraphStyle("body", fontName="Times-Roman", fontSize=10.5, leading=13.2, alignment=TA_JUSTIFY, spaceAfter=6)
HEADING = ParagraphStyle("heading", fontName="Times-Bold", fontSize=14, leading=18, spaceBefore=6, spaceAfter=5)
TITLE = ParagraphStyle("title", fontName="Times-Bold", fontSize=22, leading=27, spaceAfter=4)
AUTHOR = ParagraphStyle("author", fontName="Times-Italic", fontSize=11, leading=14)
CAPTION = ParagraphStyle("caption", fontName="Times-Roman", fontSize=9.5, leading=12)

LEFT = [
    Paragraph("1. Why water warms", HEADING),
    Paragraph("A cup of tea cools quickly at first and slowly later. The rate at which it loses heat grows with the "
              "difference between its own temperature and that of the room, so the curve flattens as both come "
              "closer to each other.", BODY),
    Paragraph("Isaac Newton described this in 1701 with a short table of degrees and times. His thermometer held "
              "linseed oil, and his fixed points were melting snow and the heat of the human body.", BODY),
    Paragraph("2. The experiment", HEADING),
    Paragraph("We filled three cups with 200 ml of water at 90 degrees and put them on a wooden table. One was made "
              "of glass, one of steel and one of china. The room was kept at 20 degrees.", BODY),
    Paragraph("Every five minutes a probe was read to a tenth of a degree. Each series was repeated four times, and "
              "the mean of the four readings was kept.", BODY),
]
RIGHT = [
    Paragraph("3. What we saw", HEADING),
    Paragraph("All three cups followed the same law. The steel cup lost heat fastest, although its wall is thin, "
              "because metal carries heat well to the table below it.", BODY),
    Paragraph("China kept the water warm for the longest time. After half an hour it was still at 52.7 degrees, while "
              "the steel cup had fallen to 44.1 degrees.", BODY),
    Paragraph("4. Sources of error", HEADING),
    Paragraph("A draught from the window changed the second series, which was therefore left out. The probe itself "
              "takes up a little heat, less than 0.2 degrees in each reading.", BODY),
    Paragraph("Evaporation was not measured. A lid of paper would have reduced it, and we recommend one to everybody "
              "who repeats these measurements at home.", BODY),
]


def furniture(canvas, page):
    canvas.setFont("Times-Italic", 9)
    canvas.drawString(MARGIN, HEIGHT - 14 * mm, "Notes on Everyday Physics")
    canvas.setFont("Times-Roman", 9)
    canvas.drawCentredString(WIDTH / 2, 12 * mm, str(page))


def put(canvas, flowables, x, y, width, height):
    frame = Frame(x, y, width, height, leftPadding=0, rightPadding=0, topPadding=0, bottomPadding=0)
    frame.addFromList([KeepInFrame(width, height, flowables, mode="error")], canvas)


def formula(canvas, y):
    """T = R + (S - R) * q^t, with its number."""
    x = WIDTH / 2 - 42 * mm
    for font, size, rise, text in [("Times-Italic", 14, 0, "T"), ("Times-Roman", 14, 0, "  =  "), ("Times-Italic", 14, 0, "R"),
                                   ("Times-Roman", 14, 0, "  +  ("), ("Times-Italic", 14, 0, "S"),
                                   ("Times-Roman", 14, 0, "  \u2212  "), ("Times-Italic", 14, 0, "R"),
                                   ("Times-Roman", 14, 0, ")  \u00b7  "), ("Times-Italic", 14, 0, "q"),
                                   ("Times-Italic", 10, 6, "t")]:
        canvas.setFont(font, size)
        canvas.drawString(x, y + rise, text)
        x += canvas.stringWidth(text, font, size)
    canvas.setFont("Times-Roman", 11)
    canvas.drawRightString(WIDTH - MARGIN, y, "(1)")


def plot(canvas, x, y, width, height):
    canvas.setLineWidth(0.8)
    canvas.line(x, y, x + width, y)
    canvas.line(x, y, x, y + height)
    canvas.setFont("Helvetica", 7)
    for minutes in range(0, 61, 10):
        at = x + width * minutes / 60
        canvas.line(at, y, at, y - 3)
        canvas.drawCentredString(at, y - 11, str(minutes))
    for degrees in range(20, 91, 10):
        at = y + height * (degrees - 20) / 70
        canvas.line(x, at, x - 3, at)
        canvas.drawRightString(x - 5, at - 2.5, str(degrees))
    for rate, colour in [(0.020, colors.darkblue), (0.026, colors.darkred), (0.035, colors.darkgreen)]:
        canvas.setStrokeColor(colour)
        path = canvas.beginPath()
        path.moveTo(x, y + height)
        for minutes in range(1, 61):
            path.lineTo(x + width * minutes / 60, y + height * math.exp(-rate * minutes))
        canvas.drawPath(path)
    canvas.setStrokeColor(colors.black)


def main(path):
    canvas = Canvas(path, pagesize=A4, invariant=1)
    canvas.setTitle("How a Cup of Tea Cools")
    furniture(canvas, 1)
    width = WIDTH - 2 * MARGIN
    put(canvas, [Paragraph("How a Cup of Tea Cools", TITLE), Paragraph("Anna Brandt and Luis Ortega", AUTHOR)], MARGIN,
        HEIGHT - 48 * mm, width, 26 * mm)
    column = (width - 8 * mm) / 2
    put(canvas, LEFT, MARGIN, HEIGHT - 165 * mm, column, 112 * mm)
    put(canvas, RIGHT, MARGIN + column + 8 * mm, HEIGHT - 165 * mm, column, 112 * mm)
    plot(canvas, MARGIN + 30 * mm, 50 * mm, 110 * mm, 62 * mm)
    put(canvas, [Paragraph("Figure 1: Temperature in degrees over minutes, for china (above), glass and steel.", CAPTION)],
        MARGIN + 28 * mm, 26 * mm, 120 * mm, 12 * mm)
    canvas.showPage()

    furniture(canvas, 2)
    put(canvas, [Paragraph("5. The law of cooling", HEADING),
                 Paragraph("Let S be the temperature at the start and R that of the room. Then the temperature after t "
                           "minutes is given by the following equation, in which q depends on the cup alone.", BODY)],
        MARGIN, HEIGHT - 52 * mm, width, 30 * mm)
    formula(canvas, HEIGHT - 58 * mm)
    put(canvas, [Paragraph("The three factors were found by the method of least squares. They are listed in Table 1 together "
                           "with the readings after ten, twenty and thirty minutes.", BODY)],
        MARGIN, HEIGHT - 84 * mm, width, 20 * mm)
    put(canvas, [Paragraph("Table 1: Mean temperatures in degrees and fitted factors per minute.", CAPTION)], MARGIN + 20 * mm,
        HEIGHT - 95 * mm, 130 * mm, 7 * mm)
    rows = [["Cup", "10 min", "20 min", "30 min", "Factor"], ["China", "76.9", "65.8", "52.7", "0.980"],
            ["Glass", "73.2", "61.0", "48.9", "0.974"], ["Steel", "69.4", "54.6", "44.1", "0.966"]]
    table = Table(rows, colWidths=[26 * mm] * 5, rowHeights=[8 * mm] * 4)
    table.setStyle(TableStyle([("FONT", (0, 0), (-1, -1), "Times-Roman", 10.5), ("FONT", (0, 0), (-1, 0), "Times-Bold", 10.5),
                               ("GRID", (0, 0), (-1, -1), 0.6, colors.black), ("VALIGN", (0, 0), (-1, -1), "MIDDLE")]))
    table.wrapOn(canvas, width, HEIGHT)
    table.drawOn(canvas, MARGIN + 18 * mm, HEIGHT - 130 * mm)
    put(canvas, [Paragraph("6. Conclusion", HEADING),
                 Paragraph("The simple law holds well for the first half hour. If you want your tea to stay warm, drink it "
                           "from china, and put the cup on a mat of cork.", BODY)],
        MARGIN, HEIGHT - 165 * mm, width, 28 * mm)
    canvas.showPage()
    canvas.save()


if __name__ == "__main__":
    main(sys.argv[1])
