// Many tokens: a panel of rows is decoded once, turned so that neighbouring rows are neighbouring lanes, and
// multiplied with tile after tile of tokens while it stays in the second-level cache.
//
// With bfloat16 products a panel is [columns / 2][ROWS][2] bfloat16, the scales of MXFP4 multiplied in (exactly,
// for scales from 2^-125 to 2^100), and activations are rounded to bfloat16; without, [columns][ROWS] float32.

#include "vector.h"

#if defined(__AVX512BF16__)

enum { ROWS = 32, TILE = 12, HALF = 16 };

void LEVELLED(pack)(const float *x, int64_t n, void *out) {
    uint16_t *packed = out;
    for (int64_t i = 0; i < n; i += 16)
        _mm256_storeu_si256((__m256i *)(packed + i), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(x + i)));
}

// Lane i of vector j becomes lane j of vector i.
INLINE void transpose(__m512i v[16]) {
    __m512i t[16];
    for (int i = 0; i < 16; i += 4) {
        __m512i a = _mm512_unpacklo_epi32(v[i], v[i + 1]), b = _mm512_unpackhi_epi32(v[i], v[i + 1]);
        __m512i c = _mm512_unpacklo_epi32(v[i + 2], v[i + 3]), d = _mm512_unpackhi_epi32(v[i + 2], v[i + 3]);
        t[i] = _mm512_unpacklo_epi64(a, c), t[i + 1] = _mm512_unpackhi_epi64(a, c);
        t[i + 2] = _mm512_unpacklo_epi64(b, d), t[i + 3] = _mm512_unpackhi_epi64(b, d);
    }
    for (int i = 0; i < 4; i++) {  // quarter q of t[4 r + i] holds column 4 q + i of rows 4 r to 4 r + 3
        __m512i a = _mm512_shuffle_i32x4(t[i], t[4 + i], 0x44), b = _mm512_shuffle_i32x4(t[i], t[4 + i], 0xee);
        __m512i c = _mm512_shuffle_i32x4(t[8 + i], t[12 + i], 0x44), d = _mm512_shuffle_i32x4(t[8 + i], t[12 + i], 0xee);
        v[i] = _mm512_shuffle_i32x4(a, c, 0x88), v[4 + i] = _mm512_shuffle_i32x4(a, c, 0xdd);
        v[8 + i] = _mm512_shuffle_i32x4(b, d, 0x88), v[12 + i] = _mm512_shuffle_i32x4(b, d, 0xdd);
    }
}

void LEVELLED(dense_panel)(const struct dense *matrix, int64_t first, void *panel) {
    int64_t columns = matrix->columns;
    for (int half = 0; half < 2; half++)
        for (int64_t column = 0; column < columns; column += 32) {
            __m512i v[16];
            for (int row = 0; row < 16; row++) {
                int64_t at = first + half * HALF + row;
                v[row] = at < matrix->rows ? _mm512_loadu_si512(matrix->weight + at * columns + column)
                                           : _mm512_setzero_si512();
            }
            transpose(v);
            for (int pair = 0; pair < 16; pair++)
                _mm512_storeu_si512((uint32_t *)panel + (column / 2 + pair) * ROWS + half * HALF, v[pair]);
        }
}

// The codes' values times 2^100, as bfloat16: so large that scaling them only lowers the exponent, and a subtraction
// that stops at zero leaves zeros alone. Twice the same, so that bit 4 of an index does not matter.
static const uint16_t E2M1[32] = {
    0x0000, 0x7100, 0x7180, 0x71c0, 0x7200, 0x7240, 0x7280, 0x72c0, 0x0000, 0xf100, 0xf180,
    0xf1c0, 0xf200, 0xf240, 0xf280, 0xf2c0, 0x0000, 0x7100, 0x7180, 0x71c0, 0x7200, 0x7240,
    0x7280, 0x72c0, 0x0000, 0xf100, 0xf180, 0xf1c0, 0xf200, 0xf240, 0xf280, 0xf2c0};

