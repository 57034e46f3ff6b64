// Drawing tokens: the largest logit plus noise, which is distributed as softmax says (kernels/reference.py).
//
// Rows of the unembedding are read once for all tokens, and their logits are used up while they are in the cache. What
// is drawn for a token does not depend on the others, nor on the number of threads.

#include "gptoss.h"

#include <math.h>
#include <stdlib.h>

enum { ROWS = 256 };  // at a time

// What one thread has found for a token in its share of the rows.
struct tally {
    float best, logit, peak;  // the largest score, its logit; the largest logit
    int64_t token;            // of the largest score the first, -1 for none
    double sum;               // of the unnormalised probabilities, 1 at the peak
    int64_t bad;
};

// What one thread alone uses.
struct desk {
    struct tally tallies[FEW];
    float tile[FEW * ROWS], scores[ROWS];
};

struct drawer {
    const struct network *network;
    const struct level *level;
    struct pool *pool;
    struct desk *desks;
    float *normed, *split;  // [FEW][hidden]

    // Of one call.
    const float *x;
    int64_t tokens;
    float temperature;
    const uint64_t *keys;
    const uint8_t *allowed;  // [rows], or all
};

// The factor of logits in the softmax. Bounded: a temperature too small for float32 means greedy, not 0 * infinity.
static float sharpness(const struct drawer *drawer) {
    return drawer->temperature == 0 ? 1 : fminf(1 / drawer->temperature, 1e30f);
}

static void add_to_sum(struct tally *tally, float peak, double sum, float sharp) {
    if (peak > tally->peak) {
        tally->sum *= exp(((double)tally->peak - peak) * sharp);
        tally->peak = peak;
    } else {
        sum *= exp(((double)peak - tally->peak) * sharp);
    }
    tally->sum += sum;
}

static void look_at(const struct drawer *drawer, int64_t token, int64_t first, int64_t rows, const float *logits,
                    float *scores, struct tally *tally) {
    const uint8_t *allowed = drawer->allowed ? drawer->allowed + first : NULL;
    if (drawer->temperature > 0)
        drawer->level->perturb(logits, rows, first, drawer->keys[token], drawer->temperature, scores);
    else
        scores = (float *)logits;
    float peak = -INFINITY;
    for (int64_t i = 0; i < rows; i++) {
        peak = logits[i] > peak ? logits[i] : peak;
        tally->bad += !isfinite(logits[i]);
        if (scores[i] > tally->best && (!allowed || allowed[i]))
            tally->best = scores[i], tally->logit = logits[i], tally->token = first + i;
    }
    add_to_sum(tally, peak, drawer->level->weigh(logits, rows, peak, sharpness(drawer)), sharpness(drawer));
}

static void draw_work(void *of, int thread, int threads) {
    struct drawer *drawer = of;
    const struct network *net = drawer->network;
    const struct dense *matrix = &net->unembedding;
    struct desk *desk = &drawer->desks[thread];
    const float *x[FEW];
    for (int64_t token = 0; token < drawer->tokens; token++) {
        x[token] = drawer->split + token * net->hidden;
        desk->tallies[token] = (struct tally){.best = -INFINITY, .peak = -INFINITY, .token = -1};
        if (token % threads != thread) continue;
        float *normed = drawer->normed + token * net->hidden;
        drawer->level->norm(drawer->x + token * net->hidden, net->norm, net->hidden, net->norm_eps, normed);
        drawer->level->split(normed, net->hidden, drawer->split + token * net->hidden);
    }
    pool_wait(drawer->pool);
    int64_t first, last;
    share(matrix->rows, GRAIN, thread, threads, &first, &last);
    for (int64_t row = first, rows; row < last; row += rows) {
        rows = least(ROWS, last - row);
        drawer->level->dense_rows(matrix, row, row + rows, x, drawer->tokens, desk->tile, ROWS);
        for (int64_t token = 0; token < drawer->tokens; token++)
            look_at(drawer, token, row, rows, desk->tile + token * ROWS, desk->scores, &desk->tallies[token]);
    }
}

static struct drawn conclude(const struct drawer *drawer, int64_t token) {
    float sharp = sharpness(drawer);
    struct tally all = {.best = -INFINITY, .peak = -INFINITY, .token = -1};
    for (int thread = 0; thread < pool_threads(drawer->pool); thread++) {
        const struct tally *tally = &drawer->desks[thread].tallies[token];
        if (tally->best > all.best) all.best = tally->best, all.logit = tally->logit, all.token = tally->token;
        if (tally->peak > -INFINITY) add_to_sum(&all, tally->peak, tally->sum, sharp);
        all.bad += tally->bad;
    }
    return (struct drawn){(double)all.token, ((double)all.logit - all.peak) * sharp - log(all.sum), (double)all.bad};
}

// `Kernels.sample` for FEW rows x of the stream at most, without top-p.
void draw_tokens(struct drawer *drawer, const float *x, int64_t tokens, float temperature, const uint64_t *keys,
                 const uint8_t *allowed, struct drawn *drawn) {
    drawer->x = x, drawer->tokens = tokens, drawer->temperature = temperature;
    drawer->keys = keys, drawer->allowed = allowed;
    pool_run(drawer->pool, draw_work, drawer);
    for (int64_t token = 0; token < tokens; token++) drawn[token] = conclude(drawer, token);
}

void drawer_free(struct drawer *drawer) {
    if (!drawer) return;
    free(drawer->desks);
    free(drawer->normed);
    free(drawer->split);
    free(drawer);
}

// Returns NULL if there is no memory. What is given must outlive it.
struct drawer *drawer_new(const struct network *network, const struct level *level, struct pool *pool) {
    struct drawer *drawer = calloc(1, sizeof *drawer);
    if (!drawer) return NULL;
    int64_t desks = over(sizeof *drawer->desks, 64) * 64 * pool_threads(pool);
    *drawer = (struct drawer){.network = network, .level = level, .pool = pool};
    drawer->desks = aligned_alloc(64, (size_t)desks);
    drawer->normed = aligned_alloc(64, (size_t)over(FEW * network->hidden * 4, 64) * 64);
    drawer->split = aligned_alloc(64, (size_t)over(FEW * network->hidden * 4, 64) * 64);
    if (drawer->desks && drawer->normed && drawer->split) return drawer;
    drawer_free(drawer);
    return NULL;
}
