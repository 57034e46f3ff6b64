// Attention of one token's heads that share a kv head, over a range of positions.

#include "vector.h"

enum {
    BLOCK = 128,  // positions whose scores are computed before the values are summed
    AHEAD = 4096,  // bytes
    GROUP = 8,    // heads whose keys and values are read but once
    HEADS = 4,    // of these at a time
    PARTS = KEY_TILE / LANES,
    SIDES = 2 / PARTS > 1 ? 2 : 1,  // sums of even columns and of odd ones, where one is too few to keep busy
#if defined(__AVX2__) && !defined(__AVX512F__)
    CHUNK = 2,  // vectors of the output at a time, at most
#else
    CHUNK = 4,
#endif
};

struct two {
    vf first, second;
};

INLINE struct two load_pair(const void *memory, int64_t at) {
    __builtin_prefetch((const uint16_t *)memory + at + AHEAD / 2);
    vu pair = load_bits((const uint16_t *)memory + at);
    return (struct two){low(pair), high(pair)};
}

INLINE struct two load_floats(const void *memory, int64_t at, int64_t apart) {
    const float *from = (const float *)memory + at;
    __builtin_prefetch(from + AHEAD / 4);
    __builtin_prefetch(from + apart + AHEAD / 4);
    return (struct two){load(from), load(from + apart)};
}

INLINE void scores(struct memory memory, int64_t start, int64_t tiles, int64_t head_dim, const float *q,
                   int heads, int wide, float (*score)[BLOCK]) {
    for (int64_t tile = 0; tile < tiles; tile++) {
        int64_t at = (start + tile * KEY_TILE) * head_dim;
        vf sums[SIDES][HEADS][PARTS] = {{{{0}}}};
        for (int64_t pair = 0; pair < head_dim / 2; pair++) {
            struct two keys[PARTS];
            for (int part = 0; part < PARTS; part++)
                keys[part] = wide ? load_floats(memory.keys, at + 2 * pair * KEY_TILE + part * LANES, KEY_TILE)
                                  : load_pair(memory.keys, at + (pair * KEY_TILE + part * LANES) * 2);
            for (int head = 0; head < heads; head++) {
                const float *query = q + head * head_dim + 2 * pair;
                for (int part = 0; part < PARTS; part++) sums[0][head][part] += keys[part].first * query[0];
                for (int part = 0; part < PARTS; part++) sums[SIDES - 1][head][part] += keys[part].second * query[1];
            }
        }
        for (int head = 0; head < heads; head++)
            for (int part = 0; part < PARTS; part++) {
                vf sum = sums[0][head][part];
                if (SIDES == 2) sum += sums[1][head][part];
                store(&score[head][tile * KEY_TILE + part * LANES], sum);
            }
    }
}

INLINE void values(struct memory memory, int64_t first, int64_t last, int64_t head_dim, int chunk, int heads,
                   int wide, float (*share)[BLOCK], float *out) {
    for (int64_t from = 0; from < head_dim; from += chunk * LANES) {
        vf sums[HEADS][CHUNK];
        for (int head = 0; head < heads; head++)
            for (int part = 0; part < chunk; part++)
                sums[head][part] = load(out + head * head_dim + from + part * LANES);
        for (int64_t position = first; position < last; position++) {
            for (int part = 0; part < chunk; part += 2) {
                int64_t at = position * head_dim + from + part * LANES;
                struct two value = wide ? load_floats(memory.values, at, LANES) : load_pair(memory.values, at);
                for (int head = 0; head < heads; head++) {
                    float weight = share[head][position - first];
                    sums[head][part] += value.first * weight;
                    sums[head][part + 1] += value.second * weight;
                }
            }
        }
        for (int head = 0; head < heads; head++)
            for (int part = 0; part < chunk; part++)
                store(out + head * head_dim + from + part * LANES, sums[head][part]);
    }
}

