// Memory for large copies of weights, in pages as large as the system gives: small ones cost a look-up each.

#define _GNU_SOURCE
#include "gptoss.h"

#include <stdlib.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

enum { HUGE_PAGE = 2 << 20 };

void *large_memory(int64_t bytes) {
    void *memory = NULL;
    if (posix_memalign(&memory, HUGE_PAGE, (size_t)bytes)) return NULL;
#if defined(__linux__)
    madvise(memory, (size_t)bytes, MADV_HUGEPAGE);
#endif
    return memory;
}
