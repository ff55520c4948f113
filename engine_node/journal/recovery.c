/* What a start finds: the same path after a clean stop, a kill and a loss of power.
 *
 *      verified from a snapshot on            durable mark          last good
 *   ├──────────────┬──────────────────────────────┬──────────────────────┬────────────┬ ─ ─ ─ ─ ─ ─
 *   │ not looked at│ must be good: else damage,   │ good: kept, written  │ torn tail: │ zeros
 *   │              │ and the start ends           │ again, synced        │ zeroed     │
 *
 * - Above the durable mark nothing was promised at level `disk`. What verifies there is kept all the same, published or
 *   not: after a kill it may have been acknowledged at level `process`, and `written` need not have reached the disk. A
 *   record that was stored and not published was acknowledged to nobody, so keeping it is as good as cutting it, and
 *   needs no rule.
 * - The exception: prefixes at the very end whose command is missing. They are cut, so that the client sends both
 *   again: kept without their command they would be void. Prefixes that end exactly at `written` were published like
 *   that, and stay.
 * - What is kept above the mark is written again before it is synced: if the last sync failed, the kernel holds it as
 *   clean, and would answer a sync with "done" without writing anything.
 * - Without journal.state (segments restored from a copy) nothing is torn: every slot must verify or be empty to the
 *   end.
 *
 * Files are read, not mapped: a bad sector or a file cut short is an error with a name here, not a signal.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#define SCAN_BYTES (1u << 18)

static const char HINT_RESTORE[] = "Restore the segment from its copy, or start a standby; do not cut it by hand.";

/* ---- Reading one segment in pieces ------------------------------------------------------------------------------- */

typedef struct scan {
    const recovery *r;
    uint64_t first;
    int file; /* -1: none */
    uint64_t offset;
    size_t bytes; /* buffer holds so many from offset on */
    uint8_t *buffer;
} scan;

static void scan_close(scan *s) {
    if (s->file >= 0) s->r->host->close_file(s->r->host->self, s->file);
    s->file = -1;
}

/* 0; -ENOENT: no such file; -EINVAL: its size is not a segment's; or what the host said. */
static int scan_open(scan *s, uint64_t first, int flags) {
    const host *h = s->r->host;
    scan_close(s);
    char name[32];
    segment_name(name, first);
    s->file = h->open_file(h->self, s->r->directory, name, flags);
    if (s->file < 0) return s->file;
    s->first = first;
    s->bytes = 0;
    int64_t there = h->file_bytes(h->self, s->file);
    if (there < 0) return (int)there;
    return (uint64_t)there == segment_bytes(s->r->segment_records) ? 0 : -EINVAL;
}

/* The 64 bytes at a multiple of 64; good until the next call. */
static int scan_slot(scan *s, uint64_t offset, const uint8_t **slot) {
    if (offset < s->offset || offset + RECORD_BYTES > s->offset + s->bytes) {
        uint64_t left = segment_bytes(s->r->segment_records) - offset;
        size_t bytes = left < SCAN_BYTES ? (size_t)left : SCAN_BYTES;
        s->bytes = 0;
        int result = read_whole(s->r->host, s->file, s->buffer, bytes, offset);
        if (result != 0) return result;
        s->offset = offset;
        s->bytes = bytes;
    }
    *slot = s->buffer + (offset - s->offset);
    return 0;
}

static int scan_record(scan *s, uint64_t sequence, wire_record *out) {
    uint64_t first = segment_first(s->r->segment_records, sequence);
    int result = s->file >= 0 && s->first == first ? 0 : scan_open(s, first, O_RDONLY);
    const uint8_t *slot;
    if (result == 0) result = scan_slot(s, record_offset(first, sequence), &slot);
    if (result == 0) memcpy(out, slot, sizeof *out);
    return result;
}

/* ---- The chain --------------------------------------------------------------------------------------------------- */

/* Where the chain ends, and what must have been there for it to go on. */
typedef struct chain_end {
    uint64_t first, offset, sequence;
    const char *why;
} chain_end;

static int chain_ends(chain_end *end, uint64_t first, uint64_t offset, uint64_t sequence, const char *why) {
    *end = (chain_end){.first = first, .offset = offset, .sequence = sequence, .why = why};
    return 0;
}

