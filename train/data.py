# SPDX-License-Identifier: Apache-2.0
"""From drawing processes to batches on the GPU: slots of shared memory, a ring of pictures per shape, augmentation."""
import mmap
import multiprocessing
import os
import random
import threading

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import pages
from model import IGNORE
from pages import PROMPTS, SHAPES

END = "<|endoftext|>"
SLOT_PIXELS = 4_400_000            # two A4 pages
SLOT_TOKENS = 65_536
SLOT_BYTES = SLOT_PIXELS + 2 * SLOT_TOKENS


class Vocabulary:
    """The tokenizer and the fixed parts of the prompt, as ids."""

    def __init__(self, path):
        self.tokenizer = Tokenizer.from_file(path)
        self.end = self.tokenizer.token_to_id(END)
        ids = lambda text: self.tokenizer.encode(text).ids
        self.prefix = ids("[gMASK]<sop><|user|>\n<|begin_of_image|>")
        self.suffix = {task: ids(f"<|end_of_image|>{prompt}<|assistant|>\n") for task, prompt in PROMPTS.items()}
        self.words = self.tokenizer.token_to_id(END)                 # ids below it are text

    def text(self, ids):
        ids = list(ids)
        return self.tokenizer.decode(ids[:ids.index(self.end)] if self.end in ids else ids, skip_special_tokens=True)


