// MXFP4 rows times few tokens, in whole numbers: the weights straight from the stored blocks, the activations as
// 16-bit integers in two planes of 8 bits, whose dot products the processor has instructions for.
//
// A step takes WIDTH bytes of codes, that is 2 * WIDTH weights: low nibbles are its even elements, high nibbles its
// odd ones. The planes lie in the same order, for each step: high plane even, high odd, low even, low odd (WIDTH
// bytes each), then WIDTH / 4 int32 that `correct` the offset of the weights. Weights are twice their value, plus
// OFFSET where an instruction wants one factor unsigned.

#include "vector.h"

#include <float.h>

#if defined(__AVX512VNNI__)
enum { WIDTH = 64, OFFSET = 12 };
#elif defined(__AVX2__)
enum { WIDTH = 32, OFFSET = 12 };
#else
enum { WIDTH = 16, OFFSET = 0 };
#endif

enum {
    SUMS = WIDTH / 4,
    STEP = 4 * WIDTH + 4 * SUMS,  // bytes of the planes
    BLOCKS = WIDTH / 16,
    AHEAD = 8192,
    LARGEST = 32512,  // 127 * 256
};

int64_t LEVELLED(planes_bytes)(int64_t n) { return (n + 2 * WIDTH - 1) / (2 * WIDTH) * STEP; }

struct planes LEVELLED(to_planes)(const float *x, int64_t n, int8_t *out) {
    float scale = magnitude(x, n) / LARGEST, inverse = 1 / scale;
    struct planes planes = {scale, out};
    if (!(scale >= FLT_MIN)) {  // nothing, or so little that 1 / scale may overflow, or NaN, which scales all
        memset(out, 0, (size_t)LEVELLED(planes_bytes)(n));
        return planes;
    }
    for (int64_t start = 0; start < n; start += 2 * WIDTH, out += STEP) {
        _Alignas(64) int32_t whole[2 * WIDTH];
        for (int64_t i = 0; i < 2 * WIDTH; i += LANES) {
            vf value = start + i < n ? load(x + start + i) * inverse : (vf){0};
            *(vi *)(whole + i) = rounded(value);
        }
        int32_t *correction = (int32_t *)(out + 4 * WIDTH);
        for (int sum = 0; sum < SUMS; sum++) correction[sum] = 0;
        for (int i = 0; i < 2 * WIDTH; i++) {
            // -128 has no opposite in 8 bits, and some instructions need one: half a unit of 16 bits is lost.
            int32_t least = (int8_t)whole[i], value = least == -128 ? whole[i] + 1 : whole[i];
            least = (int8_t)value;
            int side = i % 2 * WIDTH;
            out[side + i / 2] = (int8_t)((value - least) >> 8);
            out[2 * WIDTH + side + i / 2] = (int8_t)least;
            correction[i / 8] -= OFFSET * value;
        }
    }
    return planes;
}

#if defined(__AVX512VNNI__)

// The weights of the low nibbles, and those of the high ones.
#if defined(__AVX512VBMI__)
// Only six bits of a byte choose among 64, of which each 16 are the same: so no other bits need to go.
INLINE __m512i even_of(__m512i codes, __m512i table) { return _mm512_permutexvar_epi8(codes, table); }
INLINE __m512i odd_of(__m512i codes, __m512i table) {
    return _mm512_permutexvar_epi8(_mm512_srli_epi16(codes, 4), table);
}
#else
INLINE __m512i even_of(__m512i codes, __m512i table) {
    return _mm512_shuffle_epi8(table, _mm512_and_si512(codes, _mm512_set1_epi8(15)));
}
INLINE __m512i odd_of(__m512i codes, __m512i table) { return even_of(_mm512_srli_epi16(codes, 4), table); }
#endif

