// A panel times many tokens, tile after tile of them while it stays in the second-level cache.

#include "panel.h"

#include <float.h>

enum {
    HEADER = 64,
    SPAN = 512,  // columns in float32 that stay in the first-level cache for all tiles
};

INLINE vf dot(vf sum, vu a, vu b) {  // of the forms that are not whole numbers
#if defined(__AVX512BF16__)
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#elif defined(__ARM_FEATURE_BF16)
    return (vf)vbfmmlaq_f32((float32x4_t)sum, (bfloat16x8_t)a, (bfloat16x8_t)b);
#else
    return sum + (vf)a * (vf)b;
#endif
}

INLINE vi dot_of(int form, vi sum, vu a, vu b) {  // of the forms that are
#if defined(__ARM_FEATURE_MATMUL_INT8)
    if (is_square(form)) return (vi)vmmlaq_s32((int32x4_t)sum, (int8x16_t)a, (int8x16_t)b);
#endif
    (void)form;
    return whole_dot(sum, a, b);
}

// Products of squares are, for each row, one with either part of the activation.
INLINE vf sum_parts(const vf sums[2]) {
    return PICK(sums[0], sums[1], EVEN) + PICK(sums[0], sums[1], ODD);
}
INLINE vi sum_planes(const vi sums[2]) {
    return (PICK(sums[0], sums[1], EVEN) << 8) + PICK(sums[0], sums[1], ODD);
}

void LEVELLED(pack)(const float *x, int64_t n, void *out) {
#if defined(__AVX512BF16__)
    for (int64_t i = 0; i < n; i += 16)
        _mm256_storeu_si256((__m256i *)((uint16_t *)out + i), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(x + i)));
#else
    if (is_square(DENSE)) {
        for (int64_t i = 0; i < n; i++) {
            uint16_t *to = (uint16_t *)out + i / 4 * 8 + i % 4;
            to[0] = to_bf16(x[i]);
            to[4] = to_bf16(x[i] - from_bf16(to[0]));
        }
        return;
    }
    memcpy(out, x, (size_t)n * sizeof *x);
#endif
}

void LEVELLED(pack_expert)(const float *x, int64_t n, void *out) {
    if (!is_whole(EXPERT)) {
        LEVELLED(pack)(x, n, out);
        return;
    }
    float scale = magnitude(x, n) / LARGEST, inverse = scale >= FLT_MIN ? 1 / scale : 0;
    memcpy(out, &scale, sizeof scale);
    int16_t *whole = (int16_t *)((char *)out + HEADER);
    for (int64_t i = 0; i < n; i += LANES) store_whole(whole + i, rounded(load(x + i) * inverse));
    if (EXPERT == PAIRS) return;
    for (int64_t i = 0; i < n; i += MXFP4_BLOCK) {
        int16_t block[MXFP4_BLOCK];
        memcpy(block, whole + i, sizeof block);
        int8_t *planes = (int8_t *)(whole + i);
        for (int j = 0; j < MXFP4_BLOCK; j++) {
            int place = j % 2 * MXFP4_BLOCK / 2 + j / 2, apart = MXFP4_BLOCK;
            if (is_square(EXPERT)) place += place / 8 * 8, apart = 8;
            planes[place] = (int8_t)((block[j] + 128) >> 8);
            planes[place + apart] = (int8_t)block[j];
        }
    }
}

