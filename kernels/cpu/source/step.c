// The steps of the network: what Kernels (kernels/kernels.py) asks for, each one piece of work of all threads.
//
// Few tokens read every matrix row by row, each thread a contiguous share: memory decides. Many tokens take it in
// panels, each thread the next one that is free: arithmetic decides. A draft is verified as few tokens, so that what is
// drawn does not depend on whether there was one.

#include "gptoss.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    MANY = 8,         // tokens of more, from which an expert is read in panels
    LONG = 512,       // positions from which threads may share them
    ROWS = 256,       // at most at a time, so that their results stay in the first-level cache
    TOKENS = 64,      // at most at a time through a panel
    TOKEN_GROUP = 8,  // tokens of one piece of attention
};

// Activations in the forms that matrices take, and which experts take them. For few tokens each thread works all of it
// out for itself, which takes less time than to wait for what others do.
struct notes {
    float *normed, *split, *shares;
    int8_t *planes;
    struct planes *plane_of;
    int32_t *chosen, *token_of, *slot_of, *active;
    int64_t *slots_from, experts;  // that are active
};

// Activations of one call, for all threads.
struct room {
    int64_t tokens;  // for which there is room
    char *start;
    struct notes notes;
    float *q, *k, *v, *mixed, *turns, *logits, *inner, *partial;
    char *packed;
    void *seen;
};

// What one thread alone uses.
struct desk {
    char *panel;
    float *tile;
    struct notes own, *notes;  // for few tokens; and those of this call
};

struct engine {
    struct network network;
    struct layer *layers;
    int64_t layer_count, widest, inner;
    const struct level *level;
    const struct panels *experts;
    struct pool *pool;
    struct desk *desks;
    struct room room;
    int64_t turned_length, turned_tokens;
    struct drawer *drawer;
    _Alignas(64) atomic_llong next;
};

struct call {
    struct engine *engine;
    const struct layer *layer;
    int64_t tokens;
    float *x;
    void *memory;  // of attend: [2][kv_heads][slots][head_dim]
    int64_t slots, length, splits;
    int64_t *fired;  // of mix
    float *out;  // of unembed
};

// A barrier, after which `take` counts the pieces from 0.
static void begin_pieces(struct engine *engine, int thread) {
    pool_wait(engine->pool);
    if (thread == 0) atomic_store(&engine->next, 0);
    pool_wait(engine->pool);
}

static int64_t take(struct engine *engine) {
    return atomic_fetch_add_explicit(&engine->next, 1, memory_order_relaxed);
}

static int64_t element(const struct network *net) { return net->wide ? 4 : 2; }

static void *carve(char **at, int64_t bytes) {
    char *part = *at;
    *at += over(bytes, 64) * 64;
    return part;
}

static void lay_out_notes(const struct engine *engine, struct notes *notes, int64_t tokens, char **at) {
    const struct network *net = &engine->network;
    int64_t slots = tokens * net->experts_per_token, widest = most(engine->widest, engine->inner);
    notes->normed = carve(at, tokens * net->hidden * 4);
    notes->split = carve(at, tokens * engine->widest * 4);
    notes->shares = carve(at, slots * 4);
    notes->planes = carve(at, slots * engine->level->planes_bytes(widest));
    notes->plane_of = carve(at, slots * (int64_t)sizeof *notes->plane_of);
    notes->chosen = carve(at, slots * 4);
    notes->token_of = carve(at, slots * 4);
    notes->slot_of = carve(at, slots * 4);
    notes->active = carve(at, net->experts * 4);
    notes->slots_from = carve(at, (net->experts + 1) * 8);
}

static int64_t lay_out(const struct engine *engine, struct room *room, struct desk *desks, int64_t tokens,
                       char *start) {
    const struct network *net = &engine->network;
    const struct level *level = engine->level;
    int64_t q = net->heads * net->head_dim, kv = net->kv_heads * net->head_dim, window = 0;
    int64_t slots = tokens * net->experts_per_token, widest = most(engine->widest, engine->inner);
    for (int64_t i = 0; i < engine->layer_count; i++) window = most(window, engine->layers[i].window);
    char *at = start;
    *room = (struct room){.tokens = tokens, .start = start};
    lay_out_notes(engine, &room->notes, tokens, &at);
    room->q = carve(&at, tokens * q * 4);
    room->k = carve(&at, tokens * kv * 4);
    room->v = carve(&at, tokens * kv * 4);
    room->mixed = carve(&at, tokens * q * 4);
    room->turns = carve(&at, tokens * net->head_dim * 4);
    room->logits = carve(&at, tokens * net->experts * 4);
    room->inner = carve(&at, slots * engine->inner * 4);
    int64_t parts = over(pool_threads(engine->pool), net->kv_heads) * least(tokens, FEW);
    room->partial = carve(&at, parts * net->heads * (net->head_dim + 2) * 4);
    room->packed = carve(&at, slots * widest * level->packed_bytes);
    room->seen = carve(&at, 2 * kv * over(window + tokens, KEY_TILE) * KEY_TILE * element(net));
    for (int thread = 0; thread < pool_threads(engine->pool); thread++)
        lay_out_notes(engine, &desks[thread].own, least(tokens, FEW), &at);
    return at - start;
}

// The bytes of the activations of so many tokens.
EXPORT int64_t gptoss_room(const struct engine *engine, int64_t tokens) {
    struct room room;
    struct desk desks[pool_threads(engine->pool)];
    return lay_out(engine, &room, desks, tokens, NULL);
}

