# SPDX-License-Identifier: Apache-2.0
"""One token for a run of spaces, few for a rule of `-` or `#`: a tokenizer with which the model need not count.

    python3 runs.py SNAPSHOT OUT        # OUT: the snapshot with the new tokenizer; copy its tokenizer.json to WORK/data

A run of 18 spaces written as four tokens of four and one of two has to be counted: greedy decoding must choose "go on" four
times and then stop, although the end is uncertain at every step; once it is past the end it never stops. As one token it is a
single choice. The rarest merges are dropped to make room; ids stay. The rows of a new token in embedding and head start as the mean of those
of the tokens it was written with before; training has to follow (train.py --weights OUT).
"""
import json
import os
import sys

import torch
from tokenizers import Tokenizer

SPACE = "Ġ"                     # a space, in the bytes of byte-level BPE
LONGEST = 32                    # every run of 2 to 32 spaces is one token, longer ones are tokens of 32 and a remainder
MARKS = "-=#*._~/"              # runs of 2, 4, 8 and 16 of each


def space_merges():
    """Merges after which every run up to LONGEST is one token.

    First the powers of two, from left to right: 13 = 8 + 4 + 1. Then a run grows by its smaller powers in falling order, which
    the ranks keep: (8, 4), then (12, 1).
    """
    merges, size = [], 1
    while 2 * size <= LONGEST:
        merges.append((size, size))
        size *= 2
    while size > 1:
        size //= 2
        merges += [(n - size, size) for n in range(3 * size, LONGEST + 1, 2 * size)]
    return [(SPACE * a, SPACE * b) for a, b in merges]


def mark_merges():
    return [(mark * size, mark * size) for size in (1, 2, 4, 8) for mark in MARKS]


def with_runs(tokenizer):
    """The tokenizer (its JSON) with the merges above instead of its rarest, and the ids whose meaning has changed."""
    model = tokenizer["model"]
    vocab = model["vocab"]
    old = [tuple(m) for m in model["merges"]]
    spaces, marks = space_merges(), [m for m in mark_merges() if m not in old]
    kept = [m for m in old if set("".join(m)) != {SPACE}]
    dropped = [m for m in old if set("".join(m)) == {SPACE}]
    while len(dropped) < len(spaces) + len(marks):
        dropped.append(kept.pop())                           # the last merges are the rarest, and no other needs them
    before = {vocab.pop("".join(m)): "".join(m) for m in dropped}
    after = dict(zip(sorted(before), map("".join, spaces + marks), strict=True))
    assert not vocab.keys() & set(after.values())
    vocab.update({token: i for i, token in after.items()})
    model["merges"] = [list(m) for m in kept + marks + spaces]
    return tokenizer, [i for i in after if after[i] != before[i]]


def main():
    import export
    from prune import load_snapshot                          # here, since prune.py takes with_runs from us
    source, out = sys.argv[1:]
    before = Tokenizer.from_file(f"{source}/tokenizer.json")
    changed, ids = with_runs(json.load(open(f"{source}/tokenizer.json")))
    os.makedirs(out, exist_ok=True)
    path = f"{out}/tokenizer.new"
    with open(path, "w") as file:
        json.dump(changed, file, ensure_ascii=False)
    after = Tokenizer.from_file(path)
    model = load_snapshot(source)
    with torch.no_grad():
        for table in (model.model.language_model.embed_tokens.weight, model.lm_head.weight):
            old = table.clone()
            for i in ids:
                text = after.decode([i], skip_special_tokens=False)
                table[i] = old[before.encode(text, add_special_tokens=False).ids].mean(0)
    export.snapshot(model, path, out)
    os.remove(path)
    print(len(ids), "tokens are new:", ", ".join(repr(after.decode([i])) for i in ids[:3]), "…")


if __name__ == "__main__":
    main()
