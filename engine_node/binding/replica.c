/* Core and JournalReader as Python types: what every replica is made of.
 *
 *   JournalReader.next() ── bytes of records ──▶ Core.apply() ── bytes of events ──▶ whoever asked
 *
 * Ownership: a Core owns its pages; a JournalReader owns its mapping; the bytes they return are Python's.
 */
#include "binding.h"

#include <sys/random.h>

enum { EVENT_ROOM = 1024 }; /* events of one chunk, at most */

typedef struct core_object {
    PyObject_HEAD core *c;
    void *memory;
    size_t memory_bytes;
    wire_report *events; /* EVENT_ROOM */
} core_object;

/* ---- Core -------------------------------------------------------------------------------------------------------- */

static int core_object_open(core_object *self, const core_options *options) {
    self->memory_bytes = core_bytes(options);
    if (self->memory_bytes == 0) {
        raise_core(CORE_E_OPTIONS, NULL);
        return -1;
    }
    self->memory = core_memory_map(self->memory_bytes);
    self->events = PyMem_RawCalloc(EVENT_ROOM, sizeof(wire_report));
    if (self->memory == NULL || self->events == NULL) {
        if (!PyErr_Occurred()) PyErr_NoMemory();
        return -1;
    }
    core_options seeded = *options; /* a journal may be of clients that choose their numbers with ill will */
    if (getrandom(&seeded.hash_seed, sizeof seeded.hash_seed, 0) != (ssize_t)sizeof seeded.hash_seed) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    const core_status status = core_open(self->memory, self->memory_bytes, &seeded, &self->c);
    if (status == CORE_OK) return 0;
    raise_core(status, NULL);
    return -1;
}

static PyObject *core_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    if (PyTuple_GET_SIZE(args) != 0) {
        PyErr_SetString(PyExc_TypeError, "Core takes keyword arguments only");
        return NULL;
    }
    core_options options = core_options_default();
    if (core_options_from_dict(kwargs, &options) < 0) return NULL;
    core_object *self = (core_object *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    if (core_object_open(self, &options) == 0) return (PyObject *)self;
    Py_DECREF(self);
    return NULL;
}

static void core_dealloc(core_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    core_memory_unmap(self->memory, self->memory_bytes);
    PyMem_RawFree(self->events);
    type->tp_free(self);
    Py_DECREF(type);
}

/* A growing list of bytes: what apply and save return. */
typedef struct growing {
    char *at;
    size_t bytes, room;
} growing;

static bool grow(void *to, const void *data, size_t bytes) {
    growing *g = to;
    if (g->bytes + bytes > g->room) {
        const size_t room = (g->bytes + bytes) * 2;
        char *moved = PyMem_RawRealloc(g->at, room);
        if (moved == NULL) return false;
        g->at = moved;
        g->room = room;
    }
    memcpy(g->at + g->bytes, data, bytes);
    g->bytes += bytes;
    return true;
}

/* Apply every whole group of records; the core hands out its events in chunks of `room`, all of them go to *events. */
static core_status apply_groups(core_object *self, const char *at, size_t count, uint32_t room, growing *events,
                                bool *no_memory) {
    wire_record group[CORE_GROUP_MAX];
    while (count > 0) {
        const uint32_t look = count < CORE_GROUP_MAX ? (uint32_t)count : CORE_GROUP_MAX;
        memcpy(group, at, look * sizeof *group);
        const uint32_t size = core_group(group, look);
        if (size == 0) return CORE_E_RECORD;
        if ((uintptr_t)at % _Alignof(wire_record) == 0)
            core_look_ahead(self->c, (const wire_record *)at, count < 64 ? (uint32_t)count : 64);
        core_events out = {.events = self->events, .room = room};
        core_status status = core_apply(self->c, group, size, &out);
        for (;;) {
            if (out.count > 0 && !grow(events, out.events, out.count * sizeof(wire_report))) *no_memory = true;
            if (status != CORE_MORE) break;
            status = core_next(self->c, &out);
        }
        if (status != CORE_OK) return status;
        at += size * sizeof *group;
        count -= size;
    }
    return CORE_OK;
}

