/* Segments as files: made whole before anybody sees them.
 *
 *   prepared.tmp ── room on disk ── zeros ── sync ──▶ rename to 0000…4097.jnl ── sync of the directory ──▶ map
 *
 * A file that bears a segment's name is therefore always of full size, allocated and zero-filled on disk: storing a
 * record into it changes no metadata, so a sync is one write of the data. (Allocation alone is not enough: a first
 * write to an unwritten extent is a change of metadata, and its sync took half as long again.) A crash leaves at most a
 * prepared.tmp, which the next start removes.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>

int write_whole(const host *h, int file, const void *from, size_t bytes, uint64_t offset) {
    for (size_t done = 0; done < bytes;) {
        ssize_t put = h->write_at(h->self, file, (const uint8_t *)from + done, bytes - done, offset + done);
        if (put <= 0) return put < 0 ? (int)put : -EIO;
        done += (size_t)put;
    }
    return 0;
}

int read_whole(const host *h, int file, void *to, size_t bytes, uint64_t offset) {
    for (size_t done = 0; done < bytes;) {
        ssize_t got = h->read_at(h->self, file, (uint8_t *)to + done, bytes - done, offset + done);
        if (got <= 0) return got < 0 ? (int)got : -EIO;
        done += (size_t)got;
    }
    return 0;
}

/* ---- Make, open, close ------------------------------------------------------------------------------------------- */

/* Each chunk is synced by itself, so that zeros never stand as a long queue before a group of records. */
static int segment_fill(const segment_maker *maker, int file, uint64_t bytes) {
    const host *h = maker->host;
    int result = h->allocate(h->self, file, bytes);
    for (uint64_t done = 0; result == 0 && done < bytes;) {
        size_t chunk = bytes - done < ZERO_CHUNK_BYTES ? (size_t)(bytes - done) : ZERO_CHUNK_BYTES;
        result = h->write_zeros(h->self, file, chunk, done);
        if (result == 0) result = h->sync_data(h->self, file);
        done += chunk;
        if (result == 0 && maker->pause != NULL && maker->pause(maker->self, done, bytes)) result = -ECANCELED;
    }
    return result;
}

int segment_make(const segment_maker *maker, uint64_t first, segment *out) {
    const host *h = maker->host;
    uint64_t bytes = segment_bytes(maker->segment_records);
    int64_t room = h->free_bytes(h->self, maker->directory);
    if (room < 0) return (int)room;
    if (room - (int64_t)bytes < maker->free_bytes_min) return -ENOSPC;
    h->remove(h->self, maker->directory, PREPARED_NAME); /* of an attempt that the disk cut short */
    int file = h->open_file(h->self, maker->directory, PREPARED_NAME, O_RDWR | O_CREAT | O_EXCL);
    if (file < 0) return file;
    int result = segment_fill(maker, file, bytes);
    h->close_file(h->self, file);
    char name[32];
    segment_name(name, first);
    if (result == 0) result = h->rename(h->self, maker->directory, PREPARED_NAME, name);
    if (result == 0) result = h->sync_directory(h->self, maker->directory);
    if (result == 0) return segment_open(maker, first, out);
    h->remove(h->self, maker->directory, PREPARED_NAME);
    return result;
}

int segment_open(const segment_maker *maker, uint64_t first, segment *out) {
    const host *h = maker->host;
    uint64_t bytes = segment_bytes(maker->segment_records);
    char name[32];
    segment_name(name, first);
    int file = h->open_file(h->self, maker->directory, name, O_RDWR);
    if (file < 0) return file;
    int64_t there = h->file_bytes(h->self, file);
    void *at = there == (int64_t)bytes ? h->map(h->self, file, (size_t)bytes, 1) : NULL;
    if (at == NULL) {
        h->close_file(h->self, file);
        return there < 0 ? (int)there : there == (int64_t)bytes ? -ENOMEM : -EINVAL;
    }
    *out = (segment){.first = first, .file = file, .at = at};
    return 0;
}

void segment_close(const segment_maker *maker, segment *s) {
    const host *h = maker->host;
    h->unmap(h->self, s->at, (size_t)segment_bytes(maker->segment_records));
    h->close_file(h->self, s->file);
    *s = (segment){0};
}

/* ---- List -------------------------------------------------------------------------------------------------------- */

static int segments_add(void *to, const char *name) {
    segment_list *list = to;
    uint64_t first = segment_name_first(name);
    if (first == 0) return 0;
    if (list->count == list->room) {
        if (list->room >= SEGMENTS_MAX) return -E2BIG;
        uint32_t room = list->room == 0 ? 64 : list->room * 2;
        uint64_t *firsts = realloc(list->firsts, room * sizeof *firsts);
        if (firsts == NULL) return -ENOMEM;
        list->firsts = firsts;
        list->room = room;
    }
    list->firsts[list->count++] = first;
    return 0;
}

static int compare_firsts(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

int segments_list(const host *h, int directory, segment_list *list) {
    *list = (segment_list){0};
    int result = h->list(h->self, directory, segments_add, list);
    if (result != 0) {
        free(list->firsts);
        *list = (segment_list){0};
        return result;
    }
    if (list->count > 1) qsort(list->firsts, list->count, sizeof *list->firsts, compare_firsts);
    return 0;
}
