/* The simulated host: host_sim.h says what it does; here is how.
 *
 *   sim_file   cache ── handed out by map, so that stores into it need no help from us
 *              clean ── the cache as it was when each piece was last written back: what differs is dirty
 *              marks ── pieces written by write_at, which are dirty even if the bytes are the same
 *              disk  ── what is really there
 *   A sync copies dirty pieces cache → disk and clean. One that fails copies them to clean alone: the kernel thinks
 *   they are written, and only a new write makes them dirty again. That is what Linux does, and what recovery must live
 *   with.
 *
 *   sim_directory   now ── the names;  past ── the names after each change since the last sync_directory, the synced
 *                   ones first. A power cut picks one of them.
 *
 * When the power goes, or the process dies, what survives is worked out at once and kept aside; what the dead code
 * still stores goes into the old cache, which is thrown away at the restart.
 */
#include "tests/support/host_sim.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES_MAX 4096
#define NAMES_MAX 64
#define DIRECTORIES_MAX 4
#define PAST_MAX 64
#define HANDLES_MAX 64
#define EVENTS_MAX 1024
#define NAME_BYTES 48
#define PATH_BYTES 256
#define HANDLE_BASE 500
#define SOCKET_BASE 1000
#define PAGE_BYTES 4096

typedef struct sim_file {
    uint8_t *cache, *clean, *disk, *marks; /* each of `bytes` but for marks: a byte a piece */
    size_t bytes, disk_bytes;              /* disk holds disk_bytes */
    size_t allocated;
    uint8_t *survivor; /* what the restart begins with */
    size_t survivor_bytes;
    int mapped;
    int locked_by; /* handle, 0: none */
} sim_file;

typedef struct sim_name {
    char name[NAME_BYTES];
    int file; /* -1: free */
} sim_name;

typedef struct sim_names {
    sim_name entries[NAMES_MAX];
    int count;
} sim_names;

typedef struct sim_directory {
    char path[PATH_BYTES];
    sim_names now;
    sim_names past[PAST_MAX];
    int past_count; /* past[0]: what the last sync made sure of */
    sim_names survivor;
} sim_directory;

typedef struct sim_handle {
    bool open;
    int directory; /* -1: a file */
    int file;
} sim_handle;

typedef struct sim_queue {
    uint8_t *bytes;
    size_t count, room;
} sim_queue;

typedef struct sim_socket {
    bool open, closed, peer_closed;
    int error;
    size_t outbox_room, receive_max, send_max;
    sim_queue inbox, outbox;
} sim_socket;

struct host_sim {
    host table;
    uint64_t random, now_ns, steady_ns;
    uint64_t changes, power_cut_at, fail_change, sync_skip;
    int fail_change_error, fail_sync_error;
    int64_t room;
    bool off, lost_power, short_files;
    sim_file *files[FILES_MAX];
    int file_count;
    sim_directory *directories[DIRECTORIES_MAX];
    int directory_count;
    sim_handle handles[HANDLES_MAX];
    sim_socket *sockets;
    int socket_count, socket_room;
    uint32_t wakes[EVENTS_MAX];
};

/* ---- Chance and clock -------------------------------------------------------------------------------------------- */

static uint64_t draw(host_sim *sim) {
    sim->random += 0x9e3779b97f4a7c15ull;
    uint64_t x = sim->random;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

uint64_t host_sim_below(host_sim *sim, uint64_t limit) { return draw(sim) % limit; }

static bool coin(host_sim *sim) { return (draw(sim) & 1) != 0; }

static uint64_t sim_now_ns(void *self) { return ((host_sim *)self)->now_ns; }

static uint64_t sim_steady_ns(void *self) { return ((host_sim *)self)->steady_ns; }

void host_sim_set_clock(host_sim *sim, uint64_t now_ns) { sim->now_ns = now_ns; }

void host_sim_advance(host_sim *sim, uint64_t ns) {
    sim->now_ns += ns;
    sim->steady_ns += ns;
}

static int sim_random(void *self, void *to, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) ((uint8_t *)to)[i] = (uint8_t)draw(self);
    return 0;
}

