/* From journal to state: how fast a start, a standby or an audit goes through recorded commands, and how much memory
 * a resting order takes.
 *
 *   replay speed DIRECTORY COMMANDS OPEN ROUNDS     write a journal of COMMANDS with OPEN resting orders, replay it
 *   replay memory ORDERS                            rest ORDERS orders, count the pages that became resident
 *
 *      the segments   ──▶ journal_reader_next (chain of CRC-32C verified) ──▶ core_apply ──▶ state, digest
 *
 * `speed` alternates two replicas: one that wants the state alone, one that has every event handed out. Each replay
 * ends with core_check and must give the same digest and the book that the flow expects. Last line: one JSON object.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine_node/core/core.h"
#include "engine_node/journal/journal.h"
#include "support/client.h"
#include "support/flow.h"

enum {
    KEY = 1,
    ACCOUNT_FIRST = 1,
    ACCOUNT_COUNT = 64,
    INSTRUMENT = 1,
    LEVEL_COUNT = 256,
    SEED = 20260301,
    BURST = 256
};
enum { ROOM = 4096, EVENT_ROOM = 4096 };

typedef struct replica {
    void *memory;
    size_t bytes;
    core *core;
} replica;

static flow_options options_for(uint32_t open_target) {
    return (flow_options){.seed = SEED,
                          .account_first = ACCOUNT_FIRST,
                          .account_count = ACCOUNT_COUNT,
                          .instrument = INSTRUMENT,
                          .open_target = open_target,
                          .level_count = LEVEL_COUNT,
                          .mid_price_ticks = 10000};
}

static replica open_replica(uint32_t event_mask, uint32_t order_count_max, bool huge) {
    core_options options = core_options_default();
    options.event_mask = event_mask;
    if (event_mask != 0) options.reports_kept = 0; /* a publisher hands reports out and keeps none */
    options.order_count_max = order_count_max;
    replica r = {.bytes = core_bytes(&options)};
    r.memory = mmap(NULL, r.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (r.memory == MAP_FAILED) client_fail("no memory for a core of %zu bytes", r.bytes);
    if (huge) madvise(r.memory, r.bytes, MADV_HUGEPAGE); /* as the engine and its replicas ask for */
    if (core_open(r.memory, r.bytes, &options, &r.core) != CORE_OK) client_fail("the core must open");
    return r;
}

static void close_replica(replica *r) { munmap(r->memory, r->bytes); }

/* ---- Writing the journal ----------------------------------------------------------------------------------------- */

typedef struct recorder {
    journal *journal;
    uint64_t client_sequence, received_ns;
    uint32_t waiting;
    wire_record records[4];
} recorder;

static void record(recorder *r, uint32_t key, const void *command, bool closes) {
    wire_record *slot = &r->records[r->waiting++];
    memcpy(slot->command, command, COMMAND_BYTES);
    slot->key = key;
    slot->received_ns = r->received_ns += 200;
    if (key != 0) flow_number(slot->command, ++r->client_sequence);
    if (!closes) return;
    journal_status status;
    while ((status = journal_reserve(r->journal, r->waiting)) == JOURNAL_WAIT) usleep(100);
    if (status != JOURNAL_OK) client_fail("the journal has no room (status %d)", status);
    journal_append(r->journal, r->records, r->waiting);
    r->waiting = 0;
}

static void record_command(void *self, const uint8_t command[COMMAND_BYTES], int closes) {
    record(self, KEY, command, closes != 0);
}

