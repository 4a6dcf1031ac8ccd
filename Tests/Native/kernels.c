/* Compares every kernel of every instruction set that this processor runs with the formulas in f64,
 * and products of q8 and q4 with plain C too, on odd sizes and adversarial data.  Needs nothing but
 * the C kernels, so that it also runs where the rest is not built: under an emulator.
 *
 *   kernels [SET...]   fails unless the sets that this processor runs are exactly those named
 *
 * Prints a checksum of encoded weights, which must be the same everywhere. */
#include "CKernels.h"
#include "half.h"
#include "tile.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  vtw_instruction_set set;
  const char *name;
} SETS[] = {
    {VTW_GENERIC, "generic"}, {VTW_AVX2, "avx2"}, {VTW_AVX512, "avx512"},
    {VTW_AVX512BF16, "avx512bf16"}, {VTW_NEON, "neon"}, {VTW_NEON_DOT, "neondot"},
};
enum { SET_COUNT = sizeof SETS / sizeof *SETS };

/* Rounding of one f32 operation, relative. */
static const double ROUNDING = 0x1p-24;

/* What sums of denormals may lose, absolutely. */
static const double UNDERFLOW = 1e-36;

/* ---- failures ---- */

static const char *set_name = "";
static size_t comparisons, failures;

/* Where a comparison stands: printed if it fails. */
static char place[160];
#define AT(...) snprintf(place, sizeof place, __VA_ARGS__)

static void compare(size_t index, double found, double expected, double bound) {
  comparisons++;
  if (fabs(found - expected) <= bound || found == expected || (isnan(found) && isnan(expected)))
    return;
  if (++failures <= 20)
    printf("%s: %s: value %zu is %.9g, expected %.9g +- %.2g\n", set_name, place, index, found,
           expected, bound);
}

static void expect(int fact, const char *what) {
  comparisons++;
  if (!fact && ++failures <= 20) printf("%s: %s: %s\n", set_name, place, what);
}

static void expect_same_bits(const float *found, const float *expected, size_t count,
                             const char *what) {
  expect(memcmp(found, expected, count * sizeof(float)) == 0, what);
}

/* ---- data ---- */

static uint64_t state;

static uint32_t random_bits(void) {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return (uint32_t)(state * 0x2545f4914f6cdd1dull >> 32);
}

/* Uniform in [-1, 1), the same on every processor. */
static float uniform(void) { return (float)((int32_t)random_bits() >> 8) * 0x1p-23f; }

static int random_in(int least, int most) {
  return least + (int)(random_bits() % (uint32_t)(most - least + 1));
}

static void *memory(size_t bytes) {
  void *result = aligned_alloc(64, bytes / 64 * 64 + 128);
  if (!result) abort();
  memset(result, 0, bytes / 64 * 64 + 128);
  return result;
}

static float *noise(size_t count, float scale) {
  float *x = memory(count * sizeof(float));
  for (size_t i = 0; i < count; i++) x[i] = uniform() * scale;
  return x;
}

typedef enum { PLAIN, OUTLIERS, SATURATING, TINY, ZEROS, KINDS } kind;
static const char *const KIND_NAMES[] = {"plain", "outliers", "saturating", "tiny", "zeros"};

/* Activations [rows][columns]. */
static float *activations(kind kind, size_t rows, size_t columns) {
  float *x = noise(rows * columns, 2);
  for (size_t i = 0; i < rows * columns; i++) switch (kind) {
      case PLAIN: break;
      case OUTLIERS: x[i] *= i % columns % 37 == 5 ? 1000.0f : 1.0f; break;
      case SATURATING: x[i] = (x[i] < 0 ? -1 : 1) * (i % 3 ? 1e30f : 65504.0f); break;
      case TINY: x[i] *= i % 5 ? 1e-40f : 1e-36f; break;
      default: x[i] = i % columns < columns / 2 ? 0 : -0.0f;
    }
  return x;
}

static size_t panels_of(size_t rows) { return (rows + 31) / 32; }

static size_t panel_bytes(vtw_encoding encoding, size_t columns) {
  size_t groups = (columns + 31) / 32;
  switch (encoding) {
  case VTW_F16: return 64 * columns;
  case VTW_BF16: return 128 * ((columns + 1) / 2);
  case VTW_F32: return 0;
  default: return vtw_tile_of(encoding)->bytes * groups;
  }
}

static void *encoded(vtw_encoding encoding, size_t rows, size_t columns) {
  float *values = noise(rows * columns, 1);
  if (encoding == VTW_F32) return values;
  for (size_t i = 0; i < rows * columns; i += 61) values[i] *= 20;
  size_t bytes = panel_bytes(encoding, columns);
  char *out = memory(panels_of(rows) * bytes);
  double error[2];
  for (size_t p = 0; p < panels_of(rows); p++) {
    size_t count = rows - 32 * p < 32 ? rows - 32 * p : 32;
    AT("encoding %d, %zu x %zu", (int)encoding, rows, columns);
    expect(vtw_encode_panel(encoding, values + 32 * p * columns, NULL, count, columns,
                            out + p * bytes, error) < 0, "values were refused");
  }
  free(values);
  return out;
}

