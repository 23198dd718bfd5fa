// libcurl's way of sending mail as one plain function: its options are variadic, which Swift cannot call.
#pragma once
#include <stddef.h>

/// Sends `length` bytes of `text` from `from` to the `count` addresses in `to`, by the server at `url` (smtp:// with STARTTLS required where
/// `must_encrypt`, or smtps://). Blocks. Returns 0, or writes why not into `why`, which has room for 256 bytes.
int mail_send(const char *_Nonnull url, int must_encrypt, const char *_Nullable user, const char *_Nullable password, const char *_Nullable authorities,
              const char *_Nonnull from, const char *_Nonnull const *_Nonnull to, size_t count, const char *_Nonnull text, size_t length, long timeout_ms,
              char *_Nonnull why);
