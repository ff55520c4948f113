/* Level cluster: what another process says is shipped, and only that, is released; through kill, loss of power and a
 * change of the level. */
#include <errno.h>

#include "tests/engine_node/journal/journal_help.h"

static void ship(journal_reader *r, uint64_t sequence) {
    journal_error error = {0};
    journal_status status = journal_reader_ship(r, sequence, &error);
    if (status != JOURNAL_OK) fprintf(stderr, "%s\n", error.text);
    CHECK_EQUAL(status, JOURNAL_OK);
}

static void not_shipped(journal_reader *r, uint64_t sequence) {
    journal_error error = {0};
    CHECK_EQUAL(journal_reader_ship(r, sequence, &error), JOURNAL_E_OPTIONS);
    CHECK_TEXT(error.text, "no record may be called shipped");
    CHECK_EQUAL(error.sequence, sequence);
    CHECK(error.hint[0] != 0);
}

static void test_released_is_what_is_both_on_disk_and_shipped(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_CLUSTER);
    options.wake = 9;
    journal *j = opened(sim, &options, NULL);
    journal_reader *r = reading(sim, 1);
    append_until(j, 10);
    journal_publish(j);
    host_sim_wakes(sim, 9);
    CHECK(journal_step(j));
    CHECK_EQUAL(journal_durable(j), 10);
    CHECK_EQUAL(journal_released(j), 0);
    CHECK_EQUAL(journal_reader_shippable(r), 10);
    CHECK_EQUAL(host_sim_wakes(sim, 9), 0);
    CHECK(!journal_step(j));
    ship(r, 4);
    CHECK_EQUAL(journal_released(j), 0);
    CHECK(journal_step(j));
    CHECK_EQUAL(journal_released(j), 4);
    CHECK_EQUAL(journal_reader_released(r), 4);
    CHECK_EQUAL(journal_shipped(j), 4);
    CHECK_EQUAL(journal_reader_shipped(r), 4);
    CHECK_EQUAL(host_sim_wakes(sim, 9), 1);
    CHECK(!journal_step(j));
    CHECK_EQUAL(host_sim_wakes(sim, 9), 0);
    ship(r, 10);
    CHECK(journal_step(j));
    CHECK_EQUAL(journal_released(j), 10);
    journal_reader_close(r);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    host_sim_close(sim);
}

static void test_shipped_only_rises_and_never_above_what_may_leave(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_CLUSTER);
    journal *j = opened(sim, &options, NULL);
    journal_reader *r = reading(sim, 1);
    append_until(j, 10);
    journal_publish(j);
    not_shipped(r, 1); /* written, and not on disk */
    settle(j);
    not_shipped(r, 11);
    not_shipped(r, UINT64_MAX);
    CHECK_EQUAL(journal_shipped(j), 0);
    ship(r, 7);
    ship(r, 3);
    ship(r, 0);
    CHECK_EQUAL(journal_shipped(j), 7);
    journal_reader_close(r);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    host_sim_close(sim);
}

/* Copies go out by the level: at process and disk what is released; nobody waits for them. */
static void test_at_other_levels_shipped_is_kept_and_ignored(void) {
    for (int level = JOURNAL_PROCESS; level <= JOURNAL_DISK; level++) {
        host_sim *sim = host_sim_open(1);
        journal_options options = small_options((journal_level)level);
        journal *j = opened(sim, &options, NULL);
        journal_reader *r = reading(sim, 1);
        append_until(j, 10);
        journal_publish(j);
        CHECK_EQUAL(journal_reader_shippable(r), level == JOURNAL_PROCESS ? 10 : 0);
        settle(j);
        CHECK_EQUAL(journal_released(j), 10);
        CHECK_EQUAL(journal_reader_shippable(r), 10);
        not_shipped(r, 11);
        ship(r, 6);
        CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);

        options.level = JOURNAL_CLUSTER; /* from now on it counts: what was told at another level waits again */
        journal_recovery found;
        j = opened(sim, &options, &found);
        CHECK_EQUAL(found.shipped_sequence, 6);
        CHECK_EQUAL(journal_written(j), 10);
        CHECK_EQUAL(journal_durable(j), 10);
        CHECK_EQUAL(journal_released(j), 6);
        CHECK_EQUAL(read_ticks(r, journal_reader_shippable(r)), 10); /* whoever ships reads further than released */
        ship(r, 10);
        settle(j);
        CHECK_EQUAL(journal_released(j), 10);
        CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
        journal_reader_close(r);
        host_sim_close(sim);
    }
}

