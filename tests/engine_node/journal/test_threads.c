/* The journal on the real host, with its threads and with other processes.
 *
 *   writer (this thread) · sync thread · keeper     one process
 *   readers: another thread; a forked process; one that outlives a writer killed with SIGKILL
 *
 * Built with ThreadSanitizer too (by hand: see docs/internals/journal.md). Counts are bounded; nothing is timed.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/engine_node/journal/journal_help.h"

static char where[256];

static void directory_make(void) {
    const char *base = getenv("TMPDIR");
    snprintf(where, sizeof where, "%s/journal-test-XXXXXX", base != NULL ? base : "/tmp");
    CHECK(mkdtemp(where) != NULL);
}

static int remove_each(void *to, const char *name) { return host_posix()->remove(NULL, *(int *)to, name); }

static void directory_remove(void) {
    int directory = host_posix()->open_directory(NULL, where);
    CHECK_EQUAL(host_posix()->list(NULL, directory, remove_each, &directory), 0);
    close(directory);
    CHECK_EQUAL(rmdir(where), 0);
}

static journal_options real_options(journal_level level) {
    journal_options options = small_options(level);
    options.directory = where;
    options.sync_cpu = -1;
    return options;
}

static journal *begun(const journal_options *options) {
    journal *j = NULL;
    journal_error error = {0};
    if (journal_open(options, host_posix(), 1, &j, NULL, &error) != JOURNAL_OK) fprintf(stderr, "%s\n", error.text);
    CHECK(j != NULL);
    return j;
}

static void nap(void) { usleep(200); }

/* Append ticks in bursts until `last`, waiting for segments as an engine would. */
static void write_until(journal *j, uint64_t last) {
    while (journal_last(j) < last) {
        journal_status status = journal_reserve(j, 1);
        if (status == JOURNAL_OK) {
            wire_record record = tick(journal_last(j) + 1);
            journal_append(j, &record, 1);
            if (journal_last(j) % 32 == 0) journal_publish(j);
        } else {
            CHECK_EQUAL(status, JOURNAL_WAIT);
            journal_publish(j);
            nap();
        }
    }
    journal_publish(j);
}

static journal_reader *follow_begin(void) {
    journal_reader *r = NULL;
    CHECK_EQUAL(journal_reader_open(where, host_posix(), 1, &r, NULL), JOURNAL_OK);
    return r;
}

static void follow_until(journal_reader *r, uint64_t last) {
    while (journal_reader_place(r) <= last) {
        const wire_record *records;
        uint32_t count;
        journal_error error = {0};
        uint64_t place = journal_reader_place(r);
        if (journal_reader_next(r, UINT64_MAX, 700, &records, &count, &error) != JOURNAL_OK) {
            fprintf(stderr, "%s (%s, byte %" PRIu64 ")\n", error.text, error.segment, error.offset);
            exit(1);
        }
        for (uint32_t i = 0; i < count; i++) CHECK(content_of(&records[i]) == place + i);
        if (count == 0) nap();
    }
}

static void wait_for(pid_t child) {
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_a_process_reads_while_another_writes(void) {
    directory_make();
    uint64_t last = 12 * SEGMENT_RECORDS + 77;
    journal_options options = real_options(JOURNAL_PROCESS);
    journal *j = begun(&options); /* makes the journal; the reader needs something to open */
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        journal_reader *r = follow_begin();
        follow_until(r, last);
        journal_reader_close(r);
        _exit(0);
    }
    j = begun(&options);
    write_until(j, last);
    wait_for(child);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    directory_remove();
}

static void *follow_main(void *to) {
    journal_reader *r = follow_begin();
    follow_until(r, *(uint64_t *)to);
    journal_reader_close(r);
    return NULL;
}

static void test_threads_read_while_one_writes_at_level_disk(void) {
    directory_make();
    uint64_t last = 6 * SEGMENT_RECORDS + 77;
    journal_options options = real_options(JOURNAL_DISK);
    options.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(options.wake >= 0);
    journal *j = begun(&options);
    pthread_t readers[2];
    for (int i = 0; i < 2; i++) CHECK_EQUAL(pthread_create(&readers[i], NULL, follow_main, &last), 0);
    write_until(j, last);
    while (journal_released(j) < last) {
        CHECK(journal_released(j) <= journal_durable(j) && journal_durable(j) <= journal_written(j));
        CHECK(journal_failure(j) == NULL);
        nap();
    }
    uint64_t wakes = 0;
    CHECK_EQUAL(read(options.wake, &wakes, sizeof wakes), sizeof wakes);
    CHECK(wakes > 0);
    for (int i = 0; i < 2; i++) CHECK_EQUAL(pthread_join(readers[i], NULL), 0);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    close(options.wake);
    journal_recovery found;
    CHECK_EQUAL(journal_open(&options, host_posix(), 1, &j, &found, NULL), JOURNAL_OK);
    CHECK_EQUAL(found.last_sequence, last);
    CHECK_EQUAL(found.durable_sequence, last);
    CHECK_EQUAL(found.torn_records, 0);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    directory_remove();
}

