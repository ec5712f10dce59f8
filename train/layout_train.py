# SPDX-License-Identifier: Apache-2.0
"""Trains the layout model on drawn pages, on 1 to N GPUs.

    python3 layout_train.py --data WORK/layout --out OUT --init ../models/mini-layout --gpus 4 --seconds 600
    python3 layout_train.py --smoke --data WORK/layout --out OUT [--init SNAPSHOT]        a few steps on the CPU, and the snapshot

Drawing processes write pages into a ring in shared memory and overwrite the oldest; trainers take random ones. OUT gets log.jsonl, last.pt
(the averaged weights, every --save-every seconds), step files at each sixth of the time, and at the end OUT/snapshot.
"""
import argparse
import itertools
import json
import math
import multiprocessing
import os
import queue
import threading
import time
import traceback

import numpy as np

from layout_pages import MAX_REGIONS, SIZE, page

FIRST_SEED = 20_000_000


class Ring:
    """Pages in files of a memory file system: pictures, rows of truth, their number (-1: not ready), pages drawn by each process."""

    def __init__(self, path, slots, create=False):
        self.slots, mode = slots, "w+" if create else "r+"
        self.pictures = np.memmap(path + ".pictures", np.uint8, mode, shape=(slots, SIZE, SIZE, 3))
        self.truth = np.memmap(path + ".truth", np.float32, mode, shape=(slots, MAX_REGIONS, 6))
        self.count = np.memmap(path + ".count", np.int32, mode, shape=(slots,))
        self.drawn = np.memmap(path + ".drawn", np.int64, mode, shape=(256,))
        self.version = np.memmap(path + ".version", np.int64, mode, shape=(slots,))   # odd while a page is written
        if create:
            self.count[:], self.drawn[:], self.version[:] = -1, 0, 0

    def put(self, slot, picture, truth):
        self.version[slot] += 1
        self.pictures[slot], self.truth[slot, :len(truth)], self.count[slot] = picture, truth, len(truth)
        self.version[slot] += 1

    def get(self, slot):
        """Copies of picture, rows of truth and their number; None where the page is replaced meanwhile."""
        before = int(self.version[slot])
        page = np.array(self.pictures[slot]), np.array(self.truth[slot]), int(self.count[slot])
        return page if before % 2 == 0 and int(self.version[slot]) == before else None


def draw_pages(options, number):
    """A drawing process: its own slots, its own seeds."""
    os.nice(10)
    ring, mine, turn = Ring(options.ring, options.slots), range(number, options.slots, options.drawers), 0
    while True:
        seed = options.first_seed + number + turn * options.drawers
        slot, turn = mine[turn % len(mine)], turn + 1
        try:
            picture, truth = page(options.data, seed)
        except Exception:                                    # one page in many thousands must not end a run
            print("seed", seed, traceback.format_exc(), flush=True)
            continue
        ring.put(slot, picture, truth)
        ring.drawn[number] = turn


def as_truth(rows, counts):
    """Rows [B, T, 6] as tensors: label, box (centre, size), used, count."""
    import torch
    rows, counts = torch.as_tensor(rows), torch.as_tensor(counts).long()
    used = torch.arange(MAX_REGIONS)[None] < counts[:, None]
    box = torch.cat([(rows[..., 1:3] + rows[..., 3:5]) / 2, rows[..., 3:5] - rows[..., 1:3]], -1)
    box = torch.where(used[..., None], box, torch.tensor([0.5, 0.5, 0.1, 0.1]))
    return dict(label=torch.where(used, rows[..., 0].long(), 0), box=box, used=used, count=counts)


def feed(options, batches, rank):
    """Random pages of the ring as pinned batches, for ever."""
    import torch
    ring, rng = Ring(options.ring, options.slots), np.random.default_rng((options.seed, rank, threading.get_ident()))
    while True:
        slots = iter(rng.permutation(np.flatnonzero(np.asarray(ring.count) > 0)))
        pages = list(itertools.islice(filter(None, map(ring.get, slots)), options.batch))
        if len(pages) < options.batch:
            time.sleep(0.01)
            continue
        pictures = torch.empty(options.batch, SIZE, SIZE, 3, dtype=torch.uint8, pin_memory=options.gpus > 0)
        for row, page in enumerate(pages):
            pictures[row].copy_(torch.from_numpy(page[0]))
        batches.put((pictures, as_truth(np.stack([rows for _, rows, _ in pages]), np.array([count for *_, count in pages]))))


