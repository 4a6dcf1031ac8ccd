/* Numeric kernels for transformer inference on CPUs, and the thread pool that runs them.
 *
 * Everything but the pool is a pure function: no allocation, threads, globals or I/O, and total:
 * any bit pattern of weights or activations runs to the end (NaN in, NaN out).  Callers check sizes.
 * Matrices are row-major f32 unless said otherwise; a weight matrix W[rows][columns] has one row
 * per output feature.  `formats/encodings.md` describes the encodings.
 *
 * A result depends on the instruction set alone: never on the thread count, the partition of the
 * work, or (tiled encodings and attention) on the other rows of the batch.
 */
#ifndef CKERNELS_H
#define CKERNELS_H
#include <stddef.h>
#include <stdint.h>

/* ---- instruction sets ---- */

typedef enum {
  VTW_GENERIC = 0,
  VTW_AVX2 = 1,       /* AVX2, FMA, F16C */
  VTW_AVX512 = 2,     /* AVX-512 F, BW, DQ, VL, VNNI */
  VTW_AVX512BF16 = 3, /* the same with AVX-512 BF16 */
  VTW_NEON = 4,       /* ARMv8-A with its conversions of f16 */
  VTW_NEON_DOT = 5,   /* the same with dot products of bytes (FEAT_DotProd) */
} vtw_instruction_set;

/* The table of kernels for one instruction set. */
typedef struct vtw_kernels vtw_kernels;

/* Whether this processor and system run `set`. */
int vtw_supports(vtw_instruction_set set);

/* The kernels of `set`, or those of VTW_GENERIC where this build has none for it. */
const vtw_kernels *vtw_kernels_for(vtw_instruction_set set);

/* ---- encodings: conversion of values (quantise.c, tiles.c) ---- */

/* Raw values are those of the file. */
typedef enum {
  VTW_F32 = 1,
  VTW_F16 = 2,
  VTW_BF16 = 3,
  VTW_Q8 = 16,
  VTW_Q4 = 17,
  VTW_Q4A = 18,
  VTW_Q5A = 19,
  VTW_Q6 = 20,
} vtw_encoding;

/* Encodes one panel: `rows` x `columns` values (rows <= 32 for tiled encodings) become the bytes of
 * one panel at `out`, padding included.  Returns -1, or the index (row * columns + column) of the
 * first value that is not finite or too large for the encoding.  Any instruction set gives the same.
 *   importance: [columns] weights of the squared error per input column for q4...q8, or NULL for
 *     equal ones; a group with one that is negative or not finite counts as equal too
 *   error: error[0] += sum (decoded - value)^2, error[1] += sum value^2 */
ptrdiff_t vtw_encode_panel(vtw_encoding encoding, const float *values, const float *importance,
                           size_t rows, size_t columns, void *out, double error[2]);

/* The same for numbers that are integers already, as those of other block formats are: row r and
 * column c is s (u - zero), or s u + m in an affine encoding, with zero = 2^(bits - 1).  What f16
 * holds is kept exactly.  Returns -1, or the index of a value that is not finite or too large.
 *   integers: [rows][columns], each below 2^bits;  columns: whole groups
 *   scales, minima: [rows][columns / group], where a group is 16 columns for q6 and 32 for others;
 *     minima are of affine encodings only */
ptrdiff_t vtw_encode_integers(vtw_encoding encoding, const uint8_t *integers, const float *scales,
                              const float *minima, size_t rows, size_t columns, void *out,
                              double error[2]);

/* Decodes row `row` of the matrix at `weights` to out[columns].  The portable truth. */
void vtw_decode_row(vtw_encoding encoding, const void *weights, size_t columns, size_t row,
                    float *out);

/* Widens `count` little-endian f16 or bf16 values (f32: copies) at any byte alignment. */
void vtw_widen(vtw_encoding encoding, const void *bytes, size_t count, float *out);

/* ---- activations ---- */

typedef enum {
  VTW_SILU = 0,      /* x * sigmoid(x) */
  VTW_GELU = 1,      /* x * (1 + erf(x / sqrt 2)) / 2 */
  VTW_GELU_TANH = 2, /* the tanh approximation of gelu */
  VTW_QUICK_GELU = 3 /* x * sigmoid(1.702 x) */
} vtw_activation;

