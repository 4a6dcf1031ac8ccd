"""The checkpoint as `llava-hf/llava-1.5-7b-hf` lays it out: f16 safetensors, and the processors' JSON files."""

import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from .model import PATCH
from .scenes import IMAGE
from .tokenizer import BOS, EOS, PAD_TOKEN, write_json


def export(model, folder):
    """Writes `model` beside the tokenizer's files in `folder`. `model` becomes f16."""
    folder = Path(folder)
    model = model.to("cpu", torch.float16)
    model.generation_config.bos_token_id = BOS
    model.generation_config.eos_token_id = EOS
    model.generation_config.pad_token_id = PAD_TOKEN
    model.save_pretrained(folder)
    restore_hub_names(folder / "model.safetensors")
    write_json(folder / "preprocessor_config.json", PREPROCESSOR)
    write_json(folder / "processor_config.json", PROCESSOR)
    write_json(folder / "chat_template.json", {"chat_template": CHAT_TEMPLATE})


def restore_hub_names(path):
    """Puts `vision_model.` back into the vision tower's names: transformers 5 leaves it out, checkpoints on the hub
    have it, and transformers reads both."""
    tensors = load_file(path)
    renamed = {
        re.sub(r"^vision_tower\.(?!vision_model\.)", "vision_tower.vision_model.", name): tensor.contiguous()
        for name, tensor in tensors.items()
    }
    save_file(renamed, path, metadata={"format": "pt"})


PREPROCESSOR = {
    "crop_size": {"height": IMAGE, "width": IMAGE},
    "do_center_crop": True,
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_processor_type": "CLIPImageProcessor",
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "processor_class": "LlavaProcessor",
    "resample": 3,
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": IMAGE},
}
PROCESSOR = {
    "image_token": "<image>",
    "num_additional_image_tokens": 1,  # the class token
    "patch_size": PATCH,
    "processor_class": "LlavaProcessor",
    "vision_feature_select_strategy": "default",
}
CHAT_TEMPLATE = (
    "A chat between a curious user and an AI assistant. "
    "{% for message in messages %}{{ message['role'].upper() }}: "
    "{% for c in message['content'] if c['type']=='image' %}<image>\n{% endfor %}"
    "{% for c in message['content'] if c['type']=='text' %}{{ c['text'] }} {% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
