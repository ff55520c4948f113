/* differential: random commands into the core and into the plain second book, and nothing may differ.
 *
 *   differential [--seed N] [--commands N] [--profile NAME] [--check-every N] [--digest-every N] [--statistics]
 *
 * Without a profile the commands are shared out among all of them. They come in rounds; each
 * begins with an empty state and a seed of its own. After every command the events are compared byte for byte, after
 * some the digests and core_check (at the first difference the round is played again with both after each). Exit
 * status 1, with seed, command and both lists of events on stderr, when anything differs; --round plays that round
 * alone.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/random_commands.h"
#include "support/readable.h"
#include "support/side_by_side.h"

#define SAVE_ONE_IN 3000u
#define LONG_ONE_IN 40u      /* rounds of the last profile, whose rounds are long, among the others */
#define ROUND_COMMANDS 20000 /* a round with so many more has digests and checks so much less often */
#define PROGRESS_S 15

typedef struct settings {
    uint64_t seed, commands, check_every, digest_every;
    int64_t only_round;
    const random_profile *profile;
    bool statistics;
} settings;

typedef struct totals {
    uint64_t taken, refused, full, events;
    uint64_t kinds[256], event_kinds[256], codes[256][256]; /* of a kind of command, the codes of rejects and cancels */
} totals;

static core_options options_of(const random_profile *p) {
    return (core_options){.asset_count_max = 6,
                          .instrument_count_max = p->instrument_count + 2,
                          .account_count_max = p->account_count + 2,
                          .key_count_max = p->key_count + 2,
                          .order_count_max = p->tight ? 60 : 4096,
                          .extra_count_max = p->tight ? 20 : 2048,
                          .level_count_max = p->tight ? 40 : 2048,
                          .ladder_count_max = p->tight ? 80 : 8192,
                          .balance_count_max = p->tight ? 22 : 256,
                          .position_count_max = p->tight ? 22 : 256,
                          .nonce_count_max = p->tight ? 12 : 16384,
                          .reports_kept = 64,
                          .event_mask = CORE_EVENTS_ALL,
                          .nonce_window_ns = 1000000000};
}

static uint64_t slow_digest(void *self) { return plain_digest(((side_by_side *)self)->slow); }

static void count_group(totals *t, const side_by_side *s, const wire_record *last) {
    if (s->status != CORE_OK) return;
    t->kinds[last->command[0]]++;
    t->events += s->event_count;
    for (uint32_t i = 0; i < s->event_count; i++) {
        t->event_kinds[s->events[i].kind]++;
        if (s->events[i].kind == EVENT_REJECTED || s->events[i].kind == EVENT_CANCELLED)
            t->codes[last->command[0]][s->events[i].code % 256]++;
    }
}

/* Of those that fit the ring: the kept reports are those that were handed out. */
static bool reports_agree(const side_by_side *s) {
    const uint32_t kept = s->options.reports_kept;
    for (uint32_t i = s->event_count > kept ? s->event_count - kept : 0; i < s->event_count; i++) {
        const wire_report *e = &s->events[i];
        if (e->key == 0) continue;
        const wire_report *found = core_report(s->fast, e->key, e->report_number);
        if (found != NULL && memcmp(found, e, sizeof *e) == 0) continue;
        fprintf(stderr, "a report must be kept as it was handed out: key %u, number %" PRIu64 "\n", (unsigned)e->key,
                (uint64_t)e->report_number);
        return false;
    }
    return true;
}

typedef struct round {
    uint64_t seed, number, commands, check_every, digest_every;
    const random_profile *profile;
} round_of;

static bool after_group(side_by_side *s, random_commands *r, const round_of *o, uint64_t command) {
    if (command % o->digest_every == 0 && !(side_digests_agree(s) && reports_agree(s))) return false;
    if (command % o->check_every == 0 && !(side_check(s) && side_answers_agree(s))) return false;
    if (random_below(r, SAVE_ONE_IN) == 0) return side_save_and_load(s) && side_digests_agree(s);
    return true;
}

static void say_where(const round_of *o, uint64_t command, const wire_record *records, uint32_t count) {
    fprintf(stderr, "at profile %s, seed %" PRIu64 ", round %" PRIu64 ", command %" PRIu64 ":\n", o->profile->name,
            o->seed, o->number, command);
    for (uint32_t i = 0; i < count; i++) {
        fprintf(stderr, "  ");
        print_record(stderr, &records[i]);
    }
    fprintf(stderr,
            "again: differential --seed %" PRIu64 " --profile %s --round %" PRIu64 " --digest-every %" PRIu64
            " --check-every %" PRIu64 "\n",
            o->seed, o->profile->name, o->number, o->digest_every, o->check_every);
}

