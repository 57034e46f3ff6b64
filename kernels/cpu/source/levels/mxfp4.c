// MXFP4 rows times few tokens, in whole numbers: the weights straight from the stored blocks, as twice their value,
// the activations as 16-bit integers.
//
// A step takes WIDTH bytes of codes, that is 2 * WIDTH weights: low nibbles are its even elements, high nibbles its
// odd ones. Where the processor has dot products of bytes, the activations are two planes of 8 bits, in the order of
// the codes: for each step the high plane's even ones, its odd ones, the low plane's even, its odd (WIDTH bytes
// each). Where such a product wants one factor unsigned, the weights are raised by OFFSET, and WIDTH / 4 int32 follow
// that correct it. Else a step has its elements 4 i, then 4 i + 1, 4 i + 2, 4 i + 3, in 16 bits.

#include "vector.h"

#include <float.h>

#if defined(__AVX512VNNI__)
enum { WIDTH = 64, OFFSET = 12, STEP = 5 * WIDTH };
#else
enum { WIDTH = 4 * LANES, OFFSET = 0, STEP = 4 * WIDTH };
#endif

enum {
    BLOCKS = WIDTH / 16,
    AHEAD = 8192,
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
        int16_t whole[2 * WIDTH];
        for (int64_t i = 0; i < 2 * WIDTH; i += LANES)
            store_whole(whole + i, start + i < n ? rounded(load(x + start + i) * inverse) : (vi){0});
#if defined(__AVX512VNNI__) || defined(__ARM_FEATURE_DOTPROD)
        for (int odd = 0; odd < 2; odd++)
            for (int i = 0; i < WIDTH; i++) {
                int16_t value = whole[2 * i + odd];
                out[odd * WIDTH + i] = (int8_t)((value + 128) >> 8);
                out[(2 + odd) * WIDTH + i] = (int8_t)value;
            }
        for (int i = 0; OFFSET && i < WIDTH / 4; i++) {
            int32_t sum = 0;
            for (int j = 0; j < 8; j++) sum += whole[8 * i + j];
            ((int32_t *)(out + 4 * WIDTH))[i] = -OFFSET * sum;
        }
#else
        for (int i = 0; i < WIDTH / 2; i++)
            for (int j = 0; j < 4; j++) ((int16_t *)out)[j * WIDTH / 2 + i] = whole[4 * i + j];
#endif
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

// A step of some rows, `apart` from each other, of which so many bytes are there; scales: of each row, 16. Each operation
// comes for all rows and tokens before the next one, so that none waits for its own result.
INLINE void step(const uint8_t *codes, int64_t apart, int rows, __mmask64 bytes, const struct planes *x, int tokens,
                 int64_t at, const __m512i scales[4], __m512i which, __m512 sums[4][4]) {
    const __m512i table = _mm512_broadcast_i32x4(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    __m512i weights[4][2], whole[4][4];
    for (int row = 0; row < rows; row++) {
        const uint8_t *from = codes + row * apart;
        __m512i both = bytes == ~0ull ? _mm512_loadu_si512(from) : _mm512_maskz_loadu_epi8(bytes, from);
        weights[row][0] = even_of(both, table), weights[row][1] = odd_of(both, table);
        for (int token = 0; token < tokens; token++) whole[row][token] = _mm512_setzero_si512();
    }
#pragma GCC unroll 4
    for (int part = 0; part < 4; part++)
#pragma GCC unroll 4
        for (int token = 0; token < tokens; token++) {
            __m512i values = _mm512_loadu_si512(x[token].values + at + part * WIDTH);
            __m512i correction = _mm512_loadu_si512(x[token].values + at + 4 * WIDTH);
#pragma GCC unroll 4
            for (int row = 0; row < rows; row++) {
                __m512i sum = whole[row][token];
                if (part == 2) sum = _mm512_add_epi32(_mm512_slli_epi32(sum, 8), correction);
                whole[row][token] = _mm512_dpbusd_epi32(sum, weights[row][part % 2], values);
            }
        }
    for (int row = 0; row < rows; row++) {
        __m512 scale = _mm512_castsi512_ps(_mm512_permutexvar_epi32(which, scales[row]));
        for (int token = 0; token < tokens; token++)
            sums[row][token] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole[row][token]), scale, sums[row][token]);
    }
}

