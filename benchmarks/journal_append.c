/* What the journal costs the engine thread, and what the disk gives: one JSON line.
 *
 *   writer ─▶ reserve, append, publish each `burst` records ─▶ segments ─▶ sync thread ─▶ durable
 *   then: the same records read and verified again
 *
 *   journal_append DIRECTORY [records] [burst] [process|disk] [segment_records] [records_per_s]
 *
 * With records_per_s the bursts come at that pace (the writer spins until each is due), else as fast as they can.
 * At level `disk` the clock stops when the last record is durable. `append_ns` is the time inside reserve, append and
 * publish alone; a segment not ready yet counts as waiting. `digest` is the crc of the last record: the same for the
 * same arguments.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "engine_node/journal/journal.h"

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void nap(long ns) { nanosleep(&(struct timespec){.tv_nsec = ns}, NULL); }

static _Noreturn void give_up(const journal_error *error) {
    fprintf(stderr, "%s (%s, byte %" PRIu64 ")\n%s\n", error->text, error->segment, error->offset, error->hint);
    exit(1);
}

typedef struct outcome {
    uint64_t total_ns, append_ns, waits, worst_ns, digest;
    uint64_t faults;                             /* page faults of the writing thread */
    uint64_t over_10_us, over_100_us, over_1_ms; /* bursts that took longer */
} outcome;

static uint64_t thread_faults(void) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return (uint64_t)usage.ru_minflt;
}

static void account(outcome *o, uint64_t ns) {
    o->append_ns += ns;
    if (ns > o->worst_ns) o->worst_ns = ns;
    o->over_10_us += ns > 10000;
    o->over_100_us += ns > 100000;
    o->over_1_ms += ns > 1000000;
}

static void write_all(journal *j, uint64_t record_count, uint32_t burst, uint64_t pace, outcome *o) {
    wire_record record = {.command = {KIND_CLOCK_TICK}, .key = 0};
    uint64_t began = now_ns(), faults = thread_faults();
    for (uint64_t done = 0; done < record_count;) {
        uint64_t at = now_ns();
        while (pace > 0 && (double)(at - began) < (double)done * 1e9 / (double)pace) at = now_ns();
        uint64_t stop = done + burst < record_count ? done + burst : record_count;
        while (done < stop && journal_reserve(j, 1) == JOURNAL_OK) {
            record.received_ns = 1 + done;
            memcpy(record.command + 8, &done, sizeof done);
            journal_append(j, &record, 1);
            done++;
        }
        journal_publish(j);
        account(o, now_ns() - at);
        if (journal_failure(j) != NULL) give_up(journal_failure(j));
        if (done == stop) continue;
        o->waits++;
        nap(100000);
    }
    o->faults = thread_faults() - faults;
    while (journal_released(j) < record_count) nap(20000);
    o->total_ns = now_ns() - began;
    o->digest = record.crc;
}

static uint64_t read_all(const char *directory, uint64_t record_count) {
    journal_error error;
    journal_reader *r;
    if (journal_reader_open(directory, host_posix(), 1, &r, &error) != JOURNAL_OK) give_up(&error);
    uint64_t began = now_ns(), seen = 0;
    while (seen < record_count) {
        const wire_record *records;
        uint32_t count;
        if (journal_reader_next(r, UINT64_MAX, 65536, &records, &count, &error) != JOURNAL_OK) give_up(&error);
        seen += count;
    }
    uint64_t took = now_ns() - began;
    journal_reader_close(r);
    return took;
}

int main(int count, char **words) {
    if (count < 2) {
        fprintf(stderr,
                "journal_append DIRECTORY [records] [burst] [process|disk] [segment_records] [records_per_s]\n");
        return 2;
    }
    uint64_t record_count = count > 2 ? strtoull(words[2], NULL, 10) : 1000000;
    uint32_t burst = count > 3 ? (uint32_t)strtoul(words[3], NULL, 10) : 64;
    journal_level level = count > 4 && strcmp(words[4], "disk") == 0 ? JOURNAL_DISK : JOURNAL_PROCESS;
    journal_options options = {.directory = words[1],
                               .segment_records = count > 5 ? strtoull(words[5], NULL, 10) : 1u << 20,
                               .sync_interval_us = 50,
                               .level = level,
                               .sync_cpu = -1,
                               .wake = -1};
    journal *j;
    journal_recovery found;
    journal_error error;
    if (journal_open(&options, host_posix(), 1, &j, &found, &error) != JOURNAL_OK) give_up(&error);
    if (found.last_sequence != 0) {
        fprintf(stderr, "the directory must be a new one\n");
        return 2;
    }
    outcome o = {0};
    write_all(j, record_count, burst, count > 6 ? strtoull(words[6], NULL, 10) : 0, &o);
    if (journal_close(j, &error) != JOURNAL_OK) give_up(&error);
    uint64_t read_ns = read_all(words[1], record_count);
    double records = (double)record_count;
    printf("{\"level\": \"%s\", \"records\": %" PRIu64 ", \"burst\": %u, \"append_ns\": %.1f, \"records_per_s\": %.0f, "
           "\"worst_burst_us\": %.1f, \"bursts_over_10_us\": %" PRIu64 ", \"bursts_over_100_us\": %" PRIu64
           ", \"bursts_over_1_ms\": %" PRIu64 ", \"faults\": %" PRIu64 ", \"waits\": %" PRIu64
           ", \"read_ns\": %.1f, \"digest\": \"%08" PRIx64 "\"}\n",
           level == JOURNAL_DISK ? "disk" : "process", record_count, burst, (double)o.append_ns / records,
           records * 1e9 / (double)o.total_ns, (double)o.worst_ns / 1e3, o.over_10_us, o.over_100_us, o.over_1_ms,
           o.faults, o.waits, (double)read_ns / records, o.digest);
    return 0;
}
