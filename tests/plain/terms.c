/* Sections 13, 15 and 19: what may be said of an order beside its price and quantity. */
#include "state.h"

/* `o` has what the new order and its terms say. */
bool plain_terms_malformed(const order *o, const wire_order_terms *w) {
    const bool limit_gtc = can_rest(o), waiting = waits(o);
    const bool post_only = (o->options & ORDER_OPTION_POST_ONLY) != 0, day = (w->options & TERM_OPTION_DAY) != 0;
    if (w->trigger > TRIGGER_TRAILING || w->peg > PEG_MIDDLE) return true;
    if (w->options > (TERM_OPTION_HIDDEN | TERM_OPTION_ALL_OR_NONE | TERM_OPTION_DAY)) return true;
    if (o->type == ORDER_TYPE_MARKET_BY_QUOTE) return true;
    const int shapes = (w->display_lots != 0) + is_hidden(o) + is_all_or_none(o) + (w->peg != PEG_NONE);
    if (shapes > 1 || (shapes == 1 && !limit_gtc)) return true;
    if (is_unlit(o) && (post_only || waiting || w->minimum_lots != 0)) return true;
    if (w->minimum_lots != 0 && (o->time_in_force == TIME_IN_FORCE_FILL_OR_KILL || post_only || waiting)) return true;
    if (waiting && o->time_in_force == TIME_IN_FORCE_FILL_OR_KILL) return true;
    if (w->expire_ns != 0 && day) return true;
    if ((w->expire_ns != 0 || day) && o->time_in_force != TIME_IN_FORCE_GOOD_TILL_CANCELLED && !waiting) return true;
    if (w->trigger_price_ticks != 0 && w->trigger != TRIGGER_STOP && w->trigger != TRIGGER_TAKE_PROFIT) return true;
    return w->offset_ticks != 0 && w->trigger != TRIGGER_TRAILING && w->peg == PEG_NONE;
}

bool plain_link_malformed(const order *o, const wire_order_link *w) {
    if ((w->order_id > 0) == (w->target_client_order_id > 0)) return true;
    if (w->action != LINK_ACTION_ONE_CANCELS_OTHER && w->action != LINK_ACTION_CANCEL_FIRST) return true;
    return w->action == LINK_ACTION_ONE_CANCELS_OTHER && ((!can_rest(o) && !waits(o)) || is_unlit(o));
}

/* The end of step 5. */
uint16_t plain_check_terms(const order *o, uint64_t received_ns) {
    if (o->display < 0 || o->minimum < 0) return CODE_TERMS_INVALID;
    if (o->display > o->rest || o->minimum > o->rest) return CODE_TERMS_INVALID;
    if (o->display > 0 && o->rest > o->display * ICEBERG_PARTS_MAX) return CODE_TERMS_INVALID;
    if ((o->trigger == TRIGGER_STOP || o->trigger == TRIGGER_TAKE_PROFIT) &&
        !between(1, o->trigger_price, PRICE_TICKS_MAX))
        return CODE_TERMS_INVALID;
    if (o->trigger == TRIGGER_TRAILING && o->offset < 1) return CODE_TERMS_INVALID;
    if (o->expire_ns > 0 && o->expire_ns <= received_ns) return CODE_EXPIRY_PASSED;
    return CODE_NONE;
}

/* The row that rules at a price; NULL: there is none. */
static const price_step *step_at(const instrument *in, int64_t price) {
    const price_step *found = NULL;
    for (int s = 0; s < PRICE_STEP_COUNT_MAX; s++)
        if (in->steps[s].tick > 0 && in->steps[s].from <= price) found = &in->steps[s];
    return found;
}

bool plain_on_tick(const instrument *in, int64_t price) {
    const price_step *step = step_at(in, price);
    return step == NULL || price % step->tick == 0;
}

bool plain_on_lot(const instrument *in, int64_t price, int64_t lots) {
    const price_step *step = step_at(in, price);
    return step == NULL || lots % step->lot == 0;
}

/* The price of a pegged order, made from the best displayed prices (0: none there); 0 if it has none. */
static int64_t peg_price(const order *o, int64_t bid, int64_t ask) {
    const bool buy = o->side == SIDE_BUY;
    wide price = o->peg == PEG_OWN_BEST ? (buy ? bid : ask) : (buy ? ask : bid);
    if (o->peg == PEG_MIDDLE) {
        if (bid == 0 || ask == 0) return 0;
        price = buy ? plain_floor_div((wide)bid + ask, 2) : plain_ceil_div((wide)bid + ask, 2);
    }
    if (price == 0) return 0;
    price += o->offset;
    if (buy) {
        price = plain_least(price, o->price);
        if (ask > 0) price = plain_least(price, ask - 1);
    } else {
        price = plain_most(price, o->price);
        if (bid > 0) price = plain_most(price, bid + 1);
    }
    return price < 1 || price > PRICE_TICKS_MAX ? 0 : (int64_t)price;
}

int64_t plain_made_price(const order *o, int64_t bid, int64_t ask) {
    return o->peg == PEG_NONE ? o->price : peg_price(o, bid, ask);
}
