# SPDX-License-Identifier: Apache-2.0
"""Reads drawn pictures and counts errors: by picture size, letter height and kind, compared with Tesseract on the same ones.

    python3 evaluate.py SNAPSHOT DATA OUT [--scale 0.1] [--device cuda]   # reads the test pictures, writes OUT/*.json;
                                                                          # in bf16 on a GPU, in fp32 on a CPU
    python3 evaluate.py --tesseract DATA OUT [--scale 0.1]                # Tesseract on the first pictures of each row
    python3 evaluate.py --table OUT                                       # the table of both as Markdown

Error = Levenshtein distance / length of the truth over all pictures of a row, white space folded.
"""
import argparse
import glob
import hashlib
import json
import os
import pathlib
import pickle
import random
import re
import subprocess
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from letters import enlargement, estimate_letter_height
from model import attention, linear, rms
from pages import Library, Shape, sample


# ---------------------------------------------------------------- scores
def fold(text):
    return re.sub(r"\s+", " ", text).strip()


def levenshtein(a, b):
    """Row by row, vectorised: insertions inside a row come from a running minimum."""
    a, b = np.array([ord(c) for c in a], np.int32), np.array([ord(c) for c in b], np.int32)
    steps = np.arange(len(b) + 1)
    row = steps.copy()
    for i, char in enumerate(a, 1):
        new = np.empty_like(row)
        new[0] = i
        np.minimum(row[1:] + 1, row[:-1] + (b != char), out=new[1:])
        row = np.minimum.accumulate(new - steps) + steps
    return int(row[-1])


def bare_formula(text):
    """Without spaces, dollar signs and braces around one character."""
    text = re.sub(r"\s+|\$", "", text)
    return re.sub(r"\{([^{}\\])\}", r"\1", text)


def table_tree(html):
    """[table, [[row, [cells]]]] as (label, text, children); cells carry their spans in the label."""
    rows = []
    for row in re.findall(r"<tr>(.*?)(?=</tr>|<tr>|$)", html, re.S):
        cells = []
        for attributes, text in re.findall(r"<td([^>]*)>(.*?)(?=</td>|<td|$)", row, re.S):
            spans = "".join(sorted(re.findall(r'(?:col|row)span="\d+"', attributes)))
            cells.append(("td" + spans, fold(text), []))
        rows.append(("tr", "", cells))
    return ("table", "", rows)


def teds(guess, truth):
    """Tree edit distance similarity (Zhong et al. 2020): 1 - distance / nodes of the larger tree, by Zhang-Shasha."""
    def order(tree):
        """Post-order: labels, texts and for each node the index of its leftmost leaf."""
        nodes = []

        def walk(node):
            left = len(nodes)
            for child in node[2]:
                walk(child)
            nodes.append((node[0], node[1], left if node[2] else len(nodes)))
        walk(tree)
        return nodes

    a, b = order(table_tree(guess)), order(table_tree(truth))
    roots = lambda nodes: sorted({left: i for i, (_, _, left) in enumerate(nodes)}.values())
    distance = np.zeros((len(a), len(b)))

    def rename(x, y):
        if x[0] != y[0]:
            return 1.0
        return 0.0 if x[1] == y[1] else levenshtein(x[1], y[1]) / max(len(x[1]), len(y[1]))

    for i in roots(a):
        for j in roots(b):
            li, lj = a[i][2], b[j][2]
            forest = np.zeros((i - li + 2, j - lj + 2))
            forest[:, 0], forest[0] = np.arange(i - li + 2), np.arange(j - lj + 2)
            for x in range(li, i + 1):
                for y in range(lj, j + 1):
                    p, q = x - li + 1, y - lj + 1
                    best = min(forest[p - 1, q], forest[p, q - 1]) + 1
                    if a[x][2] == li and b[y][2] == lj:
                        forest[p, q] = distance[x, y] = min(best, forest[p - 1, q - 1] + rename(a[x], b[y]))
                    else:
                        forest[p, q] = min(best, forest[a[x][2] - li, b[y][2] - lj] + distance[x, y])
    return max(0.0, 1 - distance[-1, -1] / max(len(a), len(b)))


def loops(text, truth):
    """Whether the text ends in a repetition that the truth does not have: the same unit eight times, or far too long."""
    tail = text[-400:]
    for size in range(1, 40):
        unit = tail[-size:]
        if len(tail) >= size * 8 and tail.endswith(unit * 8) and unit.strip() and not truth.endswith(unit * 6):
            return True
    return len(text) > 1.5 * len(truth) + 200