/* Rows of f32, whatever the encoding. */
static float *decoded(const vtw_matrix *w) {
  float *out = memory(w->rows * w->columns * sizeof(float));
  for (size_t r = 0; r < w->rows; r++)
    vtw_decode_row(w->encoding, w->weights, w->columns, r, out + r * w->columns);
  return out;
}

/* ---- products ---- */

static const char *name_of(vtw_encoding encoding) {
  switch (encoding) {
  case VTW_F32: return "f32";
  case VTW_F16: return "f16";
  case VTW_BF16: return "bf16";
  case VTW_Q8: return "q8";
  case VTW_Q4: return "q4";
  case VTW_Q4A: return "q4a";
  case VTW_Q5A: return "q5a";
  case VTW_Q6: return "q6";
  }
  return "";
}

static const vtw_epilogue STORE = {VTW_STORE, VTW_SILU}, ADD = {VTW_ADD, VTW_SILU};

/* A product in two parts, as two threads do it; y may not be written beyond its end.  Those of f32
 * store or add only. */
static void multiply(const vtw_kernels *k, const vtw_matrix *w, const float *x, size_t rows,
                     float *y, vtw_epilogue epilogue) {
  const float guard = 1234.5f;
  size_t count = rows * w->rows;
  float *out = memory((count + 16) * sizeof(float));
  memcpy(out, y, count * sizeof(float));
  for (size_t i = 0; i < 16; i++) out[count + i] = guard;
  if (w->encoding == VTW_F32) {
    size_t middle = w->rows / 2;
    int add = epilogue.kind == VTW_ADD;
    vtw_multiply_f32(k, w, 0, middle, x, rows, out, add);
    vtw_multiply_f32(k, w, middle, w->rows, x, rows, out, add);
  } else {
    void *packed = memory(rows * vtw_packed_row_bytes(k, w->encoding, w->columns));
    size_t tiles = vtw_row_tiles(k, w->encoding, rows), panels = panels_of(w->rows);
    for (size_t t = tiles; t-- > 0;)
      vtw_pack_tile(k, w->encoding, x, rows, w->columns, t, packed);
    vtw_multiply_panels(k, w, 0, panels / 2, packed, rows, out, epilogue);
    vtw_multiply_panels(k, w, panels / 2, panels, packed, rows, out, epilogue);
    free(packed);
  }
  for (size_t i = 0; i < 16; i++) expect(out[count + i] == guard, "wrote beyond the end of y");
  memcpy(y, out, count * sizeof(float));
  free(out);
}

/* The largest magnitude in the group of `width` columns around column c. */
static double group_top(const float *x, size_t columns, size_t c, size_t width) {
  double top = 0;
  for (size_t i = c / width * width; i < columns && i < (c / width + 1) * width; i++)
    top = fabs(x[i]) > top ? fabs(x[i]) : top;
  return top;
}

/* For activations that are quantised in groups of `width` columns: by how much a product with
 * weights of magnitude 1 may change in column c.  Fused and separate operations round a value that
 * lies almost half way between two integers to either of them; other values leave nothing. */
static double tie_slack(const float *x, size_t columns, size_t c, size_t width) {
  double scale = group_top(x, columns, c, width) / 127, v = scale == 0 ? 0 : fabs(x[c] / scale);
  return fabs(v - floor(v) - 0.5) < 1e-4 ? scale : 0;
}

/* The AVX-512 sums of several groups of weights pass through f32 in units of 2^(bits - 8) of the
 * product of both scales: beside their offset, each group but the first may lose up to a unit of the
 * largest.  So do the four of q4 that share a scale of the activations, and the two of q6. */
static double offset_slack(vtw_instruction_set set, const vtw_matrix *w, size_t n, const float *x) {
  size_t width = w->encoding == VTW_Q4 ? 128 : 32;
  if ((w->encoding != VTW_Q4 && w->encoding != VTW_Q6) ||
      (set != VTW_AVX512 && set != VTW_AVX512BF16))
    return 0;
  const vtw_tile *form = vtw_tile_of(w->encoding);
  const char *panel = (const char *)w->weights + n / 32 * panel_bytes(w->encoding, w->columns);
  double slack = 0, unit = form->bits == 4 ? 1.0 / 16 : 1.0 / 4;
  for (size_t from = 0; from < w->columns; from += width) {
    double largest = 0;
    for (size_t c = from; c < w->columns && c < from + width; c += (size_t)form->group) {
      float d;
      const char *tile = panel + c / 32 * form->bytes;
      vtw_widen(VTW_F16, tile + (c % 32 ? 64 : 0) + n % 32 * 2, 1, &d);
      largest = fabs(d) > largest ? fabs(d) : largest;
    }
    slack += 4 * largest * unit * group_top(x, w->columns, from, width) / 127;
  }
  return slack;
}

