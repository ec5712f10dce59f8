# SPDX-License-Identifier: Apache-2.0
"""A smaller model from a trained one: which blocks and MLP neurons to keep, and the weights that remain.

    python3 prune.py plan SNAPSHOT DATA     # measures on a few pictures (a minute), writes DATA/plan.json and
                                            # DATA/tokenizer.json

train.py then starts from `start_weights(SNAPSHOT, DATA/plan.json)`. A block is dropped if the loss on drawn pictures
suffers least without it; a neuron is kept if its mean |activation| times the length of its output column is large.
"""
import glob
import json
import random
import sys

import torch
import torch.nn.functional as F
from safetensors import safe_open

from model import Config, GlmOcr
from pages import SHAPES, Library, sample
from runs import with_runs


def load_snapshot(path):
    """A snapshot in our training form (196-input patch embedding; MTP embed and head dropped)."""
    model = GlmOcr(Config.of_snapshot(path))
    state = {}
    for file in sorted(glob.glob(path + "/*.safetensors")):
        with safe_open(file, "pt") as f:
            state.update({name: f.get_tensor(name).float() for name in f.keys()})
    for name in [n for n in state if n.endswith(("shared_head.head.weight",)) or ".layers." in n and "embed_tokens" in n]:
        del state[name]
    patch = "model.visual.patch_embed.proj.weight"
    state[patch] = state[patch].sum((1, 2)).flatten(1)
    state["model.visual.downsample.weight"] = state["model.visual.downsample.weight"].flatten(1)
    missing, unexpected = model.load_state_dict(state, strict=False)
    mtp = f"layers.{model.config.layers}."
    strange = [name for name in missing if mtp not in name]
    assert not unexpected and not strange, (strange[:3], unexpected[:3])
    return model


# ---------------------------------------------------------------- plan
def calibration(library, vocabulary, per_shape):
    """A few batches (pictures, ids, task) of small shapes."""
    rng, batches = random.Random(11), []
    for shape in SHAPES:
        if not 20_000 < shape.height * shape.width < 130_000:
            continue
        made = [sample(rng, library, shape, vocabulary.tokenizer) for _ in range(per_shape)]
        longest = max(len(s.ids) for s in made) + 1
        ids = torch.full((per_shape, longest), -100)
        for row, s in zip(ids, made):
            row[:len(s.ids) + 1] = torch.tensor(s.ids + [vocabulary.end])
        pictures = torch.stack([torch.from_numpy(s.image.copy()) for s in made]).float() / 127.5 - 1
        batches.append((pictures, ids, shape.task))
    return batches


@torch.no_grad()
def mean_loss(model, batches, vocabulary):
    losses = []
    device = model.lm_head.weight.device
    for pictures, ids, task in batches:
        prefix, suffix = (torch.tensor(t, device=device) for t in (vocabulary.prefix, vocabulary.suffix[task]))
        losses.append(float(model(pictures.to(device), prefix, suffix, ids.clamp(min=0).to(device), ids.to(device))[0]))
    return sum(losses) / len(losses)


def drop_blocks(model, blocks, count, measure):
    """Removes `count` blocks, each time the one whose absence costs least. Gives the indices of those that remain."""
    kept = list(range(len(blocks)))
    for _ in range(count):
        costs = []
        for i in kept[1:-1]:                                 # the first and the last block always stay
            forward = blocks[i].forward
            blocks[i].forward = lambda x, *_: x
            costs.append((measure(), i))
            blocks[i].forward = forward
        cost, worst = min(costs)
        print("without", worst, f"loss {cost:.3f}", " others", [f"{c:.2f}" for c, _ in costs], flush=True)
        blocks[worst].forward = lambda x, *_: x
        kept.remove(worst)
    return kept


def neuron_scores(model, measure):
    """Importance of every MLP neuron, by block, collected while `measure` runs."""
    scores, wanted = {}, {}
    original = F.linear

    def spy(x, weight, bias=None):
        if id(weight) in wanted:
            name, norm = wanted[id(weight)]
            scores[name] = scores.get(name, 0) + x.abs().flatten(0, -2).mean(0) * norm
        return original(x, weight, bias)

    for kind, blocks in (("vision", model.model.visual.blocks), ("text", model.decoder)):
        for i, block in enumerate(blocks):
            weight = block.mlp.down_proj.weight
            wanted[id(weight)] = ((kind, i), weight.norm(dim=0))
    F.linear = spy
    try:
        measure()
    finally:
        F.linear = original
    return scores


