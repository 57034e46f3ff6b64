// What the files of this library share: the network, the thread pool, and the functions that each level has.
//
// A level is a set of processor instructions. Every file in levels/ is compiled once for each of them, and
// library.c takes the best one that the processor has.

#ifndef GPTOSS_H
#define GPTOSS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define GPTOSS_ABI 1

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

enum {
    MXFP4_BLOCK = 32,
    KEY_TILE = 16,
    FEW = 16,    // tokens at most that are computed as each would be alone, to the last bit
    GRAIN = 32,  // rows; shares of threads are multiples of it
};

// bfloat16 weights in 12 bits, without loss: see pack.c.
struct packed {
    const uint8_t *bytes;  // [rows][columns / 64][96], or none
    const uint8_t *tops;   // [rows]
    const int64_t *escapes_from;  // [rows + 1]
    const struct escape {
        uint16_t column, weight;
    } *escapes;
};

// A matrix in 8 bits, as near as a scale for each row allows: see int8.c.
struct int8 {
    const int8_t *values;  // [rows][in_lines(columns)], or none
    const float *scales;   // [rows]
    const float *left;     // [rows]: the 2-norm of a row less scale * values, at least
    const float *norms;    // [rows]: the 2-norm of a row, at least
};

// Columns of 8 bits as they lie in memory, up to whole lines.
static inline int64_t in_lines(int64_t columns) { return (columns + 63) / 64 * 64; }

// A projection x -> weight x + bias. Weights and biases are bfloat16.
struct dense {
    const uint16_t *weight;  // [rows][columns]
    const uint16_t *bias;    // [rows], or none
    int64_t rows, columns;
    struct packed packed;
    struct int8 int8;
};

// The matrices of a layer's experts, in MXFP4 (kernels/mxfp4.py).
struct experts {
    const uint8_t *blocks;  // [experts][rows][columns / 32][16]
    const uint8_t *scales;  // [experts][rows][columns / 32]
    const uint16_t *bias;   // [experts][rows]
    int64_t rows, columns;
};

struct layer {
    int64_t window;  // 0: none
    const float *attention_norm, *sinks, *experts_norm;
    struct dense q, k, v, o, router;
    struct experts gate_up, down;
};

struct network {
    int64_t hidden, heads, kv_heads, head_dim, experts, experts_per_token;
    int64_t wide;  // keys and values in float32, not bfloat16
    float norm_eps, swiglu_alpha, swiglu_limit, concentration;
    const float *frequencies;  // [head_dim / 2]
    const float *norm;         // [hidden]
    struct dense unembedding;
};

// One call's activations of one token as 16-bit integers, in two planes of 8 bits: see levels/mxfp4.c.
struct planes {
    float scale;  // of one unit
    const int8_t *values;
};

// The same for matrices in 8 bits: see levels/int8.c.
struct whole {
    float scale;
    float left;   // the 2-norm of x less scale * its integers, at least
    int64_t sum;  // of the integers
    const int8_t *values;
};

// Keys and values of one kv head, float32 if `wide`, else bfloat16. Values are [position][head_dim]. Keys lie in
// tiles of 16 positions, so that positions are lanes: [tile][head_dim / 2][16][2], or, wide, [tile][head_dim][16].
struct memory {
    const void *keys, *values;
    int wide;
};

// How far a coarse logit may be from the one that `dense_rows` computes: left * of_left + norm * of_norm + more, and
// some of its own rounding; see draw.c.
struct margin {
    float of_left, of_norm, more;
};

// One head of one token, and what it sees: the positions first to last, at least one.
struct query {
    const float *q;  // [head_dim], scaled
    int64_t first, last;
    float *out;  // [head_dim]; see `attend`
    float peak, sum;
};

// Panels of experts' rows times many tokens.
struct panels {
    void (*pack)(const float *x, int64_t n, void *out);  // an activation
    void (*decode)(const struct experts *matrix, int64_t expert, int64_t first, void *panel);
    // out [tokens][panel]. Meanwhile some of the `bytes` from `soon` are called in.
    void (*multiply)(const void *panel, int64_t columns, const void *const *x, int64_t tokens, float *out,
                     const char *soon, int64_t bytes);
};

struct level {
    const char *name;
    int64_t panel;          // rows of a panel
    int64_t panel_bytes;    // of one column of a panel
    int64_t packed_bytes;   // of one packed activation
    int64_t tile;           // tokens that `multiply` likes best
    int reads_packed;       // whether `dense_rows` does

    // Elementwise.
    void (*norm)(const float *x, const float *weight, int64_t n, float eps, float *out);
    void (*swiglu)(const float *gate_up, int64_t n, float alpha, float limit, float *out);
    void (*rotate)(float *x, const float *cos_sin, int64_t head_dim);
    void (*add_bias)(const uint16_t *x, int64_t n, float *y);
    void (*add_scaled)(const float *x, float factor, int64_t n, float *y);