INLINE void tile(int form, const uint32_t *panel, int64_t columns, const void *const *x, int64_t from, int tokens,
                 float *out, const char *soon, int64_t line) {
    enum { PARTS = 2 * ROWS / LANES };  // at most
    int parts = is_square(form) ? PARTS : PARTS / 2, planes = form == BYTES ? 2 : 1, adding = from > 0;
    int64_t span = is_whole(form) ? MXFP4_BLOCK : columns;
    int64_t skipped = (is_whole(form) ? HEADER / 4 : 0) + from / columns_of(form) * words_of(form);
    for (int64_t start = 0; start < columns; start += span, adding = 1) {
        const int32_t *word[12];
        vf sums[12][PARTS];
        vi whole[2][12][PARTS];
        for (int token = 0; token < tokens; token++) {
            word[token] = (const int32_t *)x[token] + skipped + start / columns_of(form) * words_of(form);
            for (int part = 0; part < parts; part++)
                sums[token][part] = (vf){0}, whole[0][token][part] = whole[1][token][part] = (vi){0};
        }
#pragma GCC unroll 2
        for (int64_t i = 0; i < span / columns_of(form); i++, panel += parts * LANES) {
            __builtin_prefetch(soon, 0, 2);
            soon += line;
            vu row[PARTS];
#pragma GCC unroll 8
            for (int part = 0; part < parts; part++) row[part] = load_bits(panel + part * LANES);
#pragma GCC unroll 12
            for (int token = 0; token < tokens; token++)
#pragma GCC unroll 2
                for (int plane = 0; plane < planes; plane++) {
                    vu value = is_square(form) ? load_bits(word[token] + 4 * i)
                                               : (vu)((vi){0} + word[token][plane * MXFP4_BLOCK / 4 + i]);
#pragma GCC unroll 8
                    for (int part = 0; part < parts; part++) {
                        vi *sum = &whole[plane][token][part];
                        if (is_whole(form))
                            *sum = dot_of(form, *sum, row[part], value);
                        else
                            sums[token][part] = dot(sums[token][part], row[part], value);
                    }
                }
        }
        for (int token = 0; token < tokens; token++)
            for (int part = 0; part < ROWS / LANES; part++) {
                float *to = out + token * ROWS + part * LANES;
                vf sum = is_square(form) ? sum_parts(sums[token] + 2 * part) : sums[token][part];
                if (is_whole(form)) {
                    vi both = whole[0][token][part];
                    if (planes == 2) both = (both << 8) + whole[1][token][part];
                    if (is_square(form)) both = sum_planes(whole[0][token] + 2 * part);
                    sum = __builtin_convertvector(both, vf) * load((const float *)panel + part * LANES);
                }
                store(to, adding ? load(to) + sum : sum);
            }
        if (is_whole(form)) panel += ROWS;
    }
}

INLINE void tiles(int form, int most, const uint32_t *panel, int64_t columns, const void *const *x,
                  int64_t tokens, int64_t from, float *out, const char **soon, int64_t *bytes) {
    // Of nearly one size: in a small tile each product waits for the sum before it.
    int64_t count = (tokens + most - 1) / most;
    for (int64_t i = 0; i < count; i++) {
        int64_t line = *bytes > 0 ? 16 * columns_of(form) : 0, first = tokens * i / count;
        float *to = out + first * ROWS;
        switch (tokens * (i + 1) / count - first) {
#define CASE(n) case n: if (n <= most) tile(form, panel, columns, x + first, from, n, to, *soon, line); break;
            CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
        }
        *soon += columns * 16, *bytes -= columns * 16;
    }
}

// Meanwhile the `bytes` from `soon`, where the next panel is stored, come into the second-level cache: that hides
// the memory's delay completely.
void LEVELLED(multiply)(const void *panel, int64_t columns, const void *const *x, int64_t tokens, float *out,
                        const char *soon, int64_t bytes) {
    int64_t span = DENSE == FLOATS ? SPAN : columns;
    for (int64_t from = 0; from < columns; from += span)
        tiles(DENSE, DENSE_TILE, (const uint32_t *)panel + from * ROWS / columns_of(DENSE),
              columns - from < span ? columns - from : span, x, tokens, from, out, &soon, &bytes);
}

void LEVELLED(multiply_expert)(const void *panel, int64_t columns, const void *const *x, int64_t tokens, float *out,
                               const char *soon, int64_t bytes) {
    tiles(EXPERT, EXPERT_TILE, panel, columns, x, tokens, 0, out, &soon, &bytes);
    if (!is_whole(EXPERT)) return;
    for (int64_t token = 0; token < tokens; token++) {
        float scale = *(const float *)x[token] / 2;
        for (int row = 0; row < ROWS; row += LANES) {
            float *to = out + token * ROWS + row;
            store(to, load(to) * scale);
        }
    }
}

const int64_t LEVELLED(panel_rows) = ROWS, LEVELLED(tile_tokens) = DENSE_TILE;
const int64_t LEVELLED(packed_bytes) = DENSE == HALVES ? 2 : 4;
