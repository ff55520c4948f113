/* Snapshots: the whole state as bytes that know nothing of memory (schemas/wire/snapshot.md).
 *
 *   header 64 B ─ section 1: 16 B (kind, entry bytes, count) + entries ─ … ─ last section ─ checksum 8 B
 *
 * Sections come in one order, each entry is a plain little-endian struct, and nothing is named by a slot. Positions
 * stand in order of creation and their orders by rising id; the terms of those that have some, and the queues as a
 * list of ids, best level first, so both orders of every list are there and loading costs one hash look-up an order.
 * Loading believes nothing: every number is checked before it is used, and the digest and a full walk have the last
 * word.
 */
#include "internal.h"

enum section {
    SECTION_ASSETS = 1,
    SECTION_INSTRUMENTS,
    SECTION_ACCOUNTS,
    SECTION_BALANCES,
    SECTION_POSITIONS,
    SECTION_ORDERS,
    SECTION_TERMS,
    SECTION_QUEUES,
    SECTION_KEYS,
    SECTION_REPORTS,
    SECTION_NONCES,
    SECTION_FEE_TIERS,
    SECTION_PRICE_STEPS,
    SECTION_TRADES,
    SECTION_END
};

static const char MAGIC[8] = {'I', 'B', 'S', 'N', 'A', 'P', '0', '1'};

typedef struct saved_header {
    char magic[8];
    uint64_t sequence, digest, received_ns, term, nonce_window_ns;
    uint8_t everything_halted, zero[7];
    uint64_t trade_count;
} saved_header;
typedef struct saved_section {
    uint32_t kind, entry_bytes;
    uint64_t count;
} saved_section;
typedef struct saved_asset {
    uint32_t asset;
    uint8_t decimals, name_bytes, zero[2];
    char name[36];
    uint8_t zero2[4];
    int64_t supply_units, fees_units;
} saved_asset;
typedef struct saved_instrument {
    uint32_t instrument, base_asset, quote_asset, collar_ppm;
    int32_t maker_fee_ppm, taker_fee_ppm;
    uint64_t base_units_per_lot, quote_units_per_tick_lot;
    int64_t quantity_lots_min, quantity_lots_max, notional_units_min, reference_price_ticks;
    uint64_t trade_id, book_update_id, level3_id, top_id, checksum_update_id, auction_ends_ns;
    int64_t static_price_ticks;
    uint32_t breaker_ppm[BREAKER_LEVELS], breaker_ms[BREAKER_LEVELS];
    uint8_t trading_state, name_bytes, zero[2];
    char name[36];
} saved_instrument;
typedef struct saved_account {
    uint32_t account, firm;
    uint64_t rate_window, rate_count;
    int64_t notional_units_max, position_lots_max, quantity_lots_max;
    uint32_t open_orders_max, order_rate_max, order_rate_window_ms;
    uint8_t halted, fee_tier, zero[2];
} saved_account;
typedef struct saved_balance {
    uint32_t account, asset;
    int64_t free_units, locked_units, floor_units;
} saved_balance;
typedef struct saved_position {
    uint32_t account, instrument;
    int64_t position_lots;
} saved_position;
typedef struct saved_order {
    uint64_t id, client_order_id;
    int64_t rest_lots, filled_lots, lock_units, maker_notional_units;
    uint64_t priority;
    uint32_t account, instrument;
    int32_t maker_fee_ppm, taker_fee_ppm;
    uint16_t key;
    uint8_t side, options, self_trade_prevention, zero[3];
} saved_order;
typedef struct saved_terms {
    uint64_t order_id, linked_order_id;
    int64_t price_ticks, trigger_price_ticks, peak_ticks, display_lots, reserve_lots;
    uint64_t expire_ns;
    int32_t offset_ticks;
    uint8_t place, trigger, peg, options, order_type, time_in_force, zero[6];
} saved_terms;
typedef struct saved_place {
    uint64_t order_id;
    int64_t price_ticks;
} saved_place;
typedef struct saved_key {
    uint32_t key, session, account;
    uint8_t live, options, zero[2];
    uint64_t last_client_sequence, last_report_number, countdown_ns;
    uint32_t countdown_account, zero2;
} saved_key;
typedef struct saved_fee_tier {
    uint32_t instrument, tier;
    int32_t maker_fee_ppm, taker_fee_ppm;
} saved_fee_tier;
typedef struct saved_price_step {
    uint32_t instrument, row;
    int64_t from_price_ticks, tick_multiple, lot_multiple;
} saved_price_step;
typedef struct saved_trade {
    uint64_t number, trade_id;
    int64_t price_ticks, quantity_lots, buyer_fee_units, seller_fee_units;
    uint32_t instrument, buyer, seller, busted;
} saved_trade;
static_assert(sizeof(saved_fee_tier) == 16 && sizeof(saved_price_step) == 32 && sizeof(saved_trade) == 64,
              "no padding");
static_assert(sizeof(saved_header) == 64 && sizeof(saved_section) == 16 && sizeof(saved_asset) == 64, "no padding");
static_assert(sizeof(saved_instrument) == 200 && sizeof(saved_account) == 64 && sizeof(saved_balance) == 32,
              "no padding");
static_assert(sizeof(saved_position) == 16 && sizeof(saved_order) == 80 && sizeof(saved_place) == 16 &&
                  sizeof(saved_key) == 48 && sizeof(saved_terms) == 80,
              "no padding");
static_assert(sizeof(nonce_entry) == 24 && sizeof(wire_report) % 8 == 0, "entries are whole words");

/* ---- Saving ------------------------------------------------------------------------------------------------------ */

typedef struct saver {
    core_sink sink;
    void *self;
    uint64_t checksum;
    bool going;
} saver;