static int make_room(struct engine *engine, int64_t tokens) {
    if (tokens <= engine->room.tokens) return 1;
    char *start = large_memory(gptoss_room(engine, tokens));
    if (!start) return 0;
    free(engine->room.start);
    lay_out(engine, &engine->room, engine->desks, tokens, start);
    engine->turned_length = -1;
    return 1;
}

// The first token that a thread works on where each token is one thread's, and how far apart they are. Of few tokens
// every thread takes all.
static int64_t first_token(const struct call *call, int thread) { return call->tokens <= FEW ? 0 : thread; }
static int64_t stride_of(const struct call *call, int threads) { return call->tokens <= FEW ? 1 : threads; }

static struct desk *desk_of(const struct call *call, int thread) {
    struct desk *desk = &call->engine->desks[thread];
    desk->notes = call->tokens <= FEW ? &desk->own : &call->engine->room.notes;
    return desk;
}

// A barrier after what each thread does for itself if tokens are few.
static void wait_if_many(const struct call *call) {
    if (call->tokens > FEW) pool_wait(call->engine->pool);
}

// Activations in the forms that matrices take: few tokens as float32 or planes, many tokens packed.

static void prepare_dense(struct call *call, const float *x, int64_t width, struct desk *desk, int thread,
                          int threads) {
    struct engine *engine = call->engine;
    const struct level *level = engine->level;
    for (int64_t token = first_token(call, thread); token < call->tokens; token += stride_of(call, threads)) {
        if (call->tokens <= FEW)
            level->split(x + token * width, width, desk->notes->split + token * width);
        else
            level->pack(x + token * width, width, engine->room.packed + token * width * level->packed_bytes);
    }
    wait_if_many(call);
}

static void finish(const float *y, int64_t y_stride, const uint16_t *bias, int64_t tokens, int64_t first, int64_t rows,
                   float *out, int64_t width, int adding) {
    for (int64_t token = 0; token < tokens; token++) {
        const float *from = y + token * y_stride;
        float *to = out + token * width + first;
        for (int64_t row = 0; row < rows; row++)
            to[row] = (adding ? to[row] : 0) + from[row] + (bias ? from_bf16(bias[first + row]) : 0);
    }
}

// The index of the matrix in which a panel lies that is counted through all of them; `panel` becomes its number there.
static int matrix_of(const struct dense *const *matrices, int count, int64_t height, int64_t *panel) {
    int i = 0;
    for (; i < count - 1 && *panel >= over(matrices[i]->rows, height); i++) *panel -= over(matrices[i]->rows, height);
    return i;
}

// Rows of a matrix times few tokens, which `prepare_dense` has made: out [tokens][rows of the matrix].
static void multiply_rows(struct call *call, const struct dense *matrix, int64_t from, int64_t to, float *out,
                          int adding, struct desk *desk) {
    const float *x[FEW];
    for (int64_t token = 0; token < call->tokens; token++) x[token] = desk->notes->split + token * matrix->columns;
    for (int64_t row = from; row < to; row += ROWS) {
        int64_t rows = least(ROWS, to - row);
        call->engine->level->dense_rows(matrix, row, row + rows, x, call->tokens, desk->tile, ROWS);
        finish(desk->tile, ROWS, matrix->bias, call->tokens, row, rows, out, matrix->rows, adding);
    }
}

// Matrices that share their input, which `prepare_dense` has made: out[i] [tokens][rows of matrix i].
static void multiply_dense(struct call *call, const struct dense *const *matrices, float *const *out, int count,
                           int adding, struct desk *desk, int thread, int threads) {
    struct engine *engine = call->engine;
    const struct level *level = engine->level;
    int64_t tokens = call->tokens, width = matrices[0]->columns;
    const void *x[TOKENS];
    if (tokens <= FEW) {
        int64_t total = 0, first, last, start = 0;
        for (int i = 0; i < count; i++) total += over(matrices[i]->rows, GRAIN) * GRAIN;
        share(total, GRAIN, thread, threads, &first, &last);
        for (int i = 0; i < count; start += over(matrices[i++]->rows, GRAIN) * GRAIN)
            multiply_rows(call, matrices[i], most(first - start, 0), least(last - start, matrices[i]->rows), out[i],
                          adding, desk);
        return;
    }
    int64_t panels = 0;
    for (int i = 0; i < count; i++) panels += over(matrices[i]->rows, level->panel);
    begin_pieces(engine, thread);
    for (int64_t piece = take(engine), soon; piece < panels; piece = soon) {
        soon = take(engine);
        int64_t panel = piece, ahead = least(soon, panels - 1);
        int i = matrix_of(matrices, count, level->panel, &panel);
        int later = matrix_of(matrices, count, level->panel, &ahead);
        const struct dense *matrix = matrices[i];
        int64_t first = panel * level->panel, rows = least(level->panel, matrix->rows - first);
        int64_t bytes = soon < panels ? level->panel * width * 2 : 0;
        const char *next = (const char *)(matrices[later]->weight + ahead * level->panel * width);
        level->dense_panel(matrix, first, desk->panel);
        for (int64_t done = 0; done < tokens; done += TOKENS) {
            int64_t some = least(TOKENS, tokens - done);
            for (int64_t token = 0; token < some; token++)
                x[token] = engine->room.packed + (done + token) * width * level->packed_bytes;
            level->multiply(desk->panel, width, x, some, desk->tile, next, bytes);
            next += over(some, level->tile) * width * 16, bytes -= over(some, level->tile) * width * 16;
            finish(desk->tile, level->panel, matrix->bias, some, first, rows, out[i] + done * matrix->rows,
                   matrix->rows, adding);
        }
    }
}

// attend