    // Draws: logits of the tokens from `first` on, with the noise of `key`; the sum of unnormalised probabilities, 1 at
    // the peak; bounds of the scores that coarse ones stand for, of which the lower ones' largest is returned. All read,
    // and write, up to the end of a vector.
    void (*perturb)(const float *logits, int64_t n, int64_t first, uint64_t key, float temperature, float *scores);
    float (*weigh)(const float *logits, int64_t n, float peak, float sharpness);
    float (*enclose)(const float *coarse, const float *scores, int64_t n, const float *left, const float *norms,
                     struct margin margin, float *upper);

    // Activations: for dense rows, for MXFP4 rows, for rows in 8 bits, for panels.
    void (*split)(const float *x, int64_t n, float *out);
    int64_t (*planes_bytes)(int64_t n);
    struct planes (*to_planes)(const float *x, int64_t n, int8_t *out);
    struct whole (*to_whole)(const float *x, int64_t n, int8_t *out);  // out: 2 * in_lines(n) bytes
    void (*pack)(const float *x, int64_t n, void *out);

    // Rows first to last of a matrix times few tokens: y[token * stride + row - first].
    void (*dense_rows)(const struct dense *matrix, int64_t first, int64_t last, const float *const *x,
                       int64_t tokens, float *y, int64_t stride);
    void (*int8_rows)(const struct dense *matrix, int64_t first, int64_t last, const struct whole *x, int64_t tokens,
                      float *y, int64_t stride);
    void (*expert_rows)(const struct experts *matrix, int64_t expert, int64_t first, int64_t last,
                        const struct planes *x, int64_t tokens, float *y, int64_t stride);

    // A panel of rows, decoded, times many tokens: out [tokens][panel].
    void (*dense_panel)(const struct dense *matrix, int64_t first, void *panel);
    void (*multiply)(const void *panel, int64_t columns, const void *const *x, int64_t tokens, float *out,
                     const char *soon, int64_t bytes);
    struct panels experts;
    struct panels quick_experts;  // with activations in 8 bits; none where the processor has no instructions for it

    // Attention of `heads` queries [heads][head_dim], scaled, over the positions first to last. Leaves the
    // softmax open: out [heads][head_dim] is not divided by sum, and both are relative to exp(peak).
    void (*attend)(struct memory memory, int64_t first, int64_t last, int64_t head_dim, const float *q,
                   int64_t heads, float *out, float *peak, float *sum);

    // The same for `most_queries` at most over one kv head in bfloat16, to which everything is rounded. 0 where the
    // processor has no instructions for it.
    void (*attend_many)(struct memory memory, int64_t head_dim, struct query *queries, int64_t count);
    int64_t most_queries;
};

// A team of threads that do one piece of work together. The caller is thread 0.
struct pool;
typedef void work(void *of, int thread, int threads);
EXPORT struct pool *pool_new(int threads);
EXPORT void pool_free(struct pool *pool);
int pool_threads(const struct pool *pool);
void pool_run(struct pool *pool, work *function, void *of);
void pool_wait(struct pool *pool);  // a barrier, inside of pool_run

// Draws the tokens that follow after rows of the stream: see draw.c.
struct drawer;
struct drawn {
    double token, logprob, bad;
};
struct drawer *drawer_new(const struct network *network, const struct level *level, struct pool *pool);
void drawer_free(struct drawer *drawer);
void copy_coarse(struct drawer *drawer);
int is_coarse(const struct drawer *drawer);
EXPORT struct margin margin_of(const float *x, int64_t n, float left);
void draw_tokens(struct drawer *drawer, const float *x, int64_t tokens, float temperature, const uint64_t *keys,
                 const uint8_t *allowed, int exact, struct drawn *drawn);

void *large_memory(int64_t bytes);
void pack_dense(struct dense *matrix, struct pool *pool);
void unpack_dense(struct dense *matrix, struct pool *pool);
EXPORT void copy_to_int8(struct dense *matrix, struct pool *pool);
void copy_scaled_to_int8(struct dense *matrix, const float *factors, struct pool *pool);
EXPORT void free_int8(struct dense *matrix, struct pool *pool);

const struct level *best_level(const char *most);

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t over(int64_t a, int64_t b) { return (a + b - 1) / b; }

static inline void share(int64_t n, int64_t grain, int thread, int threads, int64_t *first, int64_t *last) {
    int64_t grains = over(n, grain);
    *first = least(n, grains * thread / threads * grain);
    *last = least(n, grains * (thread + 1) / threads * grain);
}

static inline float from_bf16(uint16_t bits) {
    union {
        uint32_t bits;
        float value;
    } as = {(uint32_t)bits << 16};
    return as.value;
}

static inline uint16_t to_bf16(float value) {  // nearest, ties to even
    union {
        float value;
        uint32_t bits;
    } as = {value};
    if ((as.bits & 0x7fffffff) > 0x7f800000) return 0x7fc0;
    return (uint16_t)((as.bits + 0x7fff + (as.bits >> 16 & 1)) >> 16);
}

#endif
