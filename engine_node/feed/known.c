/* What every event says of an instrument or an account, made ready once and forgotten when a command defines it anew.
 *
 * A feed speaks of one core. If another one comes, or this one has gone on without the feed, all is made ready anew.
 */
#include "parts.h"

#include <stdlib.h>

static void forget_market(feed *f, uint32_t number) {
    free(f->markets[number]);
    f->markets[number] = NULL;
}

static void forget_all(feed *f) {
    for (uint32_t i = 0; i < f->instrument_count_max; i++) forget_market(f, i);
    memset(f->owners, 0, f->account_count_max * sizeof *f->owners);
    memset(f->last_price_ticks, 0, f->instrument_count_max * sizeof *f->last_price_ticks);
}

static bool touched_open(touched *t, uint32_t number_max) {
    t->count = 0;
    t->bits = calloc(number_max, sizeof *t->bits);
    t->list = calloc(number_max, sizeof *t->list);
    return t->bits != NULL && t->list != NULL;
}

static void touched_free(touched *t) {
    free(t->bits);
    free(t->list);
    *t = (touched){0};
}

void known_free(feed *f) {
    if (f->markets != NULL)
        for (uint32_t i = 0; i < f->instrument_count_max; i++) forget_market(f, i);
    free(f->markets);
    free(f->owners);
    free(f->last_price_ticks);
    touched_free(&f->assets);
    touched_free(&f->instruments);
    touched_free(&f->accounts);
    free(f->balances.table);
    free(f->balances.list);
    f->balances = (touched_pairs){0};
    f->markets = NULL, f->owners = NULL, f->last_price_ticks = NULL, f->of = NULL;
}

bool known_attach(feed *f, const core *c) {
    if (f->of == c) {
        if (f->sequence != core_sequence(c)) forget_all(f);
        f->sequence = core_sequence(c);
        return !f->failed;
    }
    known_free(f);
    const core_options *o = core_get_options(c);
    f->asset_count_max = o->asset_count_max;
    f->instrument_count_max = o->instrument_count_max;
    f->account_count_max = o->account_count_max;
    f->markets = calloc(o->instrument_count_max, sizeof *f->markets);
    f->owners = calloc(o->account_count_max, sizeof *f->owners);
    f->last_price_ticks = calloc(o->instrument_count_max, sizeof *f->last_price_ticks);
    if (f->markets == NULL || f->owners == NULL || f->last_price_ticks == NULL ||
        !touched_open(&f->assets, o->asset_count_max) || !touched_open(&f->instruments, o->instrument_count_max) ||
        !touched_open(&f->accounts, o->account_count_max))
        f->failed = true;
    f->of = c;
    f->sequence = core_sequence(c);
    return !f->failed;
}

void known_forget(feed *f, const wire_header *closing) {
    if (closing->kind == KIND_ASSET) {
        for (uint32_t i = 0; i < f->instrument_count_max; i++) forget_market(f, i); /* they name their assets */
    } else if (closing->kind == KIND_INSTRUMENT) {
        const uint32_t number = ((const wire_instrument *)closing)->instrument;
        if (number < f->instrument_count_max) forget_market(f, number);
    } else if (closing->kind == KIND_ACCOUNT) {
        const uint32_t number = ((const wire_account *)closing)->account;
        if (number < f->account_count_max) f->owners[number].known = false;
    }
}

static wide power_of_ten(uint32_t exponent) {
    wide v = 1;
    while (exponent-- > 0) v *= 10;
    return v;
}

static const market *market_make(feed *f, uint32_t number) {
    core_instrument_info i;
    core_asset_info base, quote;
    if (!core_instrument(f->of, number, &i)) return NULL;
    if (!core_asset(f->of, i.base_asset, &base) || !core_asset(f->of, i.quote_asset, &quote)) return NULL;
    market *m = calloc(1, sizeof *m);
    if (m == NULL) {
        f->failed = true;
        return NULL;
    }
    *m = (market){.base_asset = i.base_asset,
                  .quote_asset = i.quote_asset,
                  .quote_decimals = quote.decimals,
                  .symbol_bytes = i.name_bytes,
                  .quote_bytes = quote.name_bytes,
                  .quote_units_per_tick_lot = i.quote_units_per_tick_lot,
                  .partition = partition_of(i.name, i.name_bytes, f->options.symbol_partitions),
                  .price = scale_of(i.quote_units_per_tick_lot * power_of_ten(base.decimals),
                                    i.base_units_per_lot * power_of_ten(quote.decimals)),
                  .quantity = scale_of(i.base_units_per_lot, power_of_ten(base.decimals))};
    memcpy(m->symbol, i.name, i.name_bytes);
    memcpy(m->quote, quote.name, quote.name_bytes);
    char *p = PUT(m->named, ",\"symbol\":\"");
    p = put_bytes(p, m->symbol, m->symbol_bytes); /* a name has no character that JSON would have escaped */
    p = PUT(p, "\",\"instrument\":");
    m->named_bytes = (uint32_t)(put_unsigned(p, number) - m->named);
    f->markets[number] = m;
    return m;
}

const market *market_of(feed *f, uint32_t number) {
    if (number >= f->instrument_count_max) return NULL;
    return f->markets[number] != NULL ? f->markets[number] : market_make(f, number);
}

static owner owner_make(feed *f, uint32_t number) {
    core_account_info i;
    owner made = {.known = core_account(f->of, number, &i)};
    if (made.known) made.firm = i.firm;
    char text[20];
    const size_t bytes = (size_t)(put_unsigned(text, made.firm) - text);
    made.partition = partition_of(text, bytes, f->options.firm_partitions);
    return made;
}

owner owner_of(feed *f, uint32_t number) {
    if (number >= f->account_count_max) return owner_make(f, 0);
    if (!f->owners[number].known) f->owners[number] = owner_make(f, number);
    return f->owners[number];
}
