/* The core: commands in, events out. This header is its whole contract.
 *
 * A core is a deterministic state machine: order books, ledger, limits, sessions. It has no clock, no randomness, no
 * I/O and allocates nothing after core_open: the same records give the same events and the same digest, on any
 * machine, in any year. The primary, the publisher, the gateway, a backtest: each owns one core and applies the same
 * journal to it.
 *
 *      records ──▶ core_apply ──▶ chunk of events ──▶ core_next ──▶ chunk ──▶ … ──▶ CORE_OK
 *
 * What each command does is written in docs/reference/rules.md; layouts and codes in schemas/.
 *
 * Threads: none. A core belongs to one thread at a time and shares nothing with another core.
 * Three kinds of "no": our own bug ends the process (INVARIANT, in every build); no room is CORE_E_FULL with
 * nothing changed; what the market refuses is a `rejected` event.
 */
#ifndef IRONBOOK_CORE_H
#define IRONBOOK_CORE_H

#include <stdbool.h>

#include "limits.h"

typedef struct core core;

/* ---- Status ----------------------------------------------------------------------------------------------------- */

typedef enum core_status {
    CORE_OK = 0,     /* done; the chunk holds the last (or only) events */
    CORE_MORE,       /* the chunk is full: use it, then call core_next */
    CORE_E_FULL,     /* a pool has no room for what the command may create; nothing changed; core_full_pool names it */
    CORE_E_RECORD,   /* these records can't stand here (kind, key, client sequence, time, term); nothing changed */
    CORE_E_DIVERGED, /* a digest record names another state than this one; nothing changed */
    CORE_E_OPTIONS,  /* core_open: an option is outside limits.h, or the memory too small */
    CORE_E_SNAPSHOT, /* core_load: damaged, or larger than this core's capacities */
    CORE_STATUS_COUNT
} core_status;

const char *core_status_name(core_status status);

/* ---- Open ------------------------------------------------------------------------------------------------------- */

enum {                           /* which events are handed out; all are counted in any case */
       CORE_EVENTS_REPORTS = 1,  /* class "report": told to the key that sent the order */
       CORE_EVENTS_MARKET = 2,   /* class "market": trade, book_update, top, state, ... */
       CORE_EVENTS_LEVEL3 = 4,   /* level3 */
       CORE_EVENTS_ACCOUNTS = 8, /* balance */
       CORE_EVENTS_ALL = 15
};

typedef struct core_options {
    uint32_t asset_count_max;      /* numbers 1 .. this - 1 */
    uint32_t instrument_count_max; /* numbers 1 .. this - 1 */
    uint32_t account_count_max;    /* numbers 1 .. this - 1 */
    uint32_t key_count_max;        /* numbers 1 .. this - 1 */
    uint32_t order_count_max;      /* open orders, all instruments together */
    uint32_t extra_count_max;      /* of them, those with terms or a link; 0: none can have any */
    uint32_t level_count_max;      /* price levels, all books together */
    uint32_t ladder_count_max;     /* ladder nodes (64 prices each), all books together */
    uint32_t balance_count_max;    /* (account, asset) pairs */
    uint32_t position_count_max;   /* (account, instrument) pairs */
    uint32_t nonce_count_max;      /* nonces held */
    uint32_t reports_kept;         /* for each key, a power of two; 0: none */
    uint32_t event_mask;           /* CORE_EVENTS_... handed out in chunks */
    uint64_t hash_seed; /* where clients' order ids fall in their index: what nobody outside can guess, so that nobody
                               * can make them fall together; means nothing else. 0: one that everybody knows */
    uint64_t nonce_window_ns; /* how far a nonce's timestamp may be from the time of receipt, until a term says so */
} core_options;

/* Options that suit a small venue: 64 assets, 256 instruments, 4,096 accounts, 1,048,576 orders. */
core_options core_options_default(void);

/* How much memory a core with these options needs, in bytes; 0 if an option is outside limits.h. */
size_t core_bytes(const core_options *options);

/* Lay out an empty core in memory.
 *
 * owns      nothing: `memory` stays the caller's, is zeroed pages at entry (as mmap and calloc give them), aligned to
 *           64 bytes, and must not move. There is no close: a core is done when its memory is.
 * fails     CORE_E_OPTIONS: an option is outside limits.h, or bytes < core_bytes(options). *out is not set.
 */
core_status core_open(void *memory, size_t bytes, const core_options *options, core **out);

/* ---- Commands ---------------------------------------------------------------------------------------------------- */

typedef struct core_events {
    wire_report *events; /* room for `room` events, the caller's; unused if event_mask is 0 */
    uint32_t room;       /* at least CORE_EVENTS_CHUNK_MIN                                              (asserted) */
    uint32_t count;      /* events handed out: set by core_apply and core_next */
    uint32_t reports;    /* reports made, handed out or only kept: set likewise, and never above room either */
} core_events;

