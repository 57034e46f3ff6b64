// Rows in 8 bits (int8.c) times few tokens, in whole numbers: the activations as 16-bit integers. The sums are exact, so
// that a token's do not depend on those beside it.
//
// A step takes WIDTH columns. Where the processor has dot products of bytes, the activations are two planes of 8 bits:
// for each step the high one, then the low one. Where such a product wants one factor unsigned, the weights are raised
// by OFFSET. Else a step has its even columns, then its odd ones, in 16 bits.

#include "vector.h"

#include <float.h>

enum {
    WIDTH = 4 * LANES,
    LINE = 64,
    AHEAD = 3072,  // bytes beyond the last row's
#if defined(__AVX512VNNI__)
    OFFSET = 128, HIGH = 256, SPAN = 1 << 16,
#elif defined(__ARM_FEATURE_DOTPROD)
    OFFSET = 0, HIGH = 256, SPAN = 1 << 16,
#else
    OFFSET = 0, HIGH = 1, SPAN = 2048,  // columns whose sums 32 bits hold, whatever they are
#endif
};

struct whole LEVELLED(to_whole)(const float *x, int64_t n, int8_t *out) {
    float peak = magnitude(x, n), scale = peak / LARGEST, inverse = 1 / scale, length = sqrtf((float)n) * 1.001f;
    struct whole as = {.scale = scale, .left = 0.51f * scale * length, .values = out};
    if (!(scale >= FLT_MIN)) {  // see to_planes
        memset(out, 0, (size_t)(2 * in_lines(n)));
        as.left = peak * length + FLT_MIN;
        return as;
    }
    for (int64_t start = 0; start < in_lines(n); start += WIDTH, out += 2 * WIDTH) {
        int16_t whole[WIDTH];
        for (int64_t i = 0; i < WIDTH; i += LANES)
            store_whole(whole + i, start + i < n ? rounded(load(x + start + i) * inverse) : (vi){0});
        for (int i = 0; i < WIDTH; i++) {
            as.sum += whole[i];
            if (HIGH == 1) {
                ((int16_t *)out)[i % 2 * WIDTH / 2 + i / 2] = whole[i];
            } else {
                out[i] = (int8_t)((whole[i] + 128) >> 8);
                out[WIDTH + i] = (int8_t)whole[i];
            }
        }
    }
    return as;
}

INLINE void multiply_step(vu weights, const int8_t *x, vi sums[2]) {
    vu first = load_bits(x), second = load_bits(x + WIDTH);
#if defined(__AVX512VNNI__)
    sums[0] = (vi)_mm512_dpbusd_epi32((__m512i)sums[0], (__m512i)weights, (__m512i)first);
    sums[1] = (vi)_mm512_dpbusd_epi32((__m512i)sums[1], (__m512i)weights, (__m512i)second);
#elif defined(__ARM_FEATURE_DOTPROD)
    sums[0] = whole_dot(sums[0], weights, first);
    sums[1] = whole_dot(sums[1], weights, second);
#else
    sums[0] = whole_dot(sums[0], (vu)((vs)weights << 8 >> 8), first);
    sums[1] = whole_dot(sums[1], (vu)((vs)weights >> 8), second);
#endif
}

// What the sums of two planes make, or of even and odd columns.
INLINE int64_t join(const vi sums[2]) {
#if defined(__AVX512F__)
    __m512i joined = _mm512_setzero_si512();
    for (int half = 0; half < 2; half++) {
        __m512i high = _mm512_cvtepi32_epi64(((__m256i *)&sums[0])[half]);
        joined = _mm512_add_epi64(joined, _mm512_mul_epi32(high, _mm512_set1_epi64(HIGH)));
        joined = _mm512_add_epi64(joined, _mm512_cvtepi32_epi64(((__m256i *)&sums[1])[half]));
    }
    return _mm512_reduce_add_epi64(joined);
#elif defined(__AVX2__)
    __m256i both = (__m256i)(sums[0] + sums[1]);
    __m256i joined = _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(both)),
                                      _mm256_cvtepi32_epi64(_mm256_extracti128_si256(both, 1)));
    __m128i half = _mm_add_epi64(_mm256_castsi256_si128(joined), _mm256_extracti128_si256(joined, 1));
    return _mm_cvtsi128_si64(half) + _mm_extract_epi64(half, 1);
