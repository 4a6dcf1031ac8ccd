"""Makes the tiny random LLaVA checkpoints: python make_models.py [--out Tests/Fixtures] [--only NAME]

Each is a genuine Hugging Face folder (config, image steps, tokenizer, chat template, safetensors). Weights are random
but not bland: the image has to move the logits, and along 64 greedy tokens, for every withdrawal layer, the best logit
has to lead the second by 1e-3 of the logit range, so that an f32 engine reproduces the text whatever its summation
order. Where two tokens nearly tie, the second one's row of the head is shortened a little and the check starts again;
after 40 repairs, or where the image does too little, the next seed is tried. All of it is deterministic.
"""

import argparse
import json
import os
import pathlib
import shutil
import tempfile
from dataclasses import dataclass

from reference_model import ReferenceModel  # first: it keeps transformers quiet and offline

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, LlavaNextConfig,
    LlavaNextForConditionalGeneration, LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration, MistralConfig,
    Qwen2Config, SiglipVisionConfig,
)

import config_styles
import tiny_tokenizers
from fixture_cases import MODELS, SHAPES, SPELLING_MODEL, Case, shape_name
from tiny_tokenizers import DEMO_MODEL, write_json
from weight_names import SPELLINGS, to_a

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Fixtures"
GREEDY_TOKENS = 64
LEAST_LEAD = 1e-3  # of the logit range: 100 times what f32 summation order changes in models of this size
LEAST_IMAGE_EFFECT = 0.05  # of the logit range, between K = N and K = 0
TAIL = 0.6  # spread of the log-lengths of vocabulary rows
SEEDS, REPAIRS, REPAIR = 100, 40, 0.97
LEAST_DISTINCT = 8  # different ids in the full model's text

IMAGE_STEPS = {
    "crop_size": None, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True, "do_rescale": True,
    "do_resize": True, "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_processor_type": "CLIPImageProcessor",
    "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "rescale_factor": 0.00392156862745098, "size": None,
}
# By model_type: configuration, network, image processor, what its processor file says beside.
FAMILIES = {
    "llava": (LlavaConfig, LlavaForConditionalGeneration, "CLIPImageProcessor"),
    "llava_next": (LlavaNextConfig, LlavaNextForConditionalGeneration, "LlavaNextImageProcessor"),
    "llava_onevision": (LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration, "LlavaOnevisionImageProcessor"),
}
TEXT_FAMILIES = {"llama": LlamaConfig, "mistral": MistralConfig, "qwen2": Qwen2Config}
SHAPE_TOKENS = 16  # greedy ids of each picture of SHAPES

VICUNA_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'][0]['text'] }} {% else %}"
    "{{ message['role'].upper() }}: {% for c in message['content'] if c['type'] == 'image' %}<image>\n{% endfor %}"
    "{% for c in message['content'] if c['type'] == 'text' %}{{ c['text'] }} {% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