static PyObject *core_py_apply(core_object *self, PyObject *args) {
    Py_buffer records;
    unsigned room = EVENT_ROOM;
    if (!PyArg_ParseTuple(args, "y*|I", &records, &room)) return NULL;
    if (room < CORE_EVENTS_CHUNK_MIN || room > EVENT_ROOM) {
        PyErr_Format(PyExc_ValueError, "a chunk must hold %u to %d events, not %u", CORE_EVENTS_CHUNK_MIN, EVENT_ROOM,
                     room);
        PyBuffer_Release(&records);
        return NULL;
    }
    if (records.len % RECORD_BYTES != 0) {
        PyErr_Format(PyExc_ValueError, "records must be a multiple of %d bytes, were %zd", RECORD_BYTES, records.len);
        PyBuffer_Release(&records);
        return NULL;
    }
    growing events = {0};
    bool no_memory = false;
    const core_status status =
        apply_groups(self, records.buf, (size_t)records.len / RECORD_BYTES, room, &events, &no_memory);
    PyBuffer_Release(&records);
    PyObject *result = NULL;
    if (status != CORE_OK) raise_core(status, self->c);
    else if (no_memory) PyErr_NoMemory();
    else result = PyBytes_FromStringAndSize(events.at, (Py_ssize_t)events.bytes);
    PyMem_RawFree(events.at);
    return result;
}

static PyObject *core_py_group_bytes(core_object *self, PyObject *argument) {
    (void)self;
    Py_buffer records;
    if (PyObject_GetBuffer(argument, &records, PyBUF_SIMPLE) < 0) return NULL;
    size_t count = (size_t)records.len / RECORD_BYTES, whole = 0;
    wire_record group[CORE_GROUP_MAX];
    for (;;) {
        const uint32_t look = count - whole < CORE_GROUP_MAX ? (uint32_t)(count - whole) : CORE_GROUP_MAX;
        memcpy(group, (char *)records.buf + whole * RECORD_BYTES, look * sizeof *group);
        const uint32_t size = core_group(group, look);
        if (size == 0) break;
        whole += size;
    }
    PyBuffer_Release(&records);
    return PyLong_FromSize_t(whole * RECORD_BYTES);
}

static PyObject *core_py_sequence(core_object *self, PyObject *none) {
    (void)none;
    return PyLong_FromUnsignedLongLong(core_sequence(self->c));
}
static PyObject *core_py_received_ns(core_object *self, PyObject *none) {
    (void)none;
    return PyLong_FromUnsignedLongLong(core_received_ns(self->c));
}
static PyObject *core_py_term(core_object *self, PyObject *none) {
    (void)none;
    return PyLong_FromUnsignedLongLong(core_term(self->c));
}
static PyObject *core_py_digest(core_object *self, PyObject *none) {
    (void)none;
    return PyLong_FromUnsignedLongLong(core_digest(self->c));
}
static PyObject *core_py_halted(core_object *self, PyObject *none) {
    (void)none;
    return PyBool_FromLong(core_everything_halted(self->c));
}
static PyObject *core_py_options(core_object *self, PyObject *none) {
    (void)none;
    return core_options_to_dict(core_get_options(self->c));
}

static PyObject *core_py_check(core_object *self, PyObject *none) {
    (void)none;
    const char *wrong = core_check(self->c);
    if (wrong == NULL) Py_RETURN_NONE;
    return PyUnicode_FromString(wrong);
}

static PyObject *core_py_asset(core_object *self, PyObject *args) {
    unsigned int number;
    core_asset_info i;
    if (!PyArg_ParseTuple(args, "I:asset", &number)) return NULL;
    if (!core_asset(self->c, number, &i)) Py_RETURN_NONE;
    return Py_BuildValue("{sI ss# sI sL sL}", "asset", number, "name", i.name, (Py_ssize_t)i.name_bytes, "decimals",
                         (unsigned)i.decimals, "supply_units", (long long)i.supply_units, "fees_units",
                         (long long)i.fees_units);
}