def make_plan(snapshot, data):
    from data import Vocabulary
    tokenizer, new_ids = with_runs(json.load(open(f"{snapshot}/tokenizer.json")))
    json.dump(tokenizer, open(f"{data}/tokenizer.json", "w"), ensure_ascii=False)
    model, vocabulary = load_snapshot(snapshot), Vocabulary(f"{data}/tokenizer.json")
    goal, cuda = Config(), torch.cuda.is_available()
    batches = calibration(Library(data, "train"), vocabulary, 6 if cuda else 2)
    if cuda:
        model = model.to("cuda", torch.bfloat16)
    measure = lambda: mean_loss(model, batches, vocabulary)
    print(f"loss of the whole model {measure():.4f}", flush=True)
    scores = neuron_scores(model, measure)
    keep = lambda kind, i, n: sorted(scores[kind, i].topk(n).indices.tolist())
    vision = drop_blocks(model, model.model.visual.blocks, model.config.vision_depth - goal.vision_depth, measure)
    text = drop_blocks(model, model.decoder, model.config.layers - goal.layers, measure)
    plan = {"vision_blocks": vision, "text_layers": text, "new_ids": new_ids,
            "vision_neurons": [keep("vision", i, goal.vision_inter) for i in vision],
            "text_neurons": [keep("text", i, goal.inter) for i in text],
            "mtp_layer": model.config.layers - 1, "mtp_neurons": keep("text", model.config.layers - 1, goal.inter)}
    json.dump(plan, open(f"{data}/plan.json", "w"))
    small = start_model(snapshot, f"{data}/plan.json").to(model.lm_head.weight.device)
    print(f"loss of what is left {mean_loss(small, batches, vocabulary):.4f}; kept {vision} {text}")


# ---------------------------------------------------------------- weights
@torch.no_grad()
def start_model(snapshot, plan_path):
    """The small model with the weights the plan keeps; the MTP layer begins as a copy of the last text layer."""
    big, small, plan = load_snapshot(snapshot), GlmOcr(Config()), json.load(open(plan_path))
    big_v, small_v = big.model.visual, small.model.visual
    for name in ("patch_embed", "post_layernorm", "downsample", "merger"):
        getattr(small_v, name).load_state_dict(getattr(big_v, name).state_dict())
    for target, i, neurons in zip(small_v.blocks, plan["vision_blocks"], plan["vision_neurons"]):
        s = dict(big_v.blocks[i].state_dict())
        for part in ("gate_proj", "up_proj"):
            s[f"mlp.{part}.weight"], s[f"mlp.{part}.bias"] = s[f"mlp.{part}.weight"][neurons], s[f"mlp.{part}.bias"][neurons]
        s["mlp.down_proj.weight"] = s["mlp.down_proj.weight"][:, neurons]
        target.load_state_dict(s)
    lm = small.model.language_model
    pairs = list(zip(small.decoder, plan["text_layers"], plan["text_neurons"]))
    for target, i, neurons in pairs + [(small.mtp, plan["mtp_layer"], plan["mtp_neurons"])]:
        s = dict(big.decoder[i].state_dict())
        gate, up = s["mlp.gate_up_proj.weight"].chunk(2)
        s["mlp.gate_up_proj.weight"] = torch.cat((gate[neurons], up[neurons]))
        s["mlp.down_proj.weight"] = s["mlp.down_proj.weight"][:, neurons]
        target.load_state_dict(s, strict=target is not small.mtp)
    lm.norm.load_state_dict(big.model.language_model.norm.state_dict())
    small.mtp.shared_head.norm.load_state_dict(big.model.language_model.norm.state_dict())
    lm.embed_tokens.weight.copy_(big.model.language_model.embed_tokens.weight)
    small.lm_head.weight.copy_(big.lm_head.weight)
    if plan["new_ids"]:
        vocab = json.load(open(f"{snapshot}/tokenizer.json"))["model"]["vocab"]
        for i in plan["new_ids"]:
            for table in (lm.embed_tokens.weight, small.lm_head.weight):
                table[i] = table[vocab["Ġ"]] * 0.8
    return small


if __name__ == "__main__":
    torch.manual_seed(0)
    assert sys.argv[1] == "plan"
    make_plan(sys.argv[2], sys.argv[3])
