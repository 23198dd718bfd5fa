// LD_PRELOAD counter of allocations: writes it to the file named by MALLOC_COUNT when SIGUSR1 arrives, or at exit.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static atomic_ulong count;
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
void *malloc(size_t n) { atomic_fetch_add_explicit(&count, 1, memory_order_relaxed); return __libc_malloc(n); }
void *calloc(size_t a, size_t b) { atomic_fetch_add_explicit(&count, 1, memory_order_relaxed); return __libc_calloc(a, b); }
void *realloc(void *p, size_t n) { atomic_fetch_add_explicit(&count, 1, memory_order_relaxed); return __libc_realloc(p, n); }
int posix_memalign(void **out, size_t a, size_t n) {
  atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
  *out = __libc_memalign(a, n);
  return *out ? 0 : 12;
}
void *aligned_alloc(size_t a, size_t n) { atomic_fetch_add_explicit(&count, 1, memory_order_relaxed); return __libc_memalign(a, n); }

static void report(int signal) {
  (void)signal;
  char text[32];
  unsigned long value = atomic_load(&count);
  int n = 0;
  do text[n++] = '0' + value % 10; while (value /= 10);
  for (int i = 0; i < n / 2; i++) { char c = text[i]; text[i] = text[n - 1 - i]; text[n - 1 - i] = c; }
  int fd = open(getenv("MALLOC_COUNT"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd >= 0) { if (write(fd, text, n)) {} close(fd); }
}
__attribute__((constructor)) static void start(void) { signal(SIGUSR1, report); }
__attribute__((destructor)) static void end(void) {
  if (getenv("MALLOC_COUNT_AT_EXIT")) report(0);
}