static PyObject *core_py_instrument(core_object *self, PyObject *args) {
    unsigned int number;
    core_instrument_info i;
    if (!PyArg_ParseTuple(args, "I:instrument", &number)) return NULL;
    if (!core_instrument(self->c, number, &i)) Py_RETURN_NONE;
    return Py_BuildValue(
        "{sI ss# sI sI si si sI sK sK sI sL sL sL sL sK sK sK sK sI sI sK sL sI sI sI sI sI sI sI sI}", "instrument",
        number, "name", i.name, (Py_ssize_t)i.name_bytes, "base_asset", i.base_asset, "quote_asset", i.quote_asset,
        "maker_fee_ppm", i.maker_fee_ppm, "taker_fee_ppm", i.taker_fee_ppm, "trading_state", (unsigned)i.trading_state,
        "base_units_per_lot", (unsigned long long)i.base_units_per_lot, "quote_units_per_tick_lot",
        (unsigned long long)i.quote_units_per_tick_lot, "collar_ppm", i.collar_ppm, "quantity_lots_min",
        (long long)i.quantity_lots_min, "quantity_lots_max", (long long)i.quantity_lots_max, "notional_units_min",
        (long long)i.notional_units_min, "reference_price_ticks", (long long)i.reference_price_ticks, "trade_id",
        (unsigned long long)i.trade_id, "book_update_id", (unsigned long long)i.book_update_id, "level3_id",
        (unsigned long long)i.level3_id, "top_id", (unsigned long long)i.top_id, "bid_level_count", i.bid_level_count,
        "ask_level_count", i.ask_level_count, "auction_ends_ns", (unsigned long long)i.auction_ends_ns,
        "static_price_ticks", (long long)i.static_price_ticks, "band_ppm", i.breaker_ppm[0], "band_ms", i.breaker_ms[0],
        "level1_ppm", i.breaker_ppm[1], "level1_ms", i.breaker_ms[1], "level2_ppm", i.breaker_ppm[2], "level2_ms",
        i.breaker_ms[2], "level3_ppm", i.breaker_ppm[3], "level3_ms", i.breaker_ms[3]);
}

static PyObject *core_py_account(core_object *self, PyObject *args) {
    unsigned int number;
    core_account_info i;
    if (!PyArg_ParseTuple(args, "I:account", &number)) return NULL;
    if (!core_account(self->c, number, &i)) Py_RETURN_NONE;
    return Py_BuildValue("{sI sI si sI sI sI sI sL sL sL sI}", "account", number, "firm", i.firm, "halted",
                         (int)i.halted, "open_orders", i.open_orders, "open_orders_max", i.open_orders_max,
                         "order_rate_max", i.order_rate_max, "order_rate_window_ms", i.order_rate_window_ms,
                         "notional_units_max", (long long)i.notional_units_max, "position_lots_max",
                         (long long)i.position_lots_max, "quantity_lots_max", (long long)i.quantity_lots_max,
                         "fee_tier", (unsigned)i.fee_tier);
}

static PyObject *core_py_key(core_object *self, PyObject *args) {
    unsigned int number;
    core_key_info i;
    if (!PyArg_ParseTuple(args, "I:key", &number)) return NULL;
    if (!core_key(self->c, number, &i)) Py_RETURN_NONE;
    return Py_BuildValue("{sI sK sK sI sI si sI sK sI}", "key", number, "last_client_sequence",
                         (unsigned long long)i.last_client_sequence, "last_report_number",
                         (unsigned long long)i.last_report_number, "session", i.session, "account", i.account, "live",
                         (int)i.live, "options", (unsigned)i.options, "countdown_ns",
                         (unsigned long long)i.countdown_ns, "countdown_account", i.countdown_account);
}