LLAMA3_TEMPLATE = (
    "{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{% for c in message['content'] %}{% if c['type'] == 'image' %}<image>\n{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
CHATML_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for c in message['content'] %}{% if c['type'] == 'image' %}<image>\n{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

MISTRAL_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' }}"
    "{% for c in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for c in message['content'] | selectattr('type', 'equalto', 'text') %}{{ c['text'] }}{% endfor %}{{ ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'][0]['text'] + '</s> ' }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}"
)
ONEVISION_TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + ' '}}{# Render all images first #}"
    "{% for c in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>' }}{% endfor %}"
    "{% for c in message['content'] | selectattr('type', 'equalto', 'video') %}{{ '<video>' }}{% endfor %}"
    "{% if message['role'] != 'assistant' %}"
    "{% for c in message['content'] | selectattr('type', 'equalto', 'text') %}{{ '\n' + c['text'] }}{% endfor %}{% else %}"
    "{% for c in message['content'] | selectattr('type', 'equalto', 'text') %}{% generation %}{{ '\n' + c['text'] }}"
    "{% endgeneration %}{% endfor %}{% endif %}{{'<|im_end|>'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


# Tokenizers


def write_text_files(model, folder):
    """Tokenizer and chat template of `model` into `folder` -> ids {image, pad, bos, eos}."""
    folder.mkdir(parents=True, exist_ok=True)
    if model.tokenizer == "demo":
        for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.json"):
            shutil.copy(DEMO_MODEL / name, folder)
        return dict(image=640, pad=641, bos=1, eos=2)
    if model.tokenizer == "small":
        trained = tiny_tokenizers.train_sentencepiece(352)
        tokenizer = tiny_tokenizers.from_sentencepiece(trained, ["<image>", "<pad>"])
        tiny_tokenizers.write_tokenizer(tokenizer, folder, tiny_tokenizers.LLAMA_CONFIG)
        template = MISTRAL_TEMPLATE if model.text_family == "mistral" else VICUNA_TEMPLATE
        write_json(folder / "chat_template.json", {"chat_template": template})
        return dict(image=352, pad=353, bos=1, eos=2)
    if model.tokenizer == "llama3":
        tokenizer, config, template = tiny_tokenizers.llama3(), tiny_tokenizers.LLAMA3_CONFIG, LLAMA3_TEMPLATE
        bos, eos, pad = "<|begin_of_text|>", "<|eot_id|>", "<|end_of_text|>"
    else:
        more, template = (["<video>"], ONEVISION_TEMPLATE) if model.tokenizer == "onevision" else ([], CHATML_TEMPLATE)
        tokenizer, config = tiny_tokenizers.qwen2(more=more), tiny_tokenizers.QWEN2_CONFIG
        bos, eos, pad = None, "<|im_end|>", "<|endoftext|>"
    tiny_tokenizers.write_tokenizer(tokenizer, folder, config)
    (folder / "chat_template.jinja").write_text(template)
    return dict(
        image=tokenizer.token_to_id("<image>"), pad=tokenizer.token_to_id(pad), eos=tokenizer.token_to_id(eos),
        bos=tokenizer.token_to_id(bos) if bos else None,
    )


def write_image_steps(model, folder):
    side = model.vision["image_size"]
    square = {"height": side, "width": side}
    steps = {
        **IMAGE_STEPS, "crop_size": square, "size": {"shortest_edge": side},
        "image_processor_type": FAMILIES[model.family][2], **model.image_steps,
    }
    if model.family != "llava":
        steps |= {"do_pad": True, "image_grid_pinpoints": model.llava["image_grid_pinpoints"]}
    if model.family == "llava_onevision":
        steps["size"] = square
        del steps["crop_size"], steps["do_center_crop"]
    whole = {
        "image_token": "<image>", "num_additional_image_tokens": 1, "patch_size": model.vision["patch_size"],
        "processor_class": "LlavaProcessor",
        "vision_feature_select_strategy": model.llava.get("vision_feature_select_strategy", "default"),
    }
    if model.processor_file == "processor_config.json":  # the one file of transformers 5
        write_json(folder / "processor_config.json", {**whole, "image_processor": steps})
    else:
        write_json(folder / "preprocessor_config.json", {**steps, "processor_class": "LlavaProcessor"})
        write_json(folder / "processor_config.json", whole)


# Weights


def configuration(model, ids):
    text = TEXT_FAMILIES[model.text_family](
        vocab_size=model.vocabulary, bos_token_id=ids["bos"], eos_token_id=ids["eos"], pad_token_id=ids["pad"],
        **{"tie_word_embeddings": False, "rms_norm_eps": 1e-5, **model.text},
    )
    options = dict(
        vision_feature_layer=-2, vision_feature_select_strategy="default", projector_hidden_act="gelu",
        tie_word_embeddings=text.tie_word_embeddings, image_token_index=ids["image"], pad_token_id=ids["pad"],
    )
    if model.family == "llava_onevision":
        vision = {name: value for name, value in model.vision.items() if name != "projection_dim"}
        tower = SiglipVisionConfig(**vision, vision_use_head=False)
        options["video_token_index"] = ids["image"] + 1
    else:
        tower = CLIPVisionConfig(**model.vision)
        options["image_seq_length"] = (model.vision["image_size"] // model.vision["patch_size"]) ** 2
    return FAMILIES[model.family][0](vision_config=tower, text_config=text, **{**options, **model.llava})


def draw_weights(network, ids, seed):
    """Random weights by tensor name, in place. Every tensor is non-trivial: norms differ from 1, biases from 0."""
    random = torch.Generator().manual_seed(seed)
    normal = lambda shape: torch.randn(shape, generator=random)
    tied = network.config.text_config.tie_word_embeddings
    for name, value in sorted(network.named_parameters()):
        if "norm" in name or "layrnorm" in name:
            drawn = 0.1 * normal(value.shape) + (name.endswith("weight"))
        elif name.endswith("bias"):
            drawn = 0.2 * normal(value.shape)
        elif "lm_head" in name or "embed_tokens" in name:
            drawn = vocabulary_rows(normal, value.shape, ids, head="lm_head" in name)
        elif "class_embedding" in name or "position_embedding" in name:
            drawn = 0.5 * normal(value.shape)
        else:
            gain = 1.6 if "q_proj" in name or "k_proj" in name else 1.0
            drawn = gain * normal(value.shape) / value[0].numel() ** 0.5
        if tied and name.endswith("language_model.norm.weight"):
            drawn = drawn * normal(value.shape).sign()  # else a tied head mostly repeats the last token
        value.data.copy_(drawn)


def vocabulary_rows(normal, shape, ids, head):
    """Rows of unequal length, so that few tokens compete for the first place; special tokens are never answered."""
    rows = normal(shape) * (TAIL * normal((shape[0], 1))).exp()
    special = [ids["eos"], ids["image"], ids["pad"], *([ids["bos"]] if ids["bos"] is not None else [])]
    rows[special] *= 0.02
    rows[max(special) + 1 :] *= 0.02  # padding of the vocabulary
    return rows * (shape[1] ** -0.5 if head else 1)


def save_weights(network, model, folder):
    """Saves as transformers does, then renames the tensors to the spelling of the model."""
    network.to(getattr(torch, model.dtype)).save_pretrained(folder, **({"max_shard_size": model.shard} if model.shard else {}))
    if model.shard:
        return
    tensors = load_file(folder / "model.safetensors")
    renamed = {SPELLINGS[model.spelling](to_a(name)): tensor.contiguous() for name, tensor in tensors.items()}
    save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})


