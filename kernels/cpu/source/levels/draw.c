// The noise of draws, as reference.py's `gumbel` defines it, the weights of a softmax, and the bounds of coarse scores.

#include "vector.h"

#define SAME(i) (i)
static const vi PLACES = {EACH(SAME)};

// A permutation of 32 bits: lowbias32 (Wellons, "Prospecting for Hash Functions", 2018).
INLINE vu mix(vu bits) {
    bits = (bits ^ bits >> 16) * 0x7feb352du;
    bits = (bits ^ bits >> 15) * 0x846ca68bu;
    return bits ^ bits >> 16;
}

// -log(-log(1 - v)), of the v in (0, 1) that the bits are of. What is near 0 there decides draws, and is exact: 1 - v
// rounds, and what it loses is put back. From a half on, 1 - v is what the complement of the bits is of.
INLINE vf gumbel(vu bits) {
    vi upper = (vi)bits >> 31;
    vf v = (__builtin_convertvector((vi)bits ^ upper, vf) + 0.5f) * 0x1p-32f;
    vf rest = choose(upper, v, 1.0f - v), lost = choose(upper, (vf){0}, (1.0f - rest) - v);
    return -logarithm(-(logarithm(rest) + lost / rest));
}

void LEVELLED(perturb)(const float *logits, int64_t n, int64_t first, uint64_t key, float temperature, float *scores) {
    vu low = (vu){0} + (uint32_t)key, high = (vu){0} + (uint32_t)(key >> 32);
    for (int64_t i = 0; i < n; i += LANES) {
        vu id = (vu)(PLACES + (int32_t)(first + i));
        store(scores + i, load(logits + i) + temperature * gumbel(mix(mix(id ^ low) ^ high)));
    }
}

float LEVELLED(weigh)(const float *logits, int64_t n, float peak, float sharpness) {
    vf sum = {0};
    for (int64_t i = 0; i < n; i += LANES) {
        vf weight = exponential((load(logits + i) - peak) * sharpness);
        sum += choose(PLACES < (vi){0} + (int32_t)(n - i), weight, (vf){0});
    }
    return sum_of(sum);
}

// An upper bound is not a number where a score is none; such a lower bound counts for nothing.
float LEVELLED(enclose)(const float *coarse, const float *scores, int64_t n, const float *left, const float *norms,
                        struct margin margin, float *upper) {
    vf best = broadcast(-INFINITY);
    for (int64_t i = 0; i < n; i += LANES) {
        vf logit = load(coarse + i), score = load(scores + i);
        vf sizes = (vf)((vi)logit & 0x7fffffff) + (vf)((vi)score & 0x7fffffff);
        vf reach = load(left + i) * margin.of_left + load(norms + i) * margin.of_norm + (sizes * 0x1p-20f + margin.more);
        store(upper + i, score + reach);
        vf lower = choose(PLACES < (vi){0} + (int32_t)(n - i), score - reach, broadcast(-INFINITY));
        best = choose(lower > best, lower, best);
    }
    return peak_of(best);
}
