/* The reader: from any place, up to any limit, across segments and restarts; and every status it can return. */
#include <errno.h>

#include "tests/engine_node/journal/journal_help.h"

static journal_error not_opened(host_sim *sim, const char *directory, uint64_t from) {
    journal_reader *r = NULL;
    journal_error error = {0};
    CHECK(journal_reader_open(directory, host_sim_host(sim), from, &r, &error) != JOURNAL_OK);
    CHECK(r == NULL);
    CHECK(error.text[0] != 0 && error.hint[0] != 0);
    return error;
}

static void made(host_sim *sim, uint64_t last) {
    journal_options options = small_options(JOURNAL_DISK);
    journal *j = opened(sim, &options, NULL);
    append_until(j, last);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
}

static void test_reading_from_any_place(void) {
    host_sim *sim = host_sim_open(1);
    uint64_t last = 2 * SEGMENT_RECORDS + 100;
    made(sim, last);
    static const uint64_t near[] = {1,
                                    2,
                                    SEGMENT_RECORDS - 1,
                                    SEGMENT_RECORDS,
                                    SEGMENT_RECORDS + 1,
                                    SEGMENT_RECORDS + 2,
                                    2 * SEGMENT_RECORDS + 1,
                                    2 * SEGMENT_RECORDS + 100,
                                    2 * SEGMENT_RECORDS + 101};
    for (size_t i = 0; i < sizeof near / sizeof *near; i++) {
        journal_reader *r = reading(sim, near[i]);
        CHECK_EQUAL(journal_reader_place(r), near[i]);
        CHECK_EQUAL(read_ticks(r, UINT64_MAX), last + 1 - near[i]);
        CHECK_EQUAL(journal_reader_place(r), last + 1);
        journal_reader_close(r);
    }
    host_sim_close(sim);
}

static void test_limit_and_room_are_kept(void) {
    host_sim *sim = host_sim_open(1);
    made(sim, 100);
    journal_reader *r = reading(sim, 11);
    const wire_record *records;
    uint32_t count;
    CHECK_EQUAL(journal_reader_next(r, 10, 50, &records, &count, NULL), JOURNAL_OK);
    CHECK_EQUAL(count, 0);
    CHECK_EQUAL(journal_reader_next(r, 100, 0, &records, &count, NULL), JOURNAL_OK);
    CHECK_EQUAL(count, 0);
    CHECK_EQUAL(journal_reader_next(r, 100, 1, &records, &count, NULL), JOURNAL_OK);
    CHECK_EQUAL(count, 1);
    CHECK_EQUAL(content_of(records), 11);
    CHECK_EQUAL(journal_reader_next(r, 20, 50, &records, &count, NULL), JOURNAL_OK);
    CHECK_EQUAL(count, 9);
    CHECK_EQUAL(journal_reader_next(r, 20, 50, &records, &count, NULL), JOURNAL_OK);
    CHECK_EQUAL(count, 0);
    CHECK_EQUAL(read_ticks(r, 1000), 80);
    journal_reader_close(r);
    host_sim_close(sim);
}

static void test_counters_are_those_of_the_writer(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_DISK);
    journal *j = opened(sim, &options, NULL);
    append_until(j, 10);
    settle(j);
    append_until(j, 15);
    journal_publish(j);
    journal_reader *r = reading(sim, 1);
    CHECK_EQUAL(journal_reader_written(r), 15);
    CHECK_EQUAL(journal_reader_durable(r), 10);
    CHECK_EQUAL(journal_reader_released(r), 10);
    CHECK_EQUAL(journal_reader_first(r), 1);
    CHECK_EQUAL(read_ticks(r, journal_reader_released(r)), 10);
    settle(j);
    CHECK_EQUAL(read_ticks(r, journal_reader_released(r)), 5);
    journal_reader_close(r);
    journal_close(j, NULL);
    host_sim_close(sim);
}

static void test_a_reader_may_wait_for_a_place_that_is_not_written_yet(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_PROCESS);
    journal *j = opened(sim, &options, NULL);
    journal_reader *r = reading(sim, SEGMENT_RECORDS + 50);
    CHECK_EQUAL(read_ticks(r, UINT64_MAX), 0);
    append_until(j, SEGMENT_RECORDS + 49);
    settle(j);
    CHECK_EQUAL(read_ticks(r, UINT64_MAX), 0);
    append_until(j, SEGMENT_RECORDS + 60);
    settle(j);
    CHECK_EQUAL(read_ticks(r, UINT64_MAX), 11);
    journal_reader_close(r);
    journal_close(j, NULL);
    host_sim_close(sim);
}

