# SPDX-License-Identifier: Apache-2.0
"""Writes a model as a Hugging Face snapshot: bf16 safetensors shards, index, configs, tokenizer.

    python3 export.py CHECKPOINT TOKENIZER OUT      # CHECKPOINT: OUT/checkpoint.pt of train.py
"""
import json
import os
import shutil
import sys

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from letters import LETTER, MOST_PIXELS
from model import Config, GlmOcr

SHARD_BYTES = 14_000_000


def checkpoint_tensors(model):
    """Our parameters in the published names, layouts and type, the MTP layer's own embed_tokens and head among them."""
    out = {}
    for name, t in model.state_dict().items():
        if name.endswith("patch_embed.proj.weight"):           # equal over three channels and two frames
            t = (t.float() / 6).view(-1, 1, 1, 14, 14).expand(-1, 3, 2, 14, 14)
        if name.endswith("downsample.weight"):
            t = t.view(t.shape[0], -1, 2, 2)
        out[name] = t.detach().to(torch.bfloat16).contiguous().cpu()
    mtp = f"model.language_model.layers.{model.config.layers}."
    out[mtp + "embed_tokens.weight"] = out["model.language_model.embed_tokens.weight"].clone()
    out[mtp + "shared_head.head.weight"] = out["lm_head.weight"].clone()
    return out


def configs(config, tokenizer):
    token = tokenizer.token_to_id
    end, user = token("<|endoftext|>"), token("<|user|>")
    image = token("<|begin_of_image|>"), token("<|end_of_image|>"), token("<|image|>")
    text = dict(model_type="glm_ocr_text", pad_token_id=end, eos_token_id=[end, user], vocab_size=config.vocab,
                attention_bias=False, attention_dropout=0.0, hidden_act="silu", max_position_embeddings=131072,
                num_nextn_predict_layers=1, rms_norm_eps=1e-5, dtype="bfloat16", tie_word_embeddings=False, use_cache=True,
                hidden_size=config.hidden, num_hidden_layers=config.layers, num_attention_heads=config.heads,
                num_key_value_heads=config.kv_heads, head_dim=config.head_dim, intermediate_size=config.inter,
                rope_parameters=dict(rope_type="default", mrope_section=list(config.mrope), partial_rotary_factor=1.0,
                                     rope_theta=int(config.theta)))
    vision = dict(model_type="glm_ocr_vision", attention_bias=True, hidden_act="silu", image_size=336, patch_size=14,
                  rms_norm_eps=1e-5, spatial_merge_size=2, temporal_patch_size=2, hidden_size=config.vision_hidden,
                  depth=config.vision_depth, num_heads=config.vision_heads, intermediate_size=config.vision_inter,
                  out_hidden_size=config.hidden)
    # The tokenizer has no video tokens; these ids are not used and refer to other tokens.
    main = dict(architectures=["GlmOcrForConditionalGeneration"], model_type="glm_ocr", dtype="bfloat16",
                tie_word_embeddings=False, text_config=text, vision_config=vision, image_start_token_id=image[0],
                image_end_token_id=image[1], image_token_id=image[2], video_start_token_id=image[0] - 1,
                video_end_token_id=image[0], video_token_id=image[1])
    generation = dict(eos_token_id=[end, user], pad_token_id=end, do_sample=False)
    processor = dict(image_processor_type="Glm46VImageProcessor", size=dict(shortest_edge=12544, longest_edge=2 * MOST_PIXELS),
                     enlarge_letters_below=LETTER, do_resize=True, resample=3, do_rescale=True, rescale_factor=1 / 255, do_normalize=True, do_convert_rgb=True,
                     patch_size=14, temporal_patch_size=2, merge_size=2, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    return {"config.json": main, "generation_config.json": generation, "preprocessor_config.json": processor}


def snapshot(model, tokenizer_path, out):
    os.makedirs(out, exist_ok=True)
    tensors = checkpoint_tensors(model)
    shards = [{}]
    for name, t in tensors.items():
        if sum(x.nbytes for x in shards[-1].values()) + t.nbytes > SHARD_BYTES:
            shards.append({})
        shards[-1][name] = t
    where = {}
    for i, shard in enumerate(shards, 1):
        file = f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, f"{out}/{file}", metadata={"format": "pt"})
        where.update({name: file for name in shard})
    index = dict(metadata=dict(total_size=sum(t.nbytes for t in tensors.values())), weight_map=dict(sorted(where.items())))
    files = {"model.safetensors.index.json": index, **configs(model.config, Tokenizer.from_file(tokenizer_path))}
    for name, content in files.items():
        with open(f"{out}/{name}", "w") as f:
            json.dump(content, f, indent=1)
            f.write("\n")
    shutil.copy(tokenizer_path, f"{out}/tokenizer.json")


def main():
    checkpoint, tokenizer, out = sys.argv[1:]
    saved = torch.load(checkpoint, map_location="cpu")
    model = GlmOcr(Config(**saved["config"]))
    model.load_state_dict(saved["model"])
    snapshot(model, tokenizer, out)


if __name__ == "__main__":
    main()
