/* The real host: each function is one system call, or the few that make its promise whole.
 *
 *      ingress/ journal/ ──▶ struct host ──▶ posix.c ──▶ the kernel
 *                                        └─▶ tests/support/host_sim.c: disks that fill up, lines that break
 *
 * Nothing is kept here, so `self` is not used. EINTR never leaves this file: a call that was interrupted is made again.
 * Descriptors close on exec: a child process holds neither the journal's lock nor a client's line.
 */
#include "host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define DIRECTORY_MODE 0750 /* readers run as other users of one group */
#define FILE_MODE 0640
#define PAGE_BYTES 4096

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* Linux 5.18; of pages locked in memory too */
#endif

#define AGAIN_IF_INTERRUPTED(result, call)                                                                             \
    do {                                                                                                               \
        (result) = (call);                                                                                             \
    } while ((result) < 0 && errno == EINTR)

/* ---- Clock, randomness, process ---------------------------------------------------------------------------------- */

static uint64_t clock_ns(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t posix_now_ns(void *self) {
    (void)self;
    return clock_ns(CLOCK_REALTIME);
}

static uint64_t posix_steady_ns(void *self) {
    (void)self;
    return clock_ns(CLOCK_MONOTONIC) + 1;
}

static int posix_random(void *self, void *to, size_t bytes) {
    (void)self;
    uint8_t *next = to;
    while (bytes > 0) {
        ssize_t got;
        AGAIN_IF_INTERRUPTED(got, getrandom(next, bytes, 0));
        if (got < 0) return -errno;
        next += got;
        bytes -= (size_t)got;
    }
    return 0;
}

static uint64_t posix_process(void *self) {
    (void)self;
    return (uint64_t)getpid();
}

static int posix_wake(void *self, int event) {
    (void)self;
    uint64_t one = 1;
    ssize_t put;
    AGAIN_IF_INTERRUPTED(put, write(event, &one, sizeof one));
    /* EAGAIN: the counter is full, so the event is readable, which is all that was asked */
    return put < 0 && errno != EAGAIN ? -errno : 0;
}

/* ---- Sockets ----------------------------------------------------------------------------------------------------- */

static ssize_t posix_receive(void *self, int socket, void *to, size_t bytes) {
    (void)self;
    ssize_t got;
    AGAIN_IF_INTERRUPTED(got, recv(socket, to, bytes, MSG_DONTWAIT));
    return got < 0 ? -errno : got;
}

static ssize_t posix_send(void *self, int socket, const struct iovec *parts, int part_count) {
    (void)self;
    ssize_t put;
    if (part_count == 1) { /* one report in answer to one order: the kernel need not copy a list of parts first */
        AGAIN_IF_INTERRUPTED(put, send(socket, parts->iov_base, parts->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL));
        return put < 0 ? -errno : put;
    }
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)part_count};
    AGAIN_IF_INTERRUPTED(put, sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL));
    return put < 0 ? -errno : put;
}