static uint64_t sim_process(void *self) {
    (void)self;
    return 1;
}

static int sim_wake(void *self, int event) {
    host_sim *sim = self;
    if (event >= 0 && event < EVENTS_MAX) sim->wakes[event]++;
    return 0;
}

uint32_t host_sim_wakes(host_sim *sim, int event) {
    if (event < 0 || event >= EVENTS_MAX) return 0;
    uint32_t wakes = sim->wakes[event];
    sim->wakes[event] = 0;
    return wakes;
}

/* ---- Files: images ----------------------------------------------------------------------------------------------- */

static size_t pieces(size_t bytes) { return (bytes + HOST_SIM_PIECE_BYTES - 1) / HOST_SIM_PIECE_BYTES; }

static void *zeroed(size_t bytes) {
    void *at = calloc(1, bytes > 0 ? bytes : 1);
    assert(at != NULL);
    return at;
}

static uint8_t *resized(uint8_t *from, size_t had, size_t bytes) {
    uint8_t *to = zeroed(bytes);
    if (from != NULL) memcpy(to, from, had < bytes ? had : bytes);
    free(from);
    return to;
}

static int file_new(host_sim *sim) {
    assert(sim->file_count < FILES_MAX);
    sim_file *f = zeroed(sizeof *f);
    f->cache = zeroed(0);
    f->clean = zeroed(0);
    f->disk = zeroed(0);
    f->marks = zeroed(0);
    sim->files[sim->file_count] = f;
    return sim->file_count++;
}

static void file_resize(sim_file *f, size_t bytes) {
    if (bytes == f->bytes) return;
    assert(f->mapped == 0); /* nobody changes the size of a mapped file */
    f->cache = resized(f->cache, f->bytes, bytes);
    f->clean = resized(f->clean, f->bytes, bytes);
    f->marks = resized(f->marks, pieces(f->bytes), pieces(bytes));
    f->bytes = bytes;
}

static void disk_resize(sim_file *f, size_t bytes) {
    if (bytes == f->disk_bytes) return;
    f->disk = resized(f->disk, f->disk_bytes, bytes);
    f->disk_bytes = bytes;
}

static size_t piece_bytes(const sim_file *f, size_t piece) {
    size_t left = f->bytes - piece * HOST_SIM_PIECE_BYTES;
    return left < HOST_SIM_PIECE_BYTES ? left : HOST_SIM_PIECE_BYTES;
}

static bool piece_dirty(const sim_file *f, size_t piece) {
    size_t at = piece * HOST_SIM_PIECE_BYTES;
    return f->marks[piece] != 0 || memcmp(f->cache + at, f->clean + at, piece_bytes(f, piece)) != 0;
}

static void piece_write(sim_file *f, size_t piece, bool reaches_disk) {
    size_t at = piece * HOST_SIM_PIECE_BYTES, bytes = piece_bytes(f, piece);
    if (reaches_disk && f->disk_bytes < at + bytes) disk_resize(f, at + bytes);
    if (reaches_disk) memcpy(f->disk + at, f->cache + at, bytes);
    memcpy(f->clean + at, f->cache + at, bytes);
    f->marks[piece] = 0;
}

/* ---- Power ------------------------------------------------------------------------------------------------------- */

static void file_survive(host_sim *sim, sim_file *f, bool power) {
    if (!power) {
        f->survivor = resized(NULL, 0, f->bytes);
        memcpy(f->survivor, f->cache, f->bytes);
        f->survivor_bytes = f->bytes;
        return;
    }
    for (size_t piece = 0; piece < pieces(f->bytes); piece++) {
        if (piece_dirty(f, piece) && coin(sim)) piece_write(f, piece, true);
    }
    if (f->disk_bytes != f->bytes && coin(sim)) disk_resize(f, f->bytes);
    f->survivor = resized(NULL, 0, f->disk_bytes);
    memcpy(f->survivor, f->disk, f->disk_bytes);
    f->survivor_bytes = f->disk_bytes;
}