// The place of a key's value i among the values of its kv head.
static int64_t key_place(const struct network *net, int64_t slot, int64_t i) {
    int64_t tile = slot / KEY_TILE * KEY_TILE * net->head_dim + i / 2 * 2 * KEY_TILE, lane = slot % KEY_TILE;
    return tile + (net->wide ? i % 2 * KEY_TILE + lane : lane * 2 + i % 2);
}

static void put(const struct network *net, void *memory, int64_t place, float value) {
    if (net->wide)
        ((float *)memory)[place] = value;
    else
        ((uint16_t *)memory)[place] = to_bf16(value);
}

static void write_slot(const struct network *net, void *keys, void *values, int64_t slot, const float *k,
                       const float *v) {
    for (int64_t i = 0; i < net->head_dim; i++) {
        put(net, keys, key_place(net, slot, i), k[i]);
        put(net, values, slot * net->head_dim + i, v[i]);
    }
}

static void copy_slot(const struct network *net, void *keys, void *values, int64_t slot, const void *from_keys,
                      const void *from_values, int64_t from) {
    int64_t bytes = element(net), row = net->head_dim * bytes;
    for (int64_t i = 0; i < net->head_dim; i++)
        memcpy((char *)keys + key_place(net, slot, i) * bytes, (const char *)from_keys + key_place(net, from, i) * bytes,
               (size_t)bytes);
    memcpy((char *)values + slot * row, (const char *)from_values + from * row, (size_t)row);
}

// Where the queries of this call find the keys and values of a kv head: in the cache, or, where a ring would lose
// keys that the first of many tokens still see, in a copy. A ring has more slots than its window, so that the last
// tokens can be taken back, and few tokens written before the first of them looks: token t is in slot t % slots.
static int copies(const struct call *call) {
    return call->layer->window && call->tokens > call->slots - call->layer->window + 1;
}

static void *part_of(void *memory, int64_t part, int64_t slots, const struct network *net) {
    return (char *)memory + part * slots * net->head_dim * element(net);
}

static int64_t seen_slots(const struct call *call) {
    return over(call->layer->window + call->tokens, KEY_TILE) * KEY_TILE;
}

static struct memory memory_of(const struct call *call, int64_t head) {
    const struct network *net = &call->engine->network;
    void *memory = copies(call) ? call->engine->room.seen : call->memory;
    int64_t slots = copies(call) ? seen_slots(call) : call->slots;
    return (struct memory){part_of(memory, head, slots, net), part_of(memory, net->kv_heads + head, slots, net),
                           net->wide != 0};
}

static void remember(struct call *call, int64_t head) {
    struct engine *engine = call->engine;
    const struct network *net = &engine->network;
    int64_t head_dim = net->head_dim, group = net->heads / net->kv_heads, window = call->layer->window;
    float scale = 1 / sqrtf((float)head_dim);
    void *keys = part_of(call->memory, head, call->slots, net);
    void *values = part_of(call->memory, net->kv_heads + head, call->slots, net);
    for (int64_t token = 0; token < call->tokens; token++) {
        const float *turn = engine->room.turns + token * head_dim;
        engine->level->rotate(engine->room.k + (token * net->kv_heads + head) * head_dim, turn, head_dim);
        for (int64_t i = head * group; i < (head + 1) * group; i++) {
            float *q = engine->room.q + (token * net->heads + i) * head_dim;
            engine->level->rotate(q, turn, head_dim);
            for (int64_t j = 0; j < head_dim; j++) q[j] *= scale;
        }
    }
    void *seen_keys = NULL, *seen_values = NULL;
    int64_t kept = least(call->length, window);
    if (copies(call)) {
        seen_keys = part_of(engine->room.seen, head, seen_slots(call), net);
        seen_values = part_of(engine->room.seen, net->kv_heads + head, seen_slots(call), net);
        for (int64_t i = 0; i < kept; i++)
            copy_slot(net, seen_keys, seen_values, i, keys, values, (call->length - kept + i) % call->slots);
    }
    for (int64_t token = 0; token < call->tokens; token++) {
        const float *k = engine->room.k + (token * net->kv_heads + head) * head_dim;
        const float *v = engine->room.v + (token * net->kv_heads + head) * head_dim;
        int64_t position = call->length + token;
        if (seen_keys) write_slot(net, seen_keys, seen_values, kept + token, k, v);
        if (!window || token >= call->tokens - call->slots)
            write_slot(net, keys, values, position % call->slots, k, v);
    }
}

// The places that a token sees, of `parts` equal parts the given one. Places below 0 are at the end of the ring.
static void seen_by(const struct call *call, int64_t token, int64_t part, int64_t parts, int64_t *first,
                    int64_t *last) {
    int64_t window = call->layer->window;
    *first = 0;
    *last = call->length + token + 1;
    if (copies(call)) {
        *last = least(call->length, window) + token + 1;
        *first = most(0, *last - window);
    } else if (window) {
        *last = (call->length + token) % call->slots + 1;
        *first = *last - least(call->length + token + 1, window);
    }
    int64_t size = over(over(*last - *first, parts), KEY_TILE) * KEY_TILE;
    *first = least(*last, *first + part * size);
    *last = least(*last, *first + size);
}

// Adds the sink to the softmax and divides by its sum.
static void close_softmax(const struct call *call, int64_t head, float *out, float peak, float sum) {
    float sink = call->layer->sinks[head], top = sink > peak ? sink : peak;
    float shrink = expf(peak - top), factor = shrink / (sum * shrink + expf(sink - top));
    for (int64_t i = 0; i < call->engine->network.head_dim; i++) out[i] *= factor;
}

