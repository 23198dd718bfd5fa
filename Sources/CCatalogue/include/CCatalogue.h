#pragma once
#include <stddef.h>

// The shipped catalogue, part of the binary: one file per provider, named by it.
struct maskllm_catalogue_file {
  const char *name;
  const unsigned char *bytes;
  size_t size;
};
size_t maskllm_catalogue_count(void);
const struct maskllm_catalogue_file *maskllm_catalogue_at(size_t i);
// How keys are made and ended at providers: one file.
const struct maskllm_catalogue_file *maskllm_connectors(void);
