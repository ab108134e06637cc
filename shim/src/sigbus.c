/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads and writes memory that may be poisoned or cut short, and lives: a handler that jumps back
 * into the copy when the fault lies in what this thread is copying from, that puts a page of nobody
 * under a store whose page is gone, and else passes the signal on.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* REG_ERR */
#endif
#include "sigbus.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "shim_common.h"

struct guard {
    sigjmp_buf back;
    uintptr_t from, to; /* the bytes that are read */
};

/* initial-exec: the handler must not allocate, which other models of thread-local data may do. */
static _Thread_local struct guard *volatile active __attribute__((tls_model("initial-exec")));

static struct sigaction previous;
static int install_errno;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The kernel reports a block of 2^lsb bytes for poison, and one byte for everything else. */
static int hits(const struct guard *guard, const siginfo_t *info)
{
    uintptr_t address = (uintptr_t)info->si_addr, block_bytes = 1;

    if ((info->si_code == BUS_MCEERR_AR || info->si_code == BUS_MCEERR_AO) &&
        info->si_addr_lsb > 0 && info->si_addr_lsb < 48)
        block_bytes = (uintptr_t)1 << info->si_addr_lsb;
    address &= ~(block_bytes - 1);
    return address < guard->to && address + block_bytes > guard->from;
}

static void pass_on(int sig, siginfo_t *info, void *context)
{
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(sig, info, context);
    } else if (previous.sa_handler == SIG_IGN && info->si_code <= 0) {
        return; /* sent by a process that may be ignored */
    } else if (previous.sa_handler == SIG_DFL || previous.sa_handler == SIG_IGN) {
        /* Die of it: at once when it was sent, at the repeated access when it was a fault. */
        struct sigaction fatal = {.sa_handler = SIG_DFL};

        sigaction(sig, &fatal, NULL);
        if (info->si_code <= 0)
            raise(sig);
    } else {
        previous.sa_handler(sig);
    }
}

#define WATCHED_MAX 64u
#define PAGE_BYTES ((uintptr_t)4096)

static _Atomic(struct sigbus_range *) watched[WATCHED_MAX];

bool sigbus_watch(struct sigbus_range *range)
{
    for (unsigned i = 0; i < WATCHED_MAX; i++) {
        struct sigbus_range *none = NULL;

        if (atomic_compare_exchange_strong(&watched[i], &none, range))
            return true;
    }
    return false;
}

void sigbus_unwatch(struct sigbus_range *range)
{
    for (unsigned i = 0; i < WATCHED_MAX; i++) {
        struct sigbus_range *found = range;

        if (atomic_compare_exchange_strong(&watched[i], &found, NULL))
            return;
    }
}

bool sigbus_lost(const struct sigbus_range *range, uintptr_t from, size_t len_bytes)
{
    unsigned lost = atomic_load(&range->lost);

    if (lost > SIGBUS_PAGES_MAX)
        return true;
    for (unsigned i = 0; i < lost; i++) {
        uintptr_t page = atomic_load(&range->page[i]);

        if (page == 0 || (page < from + len_bytes && from < page + PAGE_BYTES))
            return true; /* 0: it is being noted */
    }
    return false;
}

static bool is_store(const void *context)
{
#if defined(__x86_64__)
    return (((const ucontext_t *)context)->uc_mcontext.gregs[REG_ERR] & 2) != 0;
#else
    (void)context;
    return false;
#endif
}

/* A store to a watched mapping whose page is gone goes on, into a page of nobody. */
static bool give_page(const siginfo_t *info, const void *context)
{
    uintptr_t address = (uintptr_t)info->si_addr;
    uintptr_t page = address & ~(PAGE_BYTES - 1);

    if (info->si_code != BUS_ADRERR || !is_store(context))
        return false;
    for (unsigned i = 0; i < WATCHED_MAX; i++) {
        struct sigbus_range *range = atomic_load(&watched[i]);
        unsigned n;

        if (range == NULL || address < range->from || address >= range->to)
            continue;
        /* Noted first: who sees the page sees the note. */
        n = atomic_fetch_add(&range->lost, 1);
        if (n < SIGBUS_PAGES_MAX)
            atomic_store(&range->page[n], page);
        return mmap((void *)page, PAGE_BYTES, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
    }
    return false;
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
    struct guard *guard = active;
    int saved_errno = errno;

    /* Not si_code <= 0: that was sent by a process and says nothing about this memory. */
    if (guard != NULL && info->si_code > 0 && hits(guard, info)) {
        active = NULL;
        /* The jump does not leave the handler for the kernel: undo its signal mask by hand. */
        pthread_sigmask(SIG_SETMASK, &((const ucontext_t *)context)->uc_sigmask, NULL);
        siglongjmp(guard->back, 1);
    }
    if (!give_page(info, context))
        pass_on(sig, info, context);
    errno = saved_errno;
}

static void install(void)
{
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, NULL, &previous) != 0 || sigaction(SIGBUS, &action, NULL) != 0)
        install_errno = errno;
}

int sigbus_guard_install(void)
{
    pthread_once(&once, install);
    return install_errno;
}

/*
 * No memcpy(): a checker that intercepts memcpy() does not expect the jump. Not inlined: then
 * nothing of it can live in a register across the jump. The string instruction is as fast as
 * memcpy() and can be left at any byte; checkers do not look into it, so they get the loop.
 */
#if defined(__x86_64__) && !defined(SHIM_CHECKED)

static __attribute__((noinline)) void load_all(uint8_t *to, const uint8_t *from, size_t len_bytes)
{
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len_bytes) : : "memory");
}

#else

static __attribute__((noinline)) void load_all(uint8_t *to, const uint8_t *from, size_t len_bytes)
{
    size_t i = 0;

    for (; i < len_bytes && ((uintptr_t)(from + i) & 7) != 0; i++)
        to[i] = *(const volatile uint8_t *)(from + i);
    for (; len_bytes - i >= 8; i += 8) {
        uint64_t word = *(const volatile uint64_t *)(const void *)(from + i);

        __builtin_memcpy(to + i, &word, 8);
    }
    for (; i < len_bytes; i++)
        to[i] = *(const volatile uint8_t *)(from + i);
}

#endif

int sigbus_guarded_copy(void *dst, const void *src, size_t len_bytes)
{
    struct guard guard = {.from = (uintptr_t)src, .to = (uintptr_t)src + len_bytes};

    /* Without the signal mask: saving it would cost each read a system call. */
    if (sigsetjmp(guard.back, 0) != 0)
        return CBD_E_MEDIA;
    active = &guard;
    load_all(dst, src, len_bytes);
    active = NULL;
    return 0;
}

/* A flush faults like a load, and its instruction is not ours to guard. */
bool sigbus_readable(const void *src, size_t len_bytes)
{
    const uint8_t *from = src, *end = from + len_bytes;
    uint8_t byte;

    while (from < end) {
        if (sigbus_guarded_copy(&byte, from, 1) != 0)
            return false;
        from += PAGE_BYTES - ((uintptr_t)from & (PAGE_BYTES - 1));
    }
    return true;
}
