/* The writer: the engine thread's side of the journal.
 *
 *   reserve ─▶ (core) ─▶ append ─▶ … ─▶ publish
 *   room in this segment,   crc, one store      one release store of `written`;
 *   or the next is ready    of 64 bytes         at level `process` one of `released`
 *
 *      slots:  … r r r r r r r │ a a a . . . . . │ next segment: zeros
 *                              └ published        └ header stored when the first record goes there
 *
 * None of the three makes a system call, takes a lock or allocates. A store may fault once after a sync wrote its page;
 * background.c sees to it that this is rare. What a crash leaves is recovery.c's matter, and opening is nothing else.
 */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>

static const char HINT_OPTIONS[] =
    "Correct the setting; segment_records and shard are fixed when the journal is begun.";

/* ---- Open: options and state ------------------------------------------------------------------------------------- */

static journal_status check_options(const journal_options *o, uint64_t verify_from, journal_error *error) {
    const char *must = NULL;
    uint64_t records = o->segment_records;
    if (o->directory == NULL || o->directory[0] == 0) must = "directory must be given";
    else if (records < SEGMENT_RECORDS_MIN || records > SEGMENT_RECORDS_MAX || (records & (records - 1)) != 0) {
        must = "segment_records must be a power of two from 2^12 to 2^24";
    } else if (o->sync_interval_us > SYNC_INTERVAL_US_MAX) must = "sync_interval_us must be 1,000,000 at most";
    else if (o->free_bytes_min < 0) must = "free_bytes_min must not be negative";
    else if (o->level < JOURNAL_PROCESS || o->level > JOURNAL_CLUSTER) must = "level must be process, disk or cluster";
    else if (o->sync_cpu < JOURNAL_STEPPED || o->sync_cpu >= CPU_SETSIZE) must = "sync_cpu must be a CPU or -1";
    else if (o->replica_options_bytes > REPLICA_OPTIONS_MAX) must = "replica_options must be of 256 bytes at most";
    else if (o->replica_options_bytes > 0 && o->replica_options == NULL) must = "replica_options must be given";
    else if (verify_from < 1 || verify_from > SEQUENCE_MAX) must = "verify_from must be a sequence, from 1 on";
    if (must == NULL) return JOURNAL_OK;
    return journal_fail(error, JOURNAL_E_OPTIONS, 0, 0, 0, 0, HINT_OPTIONS, "%s", must);
}

static journal_status state_failed(journal_error *error, journal_status status, const char *hint, const char *text) {
    journal_fail(error, status, 0, 0, 0, 0, hint, "%s: %s", STATE_NAME, text);
    if (error != NULL) snprintf(error->segment, sizeof error->segment, "%s", STATE_NAME);
    return status;
}

static journal_status state_lock(journal *j, journal_error *error) {
    const host *h = j->host;
    j->state_file = h->open_file(h->self, j->directory, STATE_NAME, O_RDWR | O_CREAT);
    if (j->state_file < 0) return journal_fail_host(error, j->state_file, STATE_NAME, "open the shared page");
    int result = h->lock(h->self, j->state_file);
    if (result == 0) return JOURNAL_OK;
    if (result != -EWOULDBLOCK) return journal_fail_host(error, result, STATE_NAME, "lock the shared page");
    uint64_t process = 0;
    read_whole(h, j->state_file, &process, sizeof process, offsetof(state_page, process));
    journal_fail(error, JOURNAL_E_LOCKED, EWOULDBLOCK, 0, 0, 0,
                 "Stop the other engine, or give this one a directory of its own.",
                 "a journal must have one writer, and process %" PRIu64 " has it open", process);
    if (error != NULL) snprintf(error->segment, sizeof error->segment, "%s", STATE_NAME);
    return JOURNAL_E_LOCKED;
}

/* Has nothing ever been written beside this state? Then what it holds does not matter: a first start was cut short. */
static bool no_segments(const journal *j) {
    segment_list list;
    if (segments_list(j->host, j->directory, &list) != 0) return false;
    free(list.firsts);
    return list.count == 0;
}

