/* commands: groups of records that a core takes, of a random profile, for tests in other languages.
 *
 *   commands PROFILE SEED COUNT        on stdout for each command: how many void records stand before its group and how
 *                                      many the group has (4 bytes each), then all these records (64 each)
 *
 * They come from a core that has applied them, digests included; what it refused to take is left out. A replica needs
 * the capacities below and a nonce window of 1 s, or more of each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_node/core/core.h"
#include "support/random_commands.h"

enum { EVENT_ROOM = 65536, HELD_MAX = 256 };

static core *open_core(void) {
    core_options o = core_options_default();
    o.asset_count_max = 16, o.instrument_count_max = 64, o.account_count_max = 256, o.key_count_max = 64;
    o.order_count_max = 16384, o.extra_count_max = 8192, o.level_count_max = 8192, o.ladder_count_max = 32768;
    o.balance_count_max = 4096, o.position_count_max = 4096, o.nonce_count_max = 65536;
    o.reports_kept = 0, o.event_mask = CORE_EVENTS_ALL, o.nonce_window_ns = 1000000000;
    const size_t bytes = core_bytes(&o);
    core *c = NULL;
    void *memory = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    if (memory == NULL) abort();
    memset(memory, 0, bytes);
    if (core_open(memory, bytes, &o, &c) != CORE_OK) abort();
    return c;
}

static uint64_t digest_of(void *self) { return core_digest(self); }

/* All events of a group, or false if it was not taken. */
static bool apply(core *c, const wire_record *group, uint32_t count, wire_report *events, uint32_t *event_count) {
    core_events out = {.events = events, .room = EVENT_ROOM};
    core_status status = core_apply(c, group, count, &out);
    if (status != CORE_OK && status != CORE_MORE) return false;
    *event_count = out.count;
    while (status == CORE_MORE) { /* what no longer fits is only not told to the maker of commands */
        status = core_next(c, &out);
    }
    return true;
}

typedef struct commands {
    wire_record held[HELD_MAX]; /* void groups, which wait for the group that shows that they are void */
    uint32_t held_count;
} commands;

static bool write_group(commands *w, const wire_record *group, uint32_t count) {
    const uint8_t last = group[count - 1].command[0];
    if (last == KIND_TEXT || last == KIND_NONCE || last == KIND_ORDER_TERMS || last == KIND_ORDER_LINK) {
        if (w->held_count + count > HELD_MAX) abort();
        memcpy(w->held + w->held_count, group, count * sizeof *group);
        w->held_count += count;
        return true;
    }
    const uint32_t head[2] = {w->held_count, count};
    w->held_count = 0;
    return fwrite(head, sizeof head, 1, stdout) == 1 && fwrite(w->held, sizeof *group, head[0], stdout) == head[0] &&
           fwrite(group, sizeof *group, count, stdout) == count;
}

int main(int argc, char **argv) {
    const random_profile *profile = argc == 4 ? random_profile_find(argv[1]) : NULL;
    if (profile == NULL) {
        fprintf(stderr, "commands PROFILE SEED COUNT\n");
        return 2;
    }
    core *c = open_core();
    static commands written;
    static wire_report events[EVENT_ROOM];
    random_commands *r = random_commands_open(strtoull(argv[2], NULL, 10), profile, digest_of, c);
    for (uint64_t made = 0, most = strtoull(argv[3], NULL, 10); made < most;) {
        wire_record records[RANDOM_RECORDS_MAX];
        const uint32_t count = random_commands_next(r, records);
        for (uint32_t at = 0, size; at < count; at += size) {
            uint32_t event_count = 0;
            made++;
            size = core_group(records + at, count - at);
            if (size == 0) break;
            if (!apply(c, records + at, size, events, &event_count)) continue;
            random_commands_taken(r, records + at, size, events, event_count);
            if (!write_group(&written, records + at, size)) return 1;
        }
    }
    random_commands_close(r);
    return 0;
}
