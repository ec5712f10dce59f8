#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speed of glm-ocr and of transformers on one card, in one run, over the same random pictures.

    compare_transformers.py PROGRAM SNAPSHOT [--device cuda:0] [--only glm-ocr|transformers]

PROGRAM is build/release/bin/glm-ocr; SNAPSHOT has the published sizes (tools/make_synthetic_snapshot.py --preset full). Both compute in bf16. Needs
what tools/make_golden.py needs. Times are medians in milliseconds over pictures or calls after two that are thrown away; "start" is loading from a
warm file cache. transformers decodes eagerly with its dynamic cache, attention by sdpa.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

SMALL, LARGE = (560, 560), (2212, 1708)
REPEATS, THROWN_AWAY = 7, 2
TOKENS = 256


def make_pictures(folder: Path, size: tuple[int, int], count: int) -> list[Path]:
    random = np.random.default_rng(size[0])
    paths = [folder / f"{size[0]}x{size[1]}-{index}.png" for index in range(count)]
    for path in paths:
        Image.fromarray(random.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).save(path, compress_level=1)
    return paths


# --- glm-ocr ----------------------------------------------------------------------------------------------------------------------------


class Program:
    def __init__(self, options: argparse.Namespace) -> None:
        self.command = [options.program, "--model", options.snapshot, "--device", options.device, "--dtype", "bf16", "--guard", "off"]

    def run(self, pictures: list[Path], batch: int, tokens: int) -> tuple[list[dict], str]:
        command = [*self.command, "--format", "jsonl", "--stats", "--batch", str(batch), "--max-tokens", str(tokens), *map(str, pictures)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    def median(self, results: list[dict], *names: str) -> float:
        return statistics.median(sum(result["timings"][name] for name in names) for result in results[THROWN_AWAY:])


def decode_rate(stats: str) -> float:
    return float(re.search(r"^decode:.* ([0-9.]+) tok/s", stats, re.MULTILINE).group(1))


def measure_program(options: argparse.Namespace, small: list[Path], large: list[Path]) -> dict[str, float]:
    program = Program(options)
    figures = {}
    for name, pictures in (("2212x1708", large), ("560x560", small[:REPEATS])):
        results, _ = program.run(pictures, 1, 2)
        figures[f"vision {name}, ms"] = program.median(results, "vision")
        figures[f"vision + prefill {name}, ms"] = program.median(results, "vision", "prefill")
        figures["start, ms"] = results[0]["timings"]["load"]
    results, _ = program.run(small[:4], 1, TOKENS)
    figures["decoding 1, tok/s"] = 1e3 * (TOKENS - 1) / program.median(results, "decode")
    figures["decoding 32, tok/s"] = decode_rate(program.run(small[:32], 32, TOKENS)[1])
    overall = [re.search(r"^pages:.* ([0-9.]+) tok/s", program.run(small, 64, TOKENS)[1], re.MULTILINE).group(1) for _ in range(3)]
    figures["64 pictures, tok/s"] = statistics.median(map(float, overall))
    return figures


# --- transformers -----------------------------------------------------------------------------------------------------------------------


def median_ms(call: Callable[[], object], repeats: int = REPEATS) -> float:
    import torch

    times = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        begin = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times[THROWN_AWAY:])


def measure_transformers(options: argparse.Namespace, small: list[Path], large: list[Path]) -> dict[str, float]:
    import make_golden
    import torch

    settings = argparse.Namespace(device=options.device, attention="sdpa", dtype="bf16")
    begin = time.perf_counter()
    model = make_golden.load_model(Path(options.snapshot), "bf16", settings)
    torch.cuda.synchronize()
    figures = {"start, ms": 1e3 * (time.perf_counter() - begin)}
    snapshot = make_golden.Snapshot(Path(options.snapshot))
    with torch.inference_mode():
        for name, pictures in (("2212x1708", large), ("560x560", small)):
            inputs = snapshot.inputs([{"image": str(pictures[0])}, {"text": make_golden.TEXT}], options.device)
            pixels = inputs["pixel_values"].to(torch.bfloat16)
            figures[f"vision {name}, ms"] = median_ms(lambda: model.model.get_image_features(pixels, inputs["image_grid_thw"]))
            figures[f"vision + prefill {name}, ms"] = median_ms(lambda: model(**inputs, logits_to_keep=1, use_cache=True))
        for count, tokens in ((1, 64), (32, 32)):
            ids = inputs["input_ids"].new_full((count, 500), 5)
            mask = torch.ones_like(ids)

            def generate(length: int) -> None:
                model.generate(input_ids=ids, attention_mask=mask, do_sample=False, min_new_tokens=length, max_new_tokens=length)

            step = (median_ms(lambda: generate(tokens + 1), 4) - median_ms(lambda: generate(1), 4)) / tokens
            figures[f"decoding {count}, tok/s"] = 1e3 * count / step
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("snapshot")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--only", choices=("glm-ocr", "transformers"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        small, large = make_pictures(Path(folder), SMALL, 64), make_pictures(Path(folder), LARGE, REPEATS)
        ours = measure_program(options, small, large) if options.only != "transformers" else {}
        theirs = measure_transformers(options, small, large) if options.only != "glm-ocr" else {}
    for name in {**ours, **theirs}:
        a, b = ours.get(name), theirs.get(name)
        ratio = f"{a / b:10.2f}" if a and b else ""
        print(f"{name:36}" + "".join(f"{value:12.1f}" if value else f"{'-':>12}" for value in (a, b)) + ratio)


if __name__ == "__main__":
    main()