static void go_off(host_sim *sim, bool power) {
    if (sim->off) return;
    sim->off = true;
    sim->lost_power = power;
    for (int i = 0; i < sim->file_count; i++) file_survive(sim, sim->files[i], power);
    for (int i = 0; i < sim->directory_count; i++) {
        sim_directory *d = sim->directories[i];
        d->survivor = power ? d->past[host_sim_below(sim, (uint64_t)d->past_count)] : d->now;
    }
    sim->fail_sync_error = sim->fail_change_error = 0;
    sim->power_cut_at = 0;
    sim->fail_change = 0;
}

void host_sim_power_cut(host_sim *sim) { go_off(sim, true); }

void host_sim_kill(host_sim *sim) { go_off(sim, false); }

bool host_sim_is_off(const host_sim *sim) { return sim->off; }

void host_sim_power_cut_at(host_sim *sim, uint64_t change) { sim->power_cut_at = change; }

uint64_t host_sim_changes(const host_sim *sim) { return sim->changes; }

static void file_restart(sim_file *f, bool lost_power) {
    free(f->cache);
    f->cache = f->survivor;
    f->survivor = NULL;
    if (lost_power) { /* the cache begins with what the disk has: nothing is dirty */
        f->clean = resized(f->clean, 0, f->survivor_bytes);
        f->marks = resized(f->marks, 0, pieces(f->survivor_bytes));
        memcpy(f->clean, f->cache, f->survivor_bytes);
    }
    f->bytes = f->survivor_bytes;
    f->mapped = 0;
    f->locked_by = 0;
}

void host_sim_restart(host_sim *sim) {
    if (!sim->off) host_sim_kill(sim);
    for (int i = 0; i < sim->file_count; i++) file_restart(sim->files[i], sim->lost_power);
    for (int i = 0; i < sim->directory_count; i++) {
        sim_directory *d = sim->directories[i];
        d->now = d->survivor;
        d->past[0] = d->now;
        d->past_count = 1;
    }
    memset(sim->handles, 0, sizeof sim->handles);
    for (int i = 0; i < sim->socket_count; i++) sim->sockets[i].open = false;
    sim->off = false;
}

void host_sim_writeback(host_sim *sim) {
    for (int i = 0; i < sim->file_count && !sim->off; i++) {
        sim_file *f = sim->files[i];
        for (size_t piece = 0; piece < pieces(f->bytes); piece++) {
            if (piece_dirty(f, piece) && coin(sim)) piece_write(f, piece, true);
        }
    }
}

/* A change is about to happen: 0 to let it, or the error it meets. */
static int change(host_sim *sim) {
    if (sim->off) return -EIO;
    sim->changes++;
    if (sim->power_cut_at != 0 && sim->changes >= sim->power_cut_at) {
        host_sim_power_cut(sim);
        return -EIO;
    }
    if (sim->fail_change != 0 && sim->changes >= sim->fail_change) {
        sim->fail_change = 0;
        return -sim->fail_change_error;
    }
    return 0;
}

void host_sim_room(host_sim *sim, int64_t bytes) { sim->room = bytes; }

void host_sim_short_files(host_sim *sim, bool on) { sim->short_files = on; }

void host_sim_fail_sync(host_sim *sim, uint32_t skip, int error) {
    sim->sync_skip = skip;
    sim->fail_sync_error = error;
}

void host_sim_fail_change(host_sim *sim, uint64_t change_number, int error) {
    sim->fail_change = change_number;
    sim->fail_change_error = error;
}

/* ---- Directories ------------------------------------------------------------------------------------------------- */

static int directory_index(host_sim *sim, const char *path) {
    for (int i = 0; i < sim->directory_count; i++) {
        if (strcmp(sim->directories[i]->path, path) == 0) return i;
    }
    return -1;
}

