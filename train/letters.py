# SPDX-License-Identifier: Apache-2.0
"""The height of the letters of a picture, and the factor by which small print is enlarged for the model.

Where letters are 10 px high, a token of 28 px covers so many of them that the model loses its place (README.md, "What
went wrong"). src/image/letter_height.cc gives exactly the same.
"""
import json
import sys

import numpy as np
from PIL import Image

WINDOW = 12                        # ink is darker than the mean of the 25 x 25 pixels around it
LEAST_CONTRAST = 12
LONGEST_STROKE = 64                # longer ones are rules
LETTER_OF_STROKE = 1.4             # cap to descender over the height of a tall stroke
LETTER, STEP, MOST_STEPS, MOST_PIXELS = 20, 0.25, 2, 1568 * 2212


def window_sums(grey):
    """Sum and number of the pixels around each that are inside the picture."""
    height, width = grey.shape
    total = np.zeros((height + 1, width + 1), np.int64)
    total[1:, 1:] = grey.astype(np.int64).cumsum(0).cumsum(1)
    top, bottom = (np.clip(np.arange(height) + d, 0, height) for d in (-WINDOW, WINDOW + 1))
    left, right = (np.clip(np.arange(width) + d, 0, width) for d in (-WINDOW, WINDOW + 1))
    sums = total[bottom][:, right] - total[top][:, right] - total[bottom][:, left] + total[top][:, left]
    return sums, (bottom - top)[:, None] * (right - left)[None]


def quantile(histogram, share):
    """The smallest value at which the sum of the histogram reaches `share` of the total."""
    return int(np.searchsorted(histogram.cumsum(), share * histogram.sum()))


def estimate_letter_height(grey):
    """Cap to descender in pixels, roughly (±20 %), of a uint8 picture [height, width]; None without letters."""
    sums, count = window_sums(grey)
    darker = sums // count - grey
    if quantile(np.bincount(grey.ravel(), minlength=256), 0.5) < 128:
        darker = -darker
    contrast = quantile(np.bincount(darker.clip(0, 255).ravel(), minlength=256), 0.99)
    ink = np.zeros((grey.shape[0] + 2, grey.shape[1]), np.int8)
    ink[1:-1] = darker > max(LEAST_CONTRAST, 3 * contrast // 10)
    edges = np.diff(ink, axis=0).T
    strokes = np.nonzero(edges == -1)[1] - np.nonzero(edges == 1)[1]
    lengths = np.bincount(strokes, minlength=LONGEST_STROKE + 1)[:LONGEST_STROKE + 1]
    lengths[:2] = 0                                          # specks
    if lengths.sum() < 20:
        return None
    return LETTER_OF_STROKE * quantile(lengths * np.arange(LONGEST_STROKE + 1), 0.87)      # each pixel of ink has a vote


def enlargement(letter, height, width):
    """By how much the sides of a picture with letters of this height grow: 1, 1.25 or 1.5, as far as the limit on pixels allows."""
    steps = 0
    while letter and steps < MOST_STEPS and letter * (1 + steps * STEP) < LETTER and \
            height * width * (1 + (steps + 1) * STEP) ** 2 <= MOST_PIXELS:
        steps += 1
    return 1 + steps * STEP


def main():
    """The fixture of tests/unit/image/letter_height_test.cc: letters.py FOLDER PICTURE… > letter_heights.json"""
    folder, names = sys.argv[1], sys.argv[2:]
    grey = {name: (np.asarray(Image.open(f"{folder}/{name}").convert("RGB"), np.int64).sum(2) // 3).astype(np.uint8) for name in names}
    print("[\n" + ",\n".join(json.dumps([name, estimate_letter_height(picture)]) for name, picture in grey.items()) + "\n]")


if __name__ == "__main__":
    main()
