/* The block cache of keys and values: rows in, and rows as plain bytes out and in. */
#include "cache.h"
#include <string.h>

size_t vtw_cache_block_bytes(vtw_encoding precision, size_t heads, size_t dimension) {
  return VTW_CACHE_ROWS * heads * (dimension + vtw_padded(dimension)) *
         vtw_element_bytes(precision);
}

/* One head of one row. */
static void store_head(const vtw_kernels *k, const vtw_cache *cache, char *block, size_t row,
                       size_t head, const float *key, const float *value) {
  size_t dimension = cache->dimension, first = vtw_key_index(cache, row, head, 0);
  if (cache->precision == VTW_F32) {
    float *to = (float *)block;
    for (size_t d = 0; d < dimension; d++) to[first + d * VTW_PANEL] = key[d];
    for (size_t d = 0; d < dimension; d++) to[vtw_value_index(cache, row, head, d)] = value[d];
    return;
  }
  uint16_t *to = (uint16_t *)block, half[VTW_HEAD_MAX];
  k->narrow_f16(key, half, dimension);
  for (size_t d = 0; d < dimension; d++) to[first + d * VTW_PANEL] = half[d];
  for (size_t d = 0; d < dimension; d += VTW_PANEL) {
    size_t count = dimension - d < VTW_PANEL ? dimension - d : VTW_PANEL;
    k->narrow_f16(value + d, to + vtw_value_index(cache, row, head, d), count);
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
        store_head(k, cache, block, (first + i) % VTW_CACHE_ROWS, h, keys + at, values + at);
      }
    start = end;
  }
}

void vtw_cache_copy_out(const vtw_cache *cache, size_t first, size_t rows, void *bytes) {
  size_t size = vtw_element_bytes(cache->precision), width = cache->heads * cache->dimension;
  char *to = bytes;
  for (size_t row = first; row < first + rows; row++, to += 2 * width * size) {
    const char *block = vtw_block_of(cache, row);
    for (size_t h = 0; h < cache->heads; h++)
      for (size_t d = 0; d < cache->dimension; d++) {
        size_t key = vtw_key_index(cache, row % VTW_CACHE_ROWS, h, d);
        size_t value = vtw_value_index(cache, row % VTW_CACHE_ROWS, h, d);
        size_t plain = h * cache->dimension + d;
        memcpy(to + size * plain, block + size * key, size);
        memcpy(to + size * (width + plain), block + size * value, size);
      }
  }
}

void vtw_cache_copy_in(const vtw_cache *cache, size_t first, size_t rows, const void *bytes) {
  size_t size = vtw_element_bytes(cache->precision), width = cache->heads * cache->dimension;
  const char *from = bytes;
  for (size_t row = first; row < first + rows; row++, from += 2 * width * size) {
    char *block = vtw_block_of(cache, row);
    for (size_t h = 0; h < cache->heads; h++)
      for (size_t d = 0; d < cache->dimension; d++) {
        size_t key = vtw_key_index(cache, row % VTW_CACHE_ROWS, h, d);
        size_t value = vtw_value_index(cache, row % VTW_CACHE_ROWS, h, d);
        size_t plain = h * cache->dimension + d;
        memcpy(block + size * key, from + size * plain, size);
        memcpy(block + size * value, from + size * (width + plain), size);
      }
  }
}