static int directory_make(host_sim *sim, const char *path) {
    int index = directory_index(sim, path);
    if (index >= 0) return index;
    assert(sim->directory_count < DIRECTORIES_MAX && strlen(path) < PATH_BYTES);
    sim_directory *d = zeroed(sizeof *d);
    snprintf(d->path, sizeof d->path, "%s", path);
    d->past_count = 1;
    sim->directories[sim->directory_count] = d;
    return sim->directory_count++;
}

static sim_name *name_find(sim_names *names, const char *name) {
    for (int i = 0; i < names->count; i++) {
        if (strcmp(names->entries[i].name, name) == 0) return &names->entries[i];
    }
    return NULL;
}

static void name_put(sim_names *names, const char *name, int file) {
    sim_name *entry = name_find(names, name);
    if (entry == NULL) {
        assert(names->count < NAMES_MAX && strlen(name) < NAME_BYTES);
        entry = &names->entries[names->count++];
        snprintf(entry->name, sizeof entry->name, "%s", name);
    }
    entry->file = file;
}

static void name_drop(sim_names *names, const char *name) {
    sim_name *entry = name_find(names, name);
    if (entry != NULL) *entry = names->entries[--names->count];
}

static void directory_changed(sim_directory *d) {
    if (d->past_count == PAST_MAX) { /* the journal of the file system is full: its oldest changes are on disk */
        memmove(&d->past[0], &d->past[1], sizeof d->past[0] * (PAST_MAX - 1));
        d->past_count--;
    }
    d->past[d->past_count++] = d->now;
}

/* ---- Handles ----------------------------------------------------------------------------------------------------- */

static int handle_new(host_sim *sim, int directory, int file) {
    for (int i = 0; i < HANDLES_MAX; i++) {
        if (sim->handles[i].open) continue;
        sim->handles[i] = (sim_handle){.open = true, .directory = directory, .file = file};
        return HANDLE_BASE + i;
    }
    return -EMFILE;
}

static sim_handle *handle_at(host_sim *sim, int descriptor) {
    int index = descriptor - HANDLE_BASE;
    assert(index >= 0 && index < HANDLES_MAX && sim->handles[index].open);
    return &sim->handles[index];
}

static sim_file *file_at(host_sim *sim, int descriptor) {
    sim_handle *h = handle_at(sim, descriptor);
    assert(h->directory < 0);
    return sim->files[h->file];
}

static sim_directory *directory_at(host_sim *sim, int descriptor) {
    sim_handle *h = handle_at(sim, descriptor);
    assert(h->directory >= 0);
    return sim->directories[h->directory];
}

static int sim_open_directory(void *self, const char *path) {
    host_sim *sim = self;
    if (sim->off) return -EIO;
    return handle_new(sim, directory_make(sim, path), -1);
}

static int sim_find_directory(void *self, const char *path) {
    host_sim *sim = self;
    if (sim->off) return -EIO;
    int index = directory_index(sim, path);
    return index < 0 ? -ENOENT : handle_new(sim, index, -1);
}

static int sim_open_file(void *self, int directory, const char *name, int flags) {
    host_sim *sim = self;
    if (sim->off) return -EIO;
    sim_directory *d = directory_at(sim, directory);
    sim_name *entry = name_find(&d->now, name);
    if (entry == NULL && !(flags & O_CREAT)) return -ENOENT;
    if (entry != NULL && (flags & O_CREAT) && (flags & O_EXCL)) return -EEXIST;
    if (entry == NULL) {
        int result = change(sim);
        if (result != 0) return result;
        name_put(&d->now, name, file_new(sim));
        directory_changed(d);
        entry = name_find(&d->now, name);
    }
    return handle_new(sim, -1, entry->file);
}

static void sim_close_file(void *self, int descriptor) {
    host_sim *sim = self;
    if (sim->off) return;
    sim_handle *h = handle_at(sim, descriptor);
    if (h->directory < 0 && sim->files[h->file]->locked_by == descriptor) sim->files[h->file]->locked_by = 0;
    h->open = false;
}