def augment(pixels):
    """Light, contrast, tint, noise, grey and inversion of pixels [B, 3, H, W] in 0..1, on their device."""
    import torch
    some = lambda *shape: torch.rand(len(pixels), *shape, device=pixels.device)
    pixels = pixels.clamp(min=1e-4) ** torch.exp((some(1, 1, 1) - 0.5) * 0.8)
    pixels = (pixels - 0.5) * (0.7 + 0.5 * some(1, 1, 1)) + 0.5 + (some(1, 1, 1) - 0.5) * 0.2
    pixels = pixels * (1 + (some(3, 1, 1) - 0.5) * 0.16 * (some(1, 1, 1) < 0.5))
    pixels = torch.where(some(1, 1, 1) < 0.1, pixels.mean(1, keepdim=True), pixels)
    pixels = torch.where(some(1, 1, 1) < 0.02, 1 - pixels, pixels)
    return (pixels + torch.randn_like(pixels[:, :1]) * some(1, 1, 1) * 0.05 * (some(1, 1, 1) < 0.3)).clamp(0, 1)


def shrink(pixels, boxes, share=0.4):
    """Some of the pages a little smaller, at another place, the edge repeated around them: a page of the ring is seen several times."""
    import torch
    some = lambda: torch.rand(len(pixels), 2, device=pixels.device)
    scale = torch.where(some()[:, :1] < share, 1 - 0.15 * some(), 1.0)
    shift = some() * (1 - scale)                             # of the left upper corner
    zero = torch.zeros_like(scale[:, 0])
    back = (1 - 2 * shift) / scale - 1                       # output in -1..1 to input: x / scale + back
    matrix = torch.stack([torch.stack([1 / scale[:, 0], zero, back[:, 0]], 1), torch.stack([zero, 1 / scale[:, 1], back[:, 1]], 1)], 1)
    grid = torch.nn.functional.affine_grid(matrix, pixels.shape, align_corners=False)
    moved = torch.nn.functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return moved, torch.cat([boxes[..., :2] * scale[:, None] + shift[:, None], boxes[..., 2:] * scale[:, None]], -1)


