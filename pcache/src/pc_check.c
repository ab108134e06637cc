/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A check: opening the device reports what is wrong with superblock, cache_info, segments and
 * tails; then the log is walked from key_tail, as a replay does, and judged; then its keys.
 */
#include "pc_check.h"

#include <string.h>

#include "pc_media.h"
#include "pc_report.h"

static struct cbd_check_finding log_finding(const struct pc_check *c, uint32_t code,
                                            struct cbd_pcache_pos pos)
{
    struct cbd_check_finding f = pc_finding(code);

    f.segment = pos.seg;
    f.off_bytes = cbd_pcache_pos_off(&c->pc, pos);
    return f;
}

static void say_log(struct pc_check *c, uint32_t code, struct cbd_pcache_pos pos, uint64_t got,
                    uint64_t limit)
{
    struct cbd_check_finding f = log_finding(c, code, pos);

    f.got = got;
    f.limit = limit;
    pc_report(c->sink, &f);
    c->out->drain_doubtful |= f.problem->severity == CBD_CHECK_ERROR;
}

static void check_kset(struct pc_check *c, const struct cbd_pcache_kset *kset, bool behind)
{
    if (!kset->last && kset->key_count == 0) {
        struct cbd_check_finding f = log_finding(c, CBD_PCACHE_LOG_NO_KEYS, kset->pos);

        pc_report(c->sink, &f);
    }
    if ((kset->flags & ~(uint64_t)PC_KSET_FLAG_LAST) != 0)
        say_log(c, CBD_PCACHE_LOG_FLAGS, kset->pos, kset->flags, PC_KSET_FLAG_LAST);
    for (uint32_t i = 0; i < kset->key_count && c->sink->stop == 0; i++)
        pc_check_key(c, kset, i, behind);
}

/* What stands where the log ends, and behind it. */
static void check_end(struct pc_check *c)
{
    struct cbd_pcache_pos pos = c->walk.pos, found;
    enum cbd_pcache_end end = c->walk.end;

    if (end == CBD_PCACHE_END_LOOP) {
        say_log(c, CBD_PCACHE_LOG_LOOP, pos, 0, 0);
        return;
    }
    if (end == CBD_PCACHE_END_LAST) {
        uint8_t number[4] = {0};

        if (c->pc.pm->ops->read(c->pc.pm, cbd_pcache_pos_off(&c->pc, pos) + 4, number,
                                sizeof(number)) == 0)
            say_log(c, CBD_PCACHE_LOG_NEXT, pos, pc_get32(c->pc.big_endian, number),
                    c->pc.seg_count - 1);
        return;
    }
    if (end == CBD_PCACHE_END_MEDIA)
        say_log(c, CBD_PCACHE_LOG_MEDIA, pos, 0, 0);
    if (cbd_pcache_log_resume(&c->walk, &found))
        say_log(c, CBD_PCACHE_LOG_DAMAGED, pos, cbd_pcache_pos_off(&c->pc, found), 0);
    else if (end == CBD_PCACHE_END_ZERO && cbd_pcache_log_search(&c->walk, &found))
        say_log(c, CBD_PCACHE_LOG_BEHIND, found, 0, 0);
    else if (end == CBD_PCACHE_END_OVERRUN)
        say_log(c, CBD_PCACHE_LOG_OVERRUN, pos, 0, 0);
    else if (end == CBD_PCACHE_END_TORN)
        say_log(c, CBD_PCACHE_LOG_UNFINISHED, pos, 0, 0);
    else if (end == CBD_PCACHE_END_NO_MAGIC)
        say_log(c, CBD_PCACHE_LOG_NO_ZERO, pos, 0, 0);
}

/*
 * dirty_tail was not met on the way from key_tail to the end. Where damage in the log hides it,
 * check_end() says what to do.
 */
static void check_lost_tail(struct pc_check *c)
{
    struct cbd_pcache_pos tail = c->pc.dirty_tail;
    struct cbd_pcache_walk walk;
    struct cbd_pcache_kset kset;
    uint32_t code = CBD_PCACHE_TAIL_ORDER;

    bool hidden = false;

    if (cbd_pcache_walk_begin(&walk, &c->pc, c->pc.key_tail) == 0) {
        walk.past_damage = true;
        while (code == CBD_PCACHE_TAIL_ORDER && !hidden && cbd_pcache_walk_next(&walk, &kset)) {
            hidden = pc_pos_equal(kset.next, tail) || pc_pos_equal(kset.pos, tail);
            if (kset.pos.seg == tail.seg && tail.off_bytes > kset.pos.off_bytes &&
                tail.off_bytes < kset.next.off_bytes)
                code = CBD_PCACHE_TAIL_BOUNDARY;
        }
    }
    cbd_pcache_walk_end(&walk);
    if (!hidden)
        say_log(c, code, tail, 0, 0);
}

