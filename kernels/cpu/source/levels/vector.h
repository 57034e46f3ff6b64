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
typedef int16_t vs __attribute__((vector_size(4 * LANES)));
typedef int16_t vh __attribute__((vector_size(2 * LANES)));
typedef vf vf_unaligned __attribute__((aligned(4), may_alias));
typedef vh vh_unaligned __attribute__((aligned(2), may_alias));
typedef vu vu_unaligned __attribute__((aligned(2), may_alias));

// A vector of lanes of two others: lane i is lane `from(i)` of the first, or, from LANES on, of the second.
#define FOUR(from, i) from(i), from(i + 1), from(i + 2), from(i + 3)
#if defined(__AVX512F__)
#define EACH(from) FOUR(from, 0), FOUR(from, 4), FOUR(from, 8), FOUR(from, 12)
#elif defined(__AVX2__)
#define EACH(from) FOUR(from, 0), FOUR(from, 4)
#else
#define EACH(from) FOUR(from, 0)
#endif
#if defined(__clang__)
#define PICK(x, y, from) __builtin_shufflevector(x, y, EACH(from))
#else
#define PICK(x, y, from) __builtin_shuffle(x, y, (vi){EACH(from)})
#endif

// Every second lane; two vectors in turns; and, within each four lanes, one or two lanes in turns.
#define EVEN(i) (2 * (i))
#define ODD(i) (2 * (i) + 1)
#define TURNS(i) ((i) / 2 + (i) % 2 * LANES)
#define LATER_TURNS(i) (LANES / 2 + (i) / 2 + (i) % 2 * LANES)
#define ONES(i) ((i) / 4 * 4 + (i) % 4 / 2 + (i) % 2 * LANES)
#define LATER_ONES(i) (ONES(i) + 2)
#define TWOS(i) ((i) / 4 * 4 + (i) % 2 + (i) % 4 / 2 * LANES)
#define LATER_TWOS(i) (TWOS(i) + 2)

#define INLINE static inline __attribute__((always_inline))

INLINE vf load(const float *at) { return *(const vf_unaligned *)at; }
INLINE void store(float *at, vf value) { *(vf_unaligned *)at = value; }
INLINE vu load_bits(const void *at) { return *(const vu_unaligned *)at; }
INLINE void store_bits(void *at, vu value) { *(vu_unaligned *)at = value; }
INLINE void store_whole(int16_t *at, vi value) { *(vh_unaligned *)at = __builtin_convertvector(value, vh); }
INLINE vf broadcast(float value) { return value - (vf){0}; }

// Two neighbouring bfloat16 in each lane.
INLINE vf low(vu pair) { return (vf)(pair << 16); }
INLINE vf high(vu pair) { return (vf)(pair & 0xffff0000u); }

INLINE vf choose(vi where, vf yes, vf no) { return (vf)(((vi)yes & where) | ((vi)no & ~where)); }
// The first if it is NaN, so that a clamp hides none.
INLINE vf larger(vf a, vf b) { return choose(a < b, b, a); }
INLINE vf smaller(vf a, vf b) { return choose(a > b, b, a); }

INLINE vf nearest(vf value) {  // whole number, for magnitudes under 2^22
    const vf magic = broadcast(12582912.0f);  // adding 1.5 * 2^23 rounds
    return (value + magic) - magic;
}
INLINE vi rounded(vf value) { return __builtin_convertvector(nearest(value), vi); }

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
#if defined(__AVX512F__)
    return _mm512_reduce_max_ps((__m512)value);
#else
    float peak = value[0];
    for (int lane = 1; lane < LANES; lane++) peak = value[lane] > peak ? value[lane] : peak;
    return peak;
#endif
}

// 16 bytes, `at` bytes from where each of LANES rows begins: word i of row j becomes lane j of out[i].
INLINE void turn(const char *const *row, int64_t at, vu out[4]) {
    vu v[4];
    for (int i = 0; i < 4; i++) {
        const char *const *from = row + i;
#if defined(__AVX512F__)
        __m512i four = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(from[0] + at)));
        four = _mm512_inserti32x4(four, _mm_loadu_si128((const __m128i *)(from[4] + at)), 1);
        four = _mm512_inserti32x4(four, _mm_loadu_si128((const __m128i *)(from[8] + at)), 2);
        v[i] = (vu)_mm512_inserti32x4(four, _mm_loadu_si128((const __m128i *)(from[12] + at)), 3);
#elif defined(__AVX2__)
        v[i] = (vu)_mm256_loadu2_m128i((const __m128i *)(from[4] + at), (const __m128i *)(from[0] + at));
#else
        v[i] = load_bits(from[0] + at);
#endif
    }
    vu a = PICK(v[0], v[1], ONES), b = PICK(v[0], v[1], LATER_ONES);
    vu c = PICK(v[2], v[3], ONES), d = PICK(v[2], v[3], LATER_ONES);
    out[0] = PICK(a, c, TWOS), out[1] = PICK(a, c, LATER_TWOS);
    out[2] = PICK(b, d, TWOS), out[3] = PICK(b, d, LATER_TWOS);
}