static uint64_t checksum_of(uint64_t sum, const void *data, size_t bytes) {
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        uint64_t word;
        memcpy(&word, (const char *)data + i, 8);
        sum = mix(sum ^ word) + 1;
    }
    return sum;
}

static void put(saver *s, const void *data, size_t bytes) {
    s->checksum = checksum_of(s->checksum, data, bytes);
    s->going = s->going && s->sink(s->self, data, bytes);
}

static void put_section(saver *s, enum section kind, size_t entry_bytes, uint64_t count) {
    put(s, &(saved_section){.kind = kind, .entry_bytes = (uint32_t)entry_bytes, .count = count}, sizeof(saved_section));
}

static void save_definitions(const core *c, saver *s) {
    uint64_t assets = 0, instruments = 0;
    for (uint32_t n = 1; n < c->options.asset_count_max; n++) assets += asset_known(c, n);
    for (uint32_t n = 1; n < c->options.instrument_count_max; n++) instruments += instrument_known(c, n);
    put_section(s, SECTION_ASSETS, sizeof(saved_asset), assets);
    for (uint32_t n = 1; n < c->options.asset_count_max; n++) {
        const asset *a = &c->assets[n];
        if (!asset_known(c, n)) continue;
        saved_asset e = {.asset = n,
                         .decimals = a->decimals,
                         .name_bytes = a->name_bytes,
                         .supply_units = a->supply_units,
                         .fees_units = a->fees_units};
        memcpy(e.name, a->name, sizeof e.name);
        put(s, &e, sizeof e);
    }
    put_section(s, SECTION_INSTRUMENTS, sizeof(saved_instrument), instruments);
    for (uint32_t n = 1; n < c->options.instrument_count_max; n++) {
        const instrument *i = &c->instruments[n];
        if (!instrument_known(c, n)) continue;
        saved_instrument e = {.instrument = n,
                              .base_asset = i->base_asset,
                              .quote_asset = i->quote_asset,
                              .collar_ppm = i->collar_ppm,
                              .maker_fee_ppm = i->maker_fee_ppm,
                              .taker_fee_ppm = i->taker_fee_ppm,
                              .base_units_per_lot = i->base_units_per_lot,
                              .quote_units_per_tick_lot = i->quote_units_per_tick_lot,
                              .quantity_lots_min = i->quantity_lots_min,
                              .quantity_lots_max = i->quantity_lots_max,
                              .notional_units_min = i->notional_units_min,
                              .reference_price_ticks = i->reference_price_ticks,
                              .trade_id = i->trade_id,
                              .book_update_id = i->book_update_id,
                              .level3_id = i->level3_id,
                              .top_id = i->top_id,
                              .checksum_update_id = i->checksum_update_id,
                              .auction_ends_ns = i->auction_ends_ns,
                              .static_price_ticks = i->static_price_ticks,
                              .trading_state = i->trading_state,
                              .name_bytes = i->name_bytes};
        memcpy(e.breaker_ppm, i->breaker_ppm, sizeof e.breaker_ppm);
        memcpy(e.breaker_ms, i->breaker_ms, sizeof e.breaker_ms);
        memcpy(e.name, i->name, sizeof e.name);
        put(s, &e, sizeof e);
    }
}

static void save_accounts(const core *c, saver *s) {
    uint64_t accounts = 0;
    for (uint32_t n = 1; n < c->options.account_count_max; n++) accounts += account_known(c, n);
    put_section(s, SECTION_ACCOUNTS, sizeof(saved_account), accounts);
    for (uint32_t n = 1; n < c->options.account_count_max; n++) {
        const account *a = &c->accounts[n];
        if (!account_known(c, n)) continue;
        put(s,
            &(saved_account){.account = n,
                             .firm = a->firm,
                             .rate_window = a->rate_window,
                             .rate_count = a->rate_count,
                             .notional_units_max = a->notional_units_max,
                             .position_lots_max = a->position_lots_max,
                             .quantity_lots_max = a->quantity_lots_max,
                             .open_orders_max = a->open_orders_max,
                             .order_rate_max = a->order_rate_max,
                             .order_rate_window_ms = a->order_rate_window_ms,
                             .halted = a->halted,
                             .fee_tier = a->fee_tier},
            sizeof(saved_account));
    }
    put_section(s, SECTION_BALANCES, sizeof(saved_balance), c->balance_pool.used);
    for (uint32_t n = 1; n < c->balance_pool.fresh; n++) {
        const balance *b = &c->balances[n];
        put(s,
            &(saved_balance){.account = b->account,
                             .asset = b->asset,
                             .free_units = b->free_units,
                             .locked_units = b->locked_units,
                             .floor_units = c->floors[n]},
            sizeof(saved_balance));
    }
    put_section(s, SECTION_POSITIONS, sizeof(saved_position), c->position_pool.used);
    for (uint32_t n = 1; n < c->position_pool.fresh; n++) {
        const position *p = &c->positions[n];
        put(s, &(saved_position){.account = p->account, .instrument = p->instrument, .position_lots = p->position_lots},
            sizeof(saved_position));
    }
}

static saved_terms terms_saved(const core *c, uint32_t extra) {
    const order_extra *x = &c->extras[extra];
    return (saved_terms){.order_id = c->orders[x->order].id,
                         .linked_order_id = x->linked == 0 ? 0 : c->orders[x->linked].id,
                         .price_ticks = x->price_ticks,
                         .trigger_price_ticks = x->trigger_price_ticks,
                         .peak_ticks = x->peak_ticks,
                         .display_lots = x->display_lots,
                         .reserve_lots = x->reserve_lots,
                         .expire_ns = x->expire_ns,
                         .offset_ticks = x->offset_ticks,
                         .place = x->place,
                         .trigger = x->trigger,
                         .peg = x->peg,
                         .options = x->options,
                         .order_type = x->order_type,
                         .time_in_force = x->time_in_force};
}

