#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a snapshot through transformers' GlmOcrForConditionalGeneration and writes what it computes, in numbers that a test can compare.

    make_golden.py SNAPSHOT [-o FILE] [--pictures FILE...] [--dtype fp32|bf16] [--device cpu|cuda] [--with-bf16] ...

FILE is SNAPSHOT/glmocr_golden.json by default, where GLMOCR_RUN_GOLDEN=1 looks for it. Without --pictures the standard cases run, over
tests/data/pictures. Needs transformers 5.17, torch, torchvision, pillow<13 (tools/README.md). TF32 is off; weights are read in the given type by
from_pretrained, which keeps the rotary frequencies in fp32 (casting a model later would round them). Format of the file:
    snapshot, weights_crc32   its name; CRC-32 of the safetensors files one after the other in the order of their names
    versions, dtype, device, attention, max_new_tokens
    pictures_dir              where the names of pictures start, relative to the repository
    cases                     one entry each:
        name, content         [{"image": file} or {"text": text}, ...] in the order of the prompt
        prompt_tokens         number of ids
        prompt_ids            runs [id, count] of the whole prompt's ids
        image_grid_thw        [[1, height/14, width/14], ...]
        position_ids          crc32 of the int32 array [3, prompt_tokens] (little-endian), delta (of rope: first new position − prompt_tokens),
                              spots [index, t, h, w]
        pixel_values          shape, sum, sum_sq (fp32 values added up in double)
        tensors               name (as in docs/model.md) -> shape [rows, width], all and last_row: [mean, sample deviation, largest absolute
                              value] over all rows and over the last, first and last: the first 8 values of the first and of the last row
        logits                of the last position: mean, std (sample), top [[id, logit], ...] (20), and either values (all of them) or
                              spots [[id, logit], ...] (64 ids spread over the vocabulary)
        generated             greedy: tokens (with the stop token), finish (stop or length), text (special tokens skipped), min_margin (smallest
                              distance of the best two logits over all steps), min_margin_at (the step)
        bf16                  with --with-bf16, the same case in bf16: mean, std, top, cosine and largest_error (of its logits, against the
                              fp32 ones), tokens, min_margin, min_margin_at, text