/* The records of one segment from r->last + 1 on. end->why stays NULL if all are good. */
static int chain_segment(recovery *r, scan *s, chain_end *end) {
    uint64_t first = segment_first(r->segment_records, r->last + 1);
    uint64_t sequence = r->last + 1;
    int result = scan_open(s, first, O_RDONLY);
    if (result == -ENOENT) return chain_ends(end, first, 0, sequence, "the segment must exist");
    if (result == -EINVAL) return chain_ends(end, first, 0, sequence, "the segment's file must have its full size");
    const uint8_t *slot;
    if (result == 0) result = scan_slot(s, 0, &slot);
    if (result != 0) return result;
    segment_header header;
    memcpy(&header, slot, sizeof header);
    const char *why = segment_header_check(&header, r->shard, r->segment_records, first);
    if (why == NULL && sequence == first && header.seed != r->crc) {
        why = "its header must carry the CRC of the record before it";
    }
    if (why != NULL) return chain_ends(end, first, 0, sequence, why);
    for (; sequence < first + r->segment_records; sequence++) {
        uint64_t offset = record_offset(first, sequence);
        result = scan_slot(s, offset, &slot);
        if (result != 0) return result;
        wire_record record;
        memcpy(&record, slot, sizeof record);
        if (record.command[0] == 0) return chain_ends(end, first, offset, sequence, "the record must not be empty");
        if (record.crc != journal_record_crc(r->crc, &record)) {
            return chain_ends(end, first, offset, sequence, "the record must fit the CRC chain");
        }
        r->last = sequence;
        r->crc = record.crc;
    }
    return 0;
}

/* Set r->last and r->crc to the record before `start`, which is taken as it stands. */
static int chain_begin(recovery *r, scan *s, uint64_t start, chain_end *end) {
    r->last = start - 1;
    r->crc = 0;
    if (start == 1) return 0;
    wire_record before;
    int result = scan_record(s, start - 1, &before);
    if (result == 0 && before.command[0] != 0) {
        r->crc = before.crc;
        return 0;
    }
    uint64_t first = segment_first(r->segment_records, start - 1);
    if (result == -ENOENT && segment_first(r->segment_records, start) == start) { /* older segments were removed */
        const uint8_t *slot;
        result = scan_open(s, start, O_RDONLY);
        if (result == 0) result = scan_slot(s, 0, &slot);
        if (result == 0) memcpy(&r->crc, slot + offsetof(segment_header, seed), sizeof r->crc);
        if (result == 0) return 0;
        first = start;
    }
    if (result == 0 || result == -ENOENT || result == -EINVAL) {
        uint64_t offset = first == start ? 0 : record_offset(first, start - 1);
        return chain_ends(end, first, offset, start - 1, "the record must exist");
    }
    return result;
}

static int chain_walk(recovery *r, scan *s, uint64_t start, chain_end *end) {
    *end = (chain_end){0};
    int result = chain_begin(r, s, start, end);
    while (result == 0 && end->why == NULL) result = chain_segment(r, s, end);
    return result;
}

/* ---- The end of the journal -------------------------------------------------------------------------------------- */

/* Prefixes at the end whose command is not there. */
static int cut_prefixes(recovery *r, scan *s) {
    uint64_t found = r->last;
    wire_record record;
    while (r->last > r->durable && r->last != r->written) {
        int result = scan_record(s, r->last, &record);
        if (result != 0) return result;
        if (!record_is_prefix(&record)) break;
        r->last--;
    }
    chain_end end;
    return r->last == found ? 0 : chain_begin(r, s, r->last + 1, &end);
}

/* What lies behind the last good record in one segment: counted, and zeroed if `zero`. */
static int clear_segment(recovery *r, scan *s, uint64_t first, bool zero, journal_recovery *found) {
    bool keep_header = r->segment_begun && first == segment_first(r->segment_records, r->last + 1);
    uint64_t offset = !keep_header ? 0 : r->last < first ? sizeof(segment_header) : record_offset(first, r->last + 1);
    uint64_t bytes = segment_bytes(r->segment_records);
    bool changed = false;
    int result = scan_open(s, first, O_RDWR);
    for (; result == 0 && offset < bytes; offset += RECORD_BYTES) {
        const uint8_t *slot;
        result = scan_slot(s, offset, &slot);
        if (result != 0 || all_zero(slot, RECORD_BYTES)) continue;
        if (offset > 0 && found->torn_records++ == 0) {
            segment_name(found->torn_segment, first);
            found->torn_offset = offset;
        }
        changed = true;
        if (zero) result = r->host->write_zeros(r->host->self, s->file, RECORD_BYTES, offset);
    }
    if (result == 0 && changed && zero) result = r->host->sync_data(r->host->self, s->file);
    return result;
}

