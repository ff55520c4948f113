/* Questions: copies of what a core holds, for replicas, ladders and snapshots of books. None changes anything. */
#include "internal.h"

uint64_t core_sequence(const core *c) { return c->sequence; }
uint64_t core_received_ns(const core *c) { return c->received_ns; }
uint64_t core_term(const core *c) { return c->term; }
uint64_t core_digest(const core *c) { return c->digest; }
const core_options *core_get_options(const core *c) { return &c->options; }
bool core_everything_halted(const core *c) { return c->everything_halted; }

bool core_asset(const core *c, uint32_t number, core_asset_info *out) {
    if (!asset_known(c, number)) return false;
    const asset *a = &c->assets[number];
    *out = (core_asset_info){.decimals = a->decimals,
                             .name_bytes = a->name_bytes,
                             .supply_units = a->supply_units,
                             .fees_units = a->fees_units};
    memcpy(out->name, a->name, sizeof out->name);
    return true;
}

bool core_instrument(const core *c, uint32_t number, core_instrument_info *out) {
    if (!instrument_known(c, number)) return false;
    const instrument *i = &c->instruments[number];
    *out = (core_instrument_info){.base_asset = i->base_asset,
                                  .quote_asset = i->quote_asset,
                                  .maker_fee_ppm = i->maker_fee_ppm,
                                  .taker_fee_ppm = i->taker_fee_ppm,
                                  .trading_state = i->trading_state,
                                  .name_bytes = i->name_bytes,
                                  .base_units_per_lot = i->base_units_per_lot,
                                  .quote_units_per_tick_lot = i->quote_units_per_tick_lot,
                                  .collar_ppm = i->collar_ppm,
                                  .quantity_lots_min = i->quantity_lots_min,
                                  .quantity_lots_max = i->quantity_lots_max,
                                  .notional_units_min = i->notional_units_min,
                                  .reference_price_ticks = i->reference_price_ticks,
                                  .trade_id = i->trade_id,
                                  .book_update_id = i->book_update_id,
                                  .level3_id = i->level3_id,
                                  .top_id = i->top_id,
                                  .static_price_ticks = i->static_price_ticks,
                                  .auction_ends_ns = i->auction_ends_ns,
                                  .bid_level_count = i->sides[0].level_count,
                                  .ask_level_count = i->sides[1].level_count};
    memcpy(out->breaker_ppm, i->breaker_ppm, sizeof out->breaker_ppm);
    memcpy(out->breaker_ms, i->breaker_ms, sizeof out->breaker_ms);
    memcpy(out->name, i->name, sizeof out->name);
    return true;
}

bool core_account(const core *c, uint32_t number, core_account_info *out) {
    if (!account_known(c, number)) return false;
    const account *a = &c->accounts[number];
    *out = (core_account_info){.firm = a->firm,
                               .halted = a->halted,
                               .open_orders = a->open_orders,
                               .open_orders_max = a->open_orders_max,
                               .fee_tier = a->fee_tier,
                               .order_rate_max = a->order_rate_max,
                               .order_rate_window_ms = a->order_rate_window_ms,
                               .notional_units_max = a->notional_units_max,
                               .position_lots_max = a->position_lots_max,
                               .quantity_lots_max = a->quantity_lots_max};
    return true;
}

bool core_key(const core *c, uint32_t number, core_key_info *out) {
    if (number == 0 || number >= c->options.key_count_max) return false;
    const key_state *k = &c->keys[number];
    *out = (core_key_info){.last_client_sequence = k->last_client_sequence,
                           .last_report_number = k->last_report_number,
                           .session = k->session,
                           .account = k->account,
                           .live = k->live,
                           .options = k->options,
                           .countdown_ns = k->countdown_ns,
                           .countdown_account = k->countdown_account};
    return true;
}