/* How many of the first `count` records form the next group: 1 .. 5; 0 if more records are needed to tell.
 * A group whose last record is a prefix is void: applying it only uses up its sequences.
 */
uint32_t core_group(const wire_record *records, uint32_t count);

/* Apply one group: prefixes and the record that closes them.
 *
 * units     sequences count from 1: the group's first record has sequence core_sequence(core) + 1.
 * owns      nothing. `records` are read only during the call.
 * requires  no earlier command is unfinished (the last call did not return CORE_MORE);
 *           count is what core_group gives.                                                           (asserted)
 * ensures   CORE_OK or CORE_MORE: every record's sequence is used; what rules.md says has happened, so far as the
 *           events handed out tell.
 * fails     CORE_E_FULL, CORE_E_RECORD, CORE_E_DIVERGED: nothing changed, no event.
 * cost      O(levels crossed + orders traded or cancelled). No allocation, no system call.
 */
core_status core_apply(core *c, const wire_record *records, uint32_t count, core_events *out);

/* Go on with the command that returned CORE_MORE. */
core_status core_next(core *c, core_events *out);

/* The received_ns from which on a clock tick would find something to do (an order to expire, a countdown that ends, an
 * instrument to open); UINT64_MAX if nothing waits for time. It may be early (a tick then does nothing but find out the
 * next), never late. O(1). */
uint64_t core_due_ns(const core *c);

/* Ask for the memory that the coming records will touch: records[0] is the one to be applied next, `count` of them
 * are known. Called before each core_apply of a batch it hides most of the latency of a deep book; it changes
 * nothing that anybody could see. */
void core_look_ahead(core *c, const wire_record *records, uint32_t count);

/* The keys that got reports since this was last asked, each once, in no order; asking forgets them. Valid until the
 * next core_apply. Reports of a run are found through core_reports, so a primary needs no events handed out. */
const uint16_t *core_touched(core *c, uint32_t *count);

/* Number of the newest report of a key; 0 if there is none. */
uint64_t core_last_report(const core *c, uint32_t key);

/* Name of the pool that CORE_E_FULL was about: an option of core_options, "" if there was none. */
const char *core_full_pool(const core *c);

/* ---- Questions: none changes anything ---------------------------------------------------------------------------- */

uint64_t core_sequence(const core *c);    /* of the last record applied; 0 at first */
uint64_t core_received_ns(const core *c); /* of the last record applied */
uint64_t core_term(const core *c);
uint64_t core_digest(const core *c); /* rules.md 12; O(1) */
const core_options *core_get_options(const core *c);
bool core_everything_halted(const core *c);

typedef struct core_asset_info {
    uint8_t decimals;
    uint8_t name_bytes;
    char name[TEXT_BYTES_MAX];
    int64_t supply_units; /* deposits - withdrawals */
    int64_t fees_units;
} core_asset_info;

typedef struct core_instrument_info {
    uint32_t base_asset, quote_asset;
    int32_t maker_fee_ppm, taker_fee_ppm;
    uint8_t trading_state;
    uint8_t name_bytes;
    char name[TEXT_BYTES_MAX];
    uint64_t base_units_per_lot, quote_units_per_tick_lot;
    uint32_t collar_ppm;
    int64_t quantity_lots_min, quantity_lots_max, notional_units_min;
    int64_t reference_price_ticks;
    uint64_t trade_id, book_update_id, level3_id, top_id; /* the last ones used */
    uint32_t bid_level_count, ask_level_count;
    uint64_t auction_ends_ns;               /* of pre_open and auction: when a clock tick opens it; 0: a command does */
    int64_t static_price_ticks;             /* what the breaker's levels lie around; 0: none yet */
    uint32_t breaker_ppm[4], breaker_ms[4]; /* the band, then levels 1 to 3; ppm 0: not set */
} core_instrument_info;

typedef struct core_account_info {
    uint32_t firm;
    bool halted;
    uint32_t open_orders, open_orders_max, order_rate_max, order_rate_window_ms;
    int64_t notional_units_max, position_lots_max, quantity_lots_max;
    uint8_t fee_tier;
} core_account_info;

typedef struct core_fee_tier_info {
    int32_t maker_fee_ppm, taker_fee_ppm;
} core_fee_tier_info;

typedef struct core_price_step_info {
    int64_t from_price_ticks, tick_multiple, lot_multiple;
} core_price_step_info;

typedef struct core_trade_info { /* as it is settled now */
    uint64_t number;             /* among all trades made */
    uint32_t buyer, seller;
    int64_t price_ticks, quantity_lots, buyer_fee_units, seller_fee_units;
    bool busted;
} core_trade_info;

typedef struct core_key_info {
    uint64_t last_client_sequence, last_report_number;
    uint32_t session, account;
    bool live;
    uint8_t options;
    uint64_t countdown_ns; /* 0: none runs */
    uint32_t countdown_account;
} core_key_info;

