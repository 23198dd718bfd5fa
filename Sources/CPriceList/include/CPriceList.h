#pragma once
#include <stddef.h>

// The shipped price list (prices.tsv), part of the binary: there is no file to lose. Built by scripts/prices.py.
const unsigned char *maskllm_prices_start(void);
size_t maskllm_prices_size(void);
