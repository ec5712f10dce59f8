#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a random snapshot with the GLM-OCR architecture, the same one on every machine.

    make_synthetic_snapshot.py OUT --preset awkward [--dtype bf16|f16|f32] [--shards N] [--mtp|--no-mtp] [--layout hf|mlx]

OUT gets config.json, generation_config.json, preprocessor_config.json, tokenizer.json and either model.safetensors or (up to) N shards
with model.safetensors.index.json. Presets:
    awkward  sizes that are no multiples of anything useful: 6 query and 3 key/value heads of width 48, rope theta 5000, odd widths; with the MTP layer
    narrow   one thin layer each, with the published pixel limit: a picture of 24,576 patches fits a memory test
    full     the published config.json (1.3 G parameters, 2.65 GB in bf16), with the MTP layer
Only numpy is needed. Every value is an integer hash of the tensor's name and the value's index (splitmix64), scaled. No library's random generator
is used, so a snapshot is the same wherever it is made, and fixtures made from it stay valid. Tensors are written one by one.

Scales: norm weights 1 ± 0.25, matrices gain/sqrt(fan_in), biases 0.1, so that activations stay near 1 and logits spread by several units.
Query projections (and the vision q_norm/k_norm) get a gain above 1, which makes attention sharp enough to notice a wrong position.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# --- presets ----------------------------------------------------------------------------------------------------------------------------

PUBLISHED_TEXT = {
    "model_type": "glm_ocr_text",
    "pad_token_id": 59246,
    "vocab_size": 59392,
    "eos_token_id": [59246, 59253],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "head_dim": 128,
    "hidden_act": "silu",
    "hidden_size": 1536,
    "initializer_range": 0.02,
    "intermediate_size": 4608,
    "max_position_embeddings": 131072,
    "num_attention_heads": 16,
    "num_hidden_layers": 16,
    "num_nextn_predict_layers": 1,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05,
    "dtype": "bfloat16",
    "rope_parameters": {
        "rope_type": "default",
        "mrope_section": [16, 24, 24],
        "partial_rotary_factor": 1.0,
        "rope_theta": 10000,
    },
    "tie_word_embeddings": False,
    "use_cache": True,
}
PUBLISHED_VISION = {
    "model_type": "glm_ocr_vision",
    "hidden_size": 1024,
    "depth": 24,
    "num_heads": 16,
    "attention_bias": True,
    "intermediate_size": 4096,
    "hidden_act": "silu",
    "hidden_dropout_prob": 0.0,
    "initializer_range": 0.02,
    "image_size": 336,
    "patch_size": 14,
    "out_hidden_size": 1536,
    "rms_norm_eps": 1e-05,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
PUBLISHED_PREPROCESSOR = {
    "size": {"shortest_edge": 12544, "longest_edge": 9633792},
    "do_rescale": True,
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "image_processor_type": "Glm46VImageProcessor",
    "processor_class": "Glm46VProcessor",
}
AWKWARD_TEXT = {
    "hidden_size": 35,
    "intermediate_size": 45,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "head_dim": 48,
    "vocab_size": 503,
    "rope_parameters": {
        "rope_type": "default",
        "mrope_section": [6, 8, 10],
        "partial_rotary_factor": 1.0,
        "rope_theta": 5000,
    },
}
AWKWARD_VISION = {"hidden_size": 64, "depth": 3, "num_heads": 2, "intermediate_size": 37, "out_hidden_size": 35}
NARROW_TEXT = AWKWARD_TEXT | {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "rope_parameters": {
        "rope_type": "default",
        "mrope_section": [4, 6, 6],
        "partial_rotary_factor": 1.0,
        "rope_theta": 10000,
    },
}
NARROW_VISION = {"hidden_size": 64, "depth": 1, "num_heads": 1, "intermediate_size": 96, "out_hidden_size": 32}


@dataclass(frozen=True)
class Preset:
    text: dict
    vision: dict
    full_tokenizer: bool
    mtp: bool


PRESETS = {
    "awkward": Preset(PUBLISHED_TEXT | AWKWARD_TEXT, PUBLISHED_VISION | AWKWARD_VISION, full_tokenizer=False, mtp=True),
    "narrow": Preset(PUBLISHED_TEXT | NARROW_TEXT, PUBLISHED_VISION | NARROW_VISION, full_tokenizer=False, mtp=False),
    "full": Preset(PUBLISHED_TEXT, PUBLISHED_VISION, full_tokenizer=True, mtp=True),
}

# --- tokenizers -------------------------------------------------------------------------------------------------------------------------

SPLIT_PATTERN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# The 36 added tokens of the published tokenizer in the order of their ids (59246 to 59281).
ADDED_TOKENS = [
    "<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>",
    "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>", "<|begin_of_audio|>", "<|end_of_audio|>",
    "<|begin_of_transcription|>", "<|end_of_transcription|>", "<|code_prefix|>", "<|code_middle|>", "<|code_suffix|>",
    "<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<arg_key>", "</arg_key>",
    "<arg_value>", "</arg_value>", "/nothink", "<|begin_of_box|>", "<|end_of_box|>", "<|image|>", "<|video|>",
]  # fmt: skip
# Matched as a whole like the others, but kept when special tokens are skipped.
NOT_SPECIAL = {
    "<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<arg_key>", "</arg_key>", "<arg_value>",
    "</arg_value>", "/nothink", "<|begin_of_box|>", "<|end_of_box|>", "<|image|>", "<|video|>",
}  # fmt: skip
# The small tokenizer has fewer of them, and one that is the beginning of another, so that "longest match" is tested.
SMALL_ADDED_TOKENS = [
    "<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>",
    "<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>", "<think>", "</think>", "<tool_call>", "/no",
    "/nothink", "<|begin_of_box|>", "<|end_of_box|>", "<|image|>", "<|video|>",
]  # fmt: skip
# Whole words that no merges produce: only ignore_merges finds them.
SMALL_WHOLE_WORDS = ["Reading", "'s", "'ſ", "'re", " recognises", "ünïcödé", "007", "123", "***", "zq", " zq", "\n\n\n\n", "naïve", "Ελλάς", "\u00a0»"]  # fmt: skip
SMALL_CORPUS = """
Text Recognition: the small machine reads the text of a page, line by line, and writes it down. Table Recognition: rows and columns, numbers
and dates, 12 and 123, 2024 and 1999. Formula Recognition: the sum of the squares of the sides is the square of the long side. It's not that
they're late; we've seen it, I'm sure, he'll come, she'd go. The theory of the thing is that there is nothing in the other thing that is not
in this one. Ça été là, déjà vu, für die Straße über den Fluß, el niño mañana, łódź żółć. Numbers: 3.14159, 2.71828, 1.41421; prices: $12.50,
€99.00, £7.25 ... ... ---- ==== (see page 12, line 10, table 3). Interesting things are interesting: reading, writing, seeing, being, going.
"""


def byte_alphabet() -> list[str]:
    """The printable character for each byte in a byte-level vocabulary."""
    kept = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in kept else chr(next(others)) for byte in range(256)]