static PyObject *order_dict(const core_order_info *i) {
    return Py_BuildValue(
        "{sK sK sK sI sI sI sI sI sI sL sL sL sL sI sI sI sI sI sI si sL sL sL sK sK}", "order_id",
        (unsigned long long)i->order_id, "client_order_id", (unsigned long long)i->client_order_id, "priority",
        (unsigned long long)i->priority, "account", i->account, "instrument", i->instrument, "key", (unsigned)i->key,
        "side", (unsigned)i->side, "options", (unsigned)i->options, "self_trade_prevention",
        (unsigned)i->self_trade_prevention, "price_ticks", (long long)i->price_ticks, "rest_lots",
        (long long)i->rest_lots, "filled_lots", (long long)i->filled_lots, "lock_units", (long long)i->lock_units,
        "order_type", (unsigned)i->order_type, "time_in_force", (unsigned)i->time_in_force, "place", (unsigned)i->place,
        "trigger", (unsigned)i->trigger, "peg", (unsigned)i->peg, "term_options", (unsigned)i->term_options,
        "offset_ticks", (int)i->offset_ticks, "trigger_price_ticks", (long long)i->trigger_price_ticks, "display_lots",
        (long long)i->display_lots, "reserve_lots", (long long)i->reserve_lots, "expire_ns",
        (unsigned long long)i->expire_ns, "linked_order_id", (unsigned long long)i->linked_order_id);
}

static PyObject *core_py_order(core_object *self, PyObject *args) {
    unsigned long long order_id;
    core_order_info i;
    if (!PyArg_ParseTuple(args, "K:order", &order_id)) return NULL;
    if (!core_order(self->c, order_id, &i)) Py_RETURN_NONE;
    return order_dict(&i);
}

static PyObject *core_py_balance(core_object *self, PyObject *args) {
    unsigned int account_number, asset_number;
    int64_t free_units, locked_units;
    if (!PyArg_ParseTuple(args, "II:balance", &account_number, &asset_number)) return NULL;
    if (!core_balance(self->c, account_number, asset_number, &free_units, &locked_units)) Py_RETURN_NONE;
    return Py_BuildValue("(LL)", (long long)free_units, (long long)locked_units);
}

static PyObject *core_py_floor(core_object *self, PyObject *args) {
    unsigned int account_number, asset_number;
    if (!PyArg_ParseTuple(args, "II:floor", &account_number, &asset_number)) return NULL;
    return PyLong_FromLongLong(core_floor(self->c, account_number, asset_number));
}

static PyObject *core_py_fee_tier(core_object *self, PyObject *args) {
    unsigned int number, tier;
    core_fee_tier_info i;
    if (!PyArg_ParseTuple(args, "II:fee_tier", &number, &tier)) return NULL;
    if (!core_fee_tier(self->c, number, tier, &i)) Py_RETURN_NONE;
    return Py_BuildValue("(ii)", i.maker_fee_ppm, i.taker_fee_ppm);
}

static PyObject *core_py_price_steps(core_object *self, PyObject *args) {
    unsigned int number;
    core_price_step_info i;
    if (!PyArg_ParseTuple(args, "I:price_steps", &number)) return NULL;
    PyObject *list = PyList_New(0);
    for (uint32_t row = 0; list != NULL && core_price_step(self->c, number, row, &i); row++) {
        PyObject *step = Py_BuildValue("(LLL)", (long long)i.from_price_ticks, (long long)i.tick_multiple,
                                       (long long)i.lot_multiple);
        if (step == NULL || PyList_Append(list, step) < 0) Py_CLEAR(list);
        Py_XDECREF(step);
    }
    return list;
}

static PyObject *core_py_trade(core_object *self, PyObject *args) {
    unsigned int number;
    unsigned long long trade_id;
    core_trade_info i;
    if (!PyArg_ParseTuple(args, "IK:trade", &number, &trade_id)) return NULL;
    if (!core_trade(self->c, number, trade_id, &i)) Py_RETURN_NONE;
    return Py_BuildValue("{sI sK sK sI sI sL sL sL sL si}", "instrument", number, "trade_id", trade_id, "number",
                         (unsigned long long)i.number, "buyer", i.buyer, "seller", i.seller, "price_ticks",
                         (long long)i.price_ticks, "quantity_lots", (long long)i.quantity_lots, "buyer_fee_units",
                         (long long)i.buyer_fee_units, "seller_fee_units", (long long)i.seller_fee_units, "busted",
                         (int)i.busted);
}

