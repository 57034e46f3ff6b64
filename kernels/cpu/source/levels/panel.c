// Decoding a panel, for many tokens: once for all of them.

#include "panel.h"

#if defined(__AVX512BF16__)

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

// Two bfloat16 stay as they are. The scales of MXFP4 are multiplied in: exactly, for scales from 2^-125 to 2^100.
enum { HALF = 16 };

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

// The scales of up to four blocks in a word for each row.
INLINE void load_scales(const char *const *exponents, int64_t block, int64_t n, uint32_t scale[ROWS]) {
    if (block + 4 <= n)
        for (int i = 0; i < ROWS; i++) memcpy(&scale[i], exponents[i] + block, 4);
    else
        for (int i = 0; i < ROWS && block < n; i++) memcpy(&scale[i], exponents[i] + block, (size_t)(n - block));
}

void LEVELLED(expert_panel)(const struct experts *matrix, int64_t expert, int64_t first, void *panel) {
    const __m512i table = _mm512_loadu_si512(E2M1), byte = _mm512_set1_epi32(255);
    const __m512i highest = _mm512_set1_epi32(227), lowest = _mm512_set1_epi32(2);
    // The bits from which byte 0 and byte 2 of each word are taken: its nibble 2 p, and nibble 2 p + 1.
    __m512i places[4];
    for (int pair = 0; pair < 4; pair++)
        places[pair] = _mm512_set1_epi64(0x0024002000040000 + 0x0008000800080008 * pair);
    int64_t n = matrix->columns / MXFP4_BLOCK;
    const char *row[ROWS], *exponents[ROWS];
    find_rows(matrix->blocks + expert * matrix->rows * n * 16, matrix->rows, n * 16, first, row);
    find_rows(matrix->scales + expert * matrix->rows * n, matrix->rows, n, first, exponents);
    _Alignas(64) uint32_t scale[2][ROWS];
    load_scales(exponents, 0, n, scale[0]);
    for (int64_t block = 0; block < n; block += 4) {
        int64_t blocks = n - block < 4 ? n - block : 4;
        __mmask64 bytes = blocks < 4 ? (1ull << 16 * blocks) - 1 : ~0ull;
        // Those of the next blocks: single stores are not passed on to a load of all of them.
        load_scales(exponents, block + 4, n, scale[block / 4 % 2 ^ 1]);
        for (int half = 0; half < ROWS; half += 16) {
            __m512i v[16];
            for (int i = 0; i < 16; i++) v[i] = _mm512_maskz_loadu_epi8(bytes, row[half + i] + block * 16);
            transpose(v);
            __m512i scales = _mm512_load_si512(scale[block / 4 % 2] + half);
            uint32_t *out = (uint32_t *)panel + block * 16 * ROWS + half;
#pragma GCC unroll 4
            for (int64_t i = 0; i < 4; i++) {
                if (i >= blocks) break;
                __m512i less = _mm512_and_si512(_mm512_srli_epi32(scales, 8 * i), byte);
                less = _mm512_sub_epi32(highest, _mm512_min_epi32(_mm512_max_epi32(less, lowest), highest));
                less = _mm512_or_si512(_mm512_slli_epi32(less, 7), _mm512_slli_epi32(less, 23));
#pragma GCC unroll 4
                for (int word = 0; word < 4; word++, out += 4 * ROWS)
#pragma GCC unroll 4
                    for (int pair = 0; pair < 4; pair++) {
                        __m512i codes = _mm512_multishift_epi64_epi8(places[pair], v[4 * i + word]);
                        _mm512_storeu_si512(out + pair * ROWS,
                                            _mm512_subs_epu16(_mm512_permutexvar_epi16(codes, table), less));
                    }
            }
        }
    }
}

#else

void LEVELLED(dense_panel)(const struct dense *matrix, int64_t first, void *panel) {
    const char *row[ROWS];
    find_rows(matrix->weight, matrix->rows, matrix->columns * 2, first, row);
    if (is_square(DENSE)) {
        char *out = panel;
        for (int64_t column = 0; column < matrix->columns; column += 4)
            for (int i = 0; i < ROWS; i++, out += 8) memcpy(out, row[i] + column * 2, 8);
        return;
    }
    float *out = panel;
    for (int64_t column = 0; column < matrix->columns; column += 8, out += 8 * ROWS)
        for (int part = 0; part < ROWS / LANES; part++) {
            vu pair[4];
            turn(row + part * LANES, column * 2, pair);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                store(out + 2 * i * ROWS + part * LANES, low(pair[i]));
                store(out + (2 * i + 1) * ROWS + part * LANES, high(pair[i]));
            }
        }
}

void LEVELLED(expert_panel)(const struct experts *matrix, int64_t expert, int64_t first, void *panel) {
    const char *row[ROWS], *scales[ROWS];
    int64_t n = matrix->columns / MXFP4_BLOCK;
    find_rows(matrix->blocks + expert * matrix->rows * n * 16, matrix->rows, n * 16, first, row);
    find_rows(matrix->scales + expert * matrix->rows * n, matrix->rows, n, first, scales);
    uint32_t *out = panel;
    for (int64_t block = 0; block < n; block++, out += ROWS) {
        for (int part = 0; part < ROWS / LANES; part++) {
            vu codes[4];
            uint32_t *to = out + part * LANES;
            if (is_square(EXPERT)) {
                for (int i = part * LANES; i < (part + 1) * LANES; i++) {
                    vu both = load_bits(row[i] + block * 16);
                    vu halves[2] = {doubled(both & 0x0f0f0f0f), doubled(both >> 4 & 0x0f0f0f0f)};
                    for (int j = 0; j < 4; j++) memcpy(out + 2 * (j * ROWS + i), (char *)halves + 8 * j, 8);
                }
                continue;
            }
            turn(row + part * LANES, block * 16, codes);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                if (EXPERT == BYTES) {
                    store_bits(to + i * ROWS, doubled(codes[i] & 0x0f0f0f0f));
                    store_bits(to + (4 + i) * ROWS, doubled(codes[i] >> 4 & 0x0f0f0f0f));
                    continue;
                }
#pragma GCC unroll 4
                for (int byte = 0; byte < 4; byte++) {  // its nibbles to the upper bytes of both halves
                    vu even = (byte == 0 ? codes[i] << 8 : codes[i] >> (8 * byte - 8)) & 0xf00;
                    vu odd = (byte == 3 ? codes[i] >> 4 : codes[i] << (20 - 8 * byte)) & 0xf000000;
                    store_bits(to + (4 * i + byte) * ROWS, (vu)((vs)doubled(even | odd) >> 8));
                }
            }
        }
        out += MXFP4_BLOCK / columns_of(EXPERT) * ROWS * (is_square(EXPERT) ? 2 : 1);
        for (int i = 0; i < ROWS; i++) out[i] = bits_of_scale((uint8_t)scales[i][block]);
    }
}

#endif
