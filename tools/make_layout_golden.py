#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a layout snapshot through transformers' PPDocLayoutV3ForObjectDetection and writes what it computes, in numbers that a test can compare.

    make_layout_golden.py SNAPSHOT PICTURE... -o FILE        the golden values
    make_layout_golden.py --random small|full --make FOLDER  a snapshot with random weights, of small or of the published sizes
    make_layout_golden.py --polygons FILE                    masks and their polygons by OpenCV
    make_layout_golden.py --resize FILE                      pictures resized by torchvision

Needs transformers 5.17, torch, torchvision, opencv-python-headless, pillow. Format of the golden values:
    snapshot, versions, threshold
    cases   one entry per picture: picture (relative to the repository), selected (places chosen, best first), and
        tensors   name (as LayoutModel's sink has it) -> shape, largest (absolute value), step, values: every step-th value. Maps are in the order
                  pages, rows, columns, channels; order_logits holds the pairs i < j, row after row
        regions   label, score, box and polygon, in reading order, as post_process_object_detection gives them
"""

import argparse
import json
import zlib
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
VALUES = 48  # of a tensor


def digits(value, count=8):
    return float(f"{float(value):.{count}g}")


def sampled(values):
    flat = np.ascontiguousarray(values, dtype=np.float64).ravel()
    step = max(1, flat.size // VALUES)
    if step > 1 and step % 2 == 0:
        step += 1  # so that not every value is of the same channel
    return {
        "shape": list(values.shape),
        "largest": digits(np.abs(flat).max()),
        "step": step,
        "values": [digits(v) for v in flat[::step]],
    }


def rows_last(tensor):
    return np.transpose(tensor.numpy(), (0, 2, 3, 1))


def run_case(model, processor, picture, threshold):
    import torch
    from PIL import Image

    image = Image.open(picture).convert("RGB")
    inputs = processor(images=image, return_tensors="pt")
    tensors = {"pixel_values": rows_last(inputs["pixel_values"])}
    core = model.model
    hooks = []
    for i, stage in enumerate(core.backbone.model.encoder.stages):
        hooks.append(stage.register_forward_hook(lambda _, __, out, i=i: tensors.update({f"backbone.stages.{i}": rows_last(out)})))

    def keep_encoded(_, __, out):
        for i, level in enumerate(out.last_hidden_state):
            tensors[f"encoder.levels.{i}"] = rows_last(level)
        tensors["encoder.masks"] = rows_last(out.mask_feat)

    hooks.append(core.encoder.register_forward_hook(keep_encoded))
    with torch.no_grad():
        out = model(**inputs)
    for hook in hooks:
        hook.remove()
    queries = out.logits.shape[1]
    scores = out.enc_outputs_class[0]
    tensors["decoder.scores"] = scores.numpy()
    tensors["decoder.boxes"] = torch.sigmoid(out.init_reference_points[0]).numpy()
    for i in range(out.intermediate_hidden_states.shape[1]):
        tensors[f"decoder.layers.{i}"] = out.intermediate_hidden_states[0, i].numpy()
        tensors[f"decoder.boxes.{i}"] = out.intermediate_reference_points[0, i].numpy()
    tensors["logits"] = out.logits[0].numpy()
    tensors["pred_boxes"] = out.pred_boxes[0].numpy()
    pairs = np.triu_indices(queries, 1)
    tensors["order_logits"] = out.order_logits[0].numpy()[pairs]
    tensors["out_masks"] = out.out_masks[0].numpy()
    found = processor.post_process_object_detection(
        out, threshold=threshold, target_sizes=torch.tensor([[image.height, image.width]])
    )[0]
    regions = []
    for label, score, box, polygon in zip(found["labels"], found["scores"], found["boxes"], found["polygon_points"]):
        regions.append(
            {
                "label": model.config.id2label[int(label)],
                "score": digits(score),
                "box": [digits(v) for v in box],
                "polygon": [[digits(x), digits(y)] for x, y in polygon],
            }
        )
    return {
        "picture": str(Path(picture).resolve().relative_to(ROOT)),
        "selected": torch.topk(scores.max(-1).values, queries).indices.tolist(),
        "tensors": {name: sampled(values) for name, values in tensors.items()},
        "regions": regions,
    }


def make_golden(snapshot, pictures, threshold, output):
    import cv2
    import torch
    import torchvision
    import transformers
    from transformers import PPDocLayoutV3ForObjectDetection, PPDocLayoutV3ImageProcessor

    model = PPDocLayoutV3ForObjectDetection.from_pretrained(snapshot, dtype=torch.float32).eval()
    processor = PPDocLayoutV3ImageProcessor.from_pretrained(snapshot)
    path = Path(snapshot).resolve()
    golden = {
        "snapshot": str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name,
        "weights_crc32": zlib.crc32((path / "model.safetensors").read_bytes()),
        "versions": {m.__name__: m.__version__ for m in (transformers, torch, torchvision, cv2)},
        "threshold": threshold,
        "cases": [run_case(model, processor, picture, threshold) for picture in pictures],
    }
    lines = ",\n".join(json.dumps(case) for case in golden.pop("cases"))
    Path(output).write_text(json.dumps(golden)[:-1] + ', "cases": [\n' + lines + "\n]}\n")


SMALL = {
    "backbone_config": {
        "model_type": "hgnet_v2",
        "stem_channels": [3, 6, 8],
        "embedding_size": 8,
        "hidden_sizes": [10, 12, 14, 18],
        "stage_in_channels": [8, 10, 12, 14],
        "stage_mid_channels": [5, 6, 7, 8],
        "stage_out_channels": [10, 12, 14, 18],
        "stage_num_blocks": [1, 1, 2, 1],
        "stage_numb_of_layers": [1, 2, 2, 1],
        "stage_kernel_size": [3, 3, 5, 3],
        "stage_light_block": [False, False, True, True],
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
    },
    "encoder_in_channels": [12, 14, 18],
    "x4_feat_dim": 10,
    "encoder_hidden_dim": 12,
    "encoder_attention_heads": 3,
    "encoder_ffn_dim": 20,
    "decoder_in_channels": [12, 12, 12],
    "d_model": 20,
    "decoder_attention_heads": 2,
    "decoder_layers": 2,
    "decoder_ffn_dim": 28,
    "decoder_n_points": 3,
    "num_queries": 40,
    "mask_feature_channels": [9, 7],
    "num_prototypes": 6,
    "global_pointer_head_size": 5,
}


def make_random(kind, folder):
    """Weights with which values keep their size through the network, and masks, scores and orders differ."""
    import torch
    from safetensors.torch import save_file
    from transformers import HGNetV2Config, PPDocLayoutV3Config, PPDocLayoutV3ForObjectDetection

    torch.manual_seed(7)
    mini = json.loads((ROOT / "models/mini-layout/config.json").read_text())
    names = {int(k): v for k, v in mini["id2label"].items()}
    settings = {k: v for k, v in SMALL.items() if k != "backbone_config"} if kind == "small" else {}
    if kind == "small":
        settings["backbone_config"] = HGNetV2Config(**SMALL["backbone_config"])
    config = PPDocLayoutV3Config(id2label=names, label2id={v: k for k, v in names.items()}, **settings)
    model = PPDocLayoutV3ForObjectDetection(config)
    weights = {}
    for name, value in model.state_dict().items():
        if name.endswith("num_batches_tracked") or name.startswith(("model.decoder.class_embed", "model.decoder.bbox_embed")):
            continue
        shape = value.shape
        normal = torch.randn(shape)
        if name.endswith("running_var"):
            new = 0.5 + torch.rand(shape)
        elif name.endswith(("running_mean", "bias")):
            new = 0.1 * normal
        elif len(shape) == 1:
            new = 0.8 + 0.4 * torch.rand(shape)
        elif len(shape) == 4:
            new = normal * (1.6 / (shape[1] * shape[2] * shape[3])) ** 0.5
        else:
            new = normal * (1.0 / shape[-1]) ** 0.5
        if "enc_bbox_head.layers.2" in name:
            new = 0.3 * new
        published = name.replace(".encoder.aifi.", ".encoder.encoder.").replace(".self_attn.o_proj.", ".self_attn.out_proj.")
        published = published.replace(".mlp.fc", ".fc")
        weights[published] = (new.half() if kind == "small" else new).contiguous()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "model.safetensors")
    config.architectures = ["PPDocLayoutV3ForObjectDetection"]
    (folder / "config.json").write_text(config.to_json_string())
    processor = json.loads((ROOT / "models/mini-layout/preprocessor_config.json").read_text())
    processor["size"] = {"height": 96, "width": 160} if kind == "small" else {"height": 800, "width": 800}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=1) + "\n")
    print(len(weights), "tensors,", sum(w.numel() for w in weights.values()), "numbers")


def make_polygons(output):
    """Masks as rows of hexadecimal digits, four pixels each, and their polygons."""
    import cv2
    from transformers import PPDocLayoutV3ImageProcessor

    processor = PPDocLayoutV3ImageProcessor()
    rng = np.random.default_rng(11)
    cases = []
    for i in range(60):
        width, height = (int(v) for v in rng.integers(4, 12 if i < 30 else 48, 2))
        kind = i % 4
        if kind == 0:
            mask = rng.random((height, width)) < 0.3 + 0.5 * rng.random()
        elif kind == 1:
            mask = cv2.GaussianBlur(rng.random((height, width)).astype(np.float32), (0, 0), 2) > 0.5
        elif kind == 2:
            cells = (rng.random((max(1, height // 4), max(1, width // 4))) < 0.8).astype(np.uint8)
            mask = cv2.resize(cells, (width, height), interpolation=cv2.INTER_NEAREST)
        else:
            mask = np.zeros((height, width), np.uint8)
            cv2.ellipse(mask, (width // 2, height // 2), (width // 2, height // 3), int(rng.integers(0, 180)), 0, 360, 1, -1)
        mask = np.ascontiguousarray(mask.astype(np.uint8))
        polygon = processor._mask2polygon(mask)
        padded = np.pad(mask, ((0, 0), (0, -width % 4)))
        rows = ["".join(f"{int(''.join(map(str, row[x:x + 4])), 2):x}" for x in range(0, padded.shape[1], 4)) for row in padded]
        cases.append(
            {
                "width": width,
                "rows": rows,
                "polygon": [] if polygon is None or len(polygon) < 4 else [[digits(x), digits(y)] for x, y in polygon],
            }
        )
    lines = ",\n".join(json.dumps(case) for case in cases)
    Path(output).write_text('{"opencv": "%s", "cases": [\n%s\n]}\n' % (cv2.__version__, lines))


def noise(width, height):
    """A picture that a test can draw as well: [height, width, 3]."""
    i = np.arange(width * height * 3, dtype=np.uint64)
    x = (i * np.uint64(2654435761) + np.uint64(12345)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(13)
    x = (x * np.uint64(1597334677)) & np.uint64(0xFFFFFFFF)
    values = (x >> np.uint64(20)) & np.uint64(255)
    contrast = (i // np.uint64(24)) % np.uint64(5)
    values = np.where(contrast == 0, 255, np.where(contrast == 1, 0, values))
    return values.astype(np.uint8).reshape(height, width, 3)


def make_resize(output):
    import torch
    from torchvision.transforms.v2 import functional

    cases = []
    for size, to in [((37, 23), (32, 32)), ((64, 48), (96, 160)), ((200, 31), (64, 31)), ((31, 200), (31, 64)), ((1, 1), (32, 64)), ((3, 2), (64, 32)),
                     ((700, 500), (160, 96)), ((50, 50), (50, 64))]:
        picture = torch.from_numpy(noise(*size)).permute(2, 0, 1).unsqueeze(0)
        out = functional.resize(picture, [to[1], to[0]], interpolation=functional.InterpolationMode.BICUBIC, antialias=False)
        cases.append({"size": size, "to": to, "crc32": zlib.crc32(out[0].permute(1, 2, 0).contiguous().numpy().tobytes())})
    Path(output).write_text(json.dumps({"torch": torch.__version__, "cases": cases}, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("snapshot", nargs="?")
    parser.add_argument("pictures", nargs="*")
    parser.add_argument("-o", "--output")
    parser.add_argument("--threshold", type=float, default=0.3)
    parser.add_argument("--random", choices=("small", "full"), default="small")
    parser.add_argument("--make", metavar="FOLDER")
    parser.add_argument("--polygons", metavar="FILE")
    parser.add_argument("--resize", metavar="FILE")
    arguments = parser.parse_args()
    if arguments.make:
        make_random(arguments.random, arguments.make)
    if arguments.polygons:
        make_polygons(arguments.polygons)
    if arguments.resize:
        make_resize(arguments.resize)
    if arguments.snapshot:
        if not arguments.output or not arguments.pictures:
            parser.error("SNAPSHOT needs PICTURE and -o FILE")
        make_golden(arguments.snapshot, arguments.pictures, arguments.threshold, arguments.output)


if __name__ == "__main__":
    main()