def pictures_per_slot(shape):
    return max(1, min(64, SLOT_PIXELS // (shape.height * shape.width), SLOT_TOKENS // (shape.max_tokens + 2)))


def slot_views(memory, index, shape, count):
    """(pictures uint8 [count, H, W], numbers int16 [count, 2 + max_tokens]: length, letter height, ids)."""
    at, width = index * SLOT_BYTES, shape.max_tokens + 2
    pictures = np.frombuffer(memory, np.uint8, count * shape.height * shape.width, at)
    numbers = np.frombuffer(memory, np.int16, count * width, at + SLOT_PIXELS)
    return pictures.reshape(count, shape.height, shape.width), numbers.reshape(count, width)


def draw_forever(seed, library, vocabulary, memory, demand, free, ready):
    """A drawing process: takes a free slot, fills it with pictures of one shape, passes it on."""
    os.nice(5)
    rng, left = random.Random(seed), 0
    while True:
        if left <= 0:
            library.choose_working_set(rng)
            left = 4000
        slot = free.get()
        which = rng.choices(range(len(SHAPES)), list(demand))[0]
        shape, count = SHAPES[which], pictures_per_slot(SHAPES[which])
        pictures, numbers = slot_views(memory, slot, shape, count)
        numbers[:] = IGNORE
        for i in range(count):
            s = pages.sample(rng, library, shape, vocabulary.tokenizer)
            pictures[i] = s.image
            numbers[i, :2] = len(s.ids) + 1, s.letter
            numbers[i, 2:2 + len(s.ids)] = s.ids
            numbers[i, 2 + len(s.ids)] = vocabulary.end
        left -= count
        ready.put((slot, which, count))


class Drawers:
    """The drawing processes of one trainer. Must be made before CUDA is touched, because they are forked."""

    def __init__(self, library, vocabulary, count, seed):
        context = multiprocessing.get_context("fork")
        self.slots = 3 * count
        self.memory = mmap.mmap(-1, self.slots * SLOT_BYTES)
        self.demand = context.RawArray("d", [1.0] * len(SHAPES))
        self.free, self.ready = context.Queue(), context.Queue()
        self.processes = [context.Process(target=draw_forever, daemon=True, args=(
            seed * 1000 + i, library, vocabulary, self.memory, self.demand, self.free, self.ready)) for i in range(count)]
        for process in self.processes:
            process.start()

    def begin(self):
        for slot in range(self.slots):
            self.free.put(slot)

    def stop(self):
        for process in self.processes:
            process.terminate()


class Ring:
    """The newest pictures of every shape in GPU memory; a batch is drawn from them at random."""

    def __init__(self, drawers, device, gigabytes=0.6):
        self.drawers, self.device = drawers, device
        self.capacity = [max(48, min(40_000, int(gigabytes * 1e9 / (s.height * s.width)))) for s in SHAPES]
        self.made, self.used = [0] * len(SHAPES), [0] * len(SHAPES)
        self.pictures, self.ids, self.letters = {}, {}, {}
        self.lengths = [np.zeros(c, np.int32) for c in self.capacity]
        if device.type == "cuda":      # pinned: copies overlap with computation
            buffer = torch.frombuffer(drawers.memory, dtype=torch.uint8)
            torch.cuda.cudart().cudaHostRegister(buffer.data_ptr(), len(drawers.memory), 0)
        threading.Thread(target=self.fill, daemon=True).start()

    def fill(self):
        cuda = self.device.type == "cuda"
        if cuda:
            torch.cuda.set_device(self.device)
        stream = torch.cuda.Stream() if cuda else None
        while True:
            slot, which, count = self.drawers.ready.get()
            shape, capacity = SHAPES[which], self.capacity[which]
            pictures, numbers = slot_views(self.drawers.memory, slot, shape, count)
            with torch.cuda.stream(stream):
                if which not in self.pictures:
                    self.ids[which] = torch.full((capacity, shape.max_tokens), IGNORE, dtype=torch.int16, device=self.device)
                    self.letters[which] = torch.zeros(capacity, dtype=torch.int16, device=self.device)
                    self.pictures[which] = torch.zeros(capacity, shape.height, shape.width, dtype=torch.uint8, device=self.device)
                at = self.made[which] % capacity
                n = min(count, capacity - at)
                self.pictures[which][at:at + n].copy_(torch.from_numpy(pictures[:n]))
                self.letters[which][at:at + n].copy_(torch.from_numpy(numbers[:n, 1].copy()))
                self.ids[which][at:at + n].copy_(torch.from_numpy(numbers[:n, 2:].copy()))
                self.lengths[which][at:at + n] = numbers[:n, 0]
                if cuda:
                    stream.synchronize()
            self.made[which] += n
            self.drawers.free.put(slot)

    def ready(self, which, batch):
        return self.made[which] >= min(2 * batch, self.capacity[which])

    def batch(self, rng, which, count, third):
        """(pictures uint8 [count, H, W], targets int64 [count, T], letter heights [count], number of tokens).

        The pictures come from the third (0, 1, 2) of the ring with the shortest, middling, longest texts: texts of about
        one length waste little of the batch's rectangle.
        """
        lengths = self.lengths[which][:min(self.made[which], self.capacity[which])]
        order = np.argsort(lengths, kind="stable")
        part = order[len(order) * third // 3:len(order) * (third + 1) // 3]
        index = part[rng.integers(0, len(part), count)]
        longest = min(SHAPES[which].max_tokens, (int(lengths[index].max()) + 15) // 16 * 16)
        self.used[which] += count
        at = torch.from_numpy(index).to(self.device, non_blocking=True)
        return self.pictures[which][at], self.ids[which][at][:, :longest].long(), self.letters[which][at].float(), int(lengths[index].sum())


def augment(pictures, letters):
    """Skew and shrink, blur, contrast, uneven light, noise: a float picture, -1 … 1, different every time."""
    count, height, width = pictures.shape
    device = pictures.device
    chance = lambda: torch.rand(count, device=device)
    image = pictures.float()
    # Skew by up to two degrees, with as much shrinking as keeps the corners inside; small letters shrink no further.
    aspect = max(height / width, width / height)
    angle = (chance() * 2 - 1) * min(0.035, 0.13 / aspect) * (chance() < 0.5)
    extra = [chance() * 0.1 * (chance() < 0.5) * (letters >= 13) for _ in "xy"]
    grow_x, grow_y = (1 + angle.abs() * aspect + e for e in extra)
    sin, cos, zero = angle.sin(), angle.cos(), torch.zeros_like(angle)
    shift_x, shift_y = ((chance() * 2 - 1) * e for e in extra)
    matrix = torch.stack((torch.stack((grow_x * cos, -grow_x * sin * height / width, shift_x), 1),
                          torch.stack((grow_y * sin * width / height, grow_y * cos, shift_y), 1)), 1)
    still = torch.stack((torch.stack((zero + 1, zero, zero), 1), torch.stack((zero, zero + 1, zero), 1)), 1)
    matrix = torch.where((chance() < 0.45)[:, None, None], matrix, still)
    grid = F.affine_grid(matrix, (count, 1, height, width), align_corners=False)
    image = F.grid_sample(image[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    blur = (((chance() - 0.75) * 4).clamp(min=0) * (letters / 20).clamp(max=1))[:, None, None, None]
    image = (image * (1 - blur) + F.avg_pool2d(image, 3, 1, 1, count_include_pad=False) * blur)[:, 0]
    column = lambda t: t[:, None, None]
    image = (image - 128) * (1 - column(chance()) * 0.35) + 128
    noise = ((chance() - 0.5).clamp(min=0) * 28) * (0.5 + 0.5 * (letters / 16).clamp(max=1))
    light_x, light_y = (((chance() - 0.7).clamp(min=0) * -130) for _ in "xy")
    image = image + torch.randn_like(image) * column(noise) + column(light_x) * torch.linspace(0, 1, width, device=device) \
        + column(light_y) * torch.linspace(0, 1, height, device=device)[:, None]
    return image.clamp(0, 255) / 127.5 - 1


def stumble(targets, rows=0.25):
    """Targets of a reader who repeats himself: in a share of the rows a span is repeated several times before the text goes on.

    Gives (shown, targets) [count, length]. A unit of 1 to 24 tokens before token p stands there again, up to six times, or
    one of up to 160 once or twice; half of the units are single tokens at the end of a run, if the text has runs. The target
    after each round is the true token p, inside a round there is none. Greedy reading needs this: once past the end of a
    run, no true text is like it.
    """
    count, length = targets.shape
    if length < 8:
        return targets, targets
    device = targets.device
    draw = lambda low, high: torch.randint(low, high, (count, 1), device=device)
    chance = torch.rand(3, count, 1, device=device)
    real = targets != IGNORE
    run_end = torch.zeros_like(real)
    run_end[:, 3:] = (targets[:, 2:-1] == targets[:, 1:-2]) & (targets[:, 3:] != targets[:, 2:-1]) & real[:, 3:]
    at_run = (chance[0] < 0.5) & run_end.any(1, keepdim=True)
    long = ~at_run & (chance[1] > 0.85)
    unit = torch.where(at_run | (chance[1] < 0.4), 1, torch.where(long, draw(25, 161), draw(2, 25)))
    likely = torch.where(at_run, run_end, real & (torch.arange(length, device=device) >= unit)).float()
    place = torch.multinomial(likely + 1e-6 * real.float() + 1e-12, 1)
    unit = torch.minimum(unit, place.clamp(min=1))
    extra = unit * torch.where(long, draw(1, 3), draw(1, 7)) * ((chance[2] < rows) & (place > 0))
    at = torch.arange(length, device=device).expand(count, -1)
    inside = (at >= place) & (at < place + extra)
    source = torch.where(inside, place - unit + (at - place) % unit, torch.where(at < place, at, at - extra))
    shown = targets.gather(1, source)
    goal = torch.where(inside, torch.where((at - place) % unit == 0, targets.gather(1, place), IGNORE), shown)
    return shown, goal


def corrupt(targets, share, words):
    """The tokens given to the decoder: a share of them is replaced, so that it keeps relying on the picture; in one row of
    six a span repeats an earlier one, so that it learns to find its place again instead of repeating on."""
    count, length = targets.shape
    draw = lambda low, high: torch.randint(low, high, (count, 1), device=targets.device)
    at = torch.arange(length, device=targets.device).expand(count, -1)
    start, size, back = draw(0, max(1, length)), draw(4, 32), draw(1, max(2, length // 2))
    copied = (at >= start) & (at < start + size) & (torch.rand(count, 1, device=targets.device) < 1 / 6)
    shown = targets.gather(1, torch.where(copied, (at - back).clamp(min=0), at)).clamp(min=0)
    wrong = torch.rand(shown.shape, device=shown.device) < share
    return torch.where(wrong, torch.randint_like(shown, words), shown)