def to_alphabet(text: str) -> str:
    alphabet = byte_alphabet()
    return "".join(alphabet[byte] for byte in text.encode())


def train_merges(corpus: str, count: int) -> list[tuple[str, str]]:
    """Plain byte-pair training: the most frequent pair first, the smaller pair on ties."""
    words: dict[tuple[str, ...], int] = {}
    for word in re.findall(r" ?[^\W\d_]+|\d{1,3}| ?[^\w\s]+|\s+", corpus):
        key = tuple(to_alphabet(word))
        words[key] = words.get(key, 0) + 1
    merges = []
    while len(merges) < count:
        pairs: dict[tuple[str, str], int] = {}
        for word, times in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] = pairs.get(pair, 0) + times
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        merged: dict[tuple[str, ...], int] = {}
        for word, times in words.items():
            out: list[str] = []
            for symbol in word:
                # A merge is undone when its right half meets the next left half; a stack of symbols sees each pair once.
                if out and (out[-1], symbol) == best:
                    out[-1] += symbol
                else:
                    out.append(symbol)
            merged[tuple(out)] = merged.get(tuple(out), 0) + times
        words = merged
    return merges


def generated_merges(count: int) -> list[tuple[str, str]]:
    """Merges that lengthen every token by one letter, breadth first: " a", " b", ... "aa", "ab", ... and so on."""
    letters = [*"etaoinsrhldcumfpgwybvkxjqz", *"TRFEAOINSCP"]
    grown = [to_alphabet(" "), *letters]
    merges = []
    for left in grown:
        for right in letters:
            if len(merges) == count:
                return merges
            merges.append((left, right))
            grown.append(left + right)
    raise AssertionError("the alphabet ran out")


