// Every function of every level of the library as it ships, against plain loops in float64: on processors that this
// machine is not by `make emulate`. Prints a line for each level that the processor has; fails if a result is wrong.

#include "gptoss.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double E2M1[16] = {0, .5, 1, 1.5, 2, 3, 4, 6, 0, -.5, -1, -1.5, -2, -3, -4, -6};
static const double UNIT = 1.0 / 32512;  // of activations in whole numbers, relative to their largest magnitude
static const double EIGHTH = 0.501 / 127;  // of activations in 8 bits, rounded

static uint64_t state = 88172645463325252;
static uint32_t bits(void) { return (uint32_t)((state = state * 6364136223846793005u + 1442695040888963407u) >> 32); }
static float normal(void) {
    float sum = 0;
    for (int i = 0; i < 12; i++) sum += (float)bits() / 4294967296.0f;
    return sum - 6;
}

static void *room(int64_t bytes) {
    void *memory = aligned_alloc(64, (size_t)(bytes + 8192) / 64 * 64);
    if (!memory) abort();
    memset(memory, 0, (size_t)bytes);
    return memory;
}

static float *normals(int64_t n) {
    float *x = room(n * 4);
    for (int64_t i = 0; i < n; i++) x[i] = normal() * (i % 97 ? 1 : 8);
    return x;
}

static uint16_t *halves(int64_t n) {
    uint16_t *x = room(n * 2);
    for (int64_t i = 0; i < n; i++) x[i] = to_bf16(normal());
    return x;
}

static const double ROUNDING = 1e-6;            // of sums in float32, relative to the magnitudes of their terms
static const double TWO_HALVES = 1.0 / 65536;  // of an activation as two bfloat16
static const double HALF = 1.0 / 256;          // as one

static const struct level *level;
static const char *what;
static int wrong;

static void compare(double got, double expected, double bound) {
    if (fabs(got - expected) <= bound) return;
    if (!wrong++) printf("%s, %s: %.9g, not %.9g, and at most %.2g beside it\n", level->name, what, got, expected, bound);
}

static double largest(const float *x, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs((double)x[i]));
    return most;
}

// A row of a matrix, in float64.
typedef double weight(const void *matrix, int64_t expert, int64_t row, int64_t column);

static double of_dense(const void *of, int64_t expert, int64_t row, int64_t column) {
    (void)expert;
    const struct dense *matrix = of;
    return from_bf16(matrix->weight[row * matrix->columns + column]);
}

static double of_experts(const void *of, int64_t expert, int64_t row, int64_t column) {
    const struct experts *matrix = of;
    int64_t n = matrix->columns / MXFP4_BLOCK, block = (expert * matrix->rows + row) * n + column / MXFP4_BLOCK;
    uint8_t byte = matrix->blocks[block * 16 + column % MXFP4_BLOCK / 2];
    return ldexp(E2M1[column % 2 ? byte >> 4 : byte & 15], matrix->scales[block] - 127);
}

// y [tokens][stride], the rows from `first`, against the product in float64. `relative` is the bound in relation to
// the magnitudes of the products, `absolute` to the magnitudes of the weights and the largest activation.
static void compare_product(weight *weight, const void *matrix, int64_t columns, int64_t expert, int64_t first,
                            int64_t rows, const float *x, int64_t tokens, const float *y, int64_t stride,
                            double relative, double absolute) {
    for (int64_t token = 0; token < tokens; token++) {
        const float *from = x + token * columns;
        double most = largest(from, columns);
        for (int64_t row = 0; row < rows; row++) {
            double sum = 0, products = 0, weights = 0;
            for (int64_t i = 0; i < columns; i++) {
                double factor = weight(matrix, expert, first + row, i);
                sum += factor * from[i], products += fabs(factor * from[i]), weights += fabs(factor);
            }
            compare(y[token * stride + row], sum, relative * products + absolute * most * weights);
        }
    }
}

