/* libjpeg with its errors, which are longjmps, turned into return codes. */
#include "jpeg_failure.h"

#include <string.h>

#include <jerror.h>

/* A progressive file of a few kilobytes may ask for thousands of passes over a large picture;
 * encoders write about ten. */
enum { most_scans = 500 };

typedef struct {
  struct jpeg_source_mgr base; /* first, as above */
  int ended;                   /* the decoder asked for bytes after the last */
} source;

typedef struct {
  struct jpeg_decompress_struct jpeg;
  struct jpeg_progress_mgr progress;
  failure failure;
  source source;
} decoder;

static void ignore_source(j_decompress_ptr info) { (void)info; }

static boolean report_end(j_decompress_ptr info) {
  ((source *)info->src)->ended = 1;
  fail((failure *)info->err, "the file is truncated");
}

static void skip_bytes(j_decompress_ptr info, long count) {
  struct jpeg_source_mgr *from = info->src;
  if (count <= 0) return;
  if ((size_t)count > from->bytes_in_buffer) report_end(info);
  from->next_input_byte += count;
  from->bytes_in_buffer -= (size_t)count;
}

static void limit_scans(j_common_ptr info) {
  if (((j_decompress_ptr)info)->input_scan_number > most_scans)
    fail((failure *)info->err, "it has more than 500 scans");
}

/* Everything but jpeg_create_decompress, which may already fail and so is called under setjmp. */
static void prepare(decoder *d, const uint8_t *bytes, size_t count, char *message) {
  memset(d, 0, sizeof *d);
  d->jpeg.err = failures_into(&d->failure, message);
  d->source.base.next_input_byte = bytes;
  d->source.base.bytes_in_buffer = count;
  d->source.base.init_source = ignore_source;
  d->source.base.fill_input_buffer = report_end;
  d->source.base.skip_input_data = skip_bytes;
  d->source.base.resync_to_restart = jpeg_resync_to_restart;
  d->source.base.term_source = ignore_source;
  d->progress.progress_monitor = limit_scans;
}

static void read_header(decoder *d) {
  jpeg_create_decompress(&d->jpeg);
  d->jpeg.src = &d->source.base;
  d->jpeg.progress = &d->progress;
  jpeg_read_header(&d->jpeg, TRUE);
  int channels = d->jpeg.num_components;
  if (channels != 1 && channels != 3 && channels != 4)
    fail(&d->failure, "its number of channels is not 1, 3 or 4");
}

/* The setjmp functions reach the decoder through a pointer, so that what changed before a longjmp
 * is still there after it. */
static int read_size(decoder *d, uint32_t *width, uint32_t *height) {
  if (setjmp(d->failure.exit)) {
    jpeg_destroy_decompress(&d->jpeg);
    return -1;
  }
  read_header(d);
  *width = d->jpeg.image_width;
  *height = d->jpeg.image_height;
  jpeg_destroy_decompress(&d->jpeg);
  return 0;
}

int vtw_jpeg_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height,
                  char *message) {
  decoder d;
  prepare(&d, bytes, count, message);
  return read_size(&d, width, height);
}

/* round(a * b / 255) */
static unsigned scaled(unsigned a, unsigned b) {
  unsigned product = a * b + 128;
  return (product + (product >> 8)) >> 8;
}

/* Four inks, stored inverted as Adobe does, to RGB: Pillow takes every four-channel file for
 * inverted, whether it names Adobe or not. */
static void inks_to_rgb(uint8_t *out, const uint8_t *inks, size_t count) {
  for (size_t i = 0; i < count; i++, out += 3, inks += 4) {
    unsigned light = inks[3];
    for (int c = 0; c < 3; c++) out[c] = (uint8_t)(light - scaled(255u - inks[c], light));
  }
}

static void read_rows(decoder *d, uint8_t *pixels) {
  struct jpeg_decompress_struct *jpeg = &d->jpeg;
  size_t width = jpeg->image_width;
  int inks = jpeg->num_components == 4;
  jpeg->out_color_space = inks ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(jpeg);
  JSAMPARRAY buffer = NULL;
  if (inks) {
    buffer = jpeg->mem->alloc_sarray((j_common_ptr)jpeg, JPOOL_IMAGE, (JDIMENSION)width * 4, 1);
  }
  while (jpeg->output_scanline < jpeg->output_height) {
    JSAMPROW row = pixels + jpeg->output_scanline * width * 3;
    if (inks) {
      jpeg_read_scanlines(jpeg, buffer, 1);
      inks_to_rgb(row, buffer[0], width);
    } else {
      jpeg_read_scanlines(jpeg, &row, 1);
    }
  }
  jpeg_finish_decompress(jpeg);
}

static int decode(decoder *d, uint8_t *pixels, uint32_t width, uint32_t height) {
  if (setjmp(d->failure.exit)) {
    /* Every row is there and only the end mark is missing: Pillow takes the picture. */
    int complete = d->source.ended && d->jpeg.output_height > 0 &&
                   d->jpeg.output_scanline >= d->jpeg.output_height;
    jpeg_destroy_decompress(&d->jpeg);
    return complete ? 0 : -1;
  }
  read_header(d);
  if (d->jpeg.image_width != width || d->jpeg.image_height != height)
    fail(&d->failure, "its size changed while it was read");
  read_rows(d, pixels);
  jpeg_destroy_decompress(&d->jpeg);
  return 0;
}

int vtw_jpeg_decode(const uint8_t *bytes, size_t count, uint8_t *pixels, uint32_t width,
                    uint32_t height, char *message) {
  decoder d;
  prepare(&d, bytes, count, message);
  return decode(&d, pixels, width, height);
}
