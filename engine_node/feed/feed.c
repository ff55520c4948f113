/* Driving the core; batches, and the messages they become. */
#include "parts.h"

#include <stdlib.h>

static const char *const topic_names[FEED_TOPIC_COUNT] = {"assets",   "instruments",   "accounts", "executions",
                                                          "balances", "trades",        "book",     "market.state",
                                                          "book.top", "book.snapshots"};

const char *feed_topic_name(feed_topic topic) { return topic_names[topic]; }

uint32_t feed_partitions(const feed *f, feed_topic topic) {
    if (topic <= FEED_ACCOUNTS) return 1;
    return topic <= FEED_BALANCES ? f->options.firm_partitions : f->options.symbol_partitions;
}

feed *feed_open(const feed_options *options) {
    assert(options->firm_partitions >= 1 && options->firm_partitions <= FEED_PARTITIONS_MAX);
    assert(options->symbol_partitions >= 1 && options->symbol_partitions <= FEED_PARTITIONS_MAX);
    assert(options->batch_count_max >= 1 && options->message_bytes_max >= FEED_MESSAGE_BYTES_LEAST);
    assert(options->chunk >= CORE_EVENTS_CHUNK_MIN && options->chunk <= FEED_EVENT_ROOM);
    feed *f = calloc(1, sizeof *f);
    if (f == NULL) return NULL;
    f->options = *options;
    f->events = calloc(options->chunk, sizeof *f->events);
    bool made = f->events != NULL;
    for (uint32_t t = FEED_EXECUTIONS; t <= FEED_MARKET_STATE; t++) {
        f->batches[t] = calloc(feed_partitions(f, t), sizeof(batch));
        made = made && f->batches[t] != NULL;
    }
    if (made) return f;
    feed_close(f);
    return NULL;
}

void feed_close(feed *f) {
    known_free(f);
    feed_forget(f);
    for (uint32_t t = 0; t < FEED_TOPIC_COUNT; t++) {
        for (uint32_t p = 0; f->batches[t] != NULL && p < feed_partitions(f, t); p++) free(f->batches[t][p].value.at);
        free(f->batches[t]);
    }
    for (uint32_t i = 0; i < f->spare_count; i++) free(f->spare[i].at);
    free(f->messages);
    free(f->events);
    free(f);
}

bool feed_failed(const feed *f) { return f->failed; }

/* ---- Applying ---------------------------------------------------------------------------------------------------- */

static command command_of(const wire_record *group, uint32_t count) {
    command told = {.closing = (const wire_header *)group[count - 1].command};
    for (uint32_t i = 0; i + 1 < count; i++) {
        const wire_header *prefix = (const wire_header *)group[i].command;
        if (prefix->kind == KIND_NONCE) told.nonce = ((const wire_nonce *)prefix)->nonce;
        if (prefix->kind == KIND_TEXT) told.text = ((const wire_text *)prefix)->text;
    }
    return told;
}

static void tell_chunk(feed *f, const command *told, const core_events *chunk) {
    for (uint32_t i = 0; i < chunk->count; i++) {
        event_tell(f, told, &chunk->events[i]);
        event_touch(f, told, &chunk->events[i]);
    }
}

static core_status apply_group(feed *f, core *c, const wire_record *group, uint32_t count) {
    const command told = command_of(group, count);
    core_events chunk = {.events = f->events, .room = f->options.chunk};
    core_status status = core_apply(c, group, count, &chunk);
    if (status == CORE_OK || status == CORE_MORE) known_forget(f, told.closing);
    if (chunk.count > 0) common_begin(f, core_sequence(c), core_received_ns(c));
    for (;;) {
        tell_chunk(f, &told, &chunk);
        if (status != CORE_MORE) break;
        status = core_next(c, &chunk);
    }
    f->sequence = core_sequence(c);
    return status;
}

enum { LOOK_AHEAD = 64 };

core_status feed_apply(feed *f, core *c, const wire_record *records, uint32_t count) {
    if (!known_attach(f, c)) return CORE_OK;
    while (count > 0 && !f->failed) {
        const uint32_t size = core_group(records, count < CORE_GROUP_MAX ? count : CORE_GROUP_MAX);
        if (size == 0) return CORE_E_RECORD;
        core_look_ahead(c, records, count < LOOK_AHEAD ? count : LOOK_AHEAD);
        const core_status status = apply_group(f, c, records, size);
        if (status != CORE_OK) return status;
        records += size;
        count -= size;
    }
    return CORE_OK;
}

/* ---- Batches ----------------------------------------------------------------------------------------------------- */

bool buffer_reserve(feed *f, buffer *b, size_t bytes) {
    if (b->bytes + bytes <= b->room) return true;
    if (b->at == NULL && f->spare_count > 0) *b = f->spare[--f->spare_count];
    if (b->bytes + bytes <= b->room) return true;
    const size_t room = (b->bytes + bytes) * 2;
    char *moved = realloc(b->at, room);
    if (moved == NULL) {
        f->failed = true;
        return false;
    }
    b->at = moved, b->room = room;
    return true;
}