static void check_dense(int64_t rows, int64_t columns, int64_t tokens) {
    struct dense matrix = {.weight = halves(rows * columns), .rows = rows, .columns = columns};
    float *x = normals(tokens * columns), *apart = room(tokens * columns * 4), *y = room(tokens * 512 * 4);
    char *panel = room(columns * level->panel * 4), *packed = room(tokens * columns * level->packed_bytes);
    const void *from[tokens];
    what = "dense rows";
    for (int64_t token = 0; token < tokens; token++) {
        level->split(x + token * columns, columns, apart + token * columns);
        from[token] = apart + token * columns;
    }
    level->dense_rows(&matrix, 1, rows, (const float *const *)from, tokens, y, 512);
    compare_product(of_dense, &matrix, columns, 0, 1, rows - 1, x, tokens, y, 512,
                    level->packed_bytes == 2 ? TWO_HALVES : ROUNDING, 0);
    what = "a panel of dense rows";
    for (int64_t token = 0; token < tokens; token++) {
        from[token] = packed + token * columns * level->packed_bytes;
        level->pack(x + token * columns, columns, (void *)from[token]);
    }
    int64_t last = (rows - 1) / level->panel * level->panel;
    level->dense_panel(&matrix, last, panel);
    level->multiply(panel, columns, from, tokens, y, (const char *)matrix.weight, tokens % 2 ? columns : 0);
    compare_product(of_dense, &matrix, columns, 0, last, rows - last, x, tokens, y, level->panel,
                    level->packed_bytes == 2 ? HALF : strcmp(level->name, "i8mm") ? ROUNDING : TWO_HALVES, 0);
    free((void *)matrix.weight), free(x), free(apart), free(y), free(panel), free(packed);
}

static double norm_of(const float *x, int64_t n) {
    double squares = 0;
    for (int64_t i = 0; i < n; i++) squares += (double)x[i] * x[i];
    return sqrt(squares);
}

static void check_int8(int64_t rows, int64_t columns, int64_t tokens) {
    struct dense matrix = {.weight = halves(rows * columns), .rows = rows, .columns = columns};
    float *x = normals(tokens * columns), *y = room(tokens * 512 * 4), *alone = room(rows * 4);
    int8_t *memory = room(tokens * 2 * in_lines(columns));
    struct whole as[tokens];
    struct pool *pool = pool_new(2);
    copy_to_int8(&matrix, pool);
    for (int64_t token = 0; token < tokens; token++)
        as[token] = level->to_whole(x + token * columns, columns, memory + token * 2 * in_lines(columns));
    level->int8_rows(&matrix, 1, rows, as, tokens, y, 512);
    for (int64_t row = 0; row < rows; row++) {
        const struct int8 *copy = &matrix.int8;
        double left = 0, squares = 0, most = 0;
        for (int64_t i = 0; i < columns; i++) {
            double weight = of_dense(&matrix, 0, row, i), value = copy->values[row * in_lines(columns) + i];
            double rest = weight - value * copy->scales[row];
            what = "a weight in 8 bits";
            compare(rest, 0, copy->scales[row] * 0.50001);
            left += rest * rest, squares += weight * weight, most = fmax(most, fabs(value));
        }
        compare(most, 127, 0);
        what = "the norm of a row, or of what 8 bits leave of it";
        compare(copy->left[row] / sqrt(left) - 1, 1e-6, 9e-7), compare(copy->norms[row] / sqrt(squares) - 1, 1e-6, 9e-7);
        for (int64_t token = 0; token < tokens && row; token++) {
            double sum = 0, near = 0, weights = 0, got = y[token * 512 + row - 1];
            for (int64_t i = 0; i < columns; i++) {
                double value = copy->scales[row] * (double)copy->values[row * in_lines(columns) + i];
                sum += of_dense(&matrix, 0, row, i) * x[token * columns + i];
                near += value * x[token * columns + i], weights += fabs(value);
            }
            what = "rows in 8 bits";
            compare(got, near, 0.51 * as[token].scale * weights + 1e-7 * fabs(near));
            what = "the bound of a product in 8 bits";
            double bound = copy->left[row] * norm_of(x + token * columns, columns);
            bound += ((double)copy->norms[row] + copy->left[row]) * as[token].left + 1e-7 * fabs(near);
            compare(got, sum, bound);
        }
    }
    what = "rows in 8 bits of a token alone";
    for (int64_t token = 0; token < tokens; token++) {
        level->int8_rows(&matrix, 1, rows, as + token, 1, alone, rows);
        for (int64_t row = 1; row < rows; row++) compare(alone[row - 1], y[token * 512 + row - 1], 0);
    }
    free_int8(&matrix, pool), pool_free(pool);
    free((void *)matrix.weight), free(x), free(y), free(alone), free(memory);
}

