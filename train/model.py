# SPDX-License-Identifier: Apache-2.0
"""The GLM-OCR architecture for training, with the module names of the published checkpoint.

Two things differ from the checkpoint and are undone by export.py: the patch embedding has 196 inputs (grey pictures:
the weights are equal over the three channels and the two frames), and the MTP layer has no embed_tokens and head of
its own (it uses the main ones). Master weights are fp32; products run in the type of the activations.
"""
import json
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn

EPS = 1e-5
IGNORE = -100


@dataclass
class Config:
    vision_hidden: int = 256
    vision_depth: int = 8
    vision_heads: int = 4
    vision_inter: int = 896
    hidden: int = 320
    layers: int = 5
    heads: int = 6
    kv_heads: int = 2
    head_dim: int = 64
    inter: int = 768
    vocab: int = 3072
    mrope: tuple = (8, 12, 12)
    theta: float = 10000.0

    @staticmethod
    def of_snapshot(path):
        c = json.load(open(f"{path}/config.json"))
        v, t = c["vision_config"], c["text_config"]
        return Config(v["hidden_size"], v["depth"], v["num_heads"], v["intermediate_size"], t["hidden_size"],
                      t["num_hidden_layers"], t["num_attention_heads"], t["num_key_value_heads"], t["head_dim"],
                      t["intermediate_size"], t["vocab_size"], tuple(t["rope_parameters"]["mrope_section"]),
                      float(t["rope_parameters"]["rope_theta"]))

    as_dict = asdict


# ---------------------------------------------------------------- small parts
def linear(x, layer):
    return F.linear(x, layer.weight.to(x.dtype), None if layer.bias is None else layer.bias.to(x.dtype))


def rms(x, norm):
    return F.rms_norm(x, (x.shape[-1],), norm.weight.to(x.dtype), EPS)


class Norm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))


def dense(inputs, outputs, bias=False):
    return nn.Linear(inputs, outputs, bias=bias)


