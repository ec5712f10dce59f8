# SPDX-License-Identifier: Apache-2.0
"""Draws loss and held-out error against time from the logs of the legs.

    python3 curves.py OUT.png LEG1.jsonl LEG2.jsonl …      # legs are drawn one after the other
"""
import json
import sys

import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main():
    out, legs = sys.argv[1], sys.argv[2:]
    losses, drafts, errors, ends, at = {}, [[], [], []], {}, [], 0.0
    for leg in legs:
        records = [json.loads(line) for line in open(leg)]
        start, last = records[0]["seconds"], records[0]["seconds"]
        for r in (r for r in records if "test" not in r):        # time spent reading the test pictures does not count
            t, last = at + r["seconds"] - start, r["seconds"]
            for group, loss in r.get("loss", {}).items():
                losses.setdefault(group, []).append((t, loss))
            if sum(r.get("drafts", [])):
                for line, value in zip(drafts, r["drafts"]):
                    line.append((t, value))
            for shape, error in r.get("dev", {}).items():
                errors.setdefault(shape, []).append((t, error))
        at += last - start
        ends.append(at)
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.6), sharex=True)
    for group, points in sorted(losses.items()):
        axes[0].plot(*zip(*points), lw=0.9, label=group)
    for j, points in enumerate(drafts):
        axes[1].plot(*zip(*points), lw=0.9, label=f"draft {j + 1}")
    for shape, points in errors.items():
        axes[2].plot(*zip(*points), "o-", lw=0.9, ms=3, label=shape)
    for axis, title in zip(axes, ("loss of the text", "loss of the drafts", "error on held-out families, %")):
        axis.set_yscale("log")
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("seconds of training", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=6)
        for end in ends[:-1]:
            axis.axvline(end, color="grey", lw=0.7, ls=":")
    figure.tight_layout()
    figure.savefig(out, dpi=75)


if __name__ == "__main__":
    main()
