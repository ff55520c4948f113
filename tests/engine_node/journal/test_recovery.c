/* What a start finds: after a clean stop, a kill, a loss of power, a failed sync, and hands that touched the files.
 *
 * The sweeps run the same seeded work again and again and end it at another change each time; the model remembers what
 * was appended, what was published and what was promised as durable, and the next start is held against it:
 *
 *   promised durable ≤ last found ≤ appended,  after a kill published ≤ last found,  each record is the one appended
 */
#include <errno.h>

#include "tests/engine_node/journal/journal_help.h"

static uint8_t *record_at(host_sim *sim, uint64_t sequence) {
    uint64_t first = segment_first(SEGMENT_RECORDS, sequence);
    uint8_t *segment = segment_at(sim, first);
    CHECK(segment != NULL);
    return segment + record_offset(first, sequence);
}

/* A journal of `last` durable records, closed. */
static void made(host_sim *sim, const journal_options *options, uint64_t last) {
    journal *j = opened(sim, options, NULL);
    append_until(j, last);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
}

/* A journal of `durable` durable records and more, up to `last`, that are published and not synced; then a kill. */
static void made_and_killed(host_sim *sim, const journal_options *options, uint64_t durable, uint64_t last) {
    journal *j = opened(sim, options, NULL);
    append_until(j, durable);
    settle(j);
    append_until(j, last);
    journal_publish(j);
    host_sim_kill(sim);
    journal_close(j, NULL);
    host_sim_restart(sim);
}

static void expect_ticks(host_sim *sim, uint64_t last) {
    journal_reader *r = reading(sim, 1);
    CHECK_EQUAL(journal_reader_written(r), last);
    CHECK_EQUAL(read_ticks(r, UINT64_MAX), last);
    journal_reader_close(r);
}

/* ---- Torn tails -------------------------------------------------------------------------------------------------- */

static void test_a_torn_tail_above_the_durable_mark_is_cut_zeroed_and_reported(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    made_and_killed(sim, &options, 50, 60);
    record_at(sim, 56)[20] ^= 1;
    journal_recovery found;
    journal *j = opened(sim, &options, &found);
    CHECK_EQUAL(found.first_sequence, 1);
    CHECK_EQUAL(found.last_sequence, 55);
    CHECK_EQUAL(found.durable_sequence, 50);
    CHECK_EQUAL(found.torn_records, 5);
    CHECK(strcmp(found.torn_segment, "00000000000000000001.jnl") == 0);
    CHECK_EQUAL(found.torn_offset, 64 * 56);
    CHECK(all_zero(record_at(sim, 56), (SEGMENT_RECORDS - 55) * RECORD_BYTES));
    CHECK_EQUAL(journal_durable(j), 55);
    append_until(j, 70);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    expect_ticks(sim, 70);
    host_sim_close(sim);
}

static void test_an_empty_slot_above_the_durable_mark_ends_the_journal(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    made_and_killed(sim, &options, 50, 60);
    memset(record_at(sim, 53), 0, RECORD_BYTES);
    journal_recovery found;
    journal *j = opened(sim, &options, &found);
    CHECK_EQUAL(found.last_sequence, 52);
    CHECK_EQUAL(found.torn_records, 7);
    CHECK_EQUAL(found.torn_offset, 64 * 54);
    journal_close(j, NULL);
    host_sim_close(sim);
}

static void test_a_torn_tail_over_two_segments(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    made_and_killed(sim, &options, SEGMENT_RECORDS - 50, SEGMENT_RECORDS + 40);
    record_at(sim, SEGMENT_RECORDS - 9)[0] ^= 1;
    journal_recovery found;
    journal *j = opened(sim, &options, &found);
    CHECK_EQUAL(found.last_sequence, SEGMENT_RECORDS - 10);
    CHECK_EQUAL(found.torn_records, 50);
    CHECK(all_zero(segment_at(sim, SEGMENT_RECORDS + 1), segment_bytes(SEGMENT_RECORDS)));
    append_until(j, SEGMENT_RECORDS + 100);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    expect_ticks(sim, SEGMENT_RECORDS + 100);
    host_sim_close(sim);
}

