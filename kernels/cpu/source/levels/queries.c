// Attention of many queries at once over one kv head, with the processor's products of bfloat16: queries are rounded to
// it, and so are their shares before they multiply the values. What is summed stays in float32.

#include "vector.h"

#if defined(__AVX512BF16__)

enum { MOST = 64, SPAN = 64 };  // queries, and positions of a block

// Scores of all queries over the positions of `tiles` tiles.
static void scores(const uint32_t *keys, int64_t tiles, int64_t head_dim, const uint32_t *q, int64_t count,
                   float (*score)[SPAN]) {
    enum { TOGETHER = 8 };
    for (int64_t tile = 0; tile < tiles; tile += 2) {
        const uint32_t *first = keys + tile * head_dim / 2 * KEY_TILE;
        const uint32_t *second = tile + 1 < tiles ? first + head_dim / 2 * KEY_TILE : first;
        for (int64_t query = 0; query < count; query += TOGETHER) {
            const uint32_t *pairs = q + query * head_dim / 2;
            __m512 sums[TOGETHER][2];
            for (int i = 0; i < TOGETHER; i++) sums[i][0] = sums[i][1] = _mm512_setzero_ps();
            for (int64_t pair = 0; pair < head_dim / 2; pair++) {
                __m512bh a = (__m512bh)_mm512_loadu_si512(first + pair * KEY_TILE);
                __m512bh b = (__m512bh)_mm512_loadu_si512(second + pair * KEY_TILE);
#pragma GCC unroll 8
                for (int i = 0; i < TOGETHER; i++) {
                    __m512bh value = (__m512bh)_mm512_set1_epi32((int)pairs[i * head_dim / 2 + pair]);
                    sums[i][0] = _mm512_dpbf16_ps(sums[i][0], a, value);
                    sums[i][1] = _mm512_dpbf16_ps(sums[i][1], b, value);
                }
            }
            for (int i = 0; i < TOGETHER; i++)
                for (int part = 0; part < 2; part++)
                    _mm512_storeu_ps(score[query + i] + (tile + part) * KEY_TILE, sums[i][part]);
        }
    }
}

// out += shares x values, for `width` vectors of columns. The values of two positions stand side by side.
INLINE void add_values(const uint32_t *values, int64_t head_dim, int width, const uint32_t (*shares)[SPAN / 2],
                       int64_t count, float *out) {
    enum { TOGETHER = 4 };
    for (int64_t query = 0; query < count; query += TOGETHER) {
        __m512 sums[TOGETHER][4];
        float *to = out + query * head_dim;
        for (int i = 0; i < TOGETHER; i++)
            for (int part = 0; part < width; part++)
                sums[i][part] = _mm512_loadu_ps(to + i * head_dim + part * LANES);
        for (int64_t pair = 0; pair < SPAN / 2; pair++) {
            __m512bh row[4];
            for (int part = 0; part < width; part++)
                row[part] = (__m512bh)_mm512_loadu_si512(values + pair * head_dim + part * LANES);
#pragma GCC unroll 4
            for (int i = 0; i < TOGETHER; i++) {
                __m512bh share = (__m512bh)_mm512_set1_epi32((int)shares[query + i][pair]);
#pragma GCC unroll 4
                for (int part = 0; part < width; part++)
                    sums[i][part] = _mm512_dpbf16_ps(sums[i][part], row[part], share);
            }
        }
        for (int i = 0; i < TOGETHER; i++)
            for (int part = 0; part < width; part++)
                _mm512_storeu_ps(to + i * head_dim + part * LANES, sums[i][part]);
    }
}

// The values of the positions of a block, in pairs, zeros for those that are not from `from` to `to`.
static void pair_values(const uint16_t *values, int64_t start, int64_t from, int64_t to, int64_t head_dim,
                        uint32_t *out) {
    for (int64_t pair = 0; pair < SPAN / 2; pair++)
        for (int64_t column = 0; column < head_dim; column += LANES) {
            __m512i sides[2];
            for (int side = 0; side < 2; side++) {
                int64_t position = start + 2 * pair + side;
                sides[side] = _mm512_setzero_si512();
                if (position >= from && position < to)
                    sides[side] = _mm512_cvtepu16_epi32(
                        _mm256_loadu_si256((const __m256i *)(values + position * head_dim + column)));
            }
            __m512i both = _mm512_or_si512(sides[0], _mm512_slli_epi32(sides[1], 16));
            _mm512_storeu_si512(out + pair * head_dim + column, both);
        }
}