static PyObject *core_py_trade_count(core_object *self, PyObject *none) {
    (void)none;
    return PyLong_FromUnsignedLongLong(core_trade_count(self->c));
}

static PyObject *core_py_position(core_object *self, PyObject *args) {
    unsigned int account_number, instrument_number;
    int64_t lots, open_buy, open_sell;
    if (!PyArg_ParseTuple(args, "II:position", &account_number, &instrument_number)) return NULL;
    if (!core_position(self->c, account_number, instrument_number, &lots, &open_buy, &open_sell)) Py_RETURN_NONE;
    return Py_BuildValue("(LLL)", (long long)lots, (long long)open_buy, (long long)open_sell);
}

static PyObject *core_py_levels(core_object *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"instrument", "side", "room", NULL};
    unsigned int number, side, room = 50;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "II|I:levels", names, &number, &side, &room)) return NULL;
    if (room > 1000000) room = 1000000;
    core_level_info *levels = PyMem_RawCalloc(room ? room : 1, sizeof *levels);
    if (levels == NULL) return PyErr_NoMemory();
    const uint32_t count = side > UINT8_MAX ? 0 : core_levels(self->c, number, (uint8_t)side, levels, room);
    PyObject *list = PyList_New(count);
    for (uint32_t i = 0; list != NULL && i < count; i++) {
        PyObject *row = Py_BuildValue("(LLI)", (long long)levels[i].price_ticks, (long long)levels[i].quantity_lots,
                                      levels[i].order_count);
        if (row == NULL) Py_CLEAR(list);
        else PyList_SET_ITEM(list, i, row);
    }
    PyMem_RawFree(levels);
    return list;
}

/* The list of dicts of `count` orders; frees them. */
static PyObject *order_list(core_order_info *orders, uint32_t count) {
    PyObject *list = PyList_New(count);
    for (uint32_t i = 0; list != NULL && i < count; i++) {
        PyObject *row = order_dict(&orders[i]);
        if (row == NULL) Py_CLEAR(list);
        else PyList_SET_ITEM(list, i, row);
    }
    PyMem_RawFree(orders);
    return list;
}

static core_order_info *order_room(unsigned int *room) {
    if (*room > 1000000) *room = 1000000;
    core_order_info *orders = PyMem_RawCalloc(*room ? *room : 1, sizeof *orders);
    if (orders == NULL) PyErr_NoMemory();
    return orders;
}

typedef uint32_t (*orders_of)(const core *, uint32_t, uint8_t, uint32_t, core_order_info *, uint32_t);

static PyObject *orders_of_side(core_object *self, PyObject *args, PyObject *kwargs, orders_of ask) {
    static char *names[] = {"instrument", "side", "skip", "room", NULL};
    unsigned int number, side, skip = 0, room = 1000;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "II|II", names, &number, &side, &skip, &room)) return NULL;
    core_order_info *orders = order_room(&room);
    if (orders == NULL) return NULL;
    return order_list(orders, side > UINT8_MAX ? 0 : ask(self->c, number, (uint8_t)side, skip, orders, room));
}

static PyObject *core_py_book_orders(core_object *self, PyObject *args, PyObject *kwargs) {
    return orders_of_side(self, args, kwargs, core_book_orders);
}

static PyObject *core_py_unseen_orders(core_object *self, PyObject *args, PyObject *kwargs) {
    return orders_of_side(self, args, kwargs, core_unseen_orders);
}

static PyObject *core_py_account_orders(core_object *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"account", "skip", "room", NULL};
    unsigned int number, skip = 0, room = 1000;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "I|II:account_orders", names, &number, &skip, &room)) return NULL;
    core_order_info *orders = order_room(&room);
    if (orders == NULL) return NULL;
    return order_list(orders, core_account_orders(self->c, number, skip, orders, room));
}