static void test_a_torn_header_above_the_durable_mark_empties_its_segment(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    made_and_killed(sim, &options, SEGMENT_RECORDS, SEGMENT_RECORDS + 40);
    memset(segment_at(sim, SEGMENT_RECORDS + 1), 0, 64);
    journal_recovery found;
    journal *j = opened(sim, &options, &found);
    CHECK_EQUAL(found.last_sequence, SEGMENT_RECORDS);
    CHECK_EQUAL(found.torn_records, 40);
    append_until(j, SEGMENT_RECORDS + 3);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    expect_ticks(sim, SEGMENT_RECORDS + 3);
    host_sim_close(sim);
}

static void test_a_segment_missing_above_the_durable_mark_ends_the_journal(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    made_and_killed(sim, &options, SEGMENT_RECORDS, 2 * SEGMENT_RECORDS + 40);
    host_sim_drop(sim, WHERE, "00000000000000004097.jnl");
    journal_recovery found;
    journal *j = opened(sim, &options, &found);
    CHECK_EQUAL(found.last_sequence, SEGMENT_RECORDS);
    CHECK_EQUAL(found.torn_records, 40);
    append_until(j, 3 * SEGMENT_RECORDS + 3);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    expect_ticks(sim, 3 * SEGMENT_RECORDS + 3);
    host_sim_close(sim);
}

static void test_a_segment_cut_short_above_the_durable_mark_is_removed(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    made_and_killed(sim, &options, SEGMENT_RECORDS, SEGMENT_RECORDS + 40);
    host_sim_put(sim, WHERE, "00000000000000004097.jnl", "short", 5);
    journal_recovery found;
    journal *j = opened(sim, &options, &found);
    CHECK_EQUAL(found.last_sequence, SEGMENT_RECORDS);
    CHECK(found.torn_records > 0);
    CHECK(strcmp(found.torn_segment, "00000000000000004097.jnl") == 0);
    append_until(j, SEGMENT_RECORDS + 3);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    expect_ticks(sim, SEGMENT_RECORDS + 3);
    host_sim_close(sim);
}

/* ---- Damage ------------------------------------------------------------------------------------------------------ */

static void expect_damage(host_sim *sim, const journal_options *options, uint64_t first, uint64_t offset,
                          const char *text) {
    char name[32];
    segment_name(name, first);
    uint64_t changes = host_sim_changes(sim);
    journal_error error = refused(sim, options, 1);
    CHECK_EQUAL(error.status, JOURNAL_E_DAMAGED);
    CHECK(strcmp(error.segment, name) == 0);
    CHECK_EQUAL(error.offset, offset);
    CHECK_TEXT(error.text, text);
    CHECK_TEXT(error.hint, "Restore");
    CHECK_EQUAL(host_sim_changes(sim), changes); /* nothing was touched */
}

static void test_damage_below_the_durable_mark_stops_the_start_with_segment_and_offset(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    made(sim, &options, SEGMENT_RECORDS + 100);
    for (uint64_t sequence = 1; sequence <= SEGMENT_RECORDS + 100; sequence += 97) {
        uint64_t first = segment_first(SEGMENT_RECORDS, sequence);
        uint8_t *byte = record_at(sim, sequence) + sequence % RECORD_BYTES;
        *byte ^= 0x10;
        expect_damage(sim, &options, first, record_offset(first, sequence), "CRC");
        *byte ^= 0x10;
    }
    memset(record_at(sim, 77), 0, 1);
    expect_damage(sim, &options, 1, 64 * 77, "empty");
    record_at(sim, 77)[0] = KIND_CLOCK_TICK;
    segment_at(sim, SEGMENT_RECORDS + 1)[33] ^= 1;
    expect_damage(sim, &options, SEGMENT_RECORDS + 1, 0, "CRC");
    segment_at(sim, SEGMENT_RECORDS + 1)[33] ^= 1;
    journal *j = opened(sim, &options, NULL);
    journal_close(j, NULL);
    host_sim_close(sim);
}

static void test_a_missing_or_short_segment_below_the_durable_mark_is_damage(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    made(sim, &options, 2 * SEGMENT_RECORDS + 100);
    host_sim_put(sim, WHERE, "00000000000000004097.jnl", "short", 5);
    expect_damage(sim, &options, SEGMENT_RECORDS + 1, 0, "full size");
    host_sim_drop(sim, WHERE, "00000000000000004097.jnl");
    expect_damage(sim, &options, SEGMENT_RECORDS + 1, 0, "must exist");
    host_sim_drop(sim, WHERE, "00000000000000000001.jnl");
    host_sim_drop(sim, WHERE, "00000000000000008193.jnl");
    expect_damage(sim, &options, 2 * SEGMENT_RECORDS + 1, 0, "no segment at all");
    host_sim_close(sim);
}

