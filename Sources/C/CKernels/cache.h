/* Where the rows of a vtw_cache lie: see CKernels.h. */
#ifndef VTW_CACHE_H
#define VTW_CACHE_H
#include "kernels.h"

static inline size_t vtw_element_bytes(vtw_encoding precision) {
  return precision == VTW_F32 ? 4 : precision == VTW_F16 ? 2 : 1;
}

/* The head dimension in whole panels of value columns. */
static inline size_t vtw_padded(size_t dimension) {
  return (dimension + VTW_PANEL - 1) / VTW_PANEL * VTW_PANEL;
}

/* Groups of a head's dimensions that share a scale. */
static inline size_t vtw_scale_groups(size_t dimension) { return vtw_padded(dimension) / VTW_GROUP; }

/* Index of element (row of the block, head, d) of the keys; d + 1 lies VTW_PANEL further. */
static inline size_t vtw_key_index(const vtw_cache *cache, size_t row, size_t head, size_t d) {
  size_t panel = head * (VTW_CACHE_ROWS / VTW_PANEL) + row / VTW_PANEL;
  return (panel * cache->dimension + d) * VTW_PANEL + row % VTW_PANEL;
}

/* The same for the values; d + 1 of the same panel is the next element. */
static inline size_t vtw_value_index(const vtw_cache *cache, size_t row, size_t head, size_t d) {
  size_t keys = cache->heads * VTW_CACHE_ROWS * cache->dimension;
  size_t panel = head * (vtw_padded(cache->dimension) / VTW_PANEL) + d / VTW_PANEL;
  return keys + (panel * VTW_CACHE_ROWS + row) * VTW_PANEL + d % VTW_PANEL;
}

/* The scales of a block, of which the functions below give indices. */
static inline uint16_t *vtw_scales(const vtw_cache *cache, char *block) {
  size_t padded = vtw_padded(cache->dimension);
  return (uint16_t *)(void *)(block + cache->heads * VTW_CACHE_ROWS * (cache->dimension + padded));
}

/* The scale of the keys of a group of dimensions; the next row of the panel is the next element. */
static inline size_t vtw_key_scale(const vtw_cache *cache, size_t row, size_t head, size_t group) {
  size_t panel = head * (VTW_CACHE_ROWS / VTW_PANEL) + row / VTW_PANEL;
  return (panel * vtw_scale_groups(cache->dimension) + group) * VTW_PANEL + row % VTW_PANEL;
}

/* The same for the values. */
static inline size_t vtw_value_scale(const vtw_cache *cache, size_t row, size_t head,
                                     size_t group) {
  size_t groups = vtw_scale_groups(cache->dimension);
  return ((cache->heads + head) * groups + group) * VTW_CACHE_ROWS + row;
}

/* The block that holds cache row `row`. */
static inline char *vtw_block_of(const vtw_cache *cache, size_t row) {
  return (char *)cache->blocks + row / VTW_CACHE_ROWS *
    vtw_cache_block_bytes(cache->precision, cache->heads, cache->dimension);
}

#endif
