/* The feed: what a core does, as JSON for topics. This header is its whole contract; what each topic and event holds is
 * in schemas/topics.json and schemas/topics/README.md.
 *
 *      records ──▶ feed_apply ──▶ core ──▶ events ──▶ one open batch for each topic and partition ──▶ messages
 *                                   └────▶ what they touched ──▶ feed_collect ──▶ states ──▶ messages
 *
 * It drives the core itself, so that every event is told with the core as of its command: the firm of an account, the
 * symbol of an instrument. It has no clock and does no I/O: who calls it says when a batch has waited long enough.
 *
 * Threads: none. A feed belongs to the thread of its core.
 */
#ifndef IRONBOOK_FEED_H
#define IRONBOOK_FEED_H

#include "../core/core.h"

#define FEED_BATCH_COUNT_MAX 512u       /* schemas/topics.json: limits */
#define FEED_MESSAGE_BYTES_MAX 900000u  /* likewise */
#define FEED_MESSAGE_BYTES_LEAST 16384u /* any one event fits */
#define FEED_PARTITIONS_MAX 65536u      /* of one topic */
#define FEED_STATE_N UINT32_MAX         /* n of a state: after all events of its record */
#define FEED_LEVEL_COUNT_MAX 1000u      /* levels a side of a snapshot */
#define FEED_EVENT_ROOM 1024u           /* events of one chunk of the core */

typedef enum feed_topic {
    FEED_ASSETS, /* definitions: one object a message, under its key */
    FEED_INSTRUMENTS,
    FEED_ACCOUNTS,
    FEED_EXECUTIONS, /* batches: an array of events */
    FEED_BALANCES,
    FEED_TRADES,
    FEED_BOOK,
    FEED_MARKET_STATE,
    FEED_BOOK_TOP, /* states: one object a message, under its key */
    FEED_BOOK_SNAPSHOTS,
    FEED_TOPIC_COUNT
} feed_topic;

const char *feed_topic_name(feed_topic topic);

typedef struct feed_options {
    uint32_t shard;
    uint32_t firm_partitions;   /* of executions and balances */
    uint32_t symbol_partitions; /* of the topics that are keyed by symbol */
    uint32_t batch_count_max;   /* events of a message */
    uint32_t message_bytes_max; /* of a batch's value */
    uint32_t chunk;             /* events that the core hands out at once, up to FEED_EVENT_ROOM */
} feed_options;

typedef struct feed_place { /* names an event of a shard for ever */
    uint64_t sequence;
    uint32_t n;
} feed_place;

typedef struct feed_message {
    feed_topic topic;
    uint32_t partition;
    uint32_t count; /* events in it */
    uint32_t key_bytes;
    char key[TEXT_BYTES_MAX]; /* none (0 bytes) of a batch of several keys */
    char *value;
    size_t value_bytes, value_room;
    feed_place first, last;
} feed_message;

enum {                       /* what feed_collect closes and makes */
       FEED_DEFINITIONS = 1, /* assets, instruments, accounts that changed */
       FEED_BATCHES = 2,     /* balances and tops that changed; and every open batch, however small */
       FEED_SNAPSHOTS = 4,   /* of each book that changed since its last one */
};

typedef struct feed feed;

/* A feed with these options, which must lie within the limits above. NULL: there is no memory.           (asserted) */
feed *feed_open(const feed_options *options);
void feed_close(feed *f);

/* Apply every whole group of records to the core, and tell its events.
 *
 * requires  `records` are aligned as wire_record. The core hands out reports, market and account events.
 * ensures   CORE_OK: all of them are applied. What could not be told for lack of memory: feed_failed.
 * fails     as core_apply, or CORE_E_RECORD if the last group is not whole. The groups before it are applied and told.
 * cost      as core_apply, and some 100 ns an event.
 */
core_status feed_apply(feed *f, core *c, const wire_record *records, uint32_t count);

/* Touch all that there is, so that the next collecting tells every definition, balance, top and book. */
void feed_touch_everything(feed *f, const core *c);

/* Make messages of what is asked for (FEED_… bits), as of the core's last record. */
void feed_collect(feed *f, const core *c, uint32_t what);

/* Messages made since feed_forget, those of a partition in the order in which they are to be sent. Valid until the next
 * call. */
const feed_message *feed_messages(const feed *f, uint32_t *count);
void feed_forget(feed *f);

/* There was no memory at some time: messages are missing. The feed and its core are of no more use. */
bool feed_failed(const feed *f);

#endif
