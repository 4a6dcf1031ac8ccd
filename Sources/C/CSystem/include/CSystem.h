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

/* Reads the pages of a file mapping into memory and maps them; does nothing where the system cannot
 * do so without touching them. */
void vtw_populate(const void *address, size_t size);

/* Calls body(context) on a new thread with the least priority.  0 or -errno. */
int vtw_start_background(void (*body)(void *context), void *context);

/* Drops the resident pages of a read-only file mapping; they fault in again when touched. */
void vtw_drop_pages(const void *address, size_t size);

/* Opens a file without a name in `folder` for reading and writing; it vanishes with its
 * descriptor unless vtw_link_open_file names it.  Returns the descriptor or -errno. */
int vtw_open_nameless(const char *folder);

/* Creates `path`, which must not exist, for reading and writing.  The descriptor or -errno. */
int vtw_create_new(const char *path);

/* Gives the nameless file `descriptor` the name `path`, which must not exist.  0 or -errno. */
int vtw_link_open_file(int descriptor, const char *path);

/* Renames `from` to `to`, which must not exist.  0 or -errno. */
int vtw_rename_new(const char *from, const char *to);

/* Makes the file `size` bytes long and reserves the room, where the file system can.
 * 0 or -errno. */
int vtw_reserve(int descriptor, uint64_t size);

/* Has the system write these bytes to the disk soon, rather than all of a large file in the end.  Only
 * a hint. */
void vtw_start_writeback(int descriptor, uint64_t offset, uint64_t size);

/* Copies `size` bytes from one file to another at the given offsets without passing them through
 * this process; the file system shares the blocks where it can.  0 or -errno; -ENOTSUP if these two
 * files cannot be copied so, with any part of the target written. */
int vtw_copy_range(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t size);

/* Bytes that an unprivileged writer may still use on the file system of `descriptor`, or -errno. */
int64_t vtw_free_bytes(int descriptor);

/* out[i] = value of the i-th little-endian binary16 at `in`, exactly; `in` may have any alignment
 * and must not overlap `out`. */
void vtw_f16_to_f32(float *out, const void *in, size_t count);

/* The same for bfloat16, the upper half of a binary32. */
void vtw_bf16_to_f32(float *out, const void *in, size_t count);

#endif
