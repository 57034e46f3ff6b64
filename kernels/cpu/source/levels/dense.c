// Dense rows times few tokens, in float32 or better: weights in bfloat16, or packed into 12 bits (pack.c).
//
// Four rows at a time share the loads of the activations. Memory is still read as one sequential stream: what is
// called in early, into the second-level cache, is the next lines of the four rows as they lie, not each row's own.

#include "vector.h"

enum {
    AHEAD = 8192,  // bytes
    STEP = 32,     // columns
    PAIRS = STEP / 2 / LANES,
};

// Products of one step of a row with one token: sums has two vectors.

#if defined(__AVX512BF16__)

// Each 32 activations as 32 bfloat16, then what these leave of them, as bfloat16 too: 16 bits of precision.
void LEVELLED(split)(const float *x, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i += STEP) {
        __m512 first = _mm512_loadu_ps(x + i), second = _mm512_loadu_ps(x + i + 16);
        __m512i near = (__m512i)_mm512_cvtne2ps_pbh(second, first);
        __m512i lower = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(near));
        __m512i upper = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(near, 1));
        first = _mm512_sub_ps(first, (__m512)_mm512_slli_epi32(lower, 16));
        second = _mm512_sub_ps(second, (__m512)_mm512_slli_epi32(upper, 16));
        _mm512_storeu_si512(out + i, near);
        _mm512_storeu_si512(out + i + 16, (__m512i)_mm512_cvtne2ps_pbh(second, first));
    }
}

INLINE float activation(const float *x, int64_t column) {
    const uint16_t *step = (const uint16_t *)(x + column / STEP * STEP) + column % STEP;
    return from_bf16(step[0]) + from_bf16(step[STEP]);
}

INLINE void multiply_step(const vu weights[PAIRS], const float *x, vf sums[2]) {
    __m512bh pairs = (__m512bh)weights[0];
    sums[0] = (vf)_mm512_dpbf16_ps((__m512)sums[0], pairs, (__m512bh)_mm512_loadu_ps(x));
    sums[1] = (vf)_mm512_dpbf16_ps((__m512)sums[1], pairs, (__m512bh)_mm512_loadu_ps(x + 16));
}

#else

// Even values of 2 * LANES neighbours first, as `low` and `high` give them.
void LEVELLED(split)(const float *x, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i += 2 * LANES)
        for (int lane = 0; lane < LANES; lane++) {
            out[i + lane] = x[i + 2 * lane];
            out[i + LANES + lane] = x[i + 2 * lane + 1];
        }
}

INLINE float activation(const float *x, int64_t column) {
    int64_t within = column % (2 * LANES);
    return x[column - within + within % 2 * LANES + within / 2];
}

INLINE void multiply_step(const vu weights[PAIRS], const float *x, vf sums[2]) {
    for (int i = 0; i < PAIRS; i++) {
        sums[0] += low(weights[i]) * load(x + 2 * i * LANES);
        sums[1] += high(weights[i]) * load(x + (2 * i + 1) * LANES);
    }
}

#endif

// The first `bytes` from `*soon`, which moves on by as many.
INLINE void prefetch(const char **soon, int64_t bytes) {
    for (int64_t line = 0; line < bytes; line += 64) __builtin_prefetch(*soon + line, 0, 2);
    *soon += bytes;
}

// Meanwhile what is at `soon` is called in, as many bytes as the rows have.
INLINE void rows_of_bf16(const uint16_t *weight, int64_t columns, int rows, const float *const *x, int tokens, float *y,
                         int64_t stride, const char *soon) {
    vf sums[4][4][2] = {{{{0}}}};
    for (int64_t i = 0; i < columns; i += STEP) {
        prefetch(&soon, rows * STEP * 2);
        for (int row = 0; row < rows; row++) {
            vu weights[PAIRS];
            for (int pair = 0; pair < PAIRS; pair++)
                weights[pair] = load_bits(weight + row * columns + i + 2 * pair * LANES);
            for (int token = 0; token < tokens; token++) multiply_step(weights, x[token] + i, sums[row][token]);
        }
    }
    for (int row = 0; row < rows; row++)
        for (int token = 0; token < tokens; token++)
            y[token * stride + row] = sum_of(sums[row][token][0] + sums[row][token][1]);
}

#if defined(__AVX512BW__)

// The high bytes of a row's weights, for each code: see pack.c.
INLINE __m512i high_bytes(uint8_t top) {
    const __m128i codes = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7);
    const __m128i signs = _mm_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, -128, -128, -128, -128, -128, -128, -128, -128);
    return _mm512_broadcast_i32x4(_mm_or_si128(_mm_sub_epi8(_mm_set1_epi8((char)top), codes), signs));
}

// The bfloat16 of 64 columns, from their 64 low bytes and 32 bytes of codes.
INLINE void unpack(const uint8_t *from, __m512i table, vu out[2]) {
    __m512i bytes = _mm512_loadu_si512(from);
    __m512i codes = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(from + 64)));
    codes = _mm512_srlv_epi64(codes, _mm512_setr_epi64(0, 0, 0, 0, 4, 4, 4, 4));
#if defined(__AVX512VBMI__)
    __m512i high = _mm512_permutexvar_epi8(codes, table);  // four times the same 16: other bits do not matter
#else
    __m512i high = _mm512_shuffle_epi8(table, _mm512_and_si512(codes, _mm512_set1_epi8(15)));
