/* SPDX-License-Identifier: BSD-2-Clause */
/* Every path of a process: choices, and how to go back to one. */
/* The jumps go from one stack to another on purpose, which the checked longjmp refuses. */
#undef _FORTIFY_SOURCE
#include "lazy_walk.h"

#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "sim_base.h"

#define STACK_BYTES ((size_t)1 << 20)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_SAVE 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define CAN_SAVE 0
#endif
#endif
#ifndef CAN_SAVE
#define CAN_SAVE 1
#endif

bool sim_lazy_walk_can_save(void)
{
    return CAN_SAVE != 0;
}

void sim_lazy_walk_init(struct sim_lazy_walk *w)
{
    memset(w, 0, sizeof(*w));
    w->stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    SIM_REQUIRE(w->stack != MAP_FAILED);
}

void sim_lazy_walk_free(struct sim_lazy_walk *w)
{
    munmap(w->stack, STACK_BYTES);
    free(w->steps);
    free(w->store);
    memset(w, 0, sizeof(*w));
}

void sim_lazy_walk_reset(struct sim_lazy_walk *w)
{
    w->steps_n = w->pos = w->store_n = 0;
    w->paths = w->starts = 0;
    w->bad_force = false;
}

static uint8_t *room(struct sim_lazy_walk *w, size_t bytes)
{
    w->store = sim_grow(w->store, &w->store_cap, w->store_n + bytes, 1);
    w->store_n += bytes;
    return w->store + w->store_n - bytes;
}

/* Everything of the process from this frame on. */
static __attribute__((noinline)) void save(struct sim_lazy_walk *w, struct sim_lazy_step *s)
{
    const uint8_t *low = __builtin_frame_address(0);

    SIM_REQUIRE(low > w->stack && low < w->stack + STACK_BYTES);
    s->saved = w->store_n;
    s->stack_bytes = (size_t)(w->stack + STACK_BYTES - low);
    s->arena_bytes = *w->arena_used;
    memcpy(room(w, s->stack_bytes), low, s->stack_bytes);
    memcpy(room(w, s->arena_bytes), w->arena, s->arena_bytes);
    memcpy(room(w, w->state_bytes), w->state, w->state_bytes);
    w->now(w->arg, s->token);
}

static void restore(struct sim_lazy_walk *w, const struct sim_lazy_step *s)
{
    const uint8_t *from = w->store + s->saved;

    memcpy(w->stack + STACK_BYTES - s->stack_bytes, from, s->stack_bytes);
    memcpy(w->arena, from + s->stack_bytes, s->arena_bytes);
    memcpy(w->state, from + s->stack_bytes + s->arena_bytes, w->state_bytes);
    w->store_n = s->saved + s->stack_bytes + s->arena_bytes + w->state_bytes;
    w->back(w->arg, s->token);
}

uint32_t sim_lazy_walk_choose(struct sim_lazy_walk *volatile w,
                              const struct sim_lazy_choice *choice)
{
    struct sim_lazy_step *s;

    if (w->pos < w->steps_n)
        return w->steps[w->pos++].taken;
    w->steps = sim_grow(w->steps, &w->steps_cap, w->steps_n + 1, sizeof(w->steps[0]));
    s = &w->steps[w->steps_n++];
    s->choice = *choice;
    s->taken = 0;
    w->pos = w->steps_n;
    if (w->steps_n <= w->forced_n) {
        s->taken = w->forced[w->steps_n - 1];
        if (s->taken >= choice->count) {
            w->bad_force = true;
            s->taken = 0;
        }
        return s->taken;
    }
    if (CAN_SAVE && !w->replay && _setjmp(s->again) == 0)
        save(w, &w->steps[w->steps_n - 1]);
    return w->steps[w->steps_n - 1].taken;
}

static struct sim_lazy_walk *entering;

static void enter(void)
{
    struct sim_lazy_walk *w = entering;

    w->body(w->arg);
    _longjmp(w->home, 1);
}

/* From the start, along the choices that steps says. */
static void run(struct sim_lazy_walk *volatile w)
{
    ucontext_t context;

    w->pos = 0;
    w->starts++;
    w->start(w->arg);
    if (!CAN_SAVE || w->replay) {
        w->body(w->arg);
        return;
    }
    if (_setjmp(w->home) != 0)
        return;
    SIM_REQUIRE(getcontext(&context) == 0);
    context.uc_stack.ss_sp = w->stack;
    context.uc_stack.ss_size = STACK_BYTES;
    context.uc_link = NULL;
    entering = w;
    makecontext(&context, enter, 0);
    setcontext(&context);
}

static void go_on(struct sim_lazy_walk *volatile w)
{
    if (_setjmp(w->home) != 0)
        return;
    restore(w, &w->steps[w->steps_n - 1]);
    _longjmp(w->steps[w->steps_n - 1].again, 1);
}

bool sim_lazy_walk_next(struct sim_lazy_walk *w)
{
    if (w->paths++ == 0) {
        run(w);
        return true;
    }
    while (w->steps_n > w->forced_n &&
           w->steps[w->steps_n - 1].taken + 1 == w->steps[w->steps_n - 1].choice.count)
        w->steps_n--;
    if (w->steps_n <= w->forced_n)
        return false;
    w->steps[w->steps_n - 1].taken++;
    if (!CAN_SAVE || w->replay)
        run(w);
    else
        go_on(w);
    return true;
}

struct sim_lazy_count sim_lazy_walk_weight(const struct sim_lazy_walk *w)
{
    struct sim_lazy_count weight = sim_lazy_count_of(1);

    for (size_t i = 0; i < w->steps_n; i++)
        if (w->steps[i].taken == w->steps[i].choice.torn)
            weight = sim_lazy_count_mul(weight, w->steps[i].choice.torn_states);
    return weight;
}