static void test_what_was_recorded_and_not_shipped_is_kept_and_released_once_it_is(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_CLUSTER);
    journal *j = opened(sim, &options, NULL);
    journal_reader *r = reading(sim, 1);
    append_until(j, SEGMENT_RECORDS + 50);
    settle(j);
    ship(r, 40);
    CHECK(journal_step(j));
    journal_reader_close(r);
    host_sim_kill(sim);
    journal_close(j, NULL);
    host_sim_restart(sim);
    journal_recovery found;
    j = opened(sim, &options, &found);
    CHECK_EQUAL(found.last_sequence, SEGMENT_RECORDS + 50);
    CHECK_EQUAL(found.shipped_sequence, 40);
    CHECK_EQUAL(journal_released(j), 40);
    CHECK_EQUAL(journal_durable(j), SEGMENT_RECORDS + 50);
    settle(j);
    CHECK_EQUAL(journal_released(j), 40);
    r = reading(sim, 41);
    CHECK_EQUAL(read_ticks(r, journal_reader_shippable(r)), SEGMENT_RECORDS + 10);
    ship(r, SEGMENT_RECORDS + 50);
    settle(j);
    CHECK_EQUAL(journal_released(j), SEGMENT_RECORDS + 50);
    journal_reader_close(r);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    host_sim_close(sim);
}

/* At level process a copy may be ahead of the disk: numbers that are given out anew are not shipped. */
static void test_what_was_shipped_and_then_lost_here_is_not_taken_for_what_follows(void) {
    host_sim *sim = host_sim_open(3);
    journal_options options = small_options(JOURNAL_PROCESS);
    journal *j = opened(sim, &options, NULL);
    append_until(j, 10);
    settle(j);
    append_until(j, 200);
    journal_publish(j);
    journal_reader *r = reading(sim, 1);
    ship(r, 200);
    journal_reader_close(r);
    uint8_t *counters = host_sim_file(sim, WHERE, STATE_NAME, NULL);
    CHECK_EQUAL(((const state_page *)counters)->shipped, 200);
    uint8_t page[sizeof(state_page)];
    memcpy(page, counters, sizeof page);
    host_sim_power_cut(sim);
    journal_close(j, NULL);
    host_sim_restart(sim);
    memset(segment_at(sim, 1) + record_offset(1, 101), 0, 100 * RECORD_BYTES);
    host_sim_put(sim, WHERE, STATE_NAME, page, sizeof page); /* of the page, all had reached the disk */
    options.level = JOURNAL_CLUSTER;
    journal_recovery found;
    j = opened(sim, &options, &found);
    CHECK(found.last_sequence <= 100);
    CHECK_EQUAL(found.shipped_sequence, found.last_sequence);
    CHECK_EQUAL(journal_shipped(j), found.last_sequence);
    append_until(j, 150);
    settle(j);
    CHECK_EQUAL(journal_released(j), found.last_sequence);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    host_sim_close(sim);
}

static void test_a_shared_page_that_cannot_be_opened_to_write_is_an_error_with_a_name(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_CLUSTER);
    journal *j = opened(sim, &options, NULL);
    append_until(j, 10);
    settle(j);
    journal_reader *r = reading(sim, 1);
    host_sim_drop(sim, WHERE, STATE_NAME);
    journal_error error = {0};
    CHECK_EQUAL(journal_reader_ship(r, 5, &error), JOURNAL_E_SYSTEM);
    CHECK_EQUAL(error.system, ENOENT);
    CHECK_TEXT(error.text, "open the shared page to write");
    journal_reader_close(r);
    journal_close(j, NULL);
    host_sim_close(sim);
}

static void test_a_failed_sync_releases_nothing_more_whatever_is_shipped(void) {
    host_sim *sim = host_sim_open(1);
    journal_options options = small_options(JOURNAL_CLUSTER);
    journal *j = opened(sim, &options, NULL);
    append_until(j, 10);
    settle(j);
    append_until(j, 20);
    journal_publish(j);
    host_sim_fail_sync(sim, 0, EIO);
    journal_step(j);
    CHECK(journal_failure(j) != NULL);
    journal_reader *r = reading(sim, 1);
    ship(r, 10);
    journal_step(j);
    CHECK_EQUAL(journal_released(j), 0);
    journal_reader_close(r);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_E_SYSTEM);
    host_sim_close(sim);
}

int main(void) {
    RUN(test_released_is_what_is_both_on_disk_and_shipped);
    RUN(test_shipped_only_rises_and_never_above_what_may_leave);
    RUN(test_at_other_levels_shipped_is_kept_and_ignored);
    RUN(test_what_was_recorded_and_not_shipped_is_kept_and_released_once_it_is);
    RUN(test_what_was_shipped_and_then_lost_here_is_not_taken_for_what_follows);
    RUN(test_a_shared_page_that_cannot_be_opened_to_write_is_an_error_with_a_name);
    RUN(test_a_failed_sync_releases_nothing_more_whatever_is_shipped);
    return checks_done();
}