/* f64 sums for f32, f16 and bf16; plain C for quantised weights, whose integers are the same. */
static void check_product(vtw_instruction_set set, const vtw_matrix *w, const float *x,
                          size_t rows, int add) {
  const vtw_kernels *k = vtw_kernels_for(set);
  size_t columns = w->columns, count = rows * w->rows;
  const vtw_tile *form = vtw_tile_of(w->encoding);
  int quantised = form != NULL, affine = quantised && form->is_affine;
  float *start = noise(count, 4), *y = memory(count * sizeof(float)), *weights = decoded(w);
  float *plain = memory(count * sizeof(float)), *alone = memory(w->rows * sizeof(float));
  float *slack = memory(columns * sizeof(float)), *tops = memory(columns * sizeof(float));
  memcpy(y, start, count * sizeof(float));
  memcpy(plain, start, count * sizeof(float));
  multiply(k, w, x, rows, y, add ? ADD : STORE);
  if (quantised) multiply(vtw_kernels_for(VTW_GENERIC), w, x, rows, plain, add ? ADD : STORE);
  for (size_t m = 0; m < rows; m++) {
    const float *row = x + m * columns;
    if (quantised)
      for (size_t c = 0; c < columns; c++) {
        double narrow = tie_slack(row, columns, c, 32), wide = tie_slack(row, columns, c, 128);
        slack[c] = (float)(narrow > wide ? narrow : wide);
        tops[c] = (float)group_top(row, columns, c, 128);
      }
    for (size_t n = 0; n < w->rows; n++) {
      double bias = w->bias ? w->bias[n] : 0, old = add ? start[m * w->rows + n] : 0;
      double sum = bias + old, size = fabs(bias) + fabs(old), ties = 0;
      for (size_t c = 0; c < columns; c++) {
        double v = weights[n * columns + c], a = row[c];
        if (w->encoding == VTW_BF16) a = vtw_f32_of_bf16(vtw_bf16_of_f32(row[c]));
        sum += v * a;
        /* Sums of integers and of minima may each be three times what they leave. */
        double term = affine ? 3 * group_top(weights + n * columns, columns, c, 32) : fabs(v);
        size += term * (fabs(a) + (quantised ? tops[c] / 127 : 0));
        ties += quantised ? slack[c] * fabs(v) : 0;
      }
      /* One rounding per column, or per 32 columns and a few around them. */
      double roundings = quantised ? (double)columns / 16 + 8 : (double)columns + 4;
      double expected = quantised ? plain[m * w->rows + n] : sum;
      compare(m * w->rows + n, y[m * w->rows + n], expected,
              roundings * ROUNDING * size + ties + offset_slack(set, w, n, row) + UNDERFLOW);
    }
    if (w->encoding != VTW_F32) {
      memcpy(alone, start + m * w->rows, w->rows * sizeof(float));
      multiply(k, w, row, 1, alone, add ? ADD : STORE);
      expect_same_bits(y + m * w->rows, alone, w->rows, "a row alone gives other bits");
    }
  }
  free(start), free(y), free(weights), free(plain), free(alone), free(slack), free(tops);
}

static const size_t ROWS[] = {1, 2, 3, 4, 5, 6, 7, 13};

static void check_products(vtw_instruction_set set, vtw_encoding encoding) {
  static const size_t shapes[][2] = {{1, 1}, {31, 33}, {33, 64}, {70, 129}, {40, 800}, {9, 1601}};
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    size_t n = shapes[s][0], columns = shapes[s][1];
    void *weights = encoded(encoding, n, columns);
    float *bias = noise(n, 3);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
      kind kind = (s + i) % KINDS;
      int add = i % 2 == 1;
      vtw_matrix w = {encoding, n, columns, weights, i % 3 == 0 ? NULL : bias};
      float *x = activations(kind, ROWS[i], columns);
      AT("%s product, %zu x %zu, %zu rows, %s", name_of(encoding), n, columns, ROWS[i],
         KIND_NAMES[kind]);
      check_product(set, &w, x, ROWS[i], add);
      free(x);
    }
    free(weights), free(bias);
  }
}

/* Scales of powers of two and whole activations up to +-127 in every group: every sum is a whole
 * number times the scale, below 2^24, and must come out exactly (but see offset_slack). */
