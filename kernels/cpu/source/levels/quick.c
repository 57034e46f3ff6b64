// Panels of experts times many tokens whose activations have 8 bits, with a scale for each 32 of them: half as exact as
// bfloat16 and twice as fast, where the processor has dot products of bytes.
//
// A panel's weights are raised by OFFSET, since one factor of such a product is unsigned. For each block of 32 columns
// it has eight words for each row, each of four even or four odd columns, and then the rows' scales. An activation has
// the same columns in words, then its scale, and what corrects the sum for OFFSET.

#include "panel.h"

#include <float.h>

#if defined(__AVX512VNNI__)

enum { OFFSET = 12, WORDS = MXFP4_BLOCK / 4, TILE = 6, PARTS = ROWS / LANES };

struct block {
    int8_t values[MXFP4_BLOCK];
    float scale;
    int32_t correction;
};

void LEVELLED(pack_quick)(const float *x, int64_t n, void *out) {
    for (struct block *block = out; n > 0; block++, x += MXFP4_BLOCK, n -= MXFP4_BLOCK) {
        float scale = magnitude(x, MXFP4_BLOCK) / 127, inverse = scale >= FLT_MIN ? 1 / scale : 0;
        int32_t sum = 0;
        for (int i = 0; i < MXFP4_BLOCK; i += LANES) {
            vi whole = rounded(load(x + i) * inverse);
            sum += _mm512_reduce_add_epi32((__m512i)whole);
            for (int lane = 0; lane < LANES; lane++)
                block->values[(i + lane) / 8 * 8 + lane % 2 * 4 + lane % 8 / 2] = (int8_t)whole[lane];
        }
        block->scale = scale / 2;  // weights are twice their value
        block->correction = -OFFSET * sum;
    }
}

void LEVELLED(quick_panel)(const struct experts *matrix, int64_t expert, int64_t first, void *panel) {
    const __m512i table = _mm512_broadcast_i32x4(
        _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
    const __m512i nibble = _mm512_set1_epi8(15);
    int64_t n = matrix->columns / MXFP4_BLOCK;
    const char *row[ROWS], *scales[ROWS];
    find_rows(matrix->blocks + expert * matrix->rows * n * 16, matrix->rows, n * 16, first, row);
    find_rows(matrix->scales + expert * matrix->rows * n, matrix->rows, n, first, scales);
    uint32_t *out = panel;
    for (int64_t block = 0; block < n; block++, out += (WORDS + 1) * ROWS) {
        for (int part = 0; part < PARTS; part++) {
            vu codes[4];
            turn(row + part * LANES, block * 16, codes);
            for (int i = 0; i < 4; i++) {
                __m512i even = _mm512_and_si512((__m512i)codes[i], nibble);
                __m512i odd = _mm512_and_si512(_mm512_srli_epi16((__m512i)codes[i], 4), nibble);
                _mm512_storeu_si512(out + 2 * i * ROWS + part * LANES, _mm512_shuffle_epi8(table, even));
                _mm512_storeu_si512(out + (2 * i + 1) * ROWS + part * LANES, _mm512_shuffle_epi8(table, odd));
            }
        }
        for (int i = 0; i < ROWS; i++) out[WORDS * ROWS + i] = bits_of_scale((uint8_t)scales[i][block]);
    }
}

INLINE void quick_tile(const uint32_t *panel, int64_t blocks, const void *const *x, int tokens, float *out,
                       const char *soon, int64_t line) {
    __m512 sums[TILE][PARTS];
    for (int token = 0; token < tokens; token++)
        for (int part = 0; part < PARTS; part++) sums[token][part] = _mm512_setzero_ps();
    for (int64_t at = 0; at < blocks; at++, panel += ROWS) {
        const struct block *block[TILE];
        __m512i whole[TILE][PARTS];
        for (int token = 0; token < tokens; token++) {
            block[token] = (const struct block *)x[token] + at;
            for (int part = 0; part < PARTS; part++) whole[token][part] = _mm512_set1_epi32(block[token]->correction);
        }
#pragma GCC unroll 8
        for (int word = 0; word < WORDS; word++, panel += ROWS, soon += line) {
            __builtin_prefetch(soon, 0, 2);
            __m512i row[PARTS];
            for (int part = 0; part < PARTS; part++) row[part] = _mm512_loadu_si512(panel + part * LANES);
            for (int token = 0; token < tokens; token++) {
                __m512i value = _mm512_set1_epi32(((const int32_t *)block[token]->values)[word]);
                for (int part = 0; part < PARTS; part++)
                    whole[token][part] = _mm512_dpbusd_epi32(whole[token][part], row[part], value);
            }
        }
        for (int token = 0; token < tokens; token++) {
            __m512 scale = _mm512_set1_ps(block[token]->scale);
            for (int part = 0; part < PARTS; part++) {
                __m512 sum = _mm512_mul_ps(_mm512_cvtepi32_ps(whole[token][part]), scale);
                sums[token][part] = _mm512_fmadd_ps(sum, _mm512_loadu_ps(panel + part * LANES), sums[token][part]);
            }
        }
    }
    for (int token = 0; token < tokens; token++)
        for (int part = 0; part < PARTS; part++) _mm512_storeu_ps(out + token * ROWS + part * LANES, sums[token][part]);
}

void LEVELLED(multiply_quick)(const void *panel, int64_t columns, const void *const *x, int64_t tokens, float *out,
                              const char *soon, int64_t bytes) {
    int64_t count = (tokens + TILE - 1) / TILE, blocks = columns / MXFP4_BLOCK, step = blocks * WORDS * 64;
    for (int64_t i = 0; i < count; i++, soon += step, bytes -= step) {
        int64_t line = bytes > 0 ? 64 : 0, first = tokens * i / count;
        float *to = out + first * ROWS;
        switch (tokens * (i + 1) / count - first) {
#define CASE(n) case n: quick_tile(panel, blocks, x + first, n, to, soon, line); break;
            CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
        }
    }
}

#endif