// Sums as large as they can be, and no whole number of vectors.
static void check_int8_sums(int64_t columns) {
    int8_t *values = room(in_lines(columns)), *memory = room(2 * in_lines(columns));
    float *x = room(columns * 4), scale = 1, y;
    for (int64_t i = 0; i < columns; i++) values[i] = -127, x[i] = -1;
    struct dense matrix = {.rows = 1, .columns = columns, .int8 = {.values = values, .scales = &scale}};
    struct whole as = level->to_whole(x, columns, memory);
    level->int8_rows(&matrix, 0, 1, &as, 1, &y, 1);
    what = "the largest sum in 8 bits";
    compare(y, 127.0 * (double)columns, 20 * (double)columns / 1e6);
    free(values), free(memory), free(x);
}

static void check_expert_panel(const struct panels *panels, const char *name, const struct experts *matrix,
                               const float *x, int64_t tokens, double relative, double absolute) {
    if (!panels->decode) return;
    what = name;
    int64_t columns = matrix->columns, last = (matrix->rows - 1) / level->panel * level->panel;
    char *panel = room(columns * level->panel * 4), *packed = room(tokens * columns * level->packed_bytes);
    float *y = room(tokens * level->panel * 4);
    const void *from[tokens];
    for (int64_t token = 0; token < tokens; token++) {
        from[token] = packed + token * columns * level->packed_bytes;
        panels->pack(x + token * columns, columns, (void *)from[token]);
    }
    panels->decode(matrix, 1, last, panel);
    panels->multiply(panel, columns, from, tokens, y, (const char *)matrix->blocks, tokens % 2 ? columns : 0);
    compare_product(of_experts, matrix, columns, 1, last, matrix->rows - last, x, tokens, y, level->panel, relative,
                    absolute);
    free(panel), free(packed), free(y);
}

static void check_experts(int64_t rows, int64_t columns, int64_t tokens) {
    int64_t n = columns / MXFP4_BLOCK, slot = level->planes_bytes(columns);
    uint8_t *blocks = room(2 * rows * n * 16), *scales = room(2 * rows * n);
    for (int64_t i = 0; i < 2 * rows * n * 16; i++) blocks[i] = (uint8_t)bits();
    for (int64_t i = 0; i < 2 * rows * n; i++) scales[i] = (uint8_t)(100 + bits() % 40);
    struct experts matrix = {.blocks = blocks, .scales = scales, .rows = rows, .columns = columns};
    float *x = normals(tokens * columns), *y = room(tokens * 512 * 4);
    int8_t *memory = room(tokens * slot);
    struct planes planes[tokens];
    what = "rows of an expert";
    for (int64_t token = 0; token < tokens; token++)
        planes[token] = level->to_planes(x + token * columns, columns, memory + token * slot);
    level->expert_rows(&matrix, 1, 1, rows, planes, tokens, y, 512);
    compare_product(of_experts, &matrix, columns, 1, 1, rows - 1, x, tokens, y, 512, ROUNDING, UNIT);
    int rounded = level->packed_bytes == 2;
    check_expert_panel(&level->experts, "a panel of an expert", &matrix, x, tokens, rounded ? HALF : ROUNDING,
                       rounded ? 0 : UNIT);
    check_expert_panel(&level->quick_experts, "a panel of an expert in 8 bits", &matrix, x, tokens, ROUNDING, EIGHTH);
    free(blocks), free(scales), free(x), free(y), free(memory);
}

static void check_elementwise(int64_t n) {
    float *x = normals(2 * n), *weight = normals(n), *y = room(n * 4), *turned = room(2 * n * 4);
    double squares = 0;
    what = "norm";
    for (int64_t i = 0; i < n; i++) squares += (double)x[i] * x[i];
    level->norm(x, weight, n, 1e-5f, y);
    for (int64_t i = 0; i < n; i++) {
        double expected = x[i] / sqrt(squares / (double)n + 1e-5) * weight[i];
        compare(y[i], expected, 1e-6 * fabs(expected));
    }
    what = "swiglu";
    level->swiglu(x, n, 1.702f, 7, y);
    for (int64_t i = 0; i < n; i++) {
        double gate = fmin(x[2 * i], 7), up = fmax(fmin(x[2 * i + 1], 7), -7);
        double expected = gate / (1 + exp(-1.702f * gate)) * (up + 1);
        compare(y[i], expected, 2e-6 * fabs(expected) + 1e-30);
    }
    what = "rotate";
    memcpy(turned, x, (size_t)n * 4);
    level->rotate(turned, weight, n);
    for (int64_t i = 0; i < n / 2; i++) {
        double a = x[i], b = x[n / 2 + i], cos = weight[i], sin = weight[n / 2 + i];
        compare(turned[i], a * cos - b * sin, 1e-6 * (fabs(a * cos) + fabs(b * sin)));
        compare(turned[n / 2 + i], b * cos + a * sin, 1e-6 * (fabs(b * cos) + fabs(a * sin)));
    }
    free(x), free(weight), free(y), free(turned);
}

