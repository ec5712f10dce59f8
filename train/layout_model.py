# SPDX-License-Identifier: Apache-2.0
"""The layout model in training: transformers' modules with denoising queries, and the losses that transformers has not.

PPDocLayoutV3ForObjectDetection can only infer. `Training` runs the same modules (names of weights are those of the snapshot) and keeps what the losses
need: every decoder layer's answers, masks, start boxes. Shapes: B pages, Q queries, T slots of truth, D width of the decoder.
"""
import copy
import json
import os

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from scipy.optimize import linear_sum_assignment
from torch import nn
from transformers import PPDocLayoutV3Config, PPDocLayoutV3ForObjectDetection
from transformers.models.pp_doclayout_v3.modeling_pp_doclayout_v3 import build_2d_sinusoidal_position_embedding

from layout_photo import SIZE
from layout_sheet import LABELS, MAX_REGIONS

T = MAX_REGIONS
SAME_REGION = 0.4                        # overlap from which on a query stands for a region in the order loss
INLINE = LABELS.index("inline_formula")
INLINE_WEIGHT, INLINE_SCORE = 2.0, 0.3   # of their boxes and masks; what their class should reach at least
POINTS = 12                              # places of a page whose boxes and masks are taught without an assignment


# ---------------------------------------------------------------- making, loading, saving
def small_config():
    """The sizes of mini-layout: 5.85 M parameters."""
    out = [64, 128, 256, 512]
    backbone = dict(model_type="hgnet_v2", stem_channels=[3, 24, 32], stage_in_channels=[32] + out[:3], stage_mid_channels=[24, 32, 64, 96],
                    stage_out_channels=out, stage_num_blocks=[1, 1, 2, 1], stage_downsample=[False, True, True, True],
                    stage_light_block=[False, False, True, True], stage_kernel_size=[3, 3, 5, 5], stage_numb_of_layers=[3, 3, 4, 4],
                    hidden_sizes=out, depths=[1, 1, 2, 1], embedding_size=32, out_features=["stage1", "stage2", "stage3", "stage4"])
    config = PPDocLayoutV3Config(
        backbone_config=backbone, encoder_hidden_dim=128, encoder_in_channels=out[1:], decoder_in_channels=[128] * 3, d_model=192,
        encoder_attention_heads=4, encoder_ffn_dim=512, decoder_attention_heads=6, decoder_ffn_dim=576, decoder_layers=3, num_queries=120,
        x4_feat_dim=out[0], mask_feature_channels=[64, 48], num_prototypes=32, global_pointer_head_size=48, num_denoising=100,
        freeze_backbone_batch_norms=False, gp_dropout_value=0.1)
    config.id2label = dict(enumerate(LABELS))
    config.label2id = {name: i for i, name in enumerate(LABELS)}
    return config


def start_values(model):
    """The library's own are for fine-tuning (gains of the norms near 0, sigma 0.01) and do not train from nothing."""
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in" if module.groups > 1 else "fan_out", nonlinearity="relu")
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.Linear) and not any(part in name for part in ("sampling_offsets", "attention_weights", "class_embed", "enc_score_head")):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.3)
        model.model.encoder.encoder_mask_output.conv.weight.mul_(0.2)
        for head in (model.model.enc_bbox_head, model.model.decoder.bbox_embed):
            head.layers[-1].weight.zero_()
            head.layers[-1].bias.zero_()


def make_model(snapshot=None):
    """A model whose backbone norms are trained: from a snapshot, or from nothing."""
    if not snapshot:
        model = PPDocLayoutV3ForObjectDetection(small_config())
        start_values(model)
        return model
    config = PPDocLayoutV3Config.from_pretrained(snapshot)
    config.freeze_backbone_batch_norms = False
    model, info = PPDocLayoutV3ForObjectDetection.from_pretrained(snapshot, config=config, dtype=torch.float32, output_loading_info=True)
    lacking = [key for key in info["missing_keys"] if "num_batches_tracked" not in key]
    if lacking or info["unexpected_keys"] or info["mismatched_keys"]:
        raise ValueError(f"{snapshot}: lacks {lacking}, has besides {info['unexpected_keys']}, of other shapes {info['mismatched_keys']}")
    return model