/* All segments behind the last good record are made empty again. One of a wrong size is none of ours, and removed. */
static int clear_tail(recovery *r, scan *s, const segment_list *list, bool zero, journal_recovery *found) {
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < list->count; i++) {
        uint64_t first = list->firsts[i];
        if (first + r->segment_records - 1 <= r->last) continue;
        result = clear_segment(r, s, first, zero, found);
        if (result == -EINVAL && zero) {
            char name[32];
            segment_name(name, first);
            if (found->torn_records++ == 0) memcpy(found->torn_segment, name, sizeof name);
            result = r->host->remove(r->host->self, r->directory, name);
        } else if (result == -EINVAL) {
            found->torn_records++;
            result = 0;
        }
    }
    return result;
}

/* Write the bytes of (durable, last] over themselves, so that a sync reaches the disk whatever an earlier one left
 * behind. */
static int write_again(recovery *r, scan *s) {
    uint64_t sequence = r->durable + 1;
    int result = 0;
    while (result == 0 && sequence <= r->last) {
        uint64_t first = segment_first(r->segment_records, sequence);
        uint64_t last = first + r->segment_records - 1 < r->last ? first + r->segment_records - 1 : r->last;
        uint64_t offset = sequence == first ? 0 : record_offset(first, sequence);
        uint64_t end = record_offset(first, last + 1);
        result = scan_open(s, first, O_RDWR);
        while (result == 0 && offset < end) {
            size_t bytes = end - offset < SCAN_BYTES ? (size_t)(end - offset) : SCAN_BYTES;
            result = read_whole(r->host, s->file, s->buffer, bytes, offset);
            if (result == 0) result = write_whole(r->host, s->file, s->buffer, bytes, offset);
            offset += bytes;
        }
        if (result == 0) result = r->host->sync_data(r->host->self, s->file);
        sequence = last + 1;
    }
    return result;
}

/* Is there a file for the segment that goes on, and has it begun? */
static int look_at_next(recovery *r, scan *s) {
    uint64_t first = segment_first(r->segment_records, r->last + 1);
    int result = scan_open(s, first, O_RDONLY);
    r->segment_exists = r->segment_begun = false;
    if (result == -ENOENT || result == -EINVAL) return 0; /* of a wrong size: clear_tail removes it */
    const uint8_t *slot;
    if (result == 0) result = scan_slot(s, 0, &slot);
    if (result != 0) return result;
    segment_header header;
    memcpy(&header, slot, sizeof header);
    r->segment_exists = true;
    r->segment_begun = segment_header_check(&header, r->shard, r->segment_records, first) == NULL &&
                       (r->last >= first || header.seed == r->crc);
    return 0;
}

/* ---- The order of it all ----------------------------------------------------------------------------------------- */

static journal_status check_list(recovery *r, const segment_list *list, journal_error *error) {
    for (uint32_t i = 0; i < list->count; i++) {
        if ((list->firsts[i] - 1) % r->segment_records != 0) {
            return journal_fail(error, JOURNAL_E_OPTIONS, 0, list->firsts[i], 0, list->firsts[i],
                                "Set segment_records to what the journal was begun with.",
                                "a segment's name must be 1 plus a multiple of segment_records, which is %" PRIu64,
                                r->segment_records);
        }
    }
    uint64_t oldest = list->count > 0 ? list->firsts[0] : 1;
    if (r->verify_from + 1 == oldest) r->verify_from = oldest; /* all up to the snapshot's own record was removed */
    if (list->count > 0 && r->verify_from < oldest) {
        return journal_fail(
            error, JOURNAL_E_CLOSED, 0, oldest, 0, oldest, "Start from a snapshot, or bring back the older segments.",
            "the journal must reach back to sequence %" PRIu64 ", and begins at %" PRIu64, r->verify_from, oldest);
    }
    if (list->count == 0 && r->durable > 0) {
        return journal_fail(
            error, JOURNAL_E_DAMAGED, 0, segment_first(r->segment_records, r->durable), 0, r->durable, HINT_RESTORE,
            "the segment of the durable sequence %" PRIu64 " must exist, and there is no segment at all", r->durable);
    }
    return JOURNAL_OK;
}

