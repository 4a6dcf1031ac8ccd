/* Image files to RGB pixels and back, and the inner loops of Pillow's resampling.
 *
 * Pixels are row-major RGB, one byte a channel, no padding between rows.  No function keeps memory
 * after it returns, and none ends the process on malformed bytes. */
#ifndef CIMAGES_H
#define CIMAGES_H
#include <stddef.h>
#include <stdint.h>

/* Room for a decoder's one-line reason, with its final zero. */
#define VTW_MESSAGE_SIZE 256

/* Each decoder has two calls.  `..._size` reads only the headers, so that the caller can refuse a
 * size before any memory is set aside for it.  `..._decode` fills `pixels`, which has room for
 * 3 * width * height bytes, and fails if the file is of another size; after a failure the pixels
 * are undefined.  Both return 0, or -1 with the reason in `message`. */
int vtw_jpeg_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height,
                  char *message);
int vtw_jpeg_decode(const uint8_t *bytes, size_t count, uint8_t *pixels, uint32_t width,
                    uint32_t height, char *message);
int vtw_png_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height,
                 char *message);
int vtw_png_decode(const uint8_t *bytes, size_t count, uint8_t *pixels, uint32_t width,
                   uint32_t height, char *message);
int vtw_webp_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height,
                  char *message);
int vtw_webp_decode(const uint8_t *bytes, size_t count, uint8_t *pixels, uint32_t width,
                    uint32_t height, char *message);

/* Writes a JPEG file of `pixels`, 1 to 65,500 on a side, with full colour resolution at `quality`
 * (1...100) into `bytes`, and its size into `count`; the same pixels give the same bytes.  Returns 0,
 * or -1 with the reason in `message`, also if the file has more than `capacity` bytes. */
int vtw_jpeg_encode(uint8_t *bytes, size_t capacity, size_t *count, const uint8_t *pixels,
                    uint32_t width, uint32_t height, int quality, char *message);

/* Turns an image of width x height upright according to its EXIF orientation (2...8; 5...8 swap
 * width and height).  `out` and `pixels` do not overlap. */
void vtw_orient(uint8_t *out, const uint8_t *pixels, size_t width, size_t height,
                int orientation);

/* Splits `count` RGB pixels into three rows of 16-bit samples, `stride` samples apart. */
void vtw_split_channels(int16_t *out, const uint8_t *pixels, size_t count, size_t stride);

/* One row of the horizontal pass: out[3 * i + c] = round(sum of row c's samples, from first[i] on,
 * times the weights of i).
 *
 * row:     three rows of samples as vtw_split_channels writes them, `stride` samples apart;
 *          first[i] + taps <= stride.
 * high, low: [outputs, taps]; a weight is (65536 * high + low) / 2^22. */
void vtw_resample_across(uint8_t *out, const int16_t *row, size_t stride, const int32_t *first,
                         const int16_t *high, const int16_t *low, size_t taps, size_t outputs);

/* One row of the vertical pass: out[i] = round(sum over t of rows[t * stride + i] times the weight
 * of t), for i < count.  Weights as above. */
void vtw_resample_down(uint8_t *out, const uint8_t *rows, size_t stride, size_t count,
                       const int16_t *high, const int16_t *low, size_t taps);

#endif
