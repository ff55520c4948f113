/* The writer: reserve, append, publish; what each level releases; segments that follow each other; a disk that is full;
 * a sync that fails. Every status that a writer can return has a test here that produces it. */
#include <errno.h>

#include "tests/engine_node/journal/journal_help.h"

static void test_records_are_read_back_as_they_were_appended(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_PROCESS);
    journal_recovery found;
    journal *j = opened(sim, &options, &found);
    CHECK_EQUAL(found.first_sequence, 1);
    CHECK_EQUAL(found.last_sequence, 0);
    CHECK_EQUAL(found.torn_records, 0);
    CHECK_EQUAL(journal_last(j), 0);
    append_until(j, 100);
    CHECK_EQUAL(journal_last(j), 100);
    journal_publish(j);
    journal_reader *r = reading(sim, 1);
    CHECK_EQUAL(read_ticks(r, UINT64_MAX), 100);
    CHECK_EQUAL(read_ticks(r, UINT64_MAX), 0);
    append_until(j, 150);
    CHECK_EQUAL(read_ticks(r, UINT64_MAX), 0);
    journal_publish(j);
    CHECK_EQUAL(read_ticks(r, UINT64_MAX), 50);
    journal_reader_close(r);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    host_sim_close(sim);
}

static void test_appending_sets_the_crc_that_it_stores(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_PROCESS);
    journal *j = opened(sim, &options, NULL);
    wire_record records[3] = {tick(1), tick(2), tick(3)};
    CHECK_EQUAL(journal_reserve(j, 3), JOURNAL_OK);
    journal_append(j, records, 3);
    uint32_t crc = 0;
    for (int i = 0; i < 3; i++) {
        CHECK_EQUAL(records[i].crc, journal_record_crc(crc, &records[i]));
        crc = records[i].crc;
    }
    CHECK(memcmp(segment_at(sim, 1) + 64, records, sizeof records) == 0);
    journal_close(j, NULL);
    host_sim_close(sim);
}

static void test_level_process_releases_with_the_publication(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_PROCESS);
    journal *j = opened(sim, &options, NULL);
    append_until(j, 10);
    CHECK_EQUAL(journal_written(j), 0);
    CHECK_EQUAL(journal_released(j), 0);
    journal_publish(j);
    CHECK_EQUAL(journal_written(j), 10);
    CHECK_EQUAL(journal_released(j), 10);
    CHECK_EQUAL(journal_durable(j), 0);
    CHECK(journal_step(j));
    CHECK_EQUAL(journal_durable(j), 10);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    host_sim_close(sim);
}

static void test_level_disk_releases_after_the_sync_and_wakes(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    options.wake = 9;
    journal *j = opened(sim, &options, NULL);
    append_until(j, 10);
    journal_publish(j);
    CHECK_EQUAL(journal_written(j), 10);
    CHECK_EQUAL(journal_released(j), 0);
    host_sim_wakes(sim, 9);
    CHECK(journal_step(j));
    CHECK_EQUAL(journal_durable(j), 10);
    CHECK_EQUAL(journal_released(j), 10);
    CHECK_EQUAL(host_sim_wakes(sim, 9), 1);
    CHECK(!journal_step(j));
    CHECK_EQUAL(host_sim_wakes(sim, 9), 0);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    host_sim_close(sim);
}

static void test_the_durable_mark_is_recorded_at_most_each_100_ms(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    journal *j = opened(sim, &options, NULL);
    const state_page *page = (const state_page *)host_sim_file(sim, WHERE, STATE_NAME, NULL);
    append_until(j, 10);
    settle(j);
    CHECK_EQUAL(page->mark.durable, 0);
    host_sim_advance(sim, 99999999);
    settle(j);
    CHECK_EQUAL(page->mark.durable, 0);
    host_sim_advance(sim, 1);
    settle(j);
    CHECK_EQUAL(page->mark.durable, 10);
    CHECK(state_mark_check(&page->mark) == NULL);
    append_until(j, 20);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    CHECK_EQUAL(((const state_page *)host_sim_file(sim, WHERE, STATE_NAME, NULL))->mark.durable, 20);
    host_sim_close(sim);
}