// Attention over what a ring has at its end, from `first` below 0 on, and at its beginning.
static void attend_around(const struct call *call, struct memory memory, int64_t first, int64_t last, const float *q,
                          int64_t group, float *out, float *peak, float *sum) {
    const struct level *level = call->engine->level;
    int64_t head_dim = call->engine->network.head_dim;
    float newer[group * head_dim], newer_peak[group], newer_sum[group];
    level->attend(memory, call->slots + first, call->slots, head_dim, q, group, out, peak, sum);
    level->attend(memory, 0, last, head_dim, q, group, newer, newer_peak, newer_sum);
    for (int64_t i = 0; i < group; i++) {
        float top = peak[i] > newer_peak[i] ? peak[i] : newer_peak[i];
        float shrink = expf(peak[i] - top), newer_shrink = expf(newer_peak[i] - top);
        for (int64_t j = i * head_dim; j < (i + 1) * head_dim; j++)
            out[j] = out[j] * shrink + newer[j] * newer_shrink;
        sum[i] = sum[i] * shrink + newer_sum[i] * newer_shrink;
        peak[i] = top;
    }
}

static float *partial(const struct call *call, int64_t head, int64_t token, int64_t part) {
    const struct network *net = &call->engine->network;
    int64_t first = (token * call->splits + part) * net->heads + head * (net->heads / net->kv_heads);
    return call->engine->room.partial + first * (net->head_dim + 2);
}

static void attend_token(struct call *call, int64_t head, int64_t token, int64_t part) {
    struct engine *engine = call->engine;
    const struct network *net = &engine->network;
    int64_t head_dim = net->head_dim, group = net->heads / net->kv_heads, first, last;
    seen_by(call, token, part, call->length + token < LONG ? 1 : call->splits, &first, &last);
    const float *q = engine->room.q + (token * net->heads + head * group) * head_dim;
    if (call->splits > 1) {
        float *out = partial(call, head, token, part), *ends = out + group * head_dim;
        for (int64_t i = 0; i < group; i++) ends[i] = -INFINITY, ends[group + i] = 0;
        if (first < last)
            engine->level->attend(memory_of(call, head), first, last, head_dim, q, group, out, ends, ends + group);
        return;
    }
    float *out = engine->room.mixed + (token * net->heads + head * group) * head_dim, peak[group], sum[group];
    if (first < 0)
        attend_around(call, memory_of(call, head), first, last, q, group, out, peak, sum);
    else
        engine->level->attend(memory_of(call, head), first, last, head_dim, q, group, out, peak, sum);
    for (int64_t i = 0; i < group; i++)
        close_softmax(call, head * group + i, out + i * head_dim, peak[i], sum[i]);
}

// Some tokens, as many queries at a time as the level takes.
static void attend_tokens(struct call *call, int64_t head, int64_t token, int64_t tokens) {
    struct engine *engine = call->engine;
    const struct network *net = &engine->network;
    int64_t group = net->heads / net->kv_heads, most_queries = engine->level->most_queries;
    struct query queries[most_queries];
    for (int64_t start = 0, count; start < tokens * group; start += count) {
        count = least(most_queries, tokens * group - start);
        for (int64_t i = 0; i < count; i++) {
            int64_t at = token + (start + i) / group, place = at * net->heads + head * group + (start + i) % group;
            struct query *query = &queries[i];
            *query = (struct query){.q = engine->room.q + place * net->head_dim,
                                    .out = engine->room.mixed + place * net->head_dim};
            seen_by(call, at, 0, 1, &query->first, &query->last);
        }
        engine->level->attend_many(memory_of(call, head), net->head_dim, queries, count);
        for (int64_t i = 0; i < count; i++)
            close_softmax(call, head * group + (start + i) % group, queries[i].out, queries[i].peak, queries[i].sum);
    }
}

// Brings the parts of a token's softmax over one kv head together.
static void join_parts(struct call *call, int64_t head, int64_t token) {
    struct engine *engine = call->engine;
    const struct network *net = &engine->network;
    int64_t head_dim = net->head_dim, group = net->heads / net->kv_heads;
    for (int64_t i = 0; i < group; i++) {
        float *out = engine->room.mixed + (token * net->heads + head * group + i) * head_dim;
        float peak = -INFINITY, sum = 0;
        memset(out, 0, (size_t)head_dim * sizeof *out);
        for (int pass = 0; pass < 2; pass++)
            for (int64_t part = 0; part < call->splits; part++) {
                const float *from = partial(call, head, token, part), *ends = from + group * head_dim;
                if (ends[group + i] == 0) continue;
                if (pass == 0) {
                    peak = ends[i] > peak ? ends[i] : peak;
                    continue;
                }
                float factor = expf(ends[i] - peak);
                sum += ends[group + i] * factor;
                for (int64_t j = 0; j < head_dim; j++) out[j] += from[i * head_dim + j] * factor;
            }
        close_softmax(call, head * group + i, out, peak, sum);
    }
}

static void norm_tokens(struct call *call, const float *weight, struct desk *desk, int thread, int threads) {
    const struct network *net = &call->engine->network;
    for (int64_t token = first_token(call, thread); token < call->tokens; token += stride_of(call, threads))
        call->engine->level->norm(call->x + token * net->hidden, weight, net->hidden, net->norm_eps,
                                  desk->notes->normed + token * net->hidden);
}

