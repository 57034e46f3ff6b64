// What a panel is: a few rows of a matrix, decoded, and turned so that neighbouring rows are neighbouring lanes. It
// consists of words of 32 bits, the factors that a lane multiplies at a time, in one of these forms.

#ifndef PANEL_H
#define PANEL_H

#include "vector.h"

enum {
    FLOATS,  // one column in float32
    HALVES,  // two columns in bfloat16
    // In whole numbers: MXFP4 as twice its value, the activation as 16-bit integers with one scale for the token. The
    // sums of a block of 32 columns are exact, and then scaled: after a block's words a panel has a scale for each
    // row, in float32. An activation's first 64 bytes are its scale.
    PAIRS,  // two columns in 16 bits
    BYTES,  // four even or four odd columns in 8 bits; an activation is two planes, in turns for each block
    // Arm multiplies 2 x 8 bytes by 8 x 2: two rows by the two parts of an activation, which are 8 bytes each, in turns.
    SQUARES,        // four columns in bfloat16; an activation as the nearest one, and what it leaves
    WHOLE_SQUARES,  // eight even or eight odd columns in 8 bits, as in BYTES
#if defined(__AVX512BF16__)
    ROWS = 32, DENSE = HALVES, DENSE_TILE = 8, EXPERT = HALVES, EXPERT_TILE = 8,
#elif defined(__AVX512F__)
    ROWS = 32, DENSE = FLOATS, DENSE_TILE = 8, EXPERT = PAIRS, EXPERT_TILE = 8,
#elif defined(__AVX2__)
    ROWS = 16, DENSE = FLOATS, DENSE_TILE = 6, EXPERT = PAIRS, EXPERT_TILE = 4,
#elif defined(__ARM_FEATURE_MATMUL_INT8) && defined(__ARM_FEATURE_BF16)
    ROWS = 16, DENSE = SQUARES, DENSE_TILE = 3, EXPERT = WHOLE_SQUARES, EXPERT_TILE = 3,
#elif defined(__ARM_FEATURE_DOTPROD)
    ROWS = 16, DENSE = FLOATS, DENSE_TILE = 6, EXPERT = BYTES, EXPERT_TILE = 3,
#else
    ROWS = 16, DENSE = FLOATS, DENSE_TILE = 2, EXPERT = PAIRS, EXPERT_TILE = 2,
#endif
};

INLINE int is_whole(int form) { return form == PAIRS || form == BYTES || form == WHOLE_SQUARES; }
INLINE int is_square(int form) { return form == SQUARES || form == WHOLE_SQUARES; }

// Columns of a word, or of a row of a square; and for these the words of an activation.
INLINE int columns_of(int form) {
    return form == FLOATS ? 1 : form == BYTES || form == SQUARES ? 4 : form == WHOLE_SQUARES ? 8 : 2;
}
INLINE int words_of(int form) { return is_square(form) ? 4 : form == BYTES ? 2 : 1; }

// Where each row of a panel begins in a matrix of `rows`; those beyond its end are its last one again.
INLINE void find_rows(const void *matrix, int64_t rows, int64_t bytes, int64_t first, const char *row[ROWS]) {
    for (int64_t i = 0; i < ROWS; i++)
        row[i] = (const char *)matrix + (first + i < rows ? first + i : rows - 1) * bytes;
}

#endif