static void test_the_durable_mark_never_names_what_is_not_durable(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_PROCESS);
    journal *j = opened(sim, &options, NULL);
    append_until(j, 10);
    settle(j);
    append_until(j, 20);
    journal_publish(j);
    host_sim_advance(sim, MARK_INTERVAL_NS);
    CHECK(background_keep(j)); /* the keeper comes before the sync */
    CHECK_EQUAL(((const state_page *)host_sim_file(sim, WHERE, STATE_NAME, NULL))->mark.durable, 10);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    host_sim_close(sim);
}

static void test_the_next_segment_is_prepared_when_the_present_one_is_half_full(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_PROCESS);
    options.wake = 9;
    journal *j = opened(sim, &options, NULL);
    append_until(j, SEGMENT_RECORDS / 2 - 1);
    settle(j);
    CHECK(segment_at(sim, 1 + SEGMENT_RECORDS) == NULL);
    CHECK_EQUAL(host_sim_wakes(sim, 9), 0);
    append_until(j, SEGMENT_RECORDS / 2);
    settle(j);
    CHECK(segment_at(sim, 1 + SEGMENT_RECORDS) != NULL);
    CHECK_EQUAL(host_sim_wakes(sim, 9), 1);
    journal_close(j, NULL);
    host_sim_close(sim);
}

static void test_a_group_goes_across_the_end_of_a_segment(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    journal *j = opened(sim, &options, NULL);
    append_until(j, SEGMENT_RECORDS - 2);
    settle(j);
    CHECK_EQUAL(journal_reserve(j, 4), JOURNAL_OK);
    wire_record records[4];
    for (uint64_t i = 0; i < 4; i++) records[i] = tick(SEGMENT_RECORDS - 1 + i);
    journal_append(j, records, 4);
    settle(j);
    CHECK_EQUAL(journal_durable(j), SEGMENT_RECORDS + 2);
    journal_reader *r = reading(sim, 1);
    CHECK_EQUAL(read_ticks(r, UINT64_MAX), SEGMENT_RECORDS + 2);
    journal_reader_close(r);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    host_sim_close(sim);
}

static void test_waiting_until_the_next_segment_is_ready(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_PROCESS);
    options.wake = 9;
    journal *j = opened(sim, &options, NULL);
    append_until(j, SEGMENT_RECORDS - 2);
    CHECK_EQUAL(journal_reserve(j, 2), JOURNAL_OK);
    CHECK_EQUAL(journal_reserve(j, 3), JOURNAL_WAIT);
    CHECK_EQUAL(journal_reserve(j, 2), JOURNAL_OK);
    append_until(j, SEGMENT_RECORDS);
    CHECK_EQUAL(journal_reserve(j, 1), JOURNAL_WAIT);
    CHECK(journal_failure(j) == NULL);
    journal_publish(j);
    CHECK(journal_step(j));
    CHECK_EQUAL(host_sim_wakes(sim, 9), 1);
    CHECK_EQUAL(journal_reserve(j, 1), JOURNAL_OK);
    append_until(j, SEGMENT_RECORDS + 5);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    host_sim_close(sim);
}

static void test_many_segments_and_no_more_than_eight_open(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    journal *j = opened(sim, &options, NULL);
    for (uint64_t last = 1000; last <= 20 * SEGMENT_RECORDS; last += 1000) {
        append_until(j, last);
        settle(j);
    }
    CHECK(j->newest_first - j->kept_first <= SEGMENT_RECORDS);
    uint64_t last = journal_last(j);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    journal_reader *r = reading(sim, 1);
    CHECK_EQUAL(read_ticks(r, UINT64_MAX), last);
    journal_reader_close(r);
    journal_recovery found;
    j = opened(sim, &options, &found);
    CHECK_EQUAL(found.last_sequence, last);
    CHECK_EQUAL(found.torn_records, 0);
    journal_close(j, NULL);
    host_sim_close(sim);
}

/* The sync does not come along: the writer is held up rather than the machine's memory filled. */
static void test_a_sync_that_lags_holds_the_writer_up(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_PROCESS);
    journal *j = opened(sim, &options, NULL);
    uint64_t segments = 1;
    for (;; segments++) {
        for (uint64_t i = journal_last(j); i < segments * SEGMENT_RECORDS; i++) {
            CHECK_EQUAL(journal_reserve(j, 1), JOURNAL_OK);
            wire_record record = tick(i + 1);
            journal_append(j, &record, 1);
        }
        journal_publish(j);
        background_keep(j);
        if (journal_reserve(j, 1) == JOURNAL_WAIT) break;
    }
    CHECK_EQUAL(segments, SEGMENTS_OPEN_MAX);
    settle(j);
    CHECK_EQUAL(journal_reserve(j, 1), JOURNAL_OK);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    host_sim_close(sim);
}