// A query's shares of a block of positions, by the scores; what was summed before is made smaller if these have a new
// peak.
static void shares_of(struct query *query, int64_t start, int64_t head_dim, const float *score, uint32_t *shares,
                      float *sums) {
    vf most = broadcast(-INFINITY), total = {0}, places[SPAN / LANES];
    for (int part = 0; part < SPAN / LANES; part++) {
        places[part] = load(score + part * LANES);
        int64_t below = query->first - start - part * LANES, above = query->last - start - part * LANES;
        if (below > 0 || above < LANES) {
            below = below < 0 ? 0 : below < LANES ? below : LANES;
            above = above < 0 ? 0 : above < LANES ? above : LANES;
            __mmask16 seen = (__mmask16)((1u << above) - 1) & (__mmask16) ~((1u << below) - 1);
            places[part] = (vf)_mm512_mask_blend_ps(seen, _mm512_set1_ps(-INFINITY), (__m512)places[part]);
        }
        most = larger(places[part], most);
    }
    float peak = peak_of(most);
    if (peak > query->peak) {
        float shrink = expf(query->peak - peak);
        query->sum *= shrink;
        for (int64_t i = 0; i < head_dim; i += LANES) store(sums + i, load(sums + i) * shrink);
        query->peak = peak;
    }
    int none = query->peak == -INFINITY;
    for (int part = 0; part < SPAN / LANES; part++) {
        vf share = exponential(places[part] - (none ? 0 : query->peak));
        total += share;
        _mm256_storeu_si256((__m256i *)(shares + part * LANES / 2), (__m256i)_mm512_cvtneps_pbh((__m512)share));
    }
    query->sum += sum_of(total);
}

void LEVELLED(attend_many)(struct memory memory, int64_t head_dim, struct query *queries, int64_t count) {
    int64_t from = queries[0].first, to = queries[0].last;
    _Alignas(64) uint32_t q[MOST * head_dim / 2], values[SPAN / 2 * head_dim], shares[MOST][SPAN / 2] = {{0}};
    _Alignas(64) float sums[MOST * head_dim], score[MOST][SPAN];
    memset(q, 0, sizeof q);
    memset(sums, 0, sizeof sums);
    for (int64_t i = 0; i < count; i++) {
        struct query *query = &queries[i];
        from = query->first < from ? query->first : from;
        to = query->last > to ? query->last : to;
        query->peak = -INFINITY, query->sum = 0;
        for (int64_t j = 0; j < head_dim; j += LANES)
            _mm256_storeu_si256((__m256i *)(q + (i * head_dim + j) / 2),
                                (__m256i)_mm512_cvtneps_pbh((__m512)load(query->q + j)));
    }
    for (int64_t start = from / KEY_TILE * KEY_TILE; start < to; start += SPAN) {
        int64_t tiles = ((to - start < SPAN ? to - start : SPAN) + KEY_TILE - 1) / KEY_TILE;
        scores((const uint32_t *)memory.keys + start * head_dim / 2, tiles, head_dim, q, count, score);
        for (int64_t i = 0; i < count; i++)
            shares_of(&queries[i], start, head_dim, score[i], shares[i], sums + i * head_dim);
        pair_values(memory.values, start, from, to, head_dim, values);
        int64_t column = 0;
        for (; column + 4 * LANES <= head_dim; column += 4 * LANES)
            add_values(values + column, head_dim, 4, shares, count, sums + column);
        for (; column < head_dim; column += 2 * LANES)
            add_values(values + column, head_dim, 2, shares, count, sums + column);
    }
    for (int64_t i = 0; i < count; i++) memcpy(queries[i].out, sums + i * head_dim, (size_t)head_dim * sizeof *sums);
}

const int64_t LEVELLED(most_queries) = MOST;

#endif