static void check_exact_integers(vtw_instruction_set set, vtw_encoding encoding) {
  static const size_t shapes[][2] = {{1, 1}, {33, 31}, {64, 33}, {45, 1000}};
  int most = encoding == VTW_Q8 ? 255 : 15;
  size_t tile = encoding == VTW_Q8 ? 1088 : 576;
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    size_t n = shapes[s][0], columns = shapes[s][1], groups = (columns + 31) / 32;
    size_t bytes = panels_of(n) * panel_bytes(encoding, columns);
    uint8_t *weights = memory(bytes);
    /* Extreme weights in half of the cases. */
    for (size_t i = 0; i < bytes; i++) {
      int extreme = random_bits() % 2 ? most : 0, value = random_in(0, most);
      if (most == 15) extreme |= (random_bits() % 2 ? 15 : 0) << 4, value |= random_in(0, 15) << 4;
      weights[i] = (uint8_t)(s % 2 ? extreme : value);
    }
    for (size_t g = 0; g < panels_of(n) * groups; g++)
      for (int r = 0; r < 32; r++) {
        uint16_t d = vtw_f16_of_f32((r % 3 == 1 ? -1.0f : 1.0f) * (r % 2 ? 0.25f : 2.0f));
        memcpy(weights + g * tile + 2 * r, &d, 2);
      }
    vtw_matrix w = {encoding, n, columns, weights, NULL};
    float *values = decoded(&w);
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
      size_t rows = ROWS[i];
      float *x = memory(rows * columns * sizeof(float)), *y = memory(rows * n * sizeof(float));
      for (size_t j = 0; j < rows * columns; j++)
        x[j] = (float)(i % 2 ? random_in(-127, 127) : random_bits() % 2 ? 127 : -127);
      for (size_t m = 0; m < rows; m++)
        for (size_t c = 0; c < columns; c += 32) x[m * columns + c] = m % 2 ? 127 : -127;
      AT("%s sums of integers, %zu x %zu, %zu rows", name_of(encoding), n, columns, rows);
      multiply(vtw_kernels_for(set), &w, x, rows, y, STORE);
      for (size_t m = 0; m < rows; m++)
        for (size_t r = 0; r < n; r++) {
          double sum = 0;
          for (size_t c = 0; c < columns; c++)
            sum += (double)values[r * columns + c] * x[m * columns + c];
          compare(m * n + r, y[m * n + r], sum, offset_slack(set, &w, r, x + m * columns));
        }
      free(x), free(y);
    }
    free(weights), free(values);
  }
}

/* A row with NaN or infinity stays so, and leaves the others alone. */
static void check_not_finite(const vtw_kernels *k, vtw_encoding encoding) {
  size_t n = 40, columns = 100, rows = 13;
  vtw_matrix w = {encoding, n, columns, encoded(encoding, n, columns), NULL};
  float *x = activations(PLAIN, rows, columns), *y = memory(rows * n * sizeof(float));
  float *before = memory(rows * n * sizeof(float));
  AT("%s product of values that are not finite", name_of(encoding));
  multiply(k, &w, x, rows, before, STORE);
  x[2 * columns + 99] = NAN;
  x[7 * columns + 31] = INFINITY;
  multiply(k, &w, x, rows, y, STORE);
  for (size_t m = 0; m < rows; m++)
    if (m == 2 || m == 7)
      for (size_t i = 0; i < n; i++) expect(!isfinite(y[m * n + i]), "a sum is finite");
    else expect_same_bits(y + m * n, before + m * n, n, "another row has changed");
  free((void *)w.weights), free(x), free(y), free(before);
}

/* ---- attention ---- */

typedef struct {
  size_t queries, keys, heads, key_heads, dimension;
  int causal; /* else all queries see all keys, but the first nothing where there are several */
} attention_case;

/* What the cache holds, as [row][2][heads * dimension] in f32. */
static float *cache_rows(const vtw_cache *cache, size_t rows) {
  size_t d = cache->dimension, width = cache->heads * d, groups = (d + 31) / 32;
  size_t row_bytes = vtw_cache_row_bytes(cache->precision, cache->heads, d);
  char *bytes = memory(rows * row_bytes);
  float *out = memory(rows * 2 * width * sizeof(float));
  vtw_cache_copy_out(cache, 0, rows, bytes);
  for (size_t r = 0; r < rows; r++) {
    const char *row = bytes + r * row_bytes;
    float *to = out + r * 2 * width;
    if (cache->precision != VTW_Q8) {
      vtw_widen(cache->precision, row, 2 * width, to);
      continue;
    }
    for (size_t i = 0; i < 2 * width; i++) {
      float scale;
      vtw_widen(VTW_F16, row + 2 * width + 2 * (i / d * groups + i % d / 32), 1, &scale);
      to[i] = (float)(int8_t)row[i] * scale;
    }
  }
  free(bytes);
  return out;
}

/* The cache may differ from the f32 values by half a step of q8, and a little for ties. */
static void check_quantised(const float *held, const float *keys, const float *values, size_t rows,
                            size_t width, size_t dimension) {
  for (size_t i = 0; i < 2 * rows * width; i++) {
    const float *from = i / width % 2 ? values : keys;
    size_t at = i / (2 * width) * width + i % width, head = at / dimension * dimension;
    double top = group_top(from + head, dimension, at - head, 32);
    compare(i, held[i], from[at], top / 127 * 0.501 + 127 * top / 127 * 0x1p-11 + 0x1p-24);
  }
}