static void save_terms(const core *c, saver *s) {
    put_section(s, SECTION_TERMS, sizeof(saved_terms), c->extra_pool.used);
    for (uint32_t n = 1; n < c->position_pool.fresh; n++)
        for (uint32_t slot = c->positions[n].first_order; slot != 0; slot = c->rests[slot].next) {
            if (c->orders[slot].extra == 0) continue;
            const saved_terms e = terms_saved(c, c->orders[slot].extra);
            put(s, &e, sizeof e);
        }
}

static void put_place(const core *c, saver *s, uint32_t slot, int64_t price_ticks) {
    put(s, &(saved_place){.order_id = c->orders[slot].id, .price_ticks = price_ticks}, sizeof(saved_place));
}

static void save_queues(const core *c, saver *s) {
    put_section(s, SECTION_QUEUES, sizeof(saved_place), c->order_pool.used);
    for (uint32_t n = 1; n < c->options.instrument_count_max; n++) {
        const instrument *i = &c->instruments[n];
        for (uint32_t index = 0; index < SIDES_COUNT; index++)
            for (uint32_t l = i->sides[index].best; l != 0; l = c->levels[l].worse)
                for (uint32_t slot = c->levels[l].head; slot != 0; slot = c->orders[slot].next)
                    put_place(c, s, slot, c->levels[l].price_ticks);
        for (uint32_t side = 0; side < 2; side++)
            for (uint32_t slot = i->unlit[side].head; slot != 0; slot = c->orders[slot].next)
                put_place(c, s, slot, order_price(c, &c->orders[slot]));
    }
}

static void save_orders(const core *c, saver *s) {
    put_section(s, SECTION_ORDERS, sizeof(saved_order), c->order_pool.used);
    for (uint32_t n = 1; n < c->position_pool.fresh; n++)
        for (uint32_t slot = c->positions[n].first_order; slot != 0; slot = c->rests[slot].next) {
            const book_order *b = &c->orders[slot];
            const order_rest *r = &c->rests[slot];
            put(s,
                &(saved_order){.id = b->id,
                               .client_order_id = b->client_order_id,
                               .rest_lots = b->rest_lots,
                               .filled_lots = b->filled_lots,
                               .lock_units = r->lock_units,
                               .maker_notional_units = r->maker_notional_units,
                               .priority = r->priority,
                               .account = c->positions[n].account,
                               .instrument = c->positions[n].instrument,
                               .maker_fee_ppm = b->maker_fee_ppm,
                               .taker_fee_ppm = b->taker_fee_ppm,
                               .key = b->key,
                               .side = b->side,
                               .options = b->options,
                               .self_trade_prevention = b->self_trade_prevention},
                sizeof(saved_order));
        }
}

/* Oldest report of a key that is still kept. */
static uint64_t first_kept(const core *c, uint32_t key) {
    uint32_t count;
    const uint64_t last = c->keys[key].last_report_number, kept = c->options.reports_kept;
    uint64_t first = last + 1 > kept ? last + 1 - kept : 1;
    while (first <= last && core_reports(c, key, first, &count) == NULL) first++;
    return first;
}

/* Has this key any state that is not zero? */
static bool key_used(const key_state *k) {
    return (k->last_client_sequence | k->last_report_number | k->session | k->account | k->live | k->options |
            k->countdown_ns | k->countdown_account) != 0;
}

static void save_sessions(const core *c, saver *s) {
    uint64_t keys = 0, reports = 0;
    for (uint32_t n = 1; n < c->options.key_count_max; n++) {
        keys += key_used(&c->keys[n]);
        reports += c->keys[n].last_report_number + 1 - first_kept(c, n);
    }
    put_section(s, SECTION_KEYS, sizeof(saved_key), keys);
    for (uint32_t n = 1; n < c->options.key_count_max; n++) {
        const key_state *k = &c->keys[n];
        if (!key_used(k)) continue;
        put(s,
            &(saved_key){.key = n,
                         .session = k->session,
                         .account = k->account,
                         .live = k->live,
                         .options = k->options,
                         .last_client_sequence = k->last_client_sequence,
                         .last_report_number = k->last_report_number,
                         .countdown_ns = k->countdown_ns,
                         .countdown_account = k->countdown_account},
            sizeof(saved_key));
    }
    put_section(s, SECTION_REPORTS, sizeof(wire_report), reports);
    for (uint32_t n = 1; n < c->options.key_count_max; n++)
        for (uint64_t number = first_kept(c, n); number <= c->keys[n].last_report_number; number++)
            put(s, core_report(c, n, number), sizeof(wire_report));
    put_section(s, SECTION_NONCES, sizeof(nonce_entry), c->nonce_count);
    for (uint64_t at = c->nonce_first; at < c->nonce_first + c->nonce_count; at++)
        put(s, &c->nonces[at % c->options.nonce_count_max], sizeof(nonce_entry));
}

static void save_rates(const core *c, saver *s) {
    uint64_t tiers = 0, steps = 0;
    for (uint32_t n = 1; n < c->options.instrument_count_max; n++) {
        if (!instrument_known(c, n)) continue;
        for (uint32_t tier = 1; tier <= FEE_TIER_MAX; tier++) tiers += c->rate_tables[n].tiers[tier].set;
        steps += c->instruments[n].price_step_count;
    }
    put_section(s, SECTION_FEE_TIERS, sizeof(saved_fee_tier), tiers);
    for (uint32_t n = 1; n < c->options.instrument_count_max; n++)
        for (uint32_t tier = 1; instrument_known(c, n) && tier <= FEE_TIER_MAX; tier++) {
            const fee_tier *t = &c->rate_tables[n].tiers[tier];
            if (!t->set) continue;
            put(s,
                &(saved_fee_tier){.instrument = n,
                                  .tier = tier,
                                  .maker_fee_ppm = t->maker_fee_ppm,
                                  .taker_fee_ppm = t->taker_fee_ppm},
                sizeof(saved_fee_tier));
        }
    put_section(s, SECTION_PRICE_STEPS, sizeof(saved_price_step), steps);
    for (uint32_t n = 1; n < c->options.instrument_count_max; n++)
        for (uint32_t row = 0; row < c->instruments[n].price_step_count; row++) {
            const price_step *p = &c->rate_tables[n].steps[row];
            put(s,
                &(saved_price_step){.instrument = n,
                                    .row = row,
                                    .from_price_ticks = p->from_price_ticks,
                                    .tick_multiple = p->tick_multiple,
                                    .lot_multiple = p->lot_multiple},
                sizeof(saved_price_step));
        }
}

