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
#if defined(__AVX512BF16__)
    ROWS = 32, DENSE = HALVES, DENSE_TILE = 12, EXPERT = HALVES, EXPERT_TILE = 12,
#elif defined(__AVX512F__)
    ROWS = 32, DENSE = FLOATS, DENSE_TILE = 8, EXPERT = PAIRS, EXPERT_TILE = 8,
#elif defined(__AVX2__)
    ROWS = 16, DENSE = FLOATS, DENSE_TILE = 6, EXPERT = PAIRS, EXPERT_TILE = 4,
#elif defined(__ARM_FEATURE_DOTPROD)
    ROWS = 16, DENSE = FLOATS, DENSE_TILE = 6, EXPERT = BYTES, EXPERT_TILE = 3,
#else
    ROWS = 16, DENSE = FLOATS, DENSE_TILE = 2, EXPERT = PAIRS, EXPERT_TILE = 2,
#endif
    PARTS = ROWS / LANES,
};

INLINE int columns_of(int form) { return form == FLOATS ? 1 : form == BYTES ? 4 : 2; }
INLINE int is_whole(int form) { return form == PAIRS || form == BYTES; }

#endif
