#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the filter of a detector's answers with the official SDK's, on generated answers.

    pip download --no-deps glmocr==0.1.5 && unzip glmocr-0.1.5-*.whl -d SDK
    tools/compare_filter.py SDK build/release/bin/filter_replay

Needs numpy; of the SDK it imports the file glmocr/utils/layout_postprocess_utils.py alone, which needs neither torch nor
transformers. The steps around it (thresholds of classes, labels that are dropped, thousandths) are those of its
layout_detector.py, written down here. Answers hold many twins, nested boxes and pictures of the page. No two scores or
ranks are equal, because numpy sorts equal ones in an order that depends on the processor.
"""
import argparse
import importlib.util
import json
import pathlib
import random
import subprocess
import sys

import numpy as np

LABELS = """abstract algorithm aside_text chart content display_formula doc_title figure_title footer footer_image footnote
formula_number header header_image image inline_formula number paragraph_title reference reference_content seal table text
vertical_text vision_footnote""".split()
DROPPED = {"header", "footer", "number", "footnote", "aside_text", "reference", "footer_image", "header_image"}
MERGE = {i: "small" if LABELS[i] == "reference" else "large" for i in range(25)}


class Array:
    """What the SDK takes for a tensor."""

    def __init__(self, values, dtype):
        self.values = np.array(values, dtype=dtype)

    def cpu(self):
        return self

    def numpy(self):
        return self.values


def near(random_, box, spread):
    return [float(np.float32(value + random_.uniform(-spread, spread))) for value in box]


def make_page(random_):
    width, height = random_.choice([(1654, 2339), (800, 800), (1001, 640), (333, 2000), (random_.randint(20, 3500), random_.randint(20, 3500))])
    count = random_.choice([0, 1, 2, 5, 12, 16, 30, 60])
    detections, boxes = [], []
    for i in range(count):
        kind = random_.random()
        if boxes and kind < 0.5:
            box = near(random_, random_.choice(boxes), random_.choice([0, 0.4, 0.9, 3, 12, 40]))
        elif kind < 0.6:
            box = near(random_, [0, 0, width, height * random_.choice([0.8, 0.9, 1])], 10)
        else:
            x, y = random_.uniform(-5, width), random_.uniform(-5, height)
            box = [x, y, x + random_.uniform(1, width / 2), y + random_.uniform(1, height / 3)]
        box = [float(np.float32(value)) for value in box]
        boxes.append(box)
        label = random_.choice([14, 18, 19, 22, 21, random_.randrange(25)])
        score = float(np.float32(random_.random()))
        polygon = None
        if random_.random() < 0.7:
            polygon = [[float(np.float32(random_.uniform(-10, width + 10))), float(np.float32(random_.uniform(-10, height + 10)))]
                       for _ in range(random_.randint(4, 9))]
        detections.append([label, score, *box, 0, polygon])
    for detection, order in zip(detections, random_.sample(range(300), count)):
        detection[6] = order
    thresholds = [None if random_.random() < 0.8 else random_.random() * 0.8 for _ in range(25)]
    return {"width": width, "height": height, "threshold": 0.3, "class_thresholds": thresholds,
            "unclip": random_.choice([[1.0, 1.0], [1.0, 1.0], [1.1, 0.97], [2.0, 1.5]]), "detections": detections}


def expected(sdk, page):
    kept = []
    for detection in page["detections"]:
        threshold = page["class_thresholds"][detection[0]]
        threshold = page["threshold"] if threshold is None else threshold
        if np.float32(detection[1]) >= np.float32(threshold):
            kept.append(detection)
    raw = {
        "scores": Array([d[1] for d in kept], np.float32),
        "labels": Array([d[0] for d in kept], np.int64),
        "boxes": Array([d[2:6] for d in kept] or np.zeros((0, 4)), np.float32),
        "order_seq": Array([d[6] for d in kept], np.int64),
        "polygon_points": [None if d[7] is None else np.array(d[7]) for d in kept],
    }
    size = (page["width"], page["height"])
    found = sdk.apply_layout_postprocess([raw], dict(enumerate(LABELS)), [size], True, tuple(page["unclip"]), MERGE)[0]
    regions = []
    for item in found:
        if item["label"] in DROPPED:
            continue
        x0, y0, x1, y1 = item["coordinate"]
        box = [int(float(x0) / size[0] * 1000), int(float(y0) / size[1] * 1000), int(float(x1) / size[0] * 1000), int(float(y1) / size[1] * 1000)]
        polygon = [[int(float(x) / size[0] * 1000), int(float(y) / size[1] * 1000)] for x, y in item["polygon_points"]]
        regions.append([item["cls_id"], float(item["score"]), box, polygon])
    return regions


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sdk", type=pathlib.Path)
    parser.add_argument("replay", type=pathlib.Path)
    parser.add_argument("--pages", type=int, default=2000)
    options = parser.parse_args()
    path = options.sdk / "glmocr/utils/layout_postprocess_utils.py"
    spec = importlib.util.spec_from_file_location("layout_postprocess_utils", path)
    sdk = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sdk)
    random_ = random.Random(1)
    pages = [make_page(random_) for _ in range(options.pages)]
    lines = "".join(json.dumps(page) + "\n" for page in pages)
    answer = subprocess.run([options.replay], input=lines, capture_output=True, text=True, check=True).stdout
    different = regions = 0
    for number, (page, line) in enumerate(zip(pages, answer.splitlines(), strict=True)):
        ours, theirs = json.loads(line), expected(sdk, page)
        regions += len(theirs)
        if ours != theirs:
            different += 1
            if different <= 3:
                print(f"page {number}:\n  SDK  {theirs}\n  ours {ours}", file=sys.stderr)
    print(f"{options.pages} pages, {regions} regions: {different} pages differ")
    return different != 0


if __name__ == "__main__":
    sys.exit(main())
