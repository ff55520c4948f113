/* The inside of a core: what its files share and nobody else sees.
 *
 *   core ── options, totals, run (the command under way), pools, indexes
 *     instruments[n] ── six sides, each: best ⇄ … ⇄ worst level          (linked in price order)
 *       displayed buy, sell; │             └ ladder: 64-way tree from a price to its level   (ladder.c)
 *       hidden buy, sell;    └ level ── head ⇄ … ⇄ tail order            (FIFO: time priority)
 *       rising, falling: orders that wait for the reference price
 *                    └─ two lists of unlit orders: all-or-none and pegged, by priority
 *     orders ── extra: what only other kinds than a plain limit order have (terms, a link)
 *     accounts[n] ── positions, in order of creation ── resting orders by rising id
 *     balances, positions, orders, levels, ladder nodes: pools of slots named by 32-bit index; index 0 is "none"
 *     keys[n] ── client sequence, report number, session;  rings: the last reports of each key
 *     nonces: a queue in order of arrival, and an index into it
 *     trades: a ring of the last ones, which can still be busted or corrected
 *
 * Files: core.c (open, groups, dispatch) · pretrade.c (may it?) · terms.c (what prefixes say of an order) · match.c
 * (what happens in the book) · unlit.c (makers nobody sees) · waiting.c, link.c (what fires, and what goes with it) ·
 * states.c, auction.c, breaker.c (when it trades, and at one price) · ledger.c (who pays what) · ladder.c (levels) ·
 * tick.c, expiry.c (time) · admin.c (definitions, limits, sessions) · rates.c (fee tiers, price steps, floors) ·
 * busts.c (the last trades) · events.c, checksum.c · query.c · check.c · snapshot.c.
 */
#ifndef IRONBOOK_CORE_INTERNAL_H
#define IRONBOOK_CORE_INTERNAL_H

#include <stdlib.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "core.h"

