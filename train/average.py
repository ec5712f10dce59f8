# SPDX-License-Identifier: Apache-2.0
"""The mean of the weights of several snapshots, as a snapshot.

    python3 average.py OUT SNAPSHOT SNAPSHOT...     # of the same shape and tokenizer, each trained further from the one before

Two legs end at different points of the same minimum and fail on different pages; the loss of their mean is lower than
that of either.
"""
import sys

import torch

import export
from prune import load_snapshot


def mean_model(models):
    """The first model with the mean of the parameters of all, in fp32."""
    states = [model.state_dict() for model in models]
    for other in states[1:]:
        assert {name: t.shape for name, t in states[0].items()} == {name: t.shape for name, t in other.items()}, "shapes differ"
    mean = {name: torch.stack([state[name].float() for state in states]).mean(0) for name in states[0]}
    models[0].load_state_dict(mean)
    return models[0]


def main():
    out, *sources = sys.argv[1:]
    tokenizers = {open(f"{source}/tokenizer.json", "rb").read() for source in sources}
    if len(sources) < 2 or len(tokenizers) > 1:
        sys.exit("average.py needs two or more snapshots with one tokenizer")
    export.snapshot(mean_model([load_snapshot(source) for source in sources]), f"{sources[0]}/tokenizer.json", out)


if __name__ == "__main__":
    main()