/* What the last process recorded. */
static journal_status state_read(const journal *j, recovery *r, journal_error *error) {
    static const char hint[] =
        "Restore it from its copy; or move it away, and the start takes the segments only if all are whole.";
    const host *h = j->host;
    int64_t bytes = h->file_bytes(h->self, j->state_file);
    if (bytes < 0) return journal_fail_host(error, (int)bytes, STATE_NAME, "tell its size");
    if (bytes == 0) return JOURNAL_OK;
    state_page page = {0};
    const char *why = bytes == sizeof page ? NULL : "its size must be 8,192 bytes";
    if (why == NULL) {
        int result = read_whole(h, j->state_file, &page, sizeof page, 0);
        if (result != 0) return journal_fail_host(error, result, STATE_NAME, "read the shared page");
        if (all_zero(&page.header, sizeof page.header)) return JOURNAL_OK; /* made, and never begun */
        why = state_header_check(&page.header);
    }
    if (why == NULL) why = state_mark_check(&page.mark);
    if (why != NULL) return no_segments(j) ? JOURNAL_OK : state_failed(error, JOURNAL_E_DAMAGED, hint, why);
    if (page.header.shard != r->shard) {
        return state_failed(error, JOURNAL_E_OPTIONS, HINT_OPTIONS, "shard must be the one the journal was begun with");
    }
    if (page.header.segment_records != r->segment_records) {
        return state_failed(error, JOURNAL_E_OPTIONS, HINT_OPTIONS,
                            "segment_records must be what the journal was begun with");
    }
    uint64_t durable = atomic_load_explicit(&page.durable, memory_order_relaxed);
    r->state_known = true;
    r->durable = durable > page.mark.durable ? durable : page.mark.durable;
    r->written = atomic_load_explicit(&page.written, memory_order_relaxed);
    r->shipped = atomic_load_explicit(&page.shipped, memory_order_relaxed);
    return JOURNAL_OK;
}

/* How far the records are held elsewhere. What was shipped and is not here any more (level process, and the power went)
 * says nothing of the records that will take its numbers. */
static uint64_t state_shipped(journal *j) {
    uint64_t shipped = atomic_load_explicit(&j->state->shipped, memory_order_acquire);
    if (shipped <= j->last) return shipped;
    atomic_store_explicit(&j->state->shipped, j->last, memory_order_release);
    return j->last;
}

/* Bring the page up to date. All that it speaks of is on disk by now, so it may reach the disk in any order. */
static journal_status state_begin(journal *j, const journal_options *options, journal_error *error) {
    const host *h = j->host;
    state_header header;
    state_header_make(&header, options);
    state_mark mark;
    j->marked_ns = h->now_ns(h->self);
    j->marked = j->last;
    state_mark_make(&mark, j->last, j->marked_ns);
    int result = h->resize(h->self, j->state_file, sizeof(state_page));
    /* a store into a hole of a mapped file would end the process when the disk is full */
    if (result == 0) result = h->allocate(h->self, j->state_file, sizeof(state_page));
    if (result == 0) result = write_whole(h, j->state_file, &mark, sizeof mark, offsetof(state_page, mark));
    if (result != 0) return journal_fail_host(error, result, STATE_NAME, "write the shared page");
    j->state = h->map(h->self, j->state_file, sizeof(state_page), 1);
    if (j->state == NULL) return journal_fail_host(error, -ENOMEM, STATE_NAME, "map the shared page");
    j->state->process = h->process(h->self);
    j->state->opened_ns = j->marked_ns;
    atomic_store_explicit(&j->state->written, j->last, memory_order_release);
    atomic_store_explicit(&j->state->durable, j->last, memory_order_release);
    uint64_t shipped = state_shipped(j);
    j->freed = options->level == JOURNAL_CLUSTER ? shipped : j->last;
    atomic_store_explicit(&j->state->released, j->freed, memory_order_release);
    if (memcmp(&j->state->header, &header, sizeof header) != 0) {
        result = write_whole(h, j->state_file, &header, sizeof header, 0);
    }
    if (result == 0) result = h->sync_data(h->self, j->state_file);
    if (result == 0) result = h->sync_directory(h->self, j->directory);
    return result == 0 ? JOURNAL_OK : journal_fail_host(error, result, STATE_NAME, "write the shared page");
}

