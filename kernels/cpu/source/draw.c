// Drawing tokens: the largest logit plus noise, which is distributed as softmax says (kernels/reference.py).
//
// Rows of the unembedding are read once for all tokens, and their logits are used up while they are in the cache. What
// is drawn for a token does not depend on the others, nor on the number of threads.
//
// With a coarse copy of the unembedding, in 8 bits, most rows are not read at all. Every coarse score is known to be
// within a margin of the true one, so that a row whose upper bound is below another's lower bound cannot win. The others
// are computed as without the copy, to the last bit: so the token is the one that all rows would have drawn. Where too
// many rows are left, all are computed, and for some time no coarse scores.

#include "gptoss.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum {
    ROWS = 256,       // at a time
    SHARE = 16,       // one row in so many may be computed after its coarse score,
    ALWAYS = 256,     // and so many of each thread's;
    PARTS = 256,      // a row with one of so many parts of the probability, or more, is computed too
    SAMPLED = 2048,   // rows from which the stretches are taken
    REST = 16,        // draws without coarse scores after one that failed; twice as many each time, up to
    LONG_REST = 4096,
};

// A row that may win, by its coarse logit, and the upper bound of its score.
struct candidate {
    int64_t row;
    float coarse, upper;
};

// A sum of unnormalised probabilities, which are 1 at the peak: the largest logit in it.
struct mass {
    float peak;
    double sum;
};

// What one thread has found for a token in its share of the rows.
struct tally {
    float best, logit;  // the largest score, and its logit
    int64_t token;      // of the largest score the first, -1 for none
    struct mass mass;   // of logits that are final
    int64_t bad;

    float lower;         // the largest of the coarse scores' lower bounds
    struct mass coarse;  // of all coarse logits
    int64_t candidates;
    int failed;  // there are too many
};

static const struct mass NOTHING = {-INFINITY, 0};
static const struct tally EMPTY = {
    .best = -INFINITY, .token = -1, .mass = {-INFINITY, 0}, .lower = -INFINITY, .coarse = {-INFINITY, 0}};

// What one thread alone uses.
struct desk {
    struct tally tallies[FEW];
    struct candidate *candidates;  // [FEW][capacity]
    float tile[FEW * ROWS], scores[ROWS], upper[ROWS];
};

struct drawer {
    const struct network *network;
    const struct level *level;
    struct pool *pool;
    struct desk *desks;
    float *normed, *split;  // [FEW][hidden]
    struct dense coarse;    // the unembedding with its copy in 8 bits, or without
    float *stretches;       // [hidden]: what divides the columns of the copy, and multiplies the activations
    int8_t *planes;
    struct whole whole[FEW];
    struct margin margins[FEW];
    float longest;  // the largest norm of a row
    int64_t capacity, resting, rest;

    // Of one call.
    const float *x;
    int64_t tokens;
    float temperature;
    const uint64_t *keys;
    const uint8_t *allowed;  // [rows], or all
    int64_t all[FEW], count;  // the tokens for which all rows are computed
};

// The factor of logits in the softmax. Bounded: a temperature too small for float32 means greedy, not 0 * infinity.
static float sharpness(const struct drawer *drawer) {
    return drawer->temperature == 0 ? 1 : fminf(1 / drawer->temperature, 1e30f);
}

static void add(struct mass *mass, struct mass more, float sharp) {
    if (!(more.peak > -INFINITY)) return;
    if (more.peak > mass->peak) {
        mass->sum *= exp(((double)mass->peak - more.peak) * sharp);
        mass->peak = more.peak;
    } else {
        more.sum *= exp(((double)more.peak - mass->peak) * sharp);
    }
    mass->sum += more.sum;
}

static struct mass mass_of(const struct drawer *drawer, const float *logits, int64_t rows) {
    float peak = -INFINITY;
    for (int64_t i = 0; i < rows; i++) peak = logits[i] > peak ? logits[i] : peak;
    if (!(peak > -INFINITY)) return NOTHING;
    return (struct mass){peak, drawer->level->weigh(logits, rows, peak, sharpness(drawer))};
}

// Scores of logits of the rows from `first` on; in the logits' own memory where there is no noise.
static const float *score(const struct drawer *drawer, int64_t token, int64_t first, int64_t rows, const float *logits,
                          float *scores) {
    if (drawer->temperature == 0) return logits;
    drawer->level->perturb(logits, rows, first, drawer->keys[token], drawer->temperature, scores);
    return scores;
}

// Logits that are those of `dense_rows`.
static void look_at(const struct drawer *drawer, int64_t token, int64_t first, int64_t rows, const float *logits,
                    float *scores, struct tally *tally) {
    const uint8_t *allowed = drawer->allowed ? drawer->allowed + first : NULL;
    const float *scored = score(drawer, token, first, rows, logits, scores);
    for (int64_t i = 0; i < rows; i++) {
        tally->bad += !isfinite(logits[i]);
        if (scored[i] > tally->best && (!allowed || allowed[i]))
            tally->best = scored[i], tally->logit = logits[i], tally->token = first + i;
    }
    add(&tally->mass, mass_of(drawer, logits, rows), sharpness(drawer));
}

