/* What the journal's tests share: records whose content follows from their sequence, and a journal on a simulated
 * machine. */
#ifndef IRONBOOK_JOURNAL_HELP_H
#define IRONBOOK_JOURNAL_HELP_H

#include "engine_node/journal/internal.h"
#include "tests/support/check.h"
#include "tests/support/host_sim.h"

#define WHERE "journal"
#define SEGMENT_RECORDS 4096u

static inline wire_record tick(uint64_t content) {
    wire_record record = {.command = {KIND_CLOCK_TICK}, .key = (uint32_t)content, .received_ns = 1000 + content};
    memcpy(record.command + 8, &content, sizeof content);
    return record;
}

static inline uint64_t content_of(const wire_record *record) {
    uint64_t content;
    memcpy(&content, record->command + 8, sizeof content);
    return content;
}

static inline journal_options small_options(journal_level level) {
    return (journal_options){.directory = WHERE,
                             .shard = 7,
                             .segment_records = SEGMENT_RECORDS,
                             .sync_interval_us = 50,
                             .level = level,
                             .sync_cpu = JOURNAL_STEPPED,
                             .wake = -1};
}

static inline journal *opened(host_sim *sim, const journal_options *options, journal_recovery *found) {
    journal *j = NULL;
    journal_error error = {0};
    journal_status status = journal_open(options, host_sim_host(sim), 1, &j, found, &error);
    if (status != JOURNAL_OK) fprintf(stderr, "%s (%s, byte %" PRIu64 ")\n", error.text, error.segment, error.offset);
    CHECK_EQUAL(status, JOURNAL_OK);
    return j;
}

static inline journal_error refused(host_sim *sim, const journal_options *options, uint64_t verify_from) {
    journal *j = NULL;
    journal_error error = {0};
    journal_recovery found;
    journal_status status = journal_open(options, host_sim_host(sim), verify_from, &j, &found, &error);
    CHECK(status != JOURNAL_OK);
    CHECK_EQUAL(error.status, status);
    CHECK(j == NULL);
    CHECK(error.text[0] != 0 && error.hint[0] != 0);
    return error;
}

/* Append ticks whose content is their sequence, up to and with `last`; segments are prepared, nothing is synced. */
static inline void append_until(journal *j, uint64_t last) {
    while (journal_last(j) < last) {
        journal_status status = journal_reserve(j, 1);
        if (status == JOURNAL_WAIT) {
            journal_publish(j);
            CHECK(background_keep(j));
            continue;
        }
        CHECK_EQUAL(status, JOURNAL_OK);
        wire_record record = tick(journal_last(j) + 1);
        journal_append(j, &record, 1);
    }
}

static inline void settle(journal *j) {
    journal_publish(j);
    while (journal_step(j)) continue;
}

static inline journal_reader *reading(host_sim *sim, uint64_t from) {
    journal_reader *r = NULL;
    journal_error error = {0};
    journal_status status = journal_reader_open(WHERE, host_sim_host(sim), from, &r, &error);
    if (status != JOURNAL_OK) fprintf(stderr, "%s\n", error.text);
    CHECK_EQUAL(status, JOURNAL_OK);
    return r;
}

/* Read on to the end: each record must be the tick of its sequence. Returns how many there were. */
static inline uint64_t read_ticks(journal_reader *r, uint64_t limit) {
    uint64_t seen = 0;
    for (;;) {
        const wire_record *records;
        uint32_t count;
        journal_error error = {0};
        uint64_t place = journal_reader_place(r);
        journal_status status = journal_reader_next(r, limit, 1000, &records, &count, &error);
        if (status != JOURNAL_OK)
            fprintf(stderr, "%s (%s, byte %" PRIu64 ")\n", error.text, error.segment, error.offset);
        CHECK_EQUAL(status, JOURNAL_OK);
        if (count == 0) return seen;
        for (uint32_t i = 0; i < count; i++) CHECK(content_of(&records[i]) == place + i);
        CHECK_EQUAL(journal_reader_place(r), place + count);
        seen += count;
    }
}

static inline uint8_t *segment_at(host_sim *sim, uint64_t first) {
    char name[32];
    segment_name(name, first);
    return host_sim_file(sim, WHERE, name, NULL);
}

#endif