static void save_trades(const core *c, saver *s) {
    put_section(s, SECTION_TRADES, sizeof(saved_trade), c->trade_count + 1 - trades_first_kept(c));
    for (uint64_t number = trades_first_kept(c); number <= c->trade_count; number++) {
        const kept_trade *t = trade_place(c, number);
        put(s,
            &(saved_trade){.number = number,
                           .trade_id = t->trade_id,
                           .price_ticks = t->price_ticks,
                           .quantity_lots = t->quantity_lots,
                           .buyer_fee_units = t->buyer_fee_units,
                           .seller_fee_units = t->seller_fee_units,
                           .instrument = t->instrument,
                           .buyer = t->buyer,
                           .seller = t->seller,
                           .busted = t->busted},
            sizeof(saved_trade));
    }
}

bool core_save(const core *c, core_sink sink, void *self) {
    INVARIANT(c->run.stage == RUN_DONE);
    saver s = {.sink = sink, .self = self, .going = true};
    saved_header header = {.sequence = c->sequence,
                           .digest = c->digest,
                           .received_ns = c->received_ns,
                           .term = c->term,
                           .nonce_window_ns = c->nonce_window_ns,
                           .everything_halted = c->everything_halted,
                           .trade_count = c->trade_count};
    memcpy(header.magic, MAGIC, sizeof header.magic);
    put(&s, &header, sizeof header);
    save_definitions(c, &s);
    save_accounts(c, &s);
    save_orders(c, &s);
    save_terms(c, &s);
    save_queues(c, &s);
    save_sessions(c, &s);
    save_rates(c, &s);
    save_trades(c, &s);
    const uint64_t checksum = s.checksum;
    put(&s, &checksum, sizeof checksum);
    return s.going;
}

/* ---- Loading ----------------------------------------------------------------------------------------------------- */

#define MUST(holds, sentence)                                                                                          \
    do {                                                                                                               \
        if (!(holds)) return sentence;                                                                                 \
    } while (0)

typedef const char *(*load_entry)(core *c, const void *entry); /* NULL, or what must hold */

static const char *load_asset(core *c, const void *at) {
    const saved_asset *e = at;
    MUST(e->asset >= 1 && e->asset < c->options.asset_count_max, "a snapshot's assets must be within asset_count_max");
    MUST(!asset_known(c, e->asset) && e->decimals <= ASSET_DECIMALS_MAX && e->name_bytes <= TEXT_BYTES_MAX,
         "a snapshot's asset must be sound");
    MUST(e->supply_units >= -UNITS_MAX && e->supply_units <= UNITS_MAX && e->fees_units >= 0 &&
             e->fees_units <= UNITS_MAX,
         "a snapshot's supply must be sound");
    asset *a = &c->assets[e->asset];
    a->defined = 1, a->decimals = e->decimals, a->name_bytes = e->name_bytes;
    a->supply_units = e->supply_units, a->fees_units = e->fees_units;
    memcpy(a->name, e->name, sizeof a->name);
    return NULL;
}

/* What is to follow from it, core.timed and core.dirty, is found anew. */
static void load_market(core *c, instrument *i, const saved_instrument *e) {
    i->trading_state = e->trading_state;
    i->checksum_update_id = e->checksum_update_id, i->auction_ends_ns = e->auction_ends_ns;
    i->static_price_ticks = e->static_price_ticks;
    memcpy(i->breaker_ppm, e->breaker_ppm, sizeof i->breaker_ppm);
    memcpy(i->breaker_ms, e->breaker_ms, sizeof i->breaker_ms);
    breaker_found(i);
    state_found(c, e->instrument);
    if (i->checksum_update_id != i->book_update_id) set_add(&c->dirty, e->instrument);
}

static const char *load_instrument(core *c, const void *at) {
    const saved_instrument *e = at;
    MUST(e->instrument >= 1 && e->instrument < c->options.instrument_count_max,
         "a snapshot's instruments must be within instrument_count_max");
    MUST(!instrument_known(c, e->instrument) && asset_known(c, e->base_asset) && asset_known(c, e->quote_asset),
         "a snapshot's instrument must be sound");
    MUST(e->base_units_per_lot >= 1 && e->base_units_per_lot <= (uint64_t)UNITS_PER_LOT_MAX &&
             e->quote_units_per_tick_lot >= 1 && e->quote_units_per_tick_lot <= (uint64_t)UNITS_PER_LOT_MAX,
         "a snapshot's units must be sound");
    MUST(fee_rates_valid(e->maker_fee_ppm, e->taker_fee_ppm), "a snapshot's fees must be sound");
    MUST(e->reference_price_ticks >= 0 && e->reference_price_ticks <= PRICE_TICKS_MAX &&
             e->collar_ppm <= COLLAR_PPM_MAX && e->name_bytes <= TEXT_BYTES_MAX,
         "a snapshot's instrument must be sound");
    MUST(state_exists(e->trading_state) && (e->auction_ends_ns == 0 || state_gathers(e->trading_state)) &&
             e->static_price_ticks >= 0 && e->static_price_ticks <= PRICE_TICKS_MAX,
         "a snapshot's trading state must be sound");
    instrument *i = &c->instruments[e->instrument];
    i->base_asset = e->base_asset, i->quote_asset = e->quote_asset, i->collar_ppm = e->collar_ppm;
    i->maker_fee_ppm = e->maker_fee_ppm, i->taker_fee_ppm = e->taker_fee_ppm;
    i->base_units_per_lot = e->base_units_per_lot, i->quote_units_per_tick_lot = e->quote_units_per_tick_lot;
    i->quantity_lots_min = e->quantity_lots_min, i->quantity_lots_max = e->quantity_lots_max,
    i->notional_units_min = e->notional_units_min;
    i->reference_price_ticks = e->reference_price_ticks;
    i->trade_id = e->trade_id, i->book_update_id = e->book_update_id, i->level3_id = e->level3_id,
    i->top_id = e->top_id;
    load_market(c, i, e);
    i->name_bytes = e->name_bytes;
    memcpy(i->name, e->name, sizeof i->name);
    return NULL;
}