static int walk_log(struct pc_check *c)
{
    struct cbd_pcache_kset kset;
    bool behind = pc_pos_equal(c->pc.key_tail, c->pc.dirty_tail);
    int error = cbd_pcache_walk_begin(&c->walk, &c->pc, c->pc.key_tail);

    while (error == 0 && c->sink->stop == 0 && cbd_pcache_walk_next(&c->walk, &kset)) {
        behind = behind || pc_pos_equal(kset.pos, c->pc.dirty_tail);
        check_kset(c, &kset, behind);
        if (c->options->progress != NULL &&
            c->options->progress(c->options->progress_arg, c->walk.ksets,
                                 c->out->view.kset_count) != 0)
            c->sink->stop = c->sink->stop != 0 ? c->sink->stop : CBD_E_AGAIN;
    }
    if (error != 0 || c->sink->stop != 0)
        return error;
    if (!behind && !pc_pos_equal(c->walk.pos, c->pc.dirty_tail))
        check_lost_tail(c);
    check_end(c);
    return 0;
}

static int make_room(struct pc_check *c)
{
    uint64_t n = c->out->view.key_count;

    c->range_cap = n;
    c->alloc_bytes = n * (sizeof(*c->ranges) + sizeof(*c->places) + sizeof(*c->heap));
    if (n == 0)
        return 0;
    if (n >= UINT32_MAX)
        return CBD_E_NOMEM;
    c->ranges = c->pc.env->ops->alloc(c->pc.env, c->alloc_bytes);
    if (c->ranges == NULL)
        return CBD_E_NOMEM;
    c->places = (struct cbd_pcache_pos *)(void *)(c->ranges + n);
    c->heap = (uint32_t *)(void *)(c->places + n);
    return 0;
}

static int check_log(struct pc_check *c)
{
    struct cbd_pcache_view *v = &c->out->view;
    int error = cbd_pcache_view(&c->pc, c->options->backing_bytes, v);

    cbd_pcache_view_free(&c->pc, v);
    if (error == 0)
        error = make_room(c);
    if (error == 0)
        error = walk_log(c);
    if (error == 0 && c->sink->stop == 0) {
        pc_check_space(c);
        c->out->walked = true;
        c->out->head = v->head;
        if (v->used_segments >= c->pc.seg_count)
            pc_say(c->sink, CBD_PCACHE_FULL, NULL, CBD_CHECK_NONE, CBD_CHECK_NOWHERE,
                   v->used_segments, c->pc.seg_count);
    }
    cbd_pcache_walk_end(&c->walk);
    if (c->ranges != NULL)
        c->pc.env->ops->free(c->pc.env, c->ranges, c->alloc_bytes);
    return error;
}

static void summarize(struct pc_check *c)
{
    struct cbd_pcache_summary *out = c->out;
    const struct cbd_pcache *pc = &c->pc;

    out->loaded = true;
    out->info_valid = pc->info_valid;
    out->seg_num = pc->seg_num;
    out->seg_count = pc->seg_count;
    out->gc_percent = pc->gc_percent;
    out->info_flags = pc->info_flags;
    out->big_endian = pc->big_endian;
    out->data_crc = pc->data_crc;
    out->image = pc->image;
    out->key_tail = pc->key_tail;
    out->dirty_tail = pc->dirty_tail;
}

int cbd_pcache_check(struct cbd_pmem *pm, struct cbd_env *env,
                     const struct cbd_pcache_check_options *options, struct cbd_pcache_sink *sink,
                     struct cbd_pcache_summary *out)
{
    struct pc_check c = {.options = options, .sink = sink, .out = out};
    int error;

    memset(out, 0, sizeof(*out));
    error = cbd_pcache_open(pm, env, sink, &c.pc);
    if (error == 0) {
        summarize(&c);
        /* A format that did not come to its end has no log. */
        if (c.pc.key_tail_valid && c.pc.dirty_tail_valid)
            error = check_log(&c);
        else
            out->drain_doubtful = true;
    }
    out->driver_refuses = c.pc.driver_refuses;
    out->errors = sink->errors;
    out->infos = sink->infos;
    cbd_pcache_close(&c.pc);
    return error != 0 ? error : sink->stop;
}
