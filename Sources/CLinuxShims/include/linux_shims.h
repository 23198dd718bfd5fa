// Linux calls that Swift cannot import: variadics, macros, and headers outside the Glibc module.
// Declares plain functions only, so that no system type is seen through two modules.
#pragma once
#include <stdint.h>

/// One readiness event: `tag` is what `linux_epoll_add` was given.
struct linux_event {
  void *_Nullable tag;
  uint32_t bits;
};

int linux_epoll_create(void);
int linux_eventfd(void);
/// Adds `fd` to `epoll`, edge-triggered in both directions.
int linux_epoll_add(int epoll, int fd, void *_Nullable tag);
/// Takes `fd` out of `epoll`.
int linux_epoll_remove(int epoll, int fd);
/// Up to 256 events into `out`; the count, or a negative number.
int linux_epoll_wait(int epoll, struct linux_event *_Nonnull out, int timeout_ms);

/// A non-blocking, close-on-exec stream socket of `family`.
int linux_socket(int family);
int linux_accept(int fd);
void linux_nodelay(int fd);
void linux_reuse(int fd, int share_port);
/// The pending error of a socket (0: none), which is how a connect in progress reports.
int linux_socket_error(int fd);
int64_t linux_peer_uid(int fd);
int linux_set_nonblocking(int fd);

uint64_t linux_coarse_ms(void);
/// No core dump; not dumpable, so that no other process of the user can attach or read /proc/self/mem.
int linux_harden(void);
/// The two ends of a pipe, both close-on-exec from the start.
int linux_pipe(int *_Nonnull ends);
