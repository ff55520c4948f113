/* A start: the newest snapshot, the journal behind it, and the first records of a new term.
 *
 *   snapshot ─▶ core ◀─ replay ─ … 41 42 43 │ 44 term │ 45 logoff(restarted) │ 46 logoff(restarted) │ first command
 *                        the journal as found │ what this start writes
 *
 * The same path every day, after a clean stop and after kill -9. A prefix left alone at the journal's end is void: the
 * term behind it cannot close it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "parts.h"

#define STAGE_COUNT 4096u /* records read at a time */

typedef struct stage { /* records read and not yet applied: at its start what core_group could not use */
    wire_record records[STAGE_COUNT + CORE_GROUP_MAX];
    uint32_t count;
} stage;

static ingress_status journal_error_of(ingress_error *error, const journal_error *from) {
    error->status = INGRESS_E_JOURNAL;
    error->journal = *from;
    snprintf(error->text, sizeof error->text, "%s", from->text);
    snprintf(error->hint, sizeof error->hint, "%s", from->hint);
    return INGRESS_E_JOURNAL;
}

static ingress_status replay_error(const ingress *in, ingress_error *error, core_status status) {
    error->status = INGRESS_E_REPLAY;
    error->core = status;
    snprintf(error->text, sizeof error->text,
             "the core must take every record of the journal, but said %s at sequence %llu (pool: %s)",
             core_status_name(status), (unsigned long long)core_sequence(in->core) + 1, core_full_pool(in->core));
    snprintf(error->hint, sizeof error->hint, "%s",
             status == CORE_E_FULL ? "start with core capacities no smaller than those the journal was written with"
                                   : "the journal and this version of the core differ: restore both from one backup");
    return INGRESS_E_REPLAY;
}

/* Apply whole groups from the stage's start; what is left moves to its start. */
static core_status apply_stage(ingress *in, stage *s) {
    uint32_t at = 0;
    for (uint32_t group; (group = core_group(s->records + at, s->count - at)) > 0; at += group) {
        core_look_ahead(in->core, s->records + at, s->count - at);
        core_status status = core_apply(in->core, s->records + at, group, &in->chunk);
        while (status == CORE_MORE) status = core_next(in->core, &in->chunk);
        if (status != CORE_OK) return status;
        if (at + group == s->count) {
            at = s->count;
            break;
        }
    }
    s->count -= at;
    memmove(s->records, s->records + at, s->count * sizeof s->records[0]);
    return CORE_OK;
}

static ingress_status replay(ingress *in, stage *s, uint64_t last, ingress_recovery *found, ingress_error *error) {
    journal_reader *reader;
    journal_error why;
    if (core_sequence(in->core) >= last) return INGRESS_OK;
    if (journal_reader_open(in->options.journal_directory, in->host, core_sequence(in->core) + 1, &reader, &why) != 0)
        return journal_error_of(error, &why);
    ingress_status status = INGRESS_OK;
    while (status == INGRESS_OK && core_sequence(in->core) + s->count < last) {
        const wire_record *records;
        uint32_t count;
        if (journal_reader_next(reader, last, STAGE_COUNT, &records, &count, &why) != JOURNAL_OK) {
            status = journal_error_of(error, &why);
        } else if (count > 0) {
            memcpy(s->records + s->count, records, count * sizeof records[0]);
            s->count += count;
            found->replayed_records += count;
            const core_status core = apply_stage(in, s);
            if (core != CORE_OK) status = replay_error(in, error, core);
        } else {
            status = INGRESS_E_JOURNAL;
            error->status = status;
            snprintf(error->text, sizeof error->text, "the journal must be readable to %llu, but ends at %llu",
                     (unsigned long long)last, (unsigned long long)(core_sequence(in->core) + s->count));
            snprintf(error->hint, sizeof error->hint, "restore the missing segment from a copy");
        }
    }
    journal_reader_close(reader);
    return status;
}

static ingress_status no_room(ingress *in, ingress_error *error) {
    const journal_error *why = journal_failure(in->journal);
    if (why != NULL) return journal_error_of(error, why);
    error->status = INGRESS_E_JOURNAL;
    error->journal.status = JOURNAL_E_NO_ROOM;
    snprintf(error->text, sizeof error->text,
             "the journal must have room for the first records of a term, but has none");
    snprintf(error->hint, sizeof error->hint, "free disk space where the journal is, then start again");
    return INGRESS_E_JOURNAL;
}

/* The term: applied behind the prefixes that the journal may end with, which it makes void. */
static ingress_status begin_term(ingress *in, stage *s, ingress_recovery *found, ingress_error *error) {
    if (journal_room_waiting(in, 1) != ROOM_YES) return no_room(in, error);
    const wire_term term = {.kind = KIND_TERM,
                            .term = core_term(in->core) + 1,
                            .node = in->options.node,
                            .nonce_window_ns = in->options.core.nonce_window_ns};
    wire_record record = {.received_ns = in->now_ns};
    memcpy(record.command, &term, sizeof term);
    s->records[s->count++] = record;
    const core_status status = apply_stage(in, s);
    if (status != CORE_OK) return replay_error(in, error, status);
    journal_append(in->journal, &record, 1);
    in->unpublished = true;
    in->counters.records++;
    found->term = term.term;
    return INGRESS_OK;
}

