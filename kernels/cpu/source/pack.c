// bfloat16 weights in 12 bits, without loss: trained weights use few of the 256 exponents.
//
// The low byte of a weight (the last bit of its exponent, and its mantissa) stays as it is. The high byte (its sign, and
// the other bits of its exponent) becomes 4 bits: the sign, and how far those bits are below the top of the row, its
// largest. Weights further below, and zeros, stand in a list beside: in the row 2^(2 top - 141) stands for each of them.
//
// 64 columns are 64 low bytes, then 32 bytes of codes, ordered as levels/dense.c unpacks them.

#include "gptoss.h"

#include <stdlib.h>
#include <string.h>

enum { GROUP = 64, CODES = 8, MOST_ESCAPES = 256 };  // one in so many weights, at most

static int16_t size(uint16_t weight) { return (int16_t)(weight & 0x7fff); }

static uint8_t top_of(const uint16_t *row, int64_t columns) {
    int16_t most = CODES << 8;
    for (int64_t i = 0; i < columns; i++) most = size(row[i]) > most ? size(row[i]) : most;
    return (uint8_t)(most >> 8);
}

// Weights that are smaller stand in the list: those too far below the top, and zeros.
static int16_t least_of(uint8_t top) { return (int16_t)((top - CODES + 1) << 8); }

static int64_t count_escapes(const uint16_t *row, int64_t columns, uint8_t top) {
    int64_t count = 0;
    for (int64_t start = 0; start < columns; start += GROUP) {
        uint16_t some = 0;
        for (int i = 0; i < GROUP; i++) some += size(row[start + i]) < least_of(top);
        count += some;
    }
    return count;
}

// In the order of levels/dense.c: in bytes 0 to 7 of each 16 the first half of the columns, in the others the second.
static void interleave(const uint8_t *columns, uint8_t *out) {
    for (int i = 0; i < GROUP / 16; i++) {
        memcpy(out + 16 * i, columns + 8 * i, 8);
        memcpy(out + 16 * i + 8, columns + GROUP / 2 + 8 * i, 8);
    }
}

// The loops without branches are for the compiler to turn into vectors: a network has a milliard of weights.
static void pack_row(const uint16_t *row, int64_t columns, uint8_t top, uint8_t *out, struct escape *list) {
    uint8_t low[GROUP], code[GROUP], codes[GROUP];
    for (int64_t start = 0; start < columns; start += GROUP, row += GROUP, out += GROUP + GROUP / 2) {
        int16_t smallest = INT16_MAX;
        for (int i = 0; i < GROUP; i++) {
            uint16_t weight = row[i];
            int16_t fits = (int16_t)-(size(weight) >= least_of(top));
            low[i] = (uint8_t)(weight & fits);
            int16_t whole = (int16_t)((weight >> 15) * CODES + top - (size(weight) >> 8));
            code[i] = (uint8_t)((whole & fits) | ((CODES - 1) & ~fits));
            smallest = size(weight) < smallest ? size(weight) : smallest;
        }
        interleave(low, out);
        interleave(code, codes);
        for (int i = 0; i < GROUP / 2; i++) out[GROUP + i] = (uint8_t)(codes[i] | codes[GROUP / 2 + i] << 4);
        for (int i = 0; smallest < least_of(top) && i < GROUP; i++)
            if (size(row[i]) < least_of(top)) *list++ = (struct escape){(uint16_t)(start + i), row[i]};
    }
}

struct packing {
    const struct dense *matrix;
    uint8_t *bytes, *tops;
    int64_t *from;
    struct escape *list;
};

static void share_rows(const struct packing *packing, int thread, int threads, int64_t *first, int64_t *last) {
    *first = packing->matrix->rows * thread / threads;
    *last = packing->matrix->rows * (thread + 1) / threads;
}

static void count_work(void *of, int thread, int threads) {
    struct packing *packing = of;
    int64_t columns = packing->matrix->columns, first, last;
    share_rows(packing, thread, threads, &first, &last);
    for (int64_t row = first; row < last; row++) {
        const uint16_t *weights = packing->matrix->weight + row * columns;
        uint8_t top = packing->tops[row] = top_of(weights, columns);
        packing->from[row + 1] = count_escapes(weights, columns, top);
    }
}

static void pack_work(void *of, int thread, int threads) {
    struct packing *packing = of;
    int64_t columns = packing->matrix->columns, first, last;
    share_rows(packing, thread, threads, &first, &last);
    for (int64_t row = first; row < last; row++)
        pack_row(packing->matrix->weight + row * columns, columns, packing->tops[row],
                 packing->bytes + row * (columns / GROUP * 96), packing->list + packing->from[row]);
}

// Pack `matrix` into memory of its own. It stays as it is where that does not pay, or where there is no memory.
void pack_dense(struct dense *matrix, struct pool *pool) {
    int64_t rows = matrix->rows, columns = matrix->columns;
    if (columns % GROUP || columns > UINT16_MAX) return;
    struct packing packing = {.matrix = matrix};
    packing.tops = malloc((size_t)rows);
    packing.from = calloc((size_t)rows + 1, sizeof *packing.from);
    if (packing.tops && packing.from) {
        pool_run(pool, count_work, &packing);
        for (int64_t row = 0; row < rows; row++) packing.from[row + 1] += packing.from[row];
        if (packing.from[rows] <= rows * columns / MOST_ESCAPES) {
            packing.list = malloc((size_t)(packing.from[rows] + 1) * sizeof *packing.list);
            packing.bytes = large_memory(rows * (columns / GROUP * 96));
        }
    }
    if (!packing.list || !packing.bytes) {
        free(packing.tops);
        free(packing.from);
        free(packing.list);
        free(packing.bytes);
        return;
    }
    pool_run(pool, pack_work, &packing);
    matrix->packed = (struct packed){packing.bytes, packing.tops, packing.from, packing.list};
}

void unpack_dense(struct dense *matrix, struct pool *pool) {
    (void)pool;
    free((void *)matrix->packed.bytes);
    free((void *)matrix->packed.tops);
    free((void *)matrix->packed.escapes_from);
    free((void *)matrix->packed.escapes);
    matrix->packed = (struct packed){0};
}