/* ---- Open: the present segment ----------------------------------------------------------------------------------- */

static void segment_enter(journal *j, const segment *s) {
    j->slots = (wire_record *)(s->at + sizeof(segment_header));
    j->slots_first = s->first;
    j->slots_last = s->first + j->maker.segment_records - 1;
}

static void segment_begin(journal *j, const segment *s) {
    segment_header header;
    segment_header_make(&header, j->options.shard, j->maker.segment_records, s->first, j->crc);
    memcpy(s->at, &header, sizeof header);
    segment_enter(j, s);
}

static journal_status present_segment(journal *j, const recovery *r, journal_error *error) {
    uint64_t first = segment_first(r->segment_records, r->last + 1);
    segment *s = segment_place(j, first);
    int result = r->segment_exists ? segment_open(&j->maker, first, s) : segment_make(&j->maker, first, s);
    if (result != 0) {
        char name[32];
        segment_name(name, first);
        return journal_fail_host(error, result, name, "make room for records");
    }
    j->kept_first = j->newest_first = first;
    if (r->segment_begun) segment_enter(j, s);
    else segment_begin(j, s);
    uint64_t from = record_offset(first, r->last + 1), bytes = segment_bytes(r->segment_records) - from;
    j->host->prefault(j->host->self, s->at + from,
                      bytes < PREFAULT_SEGMENT_BYTES ? (size_t)bytes : PREFAULT_SEGMENT_BYTES);
    j->prefaulted = r->last + PREFAULT_BYTES / RECORD_BYTES;
    return JOURNAL_OK;
}

static journal_status open_all(journal *j, const journal_options *options, uint64_t verify_from,
                               journal_recovery *found, journal_error *error) {
    recovery r = {.host = j->host,
                  .shard = options->shard,
                  .segment_records = options->segment_records,
                  .verify_from = verify_from};
    j->directory = j->host->open_directory(j->host->self, options->directory);
    if (j->directory < 0) return journal_fail_host(error, j->directory, "directory", "open the journal's directory");
    r.directory = j->maker.directory = j->directory;
    journal_status status = state_lock(j, error);
    if (status == JOURNAL_OK) status = state_read(j, &r, error);
    if (status == JOURNAL_OK) status = recovery_run(&r, found, error);
    if (status != JOURNAL_OK) return status;
    j->last = j->reserved = j->published = j->synced = r.last;
    j->crc = r.crc;
    status = state_begin(j, options, error);
    if (status == JOURNAL_OK) status = present_segment(j, &r, error);
    return status;
}

static void close_all(journal *j) {
    const host *h = j->host;
    for (int place = 0; place < SEGMENTS_OPEN_MAX; place++) {
        if (j->open[place].at != NULL) segment_close(&j->maker, &j->open[place]);
    }
    if (j->state != NULL) h->unmap(h->self, j->state, sizeof(state_page));
    if (j->state_file >= 0) h->close_file(h->self, j->state_file); /* and with it the lock */
    if (j->directory >= 0) h->close_file(h->self, j->directory);
    free(j);
}

journal_status journal_open(const journal_options *options, const host *host, uint64_t verify_from, journal **out,
                            journal_recovery *found, journal_error *error) {
    journal_recovery unasked;
    if (found == NULL) found = &unasked;
    *found = (journal_recovery){0};
    journal_status status = check_options(options, verify_from, error);
    if (status != JOURNAL_OK) return status;
    journal *j = aligned_alloc(CACHE_LINE, sizeof *j);
    if (j == NULL) return journal_fail_host(error, -ENOMEM, "memory", "give room for the journal");
    memset(j, 0, sizeof *j);
    j->host = host;
    j->options = *options;
    j->options.directory = NULL;
    j->options.replica_options = NULL;
    j->stepped = options->sync_cpu == JOURNAL_STEPPED;
    j->directory = j->state_file = -1;
    j->maker = (segment_maker){
        .host = host, .segment_records = options->segment_records, .free_bytes_min = options->free_bytes_min};
    atomic_init(&j->next_status, JOURNAL_WAIT);
    status = open_all(j, options, verify_from, found, error);
    if (status == JOURNAL_OK) {
        int result = background_start(j);
        if (result != 0) {
            status =
                journal_fail(error, JOURNAL_E_OPTIONS, result, 0, 0, 0, "Set sync_cpu to a CPU this process may use.",
                             "the background threads must be able to start: %s", strerror(result));
        }
    }
    if (status != JOURNAL_OK) {
        close_all(j);
        return status;
    }
    *out = j;
    return JOURNAL_OK;
}

