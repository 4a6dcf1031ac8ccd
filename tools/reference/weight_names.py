"""The spellings in which LLaVA-1.5 checkpoints name the same tensors, as maps from spelling A.

| spelling | who writes it |
|---|---|
| a | the hub (llava-hf/llava-1.5-7b-hf) and transformers 4.36-4.51 |
| b | transformers 4.52+ in memory, trainers that save the state dict |
| c | transformers 5.x `save_pretrained`: as a, without the `vision_model.` level |
| d | transformers 5.x `save_original_format=False` |
| e | the original liuhaotian/llava-v1.5 files: `mm_projector`, vision tower in a folder of its own |
| f | transformers 5.5 `save_pretrained` of some models |
"""

import re


def to_a(name):
    """Any of a, b, c, d, f -> a."""
    name = re.sub(r"^model\.(?=language_model\.|vision_tower\.|multi_modal_projector\.|image_newline$)", "", name)
    name = re.sub(r"^lm_head\.", "language_model.lm_head.", name)
    name = re.sub(r"^language_model\.(?!model\.|lm_head\.)", "language_model.model.", name)
    return re.sub(r"^vision_tower\.(?!vision_model\.)", "vision_tower.vision_model.", name)


def a_to_b(name):
    name = re.sub(r"^language_model\.model\.", "model.language_model.", name)
    name = re.sub(r"^language_model\.lm_head\.", "lm_head.", name)
    return re.sub(r"^(?=(vision_tower|multi_modal_projector)\.|image_newline$)", "model.", name)


def a_to_c(name):
    return name.replace("vision_tower.vision_model.", "vision_tower.")


def a_to_d(name):
    return a_to_c(a_to_b(name))


def a_to_e(name):
    """Vision tensors become `vision_model.*`: they belong into the tower's own folder."""
    name = name.removeprefix("language_model.").removeprefix("vision_tower.")
    name = name.replace("multi_modal_projector.linear_1.", "model.mm_projector.0.")
    return name.replace("multi_modal_projector.linear_2.", "model.mm_projector.2.")


def a_to_f(name):
    return name if name.startswith("language_model.lm_head.") else "model." + name


SPELLINGS = {"a": lambda name: name, "b": a_to_b, "c": a_to_c, "d": a_to_d, "e": a_to_e, "f": a_to_f}