def attention(q, k, v, causal):
    """[batch, length, heads, dim] each; the result is [batch, length, heads·dim]."""
    if q.shape[2] != k.shape[2]:
        k, v = (t.repeat_interleave(q.shape[2] // k.shape[2], 2) for t in (k, v))
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    if causal and q.is_cuda:       # named, because cuDNN, the default there, builds a plan for every new length
        out = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v, 0.0, True)[0]
    else:
        out = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return out.transpose(1, 2).flatten(2)


# ---------------------------------------------------------------- vision
class VisionAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads = c.vision_heads
        self.qkv, self.proj = dense(c.vision_hidden, 3 * c.vision_hidden, True), dense(c.vision_hidden, c.vision_hidden, True)
        self.q_norm, self.k_norm = Norm(c.vision_hidden // c.vision_heads), Norm(c.vision_hidden // c.vision_heads)


class VisionMlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_proj, self.up_proj = dense(c.vision_hidden, c.vision_inter, True), dense(c.vision_hidden, c.vision_inter, True)
        self.down_proj = dense(c.vision_inter, c.vision_hidden, True)


def rotate_halves(x, cos, sin):
    """Vision rotary: dims d and d + half are a pair; in fp32, rounded once."""
    a, b = x.float().chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(x.dtype)


class VisionBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm1, self.norm2 = Norm(c.vision_hidden), Norm(c.vision_hidden)
        self.attn, self.mlp = VisionAttention(c), VisionMlp(c)

    def forward(self, x, cos, sin):
        batch, length, hidden = x.shape
        a = self.attn
        q, k, v = linear(rms(x, self.norm1), a.qkv).view(batch, length, 3, a.heads, hidden // a.heads).unbind(2)
        q, k = (rotate_halves(rms(t, norm), cos, sin) for t, norm in ((q, a.q_norm), (k, a.k_norm)))
        x = x + linear(attention(q, k, v, False), a.proj)
        y = rms(x, self.norm2)
        return x + linear(F.silu(linear(y, self.mlp.gate_proj)) * linear(y, self.mlp.up_proj), self.mlp.down_proj)


class PatchEmbed(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.proj = dense(196, c.vision_hidden, True)


class Merger(nn.Module):
    def __init__(self, c):
        super().__init__()
        h = c.hidden
        self.proj, self.post_projection_norm = dense(h, h), nn.LayerNorm(h)
        self.gate_proj, self.up_proj, self.down_proj = dense(h, 3 * h), dense(h, 3 * h), dense(3 * h, h)

    def forward(self, x):
        norm = self.post_projection_norm
        x = F.gelu(F.layer_norm(linear(x, self.proj), norm.weight.shape, norm.weight.to(x.dtype), norm.bias.to(x.dtype)))
        return linear(F.silu(linear(x, self.gate_proj)) * linear(x, self.up_proj), self.down_proj)


class Vision(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        self.patch_embed = PatchEmbed(c)
        self.blocks = nn.ModuleList(VisionBlock(c) for _ in range(c.vision_depth))
        self.post_layernorm = Norm(c.vision_hidden)
        self.downsample = dense(4 * c.vision_hidden, c.hidden, True)      # the 2x2 convolution, input index c·4 + dy·2 + dx
        self.merger = Merger(c)
        self.tables = {}

    def rotary(self, grid_h, grid_w, device):
        """cos and sin [1, patches, 1, head_dim / 2], patches in the order of 2x2 blocks."""
        key = (grid_h, grid_w, str(device))
        if key not in self.tables:
            shape = (grid_h // 2, grid_w // 2, 2, 2)
            rows = torch.arange(grid_h, device=device).view(grid_h // 2, 1, 2, 1).expand(shape).reshape(-1, 1)
            cols = torch.arange(grid_w, device=device).view(1, grid_w // 2, 1, 2).expand(shape).reshape(-1, 1)
            half = self.c.vision_hidden // self.c.vision_heads // 2
            freq = 10000.0 ** (-torch.arange(0, half, 2, device=device).float() / half)
            angle = torch.cat((rows * freq, cols * freq), -1)[None, :, None]
            self.tables[key] = angle.cos(), angle.sin()
        return self.tables[key]

    def forward(self, image):
        """image [batch, height, width], -1 … 1, grey -> [batch, height·width / 784, hidden] bf16 on a GPU."""
        batch, height, width = image.shape
        gh, gw = height // 14, width // 14
        x = image.to(torch.bfloat16 if image.is_cuda else image.dtype)
        x = x.view(batch, gh // 2, 2, 14, gw // 2, 2, 14).permute(0, 1, 4, 2, 5, 3, 6).reshape(batch, gh * gw, 196)
        x = linear(x, self.patch_embed.proj)
        cos, sin = self.rotary(gh, gw, image.device)
        for block in self.blocks:
            x = block(x, cos, sin)
        x = rms(x, self.post_layernorm).view(batch, gh * gw // 4, 4, -1).transpose(2, 3).flatten(2)
        return self.merger(linear(x, self.downsample))


# ---------------------------------------------------------------- text
class TextAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.q_proj, self.o_proj = dense(c.hidden, c.heads * c.head_dim), dense(c.heads * c.head_dim, c.hidden)
        self.k_proj, self.v_proj = dense(c.hidden, c.kv_heads * c.head_dim), dense(c.hidden, c.kv_heads * c.head_dim)


class TextMlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.gate_up_proj, self.down_proj = dense(c.hidden, 2 * c.inter), dense(c.inter, c.hidden)


def rotate_pairs(x, cos, sin):
    """Text rotary: dims 2i and 2i + 1 are a pair."""
    turned = torch.stack((-x[..., 1::2], x[..., 0::2]), -1).flatten(-2)
    return x * cos + turned * sin


class DecoderLayer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.head_dim = c.head_dim
        self.self_attn, self.mlp = TextAttention(c), TextMlp(c)
        self.input_layernorm, self.post_self_attn_layernorm = Norm(c.hidden), Norm(c.hidden)
        self.post_attention_layernorm, self.post_mlp_layernorm = Norm(c.hidden), Norm(c.hidden)

    def qkv(self, x, cos, sin):
        y, a = rms(x, self.input_layernorm), self.self_attn
        q, k, v = (linear(y, p).unflatten(-1, (-1, self.head_dim)) for p in (a.q_proj, a.k_proj, a.v_proj))
        return rotate_pairs(q, cos, sin), rotate_pairs(k, cos, sin), v

    def rest(self, x, attended):
        x = x + rms(linear(attended, self.self_attn.o_proj), self.post_self_attn_layernorm)
        gate, up = linear(rms(x, self.post_attention_layernorm), self.mlp.gate_up_proj).chunk(2, -1)
        return x + rms(linear(F.silu(gate) * up, self.mlp.down_proj), self.post_mlp_layernorm)

    def forward(self, x, cos, sin):
        q, k, v = self.qkv(x, cos, sin)
        return self.rest(x, attention(q, k, v, True))


class SharedHead(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = Norm(c.hidden)


class MtpLayer(DecoderLayer):
    """Predicts the token after the next one from (embedding of the next token, state of this one)."""

    def __init__(self, c):
        super().__init__(c)
        self.enorm, self.hnorm, self.eh_proj = Norm(c.hidden), Norm(c.hidden), dense(2 * c.hidden, c.hidden)
        self.shared_head = SharedHead(c)

    def join(self, embedding, state):
        return linear(torch.cat((rms(embedding, self.enorm), rms(state, self.hnorm)), -1), self.eh_proj)


class LanguageModel(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c.vocab, c.hidden)
        layers = [DecoderLayer(c) for _ in range(c.layers)] + [MtpLayer(c)]
        self.layers, self.norm = nn.ModuleList(layers), Norm(c.hidden)


def token_loss(state, norm, head, targets):
    """Mean cross-entropy of the next tokens; the one place with [tokens, vocabulary] numbers."""
    return F.cross_entropy(linear(rms(state, norm), head).float().flatten(0, 1), targets.flatten(), ignore_index=IGNORE)


class GlmOcr(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.model = nn.Module()
        self.model.visual, self.model.language_model = Vision(config), LanguageModel(config)
        self.lm_head = dense(config.hidden, config.vocab)
        self.tables = {}
        self.token_loss = token_loss
        self.initialise()

    def initialise(self):
        for name, p in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(p)
            elif "embed_tokens" in name:
                nn.init.normal_(p, std=0.5)
            elif "lm_head" in name:
                nn.init.normal_(p, std=0.02)
            elif p.dim() > 1:
                small = "visual" in name and ("attn.proj" in name or "mlp.down" in name)
                nn.init.normal_(p, std=p.shape[1] ** -0.5 * (0.3 if small else 0.8))
            elif "post_self_attn" in name or "post_mlp" in name:
                nn.init.constant_(p, 0.4)

    @property
    def mtp(self):
        return self.model.language_model.layers[-1]

    @property
    def decoder(self):
        return self.model.language_model.layers[:-1]

    def compile(self):
        """Compiles what is repeated, once for all sizes."""
        self.token_loss = torch.compile(token_loss, dynamic=True)
        for block in self.model.visual.blocks:
            block.compile(dynamic=True)
        for layer in self.decoder:
            layer.compile(dynamic=True)

    def embed(self, ids):
        weight = self.model.language_model.embed_tokens.weight
        return F.embedding(ids, weight).to(torch.bfloat16 if weight.is_cuda else weight.dtype)

    def rotary(self, grid_h, grid_w, prefix, length, device):
        """M-RoPE cos and sin [1, length, 1, head_dim] of prefix + image + text (grid in merged tokens)."""
        key = (grid_h, grid_w, prefix, str(device))
        if key not in self.tables or self.tables[key][0].shape[1] < length:
            before, after = torch.arange(prefix), torch.arange(max(4096, length)) + prefix + max(grid_h, grid_w)
            rows = torch.arange(grid_h).repeat_interleave(grid_w) + prefix
            cols = torch.arange(grid_w).repeat(grid_h) + prefix
            axes = [torch.cat((before, image, after)) for image in (torch.full_like(rows, prefix), rows, cols)]
            freq = self.config.theta ** (-torch.arange(0, self.config.head_dim, 2).float() / self.config.head_dim)
            pieces = freq.split(list(self.config.mrope))
            angle = torch.cat([axis.float()[:, None] * piece for axis, piece in zip(axes, pieces)], -1)
            angle = angle.repeat_interleave(2, -1)[None, :, None].to(device)
            dtype = torch.bfloat16 if angle.is_cuda else torch.float32
            self.tables[key] = angle.cos().to(dtype), angle.sin().to(dtype)
        cos, sin = self.tables[key]
        return cos[:, :length], sin[:, :length]

    def inputs(self, image, prefix, suffix, ids=None):
        """Embeddings of prompt and text [batch, length, hidden] and how many of them are the prompt."""
        seen = self.model.visual(image)
        parts = [self.embed(prefix).expand(len(image), -1, -1), seen, self.embed(suffix).expand(len(image), -1, -1)]
        if ids is not None:
            parts.append(self.embed(ids))
        return torch.cat(parts, 1), len(prefix) + seen.shape[1] + len(suffix)

    def forward(self, image, prefix, suffix, ids, targets, mtp_rows=0, mtp_window=256):
        """Losses of the text and, over the first `mtp_rows` pictures, of the drafts one, two and three tokens further [3].

        ids [batch, T] are the text tokens as shown to the decoder, targets [batch, T] the true ones (IGNORE = none).
        """
        x, prompt = self.inputs(image, prefix, suffix, ids)
        cos, sin = self.rotary(image.shape[1] // 28, image.shape[2] // 28, len(prefix), x.shape[1], x.device)
        first = x
        for layer in self.decoder:
            x = layer(x, cos, sin)
        norm = self.model.language_model.norm
        loss = self.token_loss(x[:, prompt - 1:prompt - 1 + targets.shape[1]], norm, self.lm_head, targets)
        if not mtp_rows:
            return loss, loss.new_zeros(3)
        with torch.no_grad():
            state = rms(x[:mtp_rows], norm)
        return loss, self.draft_losses(first[:mtp_rows].detach(), state, cos, sin, prompt, targets[:mtp_rows], mtp_window)

    def drafts(self, embeddings, state, cos, sin, start, size):
        """Three applications of the MTP layer by recursion, as an engine with three drafts runs it.

        Slot i holds the embedding of token i + 1 and the state of token i, and stands at the position of token i. The
        first application runs over all slots. The later ones run on the window of slots start … start + size: the slot
        of draft j takes the output z of draft j - 1 one slot earlier, and sees the first application's keys of all
        slots that hold true states, and the later keys of its own round. Gives the outputs before shared_head.norm.
        """
        mtp = self.mtp
        slots = embeddings.shape[1] - 1
        cos, sin = cos[:, :slots], sin[:, :slots]
        x = mtp.join(embeddings[:, 1:], state[:, :-1])
        q, k, v = mtp.qkv(x, cos, sin)
        outputs = [mtp.rest(x, attention(q, k, v, True))]
        keys, values = [k], [v]
        window = slice(start, start + size)
        index, true_keys = torch.arange(start, start + size, device=x.device), torch.arange(slots, device=x.device)
        z = rms(outputs[0], mtp.shared_head.norm)[:, start - 1:start - 1 + size]
        for depth in (1, 2):
            x = mtp.join(embeddings[:, 1:][:, window], z)
            q, k, v = mtp.qkv(x, cos[:, window], sin[:, window])
            keys.append(k)
            values.append(v)
            masks = [true_keys[None] <= index[:, None] - depth]
            masks += [index[None] == index[:, None] - (depth - d) for d in range(1, depth + 1)]
            outputs.append(mtp.rest(x, masked_attention(q, torch.cat(keys, 1), torch.cat(values, 1), torch.cat(masks, 1))))
            z = F.pad(rms(outputs[-1], mtp.shared_head.norm)[:, :-1], (0, 0, 1, 0))
        return outputs

    def draft_losses(self, embeddings, state, cos, sin, prompt, targets, window):
        """Loss of each draft. Slot prompt - 1 + t gets text token t and predicts text token t + 1. The main
        model is not trained by it: everything that comes from it is detached."""
        count = embeddings.shape[1] - prompt                         # text tokens
        size = min(window, count)
        first = int(torch.randint(0, count - size + 1, (1,)))
        y = self.drafts(embeddings, state, cos, sin, prompt - 1 + first, size)
        goal = targets[:, first + 1:first + 1 + size]
        later = torch.cat((torch.full_like(goal[:, :1], IGNORE), goal[:, 1:]), 1)    # no second draft before the first slot
        return torch.stack((self.draft_loss(y[0][:, prompt - 1:], targets[:, 1:]),
                            self.draft_loss(y[1], goal), self.draft_loss(y[2], later)))

    def draft_loss(self, y, goal):
        logits = F.linear(rms(y[:, :goal.shape[1]], self.mtp.shared_head.norm), self.lm_head.weight.detach().to(y.dtype))
        flat = goal.flatten()
        total = F.cross_entropy(logits.float().flatten(0, 1), flat, ignore_index=IGNORE, reduction="sum")
        return total / (flat != IGNORE).sum().clamp(min=1)


def masked_attention(q, k, v, mask):
    """Plain attention for few queries: q [batch, m, heads, dim], mask [m, keys] true where a key is seen."""
    batch, m, heads, dim = q.shape
    groups = k.shape[2]
    q = q.view(batch, m, groups, heads // groups, dim)
    scores = torch.einsum("bmgrd,bkgd->bgrmk", q, k).float() * dim ** -0.5
    weights = scores.masked_fill(~mask, float("-inf")).softmax(-1).to(v.dtype)
    return torch.einsum("bgrmk,bkgd->bmgrd", weights, v).flatten(2)