# ---------------------------------------------------------------- reading
class Reader:
    """Greedy reading of batches of equal-sized pictures with a key-value cache."""

    def __init__(self, model, vocabulary, device):
        self.model, self.vocabulary, self.device = model, vocabulary, device
        self.prefix = torch.tensor(vocabulary.prefix, device=device)
        self.suffix = {task: torch.tensor(ids, device=device) for task, ids in vocabulary.suffix.items()}

    def to_float(self, pictures):
        return torch.from_numpy(np.stack(pictures)).to(self.device).float() / 127.5 - 1

    @torch.no_grad()
    def ids(self, pictures, task, limit):
        model, device, end = self.model, self.device, self.vocabulary.end
        image = self.to_float(pictures)
        x, prompt = model.inputs(image, self.prefix, self.suffix[task])
        batch = len(pictures)
        cos, sin = model.rotary(image.shape[1] // 28, image.shape[2] // 28, len(self.prefix), prompt + limit, device)
        c = model.config
        caches = [torch.empty(2, batch, prompt + limit, c.kv_heads, c.head_dim, dtype=x.dtype, device=device) for _ in model.decoder]
        out = torch.full((batch, limit), end, device=device)
        done = torch.zeros(batch, dtype=torch.bool, device=device)
        at = 0
        for step in range(limit):
            new = x.shape[1]
            for layer, cache in zip(model.decoder, caches):
                q, k, v = layer.qkv(x, cos[:, at:at + new], sin[:, at:at + new])
                cache[0, :, at:at + new], cache[1, :, at:at + new] = k, v
                if new > 1:
                    attended = attention(q, k, v, True)
                else:
                    attended = one_query(q, cache[0, :, :at + 1], cache[1, :, :at + 1])
                x = layer.rest(x, attended)
            at += new
            token = linear(rms(x[:, -1], model.model.language_model.norm), model.lm_head).float().argmax(-1)
            token = torch.where(done, end, token)
            out[:, step] = token
            done |= token == end
            if step % 16 == 15 and bool(done.all()):
                break
            x = model.embed(token[:, None])
        return out[:, :step + 1].tolist()

    def texts(self, pictures, task, limit):
        return [self.vocabulary.text(ids) for ids in self.ids(pictures, task, limit)]

    @torch.no_grad()
    def draft_hits(self, picture, ids, task):
        """For every text position: how many of the three drafts (0-3) a round that begins there would accept."""
        model, device = self.model, self.device
        image = self.to_float([picture])
        shown = torch.tensor([ids], device=device)
        x, prompt = model.inputs(image, self.prefix, self.suffix[task], shown)
        cos, sin = model.rotary(image.shape[1] // 28, image.shape[2] // 28, len(self.prefix), x.shape[1], device)
        first = x
        for layer in model.decoder:
            x = layer(x, cos, sin)
        state = rms(x, model.model.language_model.norm)
        count = len(ids)
        y = model.drafts(first, state, cos, sin, prompt - 1, count)
        guesses = [F.linear(rms(t, model.mtp.shared_head.norm), model.lm_head.weight.to(t.dtype)).argmax(-1)[0].tolist()
                   for t in (y[0][:, prompt - 1:], y[1], y[2])]
        hits = []
        for t in range(count - 1):               # pending token t; draft j guesses token t + 1 + j from slot t + j
            n = 0
            while n < 3 and t + 1 + n < count and guesses[n][t + n] == ids[t + 1 + n]:
                n += 1
            hits.append(n)
        return hits


def one_query(q, k, v):
    """One query per picture against the cache, by plain products."""
    batch, _, heads, dim = q.shape
    groups = k.shape[2]
    scores = (q.view(batch, groups, heads // groups, dim) @ k.permute(0, 2, 3, 1)).float() * dim ** -0.5
    return (scores.softmax(-1).to(v.dtype) @ v.transpose(1, 2)).reshape(batch, 1, heads * dim)


def draft_rates(hits, drafts):
    """(share of accepted first drafts, tokens per round) when every round makes `drafts` drafts."""
    rounds = accepted = tokens = 0
    for h in hits:
        t = 0
        while t < len(h):
            a = min(h[t], drafts)
            rounds, accepted, tokens = rounds + 1, accepted + (a > 0), tokens + a + 1
            t += a + 1
    return accepted / max(1, rounds), tokens / max(1, rounds)


# ---------------------------------------------------------------- the test pictures
PAGE, A4 = Shape(896, 1008, 1500), Shape(1754, 1240, 3600)
SMALL = (Shape(112, 448, 128), Shape(224, 448, 256), Shape(392, 616, 512), Shape(448, 616, 576))


def rows():
    """Rows of the test: name -> (shapes, style, kind, letter range, pictures)."""
    out = {}
    for style in ("clean", "degraded"):
        out[f"up to 616x448, {style}"] = (SMALL, style, "prose", None, 240)
        out[f"1008x896, {style}"] = ((PAGE,), style, "prose", None, 200)
        out[f"1240x1754, {style}"] = ((A4,), style, "prose", None, 60)
        out[f"letters 10-14 px, {style}"] = ((SMALL[1], SMALL[3], PAGE), style, "prose", (10, 14), 120)
        out[f"code, {style}"] = ((SMALL[3], Shape(672, 896, 1100)), style, "code", None, 80)
        out[f"numbers and codes, {style}"] = ((SMALL[1], SMALL[3]), style, "numbers", None, 120)
        out[f"tables, {style}"] = ((Shape(448, 672, 900, "table"), Shape(672, 896, 1400, "table")), style, None, None, 100)
        out[f"formulas, {style}"] = ((Shape(112, 448, 128, "formula"),), style, None, None, 120)
    out["textless"] = (SMALL + (PAGE,), "train", "textless", None, 200)
    return out


def fit(image):
    """As the engine does for sizes inside the budget: small print enlarged, sides to multiples of 28, bicubic."""
    height, width = image.shape
    factor = enlargement(estimate_letter_height(image), height, width)
    target = round(int(width * factor) / 28) * 28, round(int(height * factor) / 28) * 28
    if target == (width, height):
        return image
    return np.asarray(Image.fromarray(image).resize(target, Image.Resampling.BICUBIC))


_libraries = {}


def test_picture(job):
    """Picture number i of a row; the same on every machine."""
    data, row, i = job
    from data import Vocabulary
    if data not in _libraries:
        _libraries[data] = (Library(data, "test", "test"), Vocabulary(f"{data}/tokenizer.json").tokenizer)
    library, tokenizer = _libraries[data]
    shapes, style, kind, letters, _ = rows()[row]
    rng = random.Random(f"{row} {i}")
    letter = rng.uniform(*letters) if letters else None
    return sample(rng, library, shapes[i % len(shapes)], tokenizer, style, kind, letter)


def shown_picture(job):
    made = test_picture(job)
    return made, fit(made.image)


def test_set(data, scale, workers, part=(0, 1), most_pixels=10 ** 8, only="", fresh=False):
    """[(row, i, Sample, the picture as the model gets it)]; `part` = (k, n) takes every n-th picture, `only` the rows whose
    names begin so, `fresh` the pictures after those of the test: as many, and never used to choose anything."""
    jobs = [(data, row, i + spec[4] * fresh) for row, spec in rows().items() if row.startswith(only)
            for i in range(max(2, int(spec[4] * scale)))
            if spec[0][i % len(spec[0])].height * spec[0][i % len(spec[0])].width <= most_pixels][part[0]::part[1]]
    with ProcessPoolExecutor(workers) as pool:
        return [(row, i, s, shown) for (_, row, i), (s, shown) in zip(jobs, pool.map(shown_picture, jobs, chunksize=4))]


def test_pictures(drawn, data, scale, workers, part, **others):
    """The part (k, n) of the test set: of the file `drawn` (of --draw) if there is one, else drawn now."""
    if drawn and os.path.exists(drawn):
        with open(drawn, "rb") as file:
            return pickle.load(file)[part[0]::part[1]]
    return test_set(data, scale, workers, part, **others)


def as_stored(model):
    """Rounds the parameters to the type of the snapshot, where the device computes in it."""
    for p in model.parameters():
        p.data = p.data.bfloat16() if p.is_cuda else p.data


def read_set(reader, pictures, pixels_a_batch=140_000_000, drafts=40):
    """Reads everything; gives one record per picture."""
    groups = {}
    for row, i, s, image in pictures:
        task = s.kind if s.kind in ("table", "formula") else "text"
        groups.setdefault((image.shape, task), []).append((row, i, s, image))
    records, drafted = [], Counter()
    for (shape, task), members in sorted(groups.items(), key=lambda g: g[0][0]):
        size = max(1, min(256, pixels_a_batch // (shape[0] * shape[1])))
        members.sort(key=lambda m: len(m[2].ids))
        for k in range(0, len(members), size):
            part = members[k:k + size]
            limit = int(max(len(m[2].ids) for m in part) * 1.3) + 64
            for (row, i, s, image), ids in zip(part, reader.ids([m[3] for m in part], task, limit)):
                ended = reader.vocabulary.end in ids
                ids = ids[:ids.index(reader.vocabulary.end) + 1] if ended else ids
                record = {"row": row, "i": i, "letter": s.letter, "kind": s.kind, "truth": s.text, "ended": ended,
                          "text": reader.vocabulary.text(ids), "sha": hashlib.sha1(s.image.tobytes()).hexdigest()[:12]}
                if drafted[row] < drafts and s.kind != "textless" and len(ids) > 4:
                    drafted[row] += 1
                    record["hits"] = reader.draft_hits(image, ids, task)
                records.append(record)
    return records


# ---------------------------------------------------------------- the table
def write_records(out, records, part=None):
    """The records of a whole test, or of part number `part`; a whole replaces older parts, a part replaces an older whole."""
    os.makedirs(out, exist_ok=True)
    with open(f"{out}/records{'' if part is None else part}.json", "w") as file:
        json.dump(records, file, ensure_ascii=False)
    for old in record_parts(out) if part is None else [f"{out}/records.json"]:
        pathlib.Path(old).unlink(missing_ok=True)


def record_parts(out):
    return sorted(glob.glob(f"{out}/records[0-9]*.json"))


def read_records(out):
    """The records of a whole test; where it was read in parts, those of all parts."""
    whole = f"{out}/records.json"
    records = [r for file in ([whole] if os.path.exists(whole) else record_parts(out)) for r in json.load(open(file))]
    if not records or len({(r["row"], r["i"]) for r in records}) < len(records):
        raise SystemExit(f"{out}: no records, or parts of different runs (records*.json)")
    return records


def score(records):
    """Numbers of one row."""
    truth = [fold(r["truth"]) for r in records]
    errors = [levenshtein(fold(r["text"]), t) for r, t in zip(records, truth)]
    kept = [(e, len(t)) for e, t in zip(errors, truth) if e <= 0.05 * len(t)]
    out = {"pictures": len(records), "characters": sum(map(len, truth)), "error": 100 * sum(errors) / max(1, sum(map(len, truth))),
           "median": 100 * float(np.median([e / max(1, len(t)) for e, t in zip(errors, truth)])),
           "worst": 100 * max(e / max(1, len(t)) for e, t in zip(errors, truth)),
           "lost": len(records) - len(kept), "kept": 100 * sum(e for e, _ in kept) / max(1, sum(n for _, n in kept)),
           "loops": sum(loops(r["text"], r["truth"]) or not r.get("ended", True) for r in records)}
    if records[0]["kind"] == "table":
        out["teds"] = float(np.mean([teds(r["text"], r["truth"]) for r in records]))
    if records[0]["kind"] == "formula":
        out["exact"] = 100 * float(np.mean([bare_formula(r["text"]) == bare_formula(r["truth"]) for r in records]))
    if records[0]["kind"] == "textless":
        out["invented"] = sum(bool(r["text"].strip()) for r in records)
    hits = [r["hits"] for r in records if r.get("hits")]
    if hits:
        out["accepted_1"], out["tokens_a_round_3"] = draft_rates(hits, 1)[0], draft_rates(hits, 3)[1]
    return out


def summary(records):
    by_row = {}
    for r in records:
        by_row.setdefault(r["row"], []).append(r)
    return {row: score(by_row[row]) for row in rows() if row in by_row}


def run_tesseract(picture, shape):
    """Tesseract's text (10 px of paper around the picture; one block for small ones, its own layout for pages)."""
    mode = "3" if shape[0] > 600 else "6"
    image = Image.fromarray(np.pad(picture, 10, mode="edge"))
    path = f"/tmp/tesseract-{os.getpid()}.png"
    image.save(path)
    done = subprocess.run(["tesseract", path, "-", "--psm", mode, "-l", "eng"], capture_output=True, text=True,
                          env={**os.environ, "OMP_THREAD_LIMIT": "1"}, check=False)
    os.remove(path)
    return done.stdout


def compare(data, out, scale, seconds):
    """Tesseract on the first pictures of the rows it can read, until the time is used up."""
    ours = {(r["row"], r["i"]): r for r in read_records(out)}
    started, records, strangers = time.time(), [], 0
    names = [r for r in rows() if not r.startswith(("tables", "formulas", "textless"))]
    limits = {r: max(2, int(rows()[r][4] * scale)) for r in names}
    for i in range(max(limits.values())):
        for row in names:
            if i >= limits[row] or (row, i) not in ours or time.time() - started > seconds:
                continue
            s = test_picture((data, row, i))
            if hashlib.sha1(s.image.tobytes()).hexdigest()[:12] != ours[row, i]["sha"]:
                strangers += 1
                continue
            records.append({"row": row, "i": i, "kind": s.kind, "letter": s.letter, "truth": s.text, "ours": ours[row, i]["text"],
                            "text": run_tesseract(s.image, s.image.shape)})
    json.dump(records, open(f"{out}/tesseract.json", "w"), ensure_ascii=False)
    print(len(records), "pictures,", strangers, "of another drawing,", round(time.time() - started), "s")


def table(out):
    records = read_records(out)
    other = {}
    if os.path.exists(f"{out}/tesseract.json"):
        for r in json.load(open(f"{out}/tesseract.json")):
            other.setdefault(r["row"], []).append(r)
    print("| row | pictures | characters | error % | median | worst | over 5 % | error of the others % | loops | also "
          "| same pictures: ours / Tesseract |\n|" + " --- |" * 11)
    for row, s in summary(records).items():
        also = ", ".join(f"{name} {s[name]:.3f}" if isinstance(s[name], float) else f"{name} {s[name]}"
                         for name in ("teds", "exact", "invented", "accepted_1", "tokens_a_round_3") if name in s)
        beside = ""
        if row in other:
            a = score([{**r, "text": r["ours"]} for r in other[row]])["error"]
            beside = f"{a:.2f} / {score(other[row])['error']:.2f} ({len(other[row])})"
        print(f"| {row} | {s['pictures']} | {s['characters']} | {s['error']:.2f} | {s['median']:.2f} | {s['worst']:.1f} | {s['lost']} | "
              f"{s['kept']:.2f} | {s['loops']} | {also} | {beside} |")
    buckets = {}
    for r in records:
        if r["kind"] in ("prose", "code", "numbers"):
            key = next(name for limit, name in ((11, "9-11"), (14, "12-14"), (20, "15-20"), (30, "21-30"), (99, "31+")) if r["letter"] <= limit)
            buckets.setdefault(key, []).append(r)
    print("\n| letter height, px | pictures | error % |\n| --- | --- | --- |")
    for key in sorted(buckets, key=lambda k: int(re.match(r"\d+", k)[0])):
        s = score(buckets[key])
        print(f"| {key} | {s['pictures']} | {s['error']:.2f} |")
    hits = [r["hits"] for r in records if r.get("hits")]
    pages = [r for r in records if r["row"].startswith(("1008", "1240"))]
    print(f"\nDrafts over all rows: one draft {100 * draft_rates(hits, 1)[0]:.1f} % accepted; three drafts {draft_rates(hits, 3)[1]:.2f} tokens a round.")
    print(f"Loops among {len(pages)} pages of 1008x896 and A4: {sum(loops(r['text'], r['truth']) or not r['ended'] for r in pages)}.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--tesseract", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--draw", action="store_true", help="only draw the test pictures: DATA FILE.pkl")
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--drawn", help="read the pictures of this file (of --draw) instead of drawing them")
    parser.add_argument("--part", default="0/1", help="K/N: every N-th picture from K on, for N processes with a GPU each")
    parser.add_argument("--only", default="", help="the rows whose names begin so")
    parser.add_argument("--fresh", action="store_true", help="other pictures of the same rows, for weights that were chosen by the first")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    if args.table:
        return table(args.paths[0])
    if args.tesseract:
        return compare(args.paths[0], args.paths[1], args.scale, args.seconds)
    if args.draw:
        drawn = test_set(args.paths[0], args.scale, args.workers, only=args.only, fresh=args.fresh)
        pickle.dump(drawn, open(args.paths[1] + ".part", "wb"))
        return os.replace(args.paths[1] + ".part", args.paths[1])
    from data import Vocabulary
    from prune import load_snapshot
    snapshot, data, out = args.paths
    if args.drawn and not os.path.exists(args.drawn):
        parser.error(f"--drawn: there is no {args.drawn}")
    model = load_snapshot(snapshot).to(args.device).eval()
    as_stored(model)
    reader = Reader(model, Vocabulary(f"{snapshot}/tokenizer.json"), torch.device(args.device))
    k, n = map(int, args.part.split("/"))
    pictures = test_pictures(args.drawn, data, args.scale, args.workers, (k, n), only=args.only, fresh=args.fresh)
    records = read_set(reader, pictures)
    write_records(out, records, k if n > 1 else None)
    if n == 1:
        table(out)


if __name__ == "__main__":
    main()