static int sim_lock(void *self, int descriptor) {
    host_sim *sim = self;
    if (sim->off) return -EIO;
    sim_file *f = file_at(sim, descriptor);
    if (f->locked_by != 0 && f->locked_by != descriptor) return -EWOULDBLOCK;
    f->locked_by = descriptor;
    return 0;
}

/* ---- Files: calls ------------------------------------------------------------------------------------------------ */

static int64_t sim_file_bytes(void *self, int descriptor) {
    host_sim *sim = self;
    return sim->off ? -EIO : (int64_t)file_at(sim, descriptor)->bytes;
}

static size_t shortened(host_sim *sim, size_t bytes) {
    return sim->short_files && bytes > 1 && coin(sim) ? 1 + (size_t)host_sim_below(sim, bytes) : bytes;
}

static ssize_t sim_read_at(void *self, int descriptor, void *to, size_t bytes, uint64_t offset) {
    host_sim *sim = self;
    if (sim->off) return -EIO;
    sim_file *f = file_at(sim, descriptor);
    if (offset >= f->bytes) return 0;
    if (bytes > f->bytes - offset) bytes = (size_t)(f->bytes - offset);
    bytes = shortened(sim, bytes);
    memcpy(to, f->cache + offset, bytes);
    return (ssize_t)bytes;
}

static int take_room(host_sim *sim, sim_file *f, size_t until) {
    if (until <= f->allocated) return 0;
    int64_t more = (int64_t)(until - f->allocated);
    if (more > sim->room) return -ENOSPC;
    sim->room -= more;
    f->allocated = until;
    return 0;
}

static ssize_t sim_write_at(void *self, int descriptor, const void *from, size_t bytes, uint64_t offset) {
    host_sim *sim = self;
    int result = change(sim);
    if (result != 0) return result;
    sim_file *f = file_at(sim, descriptor);
    bytes = shortened(sim, bytes);
    result = take_room(sim, f, (size_t)offset + bytes);
    if (result != 0) return result;
    if (offset + bytes > f->bytes) file_resize(f, (size_t)offset + bytes);
    memcpy(f->cache + offset, from, bytes);
    for (size_t at = offset; at < offset + bytes; at++) f->marks[at / HOST_SIM_PIECE_BYTES] = 1;
    return (ssize_t)bytes;
}

static int sim_write_zeros(void *self, int descriptor, size_t bytes, uint64_t offset) {
    host_sim *sim = self;
    bool short_files = sim->short_files;
    sim->short_files = false;
    uint8_t *zeros = zeroed(bytes);
    ssize_t put = sim_write_at(self, descriptor, zeros, bytes, offset);
    free(zeros);
    sim->short_files = short_files;
    return put < 0 ? (int)put : 0;
}

static int sim_resize(void *self, int descriptor, uint64_t bytes) {
    host_sim *sim = self;
    int result = change(sim);
    if (result == 0) file_resize(file_at(sim, descriptor), (size_t)bytes);
    return result;
}

static int sim_allocate(void *self, int descriptor, uint64_t bytes) {
    host_sim *sim = self;
    int result = change(sim);
    if (result != 0) return result;
    sim_file *f = file_at(sim, descriptor);
    result = take_room(sim, f, (size_t)bytes);
    if (result == 0 && bytes > f->bytes) file_resize(f, (size_t)bytes);
    return result;
}

static int sync_pieces(host_sim *sim, sim_file *f, size_t from, size_t to) {
    int result = change(sim);
    if (result != 0) return result;
    bool fails = sim->fail_sync_error != 0 && sim->sync_skip-- == 0;
    if (!fails) disk_resize(f, f->bytes);
    for (size_t piece = from; piece < to; piece++) {
        if (piece_dirty(f, piece)) piece_write(f, piece, !fails);
    }
    if (!fails) return 0;
    result = -sim->fail_sync_error;
    sim->fail_sync_error = 0;
    return result;
}

