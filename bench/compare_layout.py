#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The layout detector of glm-ocr beside that of transformers, in one run: speed of the network alone, and regions of pages.

    compare_layout.py PROGRAMS SNAPSHOT [PICTURE...] [--device cuda:0] [--threads 2,16] [--pages 1,8] [--dtypes fp32,bf16] [--seconds 8]

PROGRAMS is build/release/bin (bench_layout, glm-ocr). SNAPSHOT is a folder, as models/mini-layout, or one with the published sizes
(tools/make_layout_golden.py --random full --make FOLDER). Needs transformers 5.17 and torch.

Without pictures it measures: medians in milliseconds per page, transformers eagerly in inference mode. On a processor both are bound to the first N
cores and use N threads, for each N of --threads; transformers runs in fp32 and bf16; on a card in fp32 and with TF32.
With pictures it compares what `glm-ocr layout --raw` finds in each of them with what transformers finds in fp32 on the processor: a page is the
same where the labels are, in their order (but for several ones of one box), boxes differ by at most a pixel and scores by at most 0.01.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

THRESHOLD = 0.3
MOST_PIXELS, MOST_SCORE = 1.0, 0.01


def load(snapshot: str, device: str):
    import torch
    from transformers import PPDocLayoutV3ForObjectDetection, PPDocLayoutV3ImageProcessor

    model = PPDocLayoutV3ForObjectDetection.from_pretrained(snapshot, dtype=torch.float32).eval().to(device)
    return model, PPDocLayoutV3ImageProcessor.from_pretrained(snapshot)


# --- speed ------------------------------------------------------------------------------------------------------------------------------


def median_ms(call: Callable[[], object], finish: Callable[[], object], seconds: float) -> float:
    for _ in range(2):
        call()
    finish()
    times, begin = [], time.perf_counter()
    while len(times) < 5 or (time.perf_counter() - begin < seconds and len(times) < 50):
        start = time.perf_counter()
        call()
        finish()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def measure_transformers(options: argparse.Namespace) -> None:
    """In a process of its own: prints "name ms" for each number of pages."""
    import torch

    on_card = options.device.startswith("cuda")
    if not on_card:
        torch.set_num_threads(int(options.threads))
    model, processor = load(options.snapshot, options.device)
    size = processor.size
    for name in ("f32", "tf32") if on_card else ("f32", "bf16"):
        torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
        torch.backends.cudnn.allow_tf32 = name == "tf32"
        dtype = torch.bfloat16 if name == "bf16" else torch.float32
        model = model.to(dtype)
        for pages in map(int, options.pages.split(",")):
            pixels = torch.rand(pages, 3, size["height"], size["width"], device=options.device, dtype=dtype)
            with torch.inference_mode():
                ms = median_ms(lambda: model(pixel_values=pixels), torch.cuda.synchronize if on_card else lambda: None, options.seconds)
            print(f"transformers {options.device} {name}, {options.threads} threads, {pages} pages: {ms / pages:.3f} ms a page", flush=True)


def measure(options: argparse.Namespace) -> None:
    on_card = options.device.startswith("cuda")
    for threads in ["1"] if on_card else options.threads.split(","):
        bound = [] if on_card else ["taskset", "-c", f"0-{int(threads) - 1}"]
        environment = {**os.environ, "OMP_NUM_THREADS": threads}
        for dtype in options.dtypes.split(","):
            for pages in options.pages.split(","):
                command = [f"{options.programs}/bench_layout", options.snapshot, "--device", options.device, "--dtype", dtype]
                command += ["--threads", threads, "--pages", pages, "--runs", str(options.runs)]
                subprocess.run([*bound, *command], check=True)
        command = [sys.executable, __file__, options.programs, options.snapshot, "--device", options.device, "--threads", threads]
        command += ["--pages", options.pages, "--seconds", str(options.seconds), "--transformers"]
        subprocess.run([*bound, *command], env=environment, check=True)


# --- regions ----------------------------------------------------------------------------------------------------------------------------


def regions_of_transformers(snapshot: str, pictures: list[str]) -> list[list[dict]]:
    import torch
    from PIL import Image

    model, processor = load(snapshot, "cpu")
    pages = []
    for picture in pictures:
        image = Image.open(picture).convert("RGB")
        with torch.inference_mode():
            out = model(**processor(images=image, return_tensors="pt"))
        found = processor.post_process_object_detection(out, threshold=THRESHOLD, target_sizes=torch.tensor([[image.height, image.width]]))[0]
        pages.append(
            [
                {"label": model.config.id2label[int(label)], "score": float(score), "box": [float(v) for v in box]}
                for label, score, box in zip(found["labels"], found["scores"], found["boxes"])
            ]
        )
    return pages