/* Returns how many records were written; *open_count is how many orders rest at the end. */
static uint64_t write_journal(const char *directory, uint32_t commands, uint32_t open_target, uint32_t *open_count) {
    journal_options options = {.directory = directory,
                               .shard = 1,
                               .segment_records = 1 << 20,
                               .sync_interval_us = 1000,
                               .level = JOURNAL_PROCESS,
                               .sync_cpu = -1,
                               .wake = -1};
    journal_recovery found;
    journal_error error = {0};
    recorder r = {.received_ns = 1000000000ull};
    if (journal_open(&options, host_posix(), 1, &r.journal, &found, &error) != JOURNAL_OK)
        client_fail("the journal must open: %s", error.text);
    wire_term term = {.kind = KIND_TERM, .term = 1, .node = 1};
    record(&r, 0, &term, true);
    flow_options flow_is = options_for(open_target);
    flow *f = flow_open(&flow_is);
    if (f == NULL) client_fail("no memory for the flow");
    flow_setup(&flow_is, record_command, &r);
    uint8_t command[COMMAND_BYTES];
    for (uint32_t i = 0; i < commands; i++) {
        flow_next(f, command);
        record(&r, KEY, command, true);
        if (i % BURST == 0) journal_publish(r.journal);
    }
    uint64_t last = journal_last(r.journal);
    *open_count = flow_open_count(f);
    flow_close(f);
    if (journal_close(r.journal, &error) != JOURNAL_OK) client_fail("the journal must close: %s", error.text);
    return last;
}

/* ---- Reading it back --------------------------------------------------------------------------------------------- */

/* Apply whole groups; returns how many records were used. Counts events, so that handing them out cannot be skipped. */
static uint32_t apply_all(core *c, const wire_record *records, uint32_t count, uint64_t *events) {
    static wire_report chunk[EVENT_ROOM];
    core_events out = {.events = chunk, .room = EVENT_ROOM};
    uint32_t used = 0;
    for (;;) {
        uint32_t group = used < count ? core_group(records + used, count - used) : 0;
        if (group == 0) return used;
        core_look_ahead(c, records + used, count - used);
        core_status status = core_apply(c, records + used, group, &out);
        *events += out.count;
        while (status == CORE_MORE) {
            status = core_next(c, &out);
            *events += out.count;
        }
        if (status != CORE_OK) client_fail("a recorded command must apply, found %s", core_status_name(status));
        used += group;
    }
}

typedef struct outcome {
    uint64_t took_ns, digest, events;
} outcome;

static outcome replay(const char *directory, uint64_t last, uint32_t event_mask, uint32_t open_count) {
    replica r = open_replica(event_mask, 1 << 20, true);
    journal_reader *reader;
    journal_error error = {0};
    outcome out = {0};
    wire_record kept[CORE_GROUP_MAX]; /* a group that a segment's end split */
    uint32_t kept_count = 0;
    uint64_t start = monotonic_ns();
    if (journal_reader_open(directory, host_posix(), 1, &reader, &error) != JOURNAL_OK)
        client_fail("the journal must be readable: %s", error.text);
    while (core_sequence(r.core) < last) {
        const wire_record *records;
        uint32_t count;
        uint32_t room = kept_count > 0 ? 1 : ROOM;
        if (journal_reader_next(reader, last, room, &records, &count, &error) != JOURNAL_OK)
            client_fail("the journal must be whole: %s", error.text);
        if (kept_count > 0) {
            kept[kept_count++] = records[0];
            if (apply_all(r.core, kept, kept_count, &out.events) > 0) kept_count = 0;
            continue;
        }
        uint32_t used = apply_all(r.core, records, count, &out.events);
        for (; used < count; used++) kept[kept_count++] = records[used];
    }
    out.took_ns = monotonic_ns() - start;
    out.digest = core_digest(r.core);
    journal_reader_close(reader);
    const char *broken = core_check(r.core);
    if (broken != NULL) client_fail("%s", broken);
    uint32_t resting = 0;
    for (uint32_t i = 0; i < ACCOUNT_COUNT; i++) {
        core_account_info info;
        if (core_account(r.core, ACCOUNT_FIRST + i, &info)) resting += info.open_orders;
    }
    if (resting != open_count) client_fail("%u orders must rest at the end, found %u", open_count, resting);
    close_replica(&r);
    return out;
}

