/* What prefixes say of a new order: order_terms and order_link (rules.md 13 to 15), and the extra in which an open
 * order keeps it.
 *
 *   order ── extra ──▶ slot of the extras' pool: place, terms, what an iceberg holds back, the order it is linked with
 *
 * A plain limit order has none, and nothing here is asked for it.
 */
#include "internal.h"

static bool good_till_cancelled_limit(const wire_new_order *o) {
    return o->order_type == ORDER_TYPE_LIMIT && o->time_in_force == TIME_IN_FORCE_GOOD_TILL_CANCELLED;
}

/* How many of the ways to show less than all of it the terms name: at most one makes sense. */
static uint32_t showing_count(const wire_order_terms *t) {
    return (t->display_lots != 0) + ((t->options & TERM_OPTION_HIDDEN) != 0) +
           ((t->options & TERM_OPTION_ALL_OR_NONE) != 0) + (t->peg != PEG_NONE);
}

/* Will an order with these terms be kept in the list of unlit ones? */
bool terms_unlit(const wire_order_terms *t) { return (t->options & TERM_OPTION_ALL_OR_NONE) || t->peg != PEG_NONE; }

/* rules.md 13, "Malformed". Flags and zero bytes are looked at with the group. */
bool terms_well_formed(const wire_new_order *o, const wire_order_terms *t) {
    const uint8_t known = TERM_OPTION_HIDDEN | TERM_OPTION_ALL_OR_NONE | TERM_OPTION_DAY;
    const bool post_only = (o->options & ORDER_OPTION_POST_ONLY) != 0, waits = t->trigger != TRIGGER_NONE,
               day = (t->options & TERM_OPTION_DAY) != 0;
    if (t->trigger > TRIGGER_TRAILING || t->peg > PEG_MIDDLE || (t->options & ~known) != 0) return false;
    if (o->order_type == ORDER_TYPE_MARKET_BY_QUOTE || showing_count(t) > 1) return false;
    if (showing_count(t) > 0 && !good_till_cancelled_limit(o)) return false;
    if (terms_unlit(t) && (post_only || waits || t->minimum_lots != 0)) return false;
    if (o->time_in_force == TIME_IN_FORCE_FILL_OR_KILL && (t->minimum_lots != 0 || waits)) return false;
    if (t->minimum_lots != 0 && (post_only || waits)) return false;
    if (t->expire_ns != 0 && day) return false;
    if ((t->expire_ns != 0 || day) && o->time_in_force != TIME_IN_FORCE_GOOD_TILL_CANCELLED && !waits) return false;
    if (t->trigger_price_ticks != 0 && t->trigger != TRIGGER_STOP && t->trigger != TRIGGER_TAKE_PROFIT) return false;
    return t->offset_ticks == 0 || t->trigger == TRIGGER_TRAILING || t->peg != PEG_NONE;
}

/* rules.md 15, "malformed". terms: NULL without any. */
bool link_well_formed(const wire_new_order *o, const wire_order_terms *terms, const wire_order_link *link) {
    if ((link->order_id == 0) == (link->target_client_order_id == 0)) return false;
    if (link->action == LINK_ACTION_CANCEL_FIRST) return true;
    if (link->action != LINK_ACTION_ONE_CANCELS_OTHER) return false;
    if (terms != NULL && terms_unlit(terms)) return false;
    return good_till_cancelled_limit(o) || (terms != NULL && terms->trigger != TRIGGER_NONE);
}

/* One taker may go through all parts of an iceberg in one command: there must not be any number of them. */
bool parts_bounded(int64_t display_lots, int64_t quantity_lots) {
    return quantity_lots <= display_lots * ICEBERG_PARTS_MAX;
}
static_assert(QUANTITY_LOTS_MAX <= INT64_MAX / ICEBERG_PARTS_MAX, "what an iceberg may have stays within 64 bits");

