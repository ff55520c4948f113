/* The host: everything outside the process that session, journal and publisher logic may touch.
 *
 * Sockets, files, the clock and randomness are reached through this one table of functions. `host_posix` is the real
 * one; the fault simulator of the tests brings another, in which disks fill up, writes tear and lines break on
 * command. Nothing in ingress/ or journal/ calls the system by another way.
 *
 * Every function that can fail returns a negative errno, as the kernel would say it (-ENOSPC, -EAGAIN, ...).
 */
#ifndef IRONBOOK_HOST_H
#define IRONBOOK_HOST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

typedef struct host {
    void *self; /* handed to every function */

    /* clock and randomness */
    uint64_t (*now_ns)(void *self);    /* since the epoch; may step back, callers clamp */
    uint64_t (*steady_ns)(void *self); /* since some start, never 0; nobody sets it: for waiting times */
    int (*random)(void *self, void *to, size_t bytes); /* 0, or negative errno */
    uint64_t (*process)(void *self);                   /* number of this process, for the log */
    int (*wake)(void *self, int event);                /* make an eventfd readable */

    /* sockets: non-blocking, owned by the caller, named by descriptor */
    ssize_t (*receive)(void *self, int socket, void *to, size_t bytes); /* 0: the peer closed */
    ssize_t (*send)(void *self, int socket, const struct iovec *parts, int part_count);
    void (*close_socket)(void *self, int socket);

    /* files, in a directory opened before; names are relative to it */
    int (*open_directory)(void *self, const char *path); /* made if missing; a descriptor */
    int (*find_directory)(void *self, const char *path); /* never made: -ENOENT */
    int (*open_file)(void *self, int directory, const char *name,
                     int flags);              /* O_RDWR, O_CREAT, O_EXCL; a descriptor */
    void (*close_file)(void *self, int file); /* directories too */
    int (*lock)(void *self, int file); /* for this descriptor alone until it is closed; -EWOULDBLOCK: somebody has it */
    int64_t (*file_bytes)(void *self, int file);
    ssize_t (*read_at)(void *self, int file, void *to, size_t bytes, uint64_t offset);
    ssize_t (*write_at)(void *self, int file, const void *from, size_t bytes, uint64_t offset);
    int (*write_zeros)(void *self, int file, size_t bytes,
                       uint64_t offset); /* all of them, to be mapped and stored over */
    int (*resize)(void *self, int file, uint64_t bytes);
    int (*allocate)(void *self, int file, uint64_t bytes);            /* room on disk, or -ENOSPC */
    int (*sync_data)(void *self, int file);                           /* fdatasync */
    int (*sync_mapped)(void *self, int file, void *at, size_t bytes); /* the same for one mapped range alone */
    int (*write_synced)(void *self, int file, const void *from, size_t bytes, uint64_t offset); /* whole, and on disk */
    int (*sync_directory)(void *self, int directory);               /* fsync: names survive */
    void *(*map)(void *self, int file, size_t bytes, int writable); /* shared; NULL on failure */
    void (*unmap)(void *self, void *at, size_t bytes);
    int (*prefault)(void *self, void *at, size_t bytes); /* a store to them will not fault; advice only */
    int (*rename)(void *self, int directory, const char *from, const char *to);
    int (*remove)(void *self, int directory, const char *name);
    int (*list)(void *self, int directory, int (*each)(void *to, const char *name),
                void *to);                            /* 0, or what each said */
    int64_t (*free_bytes)(void *self, int directory); /* room for this user on the file system */
} host;

/* The operating system itself. One for the process, never closed. */
const host *host_posix(void);

#endif
