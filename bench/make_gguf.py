#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Converts a snapshot to the two GGUF files that llama.cpp reads, with llama.cpp's own converter.

    make_gguf.py SNAPSHOT SOURCE OUT [--types bf16,q8_0]

SOURCE is the source tree of llama.cpp, or the unpacked source package of llama-cpp-python, which has it inside. OUT gets
text-TYPE.gguf and vision-TYPE.gguf for every type. Needs torch and transformers.

The converter knows tokenizers by a checksum. That of a snapshot with random weights (tools/make_synthetic_snapshot.py) is not among
them; it is read as that of GLM-4, which changes how text is split but no time.
"""

from __future__ import annotations

import argparse
import runpy
import sys
from pathlib import Path

CONVERTER = "convert_hf_to_gguf.py"


def llama_cpp(source: Path) -> Path:
    """The folder of the converter."""
    for folder in (source, source / "vendor" / "llama.cpp"):
        if (folder / CONVERTER).is_file():
            return folder
    raise SystemExit(f"{source} holds no {CONVERTER}: not the source of llama.cpp or of llama-cpp-python?")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("snapshot", type=Path)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--types", default="bf16,q8_0", help="f32, f16, bf16 and q8_0 with commas between (default bf16,q8_0)")
    options = parser.parse_args()
    folder = llama_cpp(options.source)
    sys.path[:0] = [str(folder / "gguf-py"), str(folder)]
    from conversion.base import TextModel

    TextModel.get_vocab_base_pre = lambda self, tokenizer: "glm4"
    options.out.mkdir(parents=True, exist_ok=True)
    for kind in options.types.split(","):
        for name, more in (("text", []), ("vision", ["--mmproj"])):
            target = options.out / f"{name}-{kind}.gguf"
            if target.exists():
                continue
            sys.argv = [CONVERTER, str(options.snapshot), "--outfile", str(target), "--outtype", kind, *more]
            runpy.run_path(str(folder / CONVERTER), run_name="__main__")


if __name__ == "__main__":
    main()