/* A whole segment of another journal in the place of ours: each fits by itself, the chain does not. */
static void test_a_segment_of_another_journal_does_not_fit_the_chain(void) {
    host_sim *sim = host_sim_open(1), *other = host_sim_open(2);
    journal_options options = small_options(JOURNAL_DISK);
    made(sim, &options, SEGMENT_RECORDS + 100);
    journal *j = opened(other, &options, NULL);
    wire_record record = tick(999);
    CHECK_EQUAL(journal_reserve(j, 1), JOURNAL_OK);
    journal_append(j, &record, 1);
    append_until(j, SEGMENT_RECORDS + 100);
    journal_close(j, NULL);
    memcpy(segment_at(sim, SEGMENT_RECORDS + 1), segment_at(other, SEGMENT_RECORDS + 1),
           segment_bytes(SEGMENT_RECORDS));
    expect_damage(sim, &options, SEGMENT_RECORDS + 1, 0, "CRC of the record before");
    host_sim_close(other);
    host_sim_close(sim);
}

static void test_a_damaged_shared_page_stops_the_start(void) {
    static const size_t places[] = {3, 20, 36, 70, 4096, 4156};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        host_sim *sim = host_sim_open(1);
        journal_options options = small_options(JOURNAL_DISK);
        made(sim, &options, 10);
        host_sim_file(sim, WHERE, STATE_NAME, NULL)[places[i]] ^= 1;
        journal_error error = refused(sim, &options, 1);
        CHECK_EQUAL(error.status, JOURNAL_E_DAMAGED);
        CHECK(strcmp(error.segment, STATE_NAME) == 0);
        host_sim_put(sim, WHERE, STATE_NAME, "IRONJST1", 8);
        error = refused(sim, &options, 1);
        CHECK_TEXT(error.text, "8,192");
        host_sim_drop(sim, WHERE, STATE_NAME); /* as the hint says */
        journal *j = opened(sim, &options, NULL);
        CHECK_EQUAL(journal_last(j), 10);
        journal_close(j, NULL);
        host_sim_close(sim);
    }
}

static void test_without_the_shared_page_nothing_is_taken_for_torn(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    made(sim, &options, SEGMENT_RECORDS + 100);
    host_sim_drop(sim, WHERE, STATE_NAME);
    record_at(sim, SEGMENT_RECORDS + 90)[9] ^= 1;
    journal_error error = refused(sim, &options, 1);
    CHECK_EQUAL(error.status, JOURNAL_E_DAMAGED);
    CHECK_EQUAL(error.offset, 64 * 90);
    CHECK_TEXT(error.text, "nothing may be torn");
    record_at(sim, SEGMENT_RECORDS + 90)[9] ^= 1;
    journal_recovery found; /* the refused start made the file, and left it empty */
    journal *j = opened(sim, &options, &found);
    CHECK_EQUAL(found.last_sequence, SEGMENT_RECORDS + 100);
    journal_close(j, NULL);
    host_sim_close(sim);
}

/* ---- Where verification begins ----------------------------------------------------------------------------------- */

static void test_verification_begins_behind_the_snapshot(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    made(sim, &options, SEGMENT_RECORDS + 100);
    record_at(sim, 50)[8] ^= 1; /* below the snapshot: nobody looks */
    CHECK_EQUAL(refused(sim, &options, 50).status, JOURNAL_E_DAMAGED);
    for (uint64_t from = 51; from <= SEGMENT_RECORDS + 101; from += 1024) {
        journal *j = NULL;
        journal_recovery found;
        CHECK_EQUAL(journal_open(&options, host_sim_host(sim), from, &j, &found, NULL), JOURNAL_OK);
        CHECK_EQUAL(found.last_sequence, SEGMENT_RECORDS + 100);
        journal_close(j, NULL);
    }
    host_sim_close(sim);
}