static journal_status damaged(const recovery *r, const chain_end *end, journal_error *error) {
    if (r->state_known) {
        return journal_fail(error, JOURNAL_E_DAMAGED, 0, end->first, end->offset, end->sequence, HINT_RESTORE,
                            "%s: sequence %" PRIu64 ", while all up to %" PRIu64 " was durable", end->why,
                            end->sequence, r->durable);
    }
    return journal_fail(error, JOURNAL_E_DAMAGED, 0, end->first, end->offset, end->sequence,
                        "Restore the segment or journal.state from its copy.",
                        "%s: sequence %" PRIu64 ", and without " STATE_NAME " nothing may be torn", end->why,
                        end->sequence);
}

static journal_status host_failed(const scan *s, int result, journal_error *error) {
    char name[32] = "segments";
    if (s->first > 0) segment_name(name, s->first);
    return journal_fail_host(error, result, name, "read and mend the segment");
}

/* Everything that may refuse the start; changes nothing. */
static journal_status examine(recovery *r, scan *s, const segment_list *list, journal_error *error) {
    chain_end end;
    uint64_t start = r->verify_from;
    if (r->state_known && start - 1 > r->durable) start = r->durable + 1;
    int result = chain_walk(r, s, start, &end);
    if (result != 0) return host_failed(s, result, error);
    if (r->state_known && (r->last < r->durable || end.sequence < start)) return damaged(r, &end, error);
    if (!r->state_known && end.sequence >= start) {
        journal_recovery behind = {0};
        result = look_at_next(r, s);
        if (result == 0) result = clear_tail(r, s, list, false, &behind);
        if (result != 0) return host_failed(s, result, error);
        if (behind.torn_records > 0) return damaged(r, &end, error);
    }
    if (end.sequence < r->verify_from) {
        return journal_fail(error, JOURNAL_E_OPTIONS, 0, end.first, end.offset, end.sequence,
                            "Start from an older snapshot, or bring back the newest segments.",
                            "the journal must reach sequence %" PRIu64 ", and has no record %" PRIu64,
                            r->verify_from - 1, end.sequence);
    }
    return JOURNAL_OK;
}

static journal_status mend(recovery *r, scan *s, const segment_list *list, journal_recovery *found,
                           journal_error *error) {
    int result = r->state_known ? cut_prefixes(r, s) : 0;
    if (result == 0) result = look_at_next(r, s);
    if (result == 0) result = clear_tail(r, s, list, true, found);
    if (result == 0 && r->state_known) result = write_again(r, s);
    if (result == 0) result = r->host->sync_directory(r->host->self, r->directory);
    return result == 0 ? JOURNAL_OK : host_failed(s, result, error);
}

journal_status recovery_run(recovery *r, journal_recovery *found, journal_error *error) {
    segment_list list;
    int result = segments_list(r->host, r->directory, &list);
    if (result != 0) return journal_fail_host(error, result, "directory", "list the journal's directory");
    scan s = {.r = r, .file = -1, .buffer = malloc(SCAN_BYTES)};
    journal_status status =
        s.buffer == NULL ? journal_fail_host(error, -ENOMEM, "memory", "give a buffer") : JOURNAL_OK;
    if (status == JOURNAL_OK) status = check_list(r, &list, error);
    if (status == JOURNAL_OK) status = examine(r, &s, &list, error);
    *found = (journal_recovery){.durable_sequence = r->durable};
    if (status == JOURNAL_OK) status = mend(r, &s, &list, found, error);
    found->first_sequence = list.count > 0 ? list.firsts[0] : 1;
    found->last_sequence = r->last;
    found->shipped_sequence = r->shipped < r->last ? r->shipped : r->last;
    scan_close(&s);
    free(s.buffer);
    free(list.firsts);
    return status;
}