/* ---- products with tiled weights (matmul.c) ---- */

typedef struct {
  vtw_encoding encoding; /* any but f32 */
  size_t rows, columns;  /* output and input features */
  const void *weights;   /* 64-byte aligned */
  const float *bias;     /* [rows] or NULL */
} vtw_matrix;

/* Bytes of packed activations per row of x. */
size_t vtw_packed_row_bytes(const vtw_kernels *k, vtw_encoding encoding, size_t columns);

/* Bytes of a weight panel that all rows of x pass before the next ones are read: what a worker's
 * cache should hold for each panel it is given. */
size_t vtw_panel_block_bytes(const vtw_kernels *k, vtw_encoding encoding, size_t columns);

/* Number of row tiles that `rows` rows of x are cut into. */
size_t vtw_row_tiles(const vtw_kernels *k, vtw_encoding encoding, size_t rows);

/* Packs row tile `tile` of x[rows][columns] into `packed` (rows * vtw_packed_row_bytes bytes):
 * rounded to bf16 for bf16 weights, quantised to 8 bits for q4...q8, f32 for f16. */
void vtw_pack_tile(const vtw_kernels *k, vtw_encoding encoding, const float *x, size_t rows,
                   size_t columns, size_t tile, void *packed);

/* What becomes of the sums s = x.W^T + b of a product. */
typedef struct {
  enum {
    VTW_STORE,    /* y = s */
    VTW_ADD,      /* y += s */
    VTW_ACTIVATE, /* y = f(s) */
    VTW_GATE      /* y = f(y) * s */
  } kind;
  vtw_activation f;
} vtw_epilogue;

/* Columns of panels [first, last) of y[rows][w->rows].  Panel p holds rows 32p ..< 32p + 32 of W.
 * Panels are independent. */
void vtw_multiply_panels(const vtw_kernels *k, const vtw_matrix *w, size_t first, size_t last,
                         const void *packed, size_t rows, float *y, vtw_epilogue epilogue);

/* y = s, or y += s if `add`, for row-major f32 weights at any address of f32, rows [first, last) of
 * W.  Made for few rows of x: every four rows of W meet all of x. */
void vtw_multiply_f32(const vtw_kernels *k, const vtw_matrix *w, size_t first, size_t last,
                      const float *x, size_t rows, float *y, int add);

/* ---- attention (cache.c, attention.inc) ---- */

/* Rows of keys and values in blocks of 128 rows, as f32, f16 or 8-bit integers.  A block holds for
 * each key/value head the keys as 4 panels of 32 rows, column by column ([head][4][dimension][32]),
 * and then the values as panels of 32 columns, row by row ([head][padded / 32][128][32]), where
 * `padded` is the head dimension rounded up to 32.
 *
 * VTW_Q8: a value is integer * scale, with an f16 scale for each row, head and 32 dimensions.  Behind
 * the values lie the scales of the keys, [head][4][padded / 32][32], and those of the values,
 * [head][padded / 32][128]. */
typedef struct {
  vtw_encoding precision; /* f32, f16 or q8 */
  size_t heads, dimension;
  void *blocks;
} vtw_cache;

enum { VTW_CACHE_ROWS = 128, VTW_HEAD_MAX = 256 };

/* Bytes of one block of VTW_CACHE_ROWS rows: a multiple of 64. */
size_t vtw_cache_block_bytes(vtw_encoding precision, size_t heads, size_t dimension);

/* Bytes of one row, copied out: its keys and its values. */
size_t vtw_cache_row_bytes(vtw_encoding precision, size_t heads, size_t dimension);

/* Writes `rows` rows of keys and values ([rows][heads * dimension]) at cache row `first`.  Values
 * beyond the range of f16 saturate.  Rows are independent; those of a panel of 32 share lines. */
void vtw_cache_store(const vtw_kernels *k, const vtw_cache *cache, size_t first, size_t rows,
                     const float *keys, const float *values);

/* Copies rows [first, first + rows) out of or into the cache in its precision, a row after another:
 * its keys [heads * dimension], its values, and for q8 the scales of the keys
 * [heads][padded / 32] and those of the values. */
void vtw_cache_copy_out(const vtw_cache *cache, size_t first, size_t rows, void *bytes);
void vtw_cache_copy_in(const vtw_cache *cache, size_t first, size_t rows, const void *bytes);

