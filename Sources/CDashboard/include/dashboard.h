// The files of the dashboard, within the program.
#pragma once
#include <stddef.h>

struct dashboard_file {
  const char *_Nonnull name;
  const char *_Nonnull media_type;
  const unsigned char *_Nonnull bytes;
  size_t count;
};

size_t dashboard_count(void);
/// The file at `index`, which is below the count.
struct dashboard_file dashboard_file_at(size_t index);