def tokenizer_json(merges: list[tuple[str, str]], whole_words: list[str], added: list[str]) -> dict:
    """A tokenizer.json of the published kind: byte-level BPE with ignore_merges, merges stored as "a b"."""
    entries = [*byte_alphabet(), *(left + right for left, right in merges), *map(to_alphabet, whole_words)]
    # Two merges may give the same entry.
    vocab = {symbol: index for index, symbol in enumerate(dict.fromkeys(entries))}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": len(vocab) + index,
                "content": content,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": content not in NOT_SPECIAL and content != "/no",
            }
            for index, content in enumerate(added)
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": SPLIT_PATTERN}, "behavior": "Isolated", "invert": False},
                byte_level,
            ],
        },
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": vocab,
            "merges": [f"{left} {right}" for left, right in merges],
        },
    }


def small_tokenizer() -> dict:
    return tokenizer_json(train_merges(SMALL_CORPUS, 200), SMALL_WHOLE_WORDS, SMALL_ADDED_TOKENS)


def full_tokenizer() -> dict:
    """59,246 entries and the 36 added tokens at their published ids; the entries themselves are made up."""
    tokenizer = tokenizer_json(generated_merges(59246 - 256), [], ADDED_TOKENS)
    assert [token["id"] for token in tokenizer["added_tokens"]] == [*range(59246, 59282)]
    return tokenizer


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


# --- configuration ----------------------------------------------------------------------------------------------------------------------


def config_json(preset: Preset, tokenizer: dict, mtp: bool, dtype: str) -> dict:
    ids = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    text = preset.text | {
        "pad_token_id": ids["<|endoftext|>"],
        "eos_token_id": [ids["<|endoftext|>"], ids["<|user|>"]],
        "num_nextn_predict_layers": int(mtp),
        "dtype": {"bf16": "bfloat16", "f16": "float16", "f32": "float32"}[dtype],
    }
    return {
        "architectures": ["GlmOcrForConditionalGeneration"],
        "model_type": "glm_ocr",
        "text_config": text,
        "vision_config": preset.vision,
        "image_start_token_id": ids["<|begin_of_image|>"],
        "image_end_token_id": ids["<|end_of_image|>"],
        "video_start_token_id": ids["<|begin_of_video|>"],
        "video_end_token_id": ids["<|end_of_video|>"],
        "image_token_id": ids["<|image|>"],
        "video_token_id": ids["<|video|>"],
    }


# --- tensors ----------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TensorSpec:
    name: str
    shape: tuple[int, ...]
    scale: float  # standard deviation of the values around `center`
    center: float = 0.0
    seed_name: str = ""  # the name that seeds the values; MTP copies share it with their originals


def matrix(name: str, rows: int, columns: int, gain: float = 1.0, **options: str) -> TensorSpec:
    return TensorSpec(name, (rows, columns), gain / math.sqrt(columns), **options)


def norm(name: str, width: int, center: float = 1.0) -> TensorSpec:
    return TensorSpec(name, (width,), 0.25 * center, center)


def bias(name: str, width: int) -> TensorSpec:
    return TensorSpec(name, (width,), 0.1)


def decoder_layer_specs(prefix: str, text: dict) -> Iterator[TensorSpec]:
    hidden, width, head_dim = text["hidden_size"], text["intermediate_size"], text["head_dim"]
    q_width, kv_width = text["num_attention_heads"] * head_dim, text["num_key_value_heads"] * head_dim
    yield matrix(f"{prefix}.self_attn.q_proj.weight", q_width, hidden, gain=2.0)
    yield matrix(f"{prefix}.self_attn.k_proj.weight", kv_width, hidden)
    yield matrix(f"{prefix}.self_attn.v_proj.weight", kv_width, hidden)
    yield matrix(f"{prefix}.self_attn.o_proj.weight", hidden, q_width)
    yield matrix(f"{prefix}.mlp.gate_up_proj.weight", 2 * width, hidden)
    yield matrix(f"{prefix}.mlp.down_proj.weight", hidden, width)
    for layernorm in ("input_layernorm", "post_self_attn_layernorm", "post_attention_layernorm", "post_mlp_layernorm"):
        yield norm(f"{prefix}.{layernorm}.weight", hidden)


def mtp_specs(text: dict) -> Iterator[TensorSpec]:
    hidden, vocab = text["hidden_size"], text["vocab_size"]
    prefix = f"model.language_model.layers.{text['num_hidden_layers']}"
    yield TensorSpec(f"{prefix}.embed_tokens.weight", (vocab, hidden), 1.0, seed_name="model.language_model.embed_tokens.weight")
    yield norm(f"{prefix}.enorm.weight", hidden)
    yield norm(f"{prefix}.hnorm.weight", hidden)
    yield matrix(f"{prefix}.eh_proj.weight", hidden, 2 * hidden)
    yield from decoder_layer_specs(prefix, text)
    yield norm(f"{prefix}.shared_head.norm.weight", hidden)
    yield matrix(f"{prefix}.shared_head.head.weight", vocab, hidden, gain=3.0, seed_name="lm_head.weight")