static void test_a_reader_goes_on_when_the_writer_dies_and_starts_again(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_PROCESS);
    journal *j = opened(sim, &options, NULL);
    append_until(j, 100);
    journal_publish(j);
    journal_reader *r = reading(sim, 1);
    CHECK_EQUAL(read_ticks(r, UINT64_MAX), 100);
    append_until(j, 200);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    CHECK_EQUAL(read_ticks(r, UINT64_MAX), 100); /* there is no writer now */
    j = opened(sim, &options, NULL);
    append_until(j, SEGMENT_RECORDS + 300);
    journal_publish(j);
    CHECK_EQUAL(read_ticks(r, UINT64_MAX), SEGMENT_RECORDS + 100);
    journal_reader_close(r);
    journal_close(j, NULL);
    host_sim_close(sim);
}

static void test_damage_is_named_by_segment_and_offset_after_the_good_records(void) {
    host_sim *sim = host_sim_open(1);
    made(sim, SEGMENT_RECORDS + 100);
    journal_reader *r = reading(sim, SEGMENT_RECORDS + 1);
    segment_at(sim, SEGMENT_RECORDS + 1)[64 * 31 + 9] ^= 1; /* sequence SEGMENT_RECORDS + 31 */
    const wire_record *records;
    uint32_t count;
    journal_error error;
    CHECK_EQUAL(journal_reader_next(r, UINT64_MAX, 1000, &records, &count, &error), JOURNAL_OK);
    CHECK_EQUAL(count, 30);
    for (int again = 0; again < 2; again++) {
        CHECK_EQUAL(journal_reader_next(r, UINT64_MAX, 1000, &records, &count, &error), JOURNAL_E_DAMAGED);
        CHECK_EQUAL(count, 0);
        CHECK(strcmp(error.segment, "00000000000000004097.jnl") == 0);
        CHECK_EQUAL(error.offset, 64 * 31);
        CHECK_EQUAL(error.sequence, SEGMENT_RECORDS + 31);
        CHECK_EQUAL(journal_reader_place(r), SEGMENT_RECORDS + 31);
    }
    segment_at(sim, SEGMENT_RECORDS + 1)[64 * 31 + 9] ^= 1; /* brought back from a copy */
    CHECK_EQUAL(read_ticks(r, UINT64_MAX), 70);
    journal_reader_close(r);
    host_sim_close(sim);
}

static void expect_damage(host_sim *sim, uint64_t from, const char *text) {
    journal_reader *r = reading(sim, from);
    const wire_record *records;
    uint32_t count;
    journal_error error = {0};
    journal_status status = JOURNAL_OK;
    do {
        status = journal_reader_next(r, UINT64_MAX, 4096, &records, &count, &error);
    } while (status == JOURNAL_OK && count > 0);
    CHECK_EQUAL(status, JOURNAL_E_DAMAGED);
    CHECK_TEXT(error.text, text);
    CHECK(error.segment[0] != 0);
    journal_reader_close(r);
}

static void test_every_kind_of_damage_is_noticed(void) {
    host_sim *sim = host_sim_open(1);
    made(sim, SEGMENT_RECORDS + 100);
    uint8_t *second = segment_at(sim, SEGMENT_RECORDS + 1);
    second[10] ^= 1;
    expect_damage(sim, 1, "CRC");
    expect_damage(sim, SEGMENT_RECORDS + 1, "CRC");
    expect_damage(sim, SEGMENT_RECORDS + 9, "CRC");
    second[10] ^= 1;
    segment_header header;
    segment_header_make(&header, 7, SEGMENT_RECORDS, SEGMENT_RECORDS + 1, 12345); /* whole, and of another chain */
    uint8_t before[64];
    memcpy(before, second, 64);
    memcpy(second, &header, 64);
    expect_damage(sim, 1, "record before");
    memcpy(second, before, 64);
    segment_header_make(&header, 7, SEGMENT_RECORDS, 1, 1);
    memcpy(before, segment_at(sim, 1), 64);
    memcpy(segment_at(sim, 1), &header, 64);
    expect_damage(sim, 1, "seed must be 0");
    memcpy(segment_at(sim, 1), before, 64);
    second[64 * 10] = 0; /* the record before the reader's place */
    expect_damage(sim, SEGMENT_RECORDS + 11, "empty");
    host_sim_put(sim, WHERE, "00000000000000004097.jnl", "short", 5);
    expect_damage(sim, 1, "full size");
    host_sim_drop(sim, WHERE, "00000000000000004097.jnl");
    expect_damage(sim, 1, "must exist");
    host_sim_close(sim);
}

