/* The feed on random commands of every kind, at the sizes where things are cut. What it says is compared elsewhere with
 * a second encoder (test_feed.py); here it must hold together, whatever comes, under the sanitizers. */
#include "engine_node/feed/feed.h"
#include "support/check.h"
#include "support/random_commands.h"

#include <stdlib.h>

enum { COMMANDS = 4000, EVENT_ROOM = 65536, FEEDS = 3 };

typedef struct told {
    feed *f;
    core *c;
    void *memory;
    feed_place last[FEED_TOPIC_COUNT][64];
    uint64_t digest, messages, events; /* of all bytes told */
} told;

static core_options options_of(const random_profile *p) {
    core_options o = core_options_default();
    o.asset_count_max = 6, o.instrument_count_max = p->instrument_count + 2, o.account_count_max = p->account_count + 2;
    o.key_count_max = p->key_count + 2, o.order_count_max = 4096, o.extra_count_max = 2048, o.level_count_max = 2048;
    o.ladder_count_max = 8192, o.balance_count_max = 256, o.position_count_max = 256, o.nonce_count_max = 16384;
    o.reports_kept = 0, o.event_mask = CORE_EVENTS_ALL, o.nonce_window_ns = 1000000000;
    return o;
}

static void told_open(told *t, const random_profile *p, const feed_options *options) {
    const core_options o = options_of(p);
    const size_t bytes = (core_bytes(&o) + 63) / 64 * 64;
    *t = (told){.memory = aligned_alloc(64, bytes), .f = feed_open(options)};
    CHECK(t->memory != NULL && t->f != NULL);
    memset(t->memory, 0, bytes);
    CHECK_EQUAL(core_open(t->memory, bytes, &o, &t->c), CORE_OK);
}

static void told_close(told *t) {
    feed_close(t->f);
    free(t->memory);
}

static bool is_later(feed_place a, feed_place b) {
    return a.sequence > b.sequence || (a.sequence == b.sequence && a.n > b.n);
}

static void check_message(told *t, const feed_message *m, const feed_options *o) {
    const bool batch = m->topic >= FEED_EXECUTIONS && m->topic <= FEED_MARKET_STATE;
    CHECK(m->value[0] == (batch ? '[' : '{') && m->value[m->value_bytes - 1] == (batch ? ']' : '}'));
    CHECK(!batch || m->value_bytes <= o->message_bytes_max);
    CHECK(m->count >= 1 && m->count <= o->batch_count_max && m->key_bytes <= TEXT_BYTES_MAX);
    CHECK(!is_later(m->first, m->last));
    feed_place *last = &t->last[m->topic][m->partition];
    if (batch) CHECK(is_later(m->first, *last) || (m->first.n == FEED_STATE_N && last->n == FEED_STATE_N));
    *last = m->last;
    for (size_t i = 0; i < m->value_bytes; i++) {
        CHECK((unsigned char)m->value[i] >= ' ');
        t->digest = (t->digest ^ (unsigned char)m->value[i]) * 0x100000001b3ull;
    }
    t->events += m->count;
    t->messages++;
}

static void take(told *t, const feed_options *o, uint32_t what) {
    uint32_t count;
    feed_collect(t->f, t->c, what);
    const feed_message *messages = feed_messages(t->f, &count);
    for (uint32_t i = 0; i < count; i++) check_message(t, &messages[i], o);
    feed_forget(t->f);
    CHECK(!feed_failed(t->f));
}

static uint64_t digest_of(void *self) { return core_digest(self); }

/* All events of a group, for the maker of commands; they come from a core of its own. */
static bool taken(core *c, const wire_record *group, uint32_t count, wire_report *events, uint32_t *event_count) {
    core_events out = {.events = events, .room = EVENT_ROOM};
    core_status status = core_apply(c, group, count, &out);
    if (status != CORE_OK && status != CORE_MORE) return false;
    *event_count = out.count;
    while (status == CORE_MORE) status = core_next(c, &out);
    return true;
}