static const char *load_account(core *c, const void *at) {
    const saved_account *e = at;
    MUST(e->account >= 1 && e->account < c->options.account_count_max,
         "a snapshot's accounts must be within account_count_max");
    MUST(!account_known(c, e->account) && e->firm != 0 && e->halted <= 1 && e->fee_tier <= FEE_TIER_MAX,
         "a snapshot's account must be sound");
    account *a = &c->accounts[e->account];
    a->firm = e->firm, a->halted = e->halted, a->fee_tier = e->fee_tier, a->rate_window = e->rate_window,
    a->rate_count = e->rate_count;
    a->notional_units_max = e->notional_units_max, a->position_lots_max = e->position_lots_max,
    a->quantity_lots_max = e->quantity_lots_max;
    a->open_orders_max = e->open_orders_max, a->order_rate_max = e->order_rate_max,
    a->order_rate_window_ms = e->order_rate_window_ms;
    return NULL;
}

static const char *load_balance(core *c, const void *at) {
    const saved_balance *e = at;
    MUST(account_known(c, e->account) && asset_known(c, e->asset) && balance_find(c, e->account, e->asset) == 0,
         "a snapshot's balance must be sound");
    MUST(pool_room(&c->balance_pool) > 0, "a snapshot's balances must be within balance_count_max");
    MUST(e->floor_units <= 0 && e->floor_units >= -UNITS_MAX && e->free_units >= e->floor_units,
         "a snapshot's balance must not be below its floor");
    MUST(e->locked_units >= 0 && e->free_units <= UNITS_MAX && e->locked_units <= UNITS_MAX,
         "a snapshot's balance must be sound");
    asset *a = &c->assets[e->asset];
    MUST((__int128)a->supply_units + a->owed_units_max - e->floor_units <= UNITS_MAX,
         "a snapshot's floors must be sound");
    const uint32_t slot = balance_obtain(c, e->account, e->asset);
    a->owed_units_max += (uint64_t)-e->floor_units;
    c->floors[slot] = e->floor_units;
    balance_add(c, slot, e->free_units, e->locked_units);
    return NULL;
}

static const char *load_position(core *c, const void *at) {
    const saved_position *e = at;
    MUST(account_known(c, e->account) && instrument_known(c, e->instrument), "a snapshot's position must be sound");
    MUST(position_find(c, e->account, e->instrument) == 0,
         "a snapshot must have one position an account and instrument");
    const instrument *i = &c->instruments[e->instrument];
    const uint32_t balances =
        (balance_find(c, e->account, i->base_asset) == 0) + (balance_find(c, e->account, i->quote_asset) == 0);
    MUST(pool_room(&c->position_pool) > 0, "a snapshot's positions must be within position_count_max");
    MUST(pool_room(&c->balance_pool) >= balances, "a snapshot's balances must be within balance_count_max");
    MUST(e->position_lots >= -UNITS_MAX && e->position_lots <= UNITS_MAX, "a snapshot's position must be sound");
    c->positions[position_obtain(c, e->account, e->instrument)].position_lots = e->position_lots;
    return NULL;
}

static const char *check_saved_order(const core *c, const saved_order *e) {
    MUST(account_known(c, e->account) && instrument_known(c, e->instrument) &&
             position_find(c, e->account, e->instrument) != 0,
         "a snapshot's order must have a position");
    MUST(e->id >= 1 && e->id <= c->sequence && order_find(c, e->id) == 0,
         "a snapshot's order ids must be sequences, each once");
    MUST(e->client_order_id == 0 || order_find_client(c, e->account, e->client_order_id) == 0,
         "a snapshot's client order ids must differ");
    MUST(e->rest_lots >= 1 && e->rest_lots <= QUANTITY_LOTS_MAX && e->filled_lots >= 0 &&
             e->filled_lots <= QUANTITY_LOTS_MAX,
         "a snapshot's quantities must be sound");
    MUST(e->lock_units >= 0 && e->lock_units <= INT64_MAX / 2 && e->maker_notional_units >= 0 &&
             e->maker_notional_units <= UNITS_MAX,
         "a snapshot's locks must be sound");
    MUST((__int128)e->rest_lots * c->instruments[e->instrument].base_units_per_lot <= UNITS_MAX,
         "a snapshot's locks must be sound");
    MUST(fee_rates_valid(e->maker_fee_ppm, e->taker_fee_ppm), "a snapshot's fees must be sound");
    MUST(e->key >= 1 && e->key < c->options.key_count_max, "a snapshot's keys must be within key_count_max");
    MUST(e->side >= SIDE_BUY && e->side <= SIDE_SELL && e->self_trade_prevention >= SELF_TRADE_PREVENTION_NONE &&
             e->self_trade_prevention <= SELF_TRADE_PREVENTION_DECREMENT,
         "a snapshot's order must be sound");
    MUST(pool_room(&c->order_pool) > 0, "a snapshot's orders must be within order_count_max");
    return NULL;
}