/* A publisher of its own process: reads what is durable, and says a little later that it is shipped. */
static void publish_until(uint64_t last) {
    journal_reader *r = follow_begin();
    while (journal_reader_shipped(r) < last) {
        nap();
        const uint64_t there = journal_reader_shippable(r);
        CHECK(there <= journal_reader_durable(r));
        CHECK_EQUAL(journal_reader_ship(r, there, NULL), JOURNAL_OK);
        CHECK(journal_reader_released(r) <= journal_reader_shipped(r));
    }
    journal_reader_close(r);
}

static void test_another_process_ships_and_the_writer_releases_and_wakes(void) {
    directory_make();
    uint64_t last = 3 * SEGMENT_RECORDS + 77;
    journal_options options = real_options(JOURNAL_CLUSTER);
    options.sync_interval_us = 1000000; /* shipped is looked at all the same */
    options.wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(options.wake >= 0);
    journal *j = begun(&options);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        publish_until(last);
        _exit(0);
    }
    j = begun(&options);
    write_until(j, last);
    while (journal_released(j) < last) {
        const uint64_t released = journal_released(j);
        CHECK(released <= journal_shipped(j) && released <= journal_durable(j));
        CHECK(journal_failure(j) == NULL);
        nap();
    }
    wait_for(child);
    uint64_t wakes = 0;
    CHECK_EQUAL(read(options.wake, &wakes, sizeof wakes), sizeof wakes);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    close(options.wake);
    journal_recovery found;
    CHECK_EQUAL(journal_open(&options, host_posix(), 1, &j, &found, NULL), JOURNAL_OK);
    CHECK_EQUAL(found.shipped_sequence, last);
    CHECK_EQUAL(journal_released(j), last);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    directory_remove();
}

static void test_another_process_is_locked_out(void) {
    directory_make();
    journal_options options = real_options(JOURNAL_PROCESS);
    int ready[2];
    CHECK_EQUAL(pipe(ready), 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        char byte;
        CHECK_EQUAL(read(ready[0], &byte, 1), 1);
        journal *j = NULL;
        journal_error error = {0};
        CHECK_EQUAL(journal_open(&options, host_posix(), 1, &j, NULL, &error), JOURNAL_E_LOCKED);
        char number[32];
        snprintf(number, sizeof number, "process %d", (int)getppid());
        CHECK_TEXT(error.text, number);
        _exit(0);
    }
    journal *j = begun(&options);
    CHECK_EQUAL(write(ready[1], "x", 1), 1);
    wait_for(child);
    close(ready[0]);
    close(ready[1]);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    directory_remove();
}

/* The writer tells through a pipe what it has published, and is killed at some moment; all it told must be there. */
static void write_and_tell(int pipe_end) {
    journal_options options = real_options(JOURNAL_PROCESS);
    journal *j = begun(&options);
    for (;;) {
        write_until(j, journal_last(j) + 1 + journal_last(j) % 61);
        uint64_t published = journal_released(j);
        if (write(pipe_end, &published, sizeof published) != sizeof published) _exit(1);
    }
}

static void test_killed_at_any_moment_nothing_published_is_lost(void) {
    directory_make();
    uint64_t told = 0;
    for (int round = 0; round < 8; round++) {
        int tell[2];
        CHECK_EQUAL(pipe(tell), 0);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            close(tell[0]);
            write_and_tell(tell[1]);
        }
        close(tell[1]);
        uint64_t published;
        for (int i = 0; i < 100 + 150 * round; i++) {
            CHECK_EQUAL(read(tell[0], &published, sizeof published), sizeof published);
            told = published;
        }
        kill(child, SIGKILL);
        CHECK(waitpid(child, NULL, 0) == child);
        while (read(tell[0], &published, sizeof published) == sizeof published) told = published;
        close(tell[0]);
        journal_reader *r = follow_begin(); /* after the writer's death, before anybody mended anything */
        CHECK(journal_reader_written(r) >= told);
        follow_until(r, told);
        journal_reader_close(r);
    }
    journal_options options = real_options(JOURNAL_PROCESS);
    journal *j = begun(&options);
    CHECK(journal_last(j) >= told);
    uint64_t last = journal_last(j);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    journal_reader *r = follow_begin();
    follow_until(r, last);
    journal_reader_close(r);
    directory_remove();
}

static void test_a_cpu_that_does_not_exist_is_refused(void) {
    directory_make();
    journal_options options = real_options(JOURNAL_PROCESS);
    options.sync_cpu = CPU_SETSIZE - 1;
    journal *j = NULL;
    journal_error error = {0};
    CHECK_EQUAL(journal_open(&options, host_posix(), 1, &j, NULL, &error), JOURNAL_E_OPTIONS);
    CHECK_TEXT(error.hint, "sync_cpu");
    options.sync_cpu = 0;
    j = begun(&options); /* and nothing was left locked */
    write_until(j, 100);
    CHECK_EQUAL(journal_close(j, NULL), JOURNAL_OK);
    directory_remove();
}

int main(void) {
    RUN(test_a_process_reads_while_another_writes);
    RUN(test_threads_read_while_one_writes_at_level_disk);
    RUN(test_another_process_ships_and_the_writer_releases_and_wakes);
    RUN(test_another_process_is_locked_out);
    RUN(test_killed_at_any_moment_nothing_published_is_lost);
    RUN(test_a_cpu_that_does_not_exist_is_refused);
    return checks_done();
}
