"""Writes safetensors files whose bytes depend on nothing but their content.

The `safetensors` package orders metadata by a random hash; fixtures should not change when nothing changed.
"""

import json

import torch

DTYPES = {
    torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64", torch.int32: "I32",
    torch.uint8: "U8",
}


def write_tensors(path, tensors, metadata=None):
    """`tensors`: name -> tensor, wider elements first (so that all are aligned); `metadata`: name -> string."""
    header, blobs, offset = {}, [], 0
    if metadata:
        header["__metadata__"] = dict(sorted(metadata.items()))
    for name, value in sorted(tensors.items(), key=lambda item: -item[1].element_size()):
        blob = value.reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()
        header[name] = {"dtype": DTYPES[value.dtype], "shape": list(value.shape), "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))
