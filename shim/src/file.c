/* SPDX-License-Identifier: BSD-2-Clause */
/* Opens, creates and locks what pmem and disk stand on: regular files, block nodes, devdax. */
#include "shim_common.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char *type_name(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "a regular file";
    case S_IFBLK:
        return "a block device";
    case S_IFCHR:
        return "a character device";
    case S_IFDIR:
        return "a directory";
    case S_IFIFO:
        return "a fifo";
    case S_IFSOCK:
        return "a socket";
    default:
        return "of unknown type";
    }
}

static unsigned kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return SHIM_FILE_REGULAR;
    case S_IFBLK:
        return SHIM_FILE_BLOCK;
    case S_IFCHR:
        return SHIM_FILE_CHAR;
    default:
        return 0;
    }
}

static int lock(int fd, bool shared, const char *path, struct cbd_shim_error *err)
{
    if (flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return shim_fail(err, CBD_E_BUSY, errno, path,
                         "in use: another process holds it open%s", shared ? " for writing" : "");
    return shim_fail_errno(err, errno, path, "cannot be locked");
}

static int probe_block_node(struct shim_file *file, const char *path, struct cbd_shim_error *err)
{
    int logical_block_bytes = 0;

    if (ioctl(file->fd, BLKGETSIZE64, &file->size_bytes) != 0)
        return shim_fail_errno(err, errno, path, "its size cannot be read");
    if (ioctl(file->fd, BLKSSZGET, &logical_block_bytes) != 0)
        return shim_fail_errno(err, errno, path, "its logical block size cannot be read");
    file->logical_block_bytes = (uint32_t)logical_block_bytes;
    return 0;
}

/* file->fd is open; fills the rest and takes the lock. */
static int probe(struct shim_file *file, const struct stat *expected, bool readonly,
                 const char *path, struct cbd_shim_error *err)
{
    struct stat st;

    if (fstat(file->fd, &st) != 0)
        return shim_fail_errno(err, errno, path, "cannot be examined");
    if (st.st_dev != expected->st_dev || st.st_ino != expected->st_ino ||
        (st.st_mode & S_IFMT) != (expected->st_mode & S_IFMT))
        return shim_fail(err, CBD_E_BUSY, 0, path, "was replaced while it was opened");
    if (file->kind == SHIM_FILE_BLOCK)
        return probe_block_node(file, path, err); /* O_EXCL was the lock */
    if (file->kind == SHIM_FILE_REGULAR)
        file->size_bytes = (uint64_t)st.st_size;
    return lock(file->fd, readonly, path, err);
}

int shim_file_open(const char *path, bool readonly, unsigned kinds, struct shim_file *file,
                   struct cbd_shim_error *err)
{
    /* O_NONBLOCK: a path that became a fifo after stat() must not hang the open. */
    int flags = (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    struct stat st;
    int error;

    memset(file, 0, sizeof(*file));
    if (stat(path, &st) != 0)
        return shim_fail_errno(err, errno, path, "cannot be opened");
    if ((kind_of(st.st_mode) & kinds) == 0)
        return shim_fail(err, CBD_E_INVALID, 0, path, "type: got %s, limit a regular file%s%s",
                         type_name(st.st_mode), kinds & SHIM_FILE_BLOCK ? ", a block device" : "",
                         kinds & SHIM_FILE_CHAR ? ", a devdax device" : "");
    file->kind = (enum shim_file_kind)kind_of(st.st_mode);
    if (file->kind == SHIM_FILE_BLOCK)
        flags |= O_EXCL;
    file->fd = open(path, flags);
    if (file->fd < 0 && errno == EBUSY)
        return shim_fail(err, CBD_E_BUSY, errno, path,
                         "in use: mounted, or another process or driver holds it open");
    if (file->fd < 0)
        return shim_fail_errno(err, errno, path, "cannot be opened");
    error = probe(file, &st, readonly, path, err);
    if (error != 0)
        close(file->fd);
    return error;
}

static int no_space(const char *path, uint64_t wanted_bytes, uint64_t available_bytes,
                    struct cbd_shim_error *err)
{
    return shim_fail(err, CBD_E_NOSPACE, ENOSPC, path,
                     "no space on the file system: wanted %llu bytes, available %llu bytes",
                     (unsigned long long)wanted_bytes, (unsigned long long)available_bytes);
}

static int allocate(int fd, const char *path, uint64_t size_bytes, struct cbd_shim_error *err)
{
    struct statvfs fs;
    uint64_t available_bytes;
    int sys_errno;

    if (fstatvfs(fd, &fs) != 0)
        return shim_fail_errno(err, errno, path, "the file system cannot be examined");
    available_bytes = (uint64_t)(geteuid() == 0 ? fs.f_bfree : fs.f_bavail) * fs.f_frsize;
    /* Asked first: a file system that is filled up and emptied again hurts its other users. */
    if (fs.f_blocks != 0 && size_bytes > available_bytes)
        return no_space(path, size_bytes, available_bytes, err);
    do {
        sys_errno = posix_fallocate(fd, 0, (off_t)size_bytes);
    } while (sys_errno == EINTR);
    if (sys_errno == ENOSPC)
        return no_space(path, size_bytes, available_bytes, err);
    if (sys_errno == EFBIG)
        return shim_fail(err, CBD_E_NOSPACE, EFBIG, path,
                         "size: got %llu bytes, limit what the file system allows for one file",
                         (unsigned long long)size_bytes);
    if (sys_errno != 0)
        return shim_fail_errno(err, sys_errno, path, "space cannot be allocated");
    return 0;
}

/* The name itself must survive a power cut, or the file that holds the data is gone. */
static int sync_name(int fd, const char *path, struct cbd_shim_error *err)
{
    char *copy = strdup(path);
    int dir, error = 0;

    if (copy == NULL)
        return shim_fail(err, CBD_E_NOMEM, ENOMEM, path, "no memory");
    dir = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fsync(fd) != 0)
        error = shim_fail_errno(err, errno, path, "cannot be made durable");
    else if (dir < 0)
        error = shim_fail_errno(err, errno, path, "its directory cannot be opened");
    /* EINVAL: this file system has no durable directories. */
    else if (fsync(dir) != 0 && errno != EINVAL)
        error = shim_fail_errno(err, errno, path, "its directory cannot be made durable");
    if (dir >= 0)
        close(dir);
    return error;
}

int shim_file_create(const char *path, uint64_t size_bytes, struct shim_file *file,
                     struct cbd_shim_error *err)
{
    int error;

    memset(file, 0, sizeof(*file));
    file->kind = SHIM_FILE_REGULAR;
    file->size_bytes = size_bytes;
    file->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
    if (file->fd < 0)
        return shim_fail_errno(err, errno, path, "cannot be created");
    error = lock(file->fd, false, path, err);
    if (error == 0)
        error = allocate(file->fd, path, size_bytes, err);
    if (error == 0)
        error = sync_name(file->fd, path, err);
    if (error != 0) {
        unlink(path);
        close(file->fd);
    }
    return error;
}
