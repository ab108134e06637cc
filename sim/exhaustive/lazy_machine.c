/* SPDX-License-Identifier: BSD-2-Clause */
/* Devices and environment of a recovery that is explored. */
#include "lazy_machine.h"

#include <string.h>
#include <sys/mman.h>

#include "cbd/media_format.h"
#include "rng.h"
#include "sim_base.h"

#define ARENA_BYTES ((size_t)64 << 20)
#define BIG_ARENA_BYTES ((size_t)4 << 30)
/* Larger pieces are buffers: nothing in them has to survive a choice. */
#define BIG_BYTES ((size_t)96 << 10)
#define HEADER_LINES_MAX 66u
#define STEP_NS UINT64_C(1000)

static struct sim_lazy_machine *of_pm(struct cbd_pmem *pm)
{
    return (struct sim_lazy_machine *)pm;
}

static struct sim_lazy_machine *of_env(struct cbd_env *env)
{
    return (struct sim_lazy_machine *)((char *)env - offsetof(struct sim_lazy_machine, env));
}

static void trace(struct sim_lazy_machine *m, uint64_t a, uint64_t b)
{
    uint64_t h = (m->state.trace ^ a) * UINT64_C(0x9e3779b97f4a7c15);

    h = (h ^ (h >> 29) ^ b) * UINT64_C(0xbf58476d1ce4e5b9);
    m->state.trace = h ^ (h >> 32);
}

/* ---- pmem ---- */

static void load_pm(void *arg, uint64_t line, uint64_t words[SIM_PEND_WORDS])
{
    struct sim_lazy_machine *m = arg;

    memcpy(words, m->real->buf + line * CBD_LINE_BYTES, CBD_LINE_BYTES);
}

/* Checksum lines that a header calls for, if it can be a header; -1: it cannot. */
static int header_lines(const void *line)
{
    struct cbd_m_header h;
    uint64_t addr, blocks;
    uint32_t len;

    memcpy(&h, line, sizeof(h));
    addr = cbd_get64(h.addr_bytes);
    len = cbd_get32(h.len_bytes);
    if (len == 0 || len % 512 != 0 || len > CBD_SEGMENT_BYTES_MAX || addr % 512 != 0 ||
        addr > UINT64_C(1) << 48 ||
        (h.behind[0] | h.behind[1] << 8 | h.behind[2] << 16) > (int64_t)cbd_get32(h.slot))
        return -1;
    blocks = (addr + len - 1) / CBD_BLOCK_BYTES - addr / CBD_BLOCK_BYTES + 1;
    return blocks <= CBD_HEADER_CRCS
               ? 0
               : (int)((blocks - CBD_HEADER_CRCS + CBD_CRC_LINE_CRCS - 1) / CBD_CRC_LINE_CRCS);
}

static bool can_be_record(const void *line)
{
    static const uint8_t zeroes[sizeof(((struct cbd_m_record *)0)->reserved1)];
    struct cbd_m_record r;

    memcpy(&r, line, sizeof(r));
    return r.type >= CBD_M_RECORD_WRITE && r.type <= CBD_M_RECORD_VOID &&
           cbd_get16(r.reserved0) == 0 && memcmp(r.reserved1, zeroes, sizeof(zeroes)) == 0;
}

/* In a segment, a line that is read by itself is a record, a header, or a line of checksums. */
static bool plausible_pm(void *arg, uint64_t line, const uint64_t words[SIM_PEND_WORDS])
{
    const struct sim_lazy_machine *m = arg;
    uint64_t off = line * CBD_LINE_BYTES;

    return off < m->data_off || (m->state.lines != 0 && m->state.line_off == off) ||
           header_lines(words) >= 0 || can_be_record(words);
}

