# SPDX-License-Identifier: Apache-2.0
"""Scores layout snapshots on held-out drawn pages: reserved faces and texts, kinds of pages that training never has.

    python3 layout_evaluate.py WORK/layout SNAPSHOT... [--pages 300] [--photos 60] [--device cuda] [--json FILE]
    python3 layout_evaluate.py WORK/layout --curves OUT/log.jsonl FILE.png

SNAPSHOT is a folder, or a .pt file of layout_train.py (its sizes are those of mini-layout). For each set of pages: average precision of
each class (101 points) at overlaps from 0.5 to 0.95; the order of all pairs of found regions; precision and recall of groups of classes, of
the network's answers (`raw`) and as a user gets them (`parsed`): what is over a threshold, after the filters of the pipeline.
"""
import argparse
import json
import multiprocessing
import os
import tempfile

import numpy as np

from layout_pages import LABELS, page

FIRST_SEED = {"pages": 900_000_000, "photos": 910_000_000}
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6)                      # 0.3 is what `parse` takes
PRESERVED, REFERENCE = [LABELS.index(label) for label in ("image", "seal", "chart")], LABELS.index("reference")
OVERLAPS = np.arange(0.5, 0.96, 0.05)
GROUPS = {"text": ["text"], "title": ["doc_title", "paragraph_title"], "table": ["table"], "formula": ["display_formula"], "figure": ["image", "chart"],
          "caption": ["figure_title"], "header": ["header"], "footer": ["footer"]}
GROUP_OF = {LABELS.index(label): number for number, labels in enumerate(GROUPS.values()) for label in labels}


# ---------------------------------------------------------------- boxes
def iou(a, b):
    side = np.clip(np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2]), 0, None)
    common = side[..., 0] * side[..., 1]
    area = lambda c: (c[:, 2] - c[:, 0]) * (c[:, 3] - c[:, 1])
    return common / np.maximum(area(a)[:, None] + area(b)[None] - common, 1e-9)


def decode(logits, boxes, order, count=120):
    """As the image processor: the best of queries x classes as (score, label, corners, rank), best first."""
    scores = 1 / (1 + np.exp(-logits))
    best = np.argsort(-scores.ravel(), kind="stable")[:count]
    query, label = best // scores.shape[1], best % scores.shape[1]
    before = 1 / (1 + np.exp(-np.clip(order, -60, 60)))
    upper = np.triu(np.ones_like(before), 1)
    votes = (before * upper).sum(0) + ((1 - before.T) * upper.T).sum(0)
    rank = np.empty(len(votes))
    rank[np.argsort(votes, kind="stable")] = np.arange(len(votes))
    box = boxes[query]
    return scores.ravel()[best], label, np.concatenate([box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2], 1), rank[query]


def without_doubles(found):
    scores, labels, boxes, ranks = found
    same, kept = iou(boxes, boxes), []
    for i in range(len(scores)):                              # best first
        if all(same[i, j] < (0.6 if labels[i] == labels[j] else 0.98) for j in kept):
            kept.append(i)
    return tuple(part[kept] for part in found)


def without_contained(found):
    """The larger box removes what lies in it to four fifths; of two that lie in each other the better one stays."""
    scores, labels, boxes, _ = found
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    side = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    inside = side.clip(0).prod(-1) >= 0.8 * np.maximum(area, 1e-12)[:, None]
    kept, by_area = np.ones(len(scores), bool), np.argsort(-area, kind="stable")
    for at, i in enumerate(by_area):
        for j in by_area[:at]:
            if kept[i] and kept[j] and inside[i, j] and labels[j] != REFERENCE:
                if inside[j, i]:
                    kept[j if scores[i] > scores[j] else i] = False
                elif labels[i] not in PRESERVED:
                    kept[i] = False
    return tuple(part[kept] for part in found)


def parsed(found, threshold):
    """What src/regions/filter.cc leaves (but for pictures as large as the page)."""
    return without_contained(without_doubles(tuple(part[found[0] >= threshold] for part in found)))


def hits(boxes, truth, least):
    """Which found boxes (best first) take a region, each region once."""
    free, taken = np.ones(len(truth), bool), np.zeros(len(boxes), bool)
    same = iou(boxes, truth) if len(boxes) and len(truth) else np.zeros((len(boxes), len(truth)))
    for i in range(len(boxes)):
        if len(truth):
            over = np.where(free, same[i], -1)
            j = over.argmax()
            if over[j] >= least:
                free[j], taken[i] = False, True
    return taken


