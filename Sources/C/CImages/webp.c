/* libwebp: the first frame of a file, without alpha. */
#include "CImages.h"

#include <stdio.h>
#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

static int fail(char *message, const char *reason) {
  snprintf(message, VTW_MESSAGE_SIZE, "%s", reason);
  return -1;
}

static WebPDemuxer *open_file(const uint8_t *bytes, size_t count, char *message) {
  WebPData data = {bytes, count};
  WebPDemuxer *file = WebPDemux(&data);
  if (file == NULL) fail(message, "the file is truncated or damaged");
  return file;
}

int vtw_webp_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height,
                  char *message) {
  WebPDemuxer *file = open_file(bytes, count, message);
  if (file == NULL) return -1;
  *width = WebPDemuxGetI(file, WEBP_FF_CANVAS_WIDTH);
  *height = WebPDemuxGetI(file, WEBP_FF_CANVAS_HEIGHT);
  WebPDemuxDelete(file);
  return 0;
}

/* Decodes `frame` into its rectangle of the canvas. */
static int decode_frame(const WebPIterator *frame, uint8_t *pixels, uint32_t width,
                        uint32_t height, char *message) {
  size_t stride = (size_t)width * 3, left = (size_t)frame->x_offset,
         top = (size_t)frame->y_offset;
  if (frame->width < 1 || frame->height < 1 || left + (size_t)frame->width > width ||
      top + (size_t)frame->height > height) {
    return fail(message, "its first frame lies outside the picture");
  }
  if ((uint32_t)frame->width < width || (uint32_t)frame->height < height)
    memset(pixels, 0, stride * height);

  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) return fail(message, "libwebp is of another version");
  size_t start = top * stride + left * 3;
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = pixels + start;
  config.output.u.RGBA.stride = (int)stride;
  config.output.u.RGBA.size = stride * height - start;
  switch (WebPDecode(frame->fragment.bytes, frame->fragment.size, &config)) {
    case VP8_STATUS_OK: break;
    case VP8_STATUS_OUT_OF_MEMORY: return fail(message, "out of memory");
    case VP8_STATUS_UNSUPPORTED_FEATURE: return fail(message, "it uses an unknown feature");
    case VP8_STATUS_SUSPENDED:
    case VP8_STATUS_NOT_ENOUGH_DATA: return fail(message, "the file is truncated");
    default: return fail(message, "the file is damaged");
  }
  if (config.output.width != frame->width || config.output.height != frame->height)
    return fail(message, "its first frame is not of the size it declares");
  return 0;
}

int vtw_webp_decode(const uint8_t *bytes, size_t count, uint8_t *pixels, uint32_t width,
                    uint32_t height, char *message) {
  WebPDemuxer *file = open_file(bytes, count, message);
  if (file == NULL) return -1;
  int result;
  WebPIterator frame;
  if (WebPDemuxGetI(file, WEBP_FF_CANVAS_WIDTH) != width ||
      WebPDemuxGetI(file, WEBP_FF_CANVAS_HEIGHT) != height) {
    result = fail(message, "its size changed while it was read");
  } else if (!WebPDemuxGetFrame(file, 1, &frame)) {
    result = fail(message, "it has no frame");
  } else {
    result = decode_frame(&frame, pixels, width, height, message);
    WebPDemuxReleaseIterator(&frame);
  }
  WebPDemuxDelete(file);
  return result;
}