INLINE void rows(const uint8_t *blocks, const uint8_t *scales, int64_t n, int count, const struct planes *x, int tokens,
                 float *y, int64_t stride) {
    const __m512i fourth = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    const char *soon = (const char *)blocks + AHEAD;
    __m512 sums[4][4];
    for (int row = 0; row < count; row++)
        for (int token = 0; token < tokens; token++) sums[row][token] = _mm512_setzero_ps();
    for (int64_t block = 0; block < n; block += 16) {
        // A scale's byte is the exponent of a float32; 0 is 2^-127, which has no exponent of its own.
        int64_t left = n - block;
        __mmask16 there = left < 16 ? (__mmask16)((1u << left) - 1) : 0xffff;
        __m512i exponents[4];
        for (int row = 0; row < count; row++) {
            exponents[row] = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(there, scales + row * n + block));
            exponents[row] =
                _mm512_max_epu32(_mm512_slli_epi32(exponents[row], 23), _mm512_set1_epi32(0x400000));
        }
#pragma GCC unroll 4
        for (int i = 0; i < 16; i += BLOCKS) {
            if (left <= i) break;
            for (int row = 0; row < count; row++, soon += WIDTH) _mm_prefetch(soon, _MM_HINT_T1);
            const uint8_t *codes = blocks + 16 * (block + i);
            int64_t at = (block + i) / BLOCKS * STEP;
            __m512i which = _mm512_add_epi32(fourth, _mm512_set1_epi32(i));
            __mmask64 some = (1ull << (16 * (left - i) & 63)) - 1;
            if (left >= i + BLOCKS)
                step(codes, 16 * n, count, ~0ull, x, tokens, at, exponents, which, sums);
            else
                step(codes, 16 * n, count, some, x, tokens, at, exponents, which, sums);
        }
    }
    for (int row = 0; row < count; row++)
        for (int token = 0; token < tokens; token++)
            y[token * stride + row] = _mm512_reduce_add_ps(sums[row][token]) * x[token].scale * 0.5f;
}

#elif defined(__ARM_FEATURE_DOTPROD)

INLINE void rows(const uint8_t *blocks, const uint8_t *scales, int64_t n, int count, const struct planes *x,
                 int tokens, float *y, int64_t stride) {
    for (int64_t row = 0; row < count; row++, blocks += 16 * n, scales += n) {
        vf sums[4] = {{0}};
        for (int64_t at = 0; at < n; at++) {
            vu codes = load_bits(blocks + 16 * at);
            if (at % 4 == 0) __builtin_prefetch(blocks + 16 * at + AHEAD);
            vu even = doubled(codes & 0x0f0f0f0f), odd = doubled(codes >> 4 & 0x0f0f0f0f);
            float scale = power_of_two(scales[at]);
            for (int token = 0; token < tokens; token++) {
                const int8_t *planes = x[token].values + at * STEP;
                vi most = whole_dot((vi){0}, even, load_bits(planes));
                most = whole_dot(most, odd, load_bits(planes + WIDTH));
                vi whole = whole_dot(most << 8, even, load_bits(planes + 2 * WIDTH));
                whole = whole_dot(whole, odd, load_bits(planes + 3 * WIDTH));
                sums[token] += __builtin_convertvector(whole, vf) * scale;
            }
        }
        for (int token = 0; token < tokens; token++)
            y[token * stride + row] = sum_of(sums[token]) * x[token].scale * 0.5f;
    }
}

#else

INLINE void step(vu codes, vf scale, const struct planes *x, int64_t at, int tokens, vf sums[4]) {
    // Each value alone in the upper byte of 16 bits: 256 times twice its value.
    vu even = doubled(codes & 0x0f0f0f0f), odd = doubled(codes >> 4 & 0x0f0f0f0f);
    vu values[4] = {(vu)((vs)even << 8), (vu)((vs)odd << 8), even & 0xff00ff00, odd & 0xff00ff00};
    for (int token = 0; token < tokens; token++) {
        const int8_t *from = x[token].values + at / BLOCKS * STEP;
        vi whole[2] = {{0}};
        for (int i = 0; i < 4; i++) whole[i % 2] = whole_dot(whole[i % 2], values[i], load_bits(from + i * WIDTH));
        sums[token] += __builtin_convertvector(whole[0] + whole[1], vf) * scale;
    }
}

INLINE void rows(const uint8_t *blocks, const uint8_t *scales, int64_t n, int64_t count, const struct planes *x,
                 int tokens, float *y, int64_t stride) {
    for (int64_t row = 0; row < count; row++, blocks += 16 * n, scales += n) {
        vf sums[4] = {{0}};
        int64_t at = 0;
#if defined(__AVX2__)
        const __m256i halves = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
        for (; at + 8 <= n; at += 8) {
            __m256i eight = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(scales + at)));
            eight = _mm256_max_epu32(_mm256_slli_epi32(eight, 23), _mm256_set1_epi32(0x400000));
#pragma GCC unroll 4
            for (int i = 0; i < 8; i += BLOCKS) {
                const uint8_t *codes = blocks + 16 * (at + i);
                if (i % 4 == 0) __builtin_prefetch(codes + AHEAD);
                __m256i which = _mm256_add_epi32(halves, _mm256_set1_epi32(i));
                vf scale = (vf)_mm256_permutevar8x32_epi32(eight, which);
                step(load_bits(codes), scale, x, at + i, tokens, sums);
            }
        }
#endif
        for (; at < n; at += BLOCKS) {
            int64_t there = n - at < BLOCKS ? n - at : BLOCKS;
            uint8_t codes[WIDTH] = {0};
            memcpy(codes, blocks + 16 * at, (size_t)there * 16);
            vu scale;
            for (int lane = 0; lane < LANES; lane++)
                scale[lane] = bits_of_scale(scales[at + (lane / 4 < there ? lane / 4 : 0)]);
            step(load_bits(codes), (vf)scale, x, at, tokens, sums);
        }
        for (int token = 0; token < tokens; token++)
            y[token * stride + row] = sum_of(sums[token]) * x[token].scale * (0.5f / 256);
    }
}

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