static PyObject *core_py_report(core_object *self, PyObject *args) {
    unsigned int key;
    unsigned long long number;
    if (!PyArg_ParseTuple(args, "IK:report", &key, &number)) return NULL;
    const wire_report *report = core_report(self->c, key, number);
    if (report == NULL) Py_RETURN_NONE;
    return PyBytes_FromStringAndSize((const char *)report, sizeof *report);
}

static PyObject *core_py_save(core_object *self, PyObject *none) {
    (void)none;
    growing snapshot = {0};
    const bool saved = core_save(self->c, grow, &snapshot);
    PyObject *result = saved ? PyBytes_FromStringAndSize(snapshot.at, (Py_ssize_t)snapshot.bytes) : PyErr_NoMemory();
    PyMem_RawFree(snapshot.at);
    return result;
}

static PyObject *core_py_load(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "y*:load", &data)) return NULL;
    PyObject *none = PyTuple_New(0);
    core_object *self = none == NULL ? NULL : (core_object *)core_new(type, none, kwargs);
    Py_XDECREF(none);
    if (self != NULL) {
        const char *why = "";
        if (core_load(self->c, data.buf, (size_t)data.len, &why) != CORE_OK) {
            raise_error(error_snapshot, why, "snapshot",
                        "use an older snapshot, or capacities as large as those it was taken with");
            Py_CLEAR(self);
        }
    }
    PyBuffer_Release(&data);
    return (PyObject *)self;
}