static void access_pm(void *arg, uint64_t off, size_t len_bytes, bool store)
{
    struct sim_lazy_machine *m = arg;
    uint64_t first = off / CBD_WORD_BYTES;
    uint64_t end = (off + len_bytes + CBD_WORD_BYTES - 1) / CBD_WORD_BYTES;
    int lines;

    sim_lazy_mem_decide(&m->mem, first, end, store);
    if (store || !m->format || len_bytes != CBD_LINE_BYTES)
        return;
    if (m->state.lines != 0 && m->state.line_off == off) {
        m->state.lines--;
        m->state.line_off -= CBD_LINE_BYTES;
        return;
    }
    lines = header_lines(m->real->buf + off);
    m->state.lines = lines > 0 ? (uint32_t)lines : 0;
    m->state.line_off = off - CBD_LINE_BYTES;
}

static void keep_line(struct sim_lazy_machine *m, uint64_t line)
{
    m->undo = sim_grow(m->undo, &m->undo_cap, m->undo_n + 1, sizeof(m->undo[0]));
    m->undo[m->undo_n].line = line;
    memcpy(m->undo[m->undo_n++].words, m->real->buf + line * CBD_LINE_BYTES, CBD_LINE_BYTES);
}

static void decided_pm(void *arg, uint64_t line, uint8_t mask, const uint64_t words[SIM_PEND_WORDS])
{
    struct sim_lazy_machine *m = arg;
    uint8_t *at = m->real->buf + line * CBD_LINE_BYTES;

    if (m->through) {
        sim_pmem_decide(m->real, line, mask, words);
        return;
    }
    keep_line(m, line);
    if (mask == 0xff) {
        memcpy(at, words, CBD_LINE_BYTES);
        return;
    }
    for (unsigned w = 0; w < SIM_PEND_WORDS; w++)
        if (mask & (1u << w))
            memcpy(at + w * CBD_WORD_BYTES, &words[w], CBD_WORD_BYTES);
}

static void begin_store(struct sim_lazy_machine *m, uint64_t off, size_t len_bytes)
{
    SIM_REQUIRE(off <= m->pm.size_bytes && len_bytes <= m->pm.size_bytes - off);
    m->state.stores++;
    if (len_bytes == 0)
        return;
    access_pm(m, off, len_bytes, true);
    for (uint64_t line = off / CBD_LINE_BYTES; line <= (off + len_bytes - 1) / CBD_LINE_BYTES;
         line++)
        keep_line(m, line);
}

static void trace_bytes(struct sim_lazy_machine *m, uint64_t off, const void *src, size_t len_bytes)
{
    const uint8_t *from = src;
    uint64_t word = 0;

    trace(m, off, len_bytes);
    for (size_t i = 0; i < len_bytes; i += sizeof(word)) {
        size_t n = len_bytes - i < sizeof(word) ? len_bytes - i : sizeof(word);

        word = 0;
        memcpy(&word, from + i, n);
        trace(m, word, i);
    }
}

static void op_copy(struct cbd_pmem *pm, uint64_t off, const void *src, size_t len_bytes,
                    unsigned flags, enum cbd_step step)
{
    struct sim_lazy_machine *m = of_pm(pm);

    (void)flags;
    (void)step;
    begin_store(m, off, len_bytes);
    trace_bytes(m, off, src, len_bytes);
    memcpy(m->real->buf + off, src, len_bytes);
}

static void op_store64(struct cbd_pmem *pm, uint64_t off, uint64_t value, enum cbd_step step)
{
    op_copy(pm, off, &value, sizeof(value), 0, step);
}

static void op_set(struct cbd_pmem *pm, uint64_t off, uint8_t value, size_t len_bytes,
                   unsigned flags, enum cbd_step step)
{
    struct sim_lazy_machine *m = of_pm(pm);

    (void)flags;
    (void)step;
    begin_store(m, off, len_bytes);
    trace(m, off, len_bytes << 8 | value);
    memset(m->real->buf + off, value, len_bytes);
}

static void op_flush(struct cbd_pmem *pm, uint64_t off, size_t len_bytes, enum cbd_step step)
{
    struct sim_lazy_machine *m = of_pm(pm);

    (void)step;
    m->state.stores++;
    trace(m, off, ~len_bytes);
}

static int op_fence(struct cbd_pmem *pm, enum cbd_step step)
{
    struct sim_lazy_machine *m = of_pm(pm);

    m->state.stores++;
    trace(m, (uint64_t)step, UINT64_MAX);
    return 0;
}

