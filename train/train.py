# SPDX-License-Identifier: Apache-2.0
"""Trains the embedded model on drawn pictures, on one to N GPUs, in legs.

    python3 train.py --data WORK/data --out OUT --init SNAPSHOT --gpus 2 --seconds 600 --total 1200   # first leg
    python3 train.py --data WORK/data --out OUT --gpus 2 --seconds 600 --total 1200                   # goes on from OUT/checkpoint.pt
    python3 train.py --smoke --data WORK/data --out /tmp/smoke                                        # a test: tiny, CPU, < 60 s

`--total` is the length of the whole schedule in seconds, `--seconds` of this leg. Without --init (and without a
checkpoint) it starts from random weights. A file OUT/stop ends the leg early, a file OUT/total changes the length while it
runs. Every leg writes checkpoint.pt (weights and optimiser), log.jsonl (one line per 50 steps and per evaluation on held-out
pictures) and, at the end of the schedule, export/ (the snapshot) and test/records.json (what it read on the test pictures).
"""
import argparse
import json
import os
import random
import subprocess
import sys
import time

import numpy as np
import torch
import torch.distributed as dist

import export
from data import Drawers, Ring, Vocabulary, augment, corrupt, pictures_per_slot, stumble
from evaluate import Reader, as_stored, fold, levenshtein, read_records, read_set, test_pictures, write_records
from model import Config, GlmOcr
from pages import SHAPES, Library, sample
from prune import load_snapshot, start_model

# The curriculum: from this share of the time on, shares of the steps by group of shapes. A step costs about the same
# whatever its shape, so shares of steps are shares of time. It starts from a model that reads up to 1008x896 (pruned
# from a larger one); with random weights, begin with `tiny` and `small` alone and letters of 20 px and more.
CURRICULUM = [(0.00, dict(tiny=2.0, small=4.5, medium=2.0, page=0.8, large=0.2, table=0.9, formula=0.4)),
              (0.05, dict(tiny=1.0, small=2.8, medium=2.0, page=2.2, large=1.4, table=1.1, formula=0.4)),
              (0.15, dict(tiny=0.7, small=2.0, medium=1.5, page=2.0, large=3.2, table=1.2, formula=0.4)),
              (0.30, dict(tiny=0.4, small=2.2, medium=2.0, page=2.2, large=4.2, table=0.6, formula=0.5)),
              (0.75, dict(tiny=0.3, small=1.8, medium=1.5, page=1.8, large=6.5, table=0.5, formula=0.5))]
CONSTANT_UNTIL, LAST_RATE = 0.40, 0.015              # the learning rate: constant, then linear to this share of it
MUON_RATE, ADAM_RATE, WEIGHT_DECAY, CLIP, WARM_STEPS = 1.5e-3, 1.0e-3, 0.05, 1.0, 120
CORRUPT = 0.10


def group_of(shape):
    area = shape.height * shape.width
    if shape.task != "text":
        return shape.task
    return "tiny" if area < 30_000 else "small" if area < 290_000 else "medium" if area < 700_000 else \
        "page" if area < 1_240_000 else "large"


GROUPS = [group_of(s) for s in SHAPES]


def step_shares(fraction, most_pixels=10 ** 8):
    shares = [s for start, s in CURRICULUM if start <= fraction][-1]
    weight = [0.0 if s.height * s.width > most_pixels else 1.6 if s.height in (1764, 2212) else 1.0 for s in SHAPES]
    total = {g: sum(w for w, h in zip(weight, GROUPS) if h == g) for g in set(GROUPS)}
    return [shares[g] * w / (total[g] or 1.0) for g, w in zip(GROUPS, weight)]