static ingress_status end_old_sessions(ingress *in, ingress_recovery *found, ingress_error *error) {
    for (uint32_t key = 1; key < in->options.core.key_count_max; key++) {
        core_key_info info;
        if (!core_key(in->core, key, &info)) continue;
        key_state *k = &in->states[key];
        k->last_client_sequence = info.last_client_sequence;
        k->last_report = info.last_report_number;
        k->session = info.session;
        if (!info.live) continue;
        if (journal_room_waiting(in, 1) != ROOM_YES) return no_room(in, error);
        const wire_logoff logoff = {.kind = KIND_LOGOFF, .session = info.session, .reason = LOGOFF_REASON_RESTARTED};
        core_status status = CORE_OK;
        if (record_system(in, &logoff, key, &status) != ROOM_YES) return no_room(in, error);
        if (status != CORE_OK) return replay_error(in, error, status);
        found->sessions_ended++;
    }
    return INGRESS_OK;
}

static ingress_status open_journal(ingress *in, ingress_recovery *found, ingress_error *error) {
    const ingress_options *o = &in->options;
    core_options replica = o->core;
    replica.event_mask = CORE_EVENTS_ALL; /* ours is for nobody; each replica chooses its own */
    const journal_options options = {.directory = o->journal_directory,
                                     .shard = o->shard,
                                     .segment_records = o->segment_records,
                                     .sync_interval_us = o->sync_interval_us,
                                     .free_bytes_min = o->free_bytes_min,
                                     .level = o->level,
                                     .sync_cpu = o->sync_cpu,
                                     .wake = o->wake,
                                     .replica_options = &replica,
                                     .replica_options_bytes = sizeof replica};
    const uint64_t from = core_sequence(in->core) > 0 ? core_sequence(in->core) : 1;
    journal_error why;
    if (journal_open(&options, in->host, from, &in->journal, &found->journal, &why) != JOURNAL_OK) {
        in->journal = NULL;
        return journal_error_of(error, &why);
    }
    if (found->journal.last_sequence >= core_sequence(in->core)) return INGRESS_OK;
    error->status = INGRESS_E_JOURNAL;
    snprintf(error->text, sizeof error->text, "the journal must reach the snapshot's sequence %llu, but ends at %llu",
             (unsigned long long)core_sequence(in->core), (unsigned long long)found->journal.last_sequence);
    snprintf(error->hint, sizeof error->hint,
             "restore the journal that this snapshot was taken from, or start without the snapshot");
    return INGRESS_E_JOURNAL;
}

static ingress_status replay_and_begin(ingress *in, ingress_recovery *found, ingress_error *error) {
    stage *s = malloc(sizeof *s);
    if (s == NULL) {
        error->status = INGRESS_E_MEMORY;
        snprintf(error->text, sizeof error->text, "%zu bytes must be free to replay the journal, were not", sizeof *s);
        return INGRESS_E_MEMORY;
    }
    s->count = 0;
    ingress_status status = replay(in, s, found->journal.last_sequence, found, error);
    ingress_enter(in);
    if (status == INGRESS_OK) status = begin_term(in, s, found, error);
    if (status == INGRESS_OK) status = end_old_sessions(in, found, error);
    free(s);
    return status;
}

ingress_status ingress_recover(ingress *in, const void *snapshot, size_t bytes, ingress_recovery *found,
                               ingress_error *error) {
    memset(found, 0, sizeof *found);
    memset(error, 0, sizeof *error);
    INGRESS_INVARIANT(!in->recovered && in->journal == NULL);
    const char *why = "";
    if (snapshot != NULL && core_load(in->core, snapshot, bytes, &why) != CORE_OK) {
        error->status = INGRESS_E_SNAPSHOT;
        snprintf(error->text, sizeof error->text, "%s", why);
        snprintf(error->hint, sizeof error->hint,
                 "use an older snapshot, or none: the journal replays what is missing");
        return INGRESS_E_SNAPSHOT;
    }
    found->snapshot_sequence = core_sequence(in->core);
    ingress_status status = open_journal(in, found, error);
    if (status == INGRESS_OK) status = replay_and_begin(in, found, error);
    if (status != INGRESS_OK) return status;
    in->recovered = true;
    in->digest_sequence = core_sequence(in->core);
    in->last_tick_ns = in->now_ns;
    in->last_tick_sequence = core_sequence(in->core);
    in->last_timer_ns = in->released_seen_ns = in->steady_ns;
    journal_publish(in->journal);
    in->unpublished = false;
    found->sequence = core_sequence(in->core);
    found->digest = core_digest(in->core);
    return INGRESS_OK;
}
