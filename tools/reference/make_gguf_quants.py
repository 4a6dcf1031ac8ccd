"""Writes Tests/Fixtures/gguf/quantised.gguf: python make_gguf_quants.py libggml-base.so

One matrix of weights with heavy tails (Student's t, 5 degrees of freedom) as llama.cpp quantises it, in each of its block
types: real blocks, to measure what of them our encodings keep. The library is that of a built llama.cpp, such as the one in
the folder lib of llama-cpp-python (requirements-llama.txt); the `gguf` package cannot quantise most types.
"""

import ctypes
import pathlib
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

OUT = pathlib.Path(__file__).resolve().parents[2] / "Tests" / "Fixtures" / "gguf" / "quantised.gguf"
TYPES = [
    Type.Q4_0, Type.Q4_1, Type.Q5_0, Type.Q5_1, Type.Q8_0, Type.Q2_K, Type.Q3_K, Type.Q4_K, Type.Q5_K, Type.Q6_K, Type.IQ4_NL,
    Type.IQ4_XS, Type.MXFP4,
]
ROWS, COLUMNS = 33, 512


def main():
    quantize = ctypes.CDLL(sys.argv[1]).ggml_quantize_chunk
    quantize.restype = ctypes.c_size_t
    quantize.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + 3 * [ctypes.c_int64] + [ctypes.c_void_p]
    random = np.random.default_rng(5)
    values = (0.02 * random.standard_t(5, (ROWS, COLUMNS))).astype(np.float32)
    writer = gguf.GGUFWriter(OUT, "none")
    for kind in TYPES:
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = np.zeros((ROWS, COLUMNS // elements * size), np.uint8)
        written = quantize(kind, values.ctypes.data, blocks.ctypes.data, 0, ROWS, COLUMNS, None)
        assert written == blocks.nbytes, kind
        writer.add_tensor(kind.name, blocks, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