void LEVELLED(expert_panel)(const struct experts *matrix, int64_t expert, int64_t first, void *panel) {
    const __m512i table = _mm512_loadu_si512(E2M1), odd = _mm512_set1_epi32((int)0xffff0000);
    const __m512i byte = _mm512_set1_epi32(255), highest = _mm512_set1_epi32(227), lowest = _mm512_set1_epi32(2);
    int64_t n = matrix->columns / MXFP4_BLOCK;
    for (int half = 0; half < 2; half++) {
        int64_t top = expert * matrix->rows + first + half * HALF;
        int64_t there = matrix->rows - first - half * HALF;
        there = there < 0 ? 0 : there > HALF ? HALF : there;
        for (int64_t block = 0; block < n; block += 4) {
            int64_t blocks = n - block < 4 ? n - block : 4;
            __mmask64 bytes = blocks < 4 ? (1ull << 16 * blocks) - 1 : ~0ull;
            _Alignas(64) uint32_t scale[HALF] = {0};
            __m512i v[HALF];
            for (int row = 0; row < HALF; row++) {
                v[row] = _mm512_setzero_si512();
                if (row >= there) continue;
                v[row] = _mm512_maskz_loadu_epi8(bytes, matrix->blocks + ((top + row) * n + block) * 16);
                memcpy(&scale[row], matrix->scales + (top + row) * n + block, blocks < 4 ? (size_t)blocks : 4);
            }
            transpose(v);
            __m512i scales = _mm512_load_si512(scale);
            uint32_t *out = (uint32_t *)panel + block * 16 * ROWS + half * HALF;
#pragma GCC unroll 4
            for (int64_t i = 0; i < 4; i++) {
                if (i >= blocks) break;
                __m512i less = _mm512_and_si512(_mm512_srli_epi32(scales, 8 * i), byte);
                less = _mm512_sub_epi32(highest, _mm512_min_epi32(_mm512_max_epi32(less, lowest), highest));
                less = _mm512_or_si512(_mm512_slli_epi32(less, 7), _mm512_slli_epi32(less, 23));
#pragma GCC unroll 4
                for (int word = 0; word < 4; word++, out += 4 * ROWS) {
                    // Pair p of a word: nibble 2 p to the low half, nibble 2 p + 1 to the high one.
                    __m512i codes = v[4 * i + word];
                    __m512i up = _mm512_slli_epi32(codes, 4), down = _mm512_srli_epi32(codes, 4);
                    __m512i pairs[4] = {
                        _mm512_ternarylogic_epi32(odd, _mm512_slli_epi32(codes, 12), codes, 0xca),
                        _mm512_ternarylogic_epi32(odd, up, _mm512_srli_epi32(codes, 8), 0xca),
                        _mm512_ternarylogic_epi32(odd, down, _mm512_srli_epi32(codes, 16), 0xca),
                        _mm512_ternarylogic_epi32(odd, _mm512_srli_epi32(codes, 12), _mm512_srli_epi32(codes, 24), 0xca),
                    };
#pragma GCC unroll 4
                    for (int pair = 0; pair < 4; pair++)
                        _mm512_storeu_si512(
                            out + pair * ROWS,
                            _mm512_subs_epu16(_mm512_permutexvar_epi16(pairs[pair], table), less));
                }
            }
        }
    }
}

INLINE void tile(const uint32_t *panel, int64_t pairs, const void *const *x, int tokens, float *out,
                 const char *soon, int64_t line) {
    __m512 sums[TILE][2];
    const int32_t *value[TILE];
    for (int token = 0; token < tokens; token++) {
        sums[token][0] = sums[token][1] = _mm512_setzero_ps();
        value[token] = x[token];
    }
    for (int64_t pair = 0; pair < pairs; pair += 2) {
        _mm_prefetch(soon, _MM_HINT_T1);
        soon += line;
#pragma GCC unroll 2
        for (int64_t i = pair; i < pair + 2; i++) {
            __m512bh first = (__m512bh)_mm512_loadu_si512(panel + i * ROWS);
            __m512bh second = (__m512bh)_mm512_loadu_si512(panel + i * ROWS + HALF);
#pragma GCC unroll 12
            for (int token = 0; token < tokens; token++) {
                __m512bh both = (__m512bh)_mm512_set1_epi32(value[token][i]);
                sums[token][0] = _mm512_dpbf16_ps(sums[token][0], first, both);
                sums[token][1] = _mm512_dpbf16_ps(sums[token][1], second, both);
            }
        }
    }
    for (int token = 0; token < tokens; token++) {
        _mm512_storeu_ps(out + token * ROWS, sums[token][0]);
        _mm512_storeu_ps(out + token * ROWS + HALF, sums[token][1]);
    }
}

INLINE void tile_of(const void *panel, int64_t columns, const void *const *x, int tokens, float *out,
                    const char *soon, int64_t line) {
    tile(panel, columns / 2, x, tokens, out, soon, line);
}

#else