typedef struct {
  vtw_cache cache;
  const float *queries;   /* [query_count][head_count * dimension] */
  float *out;             /* the same shape; not overlapping queries */
  size_t query_count, head_count;
  float scale;            /* of the products of queries and keys */
  const int32_t *visible; /* [query_count]: leading cache rows that a query sees; 0 gives zeros */
} vtw_attention;

/* The rows of a key/value head are its (query, query head) pairs, query by query:
 * query_count * (head_count / heads) of them.  Results do not depend on how rows or blocks are
 * shared out. */

/* Most rows of a head in one call of the functions below. */
size_t vtw_attention_rows(const vtw_kernels *k);

/* softmax(scale * q.K^T) . V for rows [first, last) of key/value head `head`. */
void vtw_attend(const vtw_kernels *k, const vtw_attention *job, size_t head, size_t first,
                size_t last);

/* The same for few queries over many keys, in two steps.  First for each block of the cache, what
 * it contributes to all rows of the head: vtw_attention_part_floats each, [block][row]... */
size_t vtw_attention_part_floats(const vtw_attention *job);
void vtw_attend_blocks(const vtw_kernels *k, const vtw_attention *job, size_t head,
                       size_t first_block, size_t last_block, float *parts);

/* ... and then their sum. */
void vtw_attend_merge(const vtw_kernels *k, const vtw_attention *job, size_t head,
                      const float *parts);

/* ---- row-wise kernels (rows.inc); x and y may be the same ---- */

/* y[i] = x[i] * weight[i] / sqrt(mean(x^2) + epsilon) for each of `rows` rows of `width`. */
void vtw_rms_norm(const vtw_kernels *k, const float *x, size_t rows, size_t width,
                  const float *weight, float epsilon, float *y);

/* y[i] = (x[i] - mean) / sqrt(variance + epsilon) * weight[i] + bias[i]. */
void vtw_layer_norm(const vtw_kernels *k, const float *x, size_t rows, size_t width,
                    const float *weight, const float *bias, float epsilon, float *y);

/* Rotary position embedding in place on x[rows][heads * dimension]; elements i and i + dimension/2
 * of a head form a pair.  cosines, sines: [rows][dimension / 2]. */
void vtw_rotate(const vtw_kernels *k, float *x, size_t rows, size_t heads, size_t dimension,
                const float *cosines, const float *sines);

/* cosines[i], sines[i] of the f32 angle position * frequencies[i]. */
void vtw_rotation_table(int32_t position, const float *frequencies, size_t count, float *cosines,
                        float *sines);

/* x[i] = f(x[i]). */
void vtw_activate(const vtw_kernels *k, vtw_activation f, float *x, size_t count);

/* gate[i] = f(gate[i]) * up[i]. */
void vtw_activate_multiply(const vtw_kernels *k, vtw_activation f, float *gate, const float *up,
                           size_t count);

/* y[i] += x[i]. */
void vtw_add(const vtw_kernels *k, const float *x, float *y, size_t count);

/* ---- thread pool (pool.c) ---- */

typedef struct vtw_pool vtw_pool;

/* A pool of `threads` (1...64) of which the caller of vtw_pool_run is one; NULL if out of memory.
 * Runs with fewer threads where the system refuses to start them.
 *   processors: NULL, or [threads]: the processor that each thread keeps to, where the system has
 *   such a thing.  The calling thread keeps to the first from now on. */
vtw_pool *vtw_pool_create(size_t threads, const uint32_t *processors);

/* Waits for the workers to end, and frees the pool.  The thread that made a pool with processors
 * may use those it had before, if it is the one that calls. */
void vtw_pool_destroy(vtw_pool *pool);

/* Calls body(context, i) once for each i in 0 ..< count (< 2^31), on the caller and idle workers;
 * returns when all calls have.  One caller at a time; not from inside a body. */
void vtw_pool_run(vtw_pool *pool, size_t count, void (*body)(void *context, size_t index),
                  void *context);

/* Marks in allowed[0 ..< count] the processors on which this process may run; returns how many. */
size_t vtw_allowed_processors(uint8_t *allowed, size_t count);

#include "CKernelsCeilings.h"

#endif