/* ---- No room ----------------------------------------------------------------------------------------------------- */

static void test_a_full_disk_refuses_clearly_and_takes_commands_again_when_there_is_room(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    options.wake = 9;
    journal *j = opened(sim, &options, NULL);
    host_sim_room(sim, 1000);
    append_until(j, SEGMENT_RECORDS);
    settle(j);
    CHECK_EQUAL(journal_durable(j), SEGMENT_RECORDS); /* what there was room for is safe */
    CHECK_EQUAL(journal_reserve(j, 1), JOURNAL_E_NO_ROOM);
    const journal_error *failure = journal_failure(j);
    CHECK(failure != NULL && failure->status == JOURNAL_E_NO_ROOM && failure->system == ENOSPC);
    CHECK(strcmp(failure->segment, "00000000000000004097.jnl") == 0);
    CHECK_TEXT(failure->hint, "Free disk space");
    host_sim_room(sim, 1 << 20);
    CHECK(!journal_step(j)); /* asked again only after a while */
    CHECK_EQUAL(journal_reserve(j, 1), JOURNAL_E_NO_ROOM);
    host_sim_advance(sim, ROOM_RETRY_NS);
    host_sim_wakes(sim, 9);
    CHECK(journal_step(j));
    CHECK_EQUAL(host_sim_wakes(sim, 9), 1);
    CHECK(journal_failure(j) == NULL);
    CHECK_EQUAL(journal_reserve(j, 1), JOURNAL_OK);
    append_until(j, SEGMENT_RECORDS + 10);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    host_sim_close(sim);
}

static void test_room_that_must_stay_free_is_left_alone(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    options.free_bytes_min = 1000000;
    host_sim_room(sim, 1000000 + (int64_t)segment_bytes(SEGMENT_RECORDS));
    journal_error error = refused(sim, &options, 1); /* journal.state takes some of it */
    CHECK_EQUAL(error.status, JOURNAL_E_NO_ROOM);
    host_sim_room(sim, 1000000 + (int64_t)segment_bytes(SEGMENT_RECORDS));
    journal *j = opened(sim, &options, NULL);
    append_until(j, SEGMENT_RECORDS);
    settle(j);
    CHECK_EQUAL(journal_reserve(j, 1), JOURNAL_E_NO_ROOM);
    journal_close(j, NULL);
    host_sim_close(sim);
}

/* Wherever the disk says no while a segment is made, nothing is left behind and a later attempt succeeds. */
static void test_every_place_where_preparing_a_segment_may_fail(void) {
    for (uint64_t step = 1;; step++) {
        host_sim *sim = host_sim_open(step);
        journal_options options = small_options(JOURNAL_DISK);
        journal *j = opened(sim, &options, NULL);
        append_until(j, SEGMENT_RECORDS);
        journal_publish(j);
        CHECK(background_sync(j));
        host_sim_fail_change(sim, host_sim_changes(sim) + step, ENOSPC);
        bool prepared = background_keep(j);
        CHECK_EQUAL(journal_reserve(j, 1), prepared ? JOURNAL_OK : JOURNAL_E_NO_ROOM);
        host_sim_fail_change(sim, 0, 0);
        host_sim_advance(sim, ROOM_RETRY_NS);
        settle(j);
        CHECK_EQUAL(journal_reserve(j, 1), JOURNAL_OK);
        CHECK(host_sim_file(sim, WHERE, PREPARED_NAME, NULL) == NULL);
        append_until(j, SEGMENT_RECORDS + 100);
        CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
        host_sim_close(sim);
        if (prepared) break; /* the failing change lies behind the last one that is needed */
    }
}

/* ---- A sync that fails ------------------------------------------------------------------------------------------- */