static void test_a_snapshot_beyond_the_journal_is_refused(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_PROCESS);
    made_and_killed(sim, &options, 50, 60);
    memset(record_at(sim, 55), 0, RECORD_BYTES); /* the disk lost what level process does not promise */
    journal_error error = refused(sim, &options, 59);
    CHECK_EQUAL(error.status, JOURNAL_E_OPTIONS);
    CHECK_TEXT(error.hint, "older snapshot");
    journal *j = NULL;
    CHECK_EQUAL(journal_open(&options, host_sim_host(sim), 55, &j, NULL, NULL), JOURNAL_OK);
    CHECK_EQUAL(journal_last(j), 54);
    journal_close(j, NULL);
    host_sim_close(sim);
}

static void test_older_segments_may_be_removed_and_then_a_snapshot_is_needed(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    made(sim, &options, 2 * SEGMENT_RECORDS + 100);
    host_sim_drop(sim, WHERE, "00000000000000000001.jnl");
    journal_error error = refused(sim, &options, 1);
    CHECK_EQUAL(error.status, JOURNAL_E_CLOSED);
    CHECK_TEXT(error.hint, "snapshot");
    CHECK_EQUAL(refused(sim, &options, SEGMENT_RECORDS - 1).status, JOURNAL_E_CLOSED);
    for (uint64_t from = SEGMENT_RECORDS; /* a snapshot's own record is not needed */ from < 2 * SEGMENT_RECORDS + 100;
         from += 1000) {
        journal *j = NULL;
        journal_recovery found;
        CHECK_EQUAL(journal_open(&options, host_sim_host(sim), from, &j, &found, NULL), JOURNAL_OK);
        CHECK_EQUAL(found.first_sequence, SEGMENT_RECORDS + 1);
        CHECK_EQUAL(found.last_sequence, 2 * SEGMENT_RECORDS + 100);
        journal_close(j, NULL);
    }
    host_sim_close(sim);
}

/* The journal ends exactly with a segment, and only the empty next one is left of it. */
static void test_only_an_empty_segment_is_left(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    made(sim, &options, SEGMENT_RECORDS);
    journal *j = opened(sim, &options, NULL); /* begins the second segment */
    journal_close(j, NULL);
    host_sim_drop(sim, WHERE, "00000000000000000001.jnl");
    journal_recovery found;
    CHECK_EQUAL(journal_open(&options, host_sim_host(sim), SEGMENT_RECORDS + 1, &j, &found, NULL), JOURNAL_OK);
    append_until(j, SEGMENT_RECORDS + 10);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    journal_reader *r = reading(sim, SEGMENT_RECORDS + 1);
    CHECK_EQUAL(read_ticks(r, UINT64_MAX), 10);
    journal_reader_close(r);
    host_sim_close(sim);
}

/* ---- What is published, and what is not -------------------------------------------------------------------------- */

static void test_a_record_stored_and_not_published_is_kept_if_its_chain_is_whole(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_PROCESS);
    journal *j = opened(sim, &options, NULL);
    append_until(j, 20);
    journal_publish(j);
    append_until(j, 25);
    host_sim_kill(sim);
    journal_close(j, NULL);
    host_sim_restart(sim);
    journal_recovery found;
    j = opened(sim, &options, &found);
    CHECK_EQUAL(found.last_sequence, 25);
    CHECK_EQUAL(found.torn_records, 0);
    journal_close(j, NULL);
    host_sim_close(sim);
}

static void test_a_record_half_stored_at_the_kill_is_cut(void) {
    for (size_t bytes = 1; bytes < RECORD_BYTES; bytes++) {
        host_sim *sim = host_sim_open(1);
        journal_options options = small_options(JOURNAL_PROCESS);
        made_and_killed(sim, &options, 5, 20);
        wire_record last;
        memcpy(&last, record_at(sim, 20), sizeof last);
        memset(record_at(sim, 20) + bytes, 0, RECORD_BYTES - bytes);
        bool same = memcmp(&last, record_at(sim, 20), sizeof last) == 0;
        journal_recovery found;
        journal *j = opened(sim, &options, &found);
        CHECK_EQUAL(found.last_sequence, same ? 20 : 19);
        CHECK_EQUAL(found.torn_records, same ? 0 : 1);
        journal_close(j, NULL);
        host_sim_close(sim);
    }
}

static void append_kinds(journal *j, const uint8_t *kinds, uint32_t count) {
    wire_record records[4];
    for (uint32_t i = 0; i < count; i++) {
        records[i] = tick(journal_last(j) + 1 + i);
        records[i].command[0] = kinds[i];
    }
    CHECK_EQUAL(journal_reserve(j, count), JOURNAL_OK);
    journal_append(j, records, count);
}

