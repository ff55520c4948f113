/* replay: applies a journal directory to an empty core and says what comes of it.
 *
 *   replay DIRECTORY [SEQUENCE …]     ──▶  stdout, a line each: {"sequence": 1234, "digest": "0123456789abcdef"}
 *
 * The core's options are those in the journal's shared page, so the replay is the same replica as any other. All
 * records up to `written` are applied; the events are thrown away. At each SEQUENCE (they must not fall) and at the
 * end it says what the state is, and core_check walks it. Exit status 1 and a sentence on stderr when anything does
 * not hold. Built with the sanitizers it is the strict second opinion on what an engine recovered.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/core.h"
#include "host/host.h"
#include "journal/journal.h"

#define CHUNK_RECORDS 4096u
#define CHUNK_EVENTS 4096u

static int fail(const char *what, const char *detail) {
    fprintf(stderr, "replay: %s%s%s\n", what, *detail ? ": " : "", detail);
    return 1;
}

/* Apply the whole groups among the records held; what is left of a split group moves to the front. Returns false on
 * failure. */
static bool apply_groups(core *c, wire_record *held, uint32_t *held_count, wire_report *events) {
    uint32_t at = 0;
    for (;;) {
        const uint32_t count = core_group(held + at, *held_count - at);
        if (count == 0) break;
        core_events out = {.events = events, .room = CHUNK_EVENTS};
        core_status status = core_apply(c, held + at, count, &out);
        while (status == CORE_MORE) status = core_next(c, &out);
        if (status != CORE_OK) {
            fprintf(stderr, "replay: record %" PRIu64 ": %s\n", core_sequence(c) + 1, core_status_name(status));
            return false;
        }
        at += count;
    }
    *held_count -= at;
    memmove(held, held + at, *held_count * sizeof *held);
    return true;
}

typedef struct replica {
    journal_reader *reader;
    core *c;
    wire_record *held; /* CHUNK_RECORDS + CORE_GROUP_MAX; a split group waits in front */
    uint32_t held_count;
    wire_report *events;
} replica;

/* Apply what is there up to `limit`, walk the state, say what it is. */
static int replay(replica *r, uint64_t limit) {
    for (;;) {
        const wire_record *records;
        uint32_t count;
        journal_error error;
        if (journal_reader_next(r->reader, limit, CHUNK_RECORDS, &records, &count, &error) != JOURNAL_OK)
            return fail("journal", error.text);
        if (count == 0) break;
        memcpy(r->held + r->held_count, records, count * sizeof *records);
        r->held_count += count;
        if (!apply_groups(r->c, r->held, &r->held_count, r->events)) return 1;
    }
    const char *broken = core_check(r->c);
    if (broken) return fail("core_check", broken);
    printf("{\"sequence\": %" PRIu64 ", \"digest\": \"%016" PRIx64 "\"}\n", core_sequence(r->c), core_digest(r->c));
    return 0;
}

static int replay_to_each(replica *r, char **sequences, int sequence_count) {
    for (int i = 0; i < sequence_count; i++) {
        const uint64_t sequence = strtoull(sequences[i], NULL, 10);
        if (sequence < core_sequence(r->c)) return fail("sequences must not fall", sequences[i]);
        if (replay(r, sequence) != 0) return 1;
        if (core_sequence(r->c) != sequence)
            return fail("the journal must reach the sequence, whole groups only", sequences[i]);
    }
    return replay(r, journal_reader_written(r->reader));
}

int main(int argc, char **argv) {
    if (argc < 2) return fail("usage: replay DIRECTORY [SEQUENCE ...]", "");
    replica r = {0};
    journal_error error;
    if (journal_reader_open(argv[1], host_posix(), 1, &r.reader, &error) != JOURNAL_OK)
        return fail("journal", error.text);
    core_options options;
    if (journal_reader_options(r.reader, &options, sizeof options) != sizeof options) {
        return fail("the shared page must hold the core's options", "");
    }
    const size_t bytes = core_bytes(&options);
    void *memory = bytes ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
    if (memory == MAP_FAILED) {
        return fail("the core's options must be within limits.h, and there must be memory for them", "");
    }
    if (core_open(memory, bytes, &options, &r.c) != CORE_OK) return fail("core_open", "");
    r.held = malloc((CHUNK_RECORDS + CORE_GROUP_MAX) * sizeof *r.held);
    r.events = malloc(CHUNK_EVENTS * sizeof *r.events);
    const int result = r.held && r.events ? replay_to_each(&r, argv + 2, argc - 2) : fail("memory", "");
    free(r.held);
    free(r.events);
    journal_reader_close(r.reader);
    munmap(memory, bytes);
    return result;
}
