#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the types of weights and activations cost in accuracy and give in speed, over pictures whose text is known.

    compare_types.py PROGRAM [--model DIR] [--samples tests/data/samples] [--device cpu] [--threads N] [--transformers] [--json FILE]

For fp32 and bf16, with weights as stored and in eight bits: errors of the logits of the first token against fp32 (or, with
--transformers, against transformers in fp32, whose bf16 is another column then), texts that are those of fp32, wrong characters (white
space folded, as in docs/accuracy.md), times of vision, prefill and decoding over all pictures, and the memory of weights. --transformers
needs what tools/make_golden.py needs.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {
    "fp32": ["--dtype", "fp32"],
    "bf16": ["--dtype", "bf16"],
    "fp32, int8": ["--dtype", "fp32", "--quantize", "int8"],
    "bf16, int8": ["--dtype", "bf16", "--quantize", "int8"],
}
PROMPT = "Text Recognition:"


def distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def folded(text: str) -> str:
    return " ".join(text.split())


class Program:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.common = ["--device", options.device, "--threads", str(options.threads), "--model", str(options.model)]

    def run(self, *arguments: str) -> str:
        done = subprocess.run([self.options.program, *arguments, *self.common], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"glm-ocr {' '.join(arguments)} ended with status {done.returncode}")
        return done.stdout

    def logits(self, picture: Path, setting: list[str]) -> list[float]:
        text = self.run("forward", "--image", str(picture), "--prompt", PROMPT, "--top", str(1 << 20), "--json", *setting)
        return [value for _, value in sorted(json.loads(text)["top"])]

    def read(self, samples: list[dict], setting: list[str]) -> dict[str, dict]:
        results = {}
        for task in sorted({sample["task"] for sample in samples}):
            files = [str(self.options.samples / sample["file"]) for sample in samples if sample["task"] == task]
            lines = self.run("--format", "jsonl", "--quiet", "--batch", "1", "--task", task, "--max-tokens", "2048", *setting, *files)
            results |= {Path(result["file"]).name: result for result in map(json.loads, lines.splitlines())}
        return results

    def weights(self, setting: list[str]) -> int:
        memory = json.loads(self.run("info", "--json", *setting))["memory"]
        return memory["copied_bytes"] + memory["mapped_bytes"]


def transformers_logits(model: Path, dtype: str) -> Callable[[Path], list[float]]:
    sys.path.insert(0, str(ROOT / "tools"))
    import make_golden
    import torch

    network = make_golden.load_model(model, dtype, argparse.Namespace(device="cpu", attention="sdpa"))
    snapshot = make_golden.Snapshot(model)

    def logits(picture: Path) -> list[float]:
        inputs = snapshot.inputs([{"image": str(picture)}, {"text": PROMPT}], "cpu")
        inputs["pixel_values"] = inputs["pixel_values"].to(network.dtype)
        with torch.inference_mode():
            return network(**inputs, logits_to_keep=1).logits[0, -1].float().tolist()

    return logits


def compare(of: list[float], exact: list[float]) -> tuple[float, float, bool]:
    """The largest error, the root of the mean square, and whether the largest logit is the same."""
    errors = [a - b for a, b in zip(of, exact)]
    same = max(range(len(of)), key=of.__getitem__) == max(range(len(exact)), key=exact.__getitem__)
    return max(map(abs, errors)), (sum(e * e for e in errors) / len(errors)) ** 0.5, same


def logit_errors(sources: dict[str, Callable[[Path], list[float]]], exact: str, pictures: list[Path]) -> dict[str, dict]:
    found = defaultdict(list)
    for picture in pictures:
        logits = {name: source(picture) for name, source in sources.items()}
        for name, values in logits.items():
            found[name].append(compare(values, logits[exact]))
    return {
        name: {
            "largest": max(error for error, _, _ in errors),
            "mean_square_root": sum(root for _, root, _ in errors) / len(errors),
            "same_best": sum(same for _, _, same in errors),
        }
        for name, errors in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "mini")
    parser.add_argument("--samples", type=Path, default=ROOT / "tests" / "data" / "samples", help="folder with pictures and truth.json")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--transformers", action="store_true")
    parser.add_argument("--json")
    options = parser.parse_args()
    samples = json.loads((options.samples / "truth.json").read_text(encoding="utf-8"))
    program = Program(options)
    sources = {name: (lambda picture, how=how: program.logits(picture, how)) for name, how in SETTINGS.items()}
    if options.transformers:
        sources |= {f"transformers {dtype}": transformers_logits(options.model, dtype) for dtype in ("fp32", "bf16")}
    exact = "transformers fp32" if options.transformers else "fp32"
    table = logit_errors(sources, exact, [options.samples / sample["file"] for sample in samples])
    length = sum(len(folded(sample["text"])) for sample in samples)
    texts = {}
    for name, how in SETTINGS.items():
        results = program.read(samples, how)
        texts[name] = {file: result["text"] for file, result in results.items()}
        wrong = sum(distance(folded(texts[name][sample["file"]]), folded(sample["text"])) for sample in samples)
        table[name] |= {
            "texts_as_fp32": sum(texts[name][file] == text for file, text in texts["fp32"].items()),
            "wrong_characters": wrong,
            "error_percent": 100 * wrong / length,
            "weight_bytes": program.weights(how),
        }
        for phase in ("vision", "prefill", "decode"):
            table[name][f"{phase}_ms"] = sum(result["timings"][phase] for result in results.values())
    keys = list(dict.fromkeys(key for row in table.values() for key in row))
    print(f"{len(samples)} pictures, {length} characters; errors of logits against {exact}")
    print(f"{'':18}" + "".join(f"{key:>18}" for key in keys))
    for name, row in table.items():
        print(f"{name:18}" + "".join(f"{row[key]:18.4g}" if isinstance(row.get(key), float) else f"{row.get(key, '-'):>18}" for key in keys))
    if options.json:
        Path(options.json).write_text(json.dumps({"pictures": len(samples), "characters": length, "against": exact, "table": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
