"""Runs one round of a Hugging Face LLaVA in PyTorch for every line on standard input.

Answers each with a line of JSON: seconds of the vision tower with its projector, of the prefill,
of both, and per decoded token.
"""

import argparse
import json
import sys
import time

import torch
from transformers import LlavaForConditionalGeneration


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--text-rows", type=int, required=True)
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--decode", type=int, required=True)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    start = time.perf_counter()
    model = LlavaForConditionalGeneration.from_pretrained(
        options.folder, dtype=torch.bfloat16, local_files_only=True).eval()
    config = model.config
    side = config.vision_config.image_size
    visual = (side // config.vision_config.patch_size) ** 2
    image = config.image_token_id
    # Ids below the placeholder's, whatever the vocabulary is.
    text = torch.randint(3, min(image, 600), (1, options.text_rows))
    half = options.text_rows // 2
    places = torch.full((1, options.images * visual), image)
    ids = torch.cat([text[:, :half], places, text[:, half:]], 1)
    decoder = model.model.language_model
    loaded = time.perf_counter() - start

    for _ in sys.stdin:
        pixels = torch.randn(options.images, 3, side, side, dtype=torch.bfloat16)
        with torch.inference_mode():
            start = time.perf_counter()
            tower = model.model.vision_tower(pixels, output_hidden_states=True)
            features = model.model.multi_modal_projector(
                tower.hidden_states[config.vision_feature_layer][:, 1:])
            encoded = time.perf_counter()
            embeddings = model.get_input_embeddings()(ids)
            embeddings[ids == image] = features.reshape(-1, embeddings.shape[-1])
            out = decoder(inputs_embeds=embeddings, use_cache=True)
            token = model.lm_head(out.last_hidden_state[:, -1:]).argmax(-1)
            filled = time.perf_counter()
            for _ in range(options.decode):
                out = decoder(input_ids=token, past_key_values=out.past_key_values, use_cache=True)
                token = model.lm_head(out.last_hidden_state[:, -1:]).argmax(-1)
            decoded = time.perf_counter()
        print(json.dumps({
            "load": loaded, "vision": encoded - start, "prefill": filled - encoded,
            "first_token": filled - start, "decode": (decoded - filled) / options.decode}),
            flush=True)


if __name__ == "__main__":
    main()
