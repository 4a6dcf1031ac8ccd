/* Mirrors and quarter turns of RGB pixels. */
#include "CImages.h"

#include <string.h>

/* 32: a tile of source and target pixels stays in the first-level cache. */
enum { tile = 32 };

void vtw_orient(uint8_t *out, const uint8_t *pixels, size_t width, size_t height,
                int orientation) {
  /* Where the target's first pixel comes from, and how far apart in the source its neighbours to
   * the right and below are. */
  int swaps = orientation >= 5;
  int from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  int from_below = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  size_t out_width = swaps ? height : width, out_height = swaps ? width : height;
  ptrdiff_t along_x = from_right ? -3 : 3;
  ptrdiff_t along_y = (ptrdiff_t)(3 * width) * (from_below ? -1 : 1);
  const uint8_t *first =
      pixels + 3 * ((from_right ? width - 1 : 0) + (from_below ? height - 1 : 0) * width);
  ptrdiff_t right = swaps ? along_y : along_x, below = swaps ? along_x : along_y;

  for (size_t top = 0; top < out_height; top += tile) {
    size_t bottom = top + tile < out_height ? top + tile : out_height;
    for (size_t left = 0; left < out_width; left += tile) {
      size_t end = left + tile < out_width ? left + tile : out_width;
      for (size_t y = top; y < bottom; y++) {
        uint8_t *to = out + (y * out_width + left) * 3;
        const uint8_t *from = first + (ptrdiff_t)y * below + (ptrdiff_t)left * right;
        for (size_t x = left; x < end; x++, to += 3, from += right) memcpy(to, from, 3);
      }
    }
  }
}