INLINE void rows(const uint8_t *blocks, const uint8_t *scales, int64_t n, int count, const struct planes *x, int tokens,
                 float *y, int64_t stride) {
    const __m512i table = _mm512_broadcast_i32x4(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    const __m512i fourth = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    const char *soon = (const char *)blocks + AHEAD;
    __m512 sums[4][4];
    for (int row = 0; row < count; row++)
        for (int token = 0; token < tokens; token++) sums[row][token] = _mm512_setzero_ps();
    for (int64_t block = 0; block < n; block += 16) {
        // A scale's byte is the exponent of a float32; 0 is 2^-127, which has no exponent of its own.
        __mmask16 there = n - block < 16 ? (__mmask16)((1u << (n - block)) - 1) : 0xffff;
        __m512i exponents[4], which = fourth;
        for (int row = 0; row < count; row++) {
            exponents[row] = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(there, scales + row * n + block));
            exponents[row] =
                _mm512_max_epu32(_mm512_slli_epi32(exponents[row], 23), _mm512_set1_epi32(0x400000));
        }
        for (int64_t at = block; at < n && at < block + 16; at += BLOCKS) {
            __mmask64 bytes = n - at < BLOCKS ? (1ull << 16 * (n - at)) - 1 : ~0ull;
            for (int row = 0; row < count; row++) {
                _mm_prefetch(soon, _MM_HINT_T1);
                soon += 64;
                __m512i codes = _mm512_maskz_loadu_epi8(bytes, blocks + 16 * (row * n + at));
                __m512i even = even_of(codes, table), odd = odd_of(codes, table);
                __m512 scale = _mm512_castsi512_ps(_mm512_permutexvar_epi32(which, exponents[row]));
                for (int token = 0; token < tokens; token++) {
                    const int8_t *planes = x[token].values + at / BLOCKS * STEP;
                    __m512i most = _mm512_setzero_si512();
                    __m512i least = _mm512_loadu_si512(planes + 4 * WIDTH);
                    most = _mm512_dpbusd_epi32(most, even, _mm512_loadu_si512(planes));
                    least = _mm512_dpbusd_epi32(least, even, _mm512_loadu_si512(planes + 2 * WIDTH));
                    most = _mm512_dpbusd_epi32(most, odd, _mm512_loadu_si512(planes + WIDTH));
                    least = _mm512_dpbusd_epi32(least, odd, _mm512_loadu_si512(planes + 3 * WIDTH));
                    __m512i whole = _mm512_add_epi32(_mm512_slli_epi32(most, 8), least);
                    sums[row][token] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole), scale, sums[row][token]);
                }
            }
            which = _mm512_add_epi32(which, _mm512_set1_epi32(4));
        }
    }
    for (int row = 0; row < count; row++)
        for (int token = 0; token < tokens; token++)
            y[token * stride + row] = _mm512_reduce_add_ps(sums[row][token]) * x[token].scale * 0.5f;
}

#elif defined(__AVX2__)

INLINE void rows(const uint8_t *blocks, const uint8_t *scales, int64_t n, int count, const struct planes *x,
                 int tokens, float *y, int64_t stride) {
    const __m256i nibble = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1), bytes = _mm256_set1_epi16(256);
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    for (int64_t row = 0; row < count; row++, blocks += 16 * n, scales += n) {
        __m256 sums[4];
        for (int token = 0; token < tokens; token++) sums[token] = _mm256_setzero_ps();
        for (int64_t at = 0; at < n; at += BLOCKS) {
            __m256i codes;
            uint32_t second = 0;
            if (n - at >= BLOCKS) {
                codes = _mm256_loadu_si256((const __m256i *)(blocks + 16 * at));
                second = scales[at + 1];
            } else {
                codes = _mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *)(blocks + 16 * at)));
            }
            if (at % 4 == 0) _mm_prefetch((const char *)blocks + 16 * at + AHEAD, _MM_HINT_T1);
            __m256i even = _mm256_shuffle_epi8(table, _mm256_and_si256(codes, nibble));
            __m256i odd = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(codes, 4), nibble));
            __m256i exponents = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_set1_epi32(scales[at])),
                                                        _mm_set1_epi32((int)second), 1);
            exponents = _mm256_max_epu32(_mm256_slli_epi32(exponents, 23), _mm256_set1_epi32(0x400000));
            for (int token = 0; token < tokens; token++) {
                const __m256i *planes = (const __m256i *)(x[token].values + at / BLOCKS * STEP);
                // Two products of at most 24 * 127 each, and two of these sums: under 2^15.
                __m256i most = _mm256_add_epi16(_mm256_maddubs_epi16(even, _mm256_loadu_si256(planes)),
                                                _mm256_maddubs_epi16(odd, _mm256_loadu_si256(planes + 1)));
                __m256i least = _mm256_add_epi16(_mm256_maddubs_epi16(even, _mm256_loadu_si256(planes + 2)),
                                                 _mm256_maddubs_epi16(odd, _mm256_loadu_si256(planes + 3)));
                __m256i whole = _mm256_add_epi32(_mm256_madd_epi16(most, bytes), _mm256_madd_epi16(least, ones));
                whole = _mm256_add_epi32(whole, _mm256_loadu_si256(planes + 4));
                sums[token] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole), _mm256_castsi256_ps(exponents), sums[token]);
            }
        }
        for (int token = 0; token < tokens; token++)
            y[token * stride + row] = sum_of((vf)sums[token]) * x[token].scale * 0.5f;
    }
}

#else

#if defined(__ARM_FEATURE_DOTPROD)