static feed_message *message_new(feed *f) {
    if (f->message_count == f->message_room) {
        const uint32_t room = f->message_room == 0 ? 64 : f->message_room * 2;
        feed_message *moved = realloc(f->messages, room * sizeof *moved);
        if (moved == NULL) {
            f->failed = true;
            return NULL;
        }
        f->messages = moved, f->message_room = room;
    }
    return &f->messages[f->message_count++];
}

static void batch_close(feed *f, feed_topic topic, uint32_t partition) {
    batch *b = &f->batches[topic][partition];
    if (b->count == 0) return;
    feed_message *m = message_new(f);
    if (m == NULL) return;
    b->value.at[b->value.bytes++] = ']'; /* there was room for one event more */
    *m = (feed_message){.topic = topic,
                        .partition = partition,
                        .count = b->count,
                        .key_bytes = b->several ? 0 : b->key_bytes,
                        .value = b->value.at,
                        .value_bytes = b->value.bytes,
                        .value_room = b->value.room,
                        .first = b->first,
                        .last = b->last};
    memcpy(m->key, b->key, m->key_bytes);
    *b = (batch){0};
}

char *batch_room(feed *f, batch *b) {
    if (!buffer_reserve(f, &b->value, EVENT_BYTES_MAX + 2)) return NULL;
    return b->value.at + b->value.bytes + 1; /* behind [ or , */
}

static void batch_key(batch *b, const char *key, uint32_t key_bytes) {
    if (b->count == 0) {
        memcpy(b->key, key, key_bytes);
        b->key_bytes = key_bytes;
    } else if (key_bytes != b->key_bytes || memcmp(key, b->key, key_bytes) != 0) {
        b->several = true;
    }
}

void batch_add(feed *f, feed_topic topic, uint32_t partition, const char *end, feed_place place, const char *key,
               uint32_t key_bytes) {
    batch *b = &f->batches[topic][partition];
    const char *event = b->value.at + b->value.bytes + 1;
    const size_t bytes = (size_t)(end - event);
    assert(bytes <= EVENT_BYTES_MAX);
    if (b->count > 0 && b->value.bytes + bytes + 2 > f->options.message_bytes_max) {
        char carried[EVENT_BYTES_MAX];
        memcpy(carried, event, bytes);
        batch_close(f, topic, partition);
        char *p = batch_room(f, b);
        if (p == NULL) return;
        memcpy(p, carried, bytes);
    }
    b->value.at[b->value.bytes] = b->count == 0 ? '[' : ',';
    b->value.bytes += bytes + 1;
    batch_key(b, key, key_bytes);
    if (b->count++ == 0) b->first = place;
    b->last = place;
    if (b->count == f->options.batch_count_max) batch_close(f, topic, partition);
}

void message_add(feed *f, feed_topic topic, uint32_t partition, buffer value, feed_place place, const char *key,
                 uint32_t key_bytes) {
    feed_message *m = message_new(f);
    if (m == NULL) {
        free(value.at);
        return;
    }
    *m = (feed_message){.topic = topic,
                        .partition = partition,
                        .count = 1,
                        .key_bytes = key_bytes,
                        .value = value.at,
                        .value_bytes = value.bytes,
                        .value_room = value.room,
                        .first = place,
                        .last = place};
    memcpy(m->key, key, key_bytes);
}

/* ---- Messages ---------------------------------------------------------------------------------------------------- */

void feed_collect(feed *f, const core *c, uint32_t what) {
    if (!known_attach(f, c)) return;
    common_begin(f, core_sequence(c), core_received_ns(c));
    if (what & FEED_DEFINITIONS) states_definitions(f);
    if (what & FEED_BATCHES) {
        states_balances(f);
        for (uint32_t t = FEED_EXECUTIONS; t <= FEED_MARKET_STATE; t++)
            for (uint32_t p = 0; p < feed_partitions(f, t); p++) batch_close(f, t, p);
        states_tops(f);
    }
    if (what & FEED_SNAPSHOTS) states_snapshots(f);
}

void feed_touch_everything(feed *f, const core *c) {
    if (known_attach(f, c)) states_all(f);
}

const feed_message *feed_messages(const feed *f, uint32_t *count) {
    *count = f->message_count;
    return f->messages;
}

void feed_forget(feed *f) {
    for (uint32_t i = 0; i < f->message_count; i++) {
        const feed_message *m = &f->messages[i];
        if (f->spare_count < SPARE_COUNT_MAX)
            f->spare[f->spare_count++] = (buffer){.at = m->value, .room = m->value_room};
        else free(m->value);
    }
    f->message_count = 0;
}
