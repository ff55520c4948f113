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

/* The open orders of an instrument, each in one list. This is also the order in which a kill takes them. */
enum {
    LIST_BIDS,
    LIST_ASKS,
    LIST_HIDDEN_BIDS,
    LIST_HIDDEN_ASKS,
    LIST_UNLIT_BUYS,
    LIST_UNLIT_SELLS,
    LIST_RISING,
    LIST_FALLING,
    LIST_COUNT
};

typedef struct order {
    struct order *next;
    uint8_t list; /* which one it is in, while it is in one */
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

    int64_t amount;      /* market_by_quote: what may be spent or received; 0 of all others */
    int64_t amount_left; /* of it */
    uint8_t trigger;     /* none: it does not wait, or not any more */
    int64_t trigger_price;
    int64_t peak;
    int32_t offset;
    uint8_t peg;
    uint8_t terms; /* TermOption */
    int64_t display;
    int64_t reserve; /* of the rest, what an iceberg in the book does not show */
    int64_t minimum;
    uint64_t expire_ns;
    uint64_t linked; /* id of the order it is linked with, 0: none */
} order;

typedef struct fee_tier {
    bool set;
    int32_t maker_ppm;
    int32_t taker_ppm;
} fee_tier;

typedef struct price_step {
    int64_t from; /* rules from this price on */
    int64_t tick; /* prices are multiples of this; 0: there is no such row */
    int64_t lot;
} price_step;

typedef struct breaker {
    uint32_t ppm;
    uint32_t ms;
} breaker;

typedef struct instrument {
    struct instrument *next; /* by rising number */
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
    int64_t static_price;
    uint64_t auction_ends_ns;
    uint64_t trade_id;
    uint64_t book_update_id;
    uint64_t level3_id;
    uint64_t top_id;
    uint64_t checksum_update_id; /* last book update of the last checksum */
    breaker breakers[4];         /* the band, levels 1 to 3 */
    fee_tier tiers[FEE_TIER_MAX + 1];
    price_step steps[PRICE_STEP_COUNT_MAX];
    order *lists[LIST_COUNT];

    /* During a command: */
    int64_t level[3];      /* by side: the displayed level that is being matched, 0: none */
    bool level_changed[3]; /* its book_update follows when it is left */
    uint64_t traded_at;    /* sequence of the last command with a trade */
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
    int64_t floor;
} balance;