static uint64_t last_after_kill(host_sim *sim, journal *j, const journal_options *options) {
    host_sim_kill(sim);
    journal_close(j, NULL);
    host_sim_restart(sim);
    journal_recovery found;
    j = opened(sim, options, &found);
    append_until(j, found.last_sequence + 1); /* the chain goes on from there */
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    j = opened(sim, options, NULL);
    CHECK_EQUAL(journal_last(j), found.last_sequence + 1);
    journal_close(j, NULL);
    return found.last_sequence;
}

static void test_prefixes_without_their_command_are_cut(void) {
    static const uint8_t group[] = {KIND_TEXT, KIND_NONCE, KIND_NEW_ORDER};
    journal_options options = small_options(JOURNAL_PROCESS);
    for (uint32_t stored = 0; stored <= 3; stored++) {
        host_sim *sim = host_sim_open(1);
        journal *j = opened(sim, &options, NULL);
        append_until(j, 20);
        journal_publish(j);
        append_kinds(j, group, 3);
        memset(record_at(sim, 21 + stored), 0, (3 - stored) * RECORD_BYTES); /* killed in the middle of the copy */
        CHECK_EQUAL(last_after_kill(sim, j, &options), stored == 3 ? 23 : 20);
        host_sim_close(sim);
    }
}

static void test_prefixes_without_their_command_are_cut_across_segments(void) {
    static const uint8_t group[] = {KIND_TEXT, KIND_NONCE, KIND_NEW_ORDER};
    journal_options options = small_options(JOURNAL_PROCESS);
    host_sim *sim = host_sim_open(1);
    journal *j = opened(sim, &options, NULL);
    append_until(j, SEGMENT_RECORDS - 1);
    settle(j);
    append_kinds(j, group, 3);
    memset(record_at(sim, SEGMENT_RECORDS + 2), 0, RECORD_BYTES);
    CHECK_EQUAL(last_after_kill(sim, j, &options), SEGMENT_RECORDS - 1);
    host_sim_close(sim);
}

static void test_prefixes_published_by_themselves_stay(void) {
    static const uint8_t alone[] = {KIND_TEXT, KIND_NONCE};
    journal_options options = small_options(JOURNAL_PROCESS);
    host_sim *sim = host_sim_open(1);
    journal *j = opened(sim, &options, NULL);
    append_until(j, 20);
    append_kinds(j, alone, 2);
    journal_publish(j); /* a void group: the client sent them and was gone; readers have seen them */
    append_kinds(j, alone, 1);
    CHECK_EQUAL(last_after_kill(sim, j, &options), 22);
    host_sim_close(sim);
}

/* ---- Failed syncs ------------------------------------------------------------------------------------------------ */

/* The kernel calls pages clean that never reached the disk: a start that believed it would promise and lose them. */
static void test_what_a_failed_sync_left_behind_is_written_again_before_it_is_promised(void) {
    for (uint64_t seed = 1; seed <= 20; seed++) {
        host_sim *sim = host_sim_open(seed);
        journal_options options = small_options(JOURNAL_DISK);
        journal *j = opened(sim, &options, NULL);
        append_until(j, SEGMENT_RECORDS - 30);
        settle(j);
        append_until(j, SEGMENT_RECORDS + 30);
        journal_publish(j);
        host_sim_fail_sync(sim, (uint32_t)(seed % 2), EIO);
        journal_step(j);
        CHECK(journal_failure(j) != NULL);
        CHECK(journal_released(j) < SEGMENT_RECORDS + 30);
        host_sim_kill(sim); /* the process ends, as it must */
        journal_close(j, NULL);
        host_sim_restart(sim);
        j = opened(sim, &options, NULL);
        uint64_t promised = journal_durable(j);
        CHECK_EQUAL(promised, SEGMENT_RECORDS + 30); /* a page of the cache lost nothing */
        host_sim_power_cut(sim);
        journal_close(j, NULL);
        host_sim_restart(sim);
        j = opened(sim, &options, NULL);
        CHECK(journal_last(j) >= promised);
        journal_close(j, NULL);
        expect_ticks(sim, promised);
        host_sim_close(sim);
    }
}

/* ---- Sweeps ------------------------------------------------------------------------------------------------------ */

