// bfloat16 rows times few tokens, in float32. A row is one sequential stream: several rows at a time read slower.

#include "vector.h"

enum { AHEAD = 4096 };  // bytes

// Even values of 2 * LANES neighbours first, as `low` and `high` give them.
void LEVELLED(split)(const float *x, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i += 2 * LANES)
        for (int lane = 0; lane < LANES; lane++) {
            out[i + lane] = x[i + 2 * lane];
            out[i + LANES + lane] = x[i + 2 * lane + 1];
        }
}

INLINE void rows(const uint16_t *weight, int64_t columns, int64_t count, const float *const *x, int tokens,
                 float *y, int64_t stride) {
    for (int64_t row = 0; row < count; row++, weight += columns) {
        vf even[4] = {{0}}, odd[4] = {{0}};
        for (int64_t i = 0; i < columns; i += 2 * LANES) {
            if (4 * LANES == 64 || i % 32 == 0) __builtin_prefetch((const char *)(weight + i) + AHEAD);
            vu pair = load_bits(weight + i);
            for (int token = 0; token < tokens; token++) {
                even[token] += low(pair) * load(x[token] + i);
                odd[token] += high(pair) * load(x[token] + i + LANES);
            }
        }
        for (int token = 0; token < tokens; token++)
            y[token * stride + row] = sum_of(even[token] + odd[token]);
    }
}

// One row for four tokens at a time: the row then comes from the first-level cache.
void LEVELLED(dense_rows)(const struct dense *matrix, int64_t first, int64_t last, const float *const *x,
                          int64_t tokens, float *y, int64_t stride) {
    const uint16_t *weight = matrix->weight + first * matrix->columns;
    int64_t columns = matrix->columns, count = last - first;
    if (tokens <= 4) {
        switch (tokens) {
        case 1: rows(weight, columns, count, x, 1, y, stride); break;
        case 2: rows(weight, columns, count, x, 2, y, stride); break;
        case 3: rows(weight, columns, count, x, 3, y, stride); break;
        case 4: rows(weight, columns, count, x, 4, y, stride); break;
        }
        return;
    }
    for (int64_t row = 0; row < count; row++)
        for (int64_t token = 0; token < tokens; token += 4)
            LEVELLED(dense_rows)(matrix, first + row, first + row + 1, x + token,
                                 tokens - token < 4 ? tokens - token : 4, y + token * stride + row, stride);
}
