/* What the files of the feed share.
 *
 *   feed.c     driving the core; batches and messages
 *   events.c   one event of the core as JSON
 *   states.c   what was touched, and what it is now
 *   known.c    what every event says of an instrument or an account, made ready once
 *   text.c     numbers, strings, partitions
 */
#ifndef IRONBOOK_FEED_PARTS_H
#define IRONBOOK_FEED_PARTS_H

#include "feed.h"
#include "names.h"
#include "text.h"

#define EVENT_BYTES_MAX 4096u /* an event, or a state other than a snapshot, as JSON */
#define LEVEL_BYTES_MAX 512u  /* a level of a snapshot */
#define SPARE_COUNT_MAX 64u   /* buffers kept for the next batches */

static_assert(EVENT_BYTES_MAX + 2 <= FEED_MESSAGE_BYTES_LEAST, "any one event fits a message");
static_assert(EVENT_BYTES_MAX >=
                  1500 + 2 * SCALED_BYTES_MAX + TEXT_BYTES_ESCAPED * TEXT_BYTES_MAX + 3 * 21 * PRICE_STEP_COUNT_MAX,
              "fields and their names, two scaled numbers, a text, price steps");

typedef struct buffer {
    char *at;
    size_t bytes, room;
} buffer;

/* A batch that is still open: `[event,event` */
typedef struct batch {
    buffer value;
    uint32_t count, key_bytes;
    bool several; /* keys */
    char key[TEXT_BYTES_MAX];
    feed_place first, last;
} batch;

/* An instrument, as every event names it. */
typedef struct market {
    uint32_t partition;
    uint32_t base_asset, quote_asset, quote_decimals;
    uint32_t symbol_bytes, quote_bytes, named_bytes;
    uint64_t quote_units_per_tick_lot;
    char symbol[TEXT_BYTES_MAX], quote[TEXT_BYTES_MAX];
    char named[112]; /* ,"symbol":"BTC/USD","instrument":1 */
    scale price, quantity;
} market;

/* An account: whose it is. */
typedef struct owner {
    uint32_t firm, partition;
    bool known;
} owner;

enum { TOUCHED_DEFINITION = 1, TOUCHED_TOP = 2, TOUCHED_BOOK = 4 };

/* Numbers that were touched, each once, in the order in which they were; and which bits of each. */
typedef struct touched {
    uint8_t *bits;
    uint32_t *list;
    uint32_t count;
} touched;

/* The same of pairs (account, asset), of which there may be very many: an open table, emptied by a new round. */
typedef struct touched_pair {
    uint32_t account, asset;
    uint64_t round;
} touched_pair;

typedef struct touched_pairs {
    touched_pair *table;
    uint64_t *list; /* account << 32 | asset */
    uint32_t room;  /* of the table, a power of two; the list has half of it */
    uint32_t count;
    uint64_t round;
} touched_pairs;

/* The command whose events are told. */
typedef struct command {
    const wire_header *closing;
    const uint8_t *nonce, *text; /* NULL: it has none */
} command;

struct feed {
    feed_options options;
    bool failed;
    wire_report *events; /* options.chunk */

    /* the core that all below speaks of */
    const core *of;
    uint64_t sequence; /* how far it is, as far as this feed knows */
    uint32_t asset_count_max, instrument_count_max, account_count_max;
    market **markets;          /* by instrument; NULL: not made ready */
    owner *owners;             /* by account */
    int64_t *last_price_ticks; /* by instrument: of the last trade told here; 0: not known */
    touched assets, instruments, accounts;
    touched_pairs balances;

    batch *batches[FEED_TOPIC_COUNT]; /* by partition; of topics that are batches */
    feed_message *messages;
    uint32_t message_count, message_room;
    buffer spare[SPARE_COUNT_MAX]; /* empty ones, of messages that were forgotten */
    uint32_t spare_count;

    /* of the command that is told: what stands between its events' type and their own fields */
    uint32_t before_n_bytes, after_n_bytes;
    char before_n[72]; /* ","shard":0,"seq":42,"n": */
    char after_n[40];  /* ,"received_ns":1790000000000000000 */
};

/* ---- feed.c ------------------------------------------------------------------------------------------------------ */

uint32_t feed_partitions(const feed *f, feed_topic topic);

/* Room for one more event in a batch: where to write it, up to EVENT_BYTES_MAX bytes; NULL: there is no memory.
 * Then either batch_add, or nothing. */
char *batch_room(feed *f, batch *b);
void batch_add(feed *f, feed_topic topic, uint32_t partition, const char *end, feed_place place, const char *key,
               uint32_t key_bytes);

/* Room for that many bytes more. False: there is no memory. */
bool buffer_reserve(feed *f, buffer *b, size_t bytes);
/* A message of one object, which takes over the buffer. */
void message_add(feed *f, feed_topic topic, uint32_t partition, buffer value, feed_place place, const char *key,
                 uint32_t key_bytes);

/* ---- known.c ----------------------------------------------------------------------------------------------------- */

bool known_attach(feed *f, const core *c); /* false: there is no memory */
void known_free(feed *f);
void known_forget(feed *f, const wire_header *closing); /* what this command may have defined anew */
const market *market_of(feed *f, uint32_t instrument);  /* NULL: not defined */
owner owner_of(feed *f, uint32_t account);              /* firm 0 if it is not defined */

/* ---- events.c ---------------------------------------------------------------------------------------------------- */

void event_tell(feed *f, const command *told, const wire_report *e);
/* What every event begins with, the type's own text aside. */
void common_begin(feed *f, uint64_t sequence, uint64_t received_ns);
char *put_common(const feed *f, char *p, uint32_t n);

/* ---- states.c ---------------------------------------------------------------------------------------------------- */

void event_touch(feed *f, const command *told, const wire_report *e);
/* What an account has of an asset, the fields that a deposit and a state share. */
char *put_balance(char *p, uint32_t firm, uint32_t account, uint32_t number, const core_asset_info *asset,
                  int64_t free_units, int64_t locked_units);
void states_definitions(feed *f);
void states_balances(feed *f);
void states_tops(feed *f);
void states_snapshots(feed *f);
void states_all(feed *f);

#endif