class Trainer:
    """One card: model, optimiser, averaged weights (rank 0)."""

    def __init__(self, options, rank):
        import torch
        import torch.distributed as distributed
        from layout_model import Training, make_model
        self.torch, self.distributed, self.options, self.rank = torch, distributed, options, rank
        self.cards, self.cuda = max(1, options.gpus), options.gpus > 0
        self.device = f"cuda:{rank}" if self.cuda else "cpu"
        if self.cuda:
            torch.cuda.set_device(rank)
            torch.set_num_threads(4)
            torch.backends.cudnn.benchmark = True
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        if self.cards > 1:
            os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
            os.environ.setdefault("MASTER_PORT", "29511")
            distributed.init_process_group("nccl", rank=rank, world_size=self.cards)
        torch.manual_seed(options.seed)                      # the same start on all cards
        self.model = make_model(options.init).to(self.device)
        self.training = Training(self.model).to(self.device).train()
        if self.cuda:
            self.model.to(memory_format=torch.channels_last)
        torch.manual_seed(options.seed + rank)
        plain = [p for p in self.model.parameters() if p.ndim < 2]
        decayed = [p for p in self.model.parameters() if p.ndim >= 2]
        self.parameters = decayed + plain
        self.optimiser = torch.optim.AdamW([dict(params=decayed, weight_decay=0.01), dict(params=plain, weight_decay=0.0)], lr=options.rate, fused=self.cuda)
        self.mean = {key: value.detach().clone() for key, value in self.model.state_dict().items()}
        live = self.model.state_dict()                       # the tensors themselves, updated in place
        keys = [key for key, value in live.items() if value.dtype.is_floating_point]
        self.pairs = [self.mean[key] for key in keys], [live[key] for key in keys]
        self.step_number = 0

    def loss(self, pictures, truth, done):
        torch, from_nothing = self.torch, not self.options.init
        counts = truth["count"].numpy()
        truth = {key: value.to(self.device, non_blocking=True) for key, value in truth.items()} | {"counts": counts}
        pixels, truth["box"] = shrink(augment(pictures.to(self.device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255)), truth["box"])
        pixels = pixels.contiguous(memory_format=torch.channels_last) if self.cuda else pixels
        from layout_model import losses
        # While masks are empty their extents are useless and pass no gradient: a model from nothing starts from the encoder's boxes.
        from_masks = min(1.0, max(0.0, (done - 0.06) / 0.14)) if from_nothing else 1.0
        first_share = (1.0 if done < 0.1 else max(0.25, 1 - (done - 0.1) / 0.2)) if from_nothing else 0.25
        with torch.autocast("cuda" if self.cuda else "cpu", torch.bfloat16, enabled=self.cuda):
            out = self.training(pixels, truth, from_masks)
        return losses(self.training, out, truth, first_share)

    def rate(self, done):
        """Warm-up, a flat part, half a cosine."""
        options = self.options
        rest = 1.0 if done < options.flat else 0.5 * (1 + math.cos(math.pi * (min(done, 1) - options.flat) / (1 - options.flat)))
        return options.rate * min(1, (self.step_number + 1) / options.warm) * (0.005 + 0.995 * rest)

    def step(self, batch, done):
        torch = self.torch
        total, shown = self.loss(*batch, done)
        total.backward()
        if self.cards > 1:
            flat = torch.cat([(p.grad if p.grad is not None else torch.zeros_like(p)).flatten() for p in self.parameters])
            self.distributed.all_reduce(flat)
            parts = (flat / self.cards).split([p.numel() for p in self.parameters])
            for parameter, part in zip(self.parameters, parts):
                if parameter.grad is not None:
                    parameter.grad.copy_(part.view_as(parameter))
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 2.0)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate(done)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step_number += 1
        if self.rank == 0:
            with torch.no_grad():
                keep = min(0.998, (1 + self.step_number) / (10 + self.step_number))
                torch._foreach_lerp_(*self.pairs, 1 - keep)
        return shown | {"norm": norm}

    def save(self, name):
        path = os.path.join(self.options.out, name)
        state = {key: value.half() if value.dtype.is_floating_point else value for key, value in self.mean.items()}
        self.torch.save({key: value.cpu() for key, value in state.items()}, path + ".part")
        os.replace(path + ".part", path)

    def warm_up(self):
        """Kernels are chosen before the drawing processes take the cores."""
        rows = np.zeros((self.options.batch, MAX_REGIONS, 6), np.float32)
        rows[:, :, 1:5] = (0.2, 0.2, 0.6, 0.6)
        pictures = self.torch.randint(0, 255, (self.options.batch, SIZE, SIZE, 3), dtype=self.torch.uint8)
        for _ in range(2):
            self.loss(pictures, as_truth(rows, np.full(self.options.batch, 9)), 0.5)[0].backward()
        self.optimiser.zero_grad(set_to_none=True)
        self.model.load_state_dict(self.mean)                # norms have seen noise

    def clock(self, start, now):
        """The share of the time that is gone, by the clock of the first card."""
        done = (now - start) / self.options.seconds
        if self.cards > 1:
            shared = self.torch.tensor([done], device=self.device)
            self.distributed.broadcast(shared, 0)
            done = float(shared)
        return done


