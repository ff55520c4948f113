/* Proof: walk everything, and make the digest anew. Each check answers NULL, or the sentence that does not hold. */
#include "internal.h"

#define MUST(holds, sentence)                                                                                          \
    do {                                                                                                               \
        if (!(holds)) return sentence;                                                                                 \
    } while (0)

/* ---- The digest, from nothing ------------------------------------------------------------------------------------ */

static uint64_t rates_digest(const core *c, uint32_t number) {
    const instrument *i = &c->instruments[number];
    const rate_table *rates = &c->rate_tables[number];
    uint64_t sum = 0;
    for (uint32_t tier = 1; tier <= FEE_TIER_MAX; tier++) sum += fee_tier_digest(i, &rates->tiers[tier], tier);
    for (uint32_t row = 0; row < PRICE_STEP_COUNT_MAX; row++) sum += price_step_digest(i, &rates->steps[row], row);
    return sum;
}

static uint64_t trades_digest(const core *c) {
    uint64_t sum = 0;
    for (uint64_t number = trades_first_kept(c); number <= c->trade_count; number++)
        sum += trade_digest(trade_place(c, number), number);
    return sum;
}

/* Fields 17 to 28 of an instrument. */
static uint64_t market_digest(const instrument *i) {
    uint64_t sum = mix(17) * i->top_id + mix(18) * (uint64_t)i->static_price_ticks + mix(19) * i->auction_ends_ns +
                   mix(20) * i->checksum_update_id;
    for (uint32_t level = 0; level < BREAKER_LEVELS; level++)
        sum += mix(21 + 2 * level) * i->breaker_ppm[level] + mix(22 + 2 * level) * i->breaker_ms[level];
    return sum;
}

static uint64_t definitions_digest(const core *c) {
    uint64_t sum = 0;
    for (uint32_t n = 1; n < c->options.asset_count_max; n++) {
        const asset *a = &c->assets[n];
        sum += a->digest_key * (mix(1) * a->defined + mix(2) * a->decimals + mix(3) * (uint64_t)a->supply_units +
                                mix(4) * (uint64_t)a->fees_units);
    }
    for (uint32_t n = 1; n < c->options.instrument_count_max; n++) {
        const instrument *i = &c->instruments[n];
        if (!instrument_known(c, n)) continue;
        sum +=
            i->digest_key *
            (mix(1) + mix(2) * i->base_asset + mix(3) * i->quote_asset + mix(4) * (uint64_t)(int64_t)i->maker_fee_ppm +
             mix(5) * (uint64_t)(int64_t)i->taker_fee_ppm + mix(6) * i->trading_state + mix(7) * i->base_units_per_lot +
             mix(8) * i->quote_units_per_tick_lot + mix(9) * i->collar_ppm + mix(10) * (uint64_t)i->quantity_lots_min +
             mix(11) * (uint64_t)i->quantity_lots_max + mix(12) * (uint64_t)i->notional_units_min +
             mix(13) * (uint64_t)i->reference_price_ticks + mix(14) * i->trade_id + mix(15) * i->book_update_id +
             mix(16) * i->level3_id + market_digest(i));
        sum += rates_digest(c, n);
    }
    for (uint32_t n = 1; n < c->options.account_count_max; n++) {
        const account *a = &c->accounts[n];
        if (a->firm == 0) continue;
        sum += a->digest_key * (mix(1) + mix(2) * a->firm + mix(3) * a->halted + mix(4) * a->open_orders_max +
                                mix(5) * a->order_rate_max + mix(6) * a->order_rate_window_ms +
                                mix(7) * (uint64_t)a->notional_units_max + mix(8) * (uint64_t)a->position_lots_max +
                                mix(9) * (uint64_t)a->quantity_lots_max + mix(10) * a->rate_window +
                                mix(11) * a->rate_count + mix(12) * a->fee_tier);
    }
    return sum;
}