def batch_size(shape, patches_a_step):
    """The number of pictures for a step of about equal cost: linear in patches and tokens, plus attention."""
    n = shape.height * shape.width // 196 + shape.max_tokens
    return max(4, min(1280, int(patches_a_step / n / (1 + n / 12_000)) // 2 * 2))


def rate_factor(fraction, step):
    decay = 1.0 if fraction < CONSTANT_UNTIL else max(LAST_RATE, (1 - fraction) / (1 - CONSTANT_UNTIL))
    return min(1.0, (step + 1) / WARM_STEPS) * decay


# ---------------------------------------------------------------- optimiser
class Muon:
    """Momentum whose step is made orthogonal by five Newton-Schulz iterations (Jordan et al. 2024), scaled as in Moonlight:
    0.2·sqrt(max(rows, columns)). Matrices of the same shape are processed together; fused ones (qkv, gate_up) count as several."""

    def __init__(self, named, momentum=0.95):
        self.groups, self.momentum = {}, momentum
        for name, p in named:
            parts = 3 if ".qkv." in name else 2 if "gate_up" in name else 1
            self.groups.setdefault((p.shape[0] // parts, p.shape[1]), []).append((p, parts))
        self.buffers = {shape: torch.zeros(sum(n for _, n in members), *shape, device=members[0][0].device)
                        for shape, members in self.groups.items()}

    @torch.no_grad()
    def step(self, rate):
        for shape, members in self.groups.items():
            gradient = torch.cat([p.grad.view(n, *shape) for p, n in members])
            buffer = self.buffers[shape].lerp_(gradient, 1 - self.momentum)
            u = orthogonal(gradient.lerp(buffer, self.momentum)).float() * (-rate * 0.2 * max(shape) ** 0.5)
            torch._foreach_mul_([p for p, _ in members], 1 - rate * WEIGHT_DECAY)
            pieces = u.split([n for _, n in members])
            torch._foreach_add_([p for p, _ in members], [piece.reshape(p.shape) for piece, (p, _) in zip(pieces, members)])


def orthogonal(g):
    """The nearest half-orthogonal matrices, roughly: singular values end between 0.7 and 1.2."""
    x = g.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return x.mT if tall else x


class Optimiser:
    """Muon for the blocks' matrices, AdamW for the rest; one flat gradient for the exchange between GPUs."""

    def __init__(self, model, world):
        named = list(model.named_parameters())
        matrices = [(n, p) for n, p in named if p.dim() == 2 and ("blocks." in n or ".layers." in n or "merger" in n)]
        chosen = {id(p) for _, p in matrices}
        rest = [p for _, p in named if id(p) not in chosen]
        self.parameters, self.world = [p for _, p in named], world
        self.muon = Muon(matrices)
        self.adam = torch.optim.AdamW([dict(params=[p for p in rest if p.dim() > 1], weight_decay=WEIGHT_DECAY),
                                       dict(params=[p for p in rest if p.dim() < 2], weight_decay=0.0)],
                                      lr=ADAM_RATE, betas=(0.9, 0.98), fused=rest[0].is_cuda)
        self.flat = torch.zeros(sum(p.numel() for p in self.parameters), device=rest[0].device)
        self.views = [v.view_as(p) for v, p in zip(self.flat.split([p.numel() for p in self.parameters]), self.parameters)]

    def zero(self):
        for p in self.parameters:
            p.grad = None

    def step(self, factor):
        torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in self.parameters], out=self.flat)
        if self.world > 1:
            dist.all_reduce(self.flat)
            self.flat.div_(self.world)
        norm = self.flat.norm()
        self.flat.mul_((CLIP / (norm + 1e-6)).clamp(max=1.0))
        for p, view in zip(self.parameters, self.views):
            p.grad = view
        self.muon.step(MUON_RATE * factor)
        for group in self.adam.param_groups:
            group["lr"] = ADAM_RATE * factor
        self.adam.step()
        return norm

    def state(self):
        return {"adam": self.adam.state_dict(), "muon": self.muon.buffers}

    def load(self, state):
        self.adam.load_state_dict(state["adam"])
        for shape, buffer in state["muon"].items():
            self.muon.buffers[shape].copy_(buffer)


# ---------------------------------------------------------------- held-out pictures during the training
DEV = (("448x224", 48), ("616x448", 24), ("1008x896", 16), ("1232x1764", 6), ("672x448 table", 16), ("448x112 formula", 24))


def dev_set(data, vocabulary, part, scale=1.0):
    """Pictures of the dev families, drawn with the training's text; part (k, n) takes every n-th."""
    library, rng = Library(data, "dev"), random.Random(77)
    shapes = {str(s): s for s in SHAPES}
    made = [(name, sample(rng, library, shapes[name], vocabulary.tokenizer)) for name, n in DEV for _ in range(int(n * scale) if shapes[name].height < 1000 or scale == 1 else 0)]
    return made[part[0]::part[1]]


def dev_errors(reader, pictures):
    """{shape: (errors, characters)}; pages only up to 1,300 tokens, to save time."""
    out = {}
    for name in dict.fromkeys(n for n, _ in pictures):
        members = [s for n, s in pictures if n == name and len(s.ids) < 1300]
        if not members:
            continue
        task = members[0].kind if members[0].kind in ("table", "formula") else "text"
        read = reader.texts([s.image for s in members], task, max(len(s.ids) for s in members) + 32)
        out[name] = (sum(levenshtein(fold(t), fold(s.text)) for t, s in zip(read, members)), sum(len(fold(s.text)) for s in members))
    return out


# ---------------------------------------------------------------- one process
class Trainer:
    def __init__(self, args, rank, world):
        self.args, self.rank, self.world = args, rank, world
        self.vocabulary = Vocabulary(f"{args.data}/tokenizer.json")
        library = Library(args.data)
        self.drawers = Drawers(library, self.vocabulary, args.drawers, 100 * rank + random.SystemRandom().randrange(90))
        self.set_demand(0.0)
        self.device = torch.device(f"cuda:{rank}" if torch.cuda.is_available() and not args.smoke else "cpu")
        self.cuda = self.device.type == "cuda"
        if self.cuda:
            torch.cuda.set_device(self.device)
        if world > 1:
            dist.init_process_group("cpu:gloo,cuda:nccl" if self.cuda else "gloo", init_method="tcp://127.0.0.1:29511", rank=rank, world_size=world)
        self.start_model()
        self.prefix = torch.tensor(self.vocabulary.prefix, device=self.device)
        self.suffix = {t: torch.tensor(ids, device=self.device) for t, ids in self.vocabulary.suffix.items()}
        self.log_file = open(f"{args.out}/log{rank or ''}.jsonl", "a")

    def set_demand(self, fraction):
        """What the drawing processes should draw: as many pictures as the steps take, and some of those that come next."""
        now, soon = (step_shares(f, self.args.most_pixels) for f in (fraction, min(1.0, fraction + 0.08)))
        for i, s in enumerate(SHAPES):
            share = 0.8 * now[i] + 0.2 * soon[i]
            self.drawers.demand[i] = share * batch_size(s, self.args.patches) / pictures_per_slot(s)

    def start_model(self):
        args = self.args
        self.step, self.pictures, self.tokens, self.spent = 0, 0, 0, 0.0
        torch.manual_seed(0)
        if args.smoke:
            self.model = GlmOcr(Config(vision_depth=2, vision_inter=128, layers=1, inter=128))
        elif os.path.exists(f"{args.out}/checkpoint.pt"):
            self.model = GlmOcr(Config())
        elif args.weights:                                   # weights alone, where the optimiser's state was lost
            self.model, self.spent = load_snapshot(args.weights), args.spent
        elif args.init:
            self.model = start_model(args.init, f"{args.data}/plan.json")
        else:
            self.model = GlmOcr(Config())
        self.model.to(self.device)
        self.optimiser = Optimiser(self.model, self.world)
        if os.path.exists(f"{args.out}/checkpoint.pt"):
            saved = torch.load(f"{args.out}/checkpoint.pt", map_location=self.device)
            self.model.load_state_dict(saved["model"])
            self.optimiser.load(saved["optimiser"])
            self.step, self.pictures, self.tokens, self.spent = saved["progress"]
        self.first_step = 0 if os.path.exists(f"{args.out}/checkpoint.pt") else self.step
        torch.manual_seed(1000 * self.rank + self.step)

    def log(self, **record):
        record = {"step": self.step, "seconds": round(self.spent + time.time() - self.began, 1), **record}
        self.log_file.write(json.dumps(record) + "\n")
        self.log_file.flush()
        if self.rank == 0:
            print(json.dumps(record), flush=True)

    def warm_up(self):
        """Compiles before the drawing processes need the processors; they begin when the first size is compiled."""
        self.begun = False
        if not self.cuda or self.args.eager:
            return
        torch._dynamo.config.cache_size_limit = 64
        torch._dynamo.config.accumulated_cache_size_limit = 512
        self.model.compile()
        for height, width, count in ((112, 448, 32), (56, 56, 12), (448, 448, 48), (1008, 896, 64)):
            ids = torch.ones(6, count, dtype=torch.long, device=self.device)
            image = torch.zeros(6, height, width, device=self.device)
            loss, drafts = self.model(image, self.prefix, self.suffix["text"], ids, ids, 2, 16)
            (loss + drafts.sum()).backward()
            if not self.begun:
                self.drawers.begin()
                self.begun = True
        self.optimiser.zero()
        torch.cuda.synchronize()

    def choose(self, rng, fraction):
        """Shape and third (short, middling or long texts) of the next step, the same on all GPUs; rank 0 chooses among
        the shapes with pictures."""
        control = torch.zeros(4, dtype=torch.float64)       # on the CPU, so that nothing waits for the GPU
        if self.rank == 0:
            shares = step_shares(fraction, self.args.most_pixels)
            have = lambda i: self.ring.ready(i, batch_size(SHAPES[i], self.args.patches))
            while True:
                able = [i for i in range(len(SHAPES)) if shares[i] and have(i)]
                enough = 0.01 if self.args.smoke else 0.6 if time.time() - self.began < 15 else 0.2
                if able and sum(shares[i] for i in able) > enough * sum(shares):
                    break
                time.sleep(0.02)
                self.waited += 0.02
            spent = time.time() - self.began >= self.args.seconds and (self.step >= 3 or not self.args.smoke)
            stop = spent or os.path.exists(f"{self.args.out}/stop")
            control[:] = torch.tensor([fraction, rng.choices(able, [shares[i] for i in able])[0], rng.randrange(3), float(stop)])
        if self.world > 1:
            dist.broadcast(control, 0)
        return control.tolist()

    def train_step(self, rng, which, third, fraction):
        shape = SHAPES[which]
        count = batch_size(shape, self.args.patches)
        while self.ring.made[which] < min(count, self.ring.capacity[which]):
            time.sleep(0.01)
            self.waited += 0.01
        pictures, targets, letters, tokens = self.ring.batch(rng, which, count, third)
        image = augment(pictures, letters)
        shown, targets = stumble(targets)
        shown = corrupt(shown, CORRUPT * (1 - 0.6 * fraction), self.vocabulary.words)
        self.optimiser.zero()
        rows = 0 if fraction < self.args.mtp_from else max(1, count // 8)
        loss, drafts = self.model(image, self.prefix, self.suffix[shape.task], shown, targets, rows)
        (loss + drafts.sum() / 3).backward()
        norm = self.optimiser.step(rate_factor(fraction, self.step - self.first_step))
        self.step += 1
        self.pictures += count * self.world
        self.tokens += tokens * self.world
        return loss.detach(), drafts.detach(), norm

    def look(self, fraction):
        """Reads the held-out pictures; each GPU reads a share."""
        reader = Reader(self.model, self.vocabulary, self.device)
        counts = torch.zeros(len(DEV), 2, dtype=torch.float64, device=self.device)
        with torch.compiler.set_stance("force_eager"):
            errors_by_shape = dev_errors(reader, self.dev)
        for name, (errors, characters) in errors_by_shape.items():
            counts[[n for n, _ in DEV].index(name)] += torch.tensor([errors, characters], dtype=torch.float64, device=self.device)
        if self.world > 1:
            dist.all_reduce(counts)
        self.log(fraction=round(fraction, 3), dev={name: round(100 * float(e / max(1, c)), 3) for (name, _), (e, c) in zip(DEV, counts) if c})

    def save(self):
        if self.rank == 0:
            progress = (self.step, self.pictures, self.tokens, self.spent + time.time() - self.began)
            torch.save({"model": self.model.state_dict(), "optimiser": self.optimiser.state(), "progress": progress,
                        "config": self.model.config.as_dict()}, f"{self.args.out}/checkpoint.tmp")
            os.replace(f"{self.args.out}/checkpoint.tmp", f"{self.args.out}/checkpoint.pt")
            export.snapshot(self.model, f"{self.args.data}/tokenizer.json", f"{self.args.out}/export.tmp")
            os.makedirs(f"{self.args.out}/export", exist_ok=True)
            for name in os.listdir(f"{self.args.out}/export.tmp"):
                os.replace(f"{self.args.out}/export.tmp/{name}", f"{self.args.out}/export/{name}")

    def run(self):
        args = self.args
        self.began = started = time.time()
        self.warm_up()
        self.dev = dev_set(args.data, self.vocabulary, (self.rank, self.world), 0.1 if args.smoke else 1) if args.looks else []
        if not self.begun:
            self.drawers.begin()
        self.ring = Ring(self.drawers, self.device, 0.02 if args.smoke else 0.6)
        prepared = time.time() - started
        self.began = time.time()
        self.waited = 0.0
        self.log(prepared=round(prepared, 1), parameters=sum(p.numel() for p in self.model.parameters()))
        rng, numbers = random.Random(5 + self.step), np.random.default_rng(7 * self.rank + self.step + 1)
        looks = [f for f in args.looks if f > self.spent / args.total]
        saved = logged = time.time()
        losses, drafted, first = {}, torch.zeros(3, device=self.device), self.step
        while True:
            fraction = min(1.0, (self.spent + time.time() - self.began) / args.total)
            fraction, which, third, stop = self.choose(rng, fraction)
            if stop:
                break
            if looks and fraction >= looks[0] and not args.smoke:
                looks.pop(0)
                self.look(fraction)
            loss, drafts, norm = self.train_step(numbers, int(which), int(third), fraction)
            drafted += drafts
            losses.setdefault(GROUPS[int(which)], []).append(loss)
            if self.step % args.log_every == 0:
                self.set_demand(fraction)
                if os.path.exists(f"{args.out}/total"):
                    args.total = float(open(f"{args.out}/total").read())
                    args.seconds = args.total - self.spent
                mean = {g: round(float(torch.stack(l).mean()), 4) for g, l in losses.items()}
                n = self.step - first
                self.log(fraction=round(fraction, 4), loss=mean, drafts=[round(v, 3) for v in (drafted / n).tolist()],
                         norm=round(float(norm), 3), steps_a_second=round(n / (time.time() - logged), 2), pictures=self.pictures,
                         tokens=self.tokens, waited=round(self.waited, 1),
                         reuse={g: round(sum(u for u, h in zip(self.ring.used, GROUPS) if h == g) / max(1, sum(
                             m for m, h in zip(self.ring.made, GROUPS) if h == g)), 1) for g in dict.fromkeys(GROUPS)})
                losses, drafted, first, logged = {}, torch.zeros(3, device=self.device), self.step, time.time()
            if time.time() - saved > args.save_every and args.seconds - (time.time() - self.began) > 20:
                self.save()
                saved = time.time()
        finished = fraction >= 0.995
        self.drawers.stop()
        self.save()
        self.log(end=True, memory_gb=round(torch.cuda.max_memory_allocated() / 1e9, 1) if self.cuda else 0)
        if finished:
            self.test()

    def test(self):
        """Reads the test pictures in the stored precision; each GPU a share."""
        args, start = self.args, time.time()
        pictures = test_pictures(f"{args.out}/test.pkl", args.data, args.test_scale, args.drawers, (self.rank, self.world),
                                 most_pixels=2 * args.most_pixels)         # the file: drawn beside the training, evaluate.py --draw
        as_stored(self.model)
        drawn = time.time() - start
        with torch.compiler.set_stance("force_eager"):
            records = read_set(Reader(self.model, self.vocabulary, self.device), pictures)
        write_records(f"{args.out}/test", records, self.rank)
        self.log(test=len(records), drawn=round(drawn, 1), read=round(time.time() - start - drawn, 1))
        if self.world > 1:
            dist.barrier()
        if self.rank == 0:
            write_records(f"{args.out}/test", read_records(f"{args.out}/test"))
            open(f"{args.out}/done", "w").close()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--init", help="snapshot to start from, cut down by DATA/plan.json")
    parser.add_argument("--weights", help="snapshot of an earlier leg to go on from, with --spent, when its checkpoint is lost")
    parser.add_argument("--spent", type=float, default=0.0, help="seconds of the schedule already behind --weights")
    parser.add_argument("--looks", type=float, nargs="*", default=[0.12, 0.3, 0.5, 0.7, 0.88], help="shares of the time at which the held-out pictures are read")
    parser.add_argument("--gpus", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=600, help="of this leg")
    parser.add_argument("--total", type=float, default=1200, help="of the whole schedule")
    parser.add_argument("--drawers", type=int, default=14, help="drawing processes a GPU")
    parser.add_argument("--patches", type=int, default=300_000, help="the size of a step: patches and text tokens")
    parser.add_argument("--mtp-from", type=float, default=0.1, help="share of the time from which the drafts are trained")
    parser.add_argument("--save-every", type=float, default=100)
    parser.add_argument("--log-every", type=int, default=50)
    parser.add_argument("--test-scale", type=float, default=1.0)
    parser.add_argument("--eager", action="store_true", help="do not compile")
    parser.add_argument("--smoke", action="store_true", help="a test of everything, tiny, on the CPU")
    args = parser.parse_args()
    args.most_pixels = 30_000 if args.smoke else 10 ** 8
    if args.smoke:
        args.seconds = args.total = 12.0
        args.drawers, args.patches, args.mtp_from, args.log_every, args.test_scale, args.save_every = 1, 1500, 0.0, 2, 0.0, 8
    return args


def main():
    args = arguments()
    os.makedirs(args.out, exist_ok=True)
    if "RANK" not in os.environ and args.gpus > 1:
        ranks = [subprocess.Popen([sys.executable, *sys.argv], env={**os.environ, "RANK": str(r), "OMP_NUM_THREADS": "2"})
                 for r in range(args.gpus)]
        sys.exit(max(p.wait() for p in ranks))
    Trainer(args, int(os.environ.get("RANK", 0)), args.gpus).run()
    sys.stdout.flush()
    os._exit(0)                                       # the thread that feeds the GPU does not end by itself


if __name__ == "__main__":
    main()
