// Vectors of floats, as wide as the level's registers, in the vector extensions of GCC and clang.

#ifndef VECTOR_H
#define VECTOR_H

#include "../gptoss.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define JOIN(a, b) a##_##b
#define AT(name, level) JOIN(name, level)
#define LEVELLED(name) AT(name, LEVEL)

#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX2__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * LANES)));
typedef vf vf_unaligned __attribute__((aligned(4), may_alias));
typedef vu vu_unaligned __attribute__((aligned(2), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE vf load(const float *at) { return *(const vf_unaligned *)at; }
INLINE void store(float *at, vf value) { *(vf_unaligned *)at = value; }
INLINE vu load_bits(const void *at) { return *(const vu_unaligned *)at; }
INLINE vf broadcast(float value) { return value - (vf){0}; }

// Two neighbouring bfloat16 in each lane.
INLINE vf low(vu pair) { return (vf)(pair << 16); }
INLINE vf high(vu pair) { return (vf)(pair & 0xffff0000u); }

INLINE vf choose(vi where, vf yes, vf no) { return (vf)(((vi)yes & where) | ((vi)no & ~where)); }
// The first if it is NaN, so that a clamp hides none.
INLINE vf larger(vf a, vf b) { return choose(a < b, b, a); }
INLINE vf smaller(vf a, vf b) { return choose(a > b, b, a); }

INLINE float sum_of(vf value) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)value);
#elif defined(__AVX2__)
    __m128 half = _mm_add_ps(_mm256_castps256_ps128((__m256)value), _mm256_extractf128_ps((__m256)value, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
#else
    float sum = 0;
    for (int lane = 0; lane < LANES; lane++) sum += value[lane];
    return sum;
#endif
}

INLINE float peak_of(vf value) {
    float peak = value[0];
    for (int lane = 1; lane < LANES; lane++) peak = value[lane] > peak ? value[lane] : peak;
    return peak;
}

// exp with a relative error under 2e-7; 0 below -87. The steps of Cephes' expf (Moshier): 2^n times a polynomial.
INLINE vf exponential(vf x) {
    vi vanishes = x < broadcast(-87.0f);
    x = smaller(larger(x, broadcast(-87.0f)), broadcast(88.0f));
    const vf magic = broadcast(12582912.0f);  // adding 1.5 * 2^23 rounds to a whole number
    vf n = (x * 1.44269504088896341f + magic) - magic;
    vf r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    vf p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    vi power = (__builtin_convertvector(n, vi) + 127) << 23;
    return choose(vanishes, (vf){0}, p * (vf)power);
}

#endif
