/* What there is in the plain book: a list for each kind of thing. */
#ifndef IRONBOOK_PLAIN_STATE_H
#define IRONBOOK_PLAIN_STATE_H

#include <string.h>

#include "plain.h"

typedef __int128 wide; /* products; wide enough for sums of them too */

typedef struct asset {
    struct asset *next;
    uint32_t number;
    uint8_t decimals;
    int64_t supply; /* deposits - withdrawals */
    int64_t fees;
} asset;

typedef struct order {
    struct order *next; /* in its side of the book: better price first, then lower priority number */
    uint64_t id;
    uint32_t account;
    uint32_t instrument;
    uint32_t key;
    uint8_t side;
    uint8_t type;
    uint8_t time_in_force;
    uint8_t self_trade;
    uint8_t options;
    int64_t price;
    int64_t rest;
    int64_t filled;
    uint64_t client_order_id;
    uint64_t priority;
    int64_t lock; /* quote units of a buy, base units of a sell */
    int32_t maker_ppm;
    int32_t taker_ppm;
    wide maker_notional; /* of this entry into the book */
    wide taker_notional; /* likewise, while it takes */
} order;

typedef struct instrument {
    struct instrument *next;
    uint32_t number;
    uint32_t base;
    uint32_t quote;
    int32_t maker_ppm;
    int32_t taker_ppm;
    uint8_t state;
    uint64_t base_units;  /* of a lot */
    uint64_t quote_units; /* of a tick times a lot */
    uint32_t collar_ppm;
    int64_t quantity_min;
    int64_t quantity_max;
    int64_t notional_min;
    int64_t reference;
    uint64_t trade_id;
    uint64_t book_update_id;
    uint64_t level3_id;
    uint64_t top_id;
    order *bids; /* best first */
    order *asks;
} instrument;

typedef struct position {
    struct position *next; /* in the order in which they were created */
    uint32_t instrument;
    int64_t lots;
    int64_t open_buy;
    int64_t open_sell;
} position;

typedef struct balance {
    struct balance *next;
    uint32_t asset;
    int64_t free;
    int64_t locked;
} balance;

typedef struct account {
    struct account *next;
    uint32_t number;
    uint32_t firm;
    bool halted;
    uint32_t open_orders_max;
    uint32_t rate_max;
    uint32_t rate_window_ms;
    int64_t notional_max;
    int64_t position_max;
    int64_t quantity_max;
    uint64_t rate_window;
    uint64_t rate_count;
    balance *balances;
    position *positions;
} account;

typedef struct key {
    struct key *next;
    uint32_t number;
    uint64_t client_sequence;
    uint64_t report_number;
    uint32_t session;
    bool live;
    uint32_t account;
    uint8_t options;
    uint64_t deadline_ns; /* of the countdown; 0: none */
    uint32_t countdown_account;
} key;

typedef struct nonce {
    struct nonce *next; /* in order of arrival */
    uint8_t bytes[16];
    uint64_t timestamp_ns;
} nonce;

struct plain {
    uint32_t key_count_max;
    uint64_t window_ns;      /* the nonce window that rules */
    uint64_t term_window_ns; /* as a term has set it; 0 before */
    uint64_t sequence;
    uint64_t received_ns;
    uint64_t term;
    bool everything_halted;
    asset *assets;
    instrument *instruments;
    account *accounts;
    key *keys;
    nonce *nonces;

    wire_report *events; /* of this command */
    uint32_t event_count;
    uint32_t event_room;
};

/* One command: the record that closes a group, and what its prefixes say. */
typedef struct command {
    uint8_t bytes[COMMAND_BYTES];
    uint8_t kind;
    uint32_t key;
    uint64_t client_sequence;
    uint64_t sequence;
    uint64_t received_ns;
    bool prefix_malformed;
    const wire_text *text;   /* NULL if there is none */
    const wire_nonce *nonce; /* likewise */
} command;

#define AS(type, command_) (*(const type *)(const void *)(command_)->bytes)