def text_specs(text: dict, mtp: bool) -> Iterator[TensorSpec]:
    hidden, vocab = text["hidden_size"], text["vocab_size"]
    yield matrix("lm_head.weight", vocab, hidden, gain=3.0)
    yield TensorSpec("model.language_model.embed_tokens.weight", (vocab, hidden), 1.0)
    for layer in range(text["num_hidden_layers"]):
        yield from decoder_layer_specs(f"model.language_model.layers.{layer}", text)
    if mtp:
        yield from mtp_specs(text)
    yield norm("model.language_model.norm.weight", hidden)


def vision_specs(vision: dict) -> Iterator[TensorSpec]:
    hidden, width, out = vision["hidden_size"], vision["intermediate_size"], vision["out_hidden_size"]
    patch, frames, merge = vision["patch_size"], vision["temporal_patch_size"], vision["spatial_merge_size"]
    channels = 3
    head_dim, merger_width = hidden // vision["num_heads"], out * channels
    prefix = "model.visual"
    patch_shape = (hidden, channels, frames, patch, patch)
    yield TensorSpec(f"{prefix}.patch_embed.proj.weight", patch_shape, 1 / math.sqrt(math.prod(patch_shape[1:])))
    yield bias(f"{prefix}.patch_embed.proj.bias", hidden)
    for index in range(vision["depth"]):
        block = f"{prefix}.blocks.{index}"
        linears = {
            "attn.qkv": (3 * hidden, hidden),
            "attn.proj": (hidden, hidden),
            "mlp.gate_proj": (width, hidden),
            "mlp.up_proj": (width, hidden),
            "mlp.down_proj": (hidden, width),
        }
        for linear, (rows, columns) in linears.items():
            yield matrix(f"{block}.{linear}.weight", rows, columns)
            yield bias(f"{block}.{linear}.bias", rows)
        for layernorm in ("norm1", "norm2"):
            yield norm(f"{block}.{layernorm}.weight", hidden)
        for head_norm in ("attn.q_norm", "attn.k_norm"):
            yield norm(f"{block}.{head_norm}.weight", head_dim, center=1.5)
    yield norm(f"{prefix}.post_layernorm.weight", hidden)
    yield TensorSpec(f"{prefix}.downsample.weight", (out, hidden, merge, merge), 1 / math.sqrt(hidden * merge * merge))
    yield bias(f"{prefix}.downsample.bias", out)
    yield matrix(f"{prefix}.merger.proj.weight", out, out)
    yield norm(f"{prefix}.merger.post_projection_norm.weight", out)
    yield bias(f"{prefix}.merger.post_projection_norm.bias", out)
    yield matrix(f"{prefix}.merger.gate_proj.weight", merger_width, out)
    yield matrix(f"{prefix}.merger.up_proj.weight", merger_width, out)
    # GELU and the gate make the rows smaller; the gain restores the size of a token's embedding.
    yield matrix(f"{prefix}.merger.down_proj.weight", out, merger_width, gain=6.0)


def fnv1a64(text: str) -> int:
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def random_values(spec: TensorSpec, begin: int, end: int) -> np.ndarray:
    """Values begin to end of a tensor as fp32: a sum of four 16-bit numbers (nearly normal), centred and scaled."""
    z = np.arange(begin, end, dtype=np.uint64) + np.uint64(1)
    z *= np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(fnv1a64(spec.seed_name or spec.name))
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    parts = z.view("<u2").reshape(-1, 4).astype(np.int32).sum(axis=1, dtype=np.int32)
    # The sum of four has mean 2·65535 and variance (65536² − 1)/3.
    step = np.float32(spec.scale * math.sqrt(3.0) / 65536)
    return (parts - np.int32(2 * 65535)).astype(np.float32) * step + np.float32(spec.center)


def stored_bytes(values: np.ndarray, dtype: str) -> bytes:
    if dtype == "f32":
        return values.astype("<f4").tobytes()
    if dtype == "f16":
        return values.astype("<f2").tobytes()
    bits = values.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return rounded.astype("<u2").tobytes()


# --- safetensors ------------------------------------------------------------------------------------------------------------------------

DTYPES = {"bf16": ("BF16", 2), "f16": ("F16", 2), "f32": ("F32", 4)}
CHUNK = 1 << 22
CONVOLUTIONS = ("patch_embed.proj.weight", "downsample.weight")