static core_order_info order_info(const core *c, uint32_t slot) {
    const book_order *b = &c->orders[slot];
    const order_rest *r = &c->rests[slot];
    const position *p = &c->positions[b->position];
    core_order_info info = {.order_id = b->id,
                            .client_order_id = b->client_order_id,
                            .priority = r->priority,
                            .account = p->account,
                            .instrument = p->instrument,
                            .key = b->key,
                            .side = b->side,
                            .options = b->options,
                            .self_trade_prevention = b->self_trade_prevention,
                            .price_ticks = order_price(c, b),
                            .rest_lots = b->rest_lots,
                            .filled_lots = b->filled_lots,
                            .lock_units = r->lock_units,
                            .order_type = ORDER_TYPE_LIMIT,
                            .time_in_force = TIME_IN_FORCE_GOOD_TILL_CANCELLED};
    if (b->extra == 0) return info;
    const order_extra *x = &c->extras[b->extra];
    info.place = x->place, info.trigger = x->trigger, info.peg = x->peg, info.term_options = x->options;
    info.offset_ticks = x->offset_ticks, info.trigger_price_ticks = x->trigger_price_ticks;
    info.display_lots = x->display_lots, info.reserve_lots = x->reserve_lots, info.expire_ns = x->expire_ns;
    info.linked_order_id = x->linked == 0 ? 0 : c->orders[x->linked].id;
    if (x->place == PLACE_WAITING) info.order_type = x->order_type, info.time_in_force = x->time_in_force;
    return info;
}

bool core_order(const core *c, uint64_t order_id, core_order_info *out) {
    const uint32_t slot = order_find(c, order_id);
    if (slot == 0) return false;
    *out = order_info(c, slot);
    return true;
}

bool core_balance(const core *c, uint32_t account_number, uint32_t asset_number, int64_t *free_units,
                  int64_t *locked_units) {
    const uint32_t slot = balance_find(c, account_number, asset_number);
    if (slot == 0) return false;
    *free_units = c->balances[slot].free_units;
    *locked_units = c->balances[slot].locked_units;
    return true;
}

int64_t core_floor(const core *c, uint32_t account_number, uint32_t asset_number) {
    return c->floors[balance_find(c, account_number, asset_number)];
}

bool core_fee_tier(const core *c, uint32_t number, uint32_t tier, core_fee_tier_info *out) {
    if (!instrument_known(c, number) || tier < 1 || tier > FEE_TIER_MAX) return false;
    const fee_tier *t = &c->rate_tables[number].tiers[tier];
    if (!t->set) return false;
    *out = (core_fee_tier_info){.maker_fee_ppm = t->maker_fee_ppm, .taker_fee_ppm = t->taker_fee_ppm};
    return true;
}

bool core_price_step(const core *c, uint32_t number, uint32_t row, core_price_step_info *out) {
    if (!instrument_known(c, number) || row >= c->instruments[number].price_step_count) return false;
    const price_step *s = &c->rate_tables[number].steps[row];
    *out = (core_price_step_info){
        .from_price_ticks = s->from_price_ticks, .tick_multiple = s->tick_multiple, .lot_multiple = s->lot_multiple};
    return true;
}

uint64_t core_trade_count(const core *c) { return c->trade_count; }

bool core_trade(const core *c, uint32_t number, uint64_t trade_id, core_trade_info *out) {
    if (!instrument_known(c, number)) return false;
    const uint64_t found = trade_find(c, number, trade_id);
    if (found == 0) return false;
    const kept_trade *t = trade_place(c, found);
    *out = (core_trade_info){.number = found,
                             .buyer = t->buyer,
                             .seller = t->seller,
                             .price_ticks = t->price_ticks,
                             .quantity_lots = t->quantity_lots,
                             .buyer_fee_units = t->buyer_fee_units,
                             .seller_fee_units = t->seller_fee_units,
                             .busted = t->busted != 0};
    return true;
}

bool core_position(const core *c, uint32_t account_number, uint32_t instrument_number, int64_t *position_lots,
                   int64_t *open_buy_lots, int64_t *open_sell_lots) {
    const uint32_t slot = position_find(c, account_number, instrument_number);
    if (slot == 0) return false;
    *position_lots = c->positions[slot].position_lots;
    *open_buy_lots = c->positions[slot].open_buy_lots;
    *open_sell_lots = c->positions[slot].open_sell_lots;
    return true;
}