// With w a row of n columns, divided by their stretches, x the activations, multiplied by them, r what the copy leaves of
// w, and x' these activations in 16 bits:
// - the copy's product with x' differs from w x by at most |r| |x| + (|w| + |r|) |x - x'|, and half a unit in the last
//   place, of which `enclose` counts more;
// - `dense_rows` takes activations at 16 bits of precision or more: an error of 2^-16 of each product;
// - it adds, in any order, n products, and for packed weights as many corrections, each rounded to 24 bits: 2 n 2^-24
//   of the sum of their magnitudes, corrections adding a fraction to it;
// - the products' magnitudes add up to |w| |x| at most, stretches or not; these are rounded to 24 bits;
// - bfloat16 products lose what is below the smallest normal number, 2^-126, of a factor or a sum.
struct margin margin_of(const float *x, int64_t n, float left) {
    double squares = 0;
    for (int64_t i = 0; i < n; i++) squares += (double)x[i] * x[i];
    double length = sqrt(squares), up = 1 + 0x1p-20;
    double of_sums = 0x1p-16 + 0x1p-22 + 1.1 * (double)(n + 64) * 0x1p-23;
    return (struct margin){(float)((length + left) * up), (float)((length * of_sums + left) * up + 0x1p-100),
                           (float)((1 + length) * 0x1p-100)};
}

static void prepare_work(void *of, int thread, int threads) {
    struct drawer *drawer = of;
    const struct network *net = drawer->network;
    const struct level *level = drawer->level;
    for (int64_t token = 0; token < drawer->tokens; token++) {
        drawer->desks[thread].tallies[token] = EMPTY;
        if (token % threads != thread) continue;
        float *normed = drawer->normed + token * net->hidden;
        level->norm(drawer->x + token * net->hidden, net->norm, net->hidden, net->norm_eps, normed);
        level->split(normed, net->hidden, drawer->split + token * net->hidden);
        if (!drawer->planes) continue;
        struct whole *whole = drawer->whole + token;
        for (int64_t i = 0; i < net->hidden; i++) normed[i] *= drawer->stretches[i];
        *whole = level->to_whole(normed, net->hidden, drawer->planes + token * 2 * in_lines(net->hidden));
        drawer->margins[token] = margin_of(normed, net->hidden, whole->left);
    }
}

// All rows, for the tokens in `all`.
static void all_work(void *of, int thread, int threads) {
    struct drawer *drawer = of;
    const struct dense *matrix = &drawer->network->unembedding;
    struct desk *desk = &drawer->desks[thread];
    const float *x[FEW];
    for (int64_t i = 0; i < drawer->count; i++) x[i] = drawer->split + drawer->all[i] * matrix->columns;
    int64_t first, last;
    share(matrix->rows, GRAIN, thread, threads, &first, &last);
    for (int64_t row = first, rows; row < last; row += rows) {
        rows = least(ROWS, last - row);
        drawer->level->dense_rows(matrix, row, row + rows, x, drawer->count, desk->tile, ROWS);
        for (int64_t i = 0; i < drawer->count; i++)
            look_at(drawer, drawer->all[i], row, rows, desk->tile + i * ROWS, desk->scores,
                    &desk->tallies[drawer->all[i]]);
    }
}

// Keeps the candidates: rows that may win, and heavy ones, which have one of PARTS of all probability. The others' coarse
// logits are final.
static void exclude(const struct drawer *drawer, float lower, struct mass all, struct candidate *candidates,
                    struct tally *tally) {
    float sharp = sharpness(drawer), heavy = all.peak + (float)(log(all.sum / PARTS) / sharp);
    int64_t kept = 0;
    for (int64_t i = 0; i < tally->candidates; i++)
        if (candidates[i].upper < lower && candidates[i].coarse < heavy)
            add(&tally->mass, (struct mass){candidates[i].coarse, 1}, sharp);
        else
            candidates[kept++] = candidates[i];
    tally->candidates = kept;
}