# ---------------------------------------------------------------- scores
def average_precision(pages, least):
    """pages: (scores, boxes, truth) of one class."""
    total, scores, right = sum(len(truth) for _, _, truth in pages), [], []
    for page_scores, boxes, truth in pages:
        scores.append(page_scores)
        right.append(hits(boxes, truth, least))
    order = np.argsort(-np.concatenate(scores), kind="stable")
    true = np.cumsum(np.concatenate(right)[order])
    if not len(true):
        return 0.0
    recall, precision = true / total, true / np.arange(1, len(true) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(recall, np.linspace(0, 1, 101), "left")
    return float(np.mean(np.where(places < len(precision), precision[np.minimum(places, len(precision) - 1)], 0)))


def class_scores(found, truths):
    table = {}
    for number, name in enumerate(LABELS):
        pages = [(f[0][f[1] == number], f[2][f[1] == number], t[t[:, 0] == number][:, 1:5]) for f, t in zip(found, truths)]
        count = sum(len(truth) for _, _, truth in pages)
        if count:
            all_overlaps = [average_precision(pages, least) for least in OVERLAPS]
            table[name] = {"n": count, "ap50": all_overlaps[0], "ap75": all_overlaps[5], "ap": float(np.mean(all_overlaps))}
    return table


def group_rows(found, truths):
    """(score, group, right) of all found boxes of the groups, and the number of regions of each."""
    rows, totals = [], np.zeros(len(GROUPS), int)
    for (scores, labels, boxes, _), truth in zip(found, truths):
        groups, true_groups = np.array([GROUP_OF.get(int(l), -1) for l in labels]), np.array([GROUP_OF.get(int(l), -1) for l in truth[:, 0]])
        for group in range(len(GROUPS)):
            mine = groups == group
            region = truth[true_groups == group][:, 1:5]
            totals[group] += len(region)
            rows += [(score, group, taken) for score, taken in zip(scores[mine], hits(boxes[mine], region, 0.5))]
    return rows, totals


def group_scores(found, truths):
    """Precision of the groups at the highest threshold that finds 98 of 100 of their regions; each group at this threshold."""
    rows, totals = group_rows(found, truths)
    rows.sort(key=lambda row: -row[0])
    right = np.cumsum([row[2] for row in rows])
    enough = np.searchsorted(right, 0.98 * totals.sum(), "left")
    if enough >= len(rows):
        enough = len(rows) - 1
    return by_group(rows[:enough + 1], totals, float(rows[enough][0]))


def by_group(rows, totals, threshold):
    share = lambda taken, count: float(sum(taken) / max(1, count))
    out = {"threshold": threshold, "recall": share([row[2] for row in rows], totals.sum()), "precision": share([row[2] for row in rows], len(rows)), "groups": {}}
    for group, name in enumerate(GROUPS):
        mine = [row[2] for row in rows if row[1] == group]
        out["groups"][name] = {"n": int(totals[group]), "recall": share(mine, totals[group]), "precision": share(mine, len(mine))}
    return out


def parsed_scores(found, truths):
    """The groups behind the filters at several thresholds: a large box over a low threshold takes right ones away, so recall can grow with the threshold."""
    return [by_group(*group_rows([parsed(f, threshold) for f in found], truths), threshold) for threshold in THRESHOLDS]


def order_scores(found, truths, threshold=0.4):
    """Share of pairs of found regions in the right order: all pairs of a page, and neighbours."""
    counts = np.zeros(4, int)
    for (scores, _, boxes, ranks), truth in zip(found, truths):
        sure = scores >= threshold
        pairs, free = [], np.ones(len(truth), bool)
        same = iou(boxes[sure], truth[:, 1:5])
        for i, rank in enumerate(ranks[sure]):
            over = np.where(free, same[i], -1)
            if over.max(initial=-1) >= 0.5:
                free[over.argmax()] = False
                pairs.append((truth[over.argmax(), 5], rank))
        given = np.array([rank for _, rank in sorted(pairs)])
        right = given[:, None] < given[None]
        upper = np.triu_indices(len(given), 1)
        counts += (right[upper].sum(), len(upper[0]), sum(given[:-1] < given[1:]), max(0, len(given) - 1))
    return {"all": counts[0] / max(1, counts[1]), "next": counts[2] / max(1, counts[3])}


def summary(found, truths):
    table = class_scores(found, truths)
    mean = lambda key: float(np.mean([row[key] for row in table.values()]))
    return {"pages": len(truths), "regions": int(sum(map(len, truths))), "mAP50": mean("ap50"), "mAP75": mean("ap75"), "mAP": mean("ap"),
            "order": order_scores(found, truths), "raw": group_scores(found, truths), "parsed": parsed_scores(found, truths), "classes": table}


# ---------------------------------------------------------------- running
def draw(task):
    data, kind, number = task
    return page(data, FIRST_SEED[kind] + number, "test", kind == "photos")


def load(path):
    import torch
    from layout_model import export, small_config
    from transformers import PPDocLayoutV3ForObjectDetection
    if path.endswith(".pt"):
        folder = tempfile.mkdtemp()
        export(torch.load(path, map_location="cpu"), small_config(), folder)
        path = folder
    model, info = PPDocLayoutV3ForObjectDetection.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    return model.eval()


def answers(model, pictures, device, batch=16):
    import torch
    found = []
    with torch.no_grad():
        for i in range(0, len(pictures), batch):
            pixels = torch.from_numpy(pictures[i:i + batch]).to(device).permute(0, 3, 1, 2).float() / 255
            out = model(pixel_values=pixels)
            parts = (out.logits, out.pred_boxes, out.order_logits)
            found += [decode(*page_parts) for page_parts in zip(*(part.float().cpu().numpy() for part in parts))]
    return found


def show(name, kind, result):
    percent = lambda value: f"{100 * value:.1f} %"
    print(f"{name}, {result['pages']} {kind}, {result['regions']} regions: mAP@0.5 {result['mAP50']:.3f}, @0.75 {result['mAP75']:.3f}, @0.5:0.95 {result['mAP']:.3f}; "
          f"order {100 * result['order']['all']:.2f} %, neighbours {percent(result['order']['next'])}")
    for way, part in [("raw", result["raw"])] + [("parsed", part) for part in result["parsed"]]:
        print(f"  {way}: precision {percent(part['precision'])} at recall {percent(part['recall'])}, threshold {part['threshold']:.2f}; "
              + ", ".join(f"{group} {percent(row['precision'])} / {percent(row['recall'])}" for group, row in part["groups"].items()))
    print("  AP@0.5: " + ", ".join(f"{label} {row['ap50']:.3f} ({row['n']})" for label, row in result["classes"].items()), flush=True)


def curves(log, out):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    rows = [json.loads(line) for line in open(log)]
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.2))
    for axis, names in zip(axes, (("total",), ("first iou", "last iou", "start iou", "last inline"), ("order",))):
        for name in (name for name in names if name in rows[0]):
            values = np.array([row[name] for row in rows])
            axis.plot([row["seconds"] for row in rows], 100 * (1 - values) if name == "order" else values, label="wrong order, %" if name == "order" else name)
        axis.set_xlabel("seconds")
        axis.legend()
    figure.tight_layout()
    figure.savefig(out, dpi=80)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data")
    parser.add_argument("snapshots", nargs="*")
    parser.add_argument("--pages", type=int, default=300)
    parser.add_argument("--photos", type=int, default=60)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json")
    parser.add_argument("--curves", nargs=2, metavar=("LOG", "PNG"))
    options = parser.parse_args()
    if options.curves:
        return curves(*options.curves)
    sets = {}
    with multiprocessing.get_context("spawn").Pool(max(1, (os.cpu_count() or 2) - 1)) as pool:
        for kind, count in (("pages", options.pages), ("photos", options.photos)):
            if count:
                drawn = pool.map(draw, [(options.data, kind, i) for i in range(count)], chunksize=2)
                sets[kind] = np.stack([picture for picture, _ in drawn]), [truth for _, truth in drawn]
    results = {}
    for path in options.snapshots:
        model = load(path).to(options.device)
        for kind, (pictures, truths) in sets.items():
            result = results.setdefault(path, {})[kind] = summary(answers(model, pictures, options.device), truths)
            show(path, kind, result)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