INLINE void rows(const uint8_t *blocks, const uint8_t *scales, int64_t n, int count, const struct planes *x,
                 int tokens, float *y, int64_t stride) {
    static const int8_t doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    const int8x16_t table = vld1q_s8(doubled);
    const uint8x16_t nibble = vdupq_n_u8(15);
    for (int64_t row = 0; row < count; row++, blocks += 16 * n, scales += n) {
        float32x4_t sums[4];
        for (int token = 0; token < tokens; token++) sums[token] = vdupq_n_f32(0);
        for (int64_t at = 0; at < n; at++) {
            uint8x16_t codes = vld1q_u8(blocks + 16 * at);
            if (at % 4 == 0) __builtin_prefetch(blocks + 16 * at + AHEAD, 0, 2);
            int8x16_t even = vqtbl1q_s8(table, vandq_u8(codes, nibble));
            int8x16_t odd = vqtbl1q_s8(table, vshrq_n_u8(codes, 4));
            float scale = power_of_two(scales[at]);
            for (int token = 0; token < tokens; token++) {
                const int8_t *planes = x[token].values + at * STEP;
                int32x4_t most = vdotq_s32(vdupq_n_s32(0), even, vld1q_s8(planes));
                most = vdotq_s32(most, odd, vld1q_s8(planes + WIDTH));
                int32x4_t whole = vshlq_n_s32(most, 8);
                whole = vdotq_s32(whole, even, vld1q_s8(planes + 2 * WIDTH));
                whole = vdotq_s32(whole, odd, vld1q_s8(planes + 3 * WIDTH));
                sums[token] = vfmaq_n_f32(sums[token], vcvtq_f32_s32(whole), scale);
            }
        }
        for (int token = 0; token < tokens; token++)
            y[token * stride + row] = vaddvq_f32(sums[token]) * x[token].scale * 0.5f;
    }
}

#else

INLINE void rows(const uint8_t *blocks, const uint8_t *scales, int64_t n, int count, const struct planes *x,
                 int tokens, float *y, int64_t stride) {
    static const int8_t doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    for (int64_t row = 0; row < count; row++, blocks += 16 * n, scales += n) {
        float sums[4] = {0};
        for (int64_t at = 0; at < n; at++) {
            int8_t even[WIDTH], odd[WIDTH];
            for (int i = 0; i < WIDTH; i++) {
                even[i] = doubled[blocks[16 * at + i] & 15];
                odd[i] = doubled[blocks[16 * at + i] >> 4];
            }
            float scale = power_of_two(scales[at]);
            for (int token = 0; token < tokens; token++) {
                const int8_t *planes = x[token].values + at * STEP;
                int32_t most = 0, least = 0;
                for (int i = 0; i < WIDTH; i++) {
                    most += even[i] * planes[i] + odd[i] * planes[WIDTH + i];
                    least += even[i] * planes[2 * WIDTH + i] + odd[i] * planes[3 * WIDTH + i];
                }
                sums[token] += (float)(most * 256 + least) * scale;
            }
        }
        for (int token = 0; token < tokens; token++)
            y[token * stride + row] = sums[token] * x[token].scale * 0.5f;
    }
}

#endif
#endif

// As many rows at a time as there are registers: they share the loads of the activations. What is called in early is the
// next lines of the rows as they lie, so that memory is still read as one stream.
void LEVELLED(expert_rows)(const struct experts *matrix, int64_t expert, int64_t first, int64_t last,
                           const struct planes *x, int64_t tokens, float *y, int64_t stride) {
    int64_t n = matrix->columns / MXFP4_BLOCK;
    for (int64_t row = first, count; row < last; row += count) {
        const uint8_t *blocks = matrix->blocks + (expert * matrix->rows + row) * n * 16;
        const uint8_t *scales = matrix->scales + (expert * matrix->rows + row) * n;
        count = tokens == 1 ? 4 : 2;
        if (last - row < count) count = 1;
        for (int64_t token = 0; token < tokens; token += 4) {
            float *to = y + token * stride + row - first;
            const struct planes *some = x + token;
            int64_t left = tokens - token < 4 ? tokens - token : 4;
            switch (left * 8 + count) {
            case 8 + 4: rows(blocks, scales, n, 4, some, 1, to, stride); break;
            case 8 + 2: rows(blocks, scales, n, 2, some, 1, to, stride); break;
            case 8 + 1: rows(blocks, scales, n, 1, some, 1, to, stride); break;
            case 16 + 2: rows(blocks, scales, n, 2, some, 2, to, stride); break;
            case 16 + 1: rows(blocks, scales, n, 1, some, 2, to, stride); break;
            case 24 + 2: rows(blocks, scales, n, 2, some, 3, to, stride); break;
            case 24 + 1: rows(blocks, scales, n, 1, some, 3, to, stride); break;
            case 32 + 2: rows(blocks, scales, n, 2, some, 4, to, stride); break;
            case 32 + 1: rows(blocks, scales, n, 1, some, 4, to, stride); break;
            }
        }
    }
}
