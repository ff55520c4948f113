/* The reader: the journal by sequence, in any process, while the writer writes or after it died.
 *
 *   journal.state, mapped read-only ── written, durable, released ──▶ how far one may read     (ship: mapped to write)
 *   the segment of the next record, mapped read-only ──▶ records, in place: nothing is copied
 *
 *      … ■ ■ ■ ■ ■ │ ■ ■ ■ ■ ■ ■ │ □ □ □ …
 *                  └ place        └ min(limit, written)
 *
 * The chain is verified record by record, so a reader never hands out what the writer did not write: it starts from the
 * crc of the record before its place (or the seed in a segment's header, if that record is gone) and crosses from one
 * segment to the next by that header. A reader asks the writer for nothing and cannot slow it down; a record below
 * `written` never changes again, so it is read without a lock.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#define HEADER_TRIES 1000 /* a writer that starts writes 512 bytes while we look */

struct journal_reader {
    const host *host;
    int directory;
    const state_page *state;
    state_page *told; /* the same page, mapped to write: once something was shipped; NULL before */
    uint64_t shard, segment_records;

    uint64_t place; /* sequence of the next record to read */
    uint32_t crc;   /* of the record before it, once begun */
    bool begun;

    uint64_t first; /* segment that is mapped, 0: none */
    int file;
    const uint8_t *at;
};

static const char HINT_COPY[] = "Restore the segment from its copy, or read the journal of the standby.";

/* ---- Open -------------------------------------------------------------------------------------------------------- */

static void let_go(journal_reader *r) {
    if (r->at != NULL) r->host->unmap(r->host->self, (void *)r->at, (size_t)segment_bytes(r->segment_records));
    if (r->file >= 0) r->host->close_file(r->host->self, r->file);
    r->at = NULL;
    r->file = -1;
    r->first = 0;
}

static int oldest(const journal_reader *r, uint64_t *first) {
    segment_list list;
    int result = segments_list(r->host, r->directory, &list);
    if (result != 0) return result;
    *first = list.count > 0 ? list.firsts[0] : 1;
    free(list.firsts);
    return 0;
}

static journal_status closed(const journal_reader *r, uint64_t first, journal_error *error) {
    return journal_fail(error, JOURNAL_E_CLOSED, 0, first, 0, r->place,
                        "Start from a snapshot, or bring back the older segments.",
                        "the journal must reach back to sequence %" PRIu64 ", and begins at %" PRIu64, r->place, first);
}

static journal_status state_damaged(journal_error *error, const char *why) {
    journal_fail(error, JOURNAL_E_DAMAGED, 0, 0, 0, 0,
                 "Start the engine on this journal once; it says what is wrong with it.", "%s: %s", STATE_NAME, why);
    if (error != NULL) snprintf(error->segment, sizeof error->segment, "%s", STATE_NAME);
    return JOURNAL_E_DAMAGED;
}

static journal_status open_state(journal_reader *r, journal_error *error) {
    const host *h = r->host;
    int file = h->open_file(h->self, r->directory, STATE_NAME, O_RDONLY);
    if (file < 0) return journal_fail_host(error, file, STATE_NAME, "open the shared page");
    int64_t bytes = h->file_bytes(h->self, file);
    if (bytes == sizeof(state_page)) r->state = h->map(h->self, file, sizeof(state_page), 0);
    h->close_file(h->self, file);
    if (bytes < 0) return journal_fail_host(error, (int)bytes, STATE_NAME, "tell its size");
    if (bytes != sizeof(state_page)) return state_damaged(error, "its size must be 8,192 bytes");
    if (r->state == NULL) return journal_fail_host(error, -ENOMEM, STATE_NAME, "map the shared page");
    const char *why = NULL;
    for (int try = 0; try < HEADER_TRIES; try++) {
        state_header header;
        memcpy(&header, &r->state->header, sizeof header);
        why = state_header_check(&header);
        r->shard = header.shard;
        r->segment_records = header.segment_records;
        if (why == NULL) return JOURNAL_OK;
    }
    return state_damaged(error, why);
}