def run(rank, options, ready, go):
    trainer = Trainer(options, rank)
    trainer.warm_up()
    ready.release()
    go.wait()
    batches = queue.Queue(3)
    for _ in range(2):
        threading.Thread(target=feed, args=(options, batches, rank), daemon=True).start()
    start = said = saved = time.time()
    log, ring, parts, done = open(os.path.join(options.out, "log.jsonl"), "a"), Ring(options.ring, options.slots), 0, 0.0
    while True:
        now = time.time()
        if trainer.step_number % 8 == 0:
            done, since = trainer.clock(start, now), now
            if done >= 1:
                break
        shown = trainer.step(batches.get(), min(1, done + (now - since) / options.seconds))
        if rank == 0 and time.time() - said > 10:
            said = time.time()
            line = {"seconds": round(said - start, 1), "step": trainer.step_number, "seen": trainer.step_number * options.batch * trainer.cards,
                    "drawn": int(ring.drawn.sum()), "rate": trainer.optimiser.param_groups[0]["lr"]} | {k: round(float(v), 4) for k, v in shown.items()}
            print(json.dumps(line), flush=True)
            print(json.dumps(line), file=log, flush=True)
        if rank == 0 and time.time() - saved > options.save_every:
            saved = time.time()
            trainer.save("last.pt")
            if int(done * 6) > parts:
                parts = int(done * 6)
                trainer.save(f"part{parts}.pt")
    if rank == 0:
        trainer.save("last.pt")
        from layout_model import export
        export({key: value.cpu() for key, value in trainer.mean.items()}, trainer.model.config, os.path.join(options.out, "snapshot"))
        print("finished", trainer.step_number, "steps,", int(ring.drawn.sum()), "pages drawn", flush=True)
    os._exit(0)                                              # feeding threads do not end


def smoke(options):
    """A few steps on fixed pages on the CPU: the loss must fall."""
    from layout_model import export
    options.gpus, options.batch, options.warm = 0, 2, 2
    trainer = Trainer(options, 0)
    drawn = [page(options.data, options.first_seed + i) for i in range(2)]
    rows = np.zeros((2, MAX_REGIONS, 6), np.float32)
    for i, (_, truth) in enumerate(drawn):
        rows[i, :len(truth)] = truth
    batch = trainer.torch.from_numpy(np.stack([p for p, _ in drawn])), as_truth(rows, np.array([len(t) for _, t in drawn]))
    totals = []
    for i in range(options.steps):
        totals.append(float(trainer.step(batch, i / options.steps)["total"].detach()))
        print(i, f"{totals[-1]:.3f}", flush=True)
    assert np.mean(totals[-2:]) < np.mean(totals[:2]), totals
    export(trainer.model.state_dict(), trainer.model.config, os.path.join(options.out, "snapshot"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--data", required=True, help="the folder of layout_prepare.py")
    add("--out", required=True)
    add("--init", help="a snapshot to go on from; without it training starts from nothing (then --rate 8e-4 --flat 0.3, and twice the time)")
    add("--gpus", type=int, default=0)
    add("--seconds", type=float, default=600)
    add("--batch", type=int, default=96, help="pages a card; fewer do not fill an H100")
    add("--rate", type=float, default=6e-4)
    add("--warm", type=int, default=150, help="steps")
    add("--flat", type=float, default=0.35, help="share of the time before the rate falls")
    add("--drawers", type=int, default=max(1, (os.cpu_count() or 2) - 6))
    add("--slots", type=int, default=8000, help="pages of the ring, 1.2 MB each")
    add("--fill", type=int, default=2500, help="pages that are drawn before the first step")
    add("--ring", default="/dev/shm/layout-ring")
    add("--save-every", type=float, default=30)
    add("--seed", type=int, default=1)
    add("--first-seed", type=int, default=FIRST_SEED)
    add("--smoke", action="store_true")
    add("--steps", type=int, default=8, help="of --smoke")
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    if options.smoke:
        return smoke(options)
    context = multiprocessing.get_context("spawn")
    ring, ready, go = Ring(options.ring, options.slots, True), context.Semaphore(0), context.Event()
    trainers = [context.Process(target=run, args=(rank, options, ready, go)) for rank in range(max(1, options.gpus))]
    for process in trainers:
        process.start()
    for _ in trainers:
        ready.acquire()
    drawers = [context.Process(target=draw_pages, args=(options, number), daemon=True) for number in range(options.drawers)]
    for process in drawers:
        process.start()
    while (ring.count > 0).sum() < min(options.fill, options.slots):
        time.sleep(0.3)
        if not all(process.is_alive() for process in trainers + drawers):
            raise RuntimeError("a process ended while the first pages were drawn")
    go.set()
    for process in trainers:
        process.join()
    for process in drawers:
        process.terminate()


if __name__ == "__main__":
    main()