/* Into the pool, the indexes and its position's list; its place in the book comes with the queues. Until then level
 * is 0. */
static const char *load_order(core *c, const void *at) {
    const saved_order *e = at;
    const char *wrong = check_saved_order(c, e);
    if (wrong != NULL) return wrong;
    const uint32_t slot = pool_take(&c->order_pool, c->orders, sizeof(book_order)),
                   owner = position_find(c, e->account, e->instrument);
    position *p = &c->positions[owner];
    MUST(p->open_buy_lots <= UNITS_MAX && p->open_sell_lots <= UNITS_MAX, "a snapshot's open lots must be sound");
    c->orders[slot] = (book_order){.id = e->id,
                                   .client_order_id = e->client_order_id,
                                   .rest_lots = e->rest_lots,
                                   .filled_lots = e->filled_lots,
                                   .position = owner,
                                   .maker_fee_ppm = e->maker_fee_ppm,
                                   .taker_fee_ppm = e->taker_fee_ppm,
                                   .key = e->key,
                                   .side = e->side,
                                   .options = e->options,
                                   .self_trade_prevention = e->self_trade_prevention};
    c->rests[slot] = (order_rest){.lock_units = e->lock_units,
                                  .maker_notional_units = e->maker_notional_units,
                                  .priority = e->priority,
                                  .prev = p->last_order};
    if (p->last_order != 0) c->rests[p->last_order].next = slot;
    else p->first_order = slot;
    p->last_order = slot;
    c->accounts[e->account].open_orders++;
    index_add(&c->order_index, order_hash(e->id), slot);
    if (e->client_order_id != 0) index_add(&c->client_index, client_hash(c, e->account, e->client_order_id), slot);
    open_lots_add(c, p, e->side, e->rest_lots);
    return NULL;
}

static const char *load_terms(core *c, const void *at) {
    const saved_terms *e = at;
    const uint32_t slot = order_find(c, e->order_id);
    MUST(slot != 0 && c->orders[slot].extra == 0, "a snapshot's terms must name an order, each once");
    const uint32_t linked = e->linked_order_id == 0 ? 0 : order_find(c, e->linked_order_id);
    MUST((e->linked_order_id == 0) == (linked == 0) && linked != slot, "a snapshot's links must name open orders");
    MUST(e->place <= PLACE_WAITING && e->trigger <= TRIGGER_TRAILING && e->peg <= PEG_MIDDLE &&
             (e->place == PLACE_WAITING) == (e->trigger != TRIGGER_NONE),
         "a snapshot's terms must be sound");
    MUST(e->price_ticks >= 0 && e->price_ticks <= PRICE_TICKS_MAX && e->reserve_lots >= 0 &&
             e->reserve_lots < c->orders[slot].rest_lots && e->display_lots >= 0,
         "a snapshot's terms must be sound");
    MUST(e->place != PLACE_WAITING ||
             (e->price_ticks >= 1 && e->trigger_price_ticks >= 1 && e->trigger_price_ticks <= PRICE_TICKS_MAX &&
              e->peak_ticks >= 0 && e->peak_ticks <= PRICE_TICKS_MAX && e->order_type >= ORDER_TYPE_LIMIT &&
              e->order_type <= ORDER_TYPE_MARKET && e->time_in_force >= TIME_IN_FORCE_GOOD_TILL_CANCELLED &&
              e->time_in_force <= TIME_IN_FORCE_IMMEDIATE_OR_CANCEL),
         "a snapshot's waiting orders must be sound");
    MUST(e->trigger != TRIGGER_TRAILING || e->offset_ticks >= 1, "a snapshot's waiting orders must be sound");
    MUST(pool_room(&c->extra_pool) > 0, "a snapshot's terms must be within extra_count_max");
    const uint32_t extra = pool_take(&c->extra_pool, c->extras, sizeof(order_extra));
    c->orders[slot].extra = extra;
    c->extras[extra] = (order_extra){.order = slot,
                                     .linked = linked,
                                     .price_ticks = e->price_ticks,
                                     .trigger_price_ticks = e->trigger_price_ticks,
                                     .peak_ticks = e->peak_ticks,
                                     .display_lots = e->display_lots,
                                     .reserve_lots = e->reserve_lots,
                                     .expire_ns = e->expire_ns,
                                     .offset_ticks = e->offset_ticks,
                                     .place = e->place,
                                     .trigger = e->trigger,
                                     .peg = e->peg,
                                     .options = e->options,
                                     .order_type = e->order_type,
                                     .time_in_force = e->time_in_force};
    expiry_enter(c, extra);
    if (e->trigger == TRIGGER_TRAILING) trail_enter(c, extra);
    if (e->linked_order_id > e->order_id)
        c->instruments[c->positions[c->orders[slot].position].instrument].linked_pairs++;
    return NULL;
}

/* Is this order in a queue or list already? */
static bool stands(const core *c, uint32_t slot) {
    const book_order *b = &c->orders[slot];
    const unlit_list *list = &c->instruments[c->positions[b->position].instrument].unlit[b->side - 1];
    return b->level != 0 || b->prev != 0 || list->head == slot;
}