static int op_read(struct cbd_pmem *pm, uint64_t off, void *dst, size_t len_bytes)
{
    struct sim_lazy_machine *m = of_pm(pm);

    if (off > m->pm.size_bytes || len_bytes > m->pm.size_bytes - off)
        return CBD_E_RANGE;
    if (len_bytes == 0)
        return 0;
    if (m->real->poison.count != 0 && sim_ranges_hit(&m->real->poison, off, off + len_bytes))
        return CBD_E_MEDIA;
    trace(m, off, len_bytes);
    /* A header just before what is pending has its checksum lines there, or in front of it. */
    if (sim_lazy_mem_near(&m->mem, off / CBD_LINE_BYTES,
                          (off + len_bytes - 1) / CBD_LINE_BYTES + HEADER_LINES_MAX))
        access_pm(m, off, len_bytes, false);
    memcpy(dst, m->real->buf + off, len_bytes);
    return 0;
}

static int op_read_array(struct cbd_pmem *pm, uint64_t off, void *dst, size_t object_bytes,
                         size_t count)
{
    struct sim_lazy_machine *m = of_pm(pm);
    size_t len_bytes = object_bytes * count;

    if (off > m->pm.size_bytes || len_bytes > m->pm.size_bytes - off)
        return CBD_E_RANGE;
    if (len_bytes == 0)
        return 0;
    if (m->real->poison.count != 0 && sim_ranges_hit(&m->real->poison, off, off + len_bytes))
        return CBD_E_MEDIA;
    trace(m, off, len_bytes);
    if (sim_lazy_mem_near(&m->mem, off / CBD_LINE_BYTES, (off + len_bytes - 1) / CBD_LINE_BYTES))
        for (size_t i = 0; i < count; i++)
            access_pm(m, off + i * object_bytes, object_bytes, false);
    memcpy(dst, m->real->buf + off, len_bytes);
    return 0;
}

static const struct cbd_pmem_ops pmem_ops = {
    .store64 = op_store64,
    .copy = op_copy,
    .set = op_set,
    .flush = op_flush,
    .fence = op_fence,
    .read = op_read,
    .read_array = op_read_array,
};

/* ---- disks ---- */

static void decided_disk(void *arg, uint64_t page, uint8_t mask,
                         const uint64_t words[SIM_PEND_WORDS])
{
    (void)arg;
    (void)page;
    (void)mask;
    (void)words; /* they stay in the cell */
}

static uint64_t sector_version(struct sim_lazy_disk *d, uint64_t sector)
{
    const struct sim_lazy_cell *c = sim_lazy_mem_cell(&d->mem, sector / SIM_PAGE_SECTORS);

    if (c == NULL)
        return sim_disk_peek(d->real, sector);
    /* Each sector by itself: a sector is atomic, and each has its own version to be judged. */
    sim_lazy_mem_decide(&d->mem, sector, sector + 1, false);
    return c->words[sector % SIM_PAGE_SECTORS];
}

static void op_submit(struct cbd_disk *disk, struct cbd_disk_io *io)
{
    struct sim_lazy_disk *d = (struct sim_lazy_disk *)disk;
    uint64_t first = io->off_bytes / SIM_SECTOR_BYTES;
    int error = 0;

    SIM_REQUIRE(io->op == CBD_DISK_READ);
    trace(d->machine, io->off_bytes, io->len_bytes);
    if (io->off_bytes > disk->size_bytes || io->len_bytes > disk->size_bytes - io->off_bytes)
        error = CBD_E_RANGE;
    for (uint64_t i = 0; error == 0 && i < io->len_bytes / SIM_SECTOR_BYTES; i++)
        sim_sector_fill((uint8_t *)io->buf + i * SIM_SECTOR_BYTES, first + i,
                        sector_version(d, first + i));
    io->done(io, error);
}

static const struct cbd_disk_ops disk_ops = {.submit = op_submit};

/* ---- environment ---- */