#if defined(__AVX512F__)
enum { ROWS = 32, TILE = 8 };
#elif defined(__AVX2__)
enum { ROWS = 16, TILE = 6 };
#else
enum { ROWS = 16, TILE = 6 };
#endif

enum { PARTS = ROWS / LANES };

void LEVELLED(pack)(const float *x, int64_t n, void *out) { memcpy(out, x, (size_t)n * sizeof *x); }

void LEVELLED(dense_panel)(const struct dense *matrix, int64_t first, void *panel) {
    float *out = panel;
    for (int64_t column = 0; column < matrix->columns; column += 32)
        for (int row = 0; row < ROWS; row++) {
            const uint16_t *from = matrix->weight + (first + row) * matrix->columns + column;
            int there = first + row < matrix->rows;
            for (int i = 0; i < 32; i++) out[(column + i) * ROWS + row] = there ? from_bf16(from[i]) : 0;
        }
}

void LEVELLED(expert_panel)(const struct experts *matrix, int64_t expert, int64_t first, void *panel) {
    static const float e2m1[16] = {0, .5f, 1, 1.5f, 2, 3, 4, 6, -0.f, -.5f, -1, -1.5f, -2, -3, -4, -6};
    float *out = panel;
    int64_t n = matrix->columns / MXFP4_BLOCK;
    for (int64_t block = 0; block < n; block++)
        for (int row = 0; row < ROWS; row++) {
            float *to = out + block * MXFP4_BLOCK * ROWS + row;
            if (first + row >= matrix->rows) {
                for (int i = 0; i < MXFP4_BLOCK; i++) to[i * ROWS] = 0;
                continue;
            }
            int64_t at = (expert * matrix->rows + first + row) * n + block;
            union {
                uint32_t bits;
                float value;
            } scale = {matrix->scales[at] ? (uint32_t)matrix->scales[at] << 23 : 0x400000};
            for (int i = 0; i < 16; i++) {
                uint8_t byte = matrix->blocks[16 * at + i];
                to[2 * i * ROWS] = e2m1[byte & 15] * scale.value;
                to[(2 * i + 1) * ROWS] = e2m1[byte >> 4] * scale.value;
            }
        }
}

INLINE void tile_of(const void *panel, int64_t columns, const void *const *x, int tokens, float *out,
                    const char *soon, int64_t line) {
    const float *weights = panel;
    vf sums[TILE][PARTS];
    for (int token = 0; token < tokens; token++)
        for (int part = 0; part < PARTS; part++) sums[token][part] = (vf){0};
    for (int64_t column = 0; column < columns; column++) {
        if (column % 4 == 0) {
            __builtin_prefetch(soon, 0, 2);
            soon += line;
        }
        vf row[PARTS];
#pragma GCC unroll 4
        for (int part = 0; part < PARTS; part++) row[part] = load(weights + column * ROWS + part * LANES);
#pragma GCC unroll 8
        for (int token = 0; token < tokens; token++) {
            float value = ((const float *)x[token])[column];
#pragma GCC unroll 4
            for (int part = 0; part < PARTS; part++) sums[token][part] += row[part] * value;
        }
    }
    for (int token = 0; token < tokens; token++)
        for (int part = 0; part < PARTS; part++) store(out + token * ROWS + part * LANES, sums[token][part]);
}

#endif

// Tiles of nearly one size, since small ones wait for each sum before the next product. Meanwhile the `bytes` from
// `soon`, where the next panel is stored, come into the second-level cache: that hides the memory's delay completely.
void LEVELLED(multiply)(const void *panel, int64_t columns, const void *const *x, int64_t tokens, float *out,
                        const char *soon, int64_t bytes) {
    int64_t tiles = (tokens + TILE - 1) / TILE;
    for (int64_t i = 0; i < tiles; i++, soon += columns * 16, bytes -= columns * 16) {
        int64_t first = tokens * i / tiles, line = bytes > 0 ? 64 : 0;
        const void *const *some = x + first;
        float *to = out + first * ROWS;
        switch (tokens * (i + 1) / tiles - first) {
#define CASE(size) \
    case size: tile_of(panel, columns, some, size < TILE ? size : TILE, to, soon, line); break;
            CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#if defined(__AVX512F__)
            CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#endif
        }
    }
}

const int64_t LEVELLED(panel_rows) = ROWS, LEVELLED(tile_tokens) = TILE;
#if defined(__AVX512BF16__)
const int64_t LEVELLED(packed_bytes) = 2;
#else
const int64_t LEVELLED(packed_bytes) = 4;
#endif
