/* What Core needs from C: system calls that Swift cannot import directly (variadic, macros or GNU
 * extensions), and the conversion of 16-bit floats, which is slow in Swift. */
#ifndef CSYSTEM_H
#define CSYSTEM_H
#include <stddef.h>
#include <stdint.h>

/* Opens `path` read-only; a FIFO does not block.  Returns the descriptor or -errno. */
int vtw_open_read(const char *path);

/* Advises the kernel that the pages of [address, address + size) are wanted soon. */
void vtw_will_need(const void *address, size_t size);

/* Drops the resident pages of a read-only file mapping; they fault in again when touched. */
void vtw_drop_pages(const void *address, size_t size);

/* out[i] = value of the i-th little-endian binary16 at `in`, exactly; `in` may have any alignment
 * and must not overlap `out`. */
void vtw_f16_to_f32(float *out, const void *in, size_t count);

/* The same for bfloat16, the upper half of a binary32. */
void vtw_bf16_to_f32(float *out, const void *in, size_t count);

#endif
