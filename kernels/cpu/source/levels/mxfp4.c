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
    AHEAD = 4096,
    LARGEST = 32512,  // 127 * 256
};

int64_t LEVELLED(planes_bytes)(int64_t n) { return (n + 2 * WIDTH - 1) / (2 * WIDTH) * STEP; }

struct planes LEVELLED(to_planes)(const float *x, int64_t n, int8_t *out) {
    vf most = {0}, faults = {0};  // of which one NaN or infinity makes NaN
    for (int64_t i = 0; i < n; i += LANES) {
        vf value = load(x + i);
        faults += value * 0.0f;
        most = larger(smaller(value, -value) * -1.0f, most);
    }
    float scale = peak_of(most) / LARGEST + sum_of(faults), inverse = 1 / scale;
    struct planes planes = {scale, out};
    if (!(scale >= FLT_MIN)) {  // nothing, or so little that 1 / scale may overflow, or NaN, which scales all
        memset(out, 0, (size_t)LEVELLED(planes_bytes)(n));
        return planes;
    }
    for (int64_t start = 0; start < n; start += 2 * WIDTH, out += STEP) {
        _Alignas(64) int32_t whole[2 * WIDTH];
        for (int64_t i = 0; i < 2 * WIDTH; i += LANES) {
            vf value = start + i < n ? load(x + start + i) * inverse : (vf){0};
            const vf magic = broadcast(12582912.0f);
            *(vi *)(whole + i) = __builtin_convertvector((value + magic) - magic, vi);
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

INLINE void rows(const uint8_t *blocks, const uint8_t *scales, int64_t n, int64_t count, const struct planes *x,
                 int tokens, float *y, int64_t stride) {
    const __m512i nibble = _mm512_set1_epi8(15);
    const __m512i table = _mm512_broadcast_i32x4(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    const __m512i fourth = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    for (int64_t row = 0; row < count; row++, blocks += 16 * n, scales += n) {
        __m512 sums[4];
        for (int token = 0; token < tokens; token++) sums[token] = _mm512_setzero_ps();
        for (int64_t block = 0; block < n; block += 16) {
            // A scale's byte is the exponent of a float32; 0 is 2^-127, which has no exponent of its own.
            __mmask16 there = n - block < 16 ? (__mmask16)((1u << (n - block)) - 1) : 0xffff;
            __m512i exponents = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(there, scales + block));
            exponents = _mm512_max_epu32(_mm512_slli_epi32(exponents, 23), _mm512_set1_epi32(0x400000));
            __m512i which = fourth;
            for (int64_t at = block; at < n && at < block + 16; at += BLOCKS) {
                __m512i codes;
                if (n - at >= BLOCKS)
                    codes = _mm512_loadu_si512(blocks + 16 * at);
                else
                    codes = _mm512_maskz_loadu_epi8((1ull << 16 * (n - at)) - 1, blocks + 16 * at);
                _mm_prefetch((const char *)blocks + 16 * at + AHEAD, _MM_HINT_T0);
                __m512i even = _mm512_shuffle_epi8(table, _mm512_and_si512(codes, nibble));
                __m512i odd = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(codes, 4), nibble));
                __m512 scale = _mm512_castsi512_ps(_mm512_permutexvar_epi32(which, exponents));
                which = _mm512_add_epi32(which, _mm512_set1_epi32(4));
                for (int token = 0; token < tokens; token++) {
                    const int8_t *planes = x[token].values + at / BLOCKS * STEP;
                    __m512i most = _mm512_setzero_si512();
                    __m512i least = _mm512_loadu_si512(planes + 4 * WIDTH);
                    most = _mm512_dpbusd_epi32(most, even, _mm512_loadu_si512(planes));
                    most = _mm512_dpbusd_epi32(most, odd, _mm512_loadu_si512(planes + WIDTH));
                    least = _mm512_dpbusd_epi32(least, even, _mm512_loadu_si512(planes + 2 * WIDTH));
                    least = _mm512_dpbusd_epi32(least, odd, _mm512_loadu_si512(planes + 3 * WIDTH));
                    __m512i whole = _mm512_add_epi32(_mm512_slli_epi32(most, 8), least);
                    sums[token] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole), scale, sums[token]);
                }
            }
        }
        for (int token = 0; token < tokens; token++)
            y[token * stride + row] = _mm512_reduce_add_ps(sums[token]) * x[token].scale * 0.5f;
    }
}

#elif defined(__AVX2__)

INLINE void rows(const uint8_t *blocks, const uint8_t *scales, int64_t n, int64_t count, const struct planes *x,
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
            if (at % 4 == 0) _mm_prefetch((const char *)blocks + 16 * at + AHEAD, _MM_HINT_T0);
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

INLINE float power_of_two(uint8_t scale) {
    union {
        uint32_t bits;
        float value;
    } as = {scale ? (uint32_t)scale << 23 : 0x400000};
    return as.value;
}

#if defined(__ARM_FEATURE_DOTPROD)

INLINE void rows(const uint8_t *blocks, const uint8_t *scales, int64_t n, int64_t count, const struct planes *x,
                 int tokens, float *y, int64_t stride) {
    static const int8_t doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    const int8x16_t table = vld1q_s8(doubled);
    const uint8x16_t nibble = vdupq_n_u8(15);
    for (int64_t row = 0; row < count; row++, blocks += 16 * n, scales += n) {
        float32x4_t sums[4];
        for (int token = 0; token < tokens; token++) sums[token] = vdupq_n_f32(0);
        for (int64_t at = 0; at < n; at++) {
            uint8x16_t codes = vld1q_u8(blocks + 16 * at);
            if (at % 4 == 0) __builtin_prefetch(blocks + 16 * at + AHEAD);
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

INLINE void rows(const uint8_t *blocks, const uint8_t *scales, int64_t n, int64_t count, const struct planes *x,
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

void LEVELLED(expert_rows)(const struct experts *matrix, int64_t expert, int64_t first, int64_t last,
                           const struct planes *x, int64_t tokens, float *y, int64_t stride) {
    int64_t n = matrix->columns / MXFP4_BLOCK, count = last - first;
    const uint8_t *blocks = matrix->blocks + (expert * matrix->rows + first) * n * 16;
    const uint8_t *scales = matrix->scales + (expert * matrix->rows + first) * n;
    if (tokens <= 4) {
        switch (tokens) {
        case 1: rows(blocks, scales, n, count, x, 1, y, stride); break;
        case 2: rows(blocks, scales, n, count, x, 2, y, stride); break;
        case 3: rows(blocks, scales, n, count, x, 3, y, stride); break;
        case 4: rows(blocks, scales, n, count, x, 4, y, stride); break;
        }
        return;
    }
    // The row then comes from the first-level cache for all tokens but the first four.
    for (int64_t row = 0; row < count; row++)
        for (int64_t token = 0; token < tokens; token += 4)
            LEVELLED(expert_rows)(matrix, expert, first + row, first + row + 1, x + token,
                                  tokens - token < 4 ? tokens - token : 4, y + token * stride + row, stride);
}
