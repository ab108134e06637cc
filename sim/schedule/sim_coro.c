/* SPDX-License-Identifier: BSD-2-Clause */
/* Coroutines: stacks, the switch between them, and what sanitizers and valgrind have to know. */
#include "sim_coro.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim_base.h"

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define HAVE_VALGRIND 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define HAVE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAVE_TSAN 1
#endif
#endif

#ifdef HAVE_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef HAVE_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/* A shadow stack would have to be switched as well: leave that to the C library. */
#if defined(__x86_64__) && !defined(__SHSTK__) && !defined(SIM_CORO_UCONTEXT)
#define HAVE_SWAP 1
#else
#include <ucontext.h>
#endif

#define STACK_BYTES (512u << 10) /* taken from the system only as far as it is used */

struct sim_coro {
    void (*fn)(void *arg);
    void *arg;
    uint8_t *map; /* guard page, then the stack */
    size_t map_bytes, guard_bytes;
#ifdef HAVE_SWAP
    void *sp, *main_sp;
#else
    ucontext_t context, main_context;
#endif
#ifdef HAVE_ASAN
    void *fake, *main_fake;
    const void *main_bottom;
    size_t main_bytes;
#endif
#ifdef HAVE_TSAN
    void *fiber, *main_fiber;
#endif
#ifdef HAVE_VALGRIND
    unsigned valgrind_id;
#endif
};

static struct sim_coro *starting; /* whose first line comes next */

static void entry(void)
{
    struct sim_coro *c = starting;

#ifdef HAVE_ASAN
    __sanitizer_finish_switch_fiber(NULL, &c->main_bottom, &c->main_bytes);
#endif
    c->fn(c->arg);
    sim_fatal(__func__, "a coroutine returned");
}

#ifdef HAVE_SWAP
/* Saves what a function must preserve on this stack, and takes it from the other one. */
void sim_coro_swap(void **save_sp, void *load_sp);
__asm__(".text\n"
        ".globl sim_coro_swap\n"
        ".hidden sim_coro_swap\n"
        ".type sim_coro_swap, @function\n"
        "sim_coro_swap:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size sim_coro_swap, . - sim_coro_swap\n");

/* As sim_coro_swap() would have left it, with entry() as the place to return to. */
static void prepare(struct sim_coro *c)
{
    uint64_t *top = (uint64_t *)(void *)(c->map + c->map_bytes);
    void (*where)(void) = entry;

    memset(top - 8, 0, 8 * sizeof(*top));
    memcpy(top - 2, &where, sizeof(where));
    c->sp = top - 8;
}
#else
static void prepare(struct sim_coro *c)
{
    SIM_REQUIRE(getcontext(&c->context) == 0);
    c->context.uc_stack.ss_sp = c->map + c->guard_bytes;
    c->context.uc_stack.ss_size = c->map_bytes - c->guard_bytes;
    c->context.uc_link = NULL;
    makecontext(&c->context, entry, 0);
}
#endif

struct sim_coro *sim_coro_create(void (*fn)(void *arg), void *arg)
{
    struct sim_coro *c = sim_zalloc(1, sizeof(*c));

    c->fn = fn;
    c->arg = arg;
    c->guard_bytes = (size_t)sysconf(_SC_PAGESIZE);
    c->map_bytes = c->guard_bytes + STACK_BYTES;
    c->map = mmap(NULL, c->map_bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    SIM_REQUIRE(c->map != MAP_FAILED);
    SIM_REQUIRE(mprotect(c->map, c->guard_bytes, PROT_NONE) == 0);
#ifdef HAVE_TSAN
    c->fiber = __tsan_create_fiber(0);
#endif
#ifdef HAVE_VALGRIND
    c->valgrind_id = VALGRIND_STACK_REGISTER(c->map + c->guard_bytes, c->map + c->map_bytes);
#endif
    prepare(c);
    return c;
}

void sim_coro_destroy(struct sim_coro *c)
{
    if (c == NULL)
        return;
#ifdef HAVE_VALGRIND
    VALGRIND_STACK_DEREGISTER(c->valgrind_id);
#endif
#ifdef HAVE_TSAN
    __tsan_destroy_fiber(c->fiber);
#endif
#ifdef HAVE_ASAN
    __asan_unpoison_memory_region(c->map + c->guard_bytes, c->map_bytes - c->guard_bytes);
#endif
    munmap(c->map, c->map_bytes);
    free(c);
}

void sim_coro_restart(struct sim_coro *c)
{
#ifdef HAVE_TSAN
    __tsan_destroy_fiber(c->fiber);
    c->fiber = __tsan_create_fiber(0);
#endif
#ifdef HAVE_ASAN
    __asan_unpoison_memory_region(c->map + c->guard_bytes, c->map_bytes - c->guard_bytes);
    c->fake = NULL;
#endif
    prepare(c);
}

void sim_coro_enter(struct sim_coro *c)
{
    starting = c;
#ifdef HAVE_ASAN
    __sanitizer_start_switch_fiber(&c->main_fake, c->map + c->guard_bytes,
                                   c->map_bytes - c->guard_bytes);
#endif
#ifdef HAVE_TSAN
    c->main_fiber = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(c->fiber, 0);
#endif
#ifdef HAVE_SWAP
    sim_coro_swap(&c->main_sp, c->sp);
#else
    SIM_REQUIRE(swapcontext(&c->main_context, &c->context) == 0);
#endif
#ifdef HAVE_ASAN
    __sanitizer_finish_switch_fiber(c->main_fake, NULL, NULL);
#endif
}

void sim_coro_leave(struct sim_coro *c)
{
#ifdef HAVE_ASAN
    __sanitizer_start_switch_fiber(&c->fake, c->main_bottom, c->main_bytes);
#endif
#ifdef HAVE_TSAN
    __tsan_switch_to_fiber(c->main_fiber, 0);
#endif
#ifdef HAVE_SWAP
    sim_coro_swap(&c->sp, c->main_sp);
#else
    SIM_REQUIRE(swapcontext(&c->context, &c->main_context) == 0);
#endif
#ifdef HAVE_ASAN
    __sanitizer_finish_switch_fiber(c->fake, &c->main_bottom, &c->main_bytes);
#endif
}