# Choosing a seed


@dataclass
class Objection:
    """Why weights will not do. `token` is the one to make less likely, if that could help."""

    reason: str
    token: int | None = None


def objection(folder, model, pictures):
    """What is wrong with the weights in `folder`, or None."""
    reference = ReferenceModel(folder)
    n = reference.layer_count
    shapes = [
        Case(f"{width} x {height}", model.cases[0].prompt, (shape_name(width, height),)) for width, height in SHAPES
    ] if model.shapes else []
    for case in model.cases + shapes:
        of_shape = case in shapes
        prompt = reference.prompt(case.prompt, [pictures / name for name in case.images])
        spread = lambda logits: float(logits.max() - logits.min())
        full = reference.prefill(prompt)
        texts = []
        for k in [n, n // 2] if of_shape else range(n, -1, -1) if case.images else [n]:
            run = reference.prefill(prompt, k)
            if k == 0:
                effect = float((run.logits[-1] - full.logits[-1]).abs().max()) / spread(full.logits[-1])
                if effect < LEAST_IMAGE_EFFECT:
                    return Objection(f"{case.name}: the image moves the logits by {effect:.3f} of their range")
            logits, ids = run.logits[-1], []
            for _ in range(SHAPE_TOKENS if of_shape else GREEDY_TOKENS):
                (best, second), (_, loser) = logits.topk(2)
                if best - second < LEAST_LEAD * spread(logits):
                    return Objection(f"{case.name}: K = {k}, token {len(ids)} is nearly a tie", int(loser))
                ids.append(int(logits.argmax()))
                logits = reference.step(run, ids[-1])
            if k == n and not of_shape and len(set(ids)) < LEAST_DISTINCT:
                return Objection(f"{case.name}: only {len(set(ids))} different tokens")
            texts.append(ids)
        if len(texts) > 1 and not of_shape and texts[0] == texts[-1]:
            return Objection(f"{case.name}: the same text without the image")
    return None


def make(model, folder, pictures, first_seed=0, verbose=False):
    """Writes the checkpoint `model` to `folder` with the first seed that will do -> that seed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    ids = write_text_files(model, folder)
    write_image_steps(model, folder)
    network = FAMILIES[model.family][1](configuration(model, ids))
    for seed in range(first_seed, first_seed + SEEDS):
        draw_weights(network.float(), ids, seed)
        drawn = {name: value.clone() for name, value in network.state_dict().items()}
        for repair in range(REPAIRS + 1):
            network.float().load_state_dict(drawn)
            save_weights(network, model, folder)
            config_styles.rewrite(folder / "config.json", model.config_style)
            found = objection(folder, model, pictures)
            if found is None:
                (folder / "generation_config.json").unlink(missing_ok=True)
                for file in folder.iterdir():
                    file.chmod(0o644)  # safetensors writes 0600
                return seed
            if verbose:
                print(f"  seed {seed}, repair {repair}: {found.reason}", flush=True)
            if found.token is None:
                break
            drawn["lm_head.weight"][found.token] *= REPAIR
    raise SystemExit(f"{model.name}: no seed below {first_seed + SEEDS} will do")


# The six spellings


def make_spellings(out, pictures, verbose):
    """One model, six folders. In e the tokenizer is a bare tokenizer.model without an `<image>` piece."""
    with tempfile.TemporaryDirectory() as scratch:
        source = pathlib.Path(scratch) / "model"
        seed = make(SPELLING_MODEL, source, pictures, verbose=verbose)
        tensors = load_file(source / "model.safetensors")
        for spelling, rename in SPELLINGS.items():
            folder = out / spelling
            shutil.rmtree(folder, ignore_errors=True)
            if spelling == "e":
                make_original(source, tensors, folder)
                continue
            shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors"))
            renamed = {rename(name): tensor for name, tensor in tensors.items()}
            save_file(renamed, folder / "model.safetensors", metadata={"format": "pt"})
    return seed


def make_original(source, tensors, folder):
    """liuhaotian's layout: no `<image>` token (352 rows instead of 354), the tower beside it with a text model to skip."""
    (folder / "vision-tower").mkdir(parents=True)
    config = json.loads((source / "config.json").read_text())
    text, vision = config["text_config"], config["vision_config"]
    renamed = {SPELLINGS["e"](name): tensor for name, tensor in tensors.items()}
    tower = {name: tensor for name, tensor in renamed.items() if name.startswith("vision_model.")}
    rest = {name: tensor for name, tensor in renamed.items() if name not in tower}
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        rest[name] = rest[name][:352].contiguous()
    save_file(rest, folder / "model.safetensors", metadata={"format": "pt"})
    random = torch.Generator().manual_seed(0)
    tower["logit_scale"] = torch.tensor(2.6592)
    tower["visual_projection.weight"] = torch.randn(8, vision["hidden_size"], generator=random).bfloat16()
    tower["text_projection.weight"] = torch.randn(8, 8, generator=random).bfloat16()
    tower["text_model.final_layer_norm.weight"] = torch.ones(8).bfloat16()
    tower["text_model.embeddings.token_embedding.weight"] = torch.randn(16, 8, generator=random).bfloat16()
    tower["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    save_file(tower, folder / "vision-tower" / "model.safetensors", metadata={"format": "pt"})

    write_json(folder / "config.json", {
        "_name_or_path": "llava-tiny", "architectures": ["LlavaLlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
        "freeze_mm_mlp_adapter": False, "hidden_act": "silu", "hidden_size": text["hidden_size"],
        "image_aspect_ratio": "pad", "initializer_range": 0.02, "intermediate_size": text["intermediate_size"],
        "max_position_embeddings": text["max_position_embeddings"], "mm_hidden_size": vision["hidden_size"],
        "mm_projector_type": "mlp2x_gelu", "mm_use_im_patch_token": False, "mm_use_im_start_end": False,
        "mm_vision_select_feature": "patch", "mm_vision_select_layer": -2, "mm_vision_tower": "vision-tower",
        "model_type": "llava_llama", "num_attention_heads": text["num_attention_heads"],
        "num_hidden_layers": text["num_hidden_layers"], "num_key_value_heads": text["num_key_value_heads"],
        "pad_token_id": 0, "pretraining_tp": 1, "rms_norm_eps": text["rms_norm_eps"], "rope_scaling": None,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16", "transformers_version": "4.31.0",
        "tune_mm_mlp_adapter": False, "use_cache": True, "use_mm_proj": True, "vocab_size": 352,
    })
    (folder / "tokenizer.model").write_bytes(tiny_tokenizers.train_sentencepiece(352))
    word = {"__type": "AddedToken", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    write_json(folder / "tokenizer_config.json", {
        "add_bos_token": True, "add_eos_token": False, "bos_token": {**word, "content": "<s>"},
        "eos_token": {**word, "content": "</s>"}, "unk_token": {**word, "content": "<unk>"},
        "clean_up_tokenization_spaces": False, "legacy": False, "model_max_length": 2048, "pad_token": None,
        "padding_side": "right", "sp_model_kwargs": {}, "tokenizer_class": "LlamaTokenizer",
    })
    write_json(folder / "special_tokens_map.json", {
        "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>", "unk_token": "<unk>"
    })
    write_json(folder / "vision-tower" / "config.json", {
        "architectures": ["CLIPModel"], "model_type": "clip", "logit_scale_init_value": 2.6592, "projection_dim": 8,
        "text_config": {"model_type": "clip_text_model", "hidden_size": 8, "vocab_size": 16},
        "vision_config": {**vision, "projection_dim": 8},
    })
    side = vision["image_size"]
    write_json(folder / "vision-tower" / "preprocessor_config.json", {  # openai/clip's old spelling: plain integers
        "crop_size": side, "do_center_crop": True, "do_normalize": True, "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": IMAGE_STEPS["image_mean"],
        "image_std": IMAGE_STEPS["image_std"], "resample": 3, "size": side,
    })


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=FIXTURES)
    parser.add_argument("--only", help="one model's name, or `spellings`")
    parser.add_argument("--verbose", action="store_true", help="say why seeds are passed over")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # tensors this small gain nothing from more
    pictures = FIXTURES / "images"
    for model in MODELS:
        if arguments.only in (None, model.name):
            folder = arguments.out / "models" / model.name
            seed = make(model, folder, pictures, verbose=arguments.verbose)
            size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
            print(f"{model.name}: seed {seed}, {size} bytes", flush=True)
    if arguments.only in (None, "spellings"):
        seed = make_spellings(arguments.out / "spellings", pictures, arguments.verbose)
        for folder in sorted((arguments.out / "spellings").iterdir()):
            size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
            print(f"spellings/{folder.name}: seed {seed}, {size} bytes", flush=True)


if __name__ == "__main__":
    main()