#define KEYWORDS(function) (PyCFunction)(void (*)(void))(function), METH_VARARGS | METH_KEYWORDS
static PyMethodDef core_methods[] = {
    {"apply", (PyCFunction)core_py_apply, METH_VARARGS,
     "apply(records): apply whole groups of 64-byte records; all their events, 96 bytes each."},
    {"group_bytes", (PyCFunction)core_py_group_bytes, METH_O,
     "group_bytes(records): leading bytes that are whole groups."},
    {"sequence", (PyCFunction)core_py_sequence, METH_NOARGS, "Sequence of the last record applied."},
    {"received_ns", (PyCFunction)core_py_received_ns, METH_NOARGS, "Time of the last record applied."},
    {"term", (PyCFunction)core_py_term, METH_NOARGS, "Present term."},
    {"digest", (PyCFunction)core_py_digest, METH_NOARGS, "Digest of the state, 64 bits."},
    {"everything_halted", (PyCFunction)core_py_halted, METH_NOARGS, "Is trading halted for everything?"},
    {"options", (PyCFunction)core_py_options, METH_NOARGS, "The capacities it was opened with."},
    {"check", (PyCFunction)core_py_check, METH_NOARGS, "Walk everything: None, or the sentence that does not hold."},
    {"asset", (PyCFunction)core_py_asset, METH_VARARGS, "asset(number): dict or None."},
    {"instrument", (PyCFunction)core_py_instrument, METH_VARARGS, "instrument(number): dict or None."},
    {"account", (PyCFunction)core_py_account, METH_VARARGS, "account(number): dict or None."},
    {"key", (PyCFunction)core_py_key, METH_VARARGS, "key(number): dict or None."},
    {"order", (PyCFunction)core_py_order, METH_VARARGS, "order(order_id): dict or None."},
    {"balance", (PyCFunction)core_py_balance, METH_VARARGS, "balance(account, asset): (free, locked) or None."},
    {"floor", (PyCFunction)core_py_floor, METH_VARARGS,
     "floor(account, asset): zero, or how far below it the free balance may go."},
    {"fee_tier", (PyCFunction)core_py_fee_tier, METH_VARARGS,
     "fee_tier(instrument, tier): (maker_fee_ppm, taker_fee_ppm) or None."},
    {"price_steps", (PyCFunction)core_py_price_steps, METH_VARARGS,
     "price_steps(instrument): [(from_price_ticks, tick_multiple, lot_multiple)] by rising price."},
    {"trade", (PyCFunction)core_py_trade, METH_VARARGS, "trade(instrument, trade_id): dict, or None if not kept."},
    {"trade_count", (PyCFunction)core_py_trade_count, METH_NOARGS, "Trades made in all."},
    {"position", (PyCFunction)core_py_position, METH_VARARGS,
     "position(account, instrument): (position, open buy, open sell) or None."},
    {"levels", KEYWORDS(core_py_levels),
     "levels(instrument, side, room=50): best first, (price_ticks, quantity_lots, order_count)."},
    {"book_orders", KEYWORDS(core_py_book_orders),
     "book_orders(instrument, side, skip=0, room=1000): in priority order."},
    {"unseen_orders", KEYWORDS(core_py_unseen_orders),
     "unseen_orders(instrument, side, skip=0, room=1000): hidden ones in priority order, then unlit ones."},
    {"account_orders", KEYWORDS(core_py_account_orders),
     "account_orders(account, skip=0, room=1000): as a mass cancel takes them."},
    {"report", (PyCFunction)core_py_report, METH_VARARGS, "report(key, number): 96 bytes, or None if it is not kept."},
    {"save", (PyCFunction)core_py_save, METH_NOARGS, "A snapshot of the whole state."},
    {"load", (PyCFunction)(void (*)(void))core_py_load, METH_VARARGS | METH_KEYWORDS | METH_CLASS,
     "load(snapshot, **options): a core with that state."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot core_slots[] = {{Py_tp_doc, "One replica's state: commands in, events out."},
                                   {Py_tp_new, core_new},
                                   {Py_tp_dealloc, core_dealloc},
                                   {Py_tp_methods, core_methods},
                                   {0, NULL}};
static PyType_Spec core_spec = {.name = "engine_node._engine.Core",
                                .basicsize = sizeof(core_object),
                                .flags = Py_TPFLAGS_DEFAULT,
                                .slots = core_slots};

static PyObject *core_type; /* made once when the module is, as the exceptions are */

core *core_of(PyObject *object) {
    if (Py_IS_TYPE(object, (PyTypeObject *)core_type)) return ((core_object *)object)->c;
    PyErr_Format(PyExc_TypeError, "a Core is needed, was %.80s", Py_TYPE(object)->tp_name);
    return NULL;
}

/* ---- JournalReader ----------------------------------------------------------------------------------------------- */

typedef struct reader_object {
    PyObject_HEAD journal_reader *reader;
} reader_object;

static PyObject *reader_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"directory", "from_sequence", NULL};
    const char *directory;
    unsigned long long from = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "s|K:JournalReader", names, &directory, &from)) return NULL;
    reader_object *self = (reader_object *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    journal_error error = {0};
    if (journal_reader_open(directory, host_posix(), from, &self->reader, &error) == JOURNAL_OK)
        return (PyObject *)self;
    self->reader = NULL;
    Py_DECREF(self);
    return raise_journal(&error);
}

static void reader_dealloc(reader_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    if (self->reader != NULL) journal_reader_close(self->reader);
    type->tp_free(self);
    Py_DECREF(type);
}

static bool reader_is_open(reader_object *self) {
    if (self->reader != NULL) return true;
    PyErr_SetString(PyExc_ValueError, "a JournalReader must be open, this one was closed");
    return false;
}

static PyObject *reader_next(reader_object *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"room", "limit", NULL};
    unsigned int room = 4096;
    PyObject *limit = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|IO:next", names, &room, &limit) || !reader_is_open(self))
        return NULL;
    uint64_t last = journal_reader_written(self->reader);
    if (limit != Py_None) {
        const uint64_t asked = PyLong_AsUnsignedLongLong(limit);
        if (PyErr_Occurred()) return NULL;
        if (asked < last) last = asked;
    }
    const wire_record *records = NULL;
    uint32_t count = 0;
    journal_error error = {0};
    if (journal_reader_next(self->reader, last, room, &records, &count, &error) != JOURNAL_OK)
        return raise_journal(&error);
    return PyBytes_FromStringAndSize((const char *)records, (Py_ssize_t)count * RECORD_BYTES);
}