#define MODEL_MAX (3 * SEGMENT_RECORDS)

typedef struct model {
    uint8_t kinds[MODEL_MAX + 8];     /* of each record appended, by sequence */
    uint64_t contents[MODEL_MAX + 8]; /* likewise */
    uint64_t appended, published, durable;
    uint64_t next_content;
} model;

static void work_append(host_sim *sim, journal *j, model *m) {
    uint32_t count = 1 + (uint32_t)host_sim_below(sim, 4);
    if (m->appended + count > MODEL_MAX || journal_reserve(j, count) != JOURNAL_OK) return;
    wire_record records[4];
    for (uint32_t i = 0; i < count; i++) {
        uint64_t sequence = m->appended + 1 + i;
        records[i] = tick(++m->next_content);
        if (i + 1 < count) records[i].command[0] = KIND_TEXT;
        m->kinds[sequence] = records[i].command[0];
        m->contents[sequence] = m->next_content;
    }
    journal_append(j, records, count);
    m->appended += count;
}

static void note_promises(const host_sim *sim, const journal *j, model *m) {
    if (host_sim_is_off(sim)) return;
    m->published = journal_written(j);
    if (journal_durable(j) > m->durable) m->durable = journal_durable(j);
}

/* Some appends, publications, syncs, and write-backs that nobody asked for; ends early when the machine does. */
static void work(host_sim *sim, journal *j, model *m, uint32_t steps) {
    for (uint32_t step = 0; step < steps && !host_sim_is_off(sim); step++) {
        switch (host_sim_below(sim, 8)) {
        case 0: journal_step(j); break;
        case 1: host_sim_writeback(sim); break;
        case 2: host_sim_advance(sim, MARK_INTERVAL_NS / 2); break;
        case 3: journal_publish(j); break;
        default: work_append(sim, j, m); break;
        }
        note_promises(sim, j, m);
    }
}

/* Start on whatever is there and hold it against the model. NULL: the machine ended again while it started. */
static journal *start_and_compare(host_sim *sim, const journal_options *options, model *m, bool killed) {
    journal *j = NULL;
    journal_recovery found;
    journal_error error = {0};
    journal_status status = journal_open(options, host_sim_host(sim), 1, &j, &found, &error);
    if (host_sim_is_off(sim)) {
        if (status == JOURNAL_OK) journal_close(j, NULL);
        return NULL;
    }
    if (status != JOURNAL_OK) fprintf(stderr, "%s (%s, byte %" PRIu64 ")\n", error.text, error.segment, error.offset);
    CHECK_EQUAL(status, JOURNAL_OK);
    uint64_t last = journal_last(j);
    CHECK(last >= m->durable && last <= m->appended);
    CHECK(!killed || last >= m->published);
    CHECK(last == 0 || last == m->published || m->kinds[last] == KIND_CLOCK_TICK);
    journal_reader *r = reading(sim, 1);
    for (uint64_t sequence = 1; sequence <= last;) {
        const wire_record *records;
        uint32_t count;
        CHECK_EQUAL(journal_reader_next(r, UINT64_MAX, 4096, &records, &count, NULL), JOURNAL_OK);
        CHECK(count > 0);
        for (uint32_t i = 0; i < count; i++, sequence++) {
            CHECK(content_of(&records[i]) == m->contents[sequence] && records[i].command[0] == m->kinds[sequence]);
        }
    }
    CHECK_EQUAL(journal_reader_place(r), last + 1);
    journal_reader_close(r);
    m->appended = m->published = m->durable = last;
    return j;
}

/* One life after another on the same machine; `change` is how many changes the first one and the start behind it may
 * make. */