uint32_t core_levels(const core *c, uint32_t number, uint8_t side, core_level_info *out, uint32_t room) {
    if (!instrument_known(c, number) || side < SIDE_BUY || side > SIDE_SELL) return 0;
    uint32_t count = 0;
    for (uint32_t l = c->instruments[number].sides[side - 1].best; l != 0 && count < room; l = c->levels[l].worse)
        out[count++] = (core_level_info){.price_ticks = c->levels[l].price_ticks,
                                         .quantity_lots = c->levels[l].quantity_lots,
                                         .order_count = c->levels[l].order_count};
    return count;
}

uint32_t core_book_orders(const core *c, uint32_t number, uint8_t side, uint32_t skip, core_order_info *out,
                          uint32_t room) {
    if (!instrument_known(c, number) || side < SIDE_BUY || side > SIDE_SELL) return 0;
    uint32_t count = 0, seen = 0;
    for (uint32_t l = c->instruments[number].sides[side - 1].best; l != 0 && count < room; l = c->levels[l].worse) {
        if (seen + c->levels[l].order_count <= skip) {
            seen += c->levels[l].order_count;
            continue;
        }
        for (uint32_t slot = c->levels[l].head; slot != 0 && count < room; slot = c->orders[slot].next)
            if (seen++ >= skip) out[count++] = order_info(c, slot);
    }
    return count;
}

uint32_t core_unseen_orders(const core *c, uint32_t number, uint8_t side, uint32_t skip, core_order_info *out,
                            uint32_t room) {
    if (!instrument_known(c, number) || side < SIDE_BUY || side > SIDE_SELL) return 0;
    const instrument *i = &c->instruments[number];
    uint32_t count = 0, seen = 0;
    for (uint32_t l = i->sides[SIDES_HIDDEN + side - 1].best; l != 0 && count < room; l = c->levels[l].worse)
        for (uint32_t slot = c->levels[l].head; slot != 0 && count < room; slot = c->orders[slot].next)
            if (seen++ >= skip) out[count++] = order_info(c, slot);
    for (uint32_t slot = i->unlit[side - 1].head; slot != 0 && count < room; slot = c->orders[slot].next)
        if (seen++ >= skip) out[count++] = order_info(c, slot);
    return count;
}

uint32_t core_account_orders(const core *c, uint32_t number, uint32_t skip, core_order_info *out, uint32_t room) {
    if (!account_known(c, number)) return 0;
    uint32_t count = 0, seen = 0;
    for (uint32_t p = c->accounts[number].first_position; p != 0; p = c->positions[p].next)
        for (uint32_t slot = c->positions[p].first_order; slot != 0 && count < room; slot = c->rests[slot].next)
            if (seen++ >= skip) out[count++] = order_info(c, slot);
    return count;
}

const wire_report *core_reports(const core *c, uint32_t key, uint64_t from_number, uint32_t *count) {
    *count = 0;
    const uint64_t kept = c->options.reports_kept;
    if (key >= c->options.key_count_max || kept == 0) return NULL;
    const uint64_t last = c->keys[key].last_report_number;
    if (from_number < 1 || from_number > last || from_number + kept <= last) return NULL;
    const uint64_t place = from_number & (kept - 1), to_end = kept - place, newer = last - from_number + 1;
    const wire_report *first = &c->rings[(size_t)key * kept + place];
    if (first->report_number != from_number) return NULL; /* not kept when this state was loaded */
    *count = (uint32_t)(newer < to_end ? newer : to_end);
    return first;
}

const wire_report *core_report(const core *c, uint32_t key, uint64_t report_number) {
    uint32_t count;
    return core_reports(c, key, report_number, &count);
}

bool core_nonce_held(const core *c, const uint8_t nonce[16]) { return nonce_held(c, nonce); }

bool core_nonce_room(const core *c, uint64_t now_ns) { return nonce_has_room(c, now_ns); }