static void play(const random_profile *p, uint64_t seed, const feed_options options[FEEDS], told feeds[FEEDS]) {
    static wire_report events[EVENT_ROOM];
    told own;
    told_open(&own, p, &options[0]);
    for (uint32_t i = 0; i < FEEDS; i++) told_open(&feeds[i], p, &options[i]);
    random_commands *r = random_commands_open(seed, p, digest_of, own.c);
    for (uint32_t made = 0; made < COMMANDS;) {
        wire_record records[RANDOM_RECORDS_MAX];
        const uint32_t count = random_commands_next(r, records);
        for (uint32_t at = 0, size; at < count; at += size, made++) {
            size = core_group(records + at, count - at);
            uint32_t event_count = 0;
            if (size == 0) break;
            const bool good = taken(own.c, records + at, size, events, &event_count);
            if (good) random_commands_taken(r, records + at, size, events, event_count);
            for (uint32_t i = 0; i < FEEDS; i++) {
                /* A void group alone may still have a record to come; then the core goes on without the feed. */
                const core_status status = feed_apply(feeds[i].f, feeds[i].c, records + at, size);
                if (status == CORE_E_RECORD && good) {
                    core_events none = {.events = events, .room = EVENT_ROOM};
                    CHECK_EQUAL(core_apply(feeds[i].c, records + at, size, &none), CORE_OK);
                } else {
                    CHECK_EQUAL(status == CORE_OK, good);
                }
                if (made % 50 == 0) take(&feeds[i], &options[i], FEED_DEFINITIONS | FEED_BATCHES | FEED_SNAPSHOTS);
            }
        }
    }
    random_commands_close(r);
    for (uint32_t i = 0; i < FEEDS; i++) {
        take(&feeds[i], &options[i], FEED_DEFINITIONS | FEED_BATCHES | FEED_SNAPSHOTS);
        CHECK_EQUAL(core_digest(feeds[i].c), core_digest(own.c));
    }
    told_close(&own);
}

static void test_it_holds_together_on_every_profile(void) {
    const feed_options whole = {.firm_partitions = 8,
                                .symbol_partitions = 8,
                                .batch_count_max = FEED_BATCH_COUNT_MAX,
                                .message_bytes_max = FEED_MESSAGE_BYTES_MAX,
                                .chunk = FEED_EVENT_ROOM};
    feed_options options[FEEDS] = {whole, whole, whole};
    options[1].chunk = CORE_EVENTS_CHUNK_MIN;
    options[2].batch_count_max = 3, options[2].message_bytes_max = FEED_MESSAGE_BYTES_LEAST;
    for (uint32_t i = 0; i + 1 < random_profile_count; i++) {
        told feeds[FEEDS];
        play(&random_profiles[i], i + 1, options, feeds);
        CHECK(feeds[0].events > COMMANDS);
        CHECK_EQUAL(feeds[1].digest, feeds[0].digest); /* small chunks of the core, the same bytes */
        CHECK_EQUAL(feeds[2].events, feeds[0].events); /* small messages, as many events */
        CHECK(feeds[2].messages > feeds[0].messages);
        for (uint32_t f = 0; f < FEEDS; f++) told_close(&feeds[f]);
    }
}

static void test_touching_everything_of_an_empty_core_tells_nothing(void) {
    const feed_options o = {.firm_partitions = 1,
                            .symbol_partitions = 1,
                            .batch_count_max = 1,
                            .message_bytes_max = FEED_MESSAGE_BYTES_LEAST,
                            .chunk = CORE_EVENTS_CHUNK_MIN};
    told t;
    told_open(&t, &random_profiles[0], &o);
    feed_touch_everything(t.f, t.c);
    take(&t, &o, FEED_DEFINITIONS | FEED_BATCHES | FEED_SNAPSHOTS);
    CHECK_EQUAL(t.messages, 0);
    told_close(&t);
}

int main(void) {
    RUN(test_it_holds_together_on_every_profile);
    RUN(test_touching_everything_of_an_empty_core_tells_nothing);
    return checks_done();
}
