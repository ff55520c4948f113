/* What the files that make random commands share: the state, and who makes what. See random_commands.h. */
#ifndef IRONBOOK_RANDOM_PARTS_H
#define IRONBOOK_RANDOM_PARTS_H

#include <string.h>

#include "support/random_commands.h"

#define OPEN_MAX 4096
#define KEYS_MAX 16
#define PLACES_MAX 16 /* instruments and accounts remembered */
#define START_NS 1700000000000000000ull
#define NONCES_KEPT 64
#define TRADES_SEEN 64

typedef struct open_order {
    uint64_t id, client_order_id;
    uint32_t account, instrument;
    int64_t price, quantity;
    uint8_t side;
} open_order;

typedef struct seen_trade {
    uint64_t id;
    uint32_t instrument;
    int64_t price, quantity;
} seen_trade;

typedef struct market {
    uint64_t base_units, quote_units;
    int64_t middle; /* the price that orders are around */
    int64_t lot;    /* quantities are multiples of it, near enough */
} market;

struct random_commands {
    uint64_t state;
    const uint8_t *bytes; /* decide by these, if not NULL */
    size_t bytes_left;
    random_profile profile;
    random_digest digest;
    void *self;

    uint64_t received_ns;
    uint64_t term;
    uint64_t sequences[KEYS_MAX]; /* last client sequence of each key */
    uint32_t setup;               /* the next command of the definition of the market */
    bool defined;                 /* there is no such command any more */
    bool everything_halted, instrument_halted[PLACES_MAX], account_halted[PLACES_MAX];
    uint8_t instrument_state[PLACES_MAX];
    market markets[PLACES_MAX];
    open_order open[OPEN_MAX];
    uint32_t open_count;
    uint8_t nonces[NONCES_KEPT][16];
    seen_trade trades[TRADES_SEEN];
    uint64_t client_order_id;
};

typedef struct share {
    uint32_t weight;
    void (*make)(random_commands *r, void *to);
} share;

/* random_commands.c */
bool random_chance(random_commands *r, uint32_t permille);
bool random_one_in(random_commands *r, uint64_t n);
uint64_t random_extreme(random_commands *r);
void random_draw(random_commands *r, const share *shares, uint32_t count, void *to);

/* random_orders.c */
uint32_t random_key(random_commands *r);
uint32_t random_account(random_commands *r);
uint32_t random_asset(random_commands *r);
uint32_t random_instrument(random_commands *r);
int64_t random_price(random_commands *r, uint32_t instrument);
bool random_crowded(const random_commands *r);
wire_record random_record(random_commands *r, uint32_t key, uint64_t client_sequence, const void *command);
void random_new_order(random_commands *r, void *to);
void random_order_command(random_commands *r, void *to);
void random_nonce(random_commands *r, uint8_t *bytes);
uint32_t random_prefixes(random_commands *r, wire_record *records, uint32_t key, uint64_t first,
                         uint8_t command[COMMAND_BYTES], bool named);

/* random_admin.c */
void random_admin_command(random_commands *r, void *to);
bool random_resume(random_commands *r, void *to);
bool random_opening(random_commands *r, void *to);
wire_record random_system(random_commands *r);
void random_markets(random_commands *r);
bool random_setup(random_commands *r, void *to, bool *named);

#endif
