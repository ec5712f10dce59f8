#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times llama.cpp's GLM-OCR, case by case, for compare_cpu.py: reads JSON objects line by line and answers each with one.

    peer_llama_cpp.py TEXT.gguf VISION.gguf --threads N [--flash-attention auto|on|off] [--clock wall|processor]

Cases: {"case": "vision", "width": W, "height": H}, {"case": "prefill", "tokens": N}, {"case": "decode", "context": C, "tokens": N},
{"case": "page", "width": W, "height": H, "tokens": N}. The answer has the seconds of the whole case; of decoding those of a token.

Uses the low-level functions of the Python package llama_cpp (llama-cpp-python, built from its source package so that it suits this
processor). LLAMA_CPP_LIB_PATH and MTMD_CPP_LIB name a folder with other builds of its libraries.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import llama_cpp
import numpy as np
from llama_cpp import llama_cpp as lib
from llama_cpp import mtmd_cpp as mtmd

PROMPT = b"[gMASK]<sop><|user|>\n<|begin_of_image|>%s<|end_of_image|>Text Recognition:<|assistant|>\n"


def load_backends() -> None:
    """Where the kernels are libraries of their own, chosen at start by the processor."""
    folder = os.environ.get("LLAMA_CPP_LIB_PATH", str(Path(llama_cpp.__file__).parent / "lib"))
    ggml = ctypes.CDLL(str(Path(folder) / "libggml.so"))
    ggml.ggml_backend_load_all_from_path(folder.encode())


def check(ok: object, what: str) -> None:
    if not ok:
        raise SystemExit(f"llama.cpp: {what} failed")


class Peer:
    def __init__(self, options: argparse.Namespace) -> None:
        self.threads = options.threads
        self.clock = time.perf_counter if options.clock == "wall" else self.processor_time
        lib.llama_log_set(quiet, ctypes.c_void_p(0))
        mtmd.mtmd_log_set(quiet, ctypes.c_void_p(0))
        mtmd.mtmd_helper_log_set(quiet, ctypes.c_void_p(0))
        load_backends()
        lib.llama_backend_init()
        self.model = lib.llama_model_load_from_file(options.text.encode(), lib.llama_model_default_params())
        check(self.model, f"loading {options.text}")
        flash = {"auto": -1, "off": 0, "on": 1}[options.flash_attention]
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_batch = 4096, 2048
        params.n_threads = params.n_threads_batch = options.threads
        params.flash_attn_type = flash
        self.context = lib.llama_init_from_model(self.model, params)
        check(self.context, "making a context")
        vision = mtmd.mtmd_context_params_default()
        vision.use_gpu, vision.print_timings, vision.warmup = False, False, False
        vision.n_threads, vision.flash_attn_type = options.threads, flash
        self.vision_context = mtmd.mtmd_init_from_file(options.vision.encode(), self.model, vision)
        check(self.vision_context, f"loading {options.vision}")
        self.vocab = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self.model))
        self.batch = lib.llama_batch_init(2048, 0, 1)

    def processor_time(self) -> float:
        return time.process_time() / self.threads

    def seconds(self, call: Callable[[], object]) -> float:
        begin = self.clock()
        call()
        return self.clock() - begin

    def forget(self) -> None:
        lib.llama_memory_clear(lib.llama_get_memory(self.context), True)

    def feed(self, tokens: list[int], first: int) -> int:
        """Runs tokens at the positions from `first` on; the most likely one after the last."""
        self.batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            self.batch.token[i], self.batch.pos[i] = token, first + i
            self.batch.n_seq_id[i], self.batch.seq_id[i][0] = 1, 0
            self.batch.logits[i] = i + 1 == len(tokens)
        check(lib.llama_decode(self.context, self.batch) == 0, "llama_decode")
        return self.best()

    def best(self) -> int:
        return int(np.ctypeslib.as_array(lib.llama_get_logits_ith(self.context, -1), (self.vocab,)).argmax())

    @contextmanager
    def chunks(self, width: int, height: int) -> Iterator[object]:
        pixels = np.random.default_rng(width).integers(0, 255, (height, width, 3), dtype=np.uint8)
        data = pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
        bitmap = mtmd.mtmd_bitmap_init(width, height, data)
        prompt = PROMPT % mtmd.mtmd_default_marker()
        text = mtmd.mtmd_input_text(prompt, len(prompt), False, True)
        chunks = mtmd.mtmd_input_chunks_init()
        bitmaps = (ctypes.c_void_p * 1)(bitmap)
        check(mtmd.mtmd_tokenize(self.vision_context, chunks, ctypes.byref(text), bitmaps, 1) == 0, "mtmd_tokenize")
        yield chunks
        mtmd.mtmd_input_chunks_free(chunks)
        mtmd.mtmd_bitmap_free(bitmap)

    def vision(self, width: int, height: int) -> dict:
        with self.chunks(width, height) as chunks:
            all_chunks = [mtmd.mtmd_input_chunks_get(chunks, i) for i in range(mtmd.mtmd_input_chunks_size(chunks))]
            picture = next(c for c in all_chunks if mtmd.mtmd_input_chunk_get_type(c) == mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE)
            seconds = self.seconds(lambda: check(mtmd.mtmd_encode_chunk(self.vision_context, picture) == 0, "mtmd_encode_chunk"))
            return {"seconds": seconds, "image_tokens": mtmd.mtmd_input_chunk_get_n_tokens(picture)}

    def prefill(self, tokens: int) -> dict:
        self.forget()
        ids = [i * 7919 % 400 for i in range(tokens)]
        return {"seconds": self.seconds(lambda: self.feed(ids, 0))}

    def decode(self, context: int, tokens: int) -> dict:
        self.prefill(context)

        def run() -> None:
            token = 5
            for i in range(tokens):
                token = self.feed([token], context + i)

        return {"seconds": self.seconds(run) / tokens}

    def page(self, width: int, height: int, tokens: int) -> dict:
        self.forget()

        def run() -> None:
            after = lib.llama_pos(0)
            with self.chunks(width, height) as chunks:
                done = mtmd.mtmd_helper_eval_chunks(
                    self.vision_context, self.context, chunks, lib.llama_pos(0), lib.llama_seq_id(0), 2048, True, ctypes.byref(after)
                )
                check(done == 0, "mtmd_helper_eval_chunks")
            token = self.best()
            for i in range(tokens - 1):
                token = self.feed([token], after.value + i)

        return {"seconds": self.seconds(run)}


@lib.llama_log_callback
def quiet(_level, _text, _data) -> None:  # noqa: ANN001
    pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text")
    parser.add_argument("vision")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--flash-attention", choices=("auto", "on", "off"), default="auto")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    peer = Peer(parser.parse_args())
    print(json.dumps({"ready": llama_cpp.__version__, "system": lib.llama_print_system_info().decode()}), flush=True)
    for line in sys.stdin:
        case = json.loads(line)
        print(json.dumps(getattr(peer, case.pop("case"))(**case)), flush=True)


if __name__ == "__main__":
    main()
