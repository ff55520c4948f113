/* Whom a taker meets (rules.md 5, "the maker"; 13; 3, step 15), where there is more to meet than the displayed book.
 *
 *   displayed   best level ─▶ first order ┐
 *   hidden      best level ─▶ first order ┼─▶ the best price; at one price displayed before hidden before unlit
 *   unlit       list, ≤ UNLIT_ORDERS_MAX ─┘
 *
 * An unlit order has no level: all-or-none ones are looked at by their size, and a peg is priced for each taker from
 * the best displayed prices as they stood when that taker's matching began. So a change at the touch moves nothing.
 */
#include "internal.h"

/* ---- The list of a side's unlit orders --------------------------------------------------------------------------- */

void unlit_append(core *c, instrument *i, uint32_t slot) {
    book_order *b = &c->orders[slot];
    unlit_list *l = &i->unlit[b->side - 1];
    INVARIANT(l->count < UNLIT_ORDERS_MAX);
    b->level = 0;
    b->next = 0;
    b->prev = l->tail;
    if (l->tail != 0) c->orders[l->tail].next = slot;
    else l->head = slot;
    l->tail = slot;
    l->count++;
}

void unlit_remove(core *c, instrument *i, uint32_t slot) {
    const book_order *b = &c->orders[slot];
    unlit_list *l = &i->unlit[b->side - 1];
    if (b->prev != 0) c->orders[b->prev].next = b->next;
    else l->head = b->next;
    if (b->next != 0) c->orders[b->next].prev = b->prev;
    else l->tail = b->prev;
    l->count--;
}

/* ---- Prices ------------------------------------------------------------------------------------------------------ */

/* Note the best displayed prices for the unlit orders that a taker may meet, or for its own peg. */
void taker_touch(const core *c, const instrument *i, taker *t) {
    t->bid_ticks = i->sides[0].best == 0 ? 0 : c->levels[i->sides[0].best].price_ticks;
    t->ask_ticks = i->sides[1].best == 0 ? 0 : c->levels[i->sides[1].best].price_ticks;
}

/* What a peg makes of these prices; 0 if it has no price now. */
int64_t peg_price(uint8_t side, const order_extra *x, int64_t bid_ticks, int64_t ask_ticks) {
    const bool buy = side == SIDE_BUY;
    const int64_t own = buy ? bid_ticks : ask_ticks, other = buy ? ask_ticks : bid_ticks;
    int64_t price_ticks;
    if ((x->peg != PEG_OTHER_BEST && own == 0) || (x->peg != PEG_OWN_BEST && other == 0)) return 0;
    if (x->peg == PEG_OWN_BEST) price_ticks = own;
    else if (x->peg == PEG_OTHER_BEST) price_ticks = other;
    else price_ticks = (own + other + !buy) / 2; /* down for a buy, up for a sell */
    price_ticks += x->offset_ticks;
    if (buy) {
        if (price_ticks > x->price_ticks) price_ticks = x->price_ticks;
        if (other != 0 && price_ticks > other - 1) price_ticks = other - 1;
    } else {
        if (price_ticks < x->price_ticks) price_ticks = x->price_ticks;
        if (other != 0 && price_ticks < other + 1) price_ticks = other + 1;
    }
    return price_ticks >= 1 && price_ticks <= PRICE_TICKS_MAX ? price_ticks : 0;
}

/* The price of an unlit order for this taker; 0 if it has none. */
static int64_t unlit_price(const order_extra *x, uint8_t side, const taker *t) {
    return x->peg == PEG_NONE ? x->price_ticks : peg_price(side, x, t->bid_ticks, t->ask_ticks);
}

/* Is this price better for a taker of that side? */
static inline bool better_for(uint8_t side, int64_t price_ticks, int64_t than_ticks) {
    return side == SIDE_BUY ? price_ticks < than_ticks : price_ticks > than_ticks;
}

/* ---- The maker --------------------------------------------------------------------------------------------------- */

/* The first maker of all three kinds; `shown` is the first of the displayed ones (slot 0: none). */
maker maker_unseen(const core *c, const instrument *i, const taker *t, maker shown) {
    const uint32_t other = t->side == SIDE_BUY; /* index of the other side */
    maker m = shown;
    const uint32_t hidden = i->sides[SIDES_HIDDEN + other].best;
    if (hidden != 0) {
        const int64_t price_ticks = c->levels[hidden].price_ticks;
        if (crosses(t->side, t->reach_ticks, price_ticks) &&
            (m.slot == 0 || better_for(t->side, price_ticks, m.price_ticks)))
            m = (maker){.slot = c->levels[hidden].head, .price_ticks = price_ticks};
    }
    for (uint32_t slot = i->unlit[other].head; slot != 0; slot = c->orders[slot].next) {
        const book_order *b = &c->orders[slot];
        const order_extra *x = &c->extras[b->extra];
        if ((x->options & TERM_OPTION_ALL_OR_NONE) &&
            (b->rest_lots > t->rest_lots || t->order_type == ORDER_TYPE_MARKET_BY_QUOTE))
            continue;
        const int64_t price_ticks = unlit_price(x, b->side, t);
        if (price_ticks == 0 || !crosses(t->side, t->reach_ticks, price_ticks)) continue;
        if (m.slot == 0 || better_for(t->side, price_ticks, m.price_ticks))
            m = (maker){.slot = slot, .price_ticks = price_ticks};
    }
    return m;
}