uint64_t digest_anew(const core *c) {
    uint64_t sum = definitions_digest(c) + trades_digest(c);
    for (uint32_t n = 1; n < c->balance_pool.fresh; n++) {
        const balance *b = &c->balances[n];
        sum +=
            entity_key(TAG_BALANCE, b->account, b->asset) *
            (mix(1) * (uint64_t)b->free_units + mix(2) * (uint64_t)b->locked_units + mix(3) * (uint64_t)c->floors[n]);
    }
    for (uint32_t n = 1; n < c->position_pool.fresh; n++) {
        const position *p = &c->positions[n];
        sum += entity_key(TAG_POSITION, p->account, p->instrument) *
               (mix(1) * (uint64_t)p->position_lots + mix(2) * (uint64_t)p->open_buy_lots +
                mix(3) * (uint64_t)p->open_sell_lots + mix(4) * p->rank);
        for (uint32_t slot = p->first_order; slot != 0; slot = c->rests[slot].next) sum += order_digest(c, slot);
    }
    for (uint32_t n = 1; n < c->options.key_count_max; n++) {
        const key_state *k = &c->keys[n];
        sum += k->digest_key * (mix(1) * k->last_client_sequence + mix(2) * k->last_report_number +
                                mix(3) * k->session + mix(4) * k->live + mix(5) * k->account + mix(6) * k->options +
                                mix(7) * k->countdown_ns + mix(8) * k->countdown_account);
    }
    for (uint64_t at = c->nonce_first; at < c->nonce_first + c->nonce_count; at++) {
        const nonce_entry *e = &c->nonces[at % c->options.nonce_count_max];
        sum += entity_key(TAG_NONCE, e->low, e->high) * (mix(1) * e->timestamp_ns);
    }
    return sum + entity_key(TAG_WHOLE, 0, 0) *
                     (mix(1) * c->sequence + mix(2) * c->received_ns + mix(3) * c->term +
                      mix(4) * c->everything_halted + mix(5) * c->nonce_window_ns + mix(6) * c->trade_count);
}

/* ---- Books ------------------------------------------------------------------------------------------------------- */

typedef struct walked { /* what was met, against what the pools say is used */
    uint64_t orders, levels, nodes, extras;
} walked;

static const char *check_extra(const core *c, uint32_t slot) {
    const book_order *b = &c->orders[slot];
    if (b->extra == 0) return NULL;
    const order_extra *x = &c->extras[b->extra];
    MUST(x->order == slot, "an extra must belong to the order that names it");
    MUST(x->reserve_lots >= 0 && x->reserve_lots < b->rest_lots, "an iceberg must show something and hide no more");
    MUST(b->rest_lots - x->reserve_lots <= x->display_lots || (x->display_lots == 0 && x->reserve_lots == 0) ||
             x->place == PLACE_WAITING,
         "an iceberg must not show more than it wants to");
    return NULL;
}

static const char *check_order(const core *c, uint32_t slot, uint32_t level, uint32_t prev, uint32_t number,
                               uint32_t index) {
    const book_order *b = &c->orders[slot];
    const uint8_t side = b->side;
    const order_rest *r = &c->rests[slot];
    const position *p = &c->positions[b->position];
    const instrument *i = &c->instruments[number];
    MUST((b->level == level || index == SIDES_COUNT) && b->prev == prev && side_index(c, b) == index,
         "an order must stand in the queue that it names");
    MUST(b->rest_lots > 0 && b->filled_lots >= 0, "a resting order must have lots left");
    MUST(p->instrument == number, "an order must be of the instrument in whose book it rests");
    MUST(order_find(c, b->id) == slot, "a resting order must be found by its id");
    MUST(b->client_order_id == 0 || order_find_client(c, p->account, b->client_order_id) == slot,
         "a resting order must be found by its client order id");
    MUST(prev == 0 || c->rests[prev].priority <= r->priority, "the queue of a level must be in time priority");
    MUST(index >= SIDES_FALLING || order_price(c, b) == c->levels[level].price_ticks,
         "an order must stand at its price");
    const char *wrong = check_extra(c, slot);
    if (wrong == NULL) wrong = link_check(c, slot);
    if (wrong != NULL) return wrong;
    const int64_t need = lock_for(i, side, order_price(c, b), b->rest_lots, b->maker_fee_ppm, b->taker_fee_ppm);
    MUST(linked_with(c, b) != 0 ||
             (side == SIDE_BUY ? r->lock_units <= need && r->lock_units > 0 : r->lock_units == need),
         "an order's lock must be what it needs");
    return NULL;
}

