/* SPDX-License-Identifier: BSD-2-Clause */
#include "sweep_rig.h"

struct fence_at {
    struct sim_pmem *pm;
    uint64_t left;
    bool failed;
};

static void on_op(void *arg, const struct sim_pm_event *ev)
{
    struct fence_at *f = arg;

    if (ev->kind == SIM_PM_FENCE && !f->failed && f->left-- == 0) {
        f->pm->fail_fences = 1;
        f->failed = true;
    }
}

bool sweep_failed(struct sweep_life *l, int error)
{
    if (error == 0)
        return false;
    assert_int_equal(error, l->error);
    l->errors++;
    l->over = l->ends;
    return !l->over;
}

int sweep_open(struct rig *r)
{
    int error = cbd_cache_open(&r->pmem->pm, &r->env.env, 0, &r->cache);

    if (error != 0)
        r->cache = NULL;
    return error;
}

int sweep_steps(struct rig *r, enum cbd_work work)
{
    int did;

    do {
        did = cbd_backend_step(r->backend[0], work);
    } while (did > 0);
    return did;
}

int sweep_detach(struct rig *r)
{
    int error = cbd_backend_detach(r->backend[0]);

    if (error == 0)
        r->backend[0] = NULL;
    return error;
}

int sweep_write_back(struct rig *r)
{
    int error;

    cbd_backend_drain(r->backend[0], true);
    error = rig_step_to_idle(r, 0);
    cbd_backend_drain(r->backend[0], false);
    return error;
}

void sweep_die(struct sweep_life *l)
{
    if (l->cut)
        rig_power_cut(l->r, SIM_CRASH_NONE);
    else
        rig_kill(l->r);
}

void sweep_unspoil(struct sweep_life *l)
{
    if (l->poisoned != 0)
        sim_pmem_poison_clear(l->r->pmem, l->poisoned, 64);
    l->poisoned = 0;
}

static bool was_hit(const struct rig *r, unsigned fault, const struct fence_at *fence)
{
    if (fault == SWEEP_ALLOC)
        return r->allocs > r->alloc_fail_at;
    if (fault == SWEEP_FENCE)
        return fence->failed;
    return r->disk[0]->state.fault[fault - SWEEP_DISK].count == 0;
}

/* False: the life ended before there was a place number k. */
static bool one_fault(unsigned fault, const struct rig_config *config,
                      void (*live)(struct sweep_life *l), uint64_t k, unsigned *errors)
{
    struct rig *r = rig_create(config);
    struct sweep_life l = {
        .r = r, .error = CBD_E_IO, .ends = fault == SWEEP_FENCE, .cut = fault >= SWEEP_DISK};
    struct fence_at fence = {.pm = r->pmem, .left = k};
    bool hit;

    r->allocs = 0;
    if (fault == SWEEP_ALLOC) {
        r->alloc_fail_at = k;
        l.error = CBD_E_NOMEM;
    } else if (fault == SWEEP_FENCE) {
        r->pmem->hook = on_op;
        r->pmem->hook_arg = &fence;
    } else {
        sim_disk_fail_next(r->disk[0], (enum cbd_disk_op)(fault - SWEEP_DISK), k, 1);
    }
    live(&l);
    hit = was_hit(r, fault, &fence);
    *errors += l.errors;
    r->pmem->hook = NULL;
    r->alloc_fail_at = UINT64_MAX;
    sim_disk_heal(r->disk[0]);
    sweep_unspoil(&l);
    if (fault == SWEEP_FENCE && hit) {
        assert_true(l.over);
        rig_power_cut(r, k % 2 == 0 ? SIM_CRASH_NONE : SIM_CRASH_ALL);
        rig_attach(r);
        rig_check_all(r);
        rig_detach(r);
    }
    l = (struct sweep_life){.r = r};
    live(&l);
    assert_null(r->blocks);
    assert_int_equal(l.errors, 0);
    assert_true(l.did);
    rig_check_disk(r, 0);
    rig_fsck(r, true);
    rig_destroy(r);
    return hit;
}

void sweep(unsigned fault, const struct rig_config *config, void (*live)(struct sweep_life *l),
           uint64_t places, unsigned least_errors)
{
    unsigned errors = 0;
    uint64_t k = 0;

    while (one_fault(fault, config, live, k, &errors))
        k++;
    print_message("fault %u: %llu places, %u errors\n", fault, (unsigned long long)k, errors);
    assert_true(k >= places);
    assert_true(fault != SWEEP_FENCE || errors == k); /* none is swallowed */
    assert_true(errors >= least_errors);
}