journal_status journal_reader_open(const char *directory, const host *host, uint64_t from, journal_reader **out,
                                   journal_error *error) {
    if (from < 1 || from > SEQUENCE_MAX) {
        return journal_fail(error, JOURNAL_E_OPTIONS, 0, 0, 0, from, "Sequences count from 1.",
                            "a reader must start at a sequence, and was given %" PRIu64, from);
    }
    journal_reader *r = calloc(1, sizeof *r);
    if (r == NULL) return journal_fail_host(error, -ENOMEM, "memory", "give room for a reader");
    r->host = host;
    r->file = -1;
    r->place = from;
    journal_status status;
    r->directory = host->find_directory(host->self, directory);
    if (r->directory < 0) status = journal_fail_host(error, r->directory, "directory", "open the journal's directory");
    else status = open_state(r, error);
    uint64_t first = 1;
    if (status == JOURNAL_OK) {
        int result = oldest(r, &first);
        if (result != 0) status = journal_fail_host(error, result, "directory", "list the journal's directory");
        else if (from < first) status = closed(r, first, error);
    }
    if (status != JOURNAL_OK) {
        journal_reader_close(r);
        return status;
    }
    *out = r;
    return JOURNAL_OK;
}

void journal_reader_close(journal_reader *r) {
    let_go(r);
    if (r->state != NULL) r->host->unmap(r->host->self, (void *)r->state, sizeof(state_page));
    if (r->told != NULL) r->host->unmap(r->host->self, r->told, sizeof(state_page));
    if (r->directory >= 0) r->host->close_file(r->host->self, r->directory);
    free(r);
}

/* ---- Segments ---------------------------------------------------------------------------------------------------- */

static journal_status damaged(const journal_reader *r, uint64_t first, uint64_t sequence, const char *why,
                              journal_error *error) {
    uint64_t offset = sequence == 0 ? 0 : record_offset(first, sequence);
    return journal_fail(error, JOURNAL_E_DAMAGED, 0, first, offset, sequence == 0 ? r->place : sequence, HINT_COPY,
                        "%s: sequence %" PRIu64 ", while all up to %" PRIu64 " was written", why,
                        sequence == 0 ? r->place : sequence, journal_reader_written(r));
}

/* Map the segment that begins at `first`; its header is good then. *missing is set if there is no such file. */
static journal_status enter(journal_reader *r, uint64_t first, bool *missing, journal_error *error) {
    const host *h = r->host;
    let_go(r);
    char name[32];
    segment_name(name, first);
    r->file = h->open_file(h->self, r->directory, name, O_RDONLY);
    *missing = r->file == -ENOENT;
    if (*missing) return JOURNAL_OK;
    if (r->file < 0) return journal_fail_host(error, r->file, name, "open the segment");
    int64_t bytes = h->file_bytes(h->self, r->file);
    if (bytes < 0) return journal_fail_host(error, (int)bytes, name, "tell its size");
    if ((uint64_t)bytes != segment_bytes(r->segment_records)) {
        let_go(r);
        return damaged(r, first, 0, "the segment's file must have its full size", error);
    }
    r->at = h->map(h->self, r->file, (size_t)bytes, 0);
    if (r->at == NULL) {
        let_go(r);
        return journal_fail_host(error, -ENOMEM, name, "map the segment");
    }
    segment_header header;
    memcpy(&header, r->at, sizeof header);
    const char *why = segment_header_check(&header, r->shard, r->segment_records, first);
    if (why == NULL && r->begun && header.seed != r->crc) why = "its header must carry the CRC of the record before it";
    if (why != NULL) {
        let_go(r);
        return damaged(r, first, 0, why, error);
    }
    r->first = first;
    return JOURNAL_OK;
}

static journal_status enter_or_explain(journal_reader *r, uint64_t first, journal_error *error) {
    bool missing;
    journal_status status = enter(r, first, &missing, error);
    if (status != JOURNAL_OK || !missing) return status;
    uint64_t begins;
    int result = oldest(r, &begins);
    if (result != 0) return journal_fail_host(error, result, "directory", "list the journal's directory");
    if (begins > r->place) return closed(r, begins, error);
    return damaged(r, first, 0, "the segment must exist", error);
}

/* The crc that the chain goes on from: of the record before the place, or as the header tells it. */
static journal_status begin(journal_reader *r, journal_error *error) {
    uint64_t first = segment_first(r->segment_records, r->place);
    journal_status status = enter_or_explain(r, first, error);
    if (status != JOURNAL_OK) return status;
    if (r->place == first) {
        memcpy(&r->crc, r->at + offsetof(segment_header, seed), sizeof r->crc);
        if (first == 1 && r->crc != 0) return damaged(r, first, 0, "the first segment's seed must be 0", error);
    } else {
        wire_record before;
        memcpy(&before, r->at + record_offset(first, r->place - 1), sizeof before);
        if (before.command[0] == 0) {
            return damaged(r, first, r->place - 1, "the record must not be empty", error);
        }
        r->crc = before.crc;
    }
    r->begun = true;
    return JOURNAL_OK;
}