static const char *check_side(const core *c, uint32_t number, uint32_t index, walked *w) {
    const book_side *s = &c->instruments[number].sides[index];
    const uint8_t side = side_order(index);
    uint32_t better = 0, count = 0;
    for (uint32_t l = s->best; l != 0; better = l, l = c->levels[l].worse, count++) {
        const book_level *level = &c->levels[l];
        int64_t lots = 0, reserve_lots = 0;
        uint32_t orders = 0, prev = 0;
        MUST(level->better == better, "levels must be linked both ways");
        MUST(better == 0 || (side == SIDE_BUY ? level->price_ticks < c->levels[better].price_ticks
                                              : level->price_ticks > c->levels[better].price_ticks),
             "levels must be linked from best to worst");
        for (uint32_t slot = level->head; slot != 0; prev = slot, slot = c->orders[slot].next) {
            const char *wrong = check_order(c, slot, l, prev, number, index);
            if (wrong != NULL) return wrong;
            reserve_lots += reserve_of(c, &c->orders[slot]);
            lots += c->orders[slot].rest_lots - reserve_of(c, &c->orders[slot]);
            orders++;
            w->extras += c->orders[slot].extra != 0;
        }
        MUST(orders > 0 && orders == level->order_count && prev == level->tail, "a level must count its orders");
        MUST(lots == level->quantity_lots && reserve_lots == level->reserve_lots, "a level must add up its lots");
        w->orders += orders;
    }
    MUST(count == s->level_count && s->worst == better, "a side must count its levels");
    w->levels += count;
    return ladder_check(c, s, &w->nodes);
}

/* The best price of a side, displayed or hidden; 0 if it is empty. */
static int64_t best_of(const core *c, const instrument *i, uint8_t side) {
    const uint32_t shown = i->sides[SIDES_DISPLAYED + side - 1].best, hidden = i->sides[SIDES_HIDDEN + side - 1].best;
    const int64_t a = c->levels[shown].price_ticks, b = c->levels[hidden].price_ticks;
    if (shown == 0 || hidden == 0) return shown != 0 ? a : hidden != 0 ? b : 0;
    return (side == SIDE_BUY) == (a > b) ? a : b;
}

static const char *check_unlit(const core *c, uint32_t number, uint8_t side, walked *w) {
    const instrument *i = &c->instruments[number];
    const unlit_list *list = &i->unlit[side - 1];
    uint32_t count = 0, prev = 0, hidden = 0;
    for (uint32_t slot = list->head; slot != 0; prev = slot, slot = c->orders[slot].next, count++) {
        const book_order *b = &c->orders[slot];
        const char *wrong = check_order(c, slot, 0, prev, number, SIDES_COUNT);
        if (wrong != NULL) return wrong;
        MUST(b->side == side && b->level == 0, "an unlit order must be in the list of its side and in no level");
        w->orders++;
        w->extras++;
    }
    MUST(list->tail == prev && list->count == count && count <= UNLIT_ORDERS_MAX, "a list must count its unlit orders");
    for (uint32_t l = i->sides[SIDES_HIDDEN + side - 1].best; l != 0; l = c->levels[l].worse)
        hidden += c->levels[l].order_count;
    MUST(i->unseen_orders[side - 1] == count + hidden, "an instrument must count its hidden and unlit orders");
    return NULL;
}