typedef struct account {
    struct account *next; /* by rising number */
    uint32_t number;
    uint32_t firm;
    uint8_t tier;
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

/* A trade that can still be busted. */
typedef struct trade {
    struct trade *next; /* the oldest first */
    uint64_t number;    /* among all trades */
    uint32_t instrument;
    uint64_t id;
    uint32_t buyer;
    uint32_t seller;
    int64_t price;
    int64_t lots;
    int64_t buyer_fee;
    int64_t seller_fee;
    bool busted;
} trade;

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
    trade *trades, *last_trade;
    uint64_t trades_kept, trades_made;

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
    const wire_text *text;         /* NULL if there is none */
    const wire_nonce *nonce;       /* likewise */
    const wire_order_terms *terms; /* likewise */
    const wire_order_link *link;   /* likewise */
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
order *plain_order_named(const plain *book, uint32_t account, uint32_t instrument, uint64_t id,
                         uint64_t client_order_id);
order *plain_order_find_by_client(const plain *book, uint32_t account, uint64_t client_order_id);
uint32_t plain_order_count(const plain *book, uint32_t account);
order **plain_book_side(instrument *in, uint8_t side);
void plain_book_insert(instrument *in, order *o);
void plain_book_remove(instrument *in, order *o);
bool plain_price_reaches(uint8_t side, int64_t limit, int64_t other);
bool plain_at_or_better(uint8_t side, int64_t price, int64_t than);

static inline uint8_t other_side(uint8_t side) { return side == SIDE_BUY ? SIDE_SELL : SIDE_BUY; }
static inline bool waits(const order *o) { return o->trigger != TRIGGER_NONE; }
static inline bool can_rest(const order *o) {
    return o->type == ORDER_TYPE_LIMIT && o->time_in_force == TIME_IN_FORCE_GOOD_TILL_CANCELLED;
}
static inline bool is_hidden(const order *o) { return (o->terms & TERM_OPTION_HIDDEN) != 0; }
static inline bool is_all_or_none(const order *o) { return (o->terms & TERM_OPTION_ALL_OR_NONE) != 0; }
static inline bool is_unlit(const order *o) { return is_all_or_none(o) || o->peg != PEG_NONE; }
static inline bool is_displayed(const order *o) { return o->list == LIST_BIDS || o->list == LIST_ASKS; }
static inline bool is_rising(const order *o) {
    return (o->side == SIDE_BUY) == (o->trigger == TRIGGER_STOP || o->trigger == TRIGGER_TRAILING);
}
static inline int64_t shown(const order *o) { return o->rest - o->reserve; }

/* number.c */
wide plain_notional(const instrument *in, int64_t price, int64_t lots);
wide plain_base_amount(const instrument *in, int64_t lots);
wide plain_fee_of(wide amount, int64_t ppm);
wide plain_with_fee(const order *o, wide amount);
wide plain_need(const instrument *in, const order *o, int64_t price, int64_t lots);
wide plain_floor_div(wide a, wide b);
wide plain_ceil_div(wide a, wide b);
int64_t plain_bound(int64_t price, uint32_t ppm, uint8_t side);
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
void plain_event_state(plain *book, const command *c, const instrument *in, int64_t level);
void plain_event_halt(plain *book, const command *c, bool halted, uint32_t account);
void plain_event_balance(plain *book, const command *c, account *who, uint32_t asset, int64_t amount,
                         uint64_t reference);

/* check.c: the code of the first check that fails; CODE_NONE if all hold */
uint16_t plain_check_new_order(plain *book, const command *c, order *o, order **partner);
uint16_t plain_check_replace(plain *book, const command *c, const order *o);
bool plain_all_zero(const uint8_t *bytes, size_t count);
bool plain_command_malformed(const command *c);
static inline bool between(int64_t low, int64_t number, int64_t high) { return low <= number && number <= high; }

/* terms.c */
bool plain_terms_malformed(const order *o, const wire_order_terms *w);
bool plain_link_malformed(const order *o, const wire_order_link *w);
uint16_t plain_check_terms(const order *o, uint64_t received_ns);
bool plain_on_tick(const instrument *in, int64_t price);
bool plain_on_lot(const instrument *in, int64_t price, int64_t lots);
int64_t plain_made_price(const order *o, int64_t bid, int64_t ask);

/* match.c */
typedef struct run {  /* what does not change while a taker matches */
    int64_t bid, ask; /* best displayed prices when it began; 0: none */
    int64_t limit;    /* the taker's price; 0: it can't match */
} run;
enum { ENDED, ENDED_BY_AMOUNT, ENDED_BY_BREAKER };
run plain_run_begin(const instrument *in, const order *taker);
order *plain_best_maker(const instrument *in, const order *taker, const run *r, int64_t *price);
bool plain_walk_finds(const instrument *in, const order *taker, int64_t lots);
int plain_take(plain *book, const command *c, instrument *in, order *taker);
void plain_set_lock(plain *book, order *o, wide units);
void plain_take_off(plain *book, const command *c, order *o, int64_t lots, uint16_t code, uint64_t reference);
void plain_settle(plain *book, instrument *in, order *o, int64_t lots, wide amount, wide fee);
void plain_maker_changed(plain *book, const command *c, instrument *in, order *o);
void plain_keep_trade(plain *book, const instrument *in, const trade *what);
void plain_cancel_partner(plain *book, const command *c, order *o);
void plain_end_partner(plain *book, const command *c, uint64_t id);
int plain_breaker_level(const instrument *in, int64_t price, int64_t static_price, int64_t reference);

/* order.c */
void plain_new_order(plain *book, const command *c);
void plain_cancel(plain *book, const command *c);
void plain_replace(plain *book, const command *c);
void plain_mass_cancel(plain *book, const command *c);
void plain_cancel_open(plain *book, const command *c, order *o, uint16_t code, uint64_t reference);
uint32_t plain_cancel_all(plain *book, const command *c, account *who, uint32_t instrument, uint8_t side, uint32_t key,
                          uint16_t code);
void plain_finish(plain *book, const command *c, instrument *in, order *o, int how);

/* waiting.c */
void plain_wait(instrument *in, order *o);
uint16_t plain_check_waiting(const instrument *in, const order *o);
void plain_fire(plain *book, const command *c, instrument *in, bool opened);

/* auction.c */
typedef struct auction {
    int64_t price; /* 0: nothing crosses */
    wide buys, sells;
} auction;
auction plain_auction(const instrument *in);
void plain_uncross(plain *book, const command *c, instrument *in);
uint16_t plain_instrument_state(plain *book, const command *c);
uint16_t plain_circuit_breaker(plain *book, const command *c);
void plain_move(plain *book, const command *c, instrument *in, uint8_t state, uint64_t ends_ns, int64_t static_price,
                const wire_report *applied);

/* time.c */
void plain_countdown(plain *book, const command *c);
void plain_clock_tick(plain *book, const command *c);

/* admin.c, halt.c, money.c, bust.c, system.c */
void plain_admin(plain *book, const command *c);
void plain_halt(plain *book, const command *c);
uint16_t plain_halt_check(const plain *book, const command *c);
uint16_t plain_move_money(plain *book, const command *c);
uint16_t plain_balance_floor(plain *book, const command *c);
uint16_t plain_bust(plain *book, const command *c);
void plain_system_record(plain *book, const command *c);
uint16_t plain_take_nonce(plain *book, const command *c);

#endif