/* Is there room for an order at this price of the side (or list) in which its terms put it? */
static const char *check_room(core *c, const book_order *b, int64_t price_ticks) {
    instrument *i = &c->instruments[c->positions[b->position].instrument];
    const uint32_t index = side_index(c, b);
    if (index >= SIDES_COUNT) {
        MUST(i->unlit[b->side - 1].count < UNLIT_ORDERS_MAX,
             "a snapshot's unlit orders must be within UNLIT_ORDERS_MAX");
        return NULL;
    }
    book_side *side = &i->sides[index];
    if (level_find(c, side, price_ticks) != 0) return NULL;
    MUST(pool_room(&c->level_pool) > 0, "a snapshot's levels must be within level_count_max");
    MUST(pool_room(&c->ladder_pool) >= ladder_lacks(side, c, (uint64_t)price_ticks),
         "a snapshot's levels must be within ladder_count_max");
    return NULL;
}

static const char *load_place(core *c, const void *at) {
    const saved_place *e = at;
    const uint32_t slot = order_find(c, e->order_id);
    MUST(slot != 0 && !stands(c, slot), "a snapshot's queues must name each order once");
    MUST(e->price_ticks >= 1 && e->price_ticks <= PRICE_TICKS_MAX, "a snapshot's prices must be sound");
    const book_order *b = &c->orders[slot];
    const bool waits = place_of(c, b) == PLACE_WAITING;
    MUST(b->extra == 0 || waits || order_price(c, b) == e->price_ticks,
         "a snapshot's orders must stand at their prices");
    int64_t notional_units;
    MUST(notional_of(&c->instruments[c->positions[b->position].instrument], waits ? order_price(c, b) : e->price_ticks,
                     b->rest_lots, &notional_units),
         "a snapshot's locks must be sound");
    const char *wrong = check_room(c, b, e->price_ticks);
    if (wrong != NULL) return wrong;
    order_enqueue(c, slot, e->price_ticks);
    return NULL;
}

static const char *load_key(core *c, const void *at) {
    const saved_key *e = at;
    MUST(e->key >= 1 && e->key < c->options.key_count_max, "a snapshot's keys must be within key_count_max");
    MUST(e->live <= 1 && (e->countdown_ns == 0 || account_known(c, e->countdown_account)),
         "a snapshot's key must be sound");
    key_state *k = &c->keys[e->key];
    k->last_client_sequence = e->last_client_sequence, k->last_report_number = e->last_report_number;
    k->session = e->session, k->account = e->account, k->live = e->live, k->options = e->options;
    k->countdown_ns = e->countdown_ns, k->countdown_account = e->countdown_account;
    countdown_note(c, e->countdown_ns);
    return NULL;
}

static const char *load_report(core *c, const void *at) {
    const wire_report *e = at;
    MUST(e->key >= 1 && e->key < c->options.key_count_max && e->report_number >= 1 &&
             e->report_number <= c->keys[e->key].last_report_number,
         "a snapshot's reports must be of its keys");
    if (c->options.reports_kept != 0)
        c->rings[(size_t)e->key * c->options.reports_kept + (e->report_number & (c->options.reports_kept - 1))] = *e;
    return NULL;
}

static const char *load_nonce(core *c, const void *at) {
    const nonce_entry *e = at;
    uint8_t bytes[16];
    memcpy(bytes, &e->low, 8);
    memcpy(bytes + 8, &e->high, 8);
    MUST(c->nonce_count < c->options.nonce_count_max, "a snapshot's nonces must be within nonce_count_max");
    MUST(!nonce_held(c, bytes), "a snapshot must hold a nonce once");
    nonce_append(c, bytes, e->timestamp_ns);
    return NULL;
}

static const char *load_fee_tier(core *c, const void *at) {
    const saved_fee_tier *e = at;
    MUST(instrument_known(c, e->instrument) && e->tier >= 1 && e->tier <= FEE_TIER_MAX,
         "a snapshot's fee tiers must be of its instruments");
    fee_tier *t = &c->rate_tables[e->instrument].tiers[e->tier];
    MUST(!t->set && fee_rates_valid(e->maker_fee_ppm, e->taker_fee_ppm), "a snapshot's fees must be sound");
    *t = (fee_tier){.set = 1, .maker_fee_ppm = e->maker_fee_ppm, .taker_fee_ppm = e->taker_fee_ppm};
    return NULL;
}

static const char *load_price_step(core *c, const void *at) {
    const saved_price_step *e = at;
    MUST(instrument_known(c, e->instrument), "a snapshot's price steps must be of its instruments");
    instrument *i = &c->instruments[e->instrument];
    price_step *rows = c->rate_tables[e->instrument].steps;
    MUST(e->row == i->price_step_count && e->row < PRICE_STEP_COUNT_MAX, "a snapshot's price steps must be in order");
    MUST(e->from_price_ticks >= 0 && e->from_price_ticks <= PRICE_TICKS_MAX && e->tick_multiple >= 1 &&
             e->tick_multiple <= PRICE_TICKS_MAX && e->lot_multiple >= 1 && e->lot_multiple <= QUANTITY_LOTS_MAX &&
             (e->row == 0 || e->from_price_ticks > rows[e->row - 1].from_price_ticks),
         "a snapshot's price steps must be sound");
    rows[i->price_step_count++] = (price_step){
        .from_price_ticks = e->from_price_ticks, .tick_multiple = e->tick_multiple, .lot_multiple = e->lot_multiple};
    return NULL;
}

