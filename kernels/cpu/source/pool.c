// The thread pool: waits by spinning for some microseconds, then sleeps, so that an idle program costs nothing.

#define _GNU_SOURCE
#include "gptoss.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

#if defined(__x86_64__) || defined(__i386__)
#define PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define PAUSE() __asm__ volatile("yield")
#else
#define PAUSE() ((void)0)
#endif

// At a barrier a yield comes early: it costs as little where nothing else waits for the processor, and elsewhere
// what waits may be the very thread that is waited for.
enum { SPINS = 4000, SPINS_AT_BARRIER = 64 };

struct pool {
    int threads;
    _Alignas(64) atomic_uint launched;  // counts the pieces of work
    work *function;
    void *of;
    _Alignas(64) atomic_uint arrived;  // threads at the barrier
    _Alignas(64) atomic_uint passed;   // counts the barriers
    atomic_int sleeping, leaving;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_t *ids;
    pid_t process;
};

struct seat {
    struct pool *pool;
    int thread;
};

void pool_wait(struct pool *pool) {
    if (pool->threads == 1) return;
    unsigned barrier = atomic_load_explicit(&pool->passed, memory_order_relaxed);
    if (atomic_fetch_add(&pool->arrived, 1) + 1 == (unsigned)pool->threads) {
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&pool->passed, barrier + 1, memory_order_release);
        return;
    }
    for (int spins = 0; atomic_load_explicit(&pool->passed, memory_order_acquire) == barrier; spins++) {
        PAUSE();
#if !defined(_WIN32)
        if (spins >= SPINS_AT_BARRIER) sched_yield();
#endif
    }
}

static void *serve(void *of) {
    struct seat seat = *(struct seat *)of;
    free(of);
    struct pool *pool = seat.pool;
    unsigned done = 0;
    for (;;) {
        int spins = 0;
        while (atomic_load_explicit(&pool->launched, memory_order_acquire) == done && ++spins < SPINS) PAUSE();
        if (spins == SPINS) {
            pthread_mutex_lock(&pool->mutex);
            atomic_fetch_add(&pool->sleeping, 1);
            while (atomic_load(&pool->launched) == done) pthread_cond_wait(&pool->wake, &pool->mutex);
            atomic_fetch_sub(&pool->sleeping, 1);
            pthread_mutex_unlock(&pool->mutex);
        }
        done++;
        if (atomic_load(&pool->leaving)) return NULL;
        pool->function(pool->of, seat.thread, pool->threads);
        pool_wait(pool);
    }
}

static void launch(struct pool *pool) {
    atomic_fetch_add(&pool->launched, 1);
    if (atomic_load(&pool->sleeping)) {
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->mutex);
    }
}

// The threads are not in the child of a fork: what is left there works alone.
static int is_forked(const struct pool *pool) { return pool->process != getpid(); }

void pool_run(struct pool *pool, work *function, void *of) {
    if (is_forked(pool)) pool->threads = 1;
    if (pool->threads > 1) {
        pool->function = function;
        pool->of = of;
        launch(pool);
    }
    function(of, 0, pool->threads);
    pool_wait(pool);
}

struct pool *pool_new(int threads) {
    struct pool *pool = aligned_alloc(64, (sizeof *pool + 63) / 64 * 64);
    if (!pool) return NULL;
    *pool = (struct pool){.threads = 1, .process = getpid()};
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->ids = calloc((size_t)threads, sizeof *pool->ids);
    // The system may grant fewer threads than asked for: the work then has fewer shares.
    while (pool->ids && pool->threads < threads) {
        struct seat *seat = malloc(sizeof *seat);
        if (!seat) break;
        *seat = (struct seat){pool, pool->threads};
        if (pthread_create(&pool->ids[pool->threads], NULL, serve, seat)) {
            free(seat);
            break;
        }
        pool->threads++;
    }
    return pool;
}

void pool_free(struct pool *pool) {
    if (!pool) return;
    if (!is_forked(pool)) {
        atomic_store(&pool->leaving, 1);
        launch(pool);
        for (int thread = 1; thread < pool->threads; thread++) pthread_join(pool->ids[thread], NULL);
        pthread_cond_destroy(&pool->wake);
        pthread_mutex_destroy(&pool->mutex);
    }
    free(pool->ids);
    free(pool);
}

int pool_threads(const struct pool *pool) { return pool->threads; }