// Coarse scores enclose those of `dense_rows`, and those of float64. Every other token has the activations for which
// the copy is worst: those that what it leaves of a row points to.
static void check_coarse(int64_t rows, int64_t columns, float temperature) {
    enum { TOKENS = 8 };
    struct dense matrix = {.weight = halves(rows * columns), .rows = rows, .columns = columns};
    float *x = normals(TOKENS * columns), *apart = room(columns * 4), *coarse = room(rows * 4), *full = room(rows * 4);
    float *coarse_scores = room(rows * 4), *scores = room(rows * 4), *upper = room(rows * 4);
    int8_t *planes = room(2 * in_lines(columns));
    struct pool *pool = pool_new(2);
    copy_to_int8(&matrix, pool);
    for (int64_t token = 0; token < TOKENS; token++) {
        float *from = x + token * columns;
        int64_t worst = bits() % rows;
        for (int64_t i = 0; i < columns && token % 2; i++)
            from[i] = (float)(of_dense(&matrix, 0, worst, i) -
                              matrix.int8.scales[worst] * matrix.int8.values[worst * in_lines(columns) + i]);
        struct whole whole = level->to_whole(from, columns, planes);
        level->int8_rows(&matrix, 0, rows, &whole, 1, coarse, rows);
        level->split(from, columns, apart);
        level->dense_rows(&matrix, 0, rows, (const float *const[]){apart}, 1, full, rows);
        level->perturb(coarse, rows, 3, 99, temperature, coarse_scores);
        level->perturb(full, rows, 3, 99, temperature, scores);
        struct margin margin = margin_of(from, columns, whole.left);
        float lower = level->enclose(coarse, coarse_scores, rows, matrix.int8.left, matrix.int8.norms, margin, upper);
        double best = -INFINITY;
        for (int64_t row = 0; row < rows; row++) {
            double product = 0, reach = (double)upper[row] - coarse_scores[row];
            for (int64_t i = 0; i < columns; i++) product += of_dense(&matrix, 0, row, i) * from[i];
            what = "the bounds of coarse scores";
            compare(scores[row], coarse_scores[row], reach);
            compare(product, coarse[row], reach);
            best = fmax(best, coarse_scores[row] - reach);
            what = "the bounds of coarse scores, which are wide";
            compare(reach, 0, 0.02 * matrix.int8.norms[row] * norm_of(from, columns) + 1e-5 * (1 + fabs(scores[row])));
        }
        what = "the best lower bound";
        compare(lower, best, 1e-5 * (1 + fabs(best)));
    }
    free_int8(&matrix, pool), pool_free(pool);
    free((void *)matrix.weight), free(x), free(apart), free(coarse), free(full), free(coarse_scores), free(scores);
    free(upper), free(planes);
}

static uint32_t mix(uint32_t x) {
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

static void check_draw(int64_t n) {
    float *logits = normals(n), *scores = room(n * 4);
    uint64_t key = (uint64_t)bits() << 32 | bits();
    int64_t first = bits() % 200000;
    what = "noise";
    level->perturb(logits, n, first, key, 0.7f, scores);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double v = (mix(mix((uint32_t)(first + i) ^ (uint32_t)key) ^ (uint32_t)(key >> 32)) + 0.5) / 4294967296.0;
        double expected = logits[i] - 0.7f * log(-log1p(-v));
        compare(scores[i], expected, 1e-6 * (1 + fabs(expected)));
        sum += exp((logits[i] - 2.0) * 1.5);
    }
    what = "weights";
    compare(level->weigh(logits, n, 2, 1.5f), sum, 2e-6 * sum);
    free(logits), free(scores);
}

// One query's result against the definition. If `rounded`, the query and the shares were rounded to bfloat16.
static void compare_attention(const struct query *query, int64_t head_dim, const float *keys, const float *values,
                              int rounded) {
    double *score = room(query->last * 8), total = 0, error = 0;
    for (int64_t at = query->first; at < query->last; at++) {
        double products = 0;
        for (int64_t i = 0; i < head_dim; i++) {
            double product = (double)query->q[i] * keys[at * head_dim + i];
            score[at] += product, products += fabs(product);
        }
        total += exp(score[at]), error = fmax(error, rounded * HALF * products);
    }
    compare(log(query->sum) + query->peak, log(total), 2e-5 + error);
    for (int64_t i = 0; i < head_dim; i++) {
        double mean = 0, magnitude = 0;
        for (int64_t at = query->first; at < query->last; at++) {
            double part = exp(score[at]) / total * values[at * head_dim + i];
            mean += part, magnitude += fabs(part);
        }
        compare(query->out[i] / query->sum, mean, (4e-5 + expm1(2 * error) + rounded * HALF) * magnitude);
    }
    free(score);
}

