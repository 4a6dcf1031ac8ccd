/* A pool of threads for many short parallel loops: a fork and join costs well under a microsecond
 * while the workers are awake, and nothing runs while they sleep.
 *
 * The state of a loop is one 64-bit word, generation << 32 | next index.  A thread claims an index
 * by compare-and-swap on the whole word, so a worker that wakes late can never take an index of a
 * later loop with an earlier body; the caller waits for finished indices only, never for workers
 * that were not there. */
#define _GNU_SOURCE
#include "CKernels.h"
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* How long a thread that has nothing to do keeps looking before it sleeps: longer than the serial
 * steps between two loops, far shorter than a pause for a user. */
static const long SPIN_NANOSECONDS = 100000;

/* No thread can claim an index from this on. */
static const uint32_t CLOSED = UINT32_MAX;

struct vtw_pool {
  _Alignas(64) _Atomic uint64_t word;
  _Alignas(64) _Atomic uint32_t finished;     /* indices done in this loop */
  _Alignas(64) _Atomic uint32_t generation;   /* what sleeping workers wait on */
  _Atomic uint32_t sleeping;                  /* workers in or near a wait */
  _Atomic uint32_t caller_sleeps;
  _Atomic uint32_t stop;
  _Atomic(void (*)(void *, size_t)) body;
  _Atomic(void *) context;
  _Atomic uint32_t count;
  size_t workers;
  pthread_t threads[63];
  int is_pinned;
  pthread_t maker;
#if defined(__linux__)
  cpu_set_t maker_processors; /* before it was pinned */
#endif
};

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static long nanoseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000L + t.tv_nsec;
}