/* Whatever a bust or correction multiplies or gives back must fit, as it does for a trade that was made. */
static const char *load_trade(core *c, const void *at) {
    const saved_trade *e = at;
    MUST(e->number >= trades_first_kept(c) && e->number <= c->trade_count && trade_place(c, e->number)->trade_id == 0,
         "a snapshot's trades must be the last ones, each once");
    MUST(instrument_known(c, e->instrument) && position_find(c, e->buyer, e->instrument) != 0 &&
             position_find(c, e->seller, e->instrument) != 0 && e->busted <= 1,
         "a snapshot's trades must be between its accounts");
    const instrument *i = &c->instruments[e->instrument];
    int64_t notional_units;
    MUST(e->trade_id >= 1 && e->trade_id <= i->trade_id, "a snapshot's trade ids must have been given");
    MUST(e->price_ticks >= 1 && e->price_ticks <= PRICE_TICKS_MAX && e->quantity_lots >= 1 &&
             e->quantity_lots <= QUANTITY_LOTS_MAX && (__int128)e->quantity_lots * i->base_units_per_lot <= UNITS_MAX &&
             notional_of(i, e->price_ticks, e->quantity_lots, &notional_units),
         "a snapshot's trades must be sound");
    MUST(e->buyer_fee_units >= -notional_units && e->buyer_fee_units <= notional_units &&
             e->seller_fee_units >= -notional_units && e->seller_fee_units <= notional_units,
         "a snapshot's fees must be sound");
    kept_trade *t = trade_place(c, e->number);
    *t = (kept_trade){.trade_id = e->trade_id,
                      .price_ticks = e->price_ticks,
                      .quantity_lots = e->quantity_lots,
                      .buyer_fee_units = e->buyer_fee_units,
                      .seller_fee_units = e->seller_fee_units,
                      .instrument = e->instrument,
                      .buyer = e->buyer,
                      .seller = e->seller,
                      .busted = e->busted};
    t->digest = trade_digest(t, e->number);
    return NULL;
}

static const struct {
    size_t entry_bytes;
    load_entry load;
} sections[SECTION_END] = {
    [SECTION_ASSETS] = {sizeof(saved_asset), load_asset},
    [SECTION_INSTRUMENTS] = {sizeof(saved_instrument), load_instrument},
    [SECTION_ACCOUNTS] = {sizeof(saved_account), load_account},
    [SECTION_BALANCES] = {sizeof(saved_balance), load_balance},
    [SECTION_POSITIONS] = {sizeof(saved_position), load_position},
    [SECTION_ORDERS] = {sizeof(saved_order), load_order},
    [SECTION_TERMS] = {sizeof(saved_terms), load_terms},
    [SECTION_QUEUES] = {sizeof(saved_place), load_place},
    [SECTION_KEYS] = {sizeof(saved_key), load_key},
    [SECTION_REPORTS] = {sizeof(wire_report), load_report},
    [SECTION_NONCES] = {sizeof(nonce_entry), load_nonce},
    [SECTION_FEE_TIERS] = {sizeof(saved_fee_tier), load_fee_tier},
    [SECTION_PRICE_STEPS] = {sizeof(saved_price_step), load_price_step},
    [SECTION_TRADES] = {sizeof(saved_trade), load_trade},
};

/* Entries are copied out one by one: nothing says that the caller's bytes are aligned. */
static const char *load_sections(core *c, const char *at, size_t bytes) {
    union {
        uint64_t align;
        char bytes[256];
    } entry;
    for (uint32_t kind = SECTION_ASSETS; kind < SECTION_END; kind++) {
        saved_section section;
        MUST(bytes >= sizeof section, "a snapshot must hold all its sections");
        memcpy(&section, at, sizeof section);
        at += sizeof section, bytes -= sizeof section;
        MUST(section.kind == kind && section.entry_bytes == sections[kind].entry_bytes,
             "a snapshot's sections must come in their order and sizes");
        MUST(section.count <= bytes / section.entry_bytes, "a snapshot must hold all the entries that it counts");
        for (uint64_t i = 0; i < section.count; i++, at += section.entry_bytes, bytes -= section.entry_bytes) {
            memcpy(entry.bytes, at, section.entry_bytes);
            const char *wrong = sections[kind].load(c, entry.bytes);
            if (wrong != NULL) return wrong;
        }
    }
    MUST(bytes == 0, "a snapshot must end behind its last section");
    return NULL;
}

static const char *load_all(core *c, const void *data, size_t bytes) {
    saved_header header;
    uint64_t checksum;
    MUST(bytes >= sizeof header + sizeof checksum && bytes % 8 == 0, "a snapshot must hold a header and a checksum");
    memcpy(&header, data, sizeof header);
    memcpy(&checksum, (const char *)data + bytes - sizeof checksum, sizeof checksum);
    MUST(header.trade_count <= INT64_MAX, "a snapshot's count of trades must be sound");
    MUST(header.nonce_window_ns <= NONCE_WINDOW_NS_MAX, "a snapshot's nonce window must be sound");
    MUST(memcmp(header.magic, MAGIC, sizeof MAGIC) == 0, "a snapshot must begin with IBSNAP01");
    MUST(checksum_of(0, data, bytes - sizeof checksum) == checksum, "a snapshot's checksum must be that of its bytes");
    c->sequence = header.sequence, c->received_ns = header.received_ns, c->term = header.term,
    c->nonce_window_ns = header.nonce_window_ns, c->everything_halted = header.everything_halted != 0,
    c->trade_count = header.trade_count;
    const char *wrong = load_sections(c, (const char *)data + sizeof header, bytes - sizeof header - sizeof checksum);
    if (wrong != NULL) return wrong;
    for (uint32_t slot = 1; slot < c->order_pool.fresh; slot++)
        MUST(stands(c, slot), "a snapshot's queues must name every order");
    for (uint64_t number = trades_first_kept(c); number <= c->trade_count; number++)
        MUST(trade_place(c, number)->trade_id != 0, "a snapshot must hold the last trades");
    day_sort(c);
    c->digest = digest_anew(c);
    MUST(c->digest == header.digest, "a snapshot's digest must be that of the state it describes");
    return core_check(c);
}

core_status core_load(core *c, const void *data, size_t bytes, const char **why) {
    INVARIANT(c->sequence == 0 && c->order_pool.used == 0);
    *why = load_all(c, data, bytes);
    return *why == NULL ? CORE_OK : CORE_E_SNAPSHOT;
}
