"""Writes what llama.cpp makes of real weights: python make_llama_cpp.py

Needs requirements-llama.txt and the file of tools/fetch-smollm2 (SmolLM2-135M-Instruct, Q4_1). Into Tests/Fixtures/gguf/smollm2/:

- `expected.safetensors`: for each of five prompts `<i>.input_ids`, `<i>.generated` (16 greedy tokens, which do not stop at an
  end), `<i>.logits` behind the prompt, every 24th of the vocabulary's; metadata `prompts` (JSON).
  llama.cpp rounds the rows that it multiplies with quantised weights to 8 bits. `<i>.logits` and `<i>.generated` are those of
  the same weights in F32, dequantised by the `gguf` package; `<i>.logits.q4_1` and `<i>.generated.q4_1` those of the file itself.
- `texts.digests`: what the tokenizers library makes of the texts of hostile_texts.py with the file's vocabulary.
"""

import argparse
import json
import pathlib
import tempfile

import gguf
import llama_cpp
import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

import hostile_texts

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / ".build" / "smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
OUT = ROOT / "Tests" / "Fixtures" / "gguf" / "smollm2"

PROMPTS = [
    "The capital of France is",
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n",
    "def fibonacci(n):\n",
    "In 1999, the price of 12 eggs was",
    "Once upon a time, a fox and a crow",
]
GENERATED = 16
STEP = 24


def write_f32(reader, path):
    writer = gguf.GGUFWriter(path, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        kind = field.types[0]
        writer.add_key_value(
            name, field.contents(), kind, sub_type=field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def run(path):
    """-> per prompt: its ids, the greedy ids, the logits behind it."""
    model = llama_cpp.Llama(
        model_path=str(path), n_ctx=256, logits_all=True, type_k=llama_cpp.GGML_TYPE_F32, type_v=llama_cpp.GGML_TYPE_F32,
        flash_attn=False, verbose=False)
    results = []
    for prompt in PROMPTS:
        model.reset()
        ids = model.tokenize(prompt.encode(), add_bos=True, special=True)
        model.eval(ids)
        first = model.scores[len(ids) - 1].copy()
        row, generated = first, []
        for _ in range(GENERATED):
            generated.append(int(row.argmax()))
            model.eval(generated[-1:])
            row = model.scores[model.n_tokens - 1].copy()
        results.append((ids, generated, first))
    return results


def tokenizer(reader):
    """The file's vocabulary as SmolLM2's tokenizer.json has it: single digits, then GPT-2's pattern."""
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    kinds = reader.fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(merge.split(" ")) for merge in reader.fields["tokenizer.ggml.merges"].contents()]
    result = Tokenizer(models.BPE({text: index for index, text in enumerate(tokens)}, merges))
    result.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    result.decoder = decoders.ByteLevel()
    result.add_special_tokens([
        AddedToken(text, normalized=False, special=True)
        for text, kind in zip(tokens, kinds) if kind == gguf.TokenType.CONTROL])
    return result


def main():
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    reader = gguf.GGUFReader(MODEL)
    encoder = tokenizer(reader)
    (OUT / "texts.digests").write_bytes(hostile_texts.digests(lambda text: encoder.encode(text).ids))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "f32.gguf"
        write_f32(reader, path)
        exact = run(path)
    tensors = {}
    for index, ((ids, generated, logits), (_, fast, fast_logits)) in enumerate(zip(exact, run(MODEL))):
        assert encoder.encode(PROMPTS[index]).ids == ids
        tensors[f"{index}.input_ids"] = np.array(ids, dtype=np.int32)
        tensors[f"{index}.generated"] = np.array(generated, dtype=np.int32)
        tensors[f"{index}.generated.q4_1"] = np.array(fast, dtype=np.int32)
        tensors[f"{index}.logits"] = logits[::STEP].astype(np.float32)
        tensors[f"{index}.logits.q4_1"] = fast_logits[::STEP].astype(np.float32)
        print(PROMPTS[index], encoder.decode(generated), "| same text:", generated == fast)
    save_file(tensors, OUT / "expected.safetensors", metadata={"prompts": json.dumps(PROMPTS)})
    (OUT / "expected.safetensors").chmod(0o644)


if __name__ == "__main__":
    main()