// Twice the values of MXFP4's codes, a code in each byte.
static const int8_t E2M1_DOUBLED[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

INLINE vu doubled(vu codes) {
#if defined(__AVX512F__)
    const __m128i table = _mm_loadu_si128((const __m128i *)E2M1_DOUBLED);
    return (vu)_mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), (__m512i)codes);
#elif defined(__AVX2__)
    const __m128i table = _mm_loadu_si128((const __m128i *)E2M1_DOUBLED);
    return (vu)_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), (__m256i)codes);
#elif defined(__aarch64__)
    return (vu)vqtbl1q_s8(vld1q_s8(E2M1_DOUBLED), (uint8x16_t)codes);
#else
    uint8_t bytes[sizeof codes];
    memcpy(bytes, &codes, sizeof codes);
    for (size_t i = 0; i < sizeof codes; i++) bytes[i] = (uint8_t)E2M1_DOUBLED[bytes[i]];
    memcpy(&codes, bytes, sizeof codes);
    return codes;
#endif
}

// Activations in whole numbers are at most this, so that a high plane of 8 bits and a low one, with signs, hold them.
enum { LARGEST = 127 * 256 };

// Products of whole numbers, summed in each lane: of four bytes with NEON's dot products, else of two of 16 bits.
INLINE vi whole_dot(vi sum, vu a, vu b) {
#if defined(__AVX512VNNI__)
    return (vi)_mm512_dpwssd_epi32((__m512i)sum, (__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
    return sum + (vi)_mm256_madd_epi16((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
    return sum + (vi)_mm_madd_epi16((__m128i)a, (__m128i)b);
#elif defined(__ARM_FEATURE_DOTPROD)
    return (vi)vdotq_s32((int32x4_t)sum, (int8x16_t)a, (int8x16_t)b);
#else
    return sum + ((vi)(a << 16) >> 16) * ((vi)(b << 16) >> 16) + ((vi)a >> 16) * ((vi)b >> 16);
#endif
}

// A scale's byte is the exponent of a float32; 0 is 2^-127, which has no exponent of its own.
INLINE uint32_t bits_of_scale(uint8_t scale) { return scale ? (uint32_t)scale << 23 : 0x400000; }

INLINE float power_of_two(uint8_t scale) {
    uint32_t bits = bits_of_scale(scale);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// The largest magnitude; not a number if one is none.
INLINE float magnitude(const float *x, int64_t n) {
    vi most = {0};
    for (int64_t i = 0; i < n; i += LANES) {
        vi bits = (vi)load(x + i) & 0x7fffffff;
        most = (vi)choose(bits > most, (vf)bits, (vf)most);
    }
    int32_t peak = 0;
    for (int lane = 0; lane < LANES; lane++) peak = most[lane] > peak ? most[lane] : peak;
    float value;
    memcpy(&value, &peak, 4);
    return value;
}

// exp with a relative error under 2e-7 from -87 to 88; 0 below -110. The steps of Cephes' expf (Moshier): 2^n times a
// polynomial.
INLINE vf exponential(vf x) {
#if defined(__AVX512F__)
    x = (vf)_mm512_max_ps(_mm512_set1_ps(-110), _mm512_min_ps(_mm512_set1_ps(88), (__m512)x));  // NaN stays
#else
    vi vanishes = x < broadcast(-87.0f);
    x = smaller(larger(x, broadcast(-87.0f)), broadcast(88.0f));
#endif
    vf n = nearest(x * 1.44269504088896341f);
    vf r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    vf p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
#if defined(__AVX512F__)
    return (vf)_mm512_scalef_ps((__m512)p, (__m512)n);
#else
    vi power = (__builtin_convertvector(n, vi) + 127) << 23;
    return choose(vanishes, (vf){0}, p * (vf)power);
#endif
}

// The natural logarithm of normal numbers above 0, to 1e-7 of it: the steps of Cephes' logf (Moshier), by the mantissa
// from the root of a half on.
INLINE vf logarithm(vf x) {
    vi exponent = ((vi)x - 0x3f3504f3) >> 23;
    vf r = (vf)((vi)x - (exponent << 23)) - 1.0f, power = __builtin_convertvector(exponent, vf);
    vf p = r * 7.0376836292e-2f - 1.1514610310e-1f;
    p = p * r + 1.1676998740e-1f;
    p = p * r - 1.2420140846e-1f;
    p = p * r + 1.4249322787e-1f;
    p = p * r - 1.6668057665e-1f;
    p = p * r + 2.0000714765e-1f;
    p = p * r - 2.4999993993e-1f;
    p = p * r + 3.3333331174e-1f;
    vf square = r * r;
    return power * 0.693359375f + (r + (p * r * square - power * 2.12194440e-4f - square * 0.5f));
}

#endif