/* ---- The walk ---------------------------------------------------------------------------------------------------- */

typedef struct walk {
    const taker *t;
    const instrument *i;
    walk_prices prices;
    int64_t lacking_lots;
    bool own_rests; /* the taker's account has orders on the other side, and its mode minds */
    bool linked;    /* there are linked orders in this instrument */
    bool ended;
    uint32_t shown, hidden; /* levels not walked yet */
    uint32_t unlit_count, unlit_at;
    maker unlit[UNLIT_ORDERS_MAX]; /* best price first */
} walk;

/* So many lots of the other side trade at this price, if the breaker lets them. */
static void walk_count(walk *w, int64_t price_ticks, int64_t lots) {
    if (!walk_trades(w->i, &w->prices, price_ticks)) w->ended = true;
    else w->lacking_lots -= lots < w->lacking_lots ? lots : w->lacking_lots;
}

static void walk_order(const core *c, walk *w, uint32_t slot, int64_t price_ticks) {
    const book_order *b = &c->orders[slot];
    if (w->linked && linked_ahead(c, slot)) return;
    const bool whole = b->extra != 0 && (c->extras[b->extra].options & TERM_OPTION_ALL_OR_NONE);
    if (whole && b->rest_lots > w->lacking_lots) return;
    if (w->own_rests && b->position == w->t->position) {
        w->ended = w->t->self_trade_prevention != SELF_TRADE_PREVENTION_CANCEL_MAKER;
        return;
    }
    walk_count(w, price_ticks, b->rest_lots);
}

/* A level is added up as a whole unless the account itself may rest in it, or a linked order. */
static void walk_level(const core *c, walk *w, uint32_t level) {
    const book_level *l = &c->levels[level];
    if (!w->own_rests && !w->linked) {
        walk_count(w, l->price_ticks, l->quantity_lots + l->reserve_lots);
        return;
    }
    for (uint32_t slot = l->head; slot != 0 && w->lacking_lots > 0 && !w->ended; slot = c->orders[slot].next)
        walk_order(c, w, slot, l->price_ticks);
}

/* The unlit orders that the taker may reach, sorted by price; at one price they stay in the order of their list. */
static void walk_unlit(const core *c, walk *w, const unlit_list *list) {
    for (uint32_t slot = list->head; slot != 0; slot = c->orders[slot].next) {
        const book_order *b = &c->orders[slot];
        const int64_t price_ticks = unlit_price(&c->extras[b->extra], b->side, w->t);
        if (price_ticks == 0 || !crosses(w->t->side, w->t->reach_ticks, price_ticks)) continue;
        uint32_t at = w->unlit_count++;
        for (; at > 0 && better_for(w->t->side, price_ticks, w->unlit[at - 1].price_ticks); at--)
            w->unlit[at] = w->unlit[at - 1];
        w->unlit[at] = (maker){.slot = slot, .price_ticks = price_ticks};
    }
}

/* Walk what is best of what is left: a displayed level, a hidden level or an unlit order. False: nothing is left. */
static bool walk_next(const core *c, walk *w) {
    const uint8_t side = w->t->side;
    uint32_t *from = NULL; /* which of the three */
    int64_t best_ticks = 0;
    uint32_t *const levels[2] = {&w->shown, &w->hidden};
    for (uint32_t k = 0; k < 2; k++) {
        const int64_t price_ticks = c->levels[*levels[k]].price_ticks;
        if (*levels[k] == 0 || !crosses(side, w->t->reach_ticks, price_ticks)) continue;
        if (from == NULL || better_for(side, price_ticks, best_ticks)) from = levels[k], best_ticks = price_ticks;
    }
    if (w->unlit_at < w->unlit_count &&
        (from == NULL || better_for(side, w->unlit[w->unlit_at].price_ticks, best_ticks))) {
        const maker m = w->unlit[w->unlit_at++];
        walk_order(c, w, m.slot, m.price_ticks);
        return true;
    }
    if (from == NULL) return false;
    walk_level(c, w, *from);
    *from = c->levels[*from].worse;
    return true;
}

/* Would so many lots trade at once? */
bool walk_finds(const core *c, const instrument *i, const taker *t, int64_t lots) {
    const uint32_t other = t->side == SIDE_BUY;
    const position *own = t->position == 0 ? NULL : &c->positions[t->position];
    walk w;
    w.t = t;
    w.i = i;
    w.prices = walk_from(i);
    w.lacking_lots = lots;
    w.own_rests = own != NULL && (t->side == SIDE_BUY ? own->open_sell_lots : own->open_buy_lots) > 0 &&
                  t->self_trade_prevention != SELF_TRADE_PREVENTION_NONE;
    w.linked = i->linked_pairs != 0;
    w.ended = false;
    w.shown = i->sides[SIDES_DISPLAYED + other].best;
    w.hidden = i->sides[SIDES_HIDDEN + other].best;
    w.unlit_count = w.unlit_at = 0;
    walk_unlit(c, &w, &i->unlit[other]);
    while (w.lacking_lots > 0 && !w.ended && walk_next(c, &w)) continue;
    return w.lacking_lots == 0;
}