// The queries, keys and values of few tokens, by whole kv heads: what a thread then attends to is its own.
static void project_heads(struct call *call, int64_t first, int64_t last, struct desk *desk) {
    struct room *room = &call->engine->room;
    const struct layer *layer = call->layer;
    int64_t head_dim = call->engine->network.head_dim, heads = layer->q.rows / layer->k.rows;
    multiply_rows(call, &layer->q, first * heads * head_dim, last * heads * head_dim, room->q, 0, desk);
    multiply_rows(call, &layer->k, first * head_dim, last * head_dim, room->k, 0, desk);
    multiply_rows(call, &layer->v, first * head_dim, last * head_dim, room->v, 0, desk);
}

static void attend_piece(struct call *call, int64_t piece) {
    const struct network *net = &call->engine->network;
    int64_t groups = over(call->tokens, TOKEN_GROUP), head = piece % net->kv_heads;
    int64_t group = piece / net->kv_heads % groups, part = piece / net->kv_heads / groups;
    int64_t first = group * TOKEN_GROUP, last = least(call->tokens, first + TOKEN_GROUP);
    int many = call->tokens > FEW && call->engine->level->most_queries && !net->wide;
    if (many && (copies(call) || !call->layer->window))
        attend_tokens(call, head, first, last - first);
    else
        for (int64_t token = first; token < last; token++) attend_token(call, head, token, part);
}

static void attend_work(void *of, int thread, int threads) {
    struct call *call = of;
    struct engine *engine = call->engine;
    const struct network *net = &engine->network;
    const struct layer *layer = call->layer;
    struct desk *desk = desk_of(call, thread);
    int64_t heads = net->kv_heads, pieces = heads * over(call->tokens, TOKEN_GROUP) * call->splits;
    norm_tokens(call, layer->attention_norm, desk, thread, threads);
    prepare_dense(call, desk->notes->normed, net->hidden, desk, thread, threads);
    if (call->tokens <= FEW && heads % threads == 0) {
        int64_t first = heads * thread / threads, last = heads * (thread + 1) / threads;
        project_heads(call, first, last, desk);
        for (int64_t head = first; head < last; head++) remember(call, head);
        for (int64_t piece = 0; piece < pieces; piece++)
            if (piece % heads >= first && piece % heads < last) attend_piece(call, piece);
    } else {
        multiply_dense(call, (const struct dense *[]){&layer->q, &layer->k, &layer->v},
                       (float *[]){engine->room.q, engine->room.k, engine->room.v}, 3, 0, desk, thread, threads);
        pool_wait(engine->pool);
        for (int64_t head = thread; head < heads; head += threads) remember(call, head);
        begin_pieces(engine, thread);
        for (int64_t piece = take(engine); piece < pieces; piece = take(engine)) attend_piece(call, piece);
    }
    pool_wait(engine->pool);
    if (call->splits > 1) {
        for (int64_t piece = thread; piece < heads * call->tokens; piece += threads)
            join_parts(call, piece % heads, piece / heads);
        pool_wait(engine->pool);
    }
    prepare_dense(call, engine->room.mixed, net->heads * net->head_dim, desk, thread, threads);
    multiply_dense(call, (const struct dense *[]){&layer->o}, (float *[]){call->x}, 1, 1, desk, thread, threads);
}

EXPORT int gptoss_attend(struct engine *engine, int64_t layer, float *x, int64_t tokens, void *memory,
                         int64_t slots, int64_t length) {
    if (!make_room(engine, tokens)) return 0;
    const struct network *net = &engine->network;
    struct call call = {.engine = engine, .layer = &engine->layers[layer], .tokens = tokens, .x = x};
    call.memory = memory, call.slots = slots, call.length = length;
    // Threads beyond the kv heads share the positions of one.
    int threads = pool_threads(engine->pool);
    int shares = tokens <= FEW && length + tokens > LONG && !call.layer->window;
    call.splits = shares ? over(threads, net->kv_heads) : 1;
    if (engine->turned_length != length || engine->turned_tokens != tokens) {
        int64_t half = net->head_dim / 2;
        for (int64_t token = 0; token < tokens; token++)
            for (int64_t i = 0; i < half; i++) {
                float angle = (float)(length + token) * net->frequencies[i];
                engine->room.turns[token * net->head_dim + i] = cosf(angle) * net->concentration;
                engine->room.turns[token * net->head_dim + half + i] = sinf(angle) * net->concentration;
            }
        engine->turned_length = length;
        engine->turned_tokens = tokens;
    }
    pool_run(engine->pool, attend_work, &call);
    return 1;
}

// mix

static void route(const struct call *call, int64_t token, struct notes *notes) {
    const struct engine *engine = call->engine;
    const struct network *net = &engine->network;
    int64_t k = net->experts_per_token;
    const float *logits = engine->room.logits + token * net->experts;
    int32_t *chosen = notes->chosen + token * k;
    float *shares = notes->shares + token * k, sum = 0;
    for (int64_t place = 0; place < k; place++) {
        int32_t best = -1;
        for (int32_t expert = 0; expert < net->experts; expert++) {
            int taken = 0;
            for (int64_t i = 0; i < place; i++) taken |= chosen[i] == expert;
            if (taken || (best >= 0 && isnan(logits[best]))) continue;
            if (best < 0 || !(logits[expert] <= logits[best])) best = expert;  // NaN is chosen, so that it shows
        }
        chosen[place] = best;
        shares[place] = expf(logits[best] - logits[chosen[0]]);
        sum += shares[place];
    }
    for (int64_t place = 0; place < k; place++) shares[place] /= sum;
}

