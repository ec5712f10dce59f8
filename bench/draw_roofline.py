#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws what bench_recorded printed into a roofline: speed over arithmetic intensity, both logarithmic, as SVG.

    draw_roofline.py RESULTS OUT.svg --memory GB/S --arithmetic TFLOP/S

RESULTS is the output of bench_recorded; lines without bytes or operations are left out. The roofs are what the card was measured to do.
"""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path

LINE = re.compile(r"^(.+?)\s+([0-9.]+) us\s+([0-9.]+) GB/s\s+([0-9.]+) TFLOP/s$")
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 860, 520, 60, 20, 20, 50
INTENSITY, SPEED = (0.5, 20000.0), (0.5, 1200.0)  # FLOP per byte, TFLOP/s
COLOURS = {"linear": "#1f77b4", "attention_paged": "#2ca02c", "vision attention": "#d62728", "prefill attention": "#9467bd"}


def x_of(intensity: float) -> float:
    share = math.log(intensity / INTENSITY[0]) / math.log(INTENSITY[1] / INTENSITY[0])
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def y_of(speed: float) -> float:
    share = math.log(speed / SPEED[0]) / math.log(SPEED[1] / SPEED[0])
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def read_points(text: str) -> list[tuple[str, float, float]]:
    points = []
    for line in text.splitlines():
        found = LINE.match(line.strip())
        if not found:
            continue
        name, bandwidth, speed = found[1], float(found[3]), float(found[4])
        if bandwidth > 0 and speed > 0:
            points.append((name, 1000 * speed / bandwidth, speed))
    return points


def line(x0: float, y0: float, x1: float, y1: float, style: str) -> str:
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" {style}/>'


def label(x: float, y: float, text: str, anchor: str = "middle", size: int = 11) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{text}</text>'


def grid() -> list[str]:
    parts, style = [], 'stroke="#dddddd"'
    for power in range(5):
        for value, axis in ((10.0**power, INTENSITY), (10.0**power, SPEED)):
            if not axis[0] <= value <= axis[1]:
                continue
            if axis is INTENSITY:
                parts += [line(x_of(value), TOP, x_of(value), HEIGHT - BOTTOM, style), label(x_of(value), HEIGHT - BOTTOM + 16, f"{value:g}")]
            else:
                parts += [line(LEFT, y_of(value), WIDTH - RIGHT, y_of(value), style), label(LEFT - 6, y_of(value) + 4, f"{value:g}", "end")]
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(label((LEFT + WIDTH) / 2, HEIGHT - 12, "FLOP per byte of memory", size=12))
    parts.append(f'<text x="16" y="{middle}" font-size="12" text-anchor="middle" transform="rotate(-90 16 {middle})">TFLOP/s</text>')
    return parts


def roofs(memory: float, arithmetic: float) -> list[str]:
    ridge, style = 1000 * arithmetic / memory, 'stroke="black" stroke-width="1.5"'
    first = SPEED[0] * 1000 / memory if SPEED[0] * 1000 / memory > INTENSITY[0] else INTENSITY[0]
    return [
        line(x_of(first), y_of(first * memory / 1000), x_of(ridge), y_of(arithmetic), style),
        line(x_of(ridge), y_of(arithmetic), WIDTH - RIGHT, y_of(arithmetic), style),
        label(WIDTH - RIGHT, y_of(arithmetic) - 6, f"{arithmetic:g} TFLOP/s", "end"),
        label(x_of(3), y_of(3 * memory / 1000) - 10, f"{memory:g} GB/s", "end"),
    ]


def draw(points: list[tuple[str, float, float]], memory: float, arithmetic: float) -> str:
    parts = grid() + roofs(memory, arithmetic)
    for name, intensity, speed in points:
        colour = next((colour for kind, colour in COLOURS.items() if name.startswith(kind)), "#7f7f7f")
        parts.append(f'<circle cx="{x_of(intensity):.1f}" cy="{y_of(speed):.1f}" r="4" fill="{colour}"><title>{name}: {speed:g} TFLOP/s</title></circle>')
    for index, (kind, colour) in enumerate(COLOURS.items()):
        y = TOP + 16 + 18 * index
        parts += [f'<circle cx="{LEFT + 14}" cy="{y - 4}" r="4" fill="{colour}"/>', label(LEFT + 24, y, kind, "start", 12)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', *parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--memory", type=float, required=True)
    parser.add_argument("--arithmetic", type=float, required=True)
    options = parser.parse_args()
    points = read_points(options.results.read_text(encoding="utf-8"))
    if not points:
        raise SystemExit(f"{options.results} has no line of bench_recorded")
    options.out.write_text(draw(points, options.memory, options.arithmetic), encoding="utf-8")


if __name__ == "__main__":
    main()
