/* SPDX-License-Identifier: BSD-2-Clause */
/* A fixed number of threads that take disk requests from one queue, first in first out. */
#include "pool.h"

#include <pthread.h>
#include <signal.h>

#include "shim_common.h"

struct shim_pool {
    /* immutable after open */
    void (*run)(void *arg, struct cbd_disk_io *io);
    void *arg;
    /* owned by the thread that opens and closes */
    unsigned threads;
    pthread_t *ids;
    /* protected by lock */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct cbd_disk_io *head, **tail;
    unsigned running; /* requests inside run(), which may submit more */
    bool closing;
};

static struct cbd_disk_io *pop(struct shim_pool *pool)
{
    struct cbd_disk_io *io = pool->head;

    if (io == NULL)
        return NULL;
    pool->head = io->next;
    if (pool->head == NULL)
        pool->tail = &pool->head;
    return io;
}

static void *worker(void *arg)
{
    struct shim_pool *pool = arg;
    struct cbd_disk_io *io;

    (void)pthread_setname_np(pthread_self(), "cbd-disk");
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        io = pop(pool);
        if (io != NULL) {
            pool->running++;
            pthread_mutex_unlock(&pool->lock);
            pool->run(pool->arg, io);
            pthread_mutex_lock(&pool->lock);
            pool->running--;
        } else if (pool->closing && pool->running == 0) {
            break;
        } else {
            pthread_cond_wait(&pool->changed, &pool->lock);
        }
    }
    /* The others may sleep because this one was still running when they looked. */
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Signals are the business of the program's own threads; faults still reach the worker. */
static int start_worker(struct shim_pool *pool)
{
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&pool->ids[pool->threads], NULL, worker, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        pool->threads++;
    return rc;
}

int shim_pool_open(unsigned threads, void (*run)(void *arg, struct cbd_disk_io *io), void *arg,
                   struct shim_pool **out)
{
    struct shim_pool *pool = calloc(1, sizeof(*pool));

    if (pool == NULL)
        return CBD_E_NOMEM;
    pool->run = run;
    pool->arg = arg;
    pool->tail = &pool->head;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->changed, NULL);
    pool->ids = calloc(threads, sizeof(*pool->ids));
    if (pool->ids == NULL) {
        shim_pool_close(pool);
        return CBD_E_NOMEM;
    }
    while (pool->threads < threads) {
        if (start_worker(pool) != 0) {
            shim_pool_close(pool);
            return CBD_E_SYSTEM;
        }
    }
    *out = pool;
    return 0;
}

void shim_pool_submit(struct shim_pool *pool, struct cbd_disk_io *io)
{
    io->next = NULL;
    pthread_mutex_lock(&pool->lock);
    *pool->tail = io;
    pool->tail = &io->next;
    pthread_cond_signal(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
}

void shim_pool_close(struct shim_pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->closing = true;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->threads; i++)
        pthread_join(pool->ids[i], NULL);
    free(pool->ids);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}