// A slot is one token at one of its experts; the slots of an expert are neighbours.
static void sort_slots(const struct call *call, struct notes *notes) {
    const struct network *net = &call->engine->network;
    int64_t k = net->experts_per_token, experts = net->experts, *from = notes->slots_from;
    memset(from, 0, (size_t)(experts + 1) * sizeof *from);
    for (int64_t i = 0; i < call->tokens * k; i++) from[notes->chosen[i] + 1]++;
    notes->experts = 0;
    for (int32_t expert = 0; expert < experts; expert++) {
        if (from[expert + 1]) notes->active[notes->experts++] = expert;
        from[expert + 1] += from[expert];
    }
    for (int64_t i = call->tokens * k - 1; i >= 0; i--) {
        int64_t slot = --from[notes->chosen[i] + 1];
        notes->token_of[slot] = (int32_t)(i / k);
        notes->slot_of[slot] = (int32_t)i;
    }
    // Each count went down to where its expert begins: one place too far to the right.
    for (int64_t expert = 0; expert < experts; expert++) from[expert] = from[expert + 1];
    from[experts] = call->tokens * k;
}

static int is_panelled(const struct call *call, int64_t slots) { return call->tokens > FEW && slots >= MANY; }

// Activations in the forms that the experts of the places from `place` take, which depend on how many tokens each has.
static void prepare_expert(const struct call *call, const float *x, int64_t width, int64_t index, int64_t place,
                           int64_t places, struct notes *notes) {
    const struct engine *engine = call->engine;
    const struct level *level = engine->level;
    int few = 0, many = 0;
    for (int64_t i = place; i < place + places; i++) {
        const int64_t *from = notes->slots_from + notes->chosen[i];
        if (is_panelled(call, from[1] - from[0]))
            many = 1;
        else
            few = 1;
    }
    if (few) notes->plane_of[index] = level->to_planes(x, width, notes->planes + index * level->planes_bytes(width));
    if (many) engine->experts->pack(x, width, engine->room.packed + index * width * level->packed_bytes);
}

static int64_t slots_at(const struct notes *notes, int64_t active, int64_t *first) {
    int32_t expert = notes->active[active];
    *first = notes->slots_from[expert];
    return notes->slots_from[expert + 1] - *first;
}

// What becomes of the rows `first` on of an expert's matrix times one slot's activations, y.
typedef void ending(struct call *call, const struct notes *notes, int64_t slot, int64_t first, int64_t rows,
                    float *y);

static void into_inner(struct call *call, const struct notes *notes, int64_t slot, int64_t first, int64_t rows,
                       float *y) {
    (void)notes;
    struct engine *engine = call->engine;
    engine->level->swiglu(y, rows / 2, engine->network.swiglu_alpha, engine->network.swiglu_limit,
                          engine->room.inner + slot * engine->inner + first / 2);
}

static void into_stream(struct call *call, const struct notes *notes, int64_t slot, int64_t first, int64_t rows,
                        float *y) {
    float share = notes->shares[notes->slot_of[slot]];
    float *x = call->x + notes->token_of[slot] * call->engine->network.hidden + first;
    call->engine->level->add_scaled(y, share, rows, x);
}

// Rows of one expert's matrix times all of its slots, in whichever way is faster. Before gate and up the activations
// are the tokens', after them each slot has its own.
static void multiply_expert(struct call *call, const struct experts *matrix, ending *end, int64_t active, int64_t first,
                            int64_t rows, struct desk *desk, const char *soon, int64_t bytes) {
    struct engine *engine = call->engine;
    const struct level *level = engine->level;
    const struct notes *notes = desk->notes;
    int64_t begin, count = slots_at(notes, active, &begin), expert = notes->active[active], width = matrix->columns;
    int by_token = matrix == &call->layer->gate_up, panelled = is_panelled(call, count);
    int64_t at_once = panelled ? over(count, over(count, TOKENS)) : MANY, stride = panelled ? level->panel : rows;
    if (panelled) engine->experts->decode(matrix, expert, first, desk->panel);
    for (int64_t slot = begin, slots; slot < begin + count; slot += slots, bytes = 0) {
        const void *x[TOKENS];
        struct planes planes[MANY];
        slots = least(at_once, begin + count - slot);
        for (int64_t i = 0; i < slots; i++) {
            int64_t index = by_token ? notes->token_of[slot + i] : slot + i;
            if (panelled)
                x[i] = engine->room.packed + index * width * level->packed_bytes;
            else
                planes[i] = notes->plane_of[index];
        }
        if (panelled)
            engine->experts->multiply(desk->panel, width, x, slots, desk->tile, soon, bytes);
        else
            level->expert_rows(matrix, expert, first, first + rows, planes, slots, desk->tile, stride);
        for (int64_t i = 0; i < slots; i++) {
            level->add_bias(matrix->bias + expert * matrix->rows + first, rows, desk->tile + i * stride);
            end(call, notes, slot + i, first, rows, desk->tile + i * stride);
        }
    }
}

static void gate_up(struct call *call, int64_t active, int64_t first, int64_t rows, struct desk *desk,
                    const char *soon, int64_t bytes) {
    multiply_expert(call, &call->layer->gate_up, into_inner, active, first, rows, desk, soon, bytes);
}

static void down(struct call *call, int64_t active, int64_t first, int64_t rows, struct desk *desk, const char *soon,
                 int64_t bytes) {
    multiply_expert(call, &call->layer->down, into_stream, active, first, rows, desk, soon, bytes);
}

static const char *stored(const struct experts *matrix, int64_t expert, int64_t row) {
    return (const char *)matrix->blocks + (expert * matrix->rows + row) * matrix->columns / 2;
}