/* Our own bug: state can't be trusted any more, so the process ends. On in every build. */
#define INVARIANT(holds)                                                                                               \
    do {                                                                                                               \
        if (__builtin_expect(!(holds), 0)) core_broken(#holds, __FILE__, __LINE__);                                    \
    } while (0)
_Noreturn void core_broken(const char *what, const char *file, int line);

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* ---- Digest: rules.md 12. A sum of K(entity) × C(field) × value, so that each change is one multiply and add. ---- */

static inline uint64_t mix(uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ull;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

enum digest_tag {
    TAG_ORDER = 1,
    TAG_BALANCE,
    TAG_POSITION,
    TAG_ASSET,
    TAG_INSTRUMENT,
    TAG_ACCOUNT,
    TAG_KEY,
    TAG_NONCE,
    TAG_WHOLE,
    TAG_TERMS,
    TAG_TRADE
};

static inline uint64_t entity_key(uint64_t tag, uint64_t a, uint64_t b) { return mix(mix((tag << 56) ^ a) ^ b); }

/* ---- Indexes: from a 64-bit hash to a slot. -----------------------------------------------------------------------
 *
 * Seven entries a cache line, looked at all at once: nearly always the home line has the answer, and whether and where
 * is nothing that a branch must guess. An entry that finds its line full goes to the next one, and each line it had to
 * pass counts it; so a removal only clears, and a search goes on behind a line only while some entry has passed it.
 */
#define INDEX_LINE_ENTRIES 7u

typedef struct index_line {
    uint32_t tags[INDEX_LINE_ENTRIES];  /* of the hash, never 0; 0: free */
    uint32_t passed;                    /* entries that have this line between them and their home, or as their home */
    uint32_t slots[INDEX_LINE_ENTRIES]; /* 0: free */
    uint32_t padding;
} index_line;
static_assert(sizeof(index_line) == 64, "a line is a cache line");

typedef struct hash_index {
    index_line *lines;
    uint32_t mask;
} hash_index;

static inline uint32_t index_tag(uint64_t hash) { return (uint32_t)(hash >> 32) | 1; }

/* Bit i: words[i] is `wanted`. Eight words are read, seven count. */
static inline uint32_t index_equal(const uint32_t *words, uint32_t wanted) {
#ifdef __SSE2__
    const __m128i all = _mm_set1_epi32((int)wanted);
    const __m128i low = _mm_cmpeq_epi32(_mm_load_si128((const __m128i *)words), all),
                  high = _mm_cmpeq_epi32(_mm_load_si128((const __m128i *)(words + 4)), all);
    const int bits = _mm_movemask_ps(_mm_castsi128_ps(low)) | _mm_movemask_ps(_mm_castsi128_ps(high)) << 4;
    return (uint32_t)bits & ((1u << INDEX_LINE_ENTRIES) - 1);
#else
    uint32_t bits = 0;
    for (uint32_t i = 0; i < INDEX_LINE_ENTRIES; i++) bits |= (uint32_t)(words[i] == wanted) << i;
    return bits;
#endif
}

typedef struct index_search {
    uint32_t line, matches;
} index_search;

static inline index_search index_start(const hash_index *ix, uint64_t hash) {
    const uint32_t line = (uint32_t)hash & ix->mask;
    return (index_search){.line = line, .matches = index_equal(ix->lines[line].tags, index_tag(hash))};
}

/* The next slot whose tag is that of hash; 0 if none. */
static inline uint32_t index_next(const hash_index *ix, uint64_t hash, index_search *s) {
    while (s->matches == 0) {
        if (LIKELY(ix->lines[s->line].passed == 0)) return 0;
        s->line = (s->line + 1) & ix->mask;
        s->matches = index_equal(ix->lines[s->line].tags, index_tag(hash));
    }
    const uint32_t at = (uint32_t)__builtin_ctz(s->matches);
    s->matches &= s->matches - 1;
    return ix->lines[s->line].slots[at];
}

static inline void index_add(hash_index *ix, uint64_t hash, uint32_t slot) {
    index_line *l = &ix->lines[(uint32_t)hash & ix->mask];
    uint32_t room;
    while (UNLIKELY((room = index_equal(l->slots, 0)) == 0)) {
        l->passed++;
        l = l == &ix->lines[ix->mask] ? ix->lines : l + 1;
    }
    const uint32_t at = (uint32_t)__builtin_ctz(room);
    l->tags[at] = index_tag(hash);
    l->slots[at] = slot;
}

/* Only the low half of hash matters. */
static inline void index_remove(hash_index *ix, uint64_t hash, uint32_t slot) {
    index_line *l = &ix->lines[(uint32_t)hash & ix->mask];
    uint32_t found;
    while (UNLIKELY((found = index_equal(l->slots, slot)) == 0)) {
        INVARIANT(l->passed > 0);
        l->passed--;
        l = l == &ix->lines[ix->mask] ? ix->lines : l + 1;
    }
    const uint32_t at = (uint32_t)__builtin_ctz(found);
    l->tags[at] = 0;
    l->slots[at] = 0;
}

static inline bool all_zero(const void *bytes, size_t count) {
    const uint8_t *at = bytes;
    uint8_t seen = 0;
    for (size_t i = 0; i < count; i++) seen |= at[i];
    return seen == 0;
}

/* ---- Pools ------------------------------------------------------------------------------------------------------- */

typedef struct pool { /* slots 1 .. capacity; a free slot's first 4 bytes name the next free one */
    uint32_t free_head;
    uint32_t fresh;    /* slots from here on were never used */
    uint32_t capacity; /* highest slot */
    uint32_t used;
} pool;

static inline uint32_t pool_room(const pool *p) { return p->capacity - p->used; }

/* ---- Sets of numbers: a bit each, and a bit for each word of them that is not 0. --------------------------------- */

typedef struct number_set {
    uint64_t *bits, *words;
    uint32_t word_count; /* of bits */
} number_set;

static inline void set_add(number_set *s, uint32_t number) {
    s->bits[number >> 6] |= 1ull << (number & 63);
    s->words[number >> 12] |= 1ull << (number >> 6 & 63);
}

static inline void set_remove(number_set *s, uint32_t number) {
    s->bits[number >> 6] &= ~(1ull << (number & 63));
    if (s->bits[number >> 6] == 0) s->words[number >> 12] &= ~(1ull << (number >> 6 & 63));
}

uint32_t set_next(const number_set *s, uint32_t from); /* the lowest number at or above `from`; 0 if there is none */

/* ---- State ------------------------------------------------------------------------------------------------------- */

typedef struct book_order { /* what matching touches: one cache line */
    uint64_t id;
    uint64_t client_order_id;
    int64_t rest_lots; /* an iceberg's reserve included */
    int64_t filled_lots;
    uint32_t level;      /* 0 for an unlit one */
    uint32_t next, prev; /* FIFO at its level, or the list of unlit orders: next is later */
    uint32_t position;
    int32_t maker_fee_ppm, taker_fee_ppm; /* fixed when it entered */
    uint16_t key;
    uint8_t side : 2, self_trade_prevention : 6;
    uint8_t options;
    uint32_t extra; /* slot of what only other kinds than a plain limit order have; 0 for a plain one */
} book_order;
static_assert(sizeof(book_order) == 64, "an order's hot half is one cache line");

typedef struct order_rest { /* the cold half */
    int64_t lock_units;
    int64_t maker_notional_units; /* of its present entry */
    uint64_t priority;            /* sequence at which it took its place */
    uint32_t next, prev;          /* resting orders of its position, by rising id */
} order_rest;
static_assert(sizeof(order_rest) == 32, "two cold halves to a cache line");

enum order_place { PLACE_DISPLAYED = 0, PLACE_HIDDEN, PLACE_UNLIT, PLACE_WAITING };

typedef struct order_extra { /* of an open order with terms or a link; fields that do not apply are 0 */
    uint32_t order;          /* its slot; 0 while it is a taker that has none yet */
    uint32_t linked;         /* slot of the order that it is linked with */
    int64_t price_ticks;     /* its limit price, wherever it stands */
    int64_t trigger_price_ticks, peak_ticks;
    int64_t display_lots;                 /* of an iceberg: what it shows at a time */
    int64_t reserve_lots;                 /* of an iceberg at rest: what it does not show now */
    uint64_t expire_ns;                   /* 0: never */
    int32_t offset_ticks;                 /* of a trailing stop or a peg */
    uint32_t heap_at;                     /* place in the expiry heap, from 1 */
    uint32_t day_next, day_prev;          /* extras: day orders of its instrument */
    uint32_t trail_next, trail_prev;      /* extras: waiting trailing stops of its instrument, by rising id */
    uint8_t place, trigger, peg, options; /* enum order_place; of the terms */
    uint8_t order_type, time_in_force;    /* of one that waits */
    uint8_t padding[2];
} order_extra;
static_assert(sizeof(order_extra) == 88, "an extra has no hidden padding");

typedef struct book_level {
    int64_t price_ticks;
    int64_t quantity_lots; /* sum over its orders, of icebergs what they show */
    int64_t reserve_lots;  /* sum of the reserves of its icebergs */
    uint32_t head, tail;   /* oldest, newest order */
    uint32_t order_count;
    uint32_t better, worse; /* neighbours in price order */
    uint32_t padding;
} book_level;

typedef struct ladder_node {
    uint64_t used; /* bit i: child[i] is there */
    uint32_t child[64];
} ladder_node;

typedef struct book_side {
    uint32_t best, worst; /* levels */
    uint32_t root;        /* ladder node, 0 when empty */
    uint32_t height;      /* the ladder reaches prices below 64^height */
    uint64_t leaf_key;    /* price >> 6 of the leaf last used */
    uint32_t leaf;        /* that leaf, 0 for none */
    uint32_t level_count;
} book_side;

/* The best level of an even side is the highest, that of an odd one the lowest. */
enum { SIDES_DISPLAYED = 0, SIDES_HIDDEN = 2, SIDES_FALLING = 4, SIDES_RISING = 5, SIDES_COUNT = 6 };

typedef struct unlit_list { /* orders by priority, then id; at most UNLIT_ORDERS_MAX */
    uint32_t head, tail, count;
} unlit_list;

/* The circuit breaker's band, then its levels 1 to 3; a `state` event tells the band as 4. */
enum { BREAKER_BAND = 0, BREAKER_LEVELS = 4, BREAKER_BAND_TOLD = 4 };

typedef struct instrument { /* what a plain order touches comes first: four cache lines */
    uint64_t digest_key;
    uint64_t base_units_per_lot, quote_units_per_tick_lot; /* base units 0: not defined */
    int64_t quantity_lots_min, quantity_lots_max, notional_units_min;
    int64_t reference_price_ticks;
    uint64_t trade_id, book_update_id, level3_id, top_id;
    uint64_t checksum_update_id; /* the book update that the last checksum belonged to */
    int64_t static_price_ticks;  /* what the breaker's levels lie around; 0: none yet */
    uint32_t base_asset, quote_asset, collar_ppm;
    int32_t maker_fee_ppm, taker_fee_ppm;
    uint8_t trading_state, name_bytes;
    uint8_t price_step_count;  /* rows of its rate table that are set */
    uint8_t has_breaker;       /* a band or a level is set */
    uint32_t unseen_orders[2]; /* buy, sell: hidden and unlit ones; 0 lets a taker look at the displayed book alone */
    uint32_t waiting_orders;   /* in the two queues */
    uint32_t linked_pairs;     /* of its orders */
    book_side sides[SIDES_COUNT]; /* buy, sell of displayed, of hidden; falling, rising ones that wait */
    unlit_list unlit[2];          /* buy, sell */
    uint64_t auction_ends_ns;     /* of pre_open and auction: when a clock tick opens it; 0: only a command does */
    uint32_t breaker_ppm[BREAKER_LEVELS], breaker_ms[BREAKER_LEVELS];
    uint32_t trail_first, trail_last; /* extras: trailing stops that wait, by rising id */
    uint32_t trail_count[2];          /* buy, sell */
    uint32_t day_first, day_last;     /* extras: day orders, by rising id */
    char name[TEXT_BYTES_MAX];
    uint8_t padding[52];
} instrument;
static_assert(sizeof(instrument) == 512, "an instrument is eight cache lines");
static_assert(offsetof(instrument, sides) + 2 * sizeof(book_side) <= 256,
              "a plain order touches four lines of an instrument");

typedef struct fee_tier {
    uint32_t set;
    int32_t maker_fee_ppm, taker_fee_ppm;
} fee_tier;

typedef struct price_step {
    int64_t from_price_ticks, tick_multiple, lot_multiple;
} price_step;

typedef struct rate_table { /* of an instrument, beside it: few orders need it */
    price_step steps[PRICE_STEP_COUNT_MAX];
    fee_tier tiers[FEE_TIER_MAX + 1]; /* by number; tier 0 is the instrument's own rates */
} rate_table;

typedef struct asset {
    uint64_t digest_key;
    int64_t supply_units, fees_units;
    uint64_t owed_units_max; /* all floors of it, as amounts above zero: 2^63 at most */
    uint8_t defined, decimals, name_bytes;
    char name[TEXT_BYTES_MAX];
} asset;

typedef struct account {
    uint64_t digest_key;
    uint64_t rate_window, rate_count;
    int64_t notional_units_max, position_lots_max, quantity_lots_max;
    uint32_t firm; /* 0: not defined */
    uint32_t open_orders, open_orders_max, order_rate_max, order_rate_window_ms;
    uint32_t first_position, last_position, position_count;
    uint8_t halted, fee_tier;
} account;

typedef struct balance {
    int64_t free_units, locked_units;
    uint64_t digest_key;
    uint32_t account, asset;
} balance;

typedef struct kept_trade {
    uint64_t digest; /* its part of the state's */
    uint64_t trade_id;
    int64_t price_ticks, quantity_lots, buyer_fee_units, seller_fee_units;
    uint32_t instrument, buyer, seller; /* numbers */
    uint32_t busted;
} kept_trade;
static_assert(sizeof(kept_trade) == 64, "a trade writes one cache line");

typedef struct position {
    int64_t position_lots, open_buy_lots, open_sell_lots;
    uint64_t digest_key;
    uint32_t account, instrument;
    uint32_t base_balance, quote_balance;
    uint32_t first_order, last_order; /* resting, by rising id */
    uint32_t next;                    /* of the account, in order of creation */
    uint32_t rank;                    /* in the account, from 1 */
} position;

typedef struct key_state {
    uint64_t digest_key;
    uint64_t last_client_sequence, last_report_number;
    uint64_t countdown_ns; /* when its orders in countdown_account are cancelled; 0: never */
    uint32_t session, account, countdown_account;
    uint8_t live, options;
    uint8_t touched; /* is in core.touched */
} key_state;

typedef struct nonce_entry {
    uint64_t low, high, timestamp_ns;
} nonce_entry;

typedef struct expiry {
    uint64_t expire_ns, order_id;
    uint32_t extra, padding;
} expiry;

/* The command under way: everything a step needs, so that it can stop when the chunk is full and go on later. */
enum run_stage { RUN_DONE = 0, RUN_MATCH, RUN_REST, RUN_SWEEP, RUN_FIRE, RUN_TICK, RUN_UNCROSS, RUN_CLOSE, RUN_HALT };
enum tick_phase { TICK_EXPIRIES, TICK_COUNTDOWNS, TICK_OPENINGS, TICK_BOOKS, TICK_END };

typedef struct taker {
    uint64_t order_id, client_order_id;
    uint64_t client_hash; /* of a new order with a client_order_id */
    int64_t price_ticks, rest_lots, filled_lots, lock_units;
    int64_t reach_ticks;    /* as far as it matches: its price, or what its peg makes of it */
    int64_t notional_units; /* of this entry, as taker */
    uint32_t position;
    uint32_t slot;  /* of an order that was open before, kept for it; 0 for a new one */
    uint32_t extra; /* of its terms; 0 for a plain one */
    int32_t maker_fee_ppm, taker_fee_ppm;
    uint16_t key;
    uint16_t rest_code; /* what its rest is cancelled with if it does not rest */
    uint8_t side, options, self_trade_prevention, time_in_force, order_type;
    int64_t amount_left_units; /* of a market_by_quote order */
    int64_t bid_ticks,
        ask_ticks; /* best displayed ones when its matching began; set if there are unlit makers or a peg */
} taker;

typedef struct opening { /* an instrument that is being uncrossed */
    uint32_t instrument;
    uint32_t answer_instrument; /* what `applied` says, if it answers a command */
    bool answers;
    int64_t price_ticks;        /* 0: nothing crosses */
    int64_t static_price_ticks; /* that its command sets; 0: none */
} opening;

typedef struct halting { /* a halt, a kill, or the end of one */
    uint8_t scope;
    bool halts, kills;
    bool told;           /* all that is halted is */
    uint32_t target, at; /* at: the account or instrument last looked at */
    int64_t count;       /* orders cancelled */
} halting;

typedef struct run {
    enum run_stage stage;
    enum run_stage then; /* where a sweep, or firing, goes on to when it is through */
    uint32_t n;          /* events made so far */
    uint32_t key;        /* sender */
    uint32_t level;      /* being consumed, changed but not reported yet; 0 for none */
    uint64_t client_sequence;
    taker taker;
    uint32_t fire_instrument; /* whose waiting orders fire; 0: none do (yet) */
    /* a clock tick */
    enum tick_phase tick_phase;
    uint32_t tick_at; /* the key (instrument) last looked at in this phase */
    opening opening;
    halting halting;
    /* a sweep: mass cancel, logoff or countdown */
    uint32_t sweep_position, sweep_order;                /* where it is */
    uint32_t sweep_account, sweep_instrument, sweep_key; /* filters; 0: any */
    uint8_t sweep_side, sweep_code, sweep_answers;
    uint64_t sweep_client_order_id;
    int64_t sweep_count;
    /* the answer to a sender that did not enter the order */
    uint8_t answers_other;
    uint64_t answer_order_id, answer_client_order_id;
} run;

/* What looking ahead has found out for the record of a sequence. Only ever a guess: whoever uses it compares. */
#define LOOKUPS 16u
typedef struct lookup {
    uint64_t sequence;
    uint64_t hash;                    /* of the id that a cancel names, or of a new order's account and instrument */
    uint64_t order_id;                /* of the order in slot, and the low halves of its two hashes */
    uint32_t order_home, client_home; /* the second if the account below is its own */
    uint32_t account;                 /* that the command names */
    uint32_t slot;                    /* of the order named; 0: none, or not found yet */
    uint32_t position;                /* of its account and instrument; 0: not found yet */
    uint32_t leaf, level;             /* where a new order may rest; 0: not found yet */
} lookup;

struct core {
    core_options options;
    uint64_t sequence, received_ns, term, digest;
    uint64_t nonce_window_ns; /* set by a term; until then the option rules */
    uint8_t everything_halted;
    uint64_t countdown_first_ns;                  /* no countdown ends before; 0: none runs */
    uint64_t opening_first_ns;                    /* no instrument opens before; 0: none is to open */
    uint32_t waiting_orders, waiting_instruments; /* with orders that wait */
    expiry *expiries;                             /* a heap, from place 1 */
    uint32_t expiry_count;
    const char *full_pool;
    core_events *out;                    /* during core_apply and core_next */
    wire_report *event_next, *event_end; /* in it: where the next event goes, and where its room ends */
    uint32_t reports;                    /* made since core_apply or core_next, handed out or not */
    run run;

    pool order_pool, extra_pool, level_pool, ladder_pool, balance_pool, position_pool;
    book_order *orders;
    order_rest *rests;
    order_extra *extras;
    book_level *levels;
    ladder_node *ladder;
    balance *balances;
    int64_t *floors; /* of each balance: apart, because only a lack of funds asks for it */
    position *positions;
    instrument *instruments;
    number_set timed;            /* instruments that a clock tick is to open */
    number_set dirty;            /* instruments whose book has changed since its last checksum */
    uint32_t (*crc_tables)[256]; /* eight */
    rate_table *rate_tables;     /* by instrument */
    account *accounts;
    asset *assets;
    key_state *keys;
    wire_report *rings; /* key × reports_kept */
    uint16_t *touched;  /* keys that got reports since core_touched was asked */
    uint32_t touched_count;
    nonce_entry *nonces;  /* a ring: nonce_first .. nonce_first + nonce_count - 1 */
    uint64_t nonce_first; /* counts on for ever; place is modulo nonce_count_max */
    uint32_t nonce_count;
    kept_trade *trades;   /* a ring: the last TRADES_KEPT */
    uint64_t trade_count; /* made in all */

    lookup lookups[LOOKUPS]; /* place: sequence modulo LOOKUPS */
    hash_index order_index, client_index, balance_index, position_index, nonce_index;
};

/* ---- Digest of one field changed by `by` ------------------------------------------------------------------------- */

#define DIGEST_ADD(c, entity, field, by) ((c)->digest += (entity)->digest_key * (mix(field) * (uint64_t)(by)))

/* Set a field and bring the digest along. */
#define SET(c, entity, member, number, to)                                                                             \
    do {                                                                                                               \
        DIGEST_ADD(c, entity, number, (uint64_t)(int64_t)(to) - (uint64_t)(int64_t)(entity)->member);                  \
        (entity)->member = (to);                                                                                       \
    } while (0)

/* ---- Where report `number` of a key is kept ---------------------------------------------------------------------- */

static inline wire_report *ring_place(const core *c, uint32_t key, uint64_t number) {
    return &c->rings[(size_t)key * c->options.reports_kept + (number & (c->options.reports_kept - 1))];
}

/* ---- core.c ------------------------------------------------------------------------------------------------------ */
uint32_t pool_take(pool *p, void *slots, size_t slot_bytes);
void pool_give(pool *p, void *slots, size_t slot_bytes, uint32_t slot);
core_status run_go_on(core *c);

/* ---- Writing events: numbered, stamped, kept for the key they go to, and handed out if someone asked.
 *
 *   put_report(c, key, (wire_report){ what is known here })      told to one key
 *   put_public(c, class, (wire_report){ what is known here })    for the public
 *
 * An event is written once, in whole words, where it stays: into the ring of its key (the last `reports_kept`, from
 * which the ingress sends and a client resumes), or into the caller's chunk where no reports are kept. Only a core
 * that does both copies it. (An event put together elsewhere and copied costs more than the match itself: wide loads
 * of just-written narrow fields wait for the stores.) Numbers rise in any case, so that every replica counts alike
 * whatever it asked for.
 */
typedef uint64_t __attribute__((may_alias)) event_word;

static inline void event_write(const core *c, wire_report *place, const wire_report *v, uint32_t n,
                               uint64_t key_number) {
    event_word *word = (event_word *)place;
    word[0] = v->kind | (uint64_t)v->flags << 8 | (uint64_t)v->code << 16 | (uint64_t)v->instrument << 32;
    word[1] = v->account | (uint64_t)n << 32;
    word[2] = key_number;
    word[3] = c->sequence;
    word[4] = c->received_ns;
    word[5] = v->order_id;
    word[6] = v->client_order_id;
    word[7] = (uint64_t)v->price_ticks;
    word[8] = (uint64_t)v->quantity_lots;
    word[9] = (uint64_t)v->remaining_lots;
    word[10] = v->reference;
    word[11] = (uint64_t)v->amount_units;
}
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && sizeof(wire_report) == 12 * sizeof(event_word) &&
                  offsetof(wire_report, account) == 8 && offsetof(wire_report, sequence) == 24 &&
                  offsetof(wire_report, order_id) == 40 && offsetof(wire_report, amount_units) == 88,
              "an event is twelve words in this order");

static inline wire_report *event_place(core *c) {
    INVARIANT(c->event_next < c->event_end);
    return c->event_next++;
}

static inline __attribute__((always_inline)) void put_public(core *c, uint32_t class, wire_report v) {
    const uint32_t n = c->run.n++;
    if ((c->options.event_mask & class) != 0) event_write(c, event_place(c), &v, n, 0);
}

static inline __attribute__((always_inline)) void put_report(core *c, uint32_t key, wire_report v) {
    key_state *k = &c->keys[key];
    const uint64_t number = ++k->last_report_number;
    const uint32_t n = c->run.n++;
    const bool asked = (c->options.event_mask & CORE_EVENTS_REPORTS) != 0;
    DIGEST_ADD(c, k, 2, 1);
    c->reports++;
    if (!k->touched) {
        k->touched = 1;
        c->touched[c->touched_count++] = (uint16_t)key;
    }
    if (c->options.reports_kept != 0) {
        wire_report *kept = ring_place(c, key, number);
        event_write(c, kept, &v, n, key | number << 16);
        if (asked) *event_place(c) = *kept;
    } else if (asked) {
        event_write(c, event_place(c), &v, n, key | number << 16);
    }
}

/* ---- events.c ---------------------------------------------------------------------------------------------------- */
void put_reject(core *c, const wire_header *command, uint16_t code);
void put_applied(core *c, uint32_t account, uint32_t instrument_number, uint64_t order_id, uint64_t client_order_id,
                 int64_t count);
/* Of a level that may be empty but is not dropped yet; `top` follows if it is the best. */
void put_book_update(core *c, const position *p, uint8_t side, uint32_t level);
void put_level3(core *c, const position *p, uint64_t order_id, uint8_t side, int64_t price_ticks, int64_t rest_lots,
                uint16_t action);
void put_state(core *c, uint32_t account_number, bool halted); /* of an account; 0: everything */
void put_instrument_state(core *c, uint32_t number, uint32_t breaker_level);

/* ---- ladder.c ---------------------------------------------------------------------------------------------------- */
uint32_t ladder_leaf(const core *c, const book_side *side, int64_t price_ticks);
uint32_t level_find(core *c, book_side *side, int64_t price_ticks);
uint32_t level_make(core *c, book_side *side, uint8_t which, int64_t price_ticks);
void level_drop(core *c, book_side *side, uint32_t level);
uint32_t ladder_lacks(const book_side *side, const core *c, uint64_t price);
const char *ladder_check(const core *c, const book_side *side, uint64_t *nodes);

/* ---- ledger.c ---------------------------------------------------------------------------------------------------- */
int64_t ceil_ppm(int64_t units, int32_t ppm);
bool notional_of(const instrument *i, int64_t price_ticks, int64_t quantity_lots, int64_t *units);
int64_t lock_of(const instrument *i, uint8_t side, int64_t notional_units, int64_t rest_lots, int32_t maker_ppm,
                int32_t taker_ppm);
int64_t lock_for(const instrument *i, uint8_t side, int64_t price_ticks, int64_t rest_lots, int32_t maker_ppm,
                 int32_t taker_ppm);
uint32_t balance_find(const core *c, uint32_t account_number, uint32_t asset_number);
uint32_t balance_obtain(core *c, uint32_t account_number, uint32_t asset_number);
uint32_t position_find(const core *c, uint32_t account_number, uint32_t instrument_number);
uint32_t position_obtain(core *c, uint32_t account_number, uint32_t instrument_number);
/* Can this balance, with that much on top, pay what is needed without going below its floor? Slot 0 is an empty one.
 * Only who lacks funds is asked for a floor. */
static inline bool balance_has(const core *c, uint32_t slot, int64_t more_units, int64_t needed_units) {
    const int64_t has = c->balances[slot].free_units + more_units;
    return LIKELY(has >= needed_units) || has - c->floors[slot] >= needed_units;
}
void balance_add(core *c, uint32_t slot, int64_t free_units, int64_t locked_units);
void open_lots_add(core *c, position *p, uint8_t side, int64_t lots);

typedef struct fill {
    int64_t quantity_lots, price_ticks, notional_units;
    int64_t maker_price_ticks; /* its own: an unlit one may trade at a better one */
    int64_t maker_fee_units, taker_fee_units;
} fill;
void fill_fees(const book_order *maker, order_rest *cold, taker *t, fill *f);
int64_t taker_need(const instrument *i, const taker *t);
void settle(core *c, const instrument *i, book_order *maker, order_rest *cold, taker *t, const fill *f);

/* ---- rates.c ----------------------------------------------------------------------------------------------------- */
bool fee_rates_valid(int32_t maker_ppm, int32_t taker_ppm);
uint16_t set_fee_tier(core *c, const wire_fee_tier *o);
uint16_t set_price_step(core *c, const wire_price_step *o);
uint16_t set_balance_floor(core *c, const wire_balance_floor *o);
uint64_t fee_tier_digest(const instrument *i, const fee_tier *t, uint32_t number);
uint64_t price_step_digest(const instrument *i, const price_step *s, uint32_t row);

/* The rates of an order that enters now: those of its account's tier, if the instrument has that one. */
static inline fee_tier rates_of(const core *c, const instrument *i, const account *a) {
    if (UNLIKELY(a->fee_tier != 0)) {
        const fee_tier *t = &c->rate_tables[i - c->instruments].tiers[a->fee_tier];
        if (t->set) return *t;
    }
    return (fee_tier){.maker_fee_ppm = i->maker_fee_ppm, .taker_fee_ppm = i->taker_fee_ppm};
}

bool price_on_tick(const core *c, const instrument *i, int64_t price_ticks);
bool quantity_on_lot(const core *c, const instrument *i, int64_t price_ticks, int64_t quantity_lots);

/* ---- busts.c ----------------------------------------------------------------------------------------------------- */
void trade_keep(core *c, const position *buyer, const position *seller, uint64_t trade_id, const fill *f,
                int64_t buyer_fee_units, int64_t seller_fee_units);
uint64_t trade_digest(const kept_trade *t, uint64_t number);
uint64_t trade_find(const core *c, uint32_t instrument_number, uint64_t trade_id);
uint64_t trades_first_kept(const core *c);
uint16_t bust_trade(core *c, const wire_trade_bust *o);
uint16_t correct_trade(core *c, const wire_trade_correction *o);

static inline kept_trade *trade_place(const core *c, uint64_t number) { return &c->trades[number % TRADES_KEPT]; }

void settle_resting(core *c, const instrument *i, uint32_t slot, const fill *f, int64_t fee_units);

/* ---- pretrade.c -------------------------------------------------------------------------------------------------- */
uint16_t check_entry(core *c, const wire_new_order *o, const wire_order_terms *terms, const wire_order_link *link,
                     uint32_t *named);
uint16_t check_new_order(core *c, const wire_new_order *o, const wire_order_terms *terms, uint32_t partner, taker *t);
uint16_t check_plain_order(core *c, const wire_new_order *o, taker *t);
uint16_t check_named_order(core *c, uint32_t account_number, uint32_t instrument_number, uint64_t order_id,
                           uint64_t client_order_id, uint32_t *slot);
bool keeps_place(const core *c, const wire_replace *o, uint32_t slot);
uint16_t check_replace(core *c, const wire_replace *o, uint32_t slot, int64_t *lock_units);
void rate_count(core *c, account *a);
bool crosses(uint8_t side, int64_t price_ticks, int64_t other_price_ticks);
bool account_known(const core *c, uint32_t number);
bool instrument_known(const core *c, uint32_t number);
bool asset_known(const core *c, uint32_t number);

/* ---- terms.c ----------------------------------------------------------------------------------------------------- */
bool terms_well_formed(const wire_new_order *o, const wire_order_terms *terms);
bool link_well_formed(const wire_new_order *o, const wire_order_terms *terms, const wire_order_link *link);
uint16_t check_terms(const core *c, const wire_new_order *o, const wire_order_terms *terms);
bool parts_bounded(int64_t display_lots, int64_t quantity_lots);
bool terms_unlit(const wire_order_terms *terms);
bool terms_need_extra(const wire_order_terms *terms);
uint32_t extra_take(core *c, const wire_new_order *o, const wire_order_terms *terms);
void extra_drop(core *c, uint32_t extra);
uint32_t extra_trim(core *c, uint32_t extra);
uint64_t extra_digest(const core *c, const book_order *b);

/* ---- unlit.c ----------------------------------------------------------------------------------------------------- */
typedef struct maker { /* slot 0: none */
    uint32_t slot;
    int64_t price_ticks; /* at which it trades */
} maker;
void unlit_append(core *c, instrument *i, uint32_t slot);
void unlit_remove(core *c, instrument *i, uint32_t slot);
void taker_touch(const core *c, const instrument *i, taker *t);
int64_t peg_price(uint8_t side, const order_extra *x, int64_t bid_ticks, int64_t ask_ticks);
maker maker_unseen(const core *c, const instrument *i, const taker *t, maker shown);
bool walk_finds(const core *c, const instrument *i, const taker *t, int64_t lots);

/* ---- match.c ----------------------------------------------------------------------------------------------------- */
void do_new_order(core *c, const wire_new_order *o, const wire_order_terms *terms, const wire_order_link *link);
void do_cancel(core *c, const wire_cancel *o);
void do_replace(core *c, const wire_replace *o);
void do_mass_cancel(core *c, const wire_mass_cancel *o);
void sweep_start(core *c, uint32_t account_number, uint32_t instrument_number, uint32_t key, uint8_t side,
                 uint8_t code);
void match_step(core *c);
void rest_step(core *c);
bool sweep_step(core *c);
uint32_t order_find(const core *c, uint64_t order_id);
uint32_t order_find_client(const core *c, uint32_t account_number, uint64_t client_order_id);
uint32_t order_find_hashed(const core *c, uint64_t hash, uint32_t account_number, uint64_t client_order_id);
uint64_t order_digest(const core *c, uint32_t slot);
void order_enqueue(core *c, uint32_t slot, int64_t price_ticks);
void order_dequeue(core *c, uint32_t slot);
void order_forget(core *c, uint32_t slot);
void cancel_open(core *c, uint32_t slot, uint16_t code, uint64_t reference);
void level_changed(core *c, const position *p, uint32_t index, uint32_t level);
bool show_less(core *c, uint32_t slot, int64_t lots);
void put_less(core *c, const position *p, const book_order *b, uint32_t index, int64_t price_ticks, bool done,
              bool anew);
uint32_t rest_in_slot(core *c, const taker *t);
void match_begin(core *c);
void put_taker_report(core *c, uint8_t kind, uint16_t code, int64_t price_ticks, int64_t lots, uint64_t reference,
                      int64_t amount_units);
void taker_end(core *c, uint16_t code);

/* Hashes for the indexes: a multiplication spreads numbers that follow each other, which is what ids do. The middle
 * of the product has a share of most bits of the number and chooses the line. Numbers that clients choose are
 * multiplied by a seed of the engine's own: whoever does not know it cannot choose numbers that fall together. */
#define SPREAD_MULTIPLIER 0xbf58476d1ce4e5b9ull
static inline uint64_t spread_by(uint64_t number, uint64_t multiplier) {
    const unsigned __int128 product = (unsigned __int128)number * multiplier;
    const uint64_t folded = (uint64_t)product ^ (uint64_t)(product >> 64);
    return folded >> 32 | folded << 32;
}
static inline uint64_t spread(uint64_t number) { return spread_by(number, SPREAD_MULTIPLIER); }
static inline uint64_t order_hash(uint64_t order_id) { return spread(order_id); }
static inline uint64_t client_hash(const core *c, uint32_t account_number, uint64_t client_order_id) {
    return spread_by(client_order_id ^ (uint64_t)account_number << 40, c->options.hash_seed);
}

static inline uint64_t pair_hash(uint32_t a, uint32_t b) { return spread((uint64_t)a << 32 ^ spread(b)); }

/* What was found out ahead about the record being applied; one that knows nothing if nobody looked. */
static inline const lookup *lookup_now(const core *c) {
    static const lookup nothing;
    const lookup *l = &c->lookups[c->sequence % LOOKUPS];
    return l->sequence == c->sequence ? l : &nothing;
}

/* ---- expiry.c ---------------------------------------------------------------------------------------------------- */
void expiry_enter(core *c, uint32_t extra);
void expiry_leave(core *c, uint32_t extra);
void day_sort(core *c);
bool day_step(core *c, uint32_t instrument_number);
const char *expiry_check(const core *c);
const char *day_check(const core *c);

/* ---- waiting.c --------------------------------------------------------------------------------------------------- */
uint16_t check_trigger(const instrument *i, uint8_t side, const wire_order_terms *terms);
uint32_t waiting_levels(const core *c); /* what has to stay free, so that all that waits can rest */
uint32_t waiting_nodes(const core *c);
void waiting_entered(core *c, instrument *i);
void waiting_left(core *c, instrument *i);
void trail_enter(core *c, uint32_t extra);
void trail_leave(core *c, uint32_t extra);
void wait_enter(core *c);
void fire_start(core *c, uint32_t instrument_number);
void fire_step(core *c);
void run_ended(core *c);
const char *waiting_check(const core *c);

/* ---- link.c ------------------------------------------------------------------------------------------------------ */
uint32_t linked_with(const core *c, const book_order *b);
bool link_valid(const core *c, uint8_t side, uint32_t other);
void link_tie(core *c, uint32_t slot);
void link_resolve(core *c, uint32_t maker);
void link_resolve_open(core *c, uint32_t slot);
void link_resolve_taker(core *c);
uint32_t link_cut(core *c, uint32_t slot);
void link_cancel(core *c, uint32_t partner);
int64_t link_need(const core *c, uint32_t partner, int64_t need_units);
bool linked_ahead(const core *c, uint32_t slot);
const char *link_check(const core *c, uint32_t slot);

/* ---- tick.c ------------------------------------------------------------------------------------------------------ */
void do_countdown_cancel(core *c, const wire_countdown_cancel *o);
bool expiry_step(core *c);
void countdown_note(core *c, uint64_t deadline_ns); /* one that is set has to be known to core.countdown_first_ns */
void tick_start(core *c);
void tick_step(core *c);

/* ---- states.c ---------------------------------------------------------------------------------------------------- */
uint16_t set_instrument_state(core *c, const wire_instrument_state *o);
uint16_t set_halt(core *c, const wire_halt *o);
void state_set(core *c, uint32_t number, uint8_t state, uint64_t auction_ends_ns);
void state_found(core *c, uint32_t number); /* core.timed follows what the instrument says */
uint64_t opening_due_ns(const core *c);     /* no instrument opens before */
bool openings_step(core *c);                /* of a tick: begin the next opening; false when none is left */
void opening_step(core *c);
void closing_step(core *c);
void halt_step(core *c);

static inline bool state_exists(uint8_t state) { return state >= TRADING_STATE_OPEN && state <= TRADING_STATE_CLOSED; }
static inline bool state_gathers(uint8_t state) { /* orders for an auction */
    return state == TRADING_STATE_PRE_OPEN || state == TRADING_STATE_AUCTION;
}
static inline void static_price_set(core *c, instrument *i, int64_t price_ticks) {
    SET(c, i, static_price_ticks, 18, price_ticks);
}

/* ---- auction.c --------------------------------------------------------------------------------------------------- */
typedef struct crossing { /* an auction price, and what is bought there or above and sold there or below; all 0: none */
    int64_t price_ticks, buy_lots, sell_lots;
} crossing;
crossing auction_price(const core *c, const instrument *i);
void put_indicative(core *c, uint32_t number);
bool uncross_step(core *c); /* one trade; false when nothing crosses any more */

/* ---- breaker.c --------------------------------------------------------------------------------------------------- */
uint16_t set_circuit_breaker(core *c, const wire_circuit_breaker *o);
void breaker_found(instrument *i); /* has_breaker follows what is set */
/* The level (BREAKER_BAND_TOLD: the band) that keeps a trade at this price from happening while the static and the last
 * price are these; 0: none does. */
uint32_t breaker_stops(const instrument *i, int64_t static_price_ticks, int64_t last_price_ticks, int64_t price_ticks);
void breaker_trip(core *c, uint32_t number, uint32_t level); /* to an auction, or to a halt */

/* The prices around which a walk over makers (rules.md 3, step 15) is looked at: they move as its trades would move
 * them. */
typedef struct walk_prices {
    int64_t static_price_ticks, last_price_ticks;
} walk_prices;

static inline walk_prices walk_from(const instrument *i) {
    return (walk_prices){i->static_price_ticks, i->reference_price_ticks};
}

/* Would the breaker let the walk's next trade happen at this price? */
static inline bool walk_trades(const instrument *i, walk_prices *w, int64_t price_ticks) {
    if (LIKELY(!i->has_breaker)) return true;
    if (breaker_stops(i, w->static_price_ticks, w->last_price_ticks, price_ticks) != 0) return false;
    if (w->static_price_ticks == 0) w->static_price_ticks = price_ticks;
    w->last_price_ticks = price_ticks;
    return true;
}

/* ---- checksum.c -------------------------------------------------------------------------------------------------- */
void crc_tables_make(uint32_t tables[8][256]);
bool books_step(core *c); /* of a tick: tell the next book that has changed; false when none is left */

/* ---- admin.c ----------------------------------------------------------------------------------------------------- */
void do_admin(core *c, const wire_header *command, const wire_text *text);
core_status check_system(const core *c, const wire_record *record);
void do_system(core *c, const wire_record *record);
uint16_t nonce_check(const core *c, const uint8_t nonce[16], uint64_t timestamp_ns);
bool nonce_held(const core *c, const uint8_t nonce[16]);
void nonce_store(core *c, const uint8_t nonce[16], uint64_t timestamp_ns);  /* drops what has passed first */
void nonce_append(core *c, const uint8_t nonce[16], uint64_t timestamp_ns); /* only appends */
uint64_t nonce_window(const core *c);
bool nonce_has_room(const core *c, uint64_t now_ns);

/* ---- check.c, snapshot.c ----------------------------------------------------------------------------------------- */
uint64_t digest_anew(const core *c);

static inline book_side *other_side(instrument *i, uint8_t side) { return &i->sides[side == SIDE_BUY ? 1 : 0]; }
static inline book_side *own_side(instrument *i, uint8_t side) { return &i->sides[side - 1]; }

/* ---- Orders and what some of them have besides ------------------------------------------------------------------- */

static inline bool is_market(uint8_t order_type) { return order_type != ORDER_TYPE_LIMIT; }

static inline enum order_place place_of(const core *c, const book_order *b) {
    return LIKELY(b->extra == 0) ? PLACE_DISPLAYED : (enum order_place)c->extras[b->extra].place;
}

static inline int64_t order_price(const core *c, const book_order *b) {
    return LIKELY(b->extra == 0) ? c->levels[b->level].price_ticks : c->extras[b->extra].price_ticks;
}

static inline int64_t reserve_of(const core *c, const book_order *b) {
    return LIKELY(b->extra == 0) ? 0 : c->extras[b->extra].reserve_lots;
}

/* Does an order of that side and trigger wait for a rising reference price? */
static inline bool waits_rising(uint8_t side, uint8_t trigger) {
    return (side == SIDE_SELL) == (trigger == TRIGGER_TAKE_PROFIT);
}

/* Which of its instrument's sides an order stands in; SIDES_COUNT for an unlit one. */
static inline uint32_t side_index(const core *c, const book_order *b) {
    switch (place_of(c, b)) {
    case PLACE_DISPLAYED: return SIDES_DISPLAYED + b->side - 1u;
    case PLACE_HIDDEN: return SIDES_HIDDEN + b->side - 1u;
    case PLACE_WAITING: return waits_rising(b->side, c->extras[b->extra].trigger) ? SIDES_RISING : SIDES_FALLING;
    default: return SIDES_COUNT;
    }
}

static inline bool is_unseen(uint32_t index) {
    return (index >= SIDES_HIDDEN && index < SIDES_FALLING) || index == SIDES_COUNT;
}

/* As which side's a side's levels are sorted: bids from the highest, asks from the lowest. */
static inline uint8_t side_order(uint32_t index) { return index % 2 == 0 ? SIDE_BUY : SIDE_SELL; }

/* The first of the makers that a taker can meet (rules.md 5). */
static inline maker maker_for(const core *c, const instrument *i, const taker *t) {
    const uint32_t other = t->side == SIDE_BUY, best = i->sides[other].best;
    const book_level *l = &c->levels[best];
    maker m = {0};
    if (best != 0 && crosses(t->side, t->reach_ticks, l->price_ticks)) m = (maker){l->head, l->price_ticks};
    return LIKELY(i->unseen_orders[other] == 0) ? m : maker_unseen(c, i, t, m);
}

#endif
