#define _GNU_SOURCE
#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int vtw_open_read(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

/* Shrinks the range to the whole pages inside it, so that neighbours are not affected. */
static void advise(const void *address, size_t size, int advice, int inward) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t first = (uintptr_t)address, last = first + size;
  first = inward ? (first + page - 1) & ~(page - 1) : first & ~(page - 1);
  last = inward ? last & ~(page - 1) : (last + page - 1) & ~(page - 1);
  if (first < last) madvise((void *)first, last - first, advice);
}

void vtw_will_need(const void *address, size_t size) { advise(address, size, MADV_WILLNEED, 0); }

void vtw_drop_pages(const void *address, size_t size) { advise(address, size, MADV_DONTNEED, 1); }
