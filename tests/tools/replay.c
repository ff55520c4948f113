/* replay: applies a journal directory to an empty core and says what comes of it.
 *
 *   replay DIRECTORY [SEQUENCE]     ──▶  stdout: {"sequence": 1234, "digest": "0123456789abcdef", "released": 1234}
 *
 * The core's options are those in the journal's shared page, so the replay is the same replica as any other. All records up
 * to `written` (or SEQUENCE) are applied; the events are thrown away; core_check walks the state at the end. Exit status 1
 * and a sentence on stderr when anything does not hold. Built with the sanitizers it is the strict second opinion on what an
 * engine recovered.
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

/* Apply the whole groups among the records held; what is left of a split group moves to the front. Returns false on failure. */
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

static int replay(journal_reader *reader, core *c, uint64_t limit) {
    wire_record *held = malloc((CHUNK_RECORDS + CORE_GROUP_MAX) * sizeof *held);
    wire_report *events = malloc(CHUNK_EVENTS * sizeof *events);
    if (!held || !events) return fail("memory", "");
    uint32_t held_count = 0;
    int result = 0;
    for (;;) {
        const wire_record *records;
        uint32_t count;
        journal_error error;
        if (journal_reader_next(reader, limit, CHUNK_RECORDS, &records, &count, &error) != JOURNAL_OK) {
            result = fail("journal", error.text);
            break;
        }
        if (count == 0) break;
        memcpy(held + held_count, records, count * sizeof *held);
        held_count += count;
        if (!apply_groups(c, held, &held_count, events)) {
            result = 1;
            break;
        }
    }
    if (result == 0) {
        const char *broken = core_check(c);
        if (broken) result = fail("core_check", broken);
    }
    free(held);
    free(events);
    return result;
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 3) return fail("usage: replay DIRECTORY [SEQUENCE]", "");
    journal_reader *reader;
    journal_error error;
    if (journal_reader_open(argv[1], host_posix(), 1, &reader, &error) != JOURNAL_OK)
        return fail("journal", error.text);
    core_options options;
    if (journal_reader_options(reader, &options, sizeof options) != sizeof options) {
        return fail("the shared page must hold the core's options", "");
    }
    const size_t bytes = core_bytes(&options);
    void *memory = bytes ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
    if (memory == MAP_FAILED) {
        return fail("the core's options must be within limits.h, and there must be memory for them", "");
    }
    core *c;
    if (core_open(memory, bytes, &options, &c) != CORE_OK) return fail("core_open", "");
    const uint64_t limit = argc == 3 ? strtoull(argv[2], NULL, 10) : journal_reader_written(reader);
    const int result = replay(reader, c, limit);
    if (result == 0) {
        printf("{\"sequence\": %" PRIu64 ", \"digest\": \"%016" PRIx64 "\", \"released\": %" PRIu64 "}\n",
               core_sequence(c), core_digest(c), journal_reader_released(reader));
    }
    journal_reader_close(reader);
    munmap(memory, bytes);
    return result;
}