static void *env_alloc(struct cbd_env *env, size_t len_bytes)
{
    struct sim_lazy_machine *m = of_env(env);
    size_t need = (len_bytes + 63) & ~(size_t)63;
    bool big = need >= BIG_BYTES;
    size_t *used = big ? &m->state.big_used : &m->state.arena_used;

    if (need > (big ? BIG_ARENA_BYTES : ARENA_BYTES) - *used)
        return NULL;
    *used += need;
    return (big ? m->big : m->arena) + *used - need;
}

static void env_free(struct cbd_env *env, void *p, size_t len_bytes)
{
    struct sim_lazy_machine *m = of_env(env);
    size_t need = (len_bytes + 63) & ~(size_t)63;
    bool big = need >= BIG_BYTES;
    size_t *used = big ? &m->state.big_used : &m->state.arena_used;

    /* Only the newest piece can be taken back; the others go with the process. */
    if (*used >= need && (big ? m->big : m->arena) + *used - need == p)
        *used -= need;
}

static uint64_t env_now_ns(struct cbd_env *env)
{
    return of_env(env)->state.now_ns += STEP_NS;
}

static uint64_t env_random(struct cbd_env *env)
{
    struct sim_lazy_machine *m = of_env(env);

    return m->state.random = sim_rng_mix(m->state.random, 1);
}

static void env_report(struct cbd_env *env, const struct cbd_report *report)
{
    struct sim_lazy_machine *m = of_env(env);

    if (report->severity != CBD_ERROR)
        return;
    if (m->state.errors++ == 0)
        m->state.first_error = *report;
}

static int env_wait(struct cbd_env *env, bool (*ready)(void *arg), void *arg, uint64_t timeout_ns)
{
    struct sim_lazy_machine *m = of_env(env);

    if (ready(arg))
        return 0;
    /* Disks answer at once and nobody else runs: what is not there does not come. */
    SIM_REQUIRE(timeout_ns != UINT64_MAX);
    m->state.now_ns += timeout_ns;
    return CBD_E_TIMEDOUT;
}

static void env_wake(struct cbd_env *env)
{
    (void)env;
}

static const struct cbd_env_ops env_ops = {
    .alloc = env_alloc,
    .free = env_free,
    .now_ns = env_now_ns,
    .random = env_random,
    .report = env_report,
    .wait = env_wait,
    .wake = env_wake,
};

/* ---- the walk ---- */

static uint32_t choose(void *arg, const struct sim_lazy_choice *choice)
{
    struct sim_lazy_machine *m = arg;

    return sim_lazy_walk_choose(&m->walk, choice);
}

static void walk_now(void *arg, size_t token[SIM_LAZY_TOKENS])
{
    struct sim_lazy_machine *m = arg;

    token[0] = m->undo_n;
    token[1] = sim_lazy_mem_now(&m->mem);
    for (uint32_t n = 0; n < m->disks; n++)
        token[2 + n] = sim_lazy_mem_now(&m->disk[n].mem);
}

static void walk_back(void *arg, const size_t token[SIM_LAZY_TOKENS])
{
    struct sim_lazy_machine *m = arg;

    while (m->undo_n > token[0]) {
        const struct sim_lazy_line *u = &m->undo[--m->undo_n];

        memcpy(m->real->buf + u->line * CBD_LINE_BYTES, u->words, CBD_LINE_BYTES);
    }
    sim_lazy_mem_back(&m->mem, token[1]);
    for (uint32_t n = 0; n < m->disks; n++)
        sim_lazy_mem_back(&m->disk[n].mem, token[2 + n]);
}

static void walk_start(void *arg)
{
    static const size_t origin[SIM_LAZY_TOKENS];
    struct sim_lazy_machine *m = arg;

    walk_back(m, origin);
    if (m->marked)
        sim_pmem_rollback(m->real);
    m->marked = m->through;
    if (m->marked)
        sim_pmem_mark(m->real);
    memset(&m->state, 0, sizeof(m->state));
}

static void *reserve(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    SIM_REQUIRE(p != MAP_FAILED);
    return p;
}