static void gate_up_many(struct call *call, struct desk *desk) {
    struct engine *engine = call->engine;
    const struct experts *matrix = &call->layer->gate_up;
    int64_t panel = engine->level->panel, panels = over(matrix->rows, panel), bytes = panel * matrix->columns / 2;
    int64_t pieces = desk->notes->experts * panels;
    for (int64_t piece = take(engine), soon; piece < pieces; piece = soon) {
        soon = take(engine);
        int64_t first = piece % panels * panel, later = least(soon, pieces - 1);
        gate_up(call, piece / panels, first, least(panel, matrix->rows - first), desk,
                stored(matrix, desk->notes->active[later / panels], later % panels * panel), bytes);
    }
}

// Of `panels`, those that are the given piece. The first pieces are large and the last ones small, so that all threads
// end at nearly the same time.
static int64_t shrinking_piece(int64_t panels, int64_t threads, int64_t piece, int64_t *first) {
    int64_t left = panels, size = over(left, 2 * threads);
    for (; piece > 0 && left > 0; piece--, size = over(left, 2 * threads)) left -= size;
    *first = panels - left;
    return size;
}

static void down_many(struct call *call, struct desk *desk, int threads) {
    struct engine *engine = call->engine;
    const struct experts *matrix = &call->layer->down;
    int64_t panel = engine->level->panel, panels = over(matrix->rows, panel), bytes = panel * matrix->columns / 2;
    // A piece is some panels of all experts, because they add to the same values of the stream. An expert's activations
    // stay in the cache meanwhile.
    int64_t first, count = shrinking_piece(panels, threads, take(engine), &first), later, more;
    for (; count; first = later, count = more) {
        more = shrinking_piece(panels, threads, take(engine), &later);
        for (int64_t i = 0; i < desk->notes->experts * count; i++) {
            int64_t active = i / count, at = first + i % count, then = i + 1, row;
            if (then < desk->notes->experts * count)
                row = first + then % count;
            else
                then = 0, row = more ? later : first;
            down(call, active, at * panel, least(panel, matrix->rows - at * panel), desk,
                 stored(matrix, desk->notes->active[then / count], row * panel), bytes);
        }
    }
}

static void mix_work(void *of, int thread, int threads) {
    struct call *call = of;
    struct engine *engine = call->engine;
    const struct network *net = &engine->network;
    const struct layer *layer = call->layer;
    struct room *room = &engine->room;
    struct desk *desk = desk_of(call, thread);
    struct notes *notes = desk->notes;
    int64_t tokens = call->tokens, k = net->experts_per_token, start = first_token(call, thread);
    int64_t stride = stride_of(call, threads), first, last;
    norm_tokens(call, layer->experts_norm, desk, thread, threads);
    for (int64_t token = start; token < tokens; token += stride)
        engine->level->split(notes->normed + token * net->hidden, net->hidden, notes->split + token * net->hidden);
    wait_if_many(call);
    // The router reads few rows: they are shared out for few tokens, the tokens for many.
    int64_t group = tokens <= FEW ? tokens : 4;
    first = 0, last = layer->router.rows;
    if (tokens <= FEW) share(layer->router.rows, 1, thread, threads, &first, &last);
    for (int64_t token = start * group; token < tokens; token += stride * group) {
        const float *x[FEW];
        int64_t some = least(group, tokens - token);
        for (int64_t i = 0; i < some; i++) x[i] = notes->split + (token + i) * net->hidden;
        float *logits = room->logits + token * net->experts;
        engine->level->dense_rows(&layer->router, first, last, x, some, logits + first, net->experts);
        for (int64_t i = 0; i < some; i++)
            engine->level->add_bias(layer->router.bias + first, last - first, logits + i * net->experts + first);
    }
    pool_wait(engine->pool);
    for (int64_t token = start; token < tokens; token += stride) route(call, token, notes);
    wait_if_many(call);
    if (tokens <= FEW || thread == 0) sort_slots(call, notes);
    for (int64_t i = 0; thread == 0 && call->fired && i < tokens * k; i++) call->fired[i] = notes->chosen[i];
    wait_if_many(call);
    for (int64_t token = start; token < tokens; token += stride)
        prepare_expert(call, notes->normed + token * net->hidden, net->hidden, token, token * k, k, notes);
    if (tokens <= FEW) {
        share(notes->experts * layer->gate_up.rows, GRAIN, thread, threads, &first, &last);
        for (int64_t row = first, rows; row < last; row += rows) {
            int64_t within = row % layer->gate_up.rows;
            rows = least(least(ROWS, last - row), layer->gate_up.rows - within);
            gate_up(call, row / layer->gate_up.rows, within, rows, desk, desk->panel, 0);
        }
    } else {
        begin_pieces(engine, thread);
        gate_up_many(call, desk);
    }
    pool_wait(engine->pool);
    for (int64_t slot = start; slot < tokens * k; slot += stride)
        prepare_expert(call, room->inner + slot * engine->inner, engine->inner, slot, notes->slot_of[slot], 1, notes);
    if (tokens <= FEW) {
        share(layer->down.rows, GRAIN, thread, threads, &first, &last);
        for (int64_t active = 0; active < notes->experts; active++)
            for (int64_t row = first; row < last; row += ROWS)
                down(call, active, row, least(ROWS, last - row), desk, desk->panel, 0);
    } else {
        begin_pieces(engine, thread);
        down_many(call, desk, threads);
    }
}

EXPORT int gptoss_mix(struct engine *engine, int64_t layer, float *x, int64_t tokens, int64_t *fired) {
    if (!make_room(engine, tokens)) return 0;
    struct call call = {
        .engine = engine, .layer = &engine->layers[layer], .tokens = tokens, .x = x, .fired = fired};
    pool_run(engine->pool, mix_work, &call);
    return 1;
}