/* Blocks apart, last one first, and rows one by one give the bits of job.out. */
static void check_parts(const vtw_kernels *k, vtw_attention job, size_t blocks) {
  size_t rows = job.query_count * (job.head_count / job.cache.heads);
  size_t count = job.query_count * job.head_count * job.cache.dimension;
  const float *expected = job.out;
  job.out = memory(count * sizeof(float));
  for (size_t h = 0; h < job.cache.heads; h++)
    for (size_t row = 0; row < rows; row++) vtw_attend(k, &job, h, row, row + 1);
  expect_same_bits(job.out, expected, count, "a row alone gives other bits");
  if (rows <= vtw_attention_rows(k)) {
    float *parts = memory(blocks * rows * vtw_attention_part_floats(&job) * sizeof(float));
    for (size_t h = 0; h < job.cache.heads; h++) {
      for (size_t b = blocks; b-- > 0;) vtw_attend_blocks(k, &job, h, b, b + 1, parts);
      vtw_attend_merge(k, &job, h, parts);
    }
    expect_same_bits(job.out, expected, count, "blocks apart give other bits");
    free(parts);
  }
  free(job.out);
}

static void check_attention(const vtw_kernels *k, const attention_case *c, vtw_encoding precision) {
  size_t width = c->key_heads * c->dimension, d = c->dimension, all = c->heads * d;
  size_t blocks = (c->keys + VTW_CACHE_ROWS - 1) / VTW_CACHE_ROWS;
  vtw_cache cache = {precision, c->key_heads, d, NULL};
  size_t bytes = blocks * vtw_cache_block_bytes(precision, c->key_heads, d);
  cache.blocks = memory(bytes);
  memset(cache.blocks, 0x7b, bytes); /* nothing is cleared */
  float *keys = noise(c->keys * width, 4), *values = noise(c->keys * width, 1);
  float *queries = noise(c->queries * c->heads * d, 4), *out = memory(c->queries * all * 4);
  int32_t *visible = memory(c->queries * sizeof(int32_t));
  for (size_t i = 0; i < c->queries; i++)
    visible[i] = (int32_t)(c->causal ? c->keys - c->queries + i + 1 : i == 1 ? 0 : c->keys);
  size_t first = c->keys / 3;
  AT("attention in %s, %zu x %zu, %zu/%zu heads of %zu", name_of(precision), c->queries, c->keys,
     c->heads, c->key_heads, d);
  vtw_cache_store(k, &cache, 0, first, keys, values);
  vtw_cache_store(k, &cache, first, c->keys - first, keys + first * width, values + first * width);
  vtw_attention job = {cache, queries, out, c->queries, c->heads, 1 / sqrtf((float)d), visible};
  size_t rows = c->queries * (c->heads / c->key_heads), most = vtw_attention_rows(k);
  for (size_t h = 0; h < c->key_heads; h++)
    for (size_t row = 0; row < rows; row += most)
      vtw_attend(k, &job, h, row, rows - row < most ? rows : row + most);
  check_parts(k, job, blocks);
  float *held = cache_rows(&cache, c->keys);
  if (precision == VTW_Q8) check_quantised(held, keys, values, c->keys, width, d);
  double *weights = memory(c->keys * sizeof(double));
  for (size_t i = 0; i < c->queries; i++)
    for (size_t h = 0; h < c->heads; h++) {
      size_t seen = (size_t)visible[i], column = h / (c->heads / c->key_heads) * d;
      const float *q = queries + i * all + h * d;
      double top = -INFINITY, sum = 0;
      for (size_t j = 0; j < seen; j++) {
        weights[j] = 0;
        for (size_t e = 0; e < d; e++)
          weights[j] += (double)q[e] * held[j * 2 * width + column + e] * job.scale;
        top = weights[j] > top ? weights[j] : top;
      }
      for (size_t j = 0; j < seen; j++) sum += weights[j] = exp(weights[j] - top);
      for (size_t e = 0; e < d; e++) {
        double mixed = 0;
        for (size_t j = 0; j < seen; j++)
          mixed += weights[j] / sum * held[j * 2 * width + width + column + e];
        /* Scores reach about 40, known to 3e-6 in f32, and so are their exponentials. */
        compare(i * all + h * d + e, out[i * all + h * d + e], mixed, 1e-5);
      }
    }
  free(cache.blocks), free(keys), free(values), free(queries), free(out), free(visible);
  free(held), free(weights);
}