static int run_speed(const char *directory, uint32_t commands, uint32_t open_target, uint32_t rounds) {
    uint32_t open_count;
    uint64_t last = write_journal(directory, commands, open_target, &open_count);
    uint64_t best[2] = {UINT64_MAX, UINT64_MAX}, digest = 0;
    static const uint32_t masks[2] = {0, CORE_EVENTS_ALL};
    static const char *const names[2] = {"state alone", "all events"};
    for (uint32_t round = 0; round < rounds; round++) {
        for (int mode = 0; mode < 2; mode++) {
            outcome o = replay(directory, last, masks[mode], open_count);
            if (digest != 0 && digest != o.digest) client_fail("two replays of one journal must agree");
            digest = o.digest;
            if (o.took_ns < best[mode]) best[mode] = o.took_ns;
            printf("%s: %.0f commands/s, %llu events\n", names[mode], (double)last * 1e9 / (double)o.took_ns,
                   (unsigned long long)o.events);
            fflush(stdout);
        }
    }
    printf(
        "{\"commands\": %llu, \"resting_orders\": %u, \"commands_per_s\": %.0f, \"commands_per_s_all_events\": %.0f, "
        "\"digest\": \"%016llx\"}\n",
        (unsigned long long)last, open_count, (double)last * 1e9 / (double)best[0],
        (double)last * 1e9 / (double)best[1], (unsigned long long)digest);
    return 0;
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static uint64_t resident_bytes(void) {
    unsigned long long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%llu %llu", &pages, &resident) != 2)
        client_fail("/proc/self/statm must be readable");
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

typedef struct commands {
    uint8_t (*at)[COMMAND_BYTES];
    uint32_t count;
} commands;

static void keep_command(void *self, const uint8_t command[COMMAND_BYTES], int closes) {
    commands *c = self;
    (void)closes;
    memcpy(c->at[c->count++], command, COMMAND_BYTES);
}

static int run_memory(uint32_t orders) {
    flow_options flow_is = options_for(orders + 16);
    flow *f = flow_open(&flow_is);
    commands all = {.at = calloc((size_t)orders + 4 * ACCOUNT_COUNT + 16, COMMAND_BYTES)};
    if (f == NULL || all.at == NULL) client_fail("no memory for %u orders", orders);
    flow_setup(&flow_is, keep_command, &all);
    for (uint32_t i = 0; i < orders; i++) {
        flow_next_resting(f, all.at[all.count++]);
    }
    flow_close(f);

    uint32_t capacity = orders + orders / 32 + 2;
    uint64_t before = resident_bytes(), events = 0;
    replica r = open_replica(0, capacity, false);
    wire_record waiting[CORE_GROUP_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < all.count; i++) {
        wire_record next = {.key = KEY, .received_ns = 1000000000ull + i};
        memcpy(next.command, all.at[i], COMMAND_BYTES);
        flow_number(next.command, i + 1);
        waiting[count++] = next;
        if (apply_all(r.core, waiting, count, &events) > 0) count = 0;
    }
    uint64_t resident = resident_bytes() - before;
    const char *broken = core_check(r.core);
    if (broken != NULL) client_fail("%s", broken);
    printf("{\"resting_orders\": %u, \"resident_bytes\": %llu, \"reserved_bytes\": %zu, \"bytes_per_resting_order\": "
           "%.1f, "
           "\"digest\": \"%016llx\"}\n",
           orders, (unsigned long long)resident, r.bytes, (double)resident / orders,
           (unsigned long long)core_digest(r.core));
    close_replica(&r);
    free(all.at);
    return 0;
}

int main(int argument_count, char **arguments) {
    if (argument_count == 6 && strcmp(arguments[1], "speed") == 0)
        return run_speed(arguments[2], (uint32_t)atoi(arguments[3]), (uint32_t)atoi(arguments[4]),
                         (uint32_t)atoi(arguments[5]));
    if (argument_count == 3 && strcmp(arguments[1], "memory") == 0) return run_memory((uint32_t)atoi(arguments[2]));
    fprintf(stderr, "usage: replay speed DIRECTORY COMMANDS OPEN ROUNDS | replay memory ORDERS\n");
    return 2;
}