Values have 7 significant digits, sums have all of them.
"""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import numpy as np
import PIL
import tokenizers
import torch
import torchvision
import transformers
from PIL import Image
from transformers import GlmOcrForConditionalGeneration
from transformers.models.glm46v.image_processing_glm46v import Glm46VImageProcessor

sys.path.insert(0, str(Path(__file__).parent))
from make_pictures import PICTURES, ROOT, load_rgb  # noqa: E402

TOP = 20
SPOTS = 64
FULL_LOGITS_VOCAB = 1024  # up to this vocabulary every case keeps all its logits,
FULL_LOGITS_CASES = ("paragraph", "two_pictures")  # above it these do, while the vocabulary is below
FULL_LOGITS_LIMIT = 8192

TEXT = "Text Recognition:"
EXTRACTION = '请按下列JSON格式输出图中信息:\n{"number": "", "date": "", "total": ""}'


def image(name: str) -> dict[str, str]:
    return {"image": name}


def text(content: str) -> dict[str, str]:
    return {"text": content}


STANDARD_CASES = {
    "word": [image("word_56x56.png"), text(TEXT)],
    "words": [image("word_112x56.png"), text(TEXT)],
    "line": [image("line_308x84.png"), text(TEXT)],
    "flat_line": [image("line_300x40.png"), text(TEXT)],
    "paragraph": [image("paragraph_448x140.png"), text(TEXT)],
    "accents": [image("accents_448x140.png"), text(TEXT)],
    "invoice": [image("invoice_401x237.png"), text(TEXT)],
    "dark": [image("dark_448x140.png"), text(TEXT)],
    "degraded": [image("degraded_448x140.jpg"), text(TEXT)],
    "page": [image("page_900x700.png"), text(TEXT)],
    "table": [image("table_448x224.png"), text("Table Recognition:")],
    "formula_prompt": [image("line_308x84.png"), text("Formula Recognition:")],
    "blank": [image("blank_112x112.png"), text(TEXT)],
    "colored_jpeg": [image("420.jpg"), text(TEXT)],
    "turned_jpeg": [image("orientation_6.jpg"), text(TEXT)],
    "only_alpha": [image("only_alpha.png"), text(TEXT)],
    "extraction": [image("invoice_401x237.png"), text(EXTRACTION)],
    "two_pictures": [image("word_112x56.png"), image("line_308x84.png"), text(TEXT)],
    "three_pictures": [image("word_56x56.png"), image("orientation_5.jpg"), image("line_300x40.png"), text(TEXT)],
    "between": [text("Read this first: "), image("word_112x56.png"), text(" and then this: "), image("word_56x56.png"), text(TEXT)],
    "no_picture": [text("Text Recognition: what is there to be read?")],
}


# --- the prompt -------------------------------------------------------------------------------------------------------------------------


class Snapshot:
    """A snapshot without its weights."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.processor = Glm46VImageProcessor.from_pretrained(folder)
        self.image_token = self.config["image_token_id"]

    def weights_crc32(self) -> int:
        crc = 0
        for path in sorted(self.folder.glob("*.safetensors")):
            with path.open("rb") as file:
                while block := file.read(1 << 24):
                    crc = zlib.crc32(block, crc)
        return crc

    def inputs(self, content: list[dict[str, str]], device: str) -> dict[str, torch.Tensor]:
        """The prompt of one user turn, as the chat template writes it, and its pictures."""
        pictures = [Image.fromarray(load_rgb(find_picture(part["image"]))) for part in content if "image" in part]
        inputs = dict(self.processor(pictures, return_tensors="pt")) if pictures else {}
        grids = iter(inputs["image_grid_thw"].tolist() if pictures else [])
        prompt = "[gMASK]<sop><|user|>\n"
        for part in content:
            if "image" in part:
                _, height, width = next(grids)
                prompt += "<|begin_of_image|>" + "<|image|>" * (height * width // 4) + "<|end_of_image|>"
            else:
                prompt += part["text"]
        prompt += "<|assistant|>\n"
        ids = torch.tensor([self.tokenizer.encode(prompt, add_special_tokens=False).ids])
        inputs |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if pictures:
            inputs["mm_token_type_ids"] = (ids == self.image_token).int()
        return {name: value.to(device) for name, value in inputs.items()}


def find_picture(name: str) -> Path:
    return PICTURES / name if (PICTURES / name).exists() else Path(name)


# --- numbers ----------------------------------------------------------------------------------------------------------------------------


def short(value: float) -> float:
    return float(f"{value:.7g}")


def shorts(values: torch.Tensor) -> list[float]:
    return [short(value) for value in values.tolist()]


def spread(values: torch.Tensor) -> list[float]:
    double = values.double().flatten()
    return [short(double.mean().item()), short(double.std().item()), short(double.abs().max().item())]


def tensor_entry(rows: torch.Tensor) -> dict:
    rows = rows.float().cpu()
    return {
        "shape": list(rows.shape),
        "all": spread(rows),
        "last_row": spread(rows[-1]),
        "first": shorts(rows[0, :8]),
        "last": shorts(rows[-1, :8]),
    }


def top_logits(logits: torch.Tensor) -> list[list[float]]:
    # A stable sort: among equal logits the lower id comes first, as with argmax.
    values, ids = torch.sort(logits, descending=True, stable=True)
    return [[index, short(value)] for index, value in zip(ids[:TOP].tolist(), values[:TOP].tolist())]


def logits_entry(logits: torch.Tensor, everything: bool) -> dict:
    entry = {"mean": short(logits.double().mean().item()), "std": short(logits.double().std().item()), "top": top_logits(logits)}
    if everything:
        return entry | {"values": shorts(logits)}
    ids = [index * (len(logits) - 1) // (SPOTS - 1) for index in range(SPOTS)]
    return entry | {"spots": [[index, short(logits[index].item())] for index in ids]}


def positions_entry(positions: torch.Tensor, prompt_tokens: int) -> dict:
    array = positions.cpu().numpy().astype("<i4")
    spots = sorted({*range(0, prompt_tokens, max(1, prompt_tokens // 12)), prompt_tokens - 1})
    return {
        "crc32": zlib.crc32(np.ascontiguousarray(array).tobytes()),
        "delta": int(array.max()) + 1 - prompt_tokens,
        "spots": [[index, *array[:, index].tolist()] for index in spots],
    }


# --- the model --------------------------------------------------------------------------------------------------------------------------


def named_modules(model: GlmOcrForConditionalGeneration) -> Iterator[tuple[str, torch.nn.Module]]:
    """The modules whose outputs are kept, under the names of docs/model.md."""
    visual, decoder = model.model.visual, model.model.language_model
    yield "vision.patch_embed", visual.patch_embed
    yield from ((f"vision.blocks.{index}", block) for index, block in enumerate(visual.blocks))
    yield "vision.post_layernorm", visual.post_layernorm
    yield "vision.downsample", visual.downsample
    yield "vision.merger", visual.merger
    yield from ((f"decoder.layers.{index}", layer) for index, layer in enumerate(decoder.layers))
    yield "decoder.norm", decoder.norm


@contextmanager
def observed(model: GlmOcrForConditionalGeneration) -> Iterator[dict[str, torch.Tensor]]:
    """While it is open, every forward pass stores its intermediate tensors, as [rows, width], in the dictionary."""
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str):  # noqa: ANN202
        def hook(_module, _inputs, output) -> None:  # noqa: ANN001
            rows = output[0] if isinstance(output, tuple) else output
            rows = rows.flatten(1) if name == "vision.downsample" else rows.reshape(-1, rows.shape[-1])
            seen[name] = rows.detach()

        return hook

    def keep_inputs(_module, _inputs, keywords) -> None:  # noqa: ANN001
        embeddings = keywords["inputs_embeds"]
        seen["decoder.embed"] = embeddings.reshape(-1, embeddings.shape[-1]).detach()
        if keywords.get("position_ids") is not None:
            seen["position_ids"] = keywords["position_ids"][-3:, 0].detach()

    handles = [module.register_forward_hook(keep(name)) for name, module in named_modules(model)]
    handles.append(model.model.language_model.register_forward_pre_hook(keep_inputs, with_kwargs=True))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def greedy(model: GlmOcrForConditionalGeneration, snapshot: Snapshot, inputs: dict, max_new_tokens: int) -> tuple[dict, torch.Tensor]:
    """The greedy continuation and the logits of its first step. Ids after the tokenizer's last are padding rows of the
    matrices without a token, so they are never chosen."""
    known = max(snapshot.tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    padding = list(range(known, snapshot.config["text_config"]["vocab_size"])) or None
    output = model.generate(
        **inputs, do_sample=False, max_new_tokens=max_new_tokens, suppress_tokens=padding, output_logits=True, return_dict_in_generate=True
    )
    tokens = output.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    best_two = torch.stack([step[0, :known].float().topk(2).values for step in output.logits])
    margins = (best_two[:, 0] - best_two[:, 1]).cpu()
    stops = snapshot.config["text_config"]["eos_token_id"]
    entry = {
        "tokens": tokens,
        "finish": "stop" if tokens[-1] in stops else "length",
        "text": snapshot.tokenizer.decode([token for token in tokens if token not in stops], skip_special_tokens=True),
        "min_margin": short(margins.min().item()),
        "min_margin_at": int(margins.argmin()),
    }
    return entry, output.logits[0][0].float().cpu()


def run_case(
    model: GlmOcrForConditionalGeneration, snapshot: Snapshot, name: str, content: list, options: argparse.Namespace
) -> tuple[dict, torch.Tensor]:
    inputs = snapshot.inputs(content, options.device)
    ids = inputs["input_ids"][0]
    with observed(model) as seen:
        logits = model(**inputs, logits_to_keep=1, use_cache=False).logits[0, -1].float().cpu()
    positions = seen.pop("position_ids", torch.arange(len(ids)).expand(3, -1))
    entry: dict = {
        "name": name,
        "content": content,
        "prompt_tokens": len(ids),
        "prompt_ids": [[token, len(list(run))] for token, run in groupby(ids.tolist())],
        "image_grid_thw": inputs["image_grid_thw"].tolist() if "image_grid_thw" in inputs else [],
        "position_ids": positions_entry(positions, len(ids)),
    }
    if "pixel_values" in inputs:
        pixels = inputs["pixel_values"].double()
        entry["pixel_values"] = {"shape": list(pixels.shape), "sum": pixels.sum().item(), "sum_sq": (pixels**2).sum().item()}
    order = [module for module, _ in named_modules(model) if module.startswith("vision")] + ["decoder.embed"]
    order += [module for module, _ in named_modules(model) if module.startswith("decoder")]
    entry["tensors"] = {module: tensor_entry(seen[module]) for module in order if module in seen}
    everything = len(logits) <= FULL_LOGITS_VOCAB or (len(logits) <= FULL_LOGITS_LIMIT and name in FULL_LOGITS_CASES)
    entry["logits"] = logits_entry(logits, everything)
    entry["generated"], first_step = greedy(model, snapshot, inputs, options.max_new_tokens)
    # Where several tokens follow one prompt, generate() must have started from the same logits.
    difference = (first_step - logits).abs().max().item()
    if difference > (1e-3 if options.dtype == "fp32" else 0.5):
        raise SystemExit(f"{name}: generate() starts from logits {difference} away from the forward pass")
    return entry, logits


def bf16_entry(
    model: GlmOcrForConditionalGeneration, snapshot: Snapshot, content: list, reference: torch.Tensor, options: argparse.Namespace
) -> dict:
    inputs = snapshot.inputs(content, options.device)
    generated, logits = greedy(model, snapshot, inputs, options.max_new_tokens)
    cosine = torch.nn.functional.cosine_similarity(logits.double(), reference.double(), dim=0).item()
    entry = {
        "mean": short(logits.double().mean().item()),
        "std": short(logits.double().std().item()),
        "top": top_logits(logits),
        "cosine": short(cosine),
        "largest_error": short((logits - reference).abs().max().item()),
    }
    return entry | {key: generated[key] for key in ("tokens", "text", "min_margin", "min_margin_at")}


def load_model(folder: Path, dtype: str, options: argparse.Namespace) -> GlmOcrForConditionalGeneration:
    model, report = GlmOcrForConditionalGeneration.from_pretrained(
        folder,
        dtype={"fp32": torch.float32, "bf16": torch.bfloat16}[dtype],
        attn_implementation=options.attention,
        output_loading_info=True,
    )
    mtp = f"model.language_model.layers.{model.config.text_config.num_hidden_layers}."
    foreign = [key for key in report["unexpected_keys"] if not key.startswith(mtp)]
    if report["missing_keys"] or report["mismatched_keys"] or foreign:
        raise SystemExit(f"{folder}: missing {report['missing_keys']}, misshapen {report['mismatched_keys']}, unexpected {foreign}")
    return model.to(options.device).eval()


# --- the file ---------------------------------------------------------------------------------------------------------------------------


def write_golden(path: Path, head: dict, cases: list[dict]) -> None:
    """One line per field of a case, so that a change is easy to read in a diff."""
    compact = {"ensure_ascii": False, "separators": (",", ":")}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    bodies = ["{\n" + ",\n".join(f" {json.dumps(key)}: {json.dumps(value, **compact)}" for key, value in case.items()) + "\n}" for case in cases]
    path.write_text("{\n" + ",\n".join(lines) + ',\n"cases": [\n' + ",\n".join(bodies) + "\n]\n}\n", encoding="utf-8")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("snapshot", type=Path)
    parser.add_argument("-o", "--output", type=Path, help="default: SNAPSHOT/glmocr_golden.json")
    parser.add_argument("--name", help="what the file calls the snapshot (default: its folder's name)")
    parser.add_argument("--pictures", nargs="+", metavar="FILE", help="one case for each, instead of the standard cases")
    parser.add_argument("--prompt", default=TEXT, help="the text that goes with --pictures (default: %(default)s)")
    parser.add_argument("--cases", nargs="+", choices=STANDARD_CASES, metavar="NAME", help="only these of the standard cases")
    parser.add_argument("--max-new-tokens", type=int, default=200)
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--with-bf16", action="store_true", help="run every case in bf16 as well")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--attention", choices=("sdpa", "eager"), default="sdpa")
    parser.add_argument("--threads", type=int)
    return parser.parse_args()


@torch.inference_mode()
def main() -> None:
    options = parse_options()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(options.threads or torch.get_num_threads())
    if options.pictures:
        contents = {Path(name).stem: [image(name), text(options.prompt)] for name in options.pictures}
    else:
        contents = {name: STANDARD_CASES[name] for name in options.cases or STANDARD_CASES}
    snapshot = Snapshot(options.snapshot)
    model = load_model(options.snapshot, options.dtype, options)
    cases, references = [], []
    for name, content in contents.items():
        entry, logits = run_case(model, snapshot, name, content, options)
        cases.append(entry)
        references.append(logits)
        print(
            f"{name}: {entry['prompt_tokens']} tokens, {len(entry['generated']['tokens'])} generated, {entry['generated']['text']!r:.60}", flush=True
        )
    del model
    if options.with_bf16:
        model = load_model(options.snapshot, "bf16", options)
        for case, reference in zip(cases, references):
            case["bf16"] = bf16_entry(model, snapshot, case["content"], reference, options)
            print(
                f"{case['name']}: bf16 cosine {case['bf16']['cosine']}, largest error {case['bf16']['largest_error']}, same tokens {case['bf16']['tokens'] == case['generated']['tokens']}",
                flush=True,
            )
    head = {
        "snapshot": options.name or options.snapshot.resolve().name,
        "weights_crc32": snapshot.weights_crc32(),
        "versions": {module.__name__: module.__version__ for module in (transformers, torch, torchvision, tokenizers, PIL)},
        "dtype": options.dtype,
        "device": options.device if options.device == "cpu" else torch.cuda.get_device_name(options.device),
        "attention": options.attention,
        "tf32": False,
        "max_new_tokens": options.max_new_tokens,
        "pictures_dir": PICTURES.relative_to(ROOT).as_posix(),
    }
    write_golden(options.output or options.snapshot / "glmocr_golden.json", head, cases)


if __name__ == "__main__":
    main()