#define READER_NUMBER(name)                                                                                            \
    static PyObject *reader_##name(reader_object *self, PyObject *none) {                                              \
        (void)none;                                                                                                    \
        return reader_is_open(self) ? PyLong_FromUnsignedLongLong(journal_reader_##name(self->reader)) : NULL;         \
    }
READER_NUMBER(written)
READER_NUMBER(durable)
READER_NUMBER(released)
READER_NUMBER(shipped)
READER_NUMBER(shippable)
READER_NUMBER(first)
READER_NUMBER(place)

static PyObject *reader_ship(reader_object *self, PyObject *argument) {
    const uint64_t sequence = PyLong_AsUnsignedLongLong(argument);
    journal_error error = {0};
    if (PyErr_Occurred() || !reader_is_open(self)) return NULL;
    if (journal_reader_ship(self->reader, sequence, &error) != JOURNAL_OK) return raise_journal(&error);
    Py_RETURN_NONE;
}

static PyObject *reader_core_options(reader_object *self, PyObject *none) {
    (void)none;
    if (!reader_is_open(self)) return NULL;
    core_options options;
    if (journal_reader_options(self->reader, &options, sizeof options) == sizeof options)
        return core_options_to_dict(&options);
    return raise_error(error_options,
                       "the journal's shared page must hold the engine's core options, held another size",
                       "journal.state", "start the engine of this version once");
}

static PyObject *reader_close(reader_object *self, PyObject *none) {
    (void)none;
    if (self->reader != NULL) journal_reader_close(self->reader);
    self->reader = NULL;
    Py_RETURN_NONE;
}

static PyObject *reader_enter(PyObject *self, PyObject *none) {
    (void)none;
    return Py_NewRef(self);
}

static PyObject *reader_exit(reader_object *self, PyObject *args) { return reader_close(self, args); }

static PyMethodDef reader_methods[] = {
    {"next", KEYWORDS(reader_next),
     "next(room=4096, limit=None): up to room records of 64 bytes; empty if there is nothing yet."},
    {"written", (PyCFunction)reader_written, METH_NOARGS, "Published by the writer."},
    {"durable", (PyCFunction)reader_durable, METH_NOARGS, "On disk."},
    {"released", (PyCFunction)reader_released, METH_NOARGS, "The survival level has passed."},
    {"shipped", (PyCFunction)reader_shipped, METH_NOARGS, "The journal topic has it."},
    {"shippable", (PyCFunction)reader_shippable, METH_NOARGS, "How far copies may leave this machine."},
    {"ship", (PyCFunction)reader_ship, METH_O, "ship(sequence): another machine holds all records up to here."},
    {"first", (PyCFunction)reader_first, METH_NOARGS, "Oldest sequence kept."},
    {"place", (PyCFunction)reader_place, METH_NOARGS, "Sequence of the next record to read."},
    {"core_options", (PyCFunction)reader_core_options, METH_NOARGS, "The capacities of the engine's core."},
    {"close", (PyCFunction)reader_close, METH_NOARGS, "Give the files back."},
    {"__enter__", (PyCFunction)reader_enter, METH_NOARGS, ""},
    {"__exit__", (PyCFunction)reader_exit, METH_VARARGS, ""},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot reader_slots[] = {{Py_tp_doc, "Reads a journal by sequence while the engine writes it."},
                                     {Py_tp_new, reader_new},
                                     {Py_tp_dealloc, reader_dealloc},
                                     {Py_tp_methods, reader_methods},
                                     {0, NULL}};
static PyType_Spec reader_spec = {.name = "engine_node._engine.JournalReader",
                                  .basicsize = sizeof(reader_object),
                                  .flags = Py_TPFLAGS_DEFAULT,
                                  .slots = reader_slots};

int replica_add_types(PyObject *module) {
    core_type = add_type(module, &core_spec, "Core");
    return core_type == NULL || add_type(module, &reader_spec, "JournalReader") == NULL ? -1 : 0;
}
