"""Runs one round of OpenVINO GenAI's VLMPipeline for every line on standard input.

Answers each with a line of JSON: seconds of the image encoder, of the prefill, of both, and per
decoded token.  The prompt is grown until it has the wanted number of text rows.
"""

import argparse
import json
import sys
import time

import numpy as np
import openvino
import openvino_genai

SIDE = 336
ROWS_PER_IMAGE = 576


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--text-rows", type=int, required=True)
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--decode", type=int, required=True)
    parser.add_argument("--group", type=int, default=128)
    parser.add_argument("--once", action="store_true",
                        help="write a line at the first token of one image and end")
    options = parser.parse_args()

    start = time.perf_counter()
    pipe = openvino_genai.VLMPipeline(
        options.folder, "CPU", DYNAMIC_QUANTIZATION_GROUP_SIZE=options.group,
        INFERENCE_NUM_THREADS=options.threads)
    loaded = time.perf_counter() - start

    def config(tokens):
        value = openvino_genai.GenerationConfig()
        value.max_new_tokens = tokens
        value.min_new_tokens = tokens
        value.ignore_eos = True
        value.do_sample = False
        return value

    def images():
        rng = np.random.default_rng()
        return [openvino.Tensor(rng.integers(0, 256, (1, SIDE, SIDE, 3), dtype=np.uint8))
                for _ in range(options.images)]

    if options.once:
        def first(text):
            print("first", flush=True)
            return openvino_genai.StreamingStatus.STOP
        pipe.generate("Describe the image.", images=images(), generation_config=config(1),
                      streamer=first)
        print("first", flush=True)
        return

    def generate(prompt, tokens):
        return pipe.generate(
            prompt, images=images(), generation_config=config(tokens)).perf_metrics

    wanted = options.images * ROWS_PER_IMAGE + options.text_rows
    prompt = fitting_prompt(lambda text: generate(text, 1).get_num_input_tokens(), wanted)
    for _ in sys.stdin:
        metrics = generate(prompt, options.decode + 1)
        first = metrics.get_ttft().mean / 1000
        vision = metrics.get_prepare_embeddings_duration().mean / 1000
        print(json.dumps({
            "load": loaded, "vision": vision, "prefill": first - vision, "first_token": first,
            "decode": metrics.get_tpot().mean / 1000,
            "rows": metrics.get_num_input_tokens()}), flush=True)


def fitting_prompt(rows, wanted):
    """A prompt that makes `wanted` rows, or the next fewer.

    - rows: the number of rows of a prompt."""
    words = 1
    count = lambda: rows("a " * words)  # noqa: E731
    least = count()
    words = max(1, 1 + wanted - least)
    have = count()
    while have > wanted and words > 1:
        words = max(1, words - max(1, (have - wanted) // 2))
        have = count()
    while have < wanted:
        words += 1
        have = count()
    return "a " * words


if __name__ == "__main__":
    main()