#else
    int64_t sum = 0;
    for (int lane = 0; lane < LANES; lane++) sum += (int64_t)HIGH * sums[0][lane] + sums[1][lane];
    return sum;
#endif
}

INLINE void some_rows(const int8_t *values, const float *scales, int64_t bytes, int rows, const struct whole *x,
                      int tokens, float *y, int64_t stride) {
    int64_t total[2][4];
    for (int row = 0; row < rows; row++)
        for (int token = 0; token < tokens; token++) total[row][token] = -OFFSET * x[token].sum;
    const char *soon = (const char *)values + (rows - 1) * bytes + AHEAD;
    for (int64_t start = 0; start < bytes; start += SPAN) {
        vi sums[2][4][2] = {{{{0}}}};
        int64_t end = bytes - start < SPAN ? bytes : start + SPAN;
        for (int64_t line = start; line < end; line += LINE) {
            for (int row = 0; row < rows; row++, soon += LINE) __builtin_prefetch(soon, 0, 2);
            for (int row = 0; row < rows; row++)
#pragma GCC unroll 4
                for (int64_t i = line; i < line + LINE; i += WIDTH) {
                    vu weights = load_bits(values + row * bytes + i);
                    if (OFFSET) weights ^= 0x80808080;
                    for (int token = 0; token < tokens; token++)
                        multiply_step(weights, x[token].values + 2 * i, sums[row][token]);
                }
        }
        for (int row = 0; row < rows; row++)
            for (int token = 0; token < tokens; token++)
                total[row][token] += join(sums[row][token]);
    }
    for (int row = 0; row < rows; row++)
        for (int token = 0; token < tokens; token++)
            y[token * stride + row] = (float)((double)total[row][token] * scales[row] * x[token].scale);
}

// One row is fastest at reading memory, where the arithmetic is nothing. Two share the loads of the activations; what is
// called in early are then the next lines of both as they lie, as in dense.c. A group of rows takes four tokens after
// four, whose activations so stay in the first-level cache.
void LEVELLED(int8_rows)(const struct dense *matrix, int64_t first, int64_t last, const struct whole *x, int64_t tokens,
                         float *y, int64_t stride) {
    enum { GROUP = 32 };
    int64_t bytes = in_lines(matrix->columns);
    for (int64_t group = first; group < last; group += GROUP)
        for (int64_t token = 0; token < tokens; token += 4) {
            int64_t end = last - group < GROUP ? last : group + GROUP, left = tokens - token < 4 ? tokens - token : 4;
            for (int64_t row = group, rows; row < end; row += rows) {
                const int8_t *values = matrix->int8.values + row * bytes;
                const float *scales = matrix->int8.scales + row;
                const struct whole *some = x + token;
                float *to = y + token * stride + row - first;
                rows = (left == 1 && LANES == 16) || row + 1 == end ? 1 : 2;
                switch (left * 8 + rows) {
                case 8 + 1: some_rows(values, scales, bytes, 1, some, 1, to, stride); break;
                case 8 + 2: some_rows(values, scales, bytes, 2, some, 1, to, stride); break;
                case 16 + 2: some_rows(values, scales, bytes, 2, some, 2, to, stride); break;
                case 16 + 1: some_rows(values, scales, bytes, 1, some, 2, to, stride); break;
                case 24 + 2: some_rows(values, scales, bytes, 2, some, 3, to, stride); break;
                case 24 + 1: some_rows(values, scales, bytes, 1, some, 3, to, stride); break;
                case 32 + 2: some_rows(values, scales, bytes, 2, some, 4, to, stride); break;
                case 32 + 1: some_rows(values, scales, bytes, 1, some, 4, to, stride); break;
                }
            }
        }
}