def export(state, config, folder):
    """Writes a snapshot in float16 that transformers loads strictly; the published one has no counters of norms either."""
    config = copy.deepcopy(config)
    config.freeze_backbone_batch_norms = True
    model = PPDocLayoutV3ForObjectDetection(config)
    wanted = model.state_dict()
    model.load_state_dict({key: value.float() for key, value in state.items() if key in wanted}, strict=True)
    model.eval().to(torch.float16).save_pretrained(folder)
    path = os.path.join(folder, "model.safetensors")
    save_file({key: value for key, value in load_file(path).items() if "num_batches_tracked" not in key}, path, metadata={"format": "pt"})
    os.chmod(path, 0o644)
    path = os.path.join(folder, "config.json")
    with open(path) as file:
        values = json.load(file)
    values["backbone_config"].pop("dtype", None)              # of the training, not of the file
    with open(path, "w") as file:
        file.write(json.dumps(values, indent=2) + "\n")
    with open(os.path.join(folder, "preprocessor_config.json"), "w") as file:
        json.dump(dict(image_processor_type="PPDocLayoutV3ImageProcessor", do_resize=True, do_rescale=True, do_normalize=True, resample=3,
                       rescale_factor=1 / 255, image_mean=[0, 0, 0], image_std=[1, 1, 1], size=dict(height=SIZE, width=SIZE)), file, indent=1)


# ---------------------------------------------------------------- boxes
def logit(x, least=1e-5):
    x = x.clamp(0, 1)
    return torch.log(x.clamp(min=least) / (1 - x).clamp(min=least))


def corners(boxes):
    return torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)


def overlaps(a, b):
    """IoU and generalised IoU of corners, broadcast."""
    side = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    common = side[..., 0] * side[..., 1]
    area = lambda c: (c[..., 2] - c[..., 0]) * (c[..., 3] - c[..., 1])
    union = (area(a) + area(b) - common).clamp(min=1e-9)
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    hull = (hull[..., 0] * hull[..., 1]).clamp(min=1e-9)
    return common / union, common / union - (hull - union) / hull


def extents(masks):
    """The box (centre, size) around the set cells of [B, Q, h, w]; zeros where none is set."""
    side = masks.shape[-1]
    across, down = masks.any(2), masks.any(3)
    cells = torch.arange(side, device=masks.device)
    first = lambda line: torch.where(line, cells, side).amin(-1).float() / side
    last = lambda line: torch.where(line, cells + 1, 0).amax(-1).float() / side
    x0, y0, x1, y1 = first(across), first(down), last(across), last(down)
    return torch.stack([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0], -1) * across.any(-1)[..., None]