static void test_a_failed_sync_is_final(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    options.wake = 9;
    journal *j = opened(sim, &options, NULL);
    append_until(j, 10);
    settle(j);
    append_until(j, 20);
    journal_publish(j);
    host_sim_wakes(sim, 9);
    host_sim_fail_sync(sim, 0, EIO);
    journal_step(j);
    CHECK_EQUAL(journal_durable(j), 10);
    CHECK_EQUAL(journal_released(j), 10);
    const journal_error *failure = journal_failure(j);
    CHECK(failure != NULL && failure->status == JOURNAL_E_SYSTEM && failure->system == EIO);
    CHECK_EQUAL(failure->sequence, 11);
    CHECK_EQUAL(failure->offset, 64 * 11);
    CHECK_EQUAL(host_sim_wakes(sim, 9), 1);
    CHECK_EQUAL(journal_reserve(j, 1), JOURNAL_E_SYSTEM);
    host_sim_advance(sim, 10 * (uint64_t)MARK_INTERVAL_NS);
    CHECK(!journal_step(j)); /* the kernel would say "done" the second time: nobody asks */
    CHECK_EQUAL(journal_durable(j), 10);
    journal_error error;
    CHECK_EQUAL(journal_close(j, &error), JOURNAL_E_SYSTEM);
    CHECK_EQUAL(error.system, EIO);
    host_sim_close(sim);
}

static void test_a_failed_sync_of_the_mark_is_final_too(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    journal *j = opened(sim, &options, NULL);
    append_until(j, 10);
    settle(j);
    host_sim_advance(sim, MARK_INTERVAL_NS);
    host_sim_fail_sync(sim, 0, EIO);
    journal_step(j);
    CHECK(journal_failure(j) != NULL);
    CHECK(strcmp(journal_failure(j)->segment, STATE_NAME) == 0);
    CHECK_EQUAL(journal_reserve(j, 1), JOURNAL_E_SYSTEM);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_E_SYSTEM);
    host_sim_close(sim);
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

static void test_options_out_of_range_are_refused(void) {
    host_sim *sim = host_sim_open(1);
    const journal_options good = small_options(JOURNAL_PROCESS);
    journal_options bad = good;
    bad.directory = NULL;
    CHECK_TEXT(refused(sim, &bad, 1).text, "directory");
    bad = good;
    bad.segment_records = 2048;
    CHECK_TEXT(refused(sim, &bad, 1).text, "segment_records");
    bad.segment_records = 1u << 25;
    CHECK_TEXT(refused(sim, &bad, 1).text, "segment_records");
    bad.segment_records = 5000;
    CHECK_TEXT(refused(sim, &bad, 1).text, "segment_records");
    bad = good;
    bad.sync_interval_us = 1000001;
    CHECK_TEXT(refused(sim, &bad, 1).text, "sync_interval_us");
    bad = good;
    bad.free_bytes_min = -1;
    CHECK_TEXT(refused(sim, &bad, 1).text, "free_bytes_min");
    bad = good;
    bad.level = 0;
    CHECK_TEXT(refused(sim, &bad, 1).text, "level");
    bad.level = 4;
    CHECK_TEXT(refused(sim, &bad, 1).text, "level");
    bad = good;
    bad.sync_cpu = -3;
    CHECK_TEXT(refused(sim, &bad, 1).text, "sync_cpu");
    bad = good;
    bad.replica_options_bytes = 257;
    CHECK_TEXT(refused(sim, &bad, 1).text, "replica_options");
    bad.replica_options_bytes = 4;
    CHECK_TEXT(refused(sim, &bad, 1).text, "replica_options");
    CHECK_EQUAL(refused(sim, &good, 0).status, JOURNAL_E_OPTIONS);
    CHECK_EQUAL(host_sim_changes(sim), 0);
    host_sim_close(sim);
}

static void test_options_that_do_not_fit_what_is_on_disk_are_refused(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_PROCESS);
    journal *j = opened(sim, &options, NULL);
    append_until(j, 10);
    journal_close(j, NULL);
    options.shard = 8;
    journal_error error = refused(sim, &options, 1);
    CHECK_EQUAL(error.status, JOURNAL_E_OPTIONS);
    CHECK_TEXT(error.text, "shard");
    options.shard = 7;
    options.segment_records = 8192;
    error = refused(sim, &options, 1);
    CHECK_EQUAL(error.status, JOURNAL_E_OPTIONS);
    CHECK_TEXT(error.text, "segment_records");
    host_sim_close(sim);
}

static void test_a_second_writer_is_locked_out_until_the_first_is_gone(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_PROCESS);
    journal *j = opened(sim, &options, NULL);
    journal_error error = refused(sim, &options, 1);
    CHECK_EQUAL(error.status, JOURNAL_E_LOCKED);
    CHECK_TEXT(error.text, "process 1");
    append_until(j, 10); /* the first one did not notice */
    journal_close(j, NULL);
    j = opened(sim, &options, NULL);
    CHECK_EQUAL(journal_last(j), 10);
    journal_close(j, NULL);
    host_sim_close(sim);
}