// unembed

static void unembed_work(void *of, int thread, int threads) {
    struct call *call = of;
    struct engine *engine = call->engine;
    struct desk *desk = desk_of(call, thread);
    norm_tokens(call, engine->network.norm, desk, thread, threads);
    prepare_dense(call, desk->notes->normed, engine->network.hidden, desk, thread, threads);
    multiply_dense(call, (const struct dense *[]){&engine->network.unembedding}, (float *[]){call->out}, 1, 0, desk,
                   thread, threads);
}

EXPORT int gptoss_unembed(struct engine *engine, float *x, int64_t tokens, float *logits) {
    if (!make_room(engine, tokens)) return 0;
    struct call call = {.engine = engine, .tokens = tokens, .x = x, .out = logits};
    pool_run(engine->pool, unembed_work, &call);
    return 1;
}

// draw

EXPORT void gptoss_draw(struct engine *engine, const float *x, int64_t tokens, float temperature, const uint64_t *keys,
                        const uint8_t *allowed, int exact, struct drawn *drawn) {
    for (int64_t done = 0; done < tokens; done += FEW)
        draw_tokens(engine->drawer, x + done * engine->network.hidden, least(FEW, tokens - done), temperature,
                    keys + done, allowed, exact, drawn + done);
}

// The engine

static void each_projection(struct engine *engine, void (*visit)(struct dense *matrix, struct pool *pool)) {
    for (int64_t i = 0; i < engine->layer_count; i++) {
        struct layer *layer = &engine->layers[i];
        struct dense *const matrices[] = {&layer->q, &layer->k, &layer->v, &layer->o};
        for (int j = 0; j < 4; j++) visit(matrices[j], engine->pool);
    }
}

// Let draws take coarse scores first (draw.c), where there is memory for them.
EXPORT void gptoss_copy_coarse(struct engine *engine) { copy_coarse(engine->drawer); }

// Pack the dense weights into copies of 12 bits a weight, where the level reads them. Few rows of an unembedding that
// has a coarse copy are read at all.
EXPORT void gptoss_pack(struct engine *engine) {
    if (!engine->level->reads_packed) return;
    each_projection(engine, pack_dense);
    if (!is_coarse(engine->drawer)) pack_dense(&engine->network.unembedding, engine->pool);
}

static double bytes_of(const struct dense *matrix) { return matrix->packed.bytes ? 1.5 : 2; }

// Multiply many tokens in the experts with activations in 8 bits, where the level does. Whether it does.
EXPORT int gptoss_quicken(struct engine *engine) {
    if (engine->level->quick_experts.decode) engine->experts = &engine->level->quick_experts;
    return engine->experts == &engine->level->quick_experts;
}

// The bytes that a weight of the projections takes in the reading of one token, and one of the unembedding.
EXPORT double gptoss_dense_bytes(const struct engine *engine) { return bytes_of(&engine->layers->q); }
EXPORT double gptoss_unembedding_bytes(const struct engine *engine) {
    return is_coarse(engine->drawer) ? 1 : bytes_of(&engine->network.unembedding);
}

EXPORT void gptoss_free(struct engine *engine) {
    if (!engine) return;
    if (engine->layers) each_projection(engine, unpack_dense);
    unpack_dense(&engine->network.unembedding, engine->pool);
    for (int thread = 0; engine->desks && thread < pool_threads(engine->pool); thread++) {
        free(engine->desks[thread].panel);
        free(engine->desks[thread].tile);
    }
    drawer_free(engine->drawer);
    pool_free(engine->pool);
    free(engine->desks);
    free(engine->room.start);
    free(engine->layers);
    free(engine);
}

// A network ready to run on `threads` threads, with no instruction beyond the level called `most`, if that is given.
// The weights stay the caller's and must outlive it. Returns NULL if there is no memory.
EXPORT struct engine *gptoss_new(const struct network *network, const struct layer *layers, int64_t count, int threads,
                                 const char *most_level) {
    struct engine *engine = aligned_alloc(64, (size_t)over(sizeof *engine, 64) * 64);
    if (!engine) return NULL;
    *engine = (struct engine){.network = *network, .layer_count = count, .turned_length = -1};
    engine->level = best_level(most_level);
    engine->experts = &engine->level->experts;
    engine->inner = layers[0].down.columns;
    engine->widest = most(network->hidden, network->heads * network->head_dim);
    engine->layers = calloc((size_t)count, sizeof *layers);
    engine->pool = pool_new(threads);
    if (engine->pool) engine->drawer = drawer_new(&engine->network, engine->level, engine->pool);
    if (engine->pool) engine->desks = calloc((size_t)pool_threads(engine->pool), sizeof *engine->desks);
    int complete = engine->layers && engine->desks && engine->drawer;
    int64_t panel = most(engine->widest, engine->inner) * engine->level->panel * 4;
    for (int thread = 0; complete && thread < pool_threads(engine->pool); thread++) {
        struct desk *desk = &engine->desks[thread];
        desk->panel = aligned_alloc(64, (size_t)over(panel, 64) * 64);
        desk->tile = aligned_alloc(64, FEW * ROWS * sizeof(float) + TOKENS * 64 * sizeof(float));
        complete = desk->panel && desk->tile;
    }
    if (engine->layers) memcpy(engine->layers, layers, (size_t)count * sizeof *layers);
    if (!complete) {
        gptoss_free(engine);
        return NULL;
    }
    return engine;
}

EXPORT const char *gptoss_level(const struct engine *engine) { return engine->level->name; }
EXPORT int gptoss_threads(const struct engine *engine) { return pool_threads(engine->pool); }