/* ---- Read -------------------------------------------------------------------------------------------------------- */

journal_status journal_reader_next(journal_reader *r, uint64_t limit, uint32_t room, const wire_record **records,
                                   uint32_t *count, journal_error *error) {
    *count = 0;
    uint64_t written = journal_reader_written(r);
    if (limit > written) limit = written;
    if (r->place > limit || room == 0) return JOURNAL_OK;
    journal_status status = r->begun ? JOURNAL_OK : begin(r, error);
    uint64_t first = segment_first(r->segment_records, r->place);
    if (status == JOURNAL_OK && r->first != first) status = enter_or_explain(r, first, error);
    if (status != JOURNAL_OK) return status;
    uint64_t last = first + r->segment_records - 1;
    if (last > limit) last = limit;
    if (last - r->place >= room) last = r->place + room - 1;
    const wire_record *next = (const wire_record *)(r->at + record_offset(first, r->place));
    uint32_t crc = r->crc, good = 0;
    for (uint64_t left = last - r->place + 1; left > 0; left--, good++) {
        if (next[good].command[0] == 0 || next[good].crc != journal_record_crc(crc, &next[good])) break;
        crc = next[good].crc;
    }
    if (good == 0) return damaged(r, first, r->place, "the record must fit the CRC chain", error);
    *records = next;
    *count = good;
    r->place += good; /* if one behind these is bad, the next call says so */
    r->crc = crc;
    return JOURNAL_OK;
}

/* ---- Ship -------------------------------------------------------------------------------------------------------- */

static journal_status map_told(journal_reader *r, journal_error *error) {
    const host *h = r->host;
    if (r->told != NULL) return JOURNAL_OK;
    int file = h->open_file(h->self, r->directory, STATE_NAME, O_RDWR);
    if (file < 0) return journal_fail_host(error, file, STATE_NAME, "open the shared page to write");
    r->told = h->map(h->self, file, sizeof(state_page), 1);
    h->close_file(h->self, file);
    return r->told != NULL ? JOURNAL_OK : journal_fail_host(error, -ENOMEM, STATE_NAME, "map the shared page to write");
}

journal_status journal_reader_ship(journal_reader *r, uint64_t sequence, journal_error *error) {
    uint64_t most = journal_reader_shippable(r);
    if (sequence > most) {
        return journal_fail(error, JOURNAL_E_OPTIONS, 0, 0, 0, sequence,
                            "Ship what the journal holds; a copy that holds more is of another journal.",
                            "no record may be called shipped before this machine has it safe: all up to %" PRIu64
                            " is, and %" PRIu64 " was named",
                            most, sequence);
    }
    journal_status status = map_told(r, error);
    if (status != JOURNAL_OK) return status;
    uint64_t before = atomic_load_explicit(&r->told->shipped, memory_order_relaxed);
    while (before < sequence && !atomic_compare_exchange_weak_explicit(&r->told->shipped, &before, sequence,
                                                                       memory_order_release, memory_order_relaxed)) {
        continue;
    }
    return JOURNAL_OK;
}

/* ---- Questions --------------------------------------------------------------------------------------------------- */

uint64_t journal_reader_written(const journal_reader *r) {
    return atomic_load_explicit(&r->state->written, memory_order_acquire);
}

uint64_t journal_reader_durable(const journal_reader *r) {
    return atomic_load_explicit(&r->state->durable, memory_order_acquire);
}

uint64_t journal_reader_released(const journal_reader *r) {
    return atomic_load_explicit(&r->state->released, memory_order_acquire);
}

uint64_t journal_reader_shipped(const journal_reader *r) {
    return atomic_load_explicit(&r->state->shipped, memory_order_acquire);
}

uint64_t journal_reader_shippable(const journal_reader *r) {
    return r->state->header.level == JOURNAL_CLUSTER ? journal_reader_durable(r) : journal_reader_released(r);
}

uint64_t journal_reader_first(const journal_reader *r) {
    uint64_t first;
    return oldest(r, &first) == 0 ? first : 0;
}

uint64_t journal_reader_place(const journal_reader *r) { return r->place; }

uint32_t journal_reader_options(const journal_reader *r, void *to, uint32_t room) {
    uint32_t bytes = r->state->header.replica_options_bytes;
    if (bytes > REPLICA_OPTIONS_MAX) bytes = 0;
    memcpy(to, r->state->header.replica_options, bytes < room ? bytes : room);
    return bytes;
}
