/* The block cache of keys and values: rows in, and rows as plain bytes out and in. */
#include "cache.h"
#include <string.h>

/* Bytes of the scales of one row, keys and values. */
static size_t scale_bytes(vtw_encoding precision, size_t heads, size_t dimension) {
  return precision == VTW_Q8 ? 2 * heads * vtw_scale_groups(dimension) * sizeof(uint16_t) : 0;
}

size_t vtw_cache_block_bytes(vtw_encoding precision, size_t heads, size_t dimension) {
  size_t elements = heads * (dimension + vtw_padded(dimension));
  return VTW_CACHE_ROWS *
         (elements * vtw_element_bytes(precision) + scale_bytes(precision, heads, dimension));
}

size_t vtw_cache_row_bytes(vtw_encoding precision, size_t heads, size_t dimension) {
  return 2 * heads * dimension * vtw_element_bytes(precision) +
         scale_bytes(precision, heads, dimension);
}

/* One head of one row. */
static void store_f32(const vtw_cache *cache, float *block, size_t row, size_t head,
                      const float *key, const float *value) {
  size_t dimension = cache->dimension, first = vtw_key_index(cache, row, head, 0);
  for (size_t d = 0; d < dimension; d++) block[first + d * VTW_PANEL] = key[d];
  for (size_t d = 0; d < dimension; d++) block[vtw_value_index(cache, row, head, d)] = value[d];
}

static void store_f16(const vtw_kernels *k, const vtw_cache *cache, uint16_t *block, size_t row,
                      size_t head, const float *key, const float *value) {
  size_t dimension = cache->dimension, first = vtw_key_index(cache, row, head, 0);
  uint16_t half[VTW_HEAD_MAX];
  k->narrow_f16(key, half, dimension);
  for (size_t d = 0; d < dimension; d++) block[first + d * VTW_PANEL] = half[d];
  for (size_t d = 0; d < dimension; d += VTW_PANEL) {
    size_t count = dimension - d < VTW_PANEL ? dimension - d : VTW_PANEL;
    k->narrow_f16(value + d, block + vtw_value_index(cache, row, head, d), count);
  }
}

static void store_q8(const vtw_kernels *k, const vtw_cache *cache, char *block, size_t row,
                     size_t head, const float *key, const float *value) {
  size_t dimension = cache->dimension, first = vtw_key_index(cache, row, head, 0);
  uint16_t *scales = vtw_scales(cache, block);
  for (size_t d = 0; d < dimension; d += VTW_GROUP) {
    size_t count = dimension - d < VTW_GROUP ? dimension - d : VTW_GROUP, group = d / VTW_GROUP;
    int8_t quants[VTW_GROUP];
    k->quantize(key + d, count, quants, scales + vtw_key_scale(cache, row, head, group));
    for (size_t i = 0; i < count; i++) block[first + (d + i) * VTW_PANEL] = (char)quants[i];
    k->quantize(value + d, count, quants, scales + vtw_value_scale(cache, row, head, group));
    memcpy(block + vtw_value_index(cache, row, head, d), quants, count);
  }
}

void vtw_cache_store(const vtw_kernels *k, const vtw_cache *cache, size_t first, size_t rows,
                     const float *keys, const float *values) {
  /* Panel by panel, head by head: the lines that a panel's rows share stay in L1. */
  for (size_t start = 0; start < rows;) {
    size_t in_panel = VTW_PANEL - (first + start) % VTW_PANEL;
    size_t end = rows - start < in_panel ? rows : start + in_panel;
    char *block = vtw_block_of(cache, first + start);
    for (size_t h = 0; h < cache->heads; h++)
      for (size_t i = start; i < end; i++) {
        size_t at = (i * cache->heads + h) * cache->dimension;
        size_t row = (first + i) % VTW_CACHE_ROWS;
        const float *key = keys + at, *value = values + at;
        if (cache->precision == VTW_F32)
          store_f32(cache, (float *)(void *)block, row, h, key, value);
        else if (cache->precision == VTW_F16)
          store_f16(k, cache, (uint16_t *)(void *)block, row, h, key, value);
        else
          store_q8(k, cache, block, row, h, key, value);
      }
    start = end;
  }
}

/* Moves `size` bytes between a place in the cache and one in plain rows. */
static void move(char *cached, char *plain, size_t size, int out) {
  if (out) memcpy(plain, cached, size);
  else memcpy(cached, plain, size);
}

static void move_rows(const vtw_cache *cache, size_t first, size_t rows, char *plain, int out) {
  size_t size = vtw_element_bytes(cache->precision), width = cache->heads * cache->dimension;
  size_t groups = cache->precision == VTW_Q8 ? vtw_scale_groups(cache->dimension) : 0;
  size_t row_bytes = vtw_cache_row_bytes(cache->precision, cache->heads, cache->dimension);
  for (size_t r = first; r < first + rows; r++, plain += row_bytes) {
    char *block = vtw_block_of(cache, r), *scales = plain + 2 * width * size;
    size_t row = r % VTW_CACHE_ROWS;
    for (size_t h = 0; h < cache->heads; h++) {
      for (size_t d = 0; d < cache->dimension; d++) {
        size_t at = h * cache->dimension + d;
        move(block + size * vtw_key_index(cache, row, h, d), plain + size * at, size, out);
        move(block + size * vtw_value_index(cache, row, h, d), plain + size * (width + at), size,
             out);
      }
      for (size_t g = 0; g < groups; g++) {
        uint16_t *held = vtw_scales(cache, block);
        size_t at = h * groups + g, values = (cache->heads + h) * groups + g;
        move((char *)(held + vtw_key_scale(cache, row, h, g)), scales + 2 * at, 2, out);
        move((char *)(held + vtw_value_scale(cache, row, h, g)), scales + 2 * values, 2, out);
      }
    }
  }
}

void vtw_cache_copy_out(const vtw_cache *cache, size_t first, size_t rows, void *bytes) {
  move_rows(cache, first, rows, bytes, 1);
}

void vtw_cache_copy_in(const vtw_cache *cache, size_t first, size_t rows, const void *bytes) {
  move_rows(cache, first, rows, (char *)(uintptr_t)bytes, 0);
}
