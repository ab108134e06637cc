/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Coroutines: functions with a stack of their own that stop in the middle and go on later, all on
 * one thread of the operating system. One level deep: a coroutine does not enter another one.
 *
 *   main stack ---enter---> coroutine ---leave---> main stack ---enter---> goes on
 *
 * A coroutine that stands still may be dropped or started anew: its frames are forgotten, nothing
 * is cleaned up. Below each stack is a page that cannot be touched. The sanitizers and valgrind
 * are told of every switch. fork() copies coroutines like all other memory.
 */
#ifndef SIM_CORO_H
#define SIM_CORO_H

#include <stdbool.h>

struct sim_coro;

/* One that will run fn(arg) from its first line; fn must not return. Never NULL. */
struct sim_coro *sim_coro_create(void (*fn)(void *arg), void *arg);

/* From the main stack only. */
void sim_coro_destroy(struct sim_coro *c);

/* Forgets where it stands: the next enter begins with the first line of fn. */
void sim_coro_restart(struct sim_coro *c);

/* Lets it run until it leaves. From the main stack only. */
void sim_coro_enter(struct sim_coro *c);

/* Back to the main stack; returns at the next enter. From inside of c only. */
void sim_coro_leave(struct sim_coro *c);

#endif
