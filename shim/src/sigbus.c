/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads memory that may be poisoned or cut short, and lives: a handler that jumps back into the
 * copy when the fault lies in what this thread is copying from, and else passes the signal on.
 */
#include "sigbus.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
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