/* ---- Append ------------------------------------------------------------------------------------------------------ */

/* The segment is full, or too full for a group: the next one must be there before anything is promised. */
static journal_status reserve_next(journal *j, uint32_t count) {
    if (atomic_load_explicit(&j->next, memory_order_acquire) != NULL) {
        j->reserved = j->last + count;
        return JOURNAL_OK;
    }
    journal_status why = atomic_load(&j->next_status);
    if (!atomic_exchange(&j->waiting, true) && !j->stepped) background_hurry(j);
    return why;
}

journal_status journal_reserve(journal *j, uint32_t count) {
    INVARIANT(count >= 1 && count <= PREFIX_COUNT_MAX + 1);
    if (__builtin_expect(atomic_load_explicit(&j->broken, memory_order_acquire), 0)) return JOURNAL_E_SYSTEM;
    if (__builtin_expect(j->last + count > j->slots_last, 0)) return reserve_next(j, count);
    j->reserved = j->last + count;
    return JOURNAL_OK;
}

static void segment_switch(journal *j) {
    segment *next = atomic_exchange(&j->next, NULL);
    INVARIANT(next != NULL && next->first == j->last + 1);
    atomic_store(&j->waiting, false);
    segment_begin(j, next);
}

void journal_append(journal *j, wire_record *records, uint32_t count) {
    INVARIANT(j->last + count <= j->reserved);
    for (uint32_t i = 0; i < count; i++) {
        if (__builtin_expect(j->last == j->slots_last, 0)) segment_switch(j);
        wire_record *record = &records[i];
        INVARIANT(record->command[0] != 0);
        j->crc = record->crc = journal_record_crc(j->crc, record);
        j->last++;
        memcpy(&j->slots[j->last - j->slots_first], record, sizeof *record);
    }
}

void journal_publish(journal *j) {
    if (j->published == j->last) return;
    j->published = j->last;
    atomic_store_explicit(&j->state->written, j->last, memory_order_release);
    if (j->options.level == JOURNAL_PROCESS) {
        atomic_store_explicit(&j->state->released, j->last, memory_order_release);
    }
}

/* ---- Questions and the end --------------------------------------------------------------------------------------- */

uint64_t journal_last(const journal *j) { return j->last; }

uint64_t journal_written(const journal *j) { return atomic_load_explicit(&j->state->written, memory_order_acquire); }

uint64_t journal_durable(const journal *j) { return atomic_load_explicit(&j->state->durable, memory_order_acquire); }

uint64_t journal_released(const journal *j) { return atomic_load_explicit(&j->state->released, memory_order_acquire); }

uint64_t journal_shipped(const journal *j) { return atomic_load_explicit(&j->state->shipped, memory_order_acquire); }

const journal_error *journal_failure(const journal *j) {
    return atomic_load_explicit(&j->failure, memory_order_acquire);
}

bool journal_step(journal *j) {
    INVARIANT(j->stepped);
    bool synced = background_sync(j);
    bool released = background_release(j);
    bool kept = background_keep(j);
    return synced || released || kept;
}

journal_status journal_close(journal *j, journal_error *error) {
    journal_publish(j);
    background_stop(j);
    background_finish(j);
    int result = atomic_load(&j->broken) ? 0 : j->host->sync_data(j->host->self, j->state_file);
    journal_status status = JOURNAL_OK;
    if (result != 0) status = journal_fail_host(error, result, STATE_NAME, "write the shared page");
    if (atomic_load(&j->broken)) {
        status = j->sync_error.status;
        if (error != NULL) *error = j->sync_error;
    }
    close_all(j);
    return status;
}
