#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times transformers' GLM-OCR on the CPU, case by case, for compare_cpu.py: as peer_llama_cpp.py, which describes the cases.

    peer_transformers.py SNAPSHOT --threads N [--dtype bf16|fp32] [--clock wall|processor]

Attention by sdpa, eager decoding with its dynamic cache. Needs what tools/make_golden.py needs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
import make_golden  # noqa: E402


class Peer:
    def __init__(self, options: argparse.Namespace) -> None:
        torch.set_num_threads(options.threads)
        self.threads = options.threads
        self.clock = time.perf_counter if options.clock == "wall" else self.processor_time
        self.dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[options.dtype]
        settings = argparse.Namespace(device="cpu", attention="sdpa")
        self.model = make_golden.load_model(options.snapshot, options.dtype, settings)
        self.snapshot = make_golden.Snapshot(options.snapshot)
        self.folder = tempfile.TemporaryDirectory()
        self.inputs_of: dict[tuple[int, int], dict] = {}

    def processor_time(self) -> float:
        return time.process_time() / self.threads

    def seconds(self, call: Callable[[], object]) -> float:
        begin = self.clock()
        with torch.inference_mode():
            call()
        return self.clock() - begin

    def picture(self, width: int, height: int) -> Path:
        path = Path(self.folder.name) / f"{width}x{height}.png"
        if not path.exists():
            pixels = np.random.default_rng(width).integers(0, 255, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path, compress_level=1)
        return path

    def inputs(self, width: int, height: int) -> dict:
        inputs = self.snapshot.inputs([{"image": str(self.picture(width, height))}, {"text": make_golden.TEXT}], "cpu")
        return inputs | {"pixel_values": inputs["pixel_values"].to(self.dtype)}

    def vision(self, width: int, height: int) -> dict:
        inputs = self.inputs_of.setdefault((width, height), self.inputs(width, height))
        features = self.model.model.get_image_features
        return {"seconds": self.seconds(lambda: features(inputs["pixel_values"], inputs["image_grid_thw"]))}

    def ids(self, tokens: int) -> dict:
        ids = torch.tensor([[i * 7919 % 400 for i in range(tokens)]])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def prefill(self, tokens: int) -> dict:
        return {"seconds": self.seconds(lambda: self.model(**self.ids(tokens), logits_to_keep=1, use_cache=True))}

    def generate(self, inputs: dict, tokens: int) -> None:
        self.model.generate(**inputs, do_sample=False, min_new_tokens=tokens, max_new_tokens=tokens)

    def decode(self, context: int, tokens: int) -> dict:
        inputs = self.ids(context)
        first = self.seconds(lambda: self.generate(inputs, 1))
        return {"seconds": (self.seconds(lambda: self.generate(inputs, tokens + 1)) - first) / tokens}

    def page(self, width: int, height: int, tokens: int) -> dict:
        self.picture(width, height)
        return {"seconds": self.seconds(lambda: self.generate(self.inputs(width, height), tokens))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("snapshot", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--dtype", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    peer = Peer(parser.parse_args())
    print(json.dumps({"ready": f"{transformers.__version__}, torch {torch.__version__}"}), flush=True)
    for line in sys.stdin:
        case = json.loads(line)
        print(json.dumps(getattr(peer, case.pop("case"))(**case)), flush=True)


if __name__ == "__main__":
    main()