static void test_removed_segments_close_the_journal_to_older_places(void) {
    host_sim *sim = host_sim_open(1);
    made(sim, 2 * SEGMENT_RECORDS + 100);
    journal_reader *r = reading(sim, SEGMENT_RECORDS - 5);
    host_sim_drop(sim, WHERE, "00000000000000000001.jnl");
    CHECK_EQUAL(not_opened(sim, WHERE, SEGMENT_RECORDS).status, JOURNAL_E_CLOSED);
    const wire_record *records;
    uint32_t count;
    journal_error error;
    CHECK_EQUAL(journal_reader_next(r, UINT64_MAX, 10, &records, &count, &error), JOURNAL_E_CLOSED);
    CHECK_TEXT(error.hint, "snapshot");
    CHECK_EQUAL(journal_reader_first(r), SEGMENT_RECORDS + 1);
    journal_reader_close(r);
    r = reading(sim, SEGMENT_RECORDS + 1);
    CHECK_EQUAL(read_ticks(r, UINT64_MAX), SEGMENT_RECORDS + 100);
    journal_reader_close(r);
    host_sim_close(sim);
}

static void test_a_directory_without_a_journal_is_refused_and_not_made(void) {
    host_sim *sim = host_sim_open(1);
    journal_error error = not_opened(sim, "nowhere", 1);
    CHECK_EQUAL(error.status, JOURNAL_E_SYSTEM);
    CHECK_EQUAL(error.system, ENOENT);
    error = not_opened(sim, "nowhere", 1);
    CHECK_EQUAL(error.system, ENOENT);
    host_sim_put(sim, "empty", "other", "x", 1);
    error = not_opened(sim, "empty", 1);
    CHECK_EQUAL(error.status, JOURNAL_E_SYSTEM);
    CHECK_EQUAL(error.system, ENOENT);
    CHECK(strcmp(error.segment, STATE_NAME) == 0);
    host_sim_close(sim);
}

static void test_a_damaged_shared_page_is_refused(void) {
    host_sim *sim = host_sim_open(1);
    made(sim, 10);
    host_sim_file(sim, WHERE, STATE_NAME, NULL)[30] ^= 1;
    journal_error error = not_opened(sim, WHERE, 1);
    CHECK_EQUAL(error.status, JOURNAL_E_DAMAGED);
    CHECK(strcmp(error.segment, STATE_NAME) == 0);
    host_sim_put(sim, WHERE, STATE_NAME, "short", 5);
    CHECK_EQUAL(not_opened(sim, WHERE, 1).status, JOURNAL_E_DAMAGED);
    host_sim_close(sim);
}

static void test_sequences_count_from_one(void) {
    host_sim *sim = host_sim_open(1);
    made(sim, 10);
    CHECK_EQUAL(not_opened(sim, WHERE, 0).status, JOURNAL_E_OPTIONS);
    CHECK_EQUAL(not_opened(sim, WHERE, UINT64_MAX).status, JOURNAL_E_OPTIONS);
    host_sim_close(sim);
}

int main(void) {
    RUN(test_reading_from_any_place);
    RUN(test_limit_and_room_are_kept);
    RUN(test_counters_are_those_of_the_writer);
    RUN(test_a_reader_may_wait_for_a_place_that_is_not_written_yet);
    RUN(test_a_reader_goes_on_when_the_writer_dies_and_starts_again);
    RUN(test_damage_is_named_by_segment_and_offset_after_the_good_records);
    RUN(test_every_kind_of_damage_is_noticed);
    RUN(test_removed_segments_close_the_journal_to_older_places);
    RUN(test_a_directory_without_a_journal_is_refused_and_not_made);
    RUN(test_a_damaged_shared_page_is_refused);
    RUN(test_sequences_count_from_one);
    return checks_done();
}