/* What is found anew from an instrument's own fields, and what its state lets its book be. */
static const char *check_market(const core *c, uint32_t number) {
    const instrument *i = &c->instruments[number];
    const int64_t bid = best_of(c, i, SIDE_BUY), ask = best_of(c, i, SIDE_SELL);
    bool breaker = false;
    for (uint32_t level = 0; level < BREAKER_LEVELS; level++) breaker |= i->breaker_ppm[level] != 0;
    MUST(i->trading_state != TRADING_STATE_OPEN || bid == 0 || ask == 0 || bid < ask,
         "the best bid must be below the best ask while the instrument is open");
    MUST((set_next(&c->dirty, number) == number) == (i->book_update_id != i->checksum_update_id),
         "a book that has changed since its checksum must be known");
    MUST((set_next(&c->timed, number) == number) == (i->auction_ends_ns != 0),
         "an instrument that is to open by time must be known");
    MUST(i->auction_ends_ns == 0 ||
             (state_gathers(i->trading_state) && c->opening_first_ns != 0 && c->opening_first_ns <= i->auction_ends_ns),
         "only an auction may have an end, and no opening may be missed");
    MUST(i->has_breaker == breaker, "a breaker that is set must be known");
    return NULL;
}

static const char *check_books(const core *c) {
    walked w = {0};
    for (uint32_t n = 1; n < c->options.instrument_count_max; n++) {
        for (uint32_t index = 0; index < SIDES_COUNT; index++) {
            const char *wrong = check_side(c, n, index, &w);
            if (wrong != NULL) return wrong;
        }
        for (uint8_t side = SIDE_BUY; side <= SIDE_SELL; side++) {
            const char *wrong = check_unlit(c, n, side, &w);
            if (wrong != NULL) return wrong;
        }
        const char *wrong = check_market(c, n);
        if (wrong != NULL) return wrong;
    }
    MUST(w.orders == c->order_pool.used && w.levels == c->level_pool.used && w.nodes == c->ladder_pool.used &&
             w.extras == c->extra_pool.used,
         "every slot taken from a pool must be in a book");
    return NULL;
}

/* ---- Accounts and money ------------------------------------------------------------------------------------------ */

static const char *check_position_orders(const core *c, uint32_t at, uint32_t *orders) {
    const position *p = &c->positions[at];
    int64_t open[3] = {0};
    uint64_t last_id = 0;
    uint32_t prev = 0;
    for (uint32_t slot = p->first_order; slot != 0; prev = slot, slot = c->rests[slot].next) {
        const book_order *b = &c->orders[slot];
        MUST(b->position == at && c->rests[slot].prev == prev, "an order must be in the list of its position");
        MUST(b->id > last_id, "the orders of a position must be in rising order of their ids");
        last_id = b->id;
        open[b->side] += b->rest_lots;
        ++*orders;
    }
    MUST(p->last_order == prev, "a position must know its last order");
    MUST(open[SIDE_BUY] == p->open_buy_lots && open[SIDE_SELL] == p->open_sell_lots,
         "a position must add up its open lots");
    return NULL;
}

static const char *check_accounts(const core *c) {
    uint32_t total = 0, positions = 0;
    for (uint32_t n = 1; n < c->options.account_count_max; n++) {
        uint32_t orders = 0, rank = 0, last = 0;
        for (uint32_t at = c->accounts[n].first_position; at != 0; last = at, at = c->positions[at].next) {
            MUST(c->positions[at].account == n && c->positions[at].rank == ++rank,
                 "an account's positions must be in order of creation");
            MUST(position_find(c, n, c->positions[at].instrument) == at,
                 "a position must be found by account and instrument");
            const char *wrong = check_position_orders(c, at, &orders);
            if (wrong != NULL) return wrong;
        }
        MUST(c->accounts[n].last_position == last && c->accounts[n].position_count == rank,
             "an account must count its positions");
        MUST(c->accounts[n].open_orders == orders, "an account must count its open orders");
        total += orders;
        positions += rank;
    }
    MUST(total == c->order_pool.used, "every resting order must belong to an account");
    MUST(positions == c->position_pool.used, "every position must belong to an account");
    return NULL;
}

/* What an account's resting orders lock of one balance. */
static int64_t locked_by_orders(const core *c, uint32_t slot) {
    int64_t sum = 0;
    for (uint32_t at = c->accounts[c->balances[slot].account].first_position; at != 0; at = c->positions[at].next) {
        const position *p = &c->positions[at];
        if (p->base_balance != slot && p->quote_balance != slot) continue;
        for (uint32_t order = p->first_order; order != 0; order = c->rests[order].next)
            if ((c->orders[order].side == SIDE_BUY ? p->quote_balance : p->base_balance) == slot)
                sum += c->rests[order].lock_units;
    }
    return sum;
}

