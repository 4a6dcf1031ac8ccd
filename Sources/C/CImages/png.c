/* libpng with its errors, which are longjmps, turned into return codes.
 *
 * The pixels are those of Pillow's convert("RGB"): alpha and transparent colours are dropped, not
 * blended; 16-bit colour keeps the high byte, but 16-bit grey is clipped to 255; gamma and colour
 * profiles are ignored. */
#include "CImages.h"

#include <stdio.h>
#include <string.h>

#include <png.h>

typedef struct {
  const uint8_t *next;
  size_t left;
  volatile int ended; /* libpng asked for bytes after the last */
  char *message;
} source;

static void fail(png_structp png, png_const_charp reason) {
  source *from = png_get_error_ptr(png);
  snprintf(from->message, VTW_MESSAGE_SIZE, "%s", reason);
  png_longjmp(png, 1);
}

static void ignore_warning(png_structp png, png_const_charp reason) {
  (void)png;
  (void)reason;
}

static void read_bytes(png_structp png, png_bytep out, size_t count) {
  source *from = png_get_io_ptr(png);
  if (count > from->left) {
    from->ended = 1;
    png_error(png, "the file is truncated");
  }
  memcpy(out, from->next, count);
  from->next += count;
  from->left -= count;
}

/* A reader, or NULL with the reason in the source's message. */
static png_structp open_reader(source *from, png_infop *info) {
  snprintf(from->message, VTW_MESSAGE_SIZE, "out of memory");
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, from, fail, ignore_warning);
  if (png == NULL) return NULL;
  *info = png_create_info_struct(png);
  if (*info == NULL) {
    png_destroy_read_struct(&png, NULL, NULL);
    return NULL;
  }
  png_set_read_fn(png, from, read_bytes);
  /* The caller refuses large sizes, in the same words for all formats. */
  png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  return png;
}

int vtw_png_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height,
                 char *message) {
  source from = {bytes, count, 0, message};
  png_infop info = NULL;
  png_structp png = open_reader(&from, &info);
  if (png == NULL) return -1;
  if (setjmp(png_jmpbuf(png))) {
    png_destroy_read_struct(&png, &info, NULL);
    return -1;
  }
  png_read_info(png, info);
  *width = png_get_image_width(png, info);
  *height = png_get_image_height(png, info);
  png_destroy_read_struct(&png, &info, NULL);
  return 0;
}

/* In place, from the right end, where the wider pixels do not yet cover the samples. */
static void widen_gray16(uint8_t *row, size_t width) {
  for (size_t x = width; x-- > 0;) {
    uint8_t value = row[2 * x] ? 255 : row[2 * x + 1];
    memset(row + 3 * x, value, 3);
  }
}

int vtw_png_decode(const uint8_t *bytes, size_t count, uint8_t *pixels, uint32_t width,
                   uint32_t height, char *message) {
  source from = {bytes, count, 0, message};
  png_infop info = NULL;
  png_structp png = open_reader(&from, &info);
  if (png == NULL) return -1;
  volatile int complete = 0;
  if (setjmp(png_jmpbuf(png))) {
    png_destroy_read_struct(&png, &info, NULL);
    /* Every row is there and only the end of the file is missing: Pillow takes the picture. */
    return complete && from.ended ? 0 : -1;
  }
  png_read_info(png, info);
  if (png_get_image_width(png, info) != width || png_get_image_height(png, info) != height)
    png_error(png, "its size changed while it was read");

  int kind = png_get_color_type(png, info), depth = png_get_bit_depth(png, info);
  int gray16 = kind == PNG_COLOR_TYPE_GRAY && depth == 16;
  if (kind == PNG_COLOR_TYPE_PALETTE) {
    png_set_palette_to_rgb(png);
  } else if (kind == PNG_COLOR_TYPE_GRAY && depth < 8) {
    png_set_expand_gray_1_2_4_to_8(png);
  }
  if (depth == 16 && !gray16) png_set_strip_16(png);
  /* Colours that tRNS makes transparent become alpha as the palette is expanded. */
  png_set_strip_alpha(png);
  if (!(kind & PNG_COLOR_MASK_COLOR) && !gray16) png_set_gray_to_rgb(png);
  int passes = png_set_interlace_handling(png);
  png_read_update_info(png, info);
  if (png_get_rowbytes(png, info) != (size_t)width * (gray16 ? 2 : 3))
    png_error(png, "its pixels are of an unknown kind");

  for (int pass = 0; pass < passes; pass++) {
    for (uint32_t y = 0; y < height; y++) {
      png_read_row(png, pixels + (size_t)y * width * 3, NULL);
    }
  }
  if (gray16) {
    for (uint32_t y = 0; y < height; y++) widen_gray16(pixels + (size_t)y * width * 3, width);
  }
  complete = 1;
  png_read_end(png, NULL);
  png_destroy_read_struct(&png, &info, NULL);
  return 0;
}
