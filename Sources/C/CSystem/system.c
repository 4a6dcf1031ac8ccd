#define _GNU_SOURCE
#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
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

void vtw_populate(const void *address, size_t size) {
#ifdef MADV_POPULATE_READ
  advise(address, size, MADV_POPULATE_READ, 0);
#else
  (void)address, (void)size;
#endif
}

void vtw_drop_pages(const void *address, size_t size) { advise(address, size, MADV_DONTNEED, 1); }

/* What linkat needs to name an open file without privileges. */
static void descriptor_path(char path[32], int descriptor) {
  snprintf(path, 32, "/proc/self/fd/%d", descriptor);
}

int vtw_open_nameless(const char *folder) {
#ifdef O_TMPFILE
  int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
  if (fd < 0) return -errno;
  char path[32];
  descriptor_path(path, fd);
  if (access(path, F_OK) == 0) return fd;
  close(fd); /* no /proc: the file could never be named */
#else
  (void)folder;
#endif
  return -EOPNOTSUPP;
}

int vtw_create_new(const char *path) {
  int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
  return fd < 0 ? -errno : fd;
}

int vtw_link_open_file(int descriptor, const char *path) {
  char source[32];
  descriptor_path(source, descriptor);
  return linkat(AT_FDCWD, source, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int vtw_rename_new(const char *from, const char *to) {
#ifdef RENAME_NOREPLACE
  if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return -errno;
#endif
  /* The file system does not know the flag; a link does not replace either. */
  if (link(from, to) < 0) return -errno;
  unlink(from);
  return 0;
}

int vtw_reserve(int descriptor, uint64_t size) {
  if (ftruncate(descriptor, (off_t)size) < 0) return -errno;
  if (fallocate(descriptor, 0, 0, (off_t)size) == 0) return 0;
  return errno == EOPNOTSUPP || errno == ENOSYS ? 0 : -errno;
}

void vtw_start_writeback(int descriptor, uint64_t offset, uint64_t size) {
  sync_file_range(descriptor, (off64_t)offset, (off64_t)size, SYNC_FILE_RANGE_WRITE);
}

int vtw_copy_range(int from, uint64_t from_offset, int to, uint64_t to_offset, uint64_t size) {
  off64_t source = (off64_t)from_offset, target = (off64_t)to_offset;
  while (size > 0) {
    ssize_t count = copy_file_range(from, &source, to, &target, size, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) return -EIO; /* the source was cut */
    if (count < 0) {
      int unsupported = errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP;
      return unsupported ? -ENOTSUP : -errno;
    }
    size -= (uint64_t)count;
  }
  return 0;
}

int64_t vtw_free_bytes(int descriptor) {
  struct statvfs status;
  if (fstatvfs(descriptor, &status) < 0) return -errno;
  return (int64_t)status.f_bavail * (int64_t)status.f_frsize;
}
