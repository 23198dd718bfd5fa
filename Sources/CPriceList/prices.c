#include "CPriceList.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char prices[] = {
#embed "prices.tsv"
};

const unsigned char *maskllm_prices_start(void) { return prices; }
size_t maskllm_prices_size(void) { return sizeof prices; }
