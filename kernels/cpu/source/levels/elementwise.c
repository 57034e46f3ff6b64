// What is computed value by value: the norm, the activation of the experts, the rotation, sums.

#include "vector.h"

void LEVELLED(norm)(const float *x, const float *weight, int64_t n, float eps, float *out) {
    double sum = 0;
    for (int64_t i = 0; i < n; i += 2 * LANES * 16) {  // in pieces, so that float32 sums stay short
        int64_t end = i + 2 * LANES * 16 < n ? i + 2 * LANES * 16 : n;
        vf piece = {0};
        for (int64_t j = i; j < end; j += LANES) piece += load(x + j) * load(x + j);
        sum += sum_of(piece);
    }
    // Squares that overflow would make all values 0.
    float factor = isfinite(sum) ? (float)(1 / sqrt(sum / (double)n + eps)) : NAN;
    for (int64_t i = 0; i < n; i += LANES) store(out + i, load(x + i) * factor * load(weight + i));
}

// gate * sigmoid(alpha * gate) * (up + 1), gate and up in turns, n of each.
void LEVELLED(swiglu)(const float *gate_up, int64_t n, float alpha, float limit, float *out) {
    for (int64_t i = 0; i < n; i += LANES) {
        vf first = load(gate_up + 2 * i), second = load(gate_up + 2 * i + LANES);
        vf gate = smaller(PICK(first, second, EVEN), broadcast(limit));
        vf up = smaller(larger(PICK(first, second, ODD), broadcast(-limit)), broadcast(limit));
        store(out + i, gate / (1.0f + exponential(gate * -alpha)) * (up + 1.0f));
    }
}

// Value i of the first half pairs with value i of the second. cos_sin: head_dim / 2 cosines, then as many sines.
void LEVELLED(rotate)(float *x, const float *cos_sin, int64_t head_dim) {
    int64_t half = head_dim / 2;
    for (int64_t i = 0; i < half; i += LANES) {
        vf first = load(x + i), second = load(x + half + i);
        vf cos = load(cos_sin + i), sin = load(cos_sin + half + i);
        store(x + i, first * cos - second * sin);
        store(x + half + i, second * cos + first * sin);
    }
}

// y += x, which is bfloat16.
void LEVELLED(add_bias)(const uint16_t *x, int64_t n, float *y) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vh halves;
        memcpy(&halves, x + i, sizeof halves);
        store(y + i, load(y + i) + (vf)(__builtin_convertvector(halves, vi) << 16));
    }
    for (; i < n; i++) y[i] += from_bf16(x[i]);
}

// y += factor * x.
void LEVELLED(add_scaled)(const float *x, float factor, int64_t n, float *y) {
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) store(y + i, load(y + i) + factor * load(x + i));
    for (; i < n; i++) y[i] += factor * x[i];
}