void sim_lazy_machine_init(struct sim_lazy_machine *m, struct sim_pmem *pmem,
                           struct sim_disk *const *disks, uint32_t count)
{
    memset(m, 0, sizeof(*m));
    SIM_REQUIRE(count <= SIM_LAZY_DISKS);
    m->real = pmem;
    m->pm = pmem->pm;
    m->pm.ops = &pmem_ops;
    m->pm.base = NULL; /* nobody may look past read() */
    m->env.ops = &env_ops;
    m->arena = reserve(ARENA_BYTES);
    m->big = reserve(BIG_ARENA_BYTES);
    sim_lazy_mem_init(&m->mem, pmem->pm.size_bytes / CBD_LINE_BYTES);
    m->mem.choose = choose;
    m->mem.decided = decided_pm;
    m->mem.arg = m;
    m->disks = count;
    for (uint32_t n = 0; n < count; n++) {
        struct sim_lazy_disk *d = &m->disk[n];

        d->disk = disks[n]->disk;
        d->disk.ops = &disk_ops;
        d->machine = m;
        d->real = disks[n];
        sim_lazy_mem_init(&d->mem, (disks[n]->disk.size_bytes + 4095) / 4096);
        d->mem.choose = choose;
        d->mem.decided = decided_disk;
        d->mem.arg = m;
    }
    sim_lazy_walk_init(&m->walk);
    m->walk.start = walk_start;
    m->walk.now = walk_now;
    m->walk.back = walk_back;
    m->walk.arg = m;
    m->walk.arena = m->arena;
    m->walk.arena_used = &m->state.arena_used;
    m->walk.state = &m->state;
    m->walk.state_bytes = sizeof(m->state);
}

void sim_lazy_machine_free(struct sim_lazy_machine *m)
{
    sim_lazy_walk_free(&m->walk);
    for (uint32_t n = 0; n < m->disks; n++)
        sim_lazy_mem_free(&m->disk[n].mem);
    sim_lazy_mem_free(&m->mem);
    munmap(m->arena, ARENA_BYTES);
    munmap(m->big, BIG_ARENA_BYTES);
    free(m->undo);
    memset(m, 0, sizeof(*m));
}

void sim_lazy_machine_format(struct sim_lazy_machine *m, uint64_t data_off)
{
    m->format = true;
    m->data_off = data_off;
    m->mem.load = load_pm;
    m->mem.plausible = plausible_pm;
}

void sim_lazy_machine_mode(struct sim_lazy_machine *m, bool through)
{
    walk_start(m);
    m->through = through;
    m->real->access = through ? access_pm : NULL;
    m->real->access_arg = m;
    sim_lazy_walk_reset(&m->walk);
}

struct cbd_pmem *sim_lazy_machine_pmem(struct sim_lazy_machine *m)
{
    return m->through ? &m->real->pm : &m->pm;
}

void sim_lazy_machine_cut(struct sim_lazy_machine *m, const struct sim_lazy_machine *before)
{
    struct sim_pend_view view = sim_pmem_view(m->real);

    if (before != NULL)
        sim_lazy_mem_inherit(&m->mem, &before->mem, false);
    sim_lazy_mem_add(&m->mem, &m->real->marks.pend, &view);
    sim_marks_drop_pend(&m->real->marks);
    for (uint32_t n = 0; n < m->disks; n++) {
        struct sim_lazy_disk *d = &m->disk[n];

        if (before != NULL)
            sim_lazy_mem_inherit(&d->mem, &before->disk[n].mem, true);
        sim_disk_lose_power(d->real, &view);
        sim_lazy_mem_add(&d->mem, &d->real->marks.pend, &view);
        sim_marks_drop_pend(&d->real->marks);
    }
    sim_lazy_walk_reset(&m->walk);
}

void sim_lazy_machine_end(struct sim_lazy_machine *m)
{
    m->through = false;
    walk_start(m);
    sim_lazy_mem_clear(&m->mem);
    for (uint32_t n = 0; n < m->disks; n++)
        sim_lazy_mem_clear(&m->disk[n].mem);
}

struct sim_lazy_count sim_lazy_machine_states(const struct sim_lazy_machine *m)
{
    struct sim_lazy_count states = sim_lazy_mem_states(&m->mem);

    for (uint32_t n = 0; n < m->disks; n++)
        states = sim_lazy_count_mul(states, sim_lazy_mem_states(&m->disk[n].mem));
    return states;
}
