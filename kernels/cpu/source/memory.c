// Memory for large copies of weights, in pages as large as the system gives: small ones cost a look-up each. The last
// page is a small one, so that no copy takes more than it needs.

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
    if (bytes >= HUGE_PAGE) madvise(memory, (size_t)(bytes / HUGE_PAGE * HUGE_PAGE), MADV_HUGEPAGE);
#endif
    return memory;
}