typedef struct core_order_info {
    uint64_t order_id, client_order_id, priority;
    uint32_t account, instrument;
    uint16_t key;
    uint8_t side, options, self_trade_prevention;
    int64_t price_ticks, rest_lots, filled_lots, lock_units; /* rest: an iceberg's reserve included */
    uint8_t order_type, time_in_force; /* what it will be if it waits; else limit, till cancelled */
    uint8_t place;                     /* 0 displayed, 1 hidden, 2 unlit, 3 waiting */
    uint8_t trigger, peg, term_options;
    int32_t offset_ticks;
    int64_t trigger_price_ticks;        /* of one that waits, or has */
    int64_t display_lots, reserve_lots; /* of an iceberg: shows at a time, does not show now */
    uint64_t expire_ns;                 /* 0: never */
    uint64_t linked_order_id;           /* 0: none */
} core_order_info;

typedef struct core_level_info {
    int64_t price_ticks, quantity_lots; /* of icebergs what they show */
    uint32_t order_count;
} core_level_info;

/* Each answers false, and leaves *out alone, if there is no such thing. */
bool core_asset(const core *c, uint32_t asset, core_asset_info *out);
bool core_instrument(const core *c, uint32_t instrument, core_instrument_info *out);
bool core_account(const core *c, uint32_t account, core_account_info *out);
bool core_key(const core *c, uint32_t key, core_key_info *out);
bool core_order(const core *c, uint64_t order_id, core_order_info *out);
bool core_balance(const core *c, uint32_t account, uint32_t asset, int64_t *free_units, int64_t *locked_units);
int64_t core_floor(const core *c, uint32_t account, uint32_t asset); /* zero, or how far below it free may go */
bool core_fee_tier(const core *c, uint32_t instrument, uint32_t tier, core_fee_tier_info *out);
bool core_price_step(const core *c, uint32_t instrument, uint32_t row, core_price_step_info *out);
uint64_t core_trade_count(const core *c);                                                     /* made in all */
bool core_trade(const core *c, uint32_t instrument, uint64_t trade_id, core_trade_info *out); /* if still kept */
bool core_position(const core *c, uint32_t account, uint32_t instrument, int64_t *position_lots, int64_t *open_buy_lots,
                   int64_t *open_sell_lots);

/* The best `room` levels of one side, best first. Returns how many. */
uint32_t core_levels(const core *c, uint32_t instrument, uint8_t side, core_level_info *out, uint32_t room);

/* Resting orders of one side of a book in priority order, best level first, from the `skip`-th on. Returns how many. */
uint32_t core_book_orders(const core *c, uint32_t instrument, uint8_t side, uint32_t skip, core_order_info *out,
                          uint32_t room);

/* Orders of one side that no book event shows: the hidden ones, best price first and in time priority, then the unlit
 * ones by priority; from the `skip`-th on. Returns how many. */
uint32_t core_unseen_orders(const core *c, uint32_t instrument, uint8_t side, uint32_t skip, core_order_info *out,
                            uint32_t room);

/* Open orders of an account in the order in which a mass cancel takes them. Returns how many. */
uint32_t core_account_orders(const core *c, uint32_t account, uint32_t skip, core_order_info *out, uint32_t room);

/* The report with that number of that key, if it is still kept; NULL if not. Valid until the next core_apply. */
const wire_report *core_report(const core *c, uint32_t key, uint64_t report_number);

/* As many kept reports of that key as lie side by side from that number on; *count says how many (0, and NULL, if
 * that one is not kept). The ring may end before the newest: ask again from there. Valid until the next core_apply. */
const wire_report *core_reports(const core *c, uint32_t key, uint64_t from_number, uint32_t *count);

/* Is this nonce held, so that it would be refused as repeated? O(1). */
bool core_nonce_held(const core *c, const uint8_t nonce[16]);

/* Would a nonce that comes at that time find room? */
bool core_nonce_room(const core *c, uint64_t now_ns);

/* ---- Proof ------------------------------------------------------------------------------------------------------- */

/* Walk everything: lists, ladders, indexes, locks, conservation of money, and the digest made anew.
 * Returns NULL, or a sentence that names what does not hold. Cost: O(state). Between commands only. */
const char *core_check(const core *c);

/* ---- Snapshots --------------------------------------------------------------------------------------------------- */

/* Write the state, independent of memory layout (format: schemas/wire/snapshot.md).
 * `sink` takes each piece and answers false to stop. Returns false if it did. Between commands only.        
 * (asserted) */
typedef bool (*core_sink)(void *self, const void *data, size_t bytes);
bool core_save(const core *c, core_sink sink, void *self);

/* Read a whole snapshot into a core just opened.
 * fails     CORE_E_SNAPSHOT: *why names what must hold and what was found; the core must then be opened anew. */
core_status core_load(core *c, const void *data, size_t bytes, const char **why);

#endif