static void look_at_coarse(const struct drawer *drawer, int64_t token, int64_t first, int64_t rows, float *coarse,
                           struct desk *desk) {
    const struct int8 *copy = &drawer->coarse.int8;
    struct tally *tally = &desk->tallies[token];
    struct candidate *candidates = desk->candidates + token * drawer->capacity;
    if (tally->failed) return;
    const float *scored = score(drawer, token, first, rows, coarse, desk->scores);
    const uint8_t *allowed = drawer->allowed ? drawer->allowed + first : NULL;
    if (allowed) {
        for (int64_t i = 0; i < rows; i++) desk->scores[i] = allowed[i] ? scored[i] : -FLT_MAX / 2;
        scored = desk->scores;
    }
    float lower = drawer->level->enclose(coarse, scored, rows, copy->left + first, copy->norms + first,
                                         drawer->margins[token], desk->upper);
    tally->lower = fmaxf(lower, tally->lower);
    add(&tally->coarse, mass_of(drawer, coarse, rows), sharpness(drawer));
    if (tally->candidates + rows > drawer->capacity) {
        exclude(drawer, tally->lower, tally->coarse, candidates, tally);
        tally->failed = tally->candidates + rows > drawer->capacity;
        if (tally->failed) return;
    }
    float heavy = tally->coarse.peak + (float)(log(tally->coarse.sum / PARTS) / sharpness(drawer));
    for (int64_t i = 0; i < rows; i++)
        if (coarse[i] >= heavy || (desk->upper[i] >= tally->lower && (!allowed || allowed[i]))) {
            candidates[tally->candidates++] = (struct candidate){first + i, coarse[i], desk->upper[i]};
            coarse[i] = -INFINITY;
        }
    add(&tally->mass, mass_of(drawer, coarse, rows), sharpness(drawer));
}

static void coarse_work(void *of, int thread, int threads) {
    struct drawer *drawer = of;
    const struct dense *matrix = &drawer->network->unembedding;
    struct desk *desk = &drawer->desks[thread];
    int64_t first, last;
    share(matrix->rows, GRAIN, thread, threads, &first, &last);
    // No logit may be infinite, nor a bound.
    for (int64_t token = 0; token < drawer->tokens; token++)
        desk->tallies[token].failed = !(drawer->margins[token].of_left * drawer->longest < FLT_MAX / 16);
    for (int64_t row = first, rows; row < last; row += rows) {
        rows = least(ROWS, last - row);
        drawer->level->int8_rows(&drawer->coarse, row, row + rows, drawer->whole, drawer->tokens, desk->tile, ROWS);
        for (int64_t token = 0; token < drawer->tokens; token++)
            look_at_coarse(drawer, token, row, rows, desk->tile + token * ROWS, desk);
    }
    pool_wait(drawer->pool);
    for (int64_t token = 0; token < drawer->tokens; token++) {
        struct tally *tally = &desk->tallies[token];
        struct candidate *candidates = desk->candidates + token * drawer->capacity;
        const float *x = drawer->split + token * matrix->columns;
        float lower = -INFINITY;
        struct mass all = NOTHING;
        for (int i = 0; i < threads; i++) {
            lower = fmaxf(lower, drawer->desks[i].tallies[token].lower);
            add(&all, drawer->desks[i].tallies[token].coarse, sharpness(drawer));
        }
        exclude(drawer, lower, all, candidates, tally);
        for (int64_t i = 0; i < tally->candidates && !tally->failed; i++) {
            int64_t row = candidates[i].row;
            drawer->level->dense_rows(matrix, row, row + 1, &x, 1, desk->tile, ROWS);
            look_at(drawer, token, row, 1, desk->tile, desk->scores, tally);
        }
    }
}

static struct drawn conclude(const struct drawer *drawer, int64_t token) {
    float sharp = sharpness(drawer);
    struct tally all = EMPTY;
    for (int thread = 0; thread < pool_threads(drawer->pool); thread++) {
        const struct tally *tally = &drawer->desks[thread].tallies[token];
        if (tally->best > all.best) all.best = tally->best, all.logit = tally->logit, all.token = tally->token;
        add(&all.mass, tally->mass, sharp);
        all.bad += tally->bad;
    }
    double logprob = ((double)all.logit - all.mass.peak) * sharp - log(all.mass.sum);
    return (struct drawn){(double)all.token, logprob, (double)all.bad};
}

// Leaves in `all` the tokens for which all rows are to be computed.
static void draw_coarse(struct drawer *drawer) {
    int threads = pool_threads(drawer->pool);
    pool_run(drawer->pool, coarse_work, drawer);
    drawer->count = 0;
    for (int64_t token = 0; token < drawer->tokens; token++) {
        int failed = 0;
        for (int thread = 0; thread < threads; thread++) failed |= drawer->desks[thread].tallies[token].failed;
        if (!failed) continue;
        drawer->all[drawer->count++] = token;
        for (int thread = 0; thread < threads; thread++)
            drawer->desks[thread].tallies[token] = EMPTY;
    }
    drawer->resting = drawer->count ? drawer->rest : 0;
    drawer->rest = drawer->count ? least(2 * drawer->rest, LONG_REST) : REST;
}