// One block of positions for some heads, whose softmax may have a new peak.
INLINE void attend_block(struct memory memory, int64_t start, int64_t from, int64_t to, int64_t head_dim,
                         const float *q, int heads, int wide, float *sums, float *peaks, vf *totals) {
    _Alignas(64) float score[HEADS][BLOCK];
    scores(memory, start, (to - start + KEY_TILE - 1) / KEY_TILE, head_dim, q, heads, wide, score);
    for (int head = 0; head < heads; head++) {
        float *row = score[head];
        for (int64_t i = 0; i < from - start; i++) row[i] = -INFINITY;
        for (int64_t i = to - start; i < BLOCK; i++) row[i] = -INFINITY;
        vf most = load(row);
        for (int i = LANES; i < BLOCK; i += LANES) most = larger(load(row + i), most);
        float peak = peak_of(most);
        if (peak > peaks[head]) {
            float shrink = expf(peaks[head] - peak);
            totals[head] *= shrink;
            for (int64_t i = 0; i < head_dim; i += LANES)
                store(sums + head * head_dim + i, load(sums + head * head_dim + i) * shrink);
            peaks[head] = peak;
        }
        for (int i = 0; i < BLOCK; i += LANES) {
            vf share = exponential(load(row + i) - peaks[head]);
            totals[head] += share;
            store(row + i, share);
        }
        if (from > start)  // the shares begin at the first position that is seen
            memmove(row, row + (from - start), (size_t)(to - from) * sizeof(float));
    }
    if (head_dim % (CHUNK * LANES) == 0)
        values(memory, from, to, head_dim, CHUNK, heads, wide, score, sums);
    else
        values(memory, from, to, head_dim, 2, heads, wide, score, sums);
}

INLINE void attend_heads(struct memory memory, int64_t first, int64_t last, int64_t head_dim, const float *q,
                         int64_t heads, int wide, float *out, float *peaks, float *sum) {
    _Alignas(64) float sums[GROUP * 256];
    vf totals[GROUP] = {{0}};
    for (int64_t head = 0; head < heads; head++) peaks[head] = -INFINITY;
    memset(sums, 0, (size_t)heads * (size_t)head_dim * sizeof *sums);
    for (int64_t start = first / KEY_TILE * KEY_TILE; start < last; start += BLOCK) {
        int64_t from = start > first ? start : first, to = start + BLOCK < last ? start + BLOCK : last, head = 0;
        for (; head + HEADS <= heads; head += HEADS)
            attend_block(memory, start, from, to, head_dim, q + head * head_dim, HEADS, wide, sums + head * head_dim,
                         peaks + head, totals + head);
        for (; head < heads; head++)
            attend_block(memory, start, from, to, head_dim, q + head * head_dim, 1, wide, sums + head * head_dim,
                         peaks + head, totals + head);
    }
    for (int64_t head = 0; head < heads; head++, out += head_dim) {
        const float *done = sums + head * head_dim;
        sum[head] = sum_of(totals[head]);
        for (int64_t i = 0; i < head_dim; i += 2 * LANES) {
            vf a = load(done + i), b = load(done + i + LANES);  // with bfloat16, even columns and odd ones
            store(out + i, wide ? a : PICK(a, b, TURNS));
            store(out + i + LANES, wide ? b : PICK(a, b, LATER_TURNS));
        }
    }
}

void LEVELLED(attend)(struct memory memory, int64_t first, int64_t last, int64_t head_dim, const float *q,
                      int64_t heads, float *out, float *peak, float *sum) {
    for (int64_t head = 0; head < heads; head += GROUP) {
        int64_t some = heads - head < GROUP ? heads - head : GROUP;
        const float *query = q + head * head_dim;
        float *to = out + head * head_dim;
        if (memory.wide)
            attend_heads(memory, first, last, head_dim, query, some, 1, to, peak + head, sum + head);
        else
            attend_heads(memory, first, last, head_dim, query, some, 0, to, peak + head, sum + head);
    }
}