static void test_what_the_host_refuses_is_named(void) {
    for (uint64_t step = 1;; step++) {
        host_sim *sim = host_sim_open(step);
        journal_options options = small_options(JOURNAL_PROCESS);
        host_sim_fail_change(sim, step, EIO);
        journal *j = NULL;
        journal_error error = {0};
        journal_recovery found;
        journal_status status = journal_open(&options, host_sim_host(sim), 1, &j, &found, &error);
        if (status == JOURNAL_OK) {
            CHECK(step > 8); /* so many changes does a first start make */
            journal_close(j, NULL);
            host_sim_close(sim);
            break;
        }
        CHECK_EQUAL(status, JOURNAL_E_SYSTEM);
        CHECK_EQUAL(error.system, EIO);
        CHECK(error.segment[0] != 0);
        j = opened(sim, &options, &found); /* and the next start mends what this one left */
        append_until(j, 5);
        CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
        host_sim_close(sim);
    }
}

static void test_replica_options_reach_the_readers(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_PROCESS);
    options.replica_options = "what a replica must know";
    options.replica_options_bytes = 24;
    journal *j = opened(sim, &options, NULL);
    journal_reader *r = reading(sim, 1);
    char text[REPLICA_OPTIONS_MAX] = {0};
    CHECK_EQUAL(journal_reader_options(r, text, sizeof text), 24);
    CHECK(strcmp(text, "what a replica must know") == 0);
    memset(text, 0, sizeof text);
    CHECK_EQUAL(journal_reader_options(r, text, 4), 24);
    CHECK(strcmp(text, "what") == 0);
    journal_close(j, NULL);
    options.replica_options = "another";
    options.replica_options_bytes = 7;
    j = opened(sim, &options, NULL);
    memset(text, 0, sizeof text);
    CHECK_EQUAL(journal_reader_options(r, text, sizeof text), 7);
    CHECK(strcmp(text, "another") == 0);
    journal_reader_close(r);
    journal_close(j, NULL);
    host_sim_close(sim);
}

static void test_short_reads_and_writes_change_nothing(void) {
    host_sim *sim = host_sim_open(5);
    host_sim_short_files(sim, true);
    journal_options options = small_options(JOURNAL_DISK);
    for (uint64_t last = 100; last < 3 * SEGMENT_RECORDS; last += 1700) {
        journal_recovery found;
        journal *j = opened(sim, &options, &found);
        append_until(j, last);
        CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    }
    journal_reader *r = reading(sim, 1);
    CHECK(read_ticks(r, UINT64_MAX) > 2 * SEGMENT_RECORDS);
    journal_reader_close(r);
    host_sim_close(sim);
}

int main(void) {
    RUN(test_records_are_read_back_as_they_were_appended);
    RUN(test_appending_sets_the_crc_that_it_stores);
    RUN(test_level_process_releases_with_the_publication);
    RUN(test_level_disk_releases_after_the_sync_and_wakes);
    RUN(test_the_durable_mark_is_recorded_at_most_each_100_ms);
    RUN(test_the_durable_mark_never_names_what_is_not_durable);
    RUN(test_the_next_segment_is_prepared_when_the_present_one_is_half_full);
    RUN(test_a_group_goes_across_the_end_of_a_segment);
    RUN(test_waiting_until_the_next_segment_is_ready);
    RUN(test_many_segments_and_no_more_than_eight_open);
    RUN(test_a_sync_that_lags_holds_the_writer_up);
    RUN(test_a_full_disk_refuses_clearly_and_takes_commands_again_when_there_is_room);
    RUN(test_room_that_must_stay_free_is_left_alone);
    RUN(test_every_place_where_preparing_a_segment_may_fail);
    RUN(test_a_failed_sync_is_final);
    RUN(test_a_failed_sync_of_the_mark_is_final_too);
    RUN(test_options_out_of_range_are_refused);
    RUN(test_options_that_do_not_fit_what_is_on_disk_are_refused);
    RUN(test_a_second_writer_is_locked_out_until_the_first_is_gone);
    RUN(test_what_the_host_refuses_is_named);
    RUN(test_replica_options_reach_the_readers);
    RUN(test_short_reads_and_writes_change_nothing);
    return checks_done();
}