#if defined(__linux__)
static void wait_while(_Atomic uint32_t *address, uint32_t value) {
  syscall(SYS_futex, address, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}
static void wake(_Atomic uint32_t *address) {
  syscall(SYS_futex, address, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
#else
static void wait_while(_Atomic uint32_t *address, uint32_t value) {
  (void)address, (void)value;
  sched_yield();
}
static void wake(_Atomic uint32_t *address) { (void)address; }
#endif

/* Spins for a while for *address to differ from `value`; returns whether it does. */
static int spin_while(_Atomic uint32_t *address, uint32_t value) {
  long end = 0;
  for (;;) {
    for (int i = 0; i < 64; i++) {
      if (atomic_load_explicit(address, memory_order_acquire) != value) return 1;
      relax();
    }
    long now = nanoseconds();
    if (end == 0) end = now + SPIN_NANOSECONDS;
    if (now > end) return 0;
  }
}

/* Runs indices of the current loop until none is left. */
static void work(vtw_pool *pool) {
  uint64_t word = atomic_load_explicit(&pool->word, memory_order_acquire);
  for (;;) {
    /* Read before the claim: if the claim succeeds, the loop was open all the while, and these
     * are its own. */
    void (*body)(void *, size_t) = atomic_load_explicit(&pool->body, memory_order_relaxed);
    void *context = atomic_load_explicit(&pool->context, memory_order_relaxed);
    uint32_t count = atomic_load_explicit(&pool->count, memory_order_relaxed);
    uint32_t index = (uint32_t)word;
    if (index >= count) return;
    atomic_thread_fence(memory_order_acquire);
    if (!atomic_compare_exchange_weak_explicit(&pool->word, &word, word + 1, memory_order_acq_rel,
                                               memory_order_acquire))
      continue;
    body(context, index);
    word += 1;
    uint32_t done = atomic_fetch_add_explicit(&pool->finished, 1, memory_order_seq_cst) + 1;
    if (done == count && atomic_load_explicit(&pool->caller_sleeps, memory_order_seq_cst))
      wake(&pool->finished);
    word = atomic_load_explicit(&pool->word, memory_order_acquire);
  }
}

static void *worker(void *argument) {
  vtw_pool *pool = argument;
  uint32_t seen = 0;
#if defined(__linux__)
  pthread_setname_np(pthread_self(), "vtwm worker");
#endif
  for (;;) {
    while (!spin_while(&pool->generation, seen)) {
      atomic_fetch_add_explicit(&pool->sleeping, 1, memory_order_seq_cst);
      /* Returns at once if the generation moved since. */
      wait_while(&pool->generation, seen);
      atomic_fetch_sub_explicit(&pool->sleeping, 1, memory_order_seq_cst);
    }
    seen = atomic_load_explicit(&pool->generation, memory_order_acquire);
    if (atomic_load_explicit(&pool->stop, memory_order_acquire)) return NULL;
    work(pool);
  }
}

/* Tells the workers that there is something new. */
static void announce(vtw_pool *pool) {
  atomic_fetch_add_explicit(&pool->generation, 1, memory_order_seq_cst);
  if (atomic_load_explicit(&pool->sleeping, memory_order_seq_cst)) wake(&pool->generation);
}

#if defined(__linux__)
static void pin(pthread_t thread, uint32_t processor) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (processor < CPU_SETSIZE) CPU_SET(processor, &set);
  pthread_setaffinity_np(thread, sizeof set, &set);
}
static void pin_threads(vtw_pool *pool, const uint32_t *processors) {
  pool->maker = pthread_self();
  pool->is_pinned = pthread_getaffinity_np(pool->maker, sizeof pool->maker_processors,
                                           &pool->maker_processors) == 0;
  if (!pool->is_pinned) return;
  pin(pool->maker, processors[0]);
  for (size_t i = 0; i < pool->workers; i++) pin(pool->threads[i], processors[i + 1]);
}
static void unpin_maker(vtw_pool *pool) {
  if (pool->is_pinned && pthread_equal(pool->maker, pthread_self()))
    pthread_setaffinity_np(pool->maker, sizeof pool->maker_processors, &pool->maker_processors);
}
#else
static void pin_threads(vtw_pool *pool, const uint32_t *processors) {
  (void)pool, (void)processors;
}
static void unpin_maker(vtw_pool *pool) { (void)pool; }
#endif

vtw_pool *vtw_pool_create(size_t threads, const uint32_t *processors) {
  vtw_pool *pool = aligned_alloc(64, (sizeof(vtw_pool) + 63) / 64 * 64);
  if (!pool) return NULL;
  *pool = (vtw_pool){.word = CLOSED};
  size_t wanted = threads < 1 ? 0 : threads > 64 ? 63 : threads - 1;
  /* Signals belong to the program's own threads, but for that of a page that cannot be read. */
  sigset_t all, before;
  sigfillset(&all);
  sigdelset(&all, SIGBUS);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (pool->workers < wanted &&
         pthread_create(&pool->threads[pool->workers], NULL, worker, pool) == 0)
    pool->workers++;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (processors) pin_threads(pool, processors);
  return pool;
}

void vtw_pool_destroy(vtw_pool *pool) {
  if (!pool) return;
  atomic_store_explicit(&pool->stop, 1, memory_order_seq_cst);
  announce(pool);
  for (size_t i = 0; i < pool->workers; i++) pthread_join(pool->threads[i], NULL);
  unpin_maker(pool);
  free(pool);
}

void vtw_pool_run(vtw_pool *pool, size_t count, void (*body)(void *context, size_t index),
                  void *context) {
  if (pool->workers == 0 || count <= 1) {
    for (size_t i = 0; i < count; i++) body(context, i);
    return;
  }
  /* Every index of the loop before was claimed, and is now made unclaimable under a new
   * generation before the fields change. */
  uint64_t generation = (atomic_load_explicit(&pool->word, memory_order_relaxed) >> 32) + 1;
  atomic_store_explicit(&pool->word, generation << 32 | CLOSED, memory_order_seq_cst);
  atomic_thread_fence(memory_order_seq_cst);
  atomic_store_explicit(&pool->finished, 0, memory_order_relaxed);
  atomic_store_explicit(&pool->body, body, memory_order_relaxed);
  atomic_store_explicit(&pool->context, context, memory_order_relaxed);
  atomic_store_explicit(&pool->count, (uint32_t)count, memory_order_relaxed);
  atomic_store_explicit(&pool->word, (generation + 1) << 32, memory_order_release);
  announce(pool);
  work(pool);
  for (;;) {
    uint32_t done = atomic_load_explicit(&pool->finished, memory_order_acquire);
    if (done == count) return;
    if (spin_while(&pool->finished, done)) continue;
    atomic_store_explicit(&pool->caller_sleeps, 1, memory_order_seq_cst);
    done = atomic_load_explicit(&pool->finished, memory_order_seq_cst);
    if (done != count) wait_while(&pool->finished, done);
    atomic_store_explicit(&pool->caller_sleeps, 0, memory_order_seq_cst);
  }
}

size_t vtw_allowed_processors(uint8_t *allowed, size_t count) {
  size_t found = 0;
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    for (size_t i = 0; i < count && i < CPU_SETSIZE; i++)
      if (CPU_ISSET(i, &set)) {
        allowed[i] = 1;
        found++;
      }
#else
  (void)allowed, (void)count;
#endif
  return found;
}