/* state.c: finding answers NULL if there is no such thing; the others make it if need be */
void *plain_new(size_t bytes);
asset *plain_asset_find(const plain *book, uint32_t number);
instrument *plain_instrument_find(const plain *book, uint32_t number);
account *plain_account_find(const plain *book, uint32_t number);
balance *plain_balance_of(account *who, uint32_t asset);
position *plain_position_of(account *who, uint32_t instrument);
position *plain_position_find(const account *who, uint32_t instrument);
key *plain_key_of(plain *book, uint32_t number);
order *plain_order_find(const plain *book, uint64_t id);
order *plain_order_find_by_client(const plain *book, uint32_t account, uint64_t client_order_id);
uint32_t plain_order_count(const plain *book, uint32_t account);
order **plain_book_side(instrument *in, uint8_t side);
void plain_book_insert(instrument *in, order *o);
void plain_book_remove(instrument *in, order *o);
bool plain_price_reaches(uint8_t side, int64_t limit, int64_t other);
static inline uint8_t other_side(uint8_t side) { return side == SIDE_BUY ? SIDE_SELL : SIDE_BUY; }

/* number.c */
wide plain_notional(const instrument *in, int64_t price, int64_t lots);
wide plain_base_amount(const instrument *in, int64_t lots);
wide plain_fee_of(wide amount, int64_t ppm);
wide plain_need(const instrument *in, const order *o, int64_t price, int64_t lots);
wide plain_floor_div(wide a, wide b);
wide plain_ceil_div(wide a, wide b);
static inline wide plain_least(wide a, wide b) { return a < b ? a : b; }
static inline wide plain_most(wide a, wide b) { return a > b ? a : b; }

/* group.c */
bool plain_is_prefix(uint8_t kind);
bool plain_is_client_kind(uint8_t kind);
plain_answer plain_group_stands(const plain *book, const wire_record *records, uint32_t count);

/* event.c */
wire_report *plain_event(plain *book, const command *c, uint8_t kind);
void plain_report(plain *book, const command *c, uint32_t key, wire_report what);
void plain_report_order(plain *book, const command *c, const order *o, wire_report what);
void plain_report_applied(plain *book, const command *c, wire_report what);
void plain_reject(plain *book, const command *c, uint16_t code);
void plain_event_level3(plain *book, const command *c, instrument *in, const order *o, uint8_t action);
void plain_event_book_update(plain *book, const command *c, instrument *in, uint8_t side, int64_t price);
void plain_event_state(plain *book, const command *c, uint16_t code, uint32_t instrument, uint32_t account);
void plain_event_balance(plain *book, const command *c, account *who, uint32_t asset, int64_t amount,
                         uint64_t reference);

/* check.c: the code of the first check that fails; CODE_NONE if all hold */
uint16_t plain_check_new_order(plain *book, const command *c, order *o);
uint16_t plain_check_replace(plain *book, const command *c, const order *o);
uint16_t plain_check_halts(const plain *book, const account *who, const instrument *in);
bool plain_all_zero(const uint8_t *bytes, size_t count);
bool plain_command_malformed(const command *c);

/* match.c */
void plain_take(plain *book, const command *c, instrument *in, order *taker);
bool plain_fillable(const instrument *in, const order *taker);
void plain_set_lock(plain *book, order *o, wide units);
void plain_take_off(plain *book, const command *c, order *o, int64_t lots, uint16_t code, uint64_t reference);

/* order.c */
void plain_new_order(plain *book, const command *c);
void plain_cancel(plain *book, const command *c);
void plain_replace(plain *book, const command *c);
void plain_mass_cancel(plain *book, const command *c);
void plain_cancel_resting(plain *book, const command *c, order *o, uint16_t code, uint64_t reference);
uint32_t plain_cancel_all(plain *book, const command *c, account *who, uint32_t instrument, uint8_t side, uint32_t key,
                          uint16_t code);

/* time.c */
void plain_countdown(plain *book, const command *c);
void plain_clock_tick(plain *book, const command *c);

/* admin.c, system.c */
void plain_admin(plain *book, const command *c);
void plain_system_record(plain *book, const command *c);
uint16_t plain_take_nonce(plain *book, const command *c);

#endif
