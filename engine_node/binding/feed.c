/* Feed as a Python type: a core's events as JSON messages. What is in them: feed/feed.h. */
#include "binding.h"

#include "../feed/feed.h"

typedef struct feed_object {
    PyObject_HEAD feed *f;
    PyObject *core; /* the Core that it speaks of, kept alive; NULL: none yet */
} feed_object;

static bool option_within(const char *name, unsigned value, unsigned least, unsigned most) {
    if (value >= least && value <= most) return true;
    PyErr_Format(PyExc_ValueError, "%s must be from %u to %u, was %u", name, least, most, value);
    return false;
}

static PyObject *feed_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {
        "shard", "firm_partitions", "symbol_partitions", "batch_count_max", "message_bytes_max", "chunk", NULL};
    feed_options o = {.firm_partitions = 8,
                      .symbol_partitions = 8,
                      .batch_count_max = FEED_BATCH_COUNT_MAX,
                      .message_bytes_max = FEED_MESSAGE_BYTES_MAX,
                      .chunk = FEED_EVENT_ROOM};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$IIIIII:Feed", names, &o.shard, &o.firm_partitions,
                                     &o.symbol_partitions, &o.batch_count_max, &o.message_bytes_max, &o.chunk) ||
        !option_within("firm_partitions", o.firm_partitions, 1, FEED_PARTITIONS_MAX) ||
        !option_within("symbol_partitions", o.symbol_partitions, 1, FEED_PARTITIONS_MAX) ||
        !option_within("batch_count_max", o.batch_count_max, 1, UINT32_MAX) ||
        !option_within("message_bytes_max", o.message_bytes_max, FEED_MESSAGE_BYTES_LEAST, UINT32_MAX) ||
        !option_within("chunk", o.chunk, CORE_EVENTS_CHUNK_MIN, FEED_EVENT_ROOM))
        return NULL;
    feed_object *self = (feed_object *)type->tp_alloc(type, 0);
    if (self == NULL) return NULL;
    self->f = feed_open(&o);
    if (self->f != NULL) return (PyObject *)self;
    Py_DECREF(self);
    return PyErr_NoMemory();
}

static void feed_dealloc(feed_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    if (self->f != NULL) feed_close(self->f);
    Py_XDECREF(self->core);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Speak of this Core from here on; NULL with an exception if it is none. */
static core *feed_core(feed_object *self, PyObject *object) {
    core *c = core_of(object);
    if (c != NULL) Py_XSETREF(self->core, Py_NewRef(object));
    return c;
}

/* The same bytes where a wire_record may stand: a copy if these are not. NULL: there is no memory. */
static const wire_record *aligned_records(const Py_buffer *records, wire_record **copy) {
    *copy = NULL;
    if ((uintptr_t)records->buf % _Alignof(wire_record) == 0) return records->buf;
    *copy = PyMem_RawMalloc((size_t)records->len);
    if (*copy == NULL) return NULL;
    return memcpy(*copy, records->buf, (size_t)records->len);
}

static PyObject *feed_apply_records(feed_object *self, core *c, const Py_buffer *records) {
    if (records->len % RECORD_BYTES != 0)
        return PyErr_Format(PyExc_ValueError, "records must be a multiple of %d bytes, were %zd", RECORD_BYTES,
                            records->len);
    if (records->len / RECORD_BYTES > UINT32_MAX)
        return PyErr_Format(PyExc_ValueError, "records must be fewer than 2^32, were %zd", records->len / RECORD_BYTES);
    wire_record *copy;
    const wire_record *at = aligned_records(records, &copy);
    if (at == NULL) return PyErr_NoMemory();
    const core_status status = feed_apply(self->f, c, at, (uint32_t)(records->len / RECORD_BYTES));
    PyMem_RawFree(copy);
    if (feed_failed(self->f)) return PyErr_NoMemory();
    if (status != CORE_OK) return raise_core(status, c);
    Py_RETURN_NONE;
}

static PyObject *feed_py_apply(feed_object *self, PyObject *args) {
    PyObject *object;
    Py_buffer records;
    if (!PyArg_ParseTuple(args, "Oy*:apply", &object, &records)) return NULL;
    core *c = feed_core(self, object);
    PyObject *result = c == NULL ? NULL : feed_apply_records(self, c, &records);
    PyBuffer_Release(&records);
    return result;
}

static PyObject *feed_py_touch_everything(feed_object *self, PyObject *object) {
    core *c = feed_core(self, object);
    if (c == NULL) return NULL;
    feed_touch_everything(self->f, c);
    if (feed_failed(self->f)) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *message_tuple(const feed_message *m) {
    return Py_BuildValue("(sIy#y#I(KI)(KI))", feed_topic_name(m->topic), m->partition,
                         m->key_bytes == 0 ? NULL : m->key, (Py_ssize_t)m->key_bytes, m->value,
                         (Py_ssize_t)m->value_bytes, m->count, (unsigned long long)m->first.sequence, m->first.n,
                         (unsigned long long)m->last.sequence, m->last.n);
}

static PyObject *feed_py_take(feed_object *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"flush", "snapshots", NULL};
    int flush, snapshots = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "p|p:take", names, &flush, &snapshots)) return NULL;
    if (self->core != NULL)
        feed_collect(self->f, core_of(self->core),
                     FEED_DEFINITIONS | (flush ? FEED_BATCHES : 0) | (snapshots ? FEED_SNAPSHOTS : 0));
    if (feed_failed(self->f)) return PyErr_NoMemory();
    uint32_t count;
    const feed_message *messages = feed_messages(self->f, &count);
    PyObject *list = PyList_New(0);
    for (int definitions = 1; definitions >= 0; definitions--) /* these first: what follows may speak of them */
        for (uint32_t i = 0; list != NULL && i < count; i++) {
            if ((messages[i].topic <= FEED_ACCOUNTS) != definitions) continue;
            PyObject *tuple = message_tuple(&messages[i]);
            if (tuple == NULL || PyList_Append(list, tuple) < 0) Py_CLEAR(list);
            Py_XDECREF(tuple);
        }
    if (list != NULL) feed_forget(self->f);
    return list;
}

static PyMethodDef feed_methods[] = {
    {"apply", (PyCFunction)feed_py_apply, METH_VARARGS,
     "apply(core, records): apply whole groups of 64-byte records to the core and tell its events."},
    {"take", (PyCFunction)(void (*)(void))feed_py_take, METH_VARARGS | METH_KEYWORDS,
     "take(flush, snapshots=False): messages that are full, or all of them and the states that changed."},
    {"touch_everything", (PyCFunction)feed_py_touch_everything, METH_O,
     "touch_everything(core): the next take tells every definition, balance, top and book."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot feed_slots[] = {{Py_tp_doc, "A core's events as JSON messages for topics."},
                                   {Py_tp_new, feed_new},
                                   {Py_tp_dealloc, feed_dealloc},
                                   {Py_tp_methods, feed_methods},
                                   {0, NULL}};
static PyType_Spec feed_spec = {.name = "engine_node._engine.Feed",
                                .basicsize = sizeof(feed_object),
                                .flags = Py_TPFLAGS_DEFAULT,
                                .slots = feed_slots};

int feed_add_types(PyObject *module) { return add_type(module, &feed_spec, "Feed") == NULL ? -1 : 0; }
