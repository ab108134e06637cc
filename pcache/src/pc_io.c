/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests to the backing device: a fixed number of buffers, each for one request at a time. */
#include "pc_io.h"

#include <stdatomic.h>
#include <string.h>

static bool idle(void *arg)
{
    struct pc_io *io = arg;

    return atomic_load(&io->in_flight) == 0;
}

static bool slot_free(void *arg)
{
    struct pc_io *io = arg;

    return atomic_load(&io->in_flight) < PC_IO_SLOTS;
}

static void done(struct cbd_disk_io *request, int error)
{
    struct pc_io_slot *slot = request->owner;
    struct pc_io *io = slot->owner;
    int none = 0;

    if (error != 0)
        (void)atomic_compare_exchange_strong(&io->error, &none, error);
    slot->busy = false;
    atomic_fetch_sub(&io->in_flight, 1);
    io->env->ops->wake(io->env);
}

int pc_io_open(struct pc_io *io, const struct cbd_pcache *pc, struct cbd_disk *disk)
{
    memset(io, 0, sizeof(*io));
    io->pm = pc->pm;
    io->env = pc->env;
    io->disk = disk;
    io->buffers = pc->env->ops->alloc(pc->env, (size_t)PC_IO_SLOTS * PC_IO_BYTES);
    return io->buffers != NULL ? 0 : CBD_E_NOMEM;
}

/* Nothing may be in flight when the buffers go. */
void pc_io_close(struct pc_io *io)
{
    if (io->buffers == NULL)
        return;
    if (pc_io_settle(io) == CBD_E_TIMEDOUT)
        return;
    io->env->ops->free(io->env, io->buffers, (size_t)PC_IO_SLOTS * PC_IO_BYTES);
    io->buffers = NULL;
}

static int wait_for(struct pc_io *io, bool (*ready)(void *arg))
{
    return ready(io) ? 0 : io->env->ops->wait(io->env, ready, io, UINT64_MAX);
}

int pc_io_settle(struct pc_io *io)
{
    int error = wait_for(io, idle);

    return error != 0 ? error : atomic_exchange(&io->error, 0);
}

static struct pc_io_slot *take_slot(struct pc_io *io, uint8_t **buffer)
{
    if (wait_for(io, slot_free) != 0)
        return NULL;
    for (uint32_t i = 0; i < PC_IO_SLOTS; i++)
        if (!io->slots[i].busy) {
            *buffer = io->buffers + (size_t)i * PC_IO_BYTES;
            return &io->slots[i];
        }
    return NULL;
}

static void submit(struct pc_io *io, struct pc_io_slot *slot, enum cbd_disk_op op, uint64_t addr,
                   uint64_t len_bytes, void *buffer)
{
    slot->owner = io;
    slot->busy = true;
    slot->io = (struct cbd_disk_io){.op = op,
                                    .off_bytes = addr,
                                    .len_bytes = len_bytes,
                                    .buf = buffer,
                                    .done = done,
                                    .owner = slot};
    atomic_fetch_add(&io->in_flight, 1);
    io->disk->ops->submit(io->disk, &slot->io);
}

int pc_io_read(struct pc_io *io, uint64_t addr, uint64_t len_bytes, const uint8_t **bytes)
{
    *bytes = io->buffers;
    submit(io, &io->slots[0], CBD_DISK_READ, addr, len_bytes, io->buffers);
    return pc_io_settle(io);
}

int pc_io_flush(struct pc_io *io)
{
    int error = pc_io_settle(io);

    if (error != 0)
        return error;
    submit(io, &io->slots[0], CBD_DISK_FLUSH, 0, 0, NULL);
    return pc_io_settle(io);
}

/* Into blocks that are only partly overwritten: alone, as a neighbour may be in flight. */
static int merge(struct pc_io *io, uint64_t addr, uint64_t media_off, uint64_t len_bytes,
                 uint64_t block)
{
    uint64_t first = addr / block * block, end = (addr + len_bytes + block - 1) / block * block;
    const uint8_t *bytes;
    int error = pc_io_settle(io);

    if (error == 0)
        error = pc_io_read(io, first, end - first, &bytes);
    if (error == 0)
        error = io->pm->ops->read(io->pm, media_off, io->buffers + (addr - first), len_bytes);
    if (error != 0)
        return error;
    submit(io, &io->slots[0], CBD_DISK_WRITE, first, end - first, io->buffers);
    return pc_io_settle(io);
}

int pc_io_write(struct pc_io *io, uint64_t addr, uint64_t media_off, uint64_t len_bytes)
{
    uint64_t block = io->disk->logical_block_bytes;
    int result = 0;

    while (len_bytes > 0) {
        uint64_t part = PC_IO_BYTES - block, odd = addr % block;
        struct pc_io_slot *slot;
        uint8_t *buffer;
        int error;

        part = part < len_bytes ? part : len_bytes;
        if (odd != 0)
            part = part < block - odd ? part : block - odd;
        else if (part >= block)
            part -= part % block;
        if (part % block != 0) {
            error = merge(io, addr, media_off, part, block);
        } else {
            slot = take_slot(io, &buffer);
            if (slot == NULL)
                return CBD_E_IO;
            error = io->pm->ops->read(io->pm, media_off, buffer, part);
            if (error == 0)
                submit(io, slot, CBD_DISK_WRITE, addr, part, buffer);
        }
        if (error == CBD_E_MEDIA)
            result = error; /* what can be read goes to the disk */
        else if (error != 0)
            return error;
        addr += part;
        media_off += part;
        len_bytes -= part;
    }
    return result;
}