// `Kernels.sample` for FEW rows x of the stream at most, without top-p.
void draw_tokens(struct drawer *drawer, const float *x, int64_t tokens, float temperature, const uint64_t *keys,
                 const uint8_t *allowed, int exact, struct drawn *drawn) {
    drawer->x = x, drawer->tokens = drawer->count = tokens, drawer->temperature = temperature;
    drawer->keys = keys, drawer->allowed = allowed;
    for (int64_t token = 0; token < tokens; token++) drawer->all[token] = token;
    pool_run(drawer->pool, prepare_work, drawer);
    if (drawer->planes && !exact && drawer->resting)
        drawer->resting--;
    else if (drawer->planes && !exact)
        draw_coarse(drawer);
    if (drawer->count) pool_run(drawer->pool, all_work, drawer);
    for (int64_t token = 0; token < tokens; token++) drawn[token] = conclude(drawer, token);
}

static void *lines(int64_t bytes) { return aligned_alloc(64, (size_t)over(bytes, 64) * 64); }

static void free_coarse(struct drawer *drawer) {
    int threads = pool_threads(drawer->pool);
    for (int thread = 0; drawer->desks && thread < threads; thread++) {
        free(drawer->desks[thread].candidates);
        drawer->desks[thread].candidates = NULL;
    }
    free_int8(&drawer->coarse, drawer->pool);
    free(drawer->stretches);
    free(drawer->planes);
    drawer->stretches = NULL, drawer->planes = NULL;
}

// The root mean square of each column, relative to that of all: so that columns with larger weights than others, which
// trained networks have, do not cost the others their precision. A bound on a row's error is then the same part of the
// spread of its products, however activations and weights are spread over the columns.
static void measure_columns(const struct dense *matrix, float *stretches, float *factors) {
    int64_t columns = matrix->columns, step = over(matrix->rows, SAMPLED);
    double all = 0;
    for (int64_t i = 0; i < columns; i++) stretches[i] = 0;
    for (int64_t row = 0; row < matrix->rows; row += step)
        for (int64_t i = 0; i < columns; i++) {
            float weight = from_bf16(matrix->weight[row * columns + i]);
            stretches[i] += weight * weight;
        }
    for (int64_t i = 0; i < columns; i++) all += stretches[i];
    for (int64_t i = 0; i < columns; i++) {
        double size = sqrt(stretches[i] * (double)columns / all);
        stretches[i] = (float)(size >= 0x1p-6 ? fmin(size, 0x1p6) : 0x1p-6);
        factors[i] = 1 / stretches[i];
    }
}

// Make the coarse copy, if there is memory.
void copy_coarse(struct drawer *drawer) {
    const struct dense *matrix = &drawer->network->unembedding;
    int threads = pool_threads(drawer->pool);
    drawer->coarse = (struct dense){.weight = matrix->weight, .rows = matrix->rows, .columns = matrix->columns};
    drawer->capacity = over(over(matrix->rows, threads), SHARE) + 2 * ALWAYS;
    drawer->rest = REST;
    drawer->stretches = lines(matrix->columns * 4);
    drawer->planes = lines(FEW * 2 * in_lines(matrix->columns));
    int complete = drawer->stretches && drawer->planes;
    for (int thread = 0; thread < threads; thread++) {
        struct candidate *candidates = lines(FEW * drawer->capacity * (int64_t)sizeof *candidates);
        drawer->desks[thread].candidates = candidates;
        complete = complete && candidates;
    }
    if (complete) {
        float *factors = drawer->normed;
        measure_columns(matrix, drawer->stretches, factors);
        copy_scaled_to_int8(&drawer->coarse, factors, drawer->pool);
        complete = drawer->coarse.int8.values != NULL;
    }
    drawer->longest = 0;
    for (int64_t row = 0; complete && row < matrix->rows; row++)
        if (!(drawer->coarse.int8.norms[row] <= drawer->longest)) drawer->longest = drawer->coarse.int8.norms[row];
    if (!complete) free_coarse(drawer);
}

int is_coarse(const struct drawer *drawer) { return drawer->planes != NULL; }

void drawer_free(struct drawer *drawer) {
    if (!drawer) return;
    free_coarse(drawer);
    free(drawer->desks);
    free(drawer->normed);
    free(drawer->split);
    free(drawer);
}

// Returns NULL if there is no memory. What is given must outlive it.
struct drawer *drawer_new(const struct network *network, const struct level *level, struct pool *pool) {
    struct drawer *drawer = calloc(1, sizeof *drawer);
    if (!drawer) return NULL;
    *drawer = (struct drawer){.network = network, .level = level, .pool = pool};
    drawer->desks = calloc((size_t)pool_threads(pool), sizeof *drawer->desks);
    drawer->normed = lines(FEW * network->hidden * 4);
    drawer->split = lines(FEW * network->hidden * 4);
    if (drawer->desks && drawer->normed && drawer->split) return drawer;
    drawer_free(drawer);
    return NULL;
}