static bool play(const round_of *o, totals *t) {
    side_by_side s;
    const core_options options = options_of(o->profile);
    side_open(&s, &options);
    s.room_enough = !o->profile->tight;
    random_commands *r = random_commands_open(o->seed * 1000003 + o->number, o->profile, slow_digest, &s);
    bool good = true;
    uint64_t command = 0;
    while (good && command < o->commands) {
        wire_record records[RANDOM_RECORDS_MAX];
        const uint32_t count = random_commands_next(r, records);
        for (uint32_t at = 0, used = 0; good && at < count; at += used) {
            command++;
            const uint32_t room = CORE_EVENTS_CHUNK_MIN + (uint32_t)random_below(r, 200);
            if (random_below(r, 4) == 0) core_look_ahead(s.fast, records + at, count - at);
            good = side_apply(&s, records + at, count - at, room, &used);
            if (good && used == 0) break;
            if (good && s.status == CORE_OK) {
                random_commands_taken(r, records + at, used, s.events, s.event_count);
                count_group(t, &s, &records[at + used - 1]);
            }
            good = good && after_group(&s, r, o, command);
            if (!good) say_where(o, command, records + at, used > 0 ? used : count - at);
        }
    }
    good = good && side_digests_agree(&s) && side_check(&s);
    t->taken += s.taken, t->refused += s.refused, t->full += s.full;
    random_commands_close(r);
    side_close(&s);
    return good;
}

static void print_statistics(const totals *t) {
    for (int i = 0; i < 256; i++)
        if (t->kinds[i] > 0) printf("  kind %d: %" PRIu64 "\n", i, t->kinds[i]);
    for (int i = 0; i < 256; i++)
        if (t->event_kinds[i] > 0) printf("  event %d: %" PRIu64 "\n", i, t->event_kinds[i]);
    for (int kind = 0; kind < 256; kind++)
        for (int code = 0; code < 256; code++)
            if (t->codes[kind][code] > 0) printf("  kind %d, code %d: %" PRIu64 "\n", kind, code, t->codes[kind][code]);
}

static bool play_again(round_of o) {
    if (o.check_every == 1 && o.digest_every == 1) return false;
    fprintf(stderr, "\nthe same round, with digests and core_check after each command:\n");
    static totals unused;
    o.check_every = o.digest_every = 1;
    play(&o, &unused);
    return false;
}

static const random_profile *profile_of(uint64_t round) {
    const uint32_t others = random_profile_count - 1;
    return &random_profiles[round % LONG_ONE_IN == LONG_ONE_IN - 1 ? others : round % others];
}

static bool play_all(const settings *set, totals *t) {
    time_t told = time(NULL);
    uint64_t done = 0;
    const uint64_t first = set->only_round < 0 ? 0 : (uint64_t)set->only_round;
    for (uint64_t number = first; done < set->commands; number++) {
        const uint64_t left = set->commands - done;
        const random_profile *p = set->profile ? set->profile : profile_of(number);
        const uint64_t rarer = set->check_every > 1 ? p->round_commands / ROUND_COMMANDS : 1;
        const round_of o = {.seed = set->seed,
                            .number = number,
                            .commands = left < p->round_commands ? left : p->round_commands,
                            .check_every = set->check_every * rarer,
                            .digest_every = set->digest_every * rarer,
                            .profile = p};
        if (!play(&o, t)) return play_again(o);
        done += o.commands;
        if (set->only_round >= 0) break;
        if (time(NULL) - told < PROGRESS_S) continue;
        told = time(NULL);
        printf("differential: seed %" PRIu64 ", %" PRIu64 " commands so far, no difference\n", set->seed, done);
        fflush(stdout);
    }
    return true;
}

static int usage(const char *about) {
    fprintf(stderr,
            "differential: %s\nusage: differential [--seed N] [--commands N] [--profile NAME] [--round N] "
            "[--check-every N] [--digest-every N] [--statistics]\nprofiles:",
            about);
    for (uint32_t i = 0; i < random_profile_count; i++) fprintf(stderr, " %s", random_profiles[i].name);
    fprintf(stderr, "\n");
    return 2;
}

int main(int argc, char **argv) {
    settings set = {.seed = 1, .commands = 100000, .check_every = 100, .digest_every = 10, .only_round = -1};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--statistics") == 0) {
            set.statistics = true;
            continue;
        }
        if (i + 1 == argc) return usage("an option must have a value");
        const char *option = argv[i++], *value = argv[i];
        const uint64_t number = strtoull(value, NULL, 10);
        if (strcmp(option, "--seed") == 0) set.seed = number;
        else if (strcmp(option, "--commands") == 0) set.commands = number;
        else if (strcmp(option, "--round") == 0) set.only_round = (int64_t)number;
        else if (strcmp(option, "--check-every") == 0 && number > 0) set.check_every = number;
        else if (strcmp(option, "--digest-every") == 0 && number > 0) set.digest_every = number;
        else if (strcmp(option, "--profile") == 0) set.profile = random_profile_find(value);
        else return usage("there must be such an option");
        if (strcmp(option, "--profile") == 0 && set.profile == NULL) return usage("there must be such a profile");
    }
    static totals t;
    const bool good = play_all(&set, &t);
    if (set.statistics) print_statistics(&t);
    printf("differential: seed %" PRIu64 ": %" PRIu64 " taken, %" PRIu64 " can't stand, %" PRIu64
           " without room, %" PRIu64 " events: %s\n",
           set.seed, t.taken, t.refused, t.full, t.events, good ? "no difference" : "a difference");
    return good ? 0 : 1;
}
