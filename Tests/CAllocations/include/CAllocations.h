/* Counts what the calling thread asks of the heap.  Linking this replaces the program's malloc and
 * its relatives by ones that count and then call the C library's. */
#ifndef CALLOCATIONS_H
#define CALLOCATIONS_H
#include <stddef.h>

/* Allocations of at least `size` bytes count from now on, on this thread; 0 of them so far. */
void vtw_count_allocations(size_t size);

/* How many there were. */
size_t vtw_counted_allocations(void);

#endif