/* rules.md 13, "terms_invalid" and "expiry_passed". */
uint16_t check_terms(const core *c, const wire_new_order *o, const wire_order_terms *t) {
    if (t->display_lots < 0 || t->display_lots > o->quantity_lots) return CODE_TERMS_INVALID;
    if (t->display_lots > 0 && !parts_bounded(t->display_lots, o->quantity_lots)) return CODE_TERMS_INVALID;
    if (t->minimum_lots < 0 || t->minimum_lots > o->quantity_lots) return CODE_TERMS_INVALID;
    if ((t->trigger == TRIGGER_STOP || t->trigger == TRIGGER_TAKE_PROFIT) &&
        (t->trigger_price_ticks < 1 || t->trigger_price_ticks > PRICE_TICKS_MAX))
        return CODE_TERMS_INVALID;
    if (t->trigger == TRIGGER_TRAILING && t->offset_ticks < 1) return CODE_TERMS_INVALID;
    return t->expire_ns != 0 && t->expire_ns <= c->received_ns ? CODE_EXPIRY_PASSED : CODE_NONE;
}

/* ---- Extras ------------------------------------------------------------------------------------------------------ */

/* Do these terms go on once the order is in? A minimum that is met does not. */
bool terms_need_extra(const wire_order_terms *t) {
    return showing_count(t) > 0 || t->trigger != TRIGGER_NONE || t->expire_ns != 0 || t->options != 0;
}

static enum order_place place_by(const wire_order_terms *t) {
    if (t->trigger != TRIGGER_NONE) return PLACE_WAITING;
    if (terms_unlit(t)) return PLACE_UNLIT;
    return (t->options & TERM_OPTION_HIDDEN) ? PLACE_HIDDEN : PLACE_DISPLAYED;
}

/* An extra for a taker with these terms; its order takes it over when it comes to stand somewhere. terms: NULL for one
 * that has only a link. */
uint32_t extra_take(core *c, const wire_new_order *o, const wire_order_terms *t) {
    const uint32_t extra = pool_take(&c->extra_pool, c->extras, sizeof(order_extra));
    order_extra *x = &c->extras[extra];
    *x = (order_extra){.price_ticks = o->price_ticks};
    if (t == NULL) return extra;
    x->place = (uint8_t)place_by(t);
    x->trigger = t->trigger, x->peg = t->peg, x->options = t->options;
    x->trigger_price_ticks = t->trigger_price_ticks, x->offset_ticks = t->offset_ticks;
    x->display_lots = t->display_lots, x->expire_ns = t->expire_ns;
    if (t->trigger != TRIGGER_NONE) x->order_type = o->order_type, x->time_in_force = o->time_in_force;
    return extra;
}

/* One that says nothing any more goes back. Returns what is left of it: itself, or 0. */
uint32_t extra_trim(core *c, uint32_t extra) {
    const order_extra *x = &c->extras[extra];
    if (x->place != PLACE_DISPLAYED || x->options != 0 || x->display_lots != 0 || x->expire_ns != 0 || x->linked != 0)
        return extra;
    extra_drop(c, extra);
    return 0;
}

void extra_drop(core *c, uint32_t extra) { pool_give(&c->extra_pool, c->extras, sizeof(order_extra), extra); }

/* What an open order's extra adds to the digest (rules.md 12, tag 10). */
uint64_t extra_digest(const core *c, const book_order *b) {
    const order_extra *x = &c->extras[b->extra];
    const uint64_t linked_id = x->linked == 0 ? 0 : c->orders[x->linked].id;
    const uint64_t sum = mix(1) * x->place + mix(2) * x->trigger + mix(3) * (uint64_t)x->trigger_price_ticks +
                         mix(4) * (uint64_t)x->peak_ticks + mix(5) * (uint64_t)(int64_t)x->offset_ticks +
                         mix(6) * x->peg + mix(7) * x->options + mix(8) * (uint64_t)x->display_lots +
                         mix(9) * (uint64_t)x->reserve_lots + mix(10) * x->expire_ns + mix(11) * linked_id +
                         mix(12) * x->order_type + mix(13) * x->time_in_force;
    return entity_key(TAG_TERMS, b->id, 0) * sum;
}