static bool lives(uint64_t seed, uint64_t change, bool kill) {
    host_sim *sim = host_sim_open(seed);
    journal_options options = small_options(seed % 2 == 0 ? JOURNAL_DISK : JOURNAL_PROCESS);
    model *m = calloc(1, sizeof *m);
    CHECK(m != NULL);
    journal *j = opened(sim, &options, NULL);
    while (m->appended + 40 < SEGMENT_RECORDS) work_append(sim, j, m); /* so that the work crosses a segment's end */
    settle(j);
    note_promises(sim, j, m);
    if (!kill) host_sim_power_cut_at(sim, host_sim_changes(sim) + change);
    work(sim, j, m, kill ? (uint32_t)change : 150);
    bool reached = host_sim_is_off(sim);
    if (kill) host_sim_kill(sim);
    else host_sim_power_cut(sim);
    journal_close(j, NULL);
    for (uint64_t life = 0; life < 3; life++) {
        host_sim_restart(sim);
        if (life == 1) host_sim_power_cut_at(sim, host_sim_changes(sim) + 1 + (seed + change) % 12);
        j = start_and_compare(sim, &options, m, kill && life == 0);
        if (j == NULL) continue;
        host_sim_power_cut_at(sim, 0);
        work(sim, j, m, 40);
        host_sim_power_cut(sim);
        journal_close(j, NULL);
    }
    host_sim_restart(sim);
    j = start_and_compare(sim, &options, m, false);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    free(m);
    host_sim_close(sim);
    return reached;
}

/* IRONBOOK_SOAK=1: a hundred times as many. */
static uint64_t sweeps(uint64_t count) {
    const char *soak = getenv("IRONBOOK_SOAK");
    return soak != NULL && soak[0] == '1' ? 100 * count : count;
}

static void test_power_cut_at_every_change(void) {
    for (uint64_t seed = 1; seed <= sweeps(3); seed++) {
        uint64_t change = 1;
        while (lives(seed, change, false)) change++;
        CHECK(change > 8); /* a segment was made on the way */
    }
}

static void test_kill_after_every_step(void) {
    for (uint64_t seed = 1; seed <= sweeps(3); seed++) {
        for (uint32_t steps = 1; steps <= 120; steps += 5) lives(seed, steps, true);
    }
}

static void test_power_cut_at_every_change_of_the_very_first_start(void) {
    for (uint64_t seed = 1; seed <= 5; seed++) {
        bool done = false;
        for (uint64_t change = 1; !done; change++) {
            host_sim *sim = host_sim_open(seed * 1000 + change);
            journal_options options = small_options(JOURNAL_DISK);
            host_sim_power_cut_at(sim, change);
            journal *j = NULL;
            done = journal_open(&options, host_sim_host(sim), 1, &j, NULL, NULL) == JOURNAL_OK;
            if (!done) CHECK(host_sim_is_off(sim));
            if (done) journal_close(j, NULL);
            host_sim_restart(sim);
            journal_recovery found;
            j = opened(sim, &options, &found);
            CHECK_EQUAL(found.last_sequence, 0);
            append_until(j, 10);
            CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
            expect_ticks(sim, 10);
            host_sim_close(sim);
        }
    }
}

int main(void) {
    RUN(test_a_torn_tail_above_the_durable_mark_is_cut_zeroed_and_reported);
    RUN(test_an_empty_slot_above_the_durable_mark_ends_the_journal);
    RUN(test_a_torn_tail_over_two_segments);
    RUN(test_a_torn_header_above_the_durable_mark_empties_its_segment);
    RUN(test_a_segment_missing_above_the_durable_mark_ends_the_journal);
    RUN(test_a_segment_cut_short_above_the_durable_mark_is_removed);
    RUN(test_damage_below_the_durable_mark_stops_the_start_with_segment_and_offset);
    RUN(test_a_missing_or_short_segment_below_the_durable_mark_is_damage);
    RUN(test_a_segment_of_another_journal_does_not_fit_the_chain);
    RUN(test_a_damaged_shared_page_stops_the_start);
    RUN(test_without_the_shared_page_nothing_is_taken_for_torn);
    RUN(test_verification_begins_behind_the_snapshot);
    RUN(test_a_snapshot_beyond_the_journal_is_refused);
    RUN(test_older_segments_may_be_removed_and_then_a_snapshot_is_needed);
    RUN(test_only_an_empty_segment_is_left);
    RUN(test_a_record_stored_and_not_published_is_kept_if_its_chain_is_whole);
    RUN(test_a_record_half_stored_at_the_kill_is_cut);
    RUN(test_prefixes_without_their_command_are_cut);
    RUN(test_prefixes_without_their_command_are_cut_across_segments);
    RUN(test_prefixes_published_by_themselves_stay);
    RUN(test_what_a_failed_sync_left_behind_is_written_again_before_it_is_promised);
    RUN(test_power_cut_at_every_change);
    RUN(test_kill_after_every_step);
    RUN(test_power_cut_at_every_change_of_the_very_first_start);
    return checks_done();
}
