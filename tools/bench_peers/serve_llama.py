"""Runs one round of llama.cpp for every line on standard input, through its own libraries.

Answers each with a line of JSON: seconds of the image encoder, of the prefill (text, image, text),
of both, and per decoded token.  LLAMA_CPP_LIB_PATH and MTMD_CPP_LIB name the folder of the
libraries, PYTHONPATH that of the bindings.
"""

import argparse
import ctypes
import json
import os
import random
import sys
import time

import numpy as np
from llama_cpp import llama_cpp as llama
from llama_cpp import mtmd_cpp as mtmd

IMAGE_CHUNK = 1  # MTMD_INPUT_CHUNK_TYPE_IMAGE
FLASH = 1  # LLAMA_FLASH_ATTN_TYPE_ENABLED
SIDE = 336


@llama.llama_log_callback
def quiet(level, text, data):
    if level == 4:  # GGML_LOG_LEVEL_ERROR
        sys.stderr.write(text.decode(errors="replace"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("projector")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--text-rows", type=int, required=True)
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--decode", type=int, required=True)
    options = parser.parse_args()

    llama.llama_log_set(quiet, ctypes.c_void_p(0))
    # Missing in the bindings.
    ctypes.CDLL(os.path.join(os.environ["MTMD_CPP_LIB"], "libmtmd.so")).mtmd_helper_log_set(
        quiet, None)
    start = time.perf_counter()
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(
        options.model.encode(), llama.llama_model_default_params())
    rows = options.images * 576 + options.text_rows + options.decode
    settings = llama.llama_context_default_params()
    settings.n_ctx = (rows + 255) // 256 * 256
    settings.n_batch = 2048
    # One pass over an image instead of 512 + 64 rows.
    settings.n_ubatch = 1024
    settings.n_threads = settings.n_threads_batch = options.threads
    settings.flash_attn_type = FLASH
    context = llama.llama_init_from_model(model, settings)
    vision = mtmd.mtmd_context_params_default()
    vision.use_gpu = False
    vision.print_timings = False
    vision.n_threads = options.threads
    vision.flash_attn_type = FLASH
    tower = mtmd.mtmd_init_from_file(options.projector.encode(), model, vision)
    if not context or not tower:
        sys.exit("serve_llama: the model cannot be loaded")
    loaded = time.perf_counter() - start
    memory = llama.llama_get_memory(context)
    vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))

    def decode(tokens):
        array = (llama.llama_token * len(tokens))(*tokens)
        if llama.llama_decode(context, llama.llama_batch_get_one(array, len(tokens))):
            sys.exit("serve_llama: llama_decode failed")

    def best():
        logits = llama.llama_get_logits_ith(context, -1)
        return int(np.ctypeslib.as_array(logits, shape=(vocabulary,)).argmax())

    for _ in sys.stdin:
        chunks = [image_chunk(tower) for _ in range(options.images)]
        text = [random.randrange(300, vocabulary) for _ in range(options.text_rows)]
        half = options.text_rows // 2
        llama.llama_memory_clear(memory, False)
        encoding = 0.0
        start = time.perf_counter()
        decode(text[:half])
        past = llama.llama_pos(half)
        for _, chunk in chunks:
            before = time.perf_counter()
            if mtmd.mtmd_encode_chunk(tower, chunk):
                sys.exit("serve_llama: mtmd_encode_chunk failed")
            features = mtmd.mtmd_get_output_embd(tower)
            encoding += time.perf_counter() - before
            if mtmd.mtmd_helper_decode_image_chunk(
                    tower, context, chunk, features, past, 0, 2048, ctypes.byref(past),
                    mtmd.mtmd_helper_post_decode_callback(), None):
                sys.exit("serve_llama: the image's rows cannot be decoded")
        decode(text[half:])
        token = best()
        filled = time.perf_counter()
        for _ in range(options.decode):
            decode([token])
            token = best()
        decoded = time.perf_counter()
        for whole, _ in chunks:
            mtmd.mtmd_input_chunks_free(whole)
        print(json.dumps({
            "load": loaded, "vision": encoding, "prefill": filled - start - encoding,
            "first_token": filled - start, "decode": (decoded - filled) / options.decode}),
            flush=True)


def image_chunk(tower):
    """A list of chunks and the one among them that is a fresh random image."""
    pixels = np.random.default_rng().integers(0, 256, SIDE * SIDE * 3, dtype=np.uint8)
    data = pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
    bitmap = mtmd.mtmd_bitmap_init(SIDE, SIDE, data)
    chunks = mtmd.mtmd_input_chunks_init()
    marker = mtmd.mtmd_default_marker()
    text = mtmd.mtmd_input_text()
    text.text = marker
    if hasattr(text, "text_len"):
        text.text_len = len(marker)
    text.add_special = False
    text.parse_special = True
    bitmaps = (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap)
    if mtmd.mtmd_tokenize(tower, chunks, ctypes.byref(text), bitmaps, 1):
        sys.exit("serve_llama: mtmd_tokenize failed")
    mtmd.mtmd_bitmap_free(bitmap)
    for index in range(mtmd.mtmd_input_chunks_size(chunks)):
        chunk = mtmd.mtmd_input_chunks_get(chunks, index)
        if mtmd.mtmd_input_chunk_get_type(chunk) == IMAGE_CHUNK:
            return chunks, chunk
    sys.exit("serve_llama: no image among the chunks")


if __name__ == "__main__":
    main()