static void check_attention(int64_t first, int64_t last, int64_t head_dim, int64_t heads, int wide) {
    int64_t slots = (last + KEY_TILE - 1) / KEY_TILE * KEY_TILE, size = slots * head_dim;
    float *keys = normals(size), *values = normals(size), *q = normals(heads * head_dim);
    float *out = room(heads * head_dim * 4), peak[heads], sum[heads];
    char *stored_keys = room(size * 4), *stored_values = room(size * 4);
    struct query queries[heads];
    for (int64_t i = 0; i < size; i++) {
        int64_t slot = i / head_dim, column = i % head_dim, lane = slot % KEY_TILE;
        int64_t tile = slot / KEY_TILE * KEY_TILE * head_dim + column / 2 * 2 * KEY_TILE;
        keys[i] = from_bf16(to_bf16(keys[i] / 8)), values[i] = from_bf16(to_bf16(values[i]));
        if (slot < first || slot >= last) keys[i] = values[i] = NAN;  // what nobody looks at may be anything
        if (wide) {
            ((float *)stored_keys)[tile + column % 2 * KEY_TILE + lane] = keys[i];
            ((float *)stored_values)[i] = values[i];
        } else {
            ((uint16_t *)stored_keys)[tile + lane * 2 + column % 2] = to_bf16(keys[i]);
            ((uint16_t *)stored_values)[i] = to_bf16(values[i]);
        }
    }
    what = wide ? "attention in float32" : "attention";
    struct memory memory = {stored_keys, stored_values, wide};
    level->attend(memory, first, last, head_dim, q, heads, out, peak, sum);
    for (int64_t head = 0; head < heads; head++) {
        queries[head] = (struct query){q + head * head_dim, first, last, out + head * head_dim, peak[head], sum[head]};
        compare_attention(&queries[head], head_dim, keys, values, 0);
    }
    if (!wide && heads <= level->most_queries) {
        what = "attention of many queries";
        for (int64_t head = 1; head < heads; head++)  // each with its own view
            queries[head].first += bits() % (last - first), queries[head].last -= bits() % (last - queries[head].first);
        level->attend_many(memory, head_dim, queries, heads);
        for (int64_t head = 0; head < heads; head++) compare_attention(&queries[head], head_dim, keys, values, 1);
    }
    free(keys), free(values), free(q), free(out), free(stored_keys), free(stored_values);
}

int main(void) {
    const char *const names[] = {"base", "dotprod", "i8mm", "avx2", "avx512", "avx512bf16"};
    int failed = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        level = best_level(names[i]);
        if (strcmp(level->name, names[i])) continue;
        wrong = 0;
        for (int64_t tokens = 1; tokens <= 20; tokens++) {
            check_dense(70, 544, tokens);
            check_experts(70, 32 * (tokens + 3), tokens);
            check_int8(39, 32 * (tokens + 3), tokens);
        }
        check_int8(34, 4096 + 32, 3), check_int8_sums(65504), check_int8_sums(32);
        check_dense(33, 2880, 13), check_experts(33, 2880, 13);
        check_dense(3, 32, 9), check_experts(3, 32, 9);
        for (int64_t n = 32; n <= 2880; n += 32) check_elementwise(n);
        for (int64_t n = 1; n <= 256; n++) check_draw(n);
        check_coarse(70, 544, 0.5f), check_coarse(1, 32, 1), check_coarse(300, 2880, 2), check_coarse(33, 64, 1e30f);
        for (int wide = 0; wide < 2; wide++) {
            check_attention(0, 1, 64, 8, wide), check_attention(0, 300, 64, 8, wide);
            check_attention(5, 133, 64, 4, wide), check_attention(129, 1029, 32, 5, wide);
            check_attention(0, 288, 64, 8, wide), check_attention(0, 144, 64, 12, wide);
            check_attention(7, 200, 96, 61, wide), check_attention(0, 65, 256, 64, wide);
        }
        printf("%s: %s\n", level->name, wrong ? "wrong" : "right");
        failed |= wrong;
    }
    return failed != 0;
}
