// Dense rows times few tokens, in float32 or better: weights in bfloat16, or packed into 12 bits (pack.c).
//
// One row at a time is fastest at reading memory, with lines called early into the second-level cache, far ahead. Several
// rows at a time share the loads of the activations: they are for weights that are in that cache already, and for small
// registers. What is called early is then the next lines of all of them as they lie.

#include "vector.h"

enum {
    AHEAD = 24576,  // bytes
    STEP = 32,      // columns
    PAIRS = STEP / 2 / LANES,
    ROWS = 4,                      // at a time, at most
    TOKENS = LANES == 16 ? 3 : 2,  // at a time, at most
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

INLINE void rows_of_bf16(const uint16_t *weight, int64_t columns, int rows, const float *const *x, int tokens, float *y,
                         int64_t stride) {
    vf sums[ROWS][TOKENS][2] = {{{{0}}}};
    const char *soon = (const char *)weight + AHEAD;
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

INLINE void rows_of_packed(const struct packed *packed, int64_t first, int64_t columns, int rows, const float *const *x,
                           int tokens, float *y, int64_t stride) {
    vf sums[ROWS][TOKENS][2] = {{{{0}}}};
    int64_t bytes = columns / 64 * 96;
    const uint8_t *from = packed->bytes + first * bytes;
    const char *soon = (const char *)from + AHEAD;
    __m512i tables[ROWS];
    for (int row = 0; row < rows; row++) tables[row] = high_bytes(packed->tops[first + row]);
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
    for (int row = 0; row < rows; row++) {
        float stand_in = from_bf16((uint16_t)((packed->tops[first + row] - 7) << 8));
        for (int token = 0; token < tokens; token++) {
            float sum = sum_of(sums[row][token][0] + sums[row][token][1]);
            for (int64_t i = packed->escapes_from[first + row]; i < packed->escapes_from[first + row + 1]; i++)
                sum += (from_bf16(packed->escapes[i].weight) - stand_in) * activation(x[token], packed->escapes[i].column);
            y[token * stride + row] = sum;
        }
    }
}

const int LEVELLED(reads_packed) = 1;

#else

const int LEVELLED(reads_packed) = 0;

#endif

INLINE void some_rows(const struct dense *matrix, int64_t first, int rows, const float *const *x, int tokens, float *y,
                      int64_t stride) {
#if defined(__AVX512BW__)
    if (matrix->packed.bytes) {
        rows_of_packed(&matrix->packed, first, matrix->columns, rows, x, tokens, y, stride);
        return;
    }
#endif
    rows_of_bf16(matrix->weight + first * matrix->columns, matrix->columns, rows, x, tokens, y, stride);
}

// A group of rows takes a few tokens after a few, whose activations so stay in the first-level cache: the weights come
// from memory for the first two, later from the second-level cache. Activations that leave no room there for the weights
// are read anew for every row: so for fewer times, by more rows at a time.
void LEVELLED(dense_rows)(const struct dense *matrix, int64_t first, int64_t last, const float *const *x,
                          int64_t tokens, float *y, int64_t stride) {
    enum { GROUP = 32, CACHED = 24576 };
    for (int64_t group = first; group < last; group += GROUP)
        for (int64_t token = 0, some; token < tokens; token += some) {
            int64_t end = least(last, group + GROUP);
            some = least(tokens - token, token ? TOKENS : 2);
            int at_once = token || LANES == 4 || some * matrix->columns * 4 > CACHED ? ROWS : 1;
            for (int64_t row = group, rows; row < end; row += rows) {
                float *to = y + token * stride + row - first;
                rows = row + at_once <= end ? at_once : 1;
                switch (some * 8 + (rows > 1)) {
                case 8: some_rows(matrix, row, 1, x + token, 1, to, stride); break;
                case 16: some_rows(matrix, row, 1, x + token, 2, to, stride); break;
                case 24: some_rows(matrix, row, 1, x + token, TOKENS, to, stride); break;
                case 8 + 1: some_rows(matrix, row, ROWS, x + token, 1, to, stride); break;
                case 16 + 1: some_rows(matrix, row, ROWS, x + token, 2, to, stride); break;
                case 24 + 1: some_rows(matrix, row, ROWS, x + token, TOKENS, to, stride); break;
                }
            }
        }
}
