/* System calls that Swift cannot import directly (variadic, macros or GNU extensions). */
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

#endif
