// The version of the interface, and the choice of a level by what the processor and the system support.

#include "gptoss.h"

#include <pthread.h>
#include <string.h>

EXPORT int gptoss_abi(void) { return GPTOSS_ABI; }

#define DECLARE(name) void fill_##name(struct level *level);

// Once: engines that run already call through this table.
static const struct level *filled(struct level *level, void (*fill)(struct level *)) {
    static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&one);
    if (!level->name) fill(level);
    pthread_mutex_unlock(&one);
    return level;
}

#if defined(__x86_64__)

#include <cpuid.h>

// Not __builtin_cpu_supports: compiled by clang without its run-time library, it always answers no.
struct processor {
    int avx2, avx512, avx512bf16;
};

static struct processor look(void) {
    struct processor found = {0};
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX)) return found;
    int fma = (c & bit_FMA) && (c & bit_F16C);
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    if ((low & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
    found.avx2 = fma && (b & bit_AVX2) && (b & bit_BMI2);
    unsigned wide = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
    found.avx512 = found.avx2 && (low & 0xe0) == 0xe0 && (b & wide) == wide && (c & 1 << 11);  // VNNI
    int permutes = c >> 1 & 1;  // VBMI
    if (found.avx512 && permutes && __get_cpuid_count(7, 1, &a, &b, &c, &d)) found.avx512bf16 = a >> 5 & 1;
    return found;
}

DECLARE(base)
DECLARE(avx2)
DECLARE(avx512)
DECLARE(avx512bf16)

EXPORT const struct level *best_level(const char *most) {
    static struct level levels[4];
    struct processor found = look();
    int limit = !most || !strcmp(most, "avx512bf16") ? 3
        : !strcmp(most, "avx512")                    ? 2
        : !strcmp(most, "avx2")                      ? 1
                                                     : 0;
    int best = found.avx512bf16 ? 3 : found.avx512 ? 2 : found.avx2;
    best = best < limit ? best : limit;
    void (*const fill[])(struct level *) = {fill_base, fill_avx2, fill_avx512, fill_avx512bf16};
    return filled(&levels[best], fill[best]);
}

#elif defined(__aarch64__)

#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

DECLARE(base)
DECLARE(dotprod)
DECLARE(i8mm)

// The best that there is: 0 base, 1 dotprod, 2 i8mm, which has products of bfloat16 too.
static int look(void) {
#if defined(__linux__)
    unsigned long more = getauxval(AT_HWCAP2);
    return !(getauxval(AT_HWCAP) >> 20 & 1) ? 0 : (more >> 13 & 1) && (more >> 14 & 1) ? 2 : 1;
#elif defined(__APPLE__)
    int i8mm = 0, bf16 = 0;
    size_t size = sizeof i8mm;
    sysctlbyname("hw.optional.arm.FEAT_I8MM", &i8mm, &size, NULL, 0);
    sysctlbyname("hw.optional.arm.FEAT_BF16", &bf16, &size, NULL, 0);
    return i8mm && bf16 ? 2 : 1;  // every Mac with an Arm processor has dotprod
#else
    return 0;
#endif
}

EXPORT const struct level *best_level(const char *most) {
    static struct level levels[3];
    int limit = !most || !strcmp(most, "i8mm") ? 2 : !strcmp(most, "dotprod");
    int best = look();
    best = best < limit ? best : limit;
    void (*const fill[])(struct level *) = {fill_base, fill_dotprod, fill_i8mm};
    return filled(&levels[best], fill[best]);
}

#else

DECLARE(base)

EXPORT const struct level *best_level(const char *most) {
    static struct level level;
    (void)most;
    return filled(&level, fill_base);
}

#endif

// The level that this processor gets.
EXPORT const char *gptoss_best_level(void) { return best_level(NULL)->name; }