static void posix_close(void *self, int descriptor) {
    (void)self;
    close(descriptor); /* on Linux the descriptor is gone even when interrupted */
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

static int posix_find_directory(void *self, const char *path) {
    (void)self;
    int directory;
    AGAIN_IF_INTERRUPTED(directory, open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return directory < 0 ? -errno : directory;
}

/* A directory just made is a name in its parent, which must survive like the files in it. */
static int sync_parent(const char *path) {
    char copy[PATH_MAX];
    if (strlen(path) >= sizeof copy) return -ENAMETOOLONG;
    memcpy(copy, path, strlen(path) + 1);
    int parent = posix_find_directory(NULL, dirname(copy));
    if (parent < 0) return parent;
    int result = fsync(parent) < 0 ? -errno : 0;
    close(parent);
    return result;
}

static int posix_open_directory(void *self, const char *path) {
    if (mkdir(path, DIRECTORY_MODE) < 0) {
        if (errno != EEXIST) return -errno;
    } else {
        int result = sync_parent(path);
        if (result < 0) return result;
    }
    return posix_find_directory(self, path);
}

static int posix_open_file(void *self, int directory, const char *name, int flags) {
    (void)self;
    int file;
    AGAIN_IF_INTERRUPTED(file, openat(directory, name, flags | O_CLOEXEC | O_NOFOLLOW, FILE_MODE));
    if (file < 0) return -errno;
    posix_fadvise(file, 0, 0, POSIX_FADV_RANDOM); /* no readahead into large folios: see posix_write_zeros */
    return file;
}

static int posix_lock(void *self, int file) {
    (void)self;
    int result;
    AGAIN_IF_INTERRUPTED(result, flock(file, LOCK_EX | LOCK_NB));
    return result < 0 ? -errno : 0;
}

static int64_t posix_file_bytes(void *self, int file) {
    (void)self;
    struct stat status;
    return fstat(file, &status) < 0 ? -errno : status.st_size;
}

static ssize_t posix_read_at(void *self, int file, void *to, size_t bytes, uint64_t offset) {
    (void)self;
    ssize_t got;
    AGAIN_IF_INTERRUPTED(got, pread(file, to, bytes, (off_t)offset));
    return got < 0 ? -errno : got;
}

static ssize_t posix_write_at(void *self, int file, const void *from, size_t bytes, uint64_t offset) {
    (void)self;
    ssize_t put;
    AGAIN_IF_INTERRUPTED(put, pwrite(file, from, bytes, (off_t)offset));
    return put < 0 ? -errno : put;
}

/* Page by page: a longer write makes folios of many pages in the page cache, and a folio is written back whole. Then a
 * sync of one record would write up to 2 MiB, and take the right to write from as many pages ahead of the writer. */
static int posix_write_zeros(void *self, int file, size_t bytes, uint64_t offset) {
    static const uint8_t zeros[PAGE_BYTES];
    for (size_t done = 0; done < bytes;) {
        size_t part = PAGE_BYTES - (size_t)((offset + done) % PAGE_BYTES);
        if (part > bytes - done) part = bytes - done;
        ssize_t put = posix_write_at(self, file, zeros, part, offset + done);
        if (put <= 0) return put < 0 ? (int)put : -EIO;
        done += (size_t)put;
    }
    return 0;
}

static int posix_resize(void *self, int file, uint64_t bytes) {
    (void)self;
    int result;
    AGAIN_IF_INTERRUPTED(result, ftruncate(file, (off_t)bytes));
    return result < 0 ? -errno : 0;
}

static int posix_allocate(void *self, int file, uint64_t bytes) {
    (void)self;
    int result;
    do {
        result = posix_fallocate(file, 0, (off_t)bytes);
    } while (result == EINTR);
    return -result;
}

static int posix_sync_data(void *self, int file) {
    (void)self;
    /* never again after an error: the kernel would forget it and answer "done" the second time */
    return fdatasync(file) < 0 ? -errno : 0;
}

/* Writing a page back takes the right to write from every mapping of it: for each page an interrupt to the CPU of the
 * thread that stores there. Letting go of all whole pages first costs one for the whole range; the last page may be in
 * use. */
static int posix_sync_mapped(void *self, int file, void *at, size_t bytes) {
    (void)self;
    (void)file;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t before = (uintptr_t)at & (page - 1);
    size_t whole = (bytes + before) / page * page;
    uint8_t *from = (uint8_t *)at - before;
    if (whole > 0 && madvise(from, whole, MADV_DONTNEED_LOCKED) < 0) madvise(from, whole, MADV_DONTNEED);
    return msync(from, bytes + before, MS_SYNC) < 0 ? -errno : 0;
}

static int posix_write_synced(void *self, int file, const void *from, size_t bytes, uint64_t offset) {
    struct iovec part = {.iov_base = (void *)from, .iov_len = bytes};
    ssize_t put;
    AGAIN_IF_INTERRUPTED(put, pwritev2(file, &part, 1, (off_t)offset, RWF_DSYNC));
    if (put == (ssize_t)bytes) return 0;
    if (put < 0 && errno != EOPNOTSUPP) return -errno;
    for (size_t done = 0; done < bytes; done += (size_t)put) {
        put = posix_write_at(self, file, (const uint8_t *)from + done, bytes - done, offset + done);
        if (put <= 0) return put < 0 ? (int)put : -EIO;
    }
    return posix_sync_data(self, file);
}

static int posix_sync_directory(void *self, int directory) {
    (void)self;
    return fsync(directory) < 0 ? -errno : 0;
}

static void *posix_map(void *self, int file, size_t bytes, int writable) {
    (void)self;
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *at = mmap(NULL, bytes, protection, MAP_SHARED, file, 0);
    return at == MAP_FAILED ? NULL : at;
}

static void posix_unmap(void *self, void *at, size_t bytes) {
    (void)self;
    munmap(at, bytes);
}

static int posix_prefault(void *self, void *at, size_t bytes) {
    (void)self;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t before = (uintptr_t)at & (page - 1);
    return madvise((uint8_t *)at - before, bytes + before, MADV_POPULATE_WRITE) < 0 ? -errno : 0;
}

static int posix_rename(void *self, int directory, const char *from, const char *to) {
    (void)self;
    return renameat(directory, from, directory, to) < 0 ? -errno : 0;
}

static int posix_remove(void *self, int directory, const char *name) {
    (void)self;
    return unlinkat(directory, name, 0) < 0 ? -errno : 0;
}

static int posix_list(void *self, int directory, int (*each)(void *to, const char *name), void *to) {
    (void)self;
    int again = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* closedir closes what it was given */
    if (again < 0) return -errno;
    DIR *names = fdopendir(again);
    if (names == NULL) {
        int error = errno;
        close(again);
        return -error;
    }
    int result = 0;
    errno = 0;
    for (struct dirent *entry; result == 0 && (entry = readdir(names)) != NULL; errno = 0) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) result = each(to, entry->d_name);
    }
    if (result == 0 && errno != 0) result = -errno;
    closedir(names);
    return result;
}

static int64_t posix_free_bytes(void *self, int directory) {
    (void)self;
    struct statvfs room;
    int result;
    AGAIN_IF_INTERRUPTED(result, fstatvfs(directory, &room));
    return result < 0 ? -errno : (int64_t)room.f_bavail * (int64_t)room.f_frsize;
}

const host *host_posix(void) {
    static const host table = {
        .now_ns = posix_now_ns,
        .steady_ns = posix_steady_ns,
        .random = posix_random,
        .process = posix_process,
        .wake = posix_wake,
        .receive = posix_receive,
        .send = posix_send,
        .close_socket = posix_close,
        .open_directory = posix_open_directory,
        .find_directory = posix_find_directory,
        .open_file = posix_open_file,
        .close_file = posix_close,
        .lock = posix_lock,
        .file_bytes = posix_file_bytes,
        .read_at = posix_read_at,
        .write_at = posix_write_at,
        .write_zeros = posix_write_zeros,
        .resize = posix_resize,
        .allocate = posix_allocate,
        .sync_data = posix_sync_data,
        .sync_mapped = posix_sync_mapped,
        .write_synced = posix_write_synced,
        .sync_directory = posix_sync_directory,
        .map = posix_map,
        .unmap = posix_unmap,
        .prefault = posix_prefault,
        .rename = posix_rename,
        .remove = posix_remove,
        .list = posix_list,
        .free_bytes = posix_free_bytes,
    };
    return &table;
}
