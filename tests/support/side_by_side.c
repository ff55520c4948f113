/* The core and the plain book side by side: see the header. */
#include "support/side_by_side.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "support/readable.h"

#define EVENTS_BEFORE 8u
#define EVENTS_BEHIND 8u

/* Zero pages, touched only where the core does. */
static void *memory_of(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) abort();
    return memory;
}

static void open_core(side_by_side *s) {
    const size_t bytes = core_bytes(&s->options);
    s->memory = memory_of(bytes);
    if (core_open(s->memory, bytes, &s->options, &s->fast) != CORE_OK) abort();
}

void side_open(side_by_side *s, const core_options *options) {
    *s = (side_by_side){.options = *options};
    open_core(s);
    s->slow = plain_open(options->key_count_max, options->nonce_window_ns);
}

void side_close(side_by_side *s) {
    plain_close(s->slow);
    munmap(s->memory, core_bytes(&s->options));
    free(s->events);
}

/* ---- Applying ---------------------------------------------------------------------------------------------------- */

static void apply_to_core(side_by_side *s, const wire_record *records, uint32_t count, uint32_t room) {
    s->event_count = 0;
    for (bool first = true;; first = false) {
        if (s->event_count + room > s->event_room) {
            s->event_room = 2 * (s->event_count + room);
            s->events = realloc(s->events, s->event_room * sizeof *s->events);
            if (s->events == NULL) abort();
        }
        core_events out = {.events = s->events + s->event_count, .room = room};
        s->status = first ? core_apply(s->fast, records, count, &out) : core_next(s->fast, &out);
        if (s->status != CORE_OK && s->status != CORE_MORE) return;
        s->event_count += out.count;
        if (s->status == CORE_OK) return;
    }
}

static bool full_is_right(const side_by_side *s, const wire_record *last) {
    const uint8_t kind = last->command[0];
    return !s->room_enough || kind == KIND_ASSET || kind == KIND_INSTRUMENT || kind == KIND_ACCOUNT;
}

static const char *const answers[] = {
    [PLAIN_TAKEN] = "taken", [PLAIN_CANT_STAND] = "can't stand", [PLAIN_DIVERGED] = "diverged"};

static bool answers_agree(const side_by_side *s, plain_answer answer) {
    static const core_status same[] = {
        [PLAIN_TAKEN] = CORE_OK, [PLAIN_CANT_STAND] = CORE_E_RECORD, [PLAIN_DIVERGED] = CORE_E_DIVERGED};
    if (s->status == same[answer]) return true;
    fprintf(stderr, "the answers must be the same: core %s, plain book %s\n", core_status_name(s->status),
            answers[answer]);
    return false;
}

/* The events around the first that differs. */
static void print_events(const char *whose, const wire_report *events, uint32_t count, uint32_t first) {
    fprintf(stderr, "  %s, %u events:\n", whose, count);
    for (uint32_t i = first > EVENTS_BEFORE ? first - EVENTS_BEFORE : 0; i < count && i < first + EVENTS_BEHIND; i++) {
        fprintf(stderr, "  %s ", i == first ? "*" : " ");
        print_event(stderr, &events[i]);
    }
}

static bool events_agree(const side_by_side *s) {
    uint32_t count, first = 0;
    const wire_report *slow = plain_events(s->slow, &count);
    const uint32_t both = count < s->event_count ? count : s->event_count;
    while (first < both && memcmp(&slow[first], &s->events[first], sizeof *slow) == 0) first++;
    if (first == count && first == s->event_count) return true;
    fprintf(stderr, "the events must be the same, the first that differs is *:\n");
    print_events("core", s->events, s->event_count, first);
    print_events("plain book", slow, count, first);
    return false;
}

bool side_apply(side_by_side *s, const wire_record *records, uint32_t count, uint32_t room, uint32_t *used) {
    const uint32_t group = core_group(records, count), slow_group = plain_group(records, count);
    *used = group;
    s->event_count = 0;
    s->status = CORE_OK;
    if (group != slow_group) {
        fprintf(stderr, "the groups must be the same: core %u records, plain book %u\n", group, slow_group);
        *used = 0;
        return false;
    }
    if (group == 0) return true;
    apply_to_core(s, records, group, room);
    if (s->status == CORE_E_FULL) {
        s->full++;
        if (full_is_right(s, &records[group - 1])) return true;
        fprintf(stderr, "the core must have room, found none in %s\n", core_full_pool(s->fast));
        return false;
    }
    if (!answers_agree(s, plain_apply(s->slow, records, group))) return false;
    *(s->status == CORE_OK ? &s->taken : &s->refused) += 1;
    return s->status != CORE_OK || events_agree(s);
}

bool side_check(const side_by_side *s) {
    const char *fault = core_check(s->fast);
    if (fault != NULL) fprintf(stderr, "core_check: %s\n", fault);
    return fault == NULL;
}

bool side_digests_agree(const side_by_side *s) {
    const uint64_t fast = core_digest(s->fast), slow = plain_digest(s->slow);
    if (fast == slow) return true;
    fprintf(stderr, "the digests must be the same: core %016" PRIx64 ", plain book %016" PRIx64 "\n", fast, slow);
    side_answers_agree(s);
    return false;
}

/* ---- Snapshots --------------------------------------------------------------------------------------------------- */

typedef struct snapshot {
    uint8_t *bytes;
    size_t count, room;
} snapshot;

static bool keep(void *self, const void *data, size_t bytes) {
    snapshot *kept = self;
    if (kept->count + bytes > kept->room) {
        kept->room = 2 * (kept->count + bytes);
        kept->bytes = realloc(kept->bytes, kept->room);
        if (kept->bytes == NULL) abort();
    }
    memcpy(kept->bytes + kept->count, data, bytes);
    kept->count += bytes;
    return true;
}

bool side_save_and_load(side_by_side *s) {
    snapshot kept = {0};
    const char *why = "";
    if (!core_save(s->fast, keep, &kept)) abort();
    munmap(s->memory, core_bytes(&s->options));
    open_core(s);
    const core_status status = core_load(s->fast, kept.bytes, kept.count, &why);
    free(kept.bytes);
    if (status != CORE_OK) fprintf(stderr, "a snapshot must load: %s\n", why);
    return status == CORE_OK;
}
