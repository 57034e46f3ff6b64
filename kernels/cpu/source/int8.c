// A bfloat16 matrix in 8 bits: each row as whole numbers from -127 to 127 times a scale of its own.
//
// Beside the row stand the 2-norms of the row and of what the copy leaves of it, rounded up: with r what is left, and x'
// the activations as they are multiplied, a product w x differs from the copy's by at most
// |r| |x| + (|w| + |r|) |x - x'| (Cauchy and Schwarz), and the rounding of a float32.

#include "gptoss.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double UP = 1 + 1e-6;  // more than the rounding of the sums, and of a float32
static const double WHOLE = 6755399441055744;  // 1.5 * 2^52: adding it rounds to the nearest whole number

struct copying {
    const struct dense *matrix;
    const float *factors;
    int8_t *values;
    float *scales, *left, *norms;
};

static double weight_at(const struct copying *copy, const uint16_t *weights, int64_t column) {
    return from_bf16(weights[column]) * (double)(copy->factors ? copy->factors[column] : 1);
}

static void copy_row(const struct copying *copy, int64_t row) {
    int64_t columns = copy->matrix->columns, bytes = in_lines(columns);
    const uint16_t *weights = copy->matrix->weight + row * columns;
    int8_t *out = copy->values + row * bytes;
    double most = 0;
    for (int64_t i = 0; i < columns; i++) {
        double size = fabs(weight_at(copy, weights, i));
        most = size <= most ? most : size;
    }
    float scale = (float)(most / 127);
    double inverse = scale > 0 ? 1 / (double)scale : 0, squares = 0, left = 0;
    memset(out, 0, (size_t)bytes);
    if (!isfinite(scale)) scale = NAN;  // so that a fault shows in every product
    for (int64_t i = 0; i < columns && isfinite(scale); i++) {
        double weight = weight_at(copy, weights, i), whole = (weight * inverse + WHOLE) - WHOLE;
        whole = whole > 127 ? 127 : whole < -127 ? -127 : whole;  // of scales so small that they are rounded
        double rest = weight - scale * whole;
        out[i] = (int8_t)whole;
        squares += weight * weight, left += rest * rest;
    }
    copy->scales[row] = scale;
    copy->left[row] = (float)(sqrt(left) * UP);
    copy->norms[row] = (float)(sqrt(squares) * UP);
}

static void copy_work(void *of, int thread, int threads) {
    const struct copying *copy = of;
    int64_t rows = copy->matrix->rows;
    for (int64_t row = rows * thread / threads; row < rows * (thread + 1) / threads; row++) copy_row(copy, row);
}

// Make the copy, each column times a factor, if these are given, in memory of its own. There is none where there is no
// memory, nor of more columns than the sums of levels/int8.c hold. Scales and norms have room up to a vector's end.
void copy_scaled_to_int8(struct dense *matrix, const float *factors, struct pool *pool) {
    if (matrix->columns > UINT16_MAX) return;
    size_t floats = (size_t)over(matrix->rows, 16) * 64;
    struct copying copy = {matrix,         factors,        large_memory(matrix->rows * in_lines(matrix->columns)),
                           malloc(floats), malloc(floats), malloc(floats)};
    matrix->int8 = (struct int8){copy.values, copy.scales, copy.left, copy.norms};
    if (!copy.values || !copy.scales || !copy.left || !copy.norms) {
        free_int8(matrix, pool);
        return;
    }
    pool_run(pool, copy_work, &copy);
}

void copy_to_int8(struct dense *matrix, struct pool *pool) { copy_scaled_to_int8(matrix, NULL, pool); }

void free_int8(struct dense *matrix, struct pool *pool) {
    (void)pool;
    free((void *)matrix->int8.values);
    free((void *)matrix->int8.scales);
    free((void *)matrix->int8.left);
    free((void *)matrix->int8.norms);
    matrix->int8 = (struct int8){0};
}