static void check_attentions(const vtw_kernels *k) {
  static const attention_case cases[] = {
      {1, 1, 1, 1, 8, 0},   {1, 200, 8, 2, 64, 0}, {13, 129, 3, 3, 48, 0}, {7, 65, 2, 1, 80, 0},
      {3, 127, 2, 2, 256, 0}, {4, 33, 6, 2, 1, 0}, {20, 140, 4, 2, 32, 1}, {9, 260, 2, 2, 72, 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    check_attention(k, &cases[i], VTW_F32);
    check_attention(k, &cases[i], VTW_F16);
    check_attention(k, &cases[i], VTW_Q8);
  }
}

/* Keys and values become f16: rounded to nearest even, saturated, NaN kept. */
static void check_narrowing(const vtw_kernels *k) {
  static const float special[] = {0, -0.0f, 65504, 65519.9f, 65520, -1e30f, INFINITY, -INFINITY,
                                  NAN, 6e-8f, 2.9e-8f, 2.98023224e-8f, 8.9407e-8f, 6.1e-5f,
                                  1.00048828125f, 1.00146484375f, -6.097e-5f, 1e-40f};
  size_t count = sizeof special / sizeof *special, width = 101;
  float *x = noise(width, 70000);
  for (size_t i = 0; i < width; i++)
    if (i % 3) x[i] = i < 3 * count ? special[i % count] : uniform() * 1e-5f;
  vtw_cache cache = {VTW_F16, 1, width, memory(vtw_cache_block_bytes(VTW_F16, 1, width))};
  vtw_cache_store(k, &cache, 0, 1, x, x);
  float *held = cache_rows(&cache, 1);
  AT("f16 of f32");
  for (size_t i = 0; i < 2 * width; i++) {
    float v = x[i % width] > 65504 ? 65504 : x[i % width];
    v = v < -65504 ? -65504 : v;
    compare(i, held[i], vtw_f32_of_f16(vtw_f16_of_f32(v)), 0);
    if (v == v) expect(!signbit(held[i]) == !signbit(v), "the sign is lost");
  }
  free(x), free(cache.blocks), free(held);
}

/* ---- row-wise kernels ---- */

static const size_t WIDTHS[] = {1, 7, 16, 31, 33, 80, 1000};
enum { WIDTH_COUNT = sizeof WIDTHS / sizeof *WIDTHS };

static void check_norms(const vtw_kernels *k, size_t width, float scale) {
  size_t rows = 3, count = rows * width;
  float *x = noise(count, scale), *weight = noise(width, 1), *bias = noise(width, 1);
  float *rms = memory(count * sizeof(float)), *layer = memory(count * sizeof(float));
  const float epsilon = 1e-5f;
  vtw_rms_norm(k, x, rows, width, weight, epsilon, rms);
  vtw_layer_norm(k, x, rows, width, weight, bias, epsilon, layer);
  for (size_t m = 0; m < rows; m++) {
    const float *row = x + m * width;
    double sum = 0, square = 0, variance = 0, top = 0;
    for (size_t i = 0; i < width; i++) sum += row[i], square += (double)row[i] * row[i];
    double mean = sum / (double)width;
    for (size_t i = 0; i < width; i++) {
      variance += (row[i] - mean) * (row[i] - mean);
      top = fabs(row[i]) > top ? fabs(row[i]) : top;
    }
    double root = sqrt(square / (double)width + epsilon);
    double deviation = sqrt(variance / (double)width + epsilon);
    AT("rms norm of %zu up to %g", width, scale);
    for (size_t i = 0; i < width; i++) {
      double expected = row[i] / root * weight[i];
      compare(m * width + i, rms[m * width + i], expected, 2e-6 * fabs(expected) + UNDERFLOW);
    }
    AT("layer norm of %zu up to %g", width, scale);
    for (size_t i = 0; i < width; i++) {
      double expected = (row[i] - mean) / deviation * weight[i] + bias[i];
      /* The mean is known to a few roundings of the largest value. */
      compare(m * width + i, layer[m * width + i], expected,
              3e-6 * (fabs(expected) + fabs(bias[i])) + 8 * ROUNDING * top / deviation);
    }
  }
  vtw_rms_norm(k, x, rows, width, weight, epsilon, x);
  AT("rms norm of %zu in place", width);
  expect_same_bits(x, rms, count, "other bits than in another place");
  free(x), free(weight), free(bias), free(rms), free(layer);
}

static double activated(vtw_activation f, double x) {
  switch (f) {
  case VTW_SILU: return x / (1 + exp(-x));
  case VTW_GELU: return 0.5 * x * erfc(-x / sqrt(2));
  case VTW_GELU_TANH: return x / (1 + exp(-2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  case VTW_QUICK_GELU: return x / (1 + exp(-1.702 * x));
  }
  return NAN;
}

static void check_activations(const vtw_kernels *k, vtw_activation f) {
  size_t count = 6001;
  float *x = memory(count * sizeof(float)), *up = noise(count, 3);
  float *gate = memory(count * sizeof(float));
  for (size_t i = 0; i < count; i++) gate[i] = x[i] = ((float)i - 3000) / 100;
  vtw_activate(k, f, x, count);
  vtw_activate_multiply(k, f, gate, up, count);
  AT("activation %d, then times up", (int)f);
  for (size_t i = 0; i < count; i++) {
    double expected = activated(f, ((float)i - 3000) / 100);
    /* Where the value all but vanishes, exponents of rounded arguments. */
    double bound = 1e-6 * fabs(expected) + (fabs(expected) < 1e-2 ? 3e-8 : 0);
    compare(i, x[i], expected, bound);
    compare(count + i, gate[i], expected * up[i], (bound + 1e-7 * fabs(expected)) * fabs(up[i]));
  }
  float extreme[] = {NAN, 1e30f, 200, 89, -89, -200, -1e30f, 0};
  vtw_activate(k, f, extreme, 8);
  AT("activation %d of extremes", (int)f);
  expect(isnan(extreme[0]), "NaN is lost");
  compare(1, extreme[1], 1e30f, 0), compare(2, extreme[2], 200, 0), compare(3, extreme[3], 89, 0);
  for (size_t i = 4; i < 8; i++) compare(i, extreme[i], 0, 1e-30);
  free(x), free(up), free(gate);
}

/* What the sums of a product, found by themselves, must become. */
static void check_epilogues(const vtw_kernels *k, vtw_encoding encoding) {
  size_t n = 70, columns = 64, rows = 13;
  float *bias = noise(n, 3), *x = noise(rows * columns, 1), *before = noise(rows * n, 3);
  float *sums = memory(rows * n * sizeof(float)), *y = memory(rows * n * sizeof(float));
  vtw_matrix w = {encoding, n, columns, encoded(encoding, n, columns), bias};
  multiply(k, &w, x, rows, sums, STORE);
  for (vtw_activation f = VTW_SILU; f <= VTW_QUICK_GELU; f++)
    for (int gate = 0; gate < 2; gate++) {
      vtw_epilogue epilogue = {gate ? VTW_GATE : VTW_ACTIVATE, f};
      memcpy(y, before, rows * n * sizeof(float));
      multiply(k, &w, x, rows, y, epilogue);
      AT("%s product, activation %d%s", name_of(encoding), (int)f, gate ? ", times sums" : "");
      for (size_t i = 0; i < rows * n; i++) {
        double value = activated(f, gate ? before[i] : sums[i]), factor = gate ? sums[i] : 1;
        double bound = 1e-6 * fabs(value) + (fabs(value) < 1e-2 ? 3e-8 : 0);
        compare(i, y[i], value * factor, (bound + 1e-7 * fabs(value)) * fabs(factor));
      }
    }
  free((void *)w.weights), free(bias), free(x), free(before), free(sums), free(y);
}

static void check_rotation(const vtw_kernels *k, size_t heads, size_t dimension) {
  size_t rows = 3, half = dimension / 2, width = heads * dimension;
  float *x = noise(rows * width, 3), *y = memory(rows * width * sizeof(float));
  float *cosines = noise(rows * half, 1), *sines = noise(rows * half, 1);
  memcpy(y, x, rows * width * sizeof(float));
  vtw_rotate(k, y, rows, heads, dimension, cosines, sines);
  AT("rotation of %zu heads of %zu", heads, dimension);
  for (size_t at = 0; at < rows * heads; at++)
    for (size_t i = 0; i < half; i++) {
      size_t low = at * dimension + i, high = low + half, angle = at / heads * half + i;
      double a = x[low], b = x[high], c = cosines[angle], s = sines[angle];
      double bound = 2 * ROUNDING * (fabs(a) + fabs(b));
      compare(low, y[low], a * c - b * s, bound);
      compare(high, y[high], b * c + a * s, bound);
    }
  free(x), free(y), free(cosines), free(sines);
}

static void check_add(const vtw_kernels *k, size_t count) {
  float *x = noise(count, 1), *y = noise(count, 1), *sum = memory(count * sizeof(float));
  for (size_t i = 0; i < count; i++) sum[i] = x[i] + y[i];
  vtw_add(k, x, y, count);
  AT("sum of %zu", count);
  expect_same_bits(y, sum, count, "other bits than x + y");
  free(x), free(y), free(sum);
}

/* ---- all of them ---- */

/* The bytes and errors of an encoder against those of plain C, from values and from integers. */
static void check_encoder(vtw_instruction_set set, vtw_encoding encoding, size_t rows,
                          size_t columns, int is_weighted) {
  vtw_encoder encoders[2] = {vtw_encoder_for(VTW_GENERIC), vtw_encoder_for(set)};
  const vtw_tile *form = vtw_tile_of(encoding);
  size_t count = rows * columns, bytes = panel_bytes(encoding, columns);
  size_t groups = form ? count / (size_t)form->group : 0;
  float *values = noise(count, 1), *importance = noise(columns, 1);
  float *scales = noise(groups, 0.1f), *minima = noise(groups, 1);
  uint8_t *out[2] = {memory(bytes), memory(bytes)}, *integers = memory(count);
  double errors[2][2] = {{0}};
  for (size_t i = 0; i < count; i += 61) values[i] *= 20;
  for (size_t c = 0; c < columns; c++) importance[c] = importance[c] * importance[c];
  for (size_t i = 0; form && i < count; i++) integers[i] = random_bits() & ((1 << form->bits) - 1);
  /* Some that f16 holds, and some groups that it does not hold at all. */
  for (size_t i = 0; i < groups; i++)
    if (i % 3 == 0) scales[i] = minima[i] = (float)random_in(-99, 99) / 64;
    else if (i % 41 == 1) scales[i] *= 1e-6f;

  AT("encoder of %d, %zu x %zu, weighted %d", (int)encoding, rows, columns, is_weighted);
  for (int i = 0; i < 2; i++)
    expect(encoders[i].values(encoding, values, is_weighted ? importance : NULL, rows, columns,
                              out[i], errors[i]) < 0, "values were refused");
  expect(memcmp(out[0], out[1], bytes) == 0, "other bytes");
  expect(memcmp(errors[0], errors[1], sizeof errors[0]) == 0, "another error");
  if (form && columns % (size_t)form->group == 0) {
    for (int i = 0; i < 2; i++)
      expect(encoders[i].integers(encoding, integers, scales, minima, rows, columns, out[i],
                                  errors[i]) < 0, "integers were refused");
    expect(memcmp(out[0], out[1], bytes) == 0, "other bytes of integers");
    expect(memcmp(errors[0], errors[1], sizeof errors[0]) == 0, "another error of integers");
  }
  values[count / 2] = NAN;
  for (int i = 0; i < 2; i++)
    expect(encoders[i].values(encoding, values, NULL, rows, columns, out[i], errors[i]) ==
               (ptrdiff_t)(count / 2), "NaN was not found");
  free(values), free(importance), free(scales), free(minima);
  free(out[0]), free(out[1]), free(integers);
}

static void check_kernels(vtw_instruction_set set) {
  const vtw_kernels *k = vtw_kernels_for(set);
  static const vtw_encoding encodings[] = {VTW_F32, VTW_F16, VTW_BF16, VTW_Q8, VTW_Q4,
                                           VTW_Q4A, VTW_Q5A, VTW_Q6};
  for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++) {
    check_products(set, encodings[i]);
    check_not_finite(k, encodings[i]);
    if (encodings[i] == VTW_F32) continue;
    check_epilogues(k, encodings[i]);
    for (int is_weighted = 0; is_weighted < 2; is_weighted++) {
      check_encoder(set, encodings[i], 32, 96, is_weighted);
      check_encoder(set, encodings[i], 19, 80, is_weighted);
      check_encoder(set, encodings[i], 7, 33, is_weighted);
    }
  }
  check_exact_integers(set, VTW_Q8);
  check_exact_integers(set, VTW_Q4);
  check_attentions(k);
  check_narrowing(k);
  for (size_t i = 0; i < WIDTH_COUNT; i++) {
    check_norms(k, WIDTHS[i], 3);
    check_norms(k, WIDTHS[i], 1e4f);
    check_add(k, WIDTHS[i]);
    check_rotation(k, 1 + i % 3, 2 * WIDTHS[i]);
  }
  for (vtw_activation f = VTW_SILU; f <= VTW_QUICK_GELU; f++) check_activations(k, f);
}

/* FNV-1a over the bytes that noise becomes in every encoding. */
static uint64_t encoding_checksum(void) {
  static const vtw_encoding encodings[] = {VTW_F16, VTW_BF16, VTW_Q8, VTW_Q4,
                                           VTW_Q4A, VTW_Q5A, VTW_Q6};
  uint64_t hash = 0xcbf29ce484222325;
  state = 99;
  for (size_t i = 0; i < sizeof encodings / sizeof *encodings; i++) {
    uint8_t *bytes = encoded(encodings[i], 77, 333);
    for (size_t j = 0; j < panels_of(77) * panel_bytes(encodings[i], 333); j++)
      hash = (hash ^ bytes[j]) * 0x100000001b3;
    free(bytes);
  }
  return hash;
}

int main(int count, char **names) {
  int wrong = 0;
  for (int i = 0; i < SET_COUNT; i++) {
    int named = count == 1, runs = vtw_supports(SETS[i].set);
    for (int j = 1; j < count; j++) named |= strcmp(names[j], SETS[i].name) == 0;
    set_name = SETS[i].name;
    if (count > 1 && named != runs) {
      printf("%s: %s\n", set_name, runs ? "supported, but not named" : "not supported here");
      wrong = 1;
    }
    if (!runs) continue;
    comparisons = failures = 0;
    state = 7;
    check_kernels(SETS[i].set);
    printf("%s: %zu comparisons, %zu failures\n", set_name, comparisons, failures);
    wrong |= failures > 0;
  }
  printf("encoded weights: %016llx\n", (unsigned long long)encoding_checksum());
  return wrong;
}
