#define _GNU_SOURCE
#include "CSystem.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

typedef struct {
  void (*body)(void *context);
  void *context;
} work;

#if defined(__linux__)
/* A thread inherits its maker's processors.  The maker may keep to a single one by now, so the
 * process's own are remembered from its start. */
static cpu_set_t own_processors;

__attribute__((constructor)) static void remember_processors(void) {
  sched_getaffinity(0, sizeof own_processors, &own_processors);
}

static void give_way(void) {
  sched_setaffinity(0, sizeof own_processors, &own_processors);
  setpriority(PRIO_PROCESS, 0, 19); /* of this thread alone */
}
#else
static void give_way(void) {}
#endif

static void *run(void *argument) {
  work mine = *(work *)argument;
  free(argument);
  give_way();
  mine.body(mine.context);
  return NULL;
}

int vtw_start_background(void (*body)(void *context), void *context) {
  work *w = malloc(sizeof *w);
  if (!w) return -ENOMEM;
  *w = (work){body, context};
  pthread_attr_t detached;
  pthread_attr_init(&detached);
  pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
  /* Signals belong to the program's own threads, but for that of a page that cannot be read. */
  sigset_t all, before;
  sigfillset(&all);
  sigdelset(&all, SIGBUS);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  int code = pthread_create(&thread, &detached, run, w);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&detached);
  if (code != 0) free(w);
  return -code;
}