def mlx_name(name: str) -> str:
    """The name that mlx-vlm's conversion gives a tensor."""
    if name.startswith("model.visual."):
        return "vision_tower." + name.removeprefix("model.visual.")
    if name.startswith("model.language_model."):
        return "language_model.model." + name.removeprefix("model.language_model.")
    return "language_model." + name


@dataclass(frozen=True)
class Layout:
    mlx: bool

    def name(self, spec: TensorSpec) -> str:
        return mlx_name(spec.name) if self.mlx else spec.name

    def channels_last(self, spec: TensorSpec) -> bool:
        return self.mlx and spec.name.endswith(CONVOLUTIONS)

    def shape(self, spec: TensorSpec) -> list[int]:
        out, channels, *window = spec.shape if self.channels_last(spec) else (0, 0)
        return [out, *window, channels] if self.channels_last(spec) else list(spec.shape)


def tensor_chunks(spec: TensorSpec, layout: Layout, dtype: str) -> Iterator[bytes]:
    count = math.prod(spec.shape)
    if layout.channels_last(spec):
        values = random_values(spec, 0, count).reshape(spec.shape)
        yield stored_bytes(np.ascontiguousarray(np.moveaxis(values, 1, -1)).ravel(), dtype)
        return
    for begin in range(0, count, CHUNK):
        yield stored_bytes(random_values(spec, begin, min(begin + CHUNK, count)), dtype)


def write_shard(path: Path, specs: list[TensorSpec], layout: Layout, dtype: str) -> None:
    dtype_name, item_size = DTYPES[dtype]
    header: dict[str, object] = {"__metadata__": {"format": "mlx" if layout.mlx else "pt"}}
    offset = 0
    for spec in specs:
        size = math.prod(spec.shape) * item_size
        header[layout.name(spec)] = {"dtype": dtype_name, "shape": layout.shape(spec), "data_offsets": [offset, offset + size]}
        offset += size
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for spec in specs:
            for chunk in tensor_chunks(spec, layout, dtype):
                file.write(chunk)


def split_shards(specs: list[TensorSpec], count: int) -> list[list[TensorSpec]]:
    """Groups of consecutive tensors of about equal size; none is empty."""
    total, done = sum(math.prod(spec.shape) for spec in specs), 0
    shards: list[list[TensorSpec]] = [[] for _ in range(count)]
    for spec in specs:
        shards[min(count - 1, done * count // total)].append(spec)
        done += math.prod(spec.shape)
    return [shard for shard in shards if shard]


def write_weights(out: Path, specs: list[TensorSpec], layout: Layout, dtype: str, shard_count: int) -> None:
    if shard_count == 1:
        write_shard(out / "model.safetensors", specs, layout, dtype)
        return
    shards = split_shards(specs, shard_count)
    weight_map = {}
    for index, shard in enumerate(shards, 1):
        name = f"model-{index:05}-of-{len(shards):05}.safetensors"
        write_shard(out / name, shard, layout, dtype)
        weight_map |= {layout.name(spec): name for spec in shard}
    total = sum(math.prod(spec.shape) for spec in specs) * DTYPES[dtype][1]
    write_json(out / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--preset", choices=PRESETS, required=True)
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--mtp", action=argparse.BooleanOptionalAction, help="with the MTP layer (the preset decides otherwise)")
    parser.add_argument("--layout", choices=("hf", "mlx"), default="hf")
    options = parser.parse_args()
    preset = PRESETS[options.preset]
    layout = Layout(mlx=options.layout == "mlx")
    # mlx-vlm's conversion drops the MTP layer.
    mtp = options.mtp if options.mtp is not None else preset.mtp and not layout.mlx
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = full_tokenizer() if preset.full_tokenizer else small_tokenizer()
    config = config_json(preset, tokenizer, mtp, options.dtype)
    generation = {key: config["text_config"][key] for key in ("eos_token_id", "pad_token_id")} | {"do_sample": False}
    write_json(options.out / "tokenizer.json", tokenizer)
    write_json(options.out / "config.json", config)
    write_json(options.out / "generation_config.json", generation)
    write_json(options.out / "preprocessor_config.json", PUBLISHED_PREPROCESSOR)
    specs = [*text_specs(config["text_config"], mtp), *vision_specs(preset.vision)]
    write_weights(options.out, specs, layout, options.dtype, options.shards)
    values = sum(math.prod(spec.shape) for spec in specs)
    print(f"{options.out}: {len(specs)} tensors, {values:,} values, {values * DTYPES[options.dtype][1]:,} bytes")


if __name__ == "__main__":
    main()