# ---------------------------------------------------------------- the forward pass
class Training(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model, self.config = model, model.config
        side = SIZE // 32
        position = build_2d_sinusoidal_position_embedding(side, side, self.config.encoder_hidden_dim, self.config.positional_encoding_temperature)
        self.register_buffer("position", position[None], persistent=False)
        self.shapes = [(SIZE // stride, SIZE // stride) for stride in self.config.feat_strides]

    def heads(self, attention, query, key, value, mask=None):
        split = lambda t: t.view(*t.shape[:2], -1, attention.head_dim).transpose(1, 2)
        out = F.scaled_dot_product_attention(split(attention.q_proj(query)), split(attention.k_proj(key)), split(attention.v_proj(value)), attn_mask=mask)
        return attention.o_proj(out.transpose(1, 2).reshape(query.shape))

    def encode(self, pixels):
        """Tokens of three levels [B, N, D] and mask features [B, M, SIZE/4, SIZE/4]."""
        core, encoder = self.model.model, self.model.model.encoder
        hidden, stages = core.backbone.model.embedder(pixels), []
        for stage in core.backbone.model.encoder.stages:
            hidden = stage(hidden)
            stages.append(hidden)
        levels = [core.encoder_input_proj[i](stage) for i, stage in enumerate(stages[1:])]
        shape = levels[2].shape
        tokens = levels[2].flatten(2).transpose(1, 2)
        for layer in encoder.aifi[0].layers:
            with_position = tokens + self.position
            tokens = layer.self_attn_layer_norm(tokens + self.heads(layer.self_attn, with_position, with_position, tokens))
            tokens = layer.final_layer_norm(tokens + layer.mlp(tokens))
        down = [tokens.transpose(1, 2).reshape(shape)]
        for i, (lateral, block) in enumerate(zip(encoder.lateral_convs, encoder.fpn_blocks)):
            down[-1] = lateral(down[-1])
            down.append(block(torch.cat([F.interpolate(down[-1], scale_factor=2.0, mode="nearest"), levels[1 - i]], 1)))
        down.reverse()
        up = [down[0]]
        for i, (shrink, block) in enumerate(zip(encoder.downsample_convs, encoder.pan_blocks)):
            up.append(block(torch.cat([shrink(up[-1]), down[i + 1]], 1)))
        masks = F.interpolate(encoder.mask_feature_head(up), scale_factor=2, mode="bilinear", align_corners=False)
        masks = encoder.encoder_mask_output(masks + encoder.encoder_mask_lateral(stages[0]))
        return torch.cat([core.decoder_input_proj[i](level).flatten(2).transpose(1, 2) for i, level in enumerate(up)], 1), masks

    def noisy_truth(self, truth):
        """T positive and T negative slots: copies of the truth with other labels and moved boxes, in as many groups as fit. A group sees itself alone."""
        count, device = truth["count"], truth["count"].device
        slots = torch.arange(T, device=device)[None].expand(len(count), T)
        each = count.clamp(min=1)[:, None]
        source, group = slots % each, slots // each
        used = ((group < T // each) | (slots < each)) & (count[:, None] > 0)
        twice = lambda t: torch.cat([t, t], 1)
        label, used, group = twice(truth["label"].gather(1, source)), twice(used), twice(group)
        box = twice(truth["box"].gather(1, source[..., None].expand(-1, -1, 4)))
        negative = twice(torch.zeros_like(slots, dtype=torch.bool))
        negative[:, T:] = True
        flip = torch.rand(label.shape, device=device) < self.config.label_noise_ratio * 0.5
        shown = torch.where(flip, torch.randint_like(label, 0, self.config.num_labels), label)
        moved = corners(box)
        shift = (torch.rand_like(moved) + negative[..., None]) * (torch.randint(0, 2, moved.shape, device=device) * 2 - 1.0)
        moved = (moved + shift * box[..., 2:].repeat(1, 1, 2) * 0.5 * self.config.box_noise_scale).clamp(0, 1)
        moved = torch.cat([(moved[..., :2] + moved[..., 2:]) / 2, (moved[..., 2:] - moved[..., :2]).abs()], -1)
        total = 2 * T + self.config.num_queries
        sees = torch.zeros(len(count), total, total, dtype=torch.bool, device=device)
        sees[:, :2 * T, :2 * T] = (group[:, :, None] == group[:, None]) & used[:, None]
        sees[:, :, 2 * T:] = True
        every = torch.arange(total, device=device)
        sees[:, every, every] = True
        return dict(hidden=self.model.model.denoising_class_embed(shown), start=logit(moved), sees=sees[:, None], label=label, box=box, used=used,
                    positive=used & ~negative)

    def deformable(self, attention, query, boxes, tokens):
        """Attention to sampled places; places in float32, for bf16 is off by a third of a cell."""
        pages, count, width = query.shape
        heads, points, levels = attention.n_heads, attention.n_points, attention.n_levels
        value = attention.value_proj(tokens).view(pages, -1, heads, width // heads)
        offsets = attention.sampling_offsets(query).view(pages, count, heads, levels, points, 2).float()
        weights = F.softmax(attention.attention_weights(query).view(pages, count, heads, levels * points).float(), -1)
        grid = 2 * (boxes[:, :, None, None, None, :2] + offsets / points * boxes[:, :, None, None, None, 2:] * 0.5) - 1
        samples = []
        for level, (part, (high, wide)) in enumerate(zip(value.split([a * b for a, b in self.shapes], 1), self.shapes)):
            picture = part.permute(0, 2, 3, 1).reshape(pages * heads, width // heads, high, wide).float()
            samples.append(F.grid_sample(picture, grid[:, :, :, level].transpose(1, 2).flatten(0, 1), mode="bilinear", padding_mode="zeros", align_corners=False))
        weights = weights.transpose(1, 2).reshape(pages * heads, 1, count, levels * points)
        out = (torch.stack(samples, -2).flatten(-2) * weights).sum(-1).view(pages, width, count).transpose(1, 2)
        return attention.output_proj(out)

    def forward(self, pixels, truth=None, from_masks=1.0):
        """`from_masks`: the share of pages whose start boxes come from masks, as in the published model; the others take the encoder's boxes."""
        core, config = self.model.model, self.config
        tokens, features = self.encode(pixels)
        pages, _, width = tokens.shape
        anchors, valid = core.generate_anchors(tuple(self.shapes), device=tokens.device, dtype=torch.float32)
        memory = core.enc_output(valid.to(tokens.dtype) * tokens)
        scores = core.enc_score_head(memory).float()
        chosen = scores.detach().max(-1).values.topk(config.num_queries, 1).indices[..., None]
        picked = memory.gather(1, chosen.expand(-1, -1, width))
        anchor = anchors.expand(pages, -1, -1).gather(1, chosen.expand(-1, -1, 4)).clamp(-20, 20)
        first = dict(logits=scores.gather(1, chosen.expand(-1, -1, config.num_labels)), box=torch.sigmoid(core.enc_bbox_head(picked).float() + anchor),
                     mask=core.mask_query_head(core.decoder_norm(picked)))
        with torch.no_grad():
            masks = torch.bmm(first["mask"].detach(), features.detach().flatten(2).to(first["mask"].dtype)) > 0
            start = mask_box = extents(masks.view(pages, config.num_queries, *features.shape[-2:]))
            if from_masks < 1:
                start = torch.where(torch.rand(pages, 1, 1, device=start.device) < from_masks, start, first["box"])
        hidden, start, noisy = picked.detach(), logit(start), None
        if truth is not None:
            noisy = self.noisy_truth(truth)
            hidden, start = torch.cat([noisy["hidden"].to(hidden.dtype), hidden], 1), torch.cat([noisy["start"], start], 1)
        boxes, layers = torch.sigmoid(start), []
        for layer in core.decoder.layers:
            position = core.decoder.query_pos_head(boxes)
            with_position = hidden + position
            hidden = layer.self_attn_layer_norm(hidden + self.heads(layer.self_attn, with_position, with_position, hidden, noisy and noisy["sees"]))
            hidden = layer.encoder_attn_layer_norm(hidden + self.deformable(layer.encoder_attn, hidden + position, boxes, tokens))
            hidden = layer.final_layer_norm(hidden + layer.mlp(hidden))
            box = torch.sigmoid(core.decoder.bbox_embed(hidden).float() + logit(boxes))
            boxes, normed = box.detach(), core.decoder_norm(hidden)
            own = normed[:, -config.num_queries:]
            layers.append(dict(logits=core.decoder.class_embed(normed).float(), box=box, mask=core.mask_query_head(own), hidden=own))
        return dict(first=first, layers=layers, noisy=noisy, features=features, mask_box=mask_box, memory=memory, anchors=anchors)

    def order(self, layer, hidden):
        """Order logits [B, Q, Q] in float32: s[i, j] > 0 where i comes before j."""
        with torch.autocast(hidden.device.type, enabled=False):
            pointer = self.model.model.decoder_global_pointer
            pair = pointer.dropout(pointer.dense(self.model.model.decoder_order_head[layer](hidden.float()))).unflatten(-1, (2, pointer.head_size))
            return pair[:, :, 0] @ pair[:, :, 1].transpose(-1, -2) / pointer.head_size ** 0.5


# ---------------------------------------------------------------- losses
def varifocal(logits, label, score):
    """label [B, N]: a class or -1; score [B, N]: what the class should reach."""
    here = F.one_hot(label.clamp(min=0), logits.shape[-1]).float() * (label >= 0)[..., None]
    target = here * score[..., None]
    weight = 0.75 * logits.detach().sigmoid() * (1 - here) + target
    return (F.binary_cross_entropy_with_logits(logits, target, reduction="none") * weight).sum()


def one_label(logits, label, weight):
    """Cross entropy over the classes of matched queries: second labels on a box are the other classes of its own query."""
    return (F.cross_entropy(logits.flatten(0, 1), label.clamp(min=0).flatten(), reduction="none") * (weight * (label >= 0)).flatten()).sum()


@torch.no_grad()
def pair_costs(logits, boxes, truth):
    """What it costs to give a query a slot of truth, for the encoder and for the last layer (which stands for all): [2, B, Q, T], on its way to the CPU;
    the event of its arrival (None on a CPU); and the IoU of all pairs of the last."""
    chance = logits.sigmoid()
    positive, negative = 0.25 * (1 - chance) ** 2 * -(chance + 1e-8).log(), 0.75 * chance ** 2 * -(1 - chance + 1e-8).log()
    label = truth["label"][None, :, None].expand(2, -1, logits.shape[2], -1)
    iou, general = overlaps(corners(boxes)[:, :, :, None], corners(truth["box"])[None, :, None])
    far = (boxes[:, :, :, None] - truth["box"][None, :, None]).abs().sum(-1)
    cost = torch.nan_to_num(2 * (positive - negative).gather(-1, label) + 5 * far - 2 * general, nan=1e4)
    if not cost.is_cuda:
        return cost, None, iou[-1]
    host = torch.empty(cost.shape, dtype=cost.dtype, pin_memory=True)
    host.copy_(cost, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()
    return host, arrived, iou[-1]


def assign(cost, counts, device):
    """The query of every slot of truth [2, B, T]."""
    cost, match = cost.numpy(), np.zeros((2, cost.shape[1], T), np.int64)
    for k in range(2):
        for page, count in enumerate(counts):
            if count:
                match[k, page, :count] = linear_sum_assignment(cost[k, page, :, :count].T)[1]
    return torch.from_numpy(match).to(device)


def places(counts, device):
    """Page and slot of every region, made without asking the card."""
    page = np.repeat(np.arange(len(counts)), counts)
    slot = np.concatenate([np.arange(count) for count in counts])
    return torch.from_numpy(np.stack([page, slot])).to(device)


def mask_targets(truth, side):
    """Rectangles of cells [M, side] across and down, at least one cell each."""
    page, slot = truth["places"]
    box = corners(truth["box"])[page, slot]
    middle, cells = (box[:, :2] + box[:, 2:]) / 2, (torch.arange(side, device=box.device) + 0.5) / side
    low, high = torch.minimum(box[:, :2], middle - 0.51 / side), torch.maximum(box[:, 2:], middle + 0.51 / side)
    across, down = (((cells >= low[:, i:i + 1]) & (cells < high[:, i:i + 1])).float() for i in (0, 1))
    return page, slot, across, down


def mask_loss(embedding, features, targets, weight=1.0):
    """Cross entropy, dice and extent: the start box is the extent of mask > 0, so one stray cell spoils it and gets a loss of its own."""
    page, slot, across, down = targets
    side = features.shape[-1]
    logits = torch.bmm(embedding, features.flatten(2).to(embedding.dtype))[page, slot].float()
    target = (down[:, :, None] * across[:, None]).flatten(1)
    cross = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(-1)
    inside = logits.sigmoid()
    dice = 1 - (2 * (inside * target).sum(-1) + 1) / (inside.sum(-1) + target.sum(-1) + 1)
    field = logits.view(-1, side, side)
    extent = sum(F.binary_cross_entropy_with_logits(field.amax(axis), line, reduction="none").mean(-1) for axis, line in ((1, across), (2, down)))
    return ((4 * cross + dice + 3 * extent) * weight).sum()


def point_losses(training, out, truth):
    """Boxes and masks of the tokens of the finest level at random places of regions, those of inline formulas first.

    The assignment gives a region one token; a small region inside another has the wrong one for long, and its mask, of which the start box is the extent,
    then never learns. Here every token inside a region may learn the smallest region around it. Classes are left to the assignment."""
    core, used = training.model.model, truth["used"]
    wish = torch.rand(used.shape, device=used.device) + 2.0 * (truth["label"] == INLINE)
    slot = torch.where(used, wish, -1.0).topk(POINTS, 1).indices
    take = lambda t, at: t.gather(1, at[..., None].expand(-1, -1, t.shape[-1])) if t.ndim == 3 else t.gather(1, at)
    box = take(corners(truth["box"]), slot).clamp(0, 0.9999)
    point = box[..., :2] + torch.rand(*slot.shape, 2, device=box.device) * (box[..., 2:] - box[..., :2])
    high, wide = training.shapes[0]
    cell = (point * torch.tensor([wide, high], device=box.device)).long()
    token = cell[..., 1] * wide + cell[..., 0]
    middle = (cell + 0.5) / torch.tensor([wide, high], device=box.device)
    every = corners(truth["box"])[:, None]                                # the smallest region around the token, or the one it was drawn for
    inside = ((middle[:, :, None] >= every[..., :2]) & (middle[:, :, None] <= every[..., 2:])).all(-1) & used[:, None]
    area = torch.where(inside, (truth["box"][..., 2] * truth["box"][..., 3])[:, None], 9.0)
    slot = torch.where(inside.any(-1), area.argmin(-1), slot)
    valid = take(used, slot)
    label, box = take(truth["label"], slot), take(truth["box"], slot)
    with torch.autocast(box.device.type, torch.bfloat16, enabled=box.device.type == "cuda"):
        memory = take(out["memory"], token)
        found = torch.sigmoid(core.enc_bbox_head(memory).float() + take(out["anchors"].expand(len(used), -1, -1), token).clamp(-20, 20))
        embedding = core.mask_query_head(core.decoder_norm(memory))
    weight = valid * torch.where(label == INLINE, INLINE_WEIGHT, 1.0)
    same, general = overlaps(corners(found), corners(box))
    boxes = ((5 * (found - box).abs().sum(-1) + 2 * (1 - general)) * weight).sum()
    masks = mask_loss(embedding, out["features"], mask_targets(dict(box=box, places=valid.nonzero(as_tuple=True)), out["features"].shape[-1]), weight[valid])
    inline = valid & (label == INLINE)
    return (0.5 * boxes + masks) / weight.sum().clamp(min=1), (same * inline).sum() / inline.sum().clamp(min=1)


def order_loss(training, out, truth, iou, match):
    """Logistic loss on all pairs of queries that stand for two regions; the unmatched count a quarter. Also the share of right pairs."""
    used = truth["used"]
    best, rank = torch.where(used[:, None], iou, -1.0).max(-1)
    page, slot = truth["places"]
    query, matched = match[page, slot], torch.zeros_like(best)
    best[page, query], rank[page, query], matched[page, query] = 1.0, slot, 1.0
    stands = best > SAME_REGION
    pairs = stands[:, :, None] & stands[:, None] & (rank[:, :, None] != rank[:, None])
    both = matched[:, :, None] * matched[:, None]
    weight, before = pairs.float() * (0.25 + 0.75 * both), (rank[:, :, None] < rank[:, None]).float()
    share, total = weight.sum((1, 2)).clamp(min=1), 0.0
    for i, layer in enumerate(out["layers"]):
        logits = training.order(i, layer["hidden"])
        last = i == len(out["layers"]) - 1
        total = total + ((F.binary_cross_entropy_with_logits(logits, before, reduction="none") * weight).sum((1, 2)) / share).mean() * (1.0 if last else 0.3)
    sure = pairs & (both > 0)
    return total, (((logits > 0) == (before > 0.5)) & sure).sum() / sure.sum().clamp(min=1)


def losses(training, out, truth, first_share=1.0):
    """The loss and what to print of it. `first_share`: the weight of the encoder's own boxes."""
    queries, layers = training.config.num_queries, out["layers"]
    heads = [out["first"]] + [dict(layer, logits=layer["logits"][:, -queries:], box=layer["box"][:, -queries:]) for layer in layers]
    cost, arrived, iou = pair_costs(torch.stack([heads[0]["logits"], heads[-1]["logits"]]), torch.stack([heads[0]["box"], heads[-1]["box"]]), truth)
    noisy = noisy_losses(out["noisy"], layers)               # the card works on them while the assignment is made
    if arrived:
        arrived.synchronize()
    match = assign(cost, truth["counts"], out["features"].device)
    page, slot = truth["places"] = places(truth["counts"], match.device)
    points, inline = point_losses(training, out, truth)
    used, target, total, shown = truth["used"], corners(truth["box"]), noisy + 0.5 * points, {"inline first": inline}
    number = max(1.0, float(truth["counts"].sum()))
    small = truth["label"] == INLINE
    heavy = used * torch.where(small, INLINE_WEIGHT, 1.0)
    masks = mask_targets(truth, out["features"].shape[-1])
    for i, head in enumerate(heads):
        mine = match[min(i, 1)]
        box = head["box"].gather(1, mine[..., None].expand(-1, -1, 4))
        same, general = overlaps(corners(box), target)
        label = torch.full(head["logits"].shape[:2], -1, device=used.device)
        score = torch.zeros(label.shape, device=used.device)
        wanted = torch.where(small, same.clamp(min=INLINE_SCORE), same).detach().clamp(min=0)
        label[page, mine[page, slot]], score[page, mine[page, slot]] = truth["label"][page, slot], wanted[page, slot]
        parts = [varifocal(head["logits"], label, score) + 0.3 * one_label(head["logits"], label, score),
                 ((box - truth["box"]).abs().sum(-1) * heavy).sum(), ((1 - general) * heavy).sum()]
        share = first_share if i == 0 else 1.0
        total = total + (parts[0] + share * (5 * parts[1] + 2 * parts[2])) / number
        if i in (0, len(heads) - 1):
            embedding = head["mask"].gather(1, mine[..., None].expand(-1, -1, head["mask"].shape[-1]))
            mask = mask_loss(embedding, out["features"], masks, heavy[masks[:2]]) / number
            total = total + mask
            name = "first" if i == 0 else "last"
            shown |= {name + " label": parts[0] / number, name + " iou": (same * used).sum() / number, name + " mask": mask}
            shown[name + " inline"] = (same * (used & small)).sum() / (used & small).sum().clamp(min=1)
    start = out["mask_box"].gather(1, match[0][..., None].expand(-1, -1, 4))
    shown["start iou"] = (overlaps(corners(start), target)[0] * used).sum() / number
    order, right = order_loss(training, out, truth, iou, match[1])
    return total + 2 * order, shown | {"order": right, "total": total + 2 * order}


def noisy_losses(noisy, layers):
    """The same for the noisy copies of the truth, which need no assignment."""
    total, target, number = 0.0, corners(noisy["box"]), noisy["positive"].sum().clamp(min=1)
    for layer in layers:
        box, logits = layer["box"][:, :2 * T], layer["logits"][:, :2 * T]
        same, general = overlaps(corners(box), target)
        logits = torch.where(noisy["used"][..., None], logits, -20.0)
        label = varifocal(logits, torch.where(noisy["positive"], noisy["label"], -1), same.detach().clamp(min=0))
        far = ((box - noisy["box"]).abs().sum(-1) * noisy["positive"]).sum()
        total = total + (label + 5 * far + 2 * ((1 - general) * noisy["positive"]).sum()) / number
    return total