#endif
    out[0] = (vu)_mm512_unpacklo_epi8(bytes, high);
    out[1] = (vu)_mm512_unpackhi_epi8(bytes, high);
}

INLINE void rows_of_packed(const uint8_t *from, const uint8_t *tops, int64_t columns, int rows, const float *const *x,
                           int tokens, float *y, int64_t stride) {
    vf sums[4][4][2] = {{{{0}}}};
    int64_t bytes = columns / 64 * 96;
    const char *soon = (const char *)from + AHEAD;
    __m512i tables[4];
    for (int row = 0; row < rows; row++) tables[row] = high_bytes(tops[row]);
    for (int64_t i = 0; i < columns; i += 64) {
        prefetch(&soon, rows * 96);
        for (int row = 0; row < rows; row++) {
            vu weights[2];
            unpack(from + row * bytes + i / 64 * 96, tables[row], weights);
            for (int token = 0; token < tokens; token++) {
                multiply_step(weights, x[token] + i, sums[row][token]);
                multiply_step(weights + 1, x[token] + i + STEP, sums[row][token]);
            }
        }
    }
    for (int row = 0; row < rows; row++)
        for (int token = 0; token < tokens; token++)
            y[token * stride + row] = sum_of(sums[row][token][0] + sums[row][token][1]);
}

static void unpack_row(const uint8_t *from, uint8_t top, int64_t columns, uint16_t *out) {
    __m512i table = high_bytes(top);
    for (int64_t i = 0; i < columns; i += 64) {
        vu weights[2];
        unpack(from + i / 64 * 96, table, weights);
        store_bits(out + i, weights[0]);
        store_bits(out + i + 32, weights[1]);
    }
}

static void add_escapes(const struct packed *packed, int64_t row, const float *x, float *y) {
    float stand_in = from_bf16((uint16_t)((packed->tops[row] - 7) << 8)), sum = *y;
    for (int64_t i = packed->escapes_from[row]; i < packed->escapes_from[row + 1]; i++)
        sum += (from_bf16(packed->escapes[i].weight) - stand_in) * activation(x, packed->escapes[i].column);
    *y = sum;
}

const int LEVELLED(reads_packed) = 1;

#else

const int LEVELLED(reads_packed) = 0;

#endif

// Tokens at a time, and for these the rows: as many as there are registers for their sums.
enum { TOKENS = LANES == 16 ? 3 : 4 };

INLINE int64_t rows_for(int64_t tokens) {
    if (LANES == 16 || tokens == 1) return 4;
    return LANES == 8 ? (tokens == 2 ? 2 : 1) : tokens == 2 ? 4 : 2;
}

#define EACH_SHAPE(rows, tokens)                                                                                       \
    switch ((tokens) * 8 + (rows)) {                                                                                   \
        SHAPE(4, 1) SHAPE(2, 1) SHAPE(1, 1) SHAPE(4, 2) SHAPE(2, 2) SHAPE(1, 2) SHAPE(4, 3) SHAPE(2, 3) SHAPE(1, 3)    \
        SHAPE(2, 4) SHAPE(1, 4)                                                                                        \
    }

void LEVELLED(dense_rows)(const struct dense *matrix, int64_t first, int64_t last, const float *const *x,
                          int64_t tokens, float *y, int64_t stride) {
    int64_t columns = matrix->columns, groups = (tokens + TOKENS - 1) / TOKENS;
    for (int64_t row = first, rows; row < last; row += rows, y += rows) {
        rows = rows_for(tokens);
        if (last - row < rows) rows = 1;
        const uint16_t *weight = matrix->weight + row * columns;
        const char *soon = (const char *)weight + AHEAD;
#if defined(__AVX512BW__)
        // For one group of tokens rows are unpacked in registers, for more of them but once.
        const struct packed *packed = &matrix->packed;
        int64_t bytes = columns / 64 * 96;
        const uint8_t *from = packed->bytes + row * bytes, *tops = packed->tops + row;
        uint16_t unpacked[packed->bytes && groups > 1 ? 4 * columns : 1] __attribute__((aligned(64)));
        if (packed->bytes && groups > 1) {
            for (int64_t i = 0; i < rows; i++) unpack_row(from + i * bytes, tops[i], columns, unpacked + i * columns);
            weight = unpacked, soon = (const char *)(from + rows * bytes);
        }
#endif
        for (int64_t group = 0; group < groups; group++) {
            int64_t start = tokens * group / groups, some = tokens * (group + 1) / groups - start;
            float *to = y + start * stride;
#if defined(__AVX512BW__)
            if (packed->bytes && groups == 1) {
#define SHAPE(r, t) case t * 8 + r: if (r <= rows_for(t)) rows_of_packed(from, tops, columns, r, x, t, to, stride); break;
                EACH_SHAPE(rows, some)
#undef SHAPE
                continue;
            }
#endif
#define SHAPE(r, t)                                                                                                    \
    case t * 8 + r:                                                                                                    \
        if (r <= rows_for(t)) rows_of_bf16(weight, columns, r, x + start, t, to, stride, soon);                        \
        break;
            EACH_SHAPE(rows, some)
#undef SHAPE
        }
#if defined(__AVX512BW__)
        for (int64_t token = 0; packed->bytes && token < tokens; token++)
            for (int64_t i = 0; i < rows; i++) add_escapes(packed, row + i, x[token], y + token * stride + i);
#endif
    }
}
