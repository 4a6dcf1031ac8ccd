/* Pixels to a JPEG file with libjpeg, whose errors, longjmps, become return codes. */
#include "jpeg_failure.h"

#include <string.h>

typedef struct {
  struct jpeg_compress_struct jpeg;
  failure failure;
  struct jpeg_destination_mgr target;
} encoder;

static void ignore_target(j_compress_ptr info) { (void)info; }

static boolean report_full(j_compress_ptr info) {
  fail((failure *)info->err, "it needs more room than was set aside");
}

/* Reaches the encoder through a pointer, so that what changed before a longjmp is still there after
 * it. */
static int encode(encoder *e, const uint8_t *pixels, uint32_t width, uint32_t height, int quality) {
  if (setjmp(e->failure.exit)) {
    jpeg_destroy_compress(&e->jpeg);
    return -1;
  }
  jpeg_create_compress(&e->jpeg);
  e->jpeg.dest = &e->target;
  e->jpeg.image_width = width;
  e->jpeg.image_height = height;
  e->jpeg.input_components = 3;
  e->jpeg.in_color_space = JCS_RGB;
  jpeg_set_defaults(&e->jpeg);
  jpeg_set_quality(&e->jpeg, quality, TRUE);
  e->jpeg.optimize_coding = TRUE;
  /* Thumbnails of drawings and text keep their colours' edges. */
  e->jpeg.comp_info[0].h_samp_factor = e->jpeg.comp_info[0].v_samp_factor = 1;
  jpeg_start_compress(&e->jpeg, TRUE);
  while (e->jpeg.next_scanline < height) {
    JSAMPROW row = (JSAMPROW)(pixels + (size_t)e->jpeg.next_scanline * width * 3);
    jpeg_write_scanlines(&e->jpeg, &row, 1);
  }
  jpeg_finish_compress(&e->jpeg);
  jpeg_destroy_compress(&e->jpeg);
  return 0;
}

int vtw_jpeg_encode(uint8_t *bytes, size_t capacity, size_t *count, const uint8_t *pixels,
                    uint32_t width, uint32_t height, int quality, char *message) {
  encoder e;
  memset(&e, 0, sizeof e);
  e.jpeg.err = failures_into(&e.failure, message);
  e.target.next_output_byte = bytes;
  e.target.free_in_buffer = capacity;
  e.target.init_destination = ignore_target;
  e.target.empty_output_buffer = report_full;
  e.target.term_destination = ignore_target;
  int status = encode(&e, pixels, width, height, quality);
  *count = capacity - e.target.free_in_buffer;
  return status;
}