static const char *check_money(const core *c) {
    for (uint32_t n = 1; n < c->balance_pool.fresh; n++) {
        const balance *b = &c->balances[n];
        MUST(b->free_units >= c->floors[n], "a free balance must not be below its floor");
        MUST(b->locked_units >= 0, "a locked balance must not be below zero");
        MUST(balance_find(c, b->account, b->asset) == n, "a balance must be found by account and asset");
        MUST(locked_by_orders(c, n) == b->locked_units, "what is locked must be what resting orders lock");
    }
    for (uint32_t a = 1; a < c->options.asset_count_max; a++) {
        __int128 sum = c->assets[a].fees_units;
        if (!c->assets[a].defined) continue;
        __int128 owed = 0;
        for (uint32_t n = 1; n < c->balance_pool.fresh; n++) {
            if (c->balances[n].asset != a) continue;
            sum += (__int128)c->balances[n].free_units + c->balances[n].locked_units;
            owed -= c->floors[n];
        }
        MUST(owed == c->assets[a].owed_units_max, "an asset must add up its floors");
        MUST(c->assets[a].supply_units + owed <= UNITS_MAX && c->assets[a].supply_units >= -UNITS_MAX,
             "deposits - withdrawals + floors must be within UNITS_MAX");
        MUST(c->assets[a].fees_units >= 0, "fees collected must not be below zero");
        MUST(sum == c->assets[a].supply_units,
             "money must be conserved: free + locked + fees = deposits - withdrawals");
    }
    return NULL;
}

static const char *check_trades(const core *c) {
    for (uint64_t number = trades_first_kept(c); number <= c->trade_count; number++) {
        const kept_trade *t = trade_place(c, number);
        MUST(t->digest == trade_digest(t, number), "a kept trade must hold its part of the digest");
        const uint64_t last = c->instruments[t->instrument].trade_id;
        MUST(t->trade_id >= 1 && t->trade_id <= last && last - t->trade_id <= c->trade_count - number,
             "a kept trade must stand where it is looked for");
        MUST(position_find(c, t->buyer, t->instrument) != 0 && position_find(c, t->seller, t->instrument) != 0,
             "who traded must have a position");
    }
    return NULL;
}

static const char *check_nonces(const core *c) {
    for (uint64_t at = c->nonce_first; at < c->nonce_first + c->nonce_count; at++) {
        const nonce_entry *e = &c->nonces[at % c->options.nonce_count_max];
        uint8_t bytes[16];
        memcpy(bytes, &e->low, 8);
        memcpy(bytes + 8, &e->high, 8);
        MUST(nonce_held(c, bytes), "a nonce in the queue must be found");
    }
    return NULL;
}

static const char *check_keys(const core *c) {
    for (uint32_t n = 1; n < c->options.key_count_max; n++) {
        const key_state *k = &c->keys[n];
        if (k->countdown_ns == 0) continue;
        MUST(account_known(c, k->countdown_account), "a countdown must name an account");
        MUST(c->countdown_first_ns != 0 && c->countdown_first_ns <= k->countdown_ns,
             "no countdown must end before the first that is known");
    }
    return NULL;
}

const char *core_check(const core *c) {
    INVARIANT(c->run.stage == RUN_DONE);
    const char *wrong = check_books(c);
    if (wrong == NULL) wrong = check_accounts(c);
    if (wrong == NULL) wrong = check_money(c);
    if (wrong == NULL) wrong = check_trades(c);
    if (wrong == NULL) wrong = check_nonces(c);
    if (wrong == NULL) wrong = check_keys(c);
    if (wrong == NULL) wrong = expiry_check(c);
    if (wrong == NULL) wrong = day_check(c);
    if (wrong == NULL) wrong = waiting_check(c);
    if (wrong == NULL && digest_anew(c) != c->digest) wrong = "the digest kept must be the digest made anew";
    return wrong;
}