def regions_of_program(options: argparse.Namespace, dtype: str) -> list[list[dict]]:
    command = [f"{options.programs}/glm-ocr", "layout", *options.pictures, "--raw", "--format", "json", "--threshold", str(THRESHOLD)]
    command += ["--layout-model", options.snapshot, "--device", options.device, "--dtype", dtype]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [json.loads(line)["regions"] for line in lines]


def in_fixed_order(regions: list[dict]) -> list[dict]:
    """A query may give several labels of one box, which transformers' sort, not a stable one, puts in any order: by their names here."""
    groups: list[list[dict]] = []
    for region in regions:
        if not groups or max(abs(a - b) for a, b in zip(groups[-1][0]["box"], region["box"])) > 1e-3:
            groups.append([])
        groups[-1].append(region)
    return [region for group in groups for region in sorted(group, key=lambda r: r["label"])]


def difference(ours: list[dict], theirs: list[dict]) -> tuple[float, float, str]:
    """The largest distances of boxes and scores, and what else differs."""
    ours, theirs = in_fixed_order(ours), in_fixed_order(theirs)
    if [region["label"] for region in ours] != [region["label"] for region in theirs]:
        lacking = [f"{r['label']} {r['score']:.3f}" for r in theirs if r["label"] not in [o["label"] for o in ours]]
        return 0, 0, f"{len(ours)} regions, transformers {len(theirs)} or in another order {lacking}"
    pixels = max((abs(a - b) for o, t in zip(ours, theirs) for a, b in zip(o["box"], t["box"])), default=0)
    score = max((abs(o["score"] - t["score"]) for o, t in zip(ours, theirs)), default=0)
    return pixels, score, ""


def tensors_of_program(options: argparse.Namespace, device: str, dtype: str, folder: Path) -> None:
    command = [f"{options.programs}/glm-ocr", "layout", *options.pictures, "--raw", "--format", "json", "--layout-model", options.snapshot]
    subprocess.run([*command, "--device", device, "--dtype", dtype, "--dump", str(folder)], capture_output=True, check=True)


def compare_tensors(options: argparse.Namespace) -> None:
    """What the network computes on the device beside the same on another one in fp32: the largest distances, as shares of a tensor's largest value."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        tensors_of_program(options, options.tensors, "fp32", base)
        for dtype in options.dtypes.split(","):
            own = Path(folder) / dtype
            tensors_of_program(options, options.device, dtype, own)
            worst: dict[str, float] = {}
            for file in sorted(base.rglob("*.npy")):
                expected, found = np.load(file), np.load(own / file.relative_to(base))
                assert expected.shape == found.shape, file
                if file.stem == "decoder.selected":
                    distance = float((expected != found).mean())  # the share of places that differ
                else:
                    distance = float(np.abs(expected - found).max() / max(1e-30, np.abs(expected).max()))
                worst[file.stem] = max(worst.get(file.stem, 0), distance)
            print(f"{options.device} {dtype} against {options.tensors} fp32, {len(options.pictures)} pages:")
            print("  " + ", ".join(f"{name} {value:.1e}" for name, value in worst.items()), flush=True)


def compare(options: argparse.Namespace) -> None:
    theirs = regions_of_transformers(options.snapshot, options.pictures)
    for dtype in options.dtypes.split(","):
        ours = regions_of_program(options, dtype)
        same, most_pixels, most_score = 0, 0.0, 0.0
        for picture, own, other in zip(options.pictures, ours, theirs):
            pixels, score, problem = difference(own, other)
            if not problem and pixels <= MOST_PIXELS and score <= MOST_SCORE:
                same += 1
            else:
                print(f"  {dtype} {Path(picture).name}: {problem or f'{pixels:.2f} pixels, score {score:.4f}'}")
            most_pixels, most_score = max(most_pixels, pixels), max(most_score, score)
        count = sum(len(page) for page in theirs)
        print(f"{options.device} {dtype}: {same} of {len(theirs)} pages have the same regions ({count} in all); boxes within {most_pixels:.3f} pixels, scores within {most_score:.5f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("programs")
    parser.add_argument("snapshot")
    parser.add_argument("pictures", nargs="*")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--pages", default="1")
    parser.add_argument("--dtypes", default="fp32,bf16")
    parser.add_argument("--seconds", type=float, default=8, help="of a measurement of transformers")
    parser.add_argument("--runs", type=int, default=9, help="of the program")
    parser.add_argument("--transformers", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--tensors", metavar="DEVICE", help="compare what the network computes for the pictures with this device instead")
    options = parser.parse_args()
    if options.tensors:
        compare_tensors(options)
    elif options.transformers:
        measure_transformers(options)
    elif options.pictures:
        compare(options)
    else:
        measure(options)


if __name__ == "__main__":
    main()