static int sim_sync_data(void *self, int descriptor) {
    host_sim *sim = self;
    if (sim->off) return -EIO;
    sim_file *f = file_at(sim, descriptor);
    return sync_pieces(sim, f, 0, pieces(f->bytes));
}

static int sim_sync_mapped(void *self, int descriptor, void *at, size_t bytes) {
    host_sim *sim = self;
    if (sim->off) return -EIO;
    sim_file *f = file_at(sim, descriptor);
    assert((uint8_t *)at >= f->cache && (uint8_t *)at + bytes <= f->cache + f->bytes);
    size_t from = (size_t)((uint8_t *)at - f->cache) / PAGE_BYTES * PAGE_BYTES; /* whole pages, as the kernel does */
    size_t to = ((size_t)((uint8_t *)at - f->cache) + bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    if (to > f->bytes) to = f->bytes;
    return sync_pieces(sim, f, from / HOST_SIM_PIECE_BYTES, pieces(to));
}

static int sim_write_synced(void *self, int descriptor, const void *from, size_t bytes, uint64_t offset) {
    host_sim *sim = self;
    bool short_files = sim->short_files;
    sim->short_files = false;
    ssize_t put = sim_write_at(self, descriptor, from, bytes, offset);
    sim->short_files = short_files;
    if (put < 0) return (int)put;
    sim_file *f = file_at(sim, descriptor);
    return sync_pieces(sim, f, (size_t)offset / HOST_SIM_PIECE_BYTES, pieces((size_t)offset + bytes));
}

static int sim_sync_directory(void *self, int descriptor) {
    host_sim *sim = self;
    int result = change(sim);
    if (result != 0) return result;
    sim_directory *d = directory_at(sim, descriptor);
    d->past[0] = d->now;
    d->past_count = 1;
    return 0;
}

static void *sim_map(void *self, int descriptor, size_t bytes, int writable) {
    (void)writable;
    host_sim *sim = self;
    if (sim->off) return NULL;
    sim_file *f = file_at(sim, descriptor);
    if (bytes > f->bytes) return NULL;
    f->mapped++;
    return f->cache;
}

static void sim_unmap(void *self, void *at, size_t bytes) {
    (void)bytes;
    host_sim *sim = self;
    for (int i = 0; i < sim->file_count; i++) {
        if (sim->files[i]->cache == at && sim->files[i]->mapped > 0) sim->files[i]->mapped--;
    }
}

static int sim_prefault(void *self, void *at, size_t bytes) {
    (void)at;
    (void)bytes;
    return ((host_sim *)self)->off ? -EIO : 0;
}

static int sim_rename(void *self, int directory, const char *from, const char *to) {
    host_sim *sim = self;
    int result = change(sim);
    if (result != 0) return result;
    sim_directory *d = directory_at(sim, directory);
    sim_name *entry = name_find(&d->now, from);
    if (entry == NULL) return -ENOENT;
    int file = entry->file;
    name_drop(&d->now, from);
    name_put(&d->now, to, file);
    directory_changed(d);
    return 0;
}

static int sim_remove(void *self, int directory, const char *name) {
    host_sim *sim = self;
    if (sim->off) return -EIO;
    sim_directory *d = directory_at(sim, directory);
    sim_name *entry = name_find(&d->now, name);
    if (entry == NULL) return -ENOENT;
    int result = change(sim);
    if (result != 0) return result;
    sim->room += (int64_t)sim->files[entry->file]->allocated;
    name_drop(&d->now, name);
    directory_changed(d);
    return 0;
}

static int sim_list(void *self, int directory, int (*each)(void *to, const char *name), void *to) {
    host_sim *sim = self;
    if (sim->off) return -EIO;
    sim_names names = directory_at(sim, directory)->now;
    int result = 0;
    for (int i = 0; result == 0 && i < names.count; i++) result = each(to, names.entries[i].name);
    return result;
}

static int64_t sim_free_bytes(void *self, int directory) {
    (void)directory;
    host_sim *sim = self;
    return sim->off ? -EIO : sim->room;
}

/* ---- Files: the test's hands ------------------------------------------------------------------------------------- */

uint8_t *host_sim_file(host_sim *sim, const char *directory, const char *name, size_t *bytes) {
    int index = directory_index(sim, directory);
    sim_name *entry = index < 0 ? NULL : name_find(&sim->directories[index]->now, name);
    if (entry == NULL) return NULL;
    if (bytes != NULL) *bytes = sim->files[entry->file]->bytes;
    return sim->files[entry->file]->cache;
}

void host_sim_put(host_sim *sim, const char *directory, const char *name, const void *from, size_t bytes) {
    sim_directory *d = sim->directories[directory_make(sim, directory)];
    int index = file_new(sim);
    sim_file *f = sim->files[index];
    file_resize(f, bytes);
    if (bytes > 0) memcpy(f->cache, from, bytes);
    f->allocated = bytes;
    disk_resize(f, bytes);
    for (size_t piece = 0; piece < pieces(bytes); piece++) piece_write(f, piece, true);
    name_put(&d->now, name, index);
    d->past[0] = d->now;
    d->past_count = 1;
}

void host_sim_drop(host_sim *sim, const char *directory, const char *name) {
    int index = directory_index(sim, directory);
    if (index < 0) return;
    sim_directory *d = sim->directories[index];
    name_drop(&d->now, name);
    d->past[0] = d->now;
    d->past_count = 1;
}

/* ---- Sockets ----------------------------------------------------------------------------------------------------- */

static sim_socket *socket_at(const host_sim *sim, int socket) {
    int index = socket - SOCKET_BASE;
    assert(index >= 0 && index < sim->socket_count);
    return (sim_socket *)&sim->sockets[index];
}

static void queue_put(sim_queue *q, const void *from, size_t bytes) {
    if (q->count + bytes > q->room) {
        q->room = (q->count + bytes) * 2;
        q->bytes = realloc(q->bytes, q->room);
        assert(q->bytes != NULL);
    }
    if (bytes > 0) memcpy(q->bytes + q->count, from, bytes);
    q->count += bytes;
}

static size_t queue_take(sim_queue *q, void *to, size_t room) {
    size_t bytes = q->count < room ? q->count : room;
    if (bytes == 0) return 0;
    if (to != NULL) memcpy(to, q->bytes, bytes);
    memmove(q->bytes, q->bytes + bytes, q->count - bytes);
    q->count -= bytes;
    return bytes;
}

static ssize_t sim_receive(void *self, int socket, void *to, size_t bytes) {
    host_sim *sim = self;
    if (sim->off) return -EIO;
    sim_socket *s = socket_at(sim, socket);
    assert(s->open);
    if (s->error != 0) return -s->error;
    if (s->inbox.count == 0) return s->peer_closed ? 0 : -EAGAIN;
    if (s->receive_max > 0 && bytes > s->receive_max) bytes = s->receive_max;
    return (ssize_t)queue_take(&s->inbox, to, bytes);
}

static ssize_t sim_send(void *self, int socket, const struct iovec *parts, int part_count) {
    host_sim *sim = self;
    if (sim->off) return -EIO;
    sim_socket *s = socket_at(sim, socket);
    assert(s->open);
    if (s->error != 0) return -s->error;
    if (s->peer_closed) return -EPIPE;
    size_t room = s->outbox.count < s->outbox_room ? s->outbox_room - s->outbox.count : 0;
    if (s->send_max > 0 && room > s->send_max) room = s->send_max;
    size_t sent = 0;
    for (int i = 0; i < part_count && sent < room; i++) {
        size_t bytes = parts[i].iov_len < room - sent ? parts[i].iov_len : room - sent;
        queue_put(&s->outbox, parts[i].iov_base, bytes);
        sent += bytes;
    }
    return sent == 0 && room == 0 ? -EAGAIN : (ssize_t)sent;
}

static void sim_close_socket(void *self, int socket) {
    sim_socket *s = socket_at(self, socket);
    assert(s->open || ((host_sim *)self)->off); /* closed twice */
    s->open = false;
    s->closed = true;
}

int host_sim_socket(host_sim *sim) {
    if (sim->socket_count == sim->socket_room) {
        sim->socket_room = sim->socket_room == 0 ? 16 : sim->socket_room * 2;
        sim->sockets = realloc(sim->sockets, (size_t)sim->socket_room * sizeof *sim->sockets);
        assert(sim->sockets != NULL);
    }
    sim->sockets[sim->socket_count] = (sim_socket){.open = true, .outbox_room = 1u << 20};
    return SOCKET_BASE + sim->socket_count++;
}

void host_sim_peer_send(host_sim *sim, int socket, const void *from, size_t bytes) {
    queue_put(&socket_at(sim, socket)->inbox, from, bytes);
}

size_t host_sim_peer_take(host_sim *sim, int socket, void *to, size_t room) {
    return queue_take(&socket_at(sim, socket)->outbox, to, room);
}

size_t host_sim_peer_waiting(const host_sim *sim, int socket) { return socket_at(sim, socket)->outbox.count; }

void host_sim_peer_close(host_sim *sim, int socket) { socket_at(sim, socket)->peer_closed = true; }

void host_sim_socket_room(host_sim *sim, int socket, size_t bytes) { socket_at(sim, socket)->outbox_room = bytes; }

void host_sim_socket_chunks(host_sim *sim, int socket, size_t receive_max, size_t send_max) {
    socket_at(sim, socket)->receive_max = receive_max;
    socket_at(sim, socket)->send_max = send_max;
}

void host_sim_socket_fail(host_sim *sim, int socket, int error) { socket_at(sim, socket)->error = error; }

bool host_sim_socket_closed(const host_sim *sim, int socket) { return socket_at(sim, socket)->closed; }

/* ---- Open, close ------------------------------------------------------------------------------------------------- */

static const host sim_table = {
    .now_ns = sim_now_ns,
    .steady_ns = sim_steady_ns,
    .random = sim_random,
    .process = sim_process,
    .wake = sim_wake,
    .receive = sim_receive,
    .send = sim_send,
    .close_socket = sim_close_socket,
    .open_directory = sim_open_directory,
    .find_directory = sim_find_directory,
    .open_file = sim_open_file,
    .close_file = sim_close_file,
    .lock = sim_lock,
    .file_bytes = sim_file_bytes,
    .read_at = sim_read_at,
    .write_at = sim_write_at,
    .write_zeros = sim_write_zeros,
    .resize = sim_resize,
    .allocate = sim_allocate,
    .sync_data = sim_sync_data,
    .sync_mapped = sim_sync_mapped,
    .write_synced = sim_write_synced,
    .sync_directory = sim_sync_directory,
    .map = sim_map,
    .unmap = sim_unmap,
    .prefault = sim_prefault,
    .rename = sim_rename,
    .remove = sim_remove,
    .list = sim_list,
    .free_bytes = sim_free_bytes,
};

host_sim *host_sim_open(uint64_t seed) {
    host_sim *sim = zeroed(sizeof *sim);
    sim->table = sim_table;
    sim->table.self = sim;
    sim->random = seed;
    sim->now_ns = 1000000000000000000ull;
    sim->steady_ns = 1000000000ull;
    sim->room = 1ll << 40;
    return sim;
}

const host *host_sim_host(host_sim *sim) { return &sim->table; }

void host_sim_close(host_sim *sim) {
    for (int i = 0; i < sim->file_count; i++) {
        sim_file *f = sim->files[i];
        free(f->cache);
        free(f->clean);
        free(f->disk);
        free(f->marks);
        free(f->survivor);
        free(f);
    }
    for (int i = 0; i < sim->directory_count; i++) free(sim->directories[i]);
    for (int i = 0; i < sim->socket_count; i++) {
        free(sim->sockets[i].inbox.bytes);
        free(sim->sockets[i].outbox.bytes);
    }
    free(sim->sockets);
    free(sim);
}
