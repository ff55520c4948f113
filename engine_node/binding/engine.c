/* Engine and Connection as Python types: the primary, and its sockets as callables for the event loop.
 *
 *   uvloop ── readable ──▶ Connection() ──▶ ingress_readable          no Python frame: a vectorcall into C
 *          ── writable ──▶ Connection.on_writable() ──▶ ingress_writable
 *          ◀── closed(fd, code), want_write(fd, wanted), failed(why) ── ingress      (rare, so plain Python calls)
 *
 * Ownership: an Engine owns the ingress with all its memory and the eventfd that the journal wakes the loop with. A
 * Connection owns a reference to its Engine and the name of a connection; when that is closed, calling it does nothing.
 * Sockets belong to Python: the ingress is told their descriptors and says when it is done with one.
 */
#include "binding.h"

#include <structmember.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../ingress/ingress.h"

typedef struct engine_object {
    PyObject_HEAD ingress *in;
    int wake_fd;
    int poll_fd; /* epoll over all connections and wake_fd, for spin */
    bool started, recovered, finished;
    PyObject *closed, *want_write, *failed;
    PyObject *journal_directory; /* bytes: what the options point to */
} engine_object;

typedef struct connection_object {
    PyObject_HEAD engine_object *engine;
    uint64_t name;
    vectorcallfunc vectorcall;
} connection_object;

static PyTypeObject *connection_type;

/* ---- Polling ----------------------------------------------------------------------------------------------------- */

/* Spinning polls the sockets itself, so that a frame is seen within a system call's time and not a round of the loop's.
 * The loop keeps its own watch on the same sockets for everything else; both are level-triggered, so whoever comes
 * first reads and the other finds nothing. A closed socket leaves the set by itself. */
enum { SPIN_ROUNDS = 128, SPIN_READY_MAX = 64 };
#define POLL_WAKE UINT64_MAX

static int poll_add(const engine_object *self, int fd, uint64_t name) {
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = name};
    return epoll_ctl(self->poll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

static PyObject *raise_ingress(const engine_object *self, const ingress_error *error) {
    switch (error->status) {
    case INGRESS_E_OPTIONS: return raise_error(error_options, error->text, "engine options", error->hint);
    case INGRESS_E_SNAPSHOT: return raise_error(error_snapshot, error->text, "snapshot", error->hint);
    case INGRESS_E_REPLAY:
        return error->core == CORE_E_FULL ? raise_error(error_core_full, error->text, "journal", error->hint)
                                          : raise_core(error->core, ingress_core(self->in));
    case INGRESS_E_JOURNAL: {
        journal_error journal = error->journal;
        if (journal.text[0] == 0) snprintf(journal.text, sizeof journal.text, "%s", error->text);
        if (journal.hint[0] == 0) snprintf(journal.hint, sizeof journal.hint, "%s", error->hint);
        return raise_journal(&journal);
    }
    default: return raise_error(error_engine, error->text, "engine", error->hint);
    }
}

static PyObject *raise_state(const char *must) {
    return raise_error(error_engine, must, "engine", "call recover once, then finish once, then save");
}

/* ---- What the ingress calls -------------------------------------------------------------------------------------- */

static void call_python(PyObject *callable, PyObject *result) {
    if (result == NULL) PyErr_WriteUnraisable(callable);
    Py_XDECREF(result);
}

static void on_closed(void *to, int socket, uint16_t code) {
    engine_object *self = to;
    if (self->closed != NULL) call_python(self->closed, PyObject_CallFunction(self->closed, "ii", socket, (int)code));
}

static void on_want_write(void *to, int socket, bool wanted) {
    engine_object *self = to;
    if (self->want_write == NULL) return;
    call_python(self->want_write, PyObject_CallFunction(self->want_write, "iO", socket, wanted ? Py_True : Py_False));
}

static void on_failed(void *to, const char *why) {
    engine_object *self = to;
    if (self->failed != NULL) call_python(self->failed, PyObject_CallFunction(self->failed, "s", why));
}

/* ---- Making and unmaking ----------------------------------------------------------------------------------------- */

static int engine_traverse(engine_object *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->closed);
    Py_VISIT(self->want_write);
    Py_VISIT(self->failed);
    return 0;
}

static int engine_clear(engine_object *self) {
    Py_CLEAR(self->closed);
    Py_CLEAR(self->want_write);
    Py_CLEAR(self->failed);
    return 0;
}

static void engine_dealloc(engine_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    ingress_close(self->in);
    if (self->poll_fd >= 0) close(self->poll_fd);
    if (self->wake_fd >= 0) close(self->wake_fd);
    engine_clear(self);
    Py_XDECREF(self->journal_directory);
    type->tp_free(self);
    Py_DECREF(type);
}

static int engine_options(engine_object *self, PyObject *args, PyObject *kwargs, ingress_options *o) {
    static char *names[] = {"core_options",
                            "journal_directory",
                            "shard",
                            "node",
                            "level",
                            "unshipped_records_max",
                            "segment_records",
                            "sync_interval_us",
                            "free_bytes_min",
                            "sync_cpu",
                            "connection_count_max",
                            "idle_ms",
                            "logon_timeout_ms",
                            "tick_interval_ms",
                            "digest_interval_records",
                            "refused_peer_max",
                            "closed",
                            "want_write",
                            "failed",
                            NULL};
    PyObject *core_mapping, *closed, *want_write, *failed;
    unsigned long long shard, node, unshipped_records_max, segment_records;
    long long free_bytes_min;
    int level;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$OO&KKiKKILiIIIIIIOOO:Engine", names, &core_mapping,
                                     PyUnicode_FSConverter, &self->journal_directory, &shard, &node, &level,
                                     &unshipped_records_max, &segment_records, &o->sync_interval_us, &free_bytes_min,
                                     &o->sync_cpu, &o->connection_count_max, &o->idle_ms, &o->logon_timeout_ms,
                                     &o->tick_interval_ms, &o->digest_interval_records, &o->refused_peer_max, &closed,
                                     &want_write, &failed))
        return -1;
    o->shard = shard;
    o->node = node;
    o->segment_records = segment_records;
    o->free_bytes_min = free_bytes_min;
    o->level = (journal_level)level;
    o->unshipped_records_max = unshipped_records_max;
    o->journal_directory = PyBytes_AS_STRING(self->journal_directory);
    o->core = core_options_default();
    PyObject *dict = PyDict_New();
    const bool good =
        dict != NULL && PyDict_Update(dict, core_mapping) == 0 && core_options_from_dict(dict, &o->core) == 0;
    Py_XDECREF(dict);
    if (!good) return -1;
    self->closed = Py_NewRef(closed);
    self->want_write = Py_NewRef(want_write);
    self->failed = Py_NewRef(failed);
    return 0;
}

static int engine_init(engine_object *self, PyObject *args, PyObject *kwargs) {
    if (self->started) {
        raise_state("an Engine must be initialised once");
        return -1;
    }
    self->started = true;
    ingress_options options = {0};
    if (engine_options(self, args, kwargs, &options) < 0) return -1;
    self->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    self->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->wake_fd < 0 || self->poll_fd < 0 || poll_add(self, self->wake_fd, POLL_WAKE) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    options.wake = self->wake_fd;
    options.calls =
        (ingress_calls){.self = self, .closed = on_closed, .want_write = on_want_write, .failed = on_failed};
    ingress_error error;
    if (ingress_open(&options, host_posix(), &self->in, &error) == INGRESS_OK) return 0;
    self->in = NULL;
    raise_ingress(self, &error);
    return -1;
}

static PyObject *engine_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args, (void)kwargs;
    engine_object *self = (engine_object *)type->tp_alloc(type, 0);
    if (self != NULL) self->wake_fd = self->poll_fd = -1;
    return (PyObject *)self;
}

/* ---- Start ------------------------------------------------------------------------------------------------------- */

static PyObject *recovery_dict(const ingress_recovery *r) {
    return Py_BuildValue("{sK sK sK sK sK ss sK sK sK sK sK sK sK}", "first_sequence", r->journal.first_sequence,
                         "last_sequence", r->journal.last_sequence, "durable_sequence", r->journal.durable_sequence,
                         "shipped_sequence", r->journal.shipped_sequence, "torn_records", r->journal.torn_records,
                         "torn_segment", r->journal.torn_segment, "torn_offset", r->journal.torn_offset,
                         "snapshot_sequence", r->snapshot_sequence, "replayed_records", r->replayed_records,
                         "sessions_ended", r->sessions_ended, "term", r->term, "sequence", r->sequence, "digest",
                         r->digest);
}

static PyObject *engine_recover(engine_object *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"snapshot", NULL};
    PyObject *snapshot = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:recover", names, &snapshot)) return NULL;
    if (self->in == NULL || self->recovered) return raise_state("recover must be called once");
    Py_buffer data = {0};
    if (snapshot != Py_None && PyObject_GetBuffer(snapshot, &data, PyBUF_SIMPLE) < 0) return NULL;
    self->recovered = true;
    ingress_recovery found;
    ingress_error error;
    ingress_status status;
    Py_BEGIN_ALLOW_THREADS;
    status = ingress_recover(self->in, data.buf, (size_t)data.len, &found, &error);
    Py_END_ALLOW_THREADS;
    if (snapshot != Py_None) PyBuffer_Release(&data);
    return status == INGRESS_OK ? recovery_dict(&found) : raise_ingress(self, &error);
}

/* ---- Keys -------------------------------------------------------------------------------------------------------- */

static PyObject *field(PyObject *record, const char *name) {
    PyObject *value = PyMapping_GetItemString(record, name);
    if (value == NULL) {
        PyErr_Clear();
        raise_error(error_options, "a key record must have every field of KeyRecord", name,
                    "see engine_node/_engine.pyi");
    }
    return value;
}

/* A whole number from `record`, at most `max`; UINT64_MAX with an exception. */
static uint64_t number_field(PyObject *record, const char *name, uint64_t max) {
    PyObject *value = field(record, name);
    if (value == NULL) return UINT64_MAX;
    const unsigned long long number = PyLong_AsUnsignedLongLong(value);
    Py_DECREF(value);
    if (PyErr_Occurred()) return UINT64_MAX;
    if (number <= max) return number;
    raise_error(error_options, "a number in a key record must not be that large", name, "see engine_node/_engine.pyi");
    return UINT64_MAX;
}

/* Exactly `least` to `most` bytes into `to`, the rest zero. */
static int bytes_into(PyObject *value, const char *name, uint8_t *to, Py_ssize_t least, Py_ssize_t most) {
    Py_buffer data;
    if (PyObject_GetBuffer(value, &data, PyBUF_SIMPLE) < 0) return -1;
    const bool good = data.len >= least && data.len <= most;
    if (good) memcpy(to, data.buf, (size_t)data.len);
    PyBuffer_Release(&data);
    if (good) return 0;
    raise_error(error_options, "bytes in a key record must have the length that KeyRecord says", name,
                "correct the key file");
    return -1;
}

static int read_secrets(PyObject *record, ingress_key *key) {
    PyObject *value = field(record, "secrets");
    PyObject *list = value == NULL ? NULL : PySequence_Fast(value, "secrets must be a sequence of bytes");
    Py_XDECREF(value);
    if (list == NULL) return -1;
    const Py_ssize_t count = PySequence_Fast_GET_SIZE(list);
    int result = 0;
    for (Py_ssize_t i = 0; i < count && i < (Py_ssize_t)INGRESS_SECRETS_MAX && result == 0; i++)
        result = bytes_into(PySequence_Fast_GET_ITEM(list, i), "secrets", key->secrets[i], INGRESS_SECRET_BYTES,
                            INGRESS_SECRET_BYTES);
    key->secret_count = count > UINT8_MAX ? UINT8_MAX : (uint32_t)count;
    Py_DECREF(list);
    return result;
}

static int read_network(PyObject *item, network *to) {
    PyObject *address;
    int prefix_bits;
    if (!PyTuple_Check(item) || !PyArg_ParseTuple(item, "Oi", &address, &prefix_bits)) {
        PyErr_Clear();
        raise_error(error_options, "a network must be a pair of 16 bytes and prefix bits", "networks",
                    "correct the key file");
        return -1;
    }
    to->prefix_bits = prefix_bits < 0 || prefix_bits > UINT8_MAX ? UINT8_MAX : (uint8_t)prefix_bits;
    return bytes_into(address, "networks", to->address, ADDRESS_BYTES, ADDRESS_BYTES);
}

static int read_networks(PyObject *record, ingress_key *key) {
    PyObject *value = field(record, "networks");
    PyObject *list = value == NULL ? NULL : PySequence_Fast(value, "networks must be a sequence of pairs");
    Py_XDECREF(value);
    if (list == NULL) return -1;
    const Py_ssize_t count = PySequence_Fast_GET_SIZE(list);
    int result = 0;
    for (Py_ssize_t i = 0; i < count && i < (Py_ssize_t)INGRESS_NETWORKS_MAX && result == 0; i++)
        result = read_network(PySequence_Fast_GET_ITEM(list, i), &key->networks[i]);
    key->network_count = count > UINT8_MAX ? UINT8_MAX : (uint32_t)count;
    Py_DECREF(list);
    return result;
}

static int read_key(PyObject *record, ingress_key *key) {
    PyObject *id = field(record, "key_id");
    if (id == NULL) return -1;
    const int good = bytes_into(id, "key_id", key->id, 1, INGRESS_KEY_ID_BYTES);
    Py_DECREF(id);
    if (good < 0 || read_secrets(record, key) < 0 || read_networks(record, key) < 0) return -1;
    key->number = (uint32_t)number_field(record, "number", UINT32_MAX);
    key->account = PyErr_Occurred() ? 0 : (uint32_t)number_field(record, "account", UINT32_MAX);
    key->permissions = PyErr_Occurred() ? 0 : (uint8_t)number_field(record, "permissions", UINT8_MAX);
    key->messages_per_s = PyErr_Occurred() ? 0 : (uint32_t)number_field(record, "messages_per_s", UINT32_MAX);
    key->message_burst = PyErr_Occurred() ? 0 : (uint32_t)number_field(record, "message_burst", UINT32_MAX);
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *engine_set_keys(engine_object *self, PyObject *argument) {
    if (self->in == NULL) return raise_state("an Engine must be initialised first");
    PyObject *list = PySequence_Fast(argument, "keys must be a sequence of KeyRecord");
    if (list == NULL) return NULL;
    const Py_ssize_t count = PySequence_Fast_GET_SIZE(list);
    const size_t bytes = (size_t)(count > 0 ? count : 1) * sizeof(ingress_key);
    ingress_key *keys = PyMem_RawCalloc(1, bytes);
    int good = keys == NULL ? -1 : 0;
    if (keys == NULL) PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count && good == 0; i++) good = read_key(PySequence_Fast_GET_ITEM(list, i), &keys[i]);
    Py_DECREF(list);
    if (good == 0) {
        ingress_error error;
        if (ingress_set_keys(self->in, keys, (uint32_t)count, &error) != INGRESS_OK) raise_ingress(self, &error);
    }
    if (keys != NULL) explicit_bzero(keys, bytes);
    PyMem_RawFree(keys);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

/* ---- Connections ------------------------------------------------------------------------------------------------- */

static PyObject *connection_call(PyObject *callable, PyObject *const *args, size_t flags, PyObject *names) {
    (void)args;
    connection_object *self = (connection_object *)callable;
    if (PyVectorcall_NARGS(flags) != 0 || names != NULL) {
        PyErr_SetString(PyExc_TypeError, "a Connection is called without arguments");
        return NULL;
    }
    ingress_readable(self->engine->in, self->name);
    Py_RETURN_NONE;
}

static PyObject *connection_on_writable(connection_object *self, PyObject *none) {
    (void)none;
    ingress_writable(self->engine->in, self->name);
    Py_RETURN_NONE;
}

static int connection_traverse(connection_object *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)self->engine);
    return 0;
}

static void connection_dealloc(connection_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF((PyObject *)self->engine);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *raise_not_accepted(ingress_status status) {
    switch (status) {
    case INGRESS_E_PEER:
        return raise_error(error_engine,
                           "an address must not have sent more bad logons or frames in a minute than is allowed",
                           "accept", "close the socket; the address is refused for a minute");
    case INGRESS_E_CONNECTIONS:
        return raise_error(error_engine, "there must be a free connection, but all have logged on", "accept",
                           "close the socket; raise connection_count_max");
    default:
        return raise_error(error_engine, "the engine must have recovered and not be stopping", "accept",
                           "close the socket");
    }
}

static PyObject *engine_accept(engine_object *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"fd", "address", "proxied", NULL};
    int socket, proxied = 0;
    const char *address;
    Py_ssize_t address_bytes;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iy#|p:accept", names, &socket, &address, &address_bytes, &proxied))
        return NULL;
    if (self->in == NULL || address_bytes != ADDRESS_BYTES)
        return raise_error(error_options, "an address must be 16 bytes: IPv6, or IPv4 mapped into it", "accept",
                           "see engine_node/_engine.pyi");
    connection_object *c = (connection_object *)connection_type->tp_alloc(connection_type, 0);
    if (c == NULL) return NULL;
    c->vectorcall = connection_call;
    c->engine = (engine_object *)Py_NewRef((PyObject *)self);
    const ingress_status status = ingress_accept(self->in, socket, (const uint8_t *)address, proxied != 0, &c->name);
    if (status == INGRESS_OK) {
        (void)poll_add(self, socket, c->name); /* without room for it only spinning does not see this socket */
        return (PyObject *)c;
    }
    Py_DECREF(c);
    return raise_not_accepted(status);
}

/* ---- The loop's other calls -------------------------------------------------------------------------------------- */

static PyObject *engine_on_wake(engine_object *self, PyObject *none) {
    (void)none;
    uint64_t times;
    if (self->wake_fd >= 0 && read(self->wake_fd, &times, sizeof times) < 0)
        times = 0; /* woken for nothing: harmless */
    if (self->in != NULL) ingress_on_wake(self->in);
    Py_RETURN_NONE;
}

static PyObject *engine_spin(engine_object *self, PyObject *none) {
    struct epoll_event ready[SPIN_READY_MAX];
    for (int round = 0; round < SPIN_ROUNDS && self->in != NULL; round++) {
        const int count = epoll_wait(self->poll_fd, ready, SPIN_READY_MAX, 0);
        for (int i = 0; i < count && self->in != NULL; i++) {
            if (ready[i].data.u64 == POLL_WAKE) Py_XDECREF(engine_on_wake(self, none));
            else ingress_readable(self->in, ready[i].data.u64);
        }
    }
    Py_RETURN_NONE;
}

static PyObject *engine_on_timer(engine_object *self, PyObject *none) {
    (void)none;
    if (self->in != NULL) ingress_on_timer(self->in);
    Py_RETURN_NONE;
}

static PyObject *engine_begin_stop(engine_object *self, PyObject *none) {
    (void)none;
    if (self->in != NULL) ingress_begin_stop(self->in);
    Py_RETURN_NONE;
}

static PyObject *engine_finish(engine_object *self, PyObject *none) {
    (void)none;
    if (self->in == NULL || !self->recovered || self->finished)
        return raise_state("finish must be called once, after recover");
    self->finished = true;
    ingress_error error;
    if (ingress_finish(self->in, &error) != INGRESS_OK) return raise_ingress(self, &error);
    const core *c = ingress_core(self->in);
    return Py_BuildValue("{sK sK sK}", "sequence", core_sequence(c), "released", ingress_released(self->in), "digest",
                         core_digest(c));
}

/* ---- Questions --------------------------------------------------------------------------------------------------- */

static bool sink_bytes(void *to, const void *data, size_t bytes) {
    PyObject *piece = PyBytes_FromStringAndSize(data, (Py_ssize_t)bytes);
    const bool good = piece != NULL && PyList_Append(to, piece) == 0;
    Py_XDECREF(piece);
    return good;
}

static PyObject *engine_save(engine_object *self, PyObject *none) {
    (void)none;
    if (self->in == NULL || !self->finished) return raise_state("save must come after finish");
    PyObject *pieces = PyList_New(0), *empty = PyBytes_FromStringAndSize("", 0), *whole = NULL;
    if (pieces != NULL && empty != NULL && core_save(ingress_core(self->in), sink_bytes, pieces))
        whole = PyObject_CallMethod(empty, "join", "O", pieces);
    Py_XDECREF(pieces);
    Py_XDECREF(empty);
    return whole;
}

static PyObject *engine_counters(engine_object *self, PyObject *none) {
    (void)none;
    if (self->in == NULL) return raise_state("an Engine must be initialised first");
    static const char *const names[] = {
#define COUNTER(name) #name,
        INGRESS_COUNTERS(COUNTER)
#undef COUNTER
    };
    enum { COUNT = sizeof names / sizeof *names };
    static_assert(sizeof(ingress_counters) == COUNT * sizeof(uint64_t), "counters are numbers and nothing else");
    uint64_t values[COUNT];
    memcpy(values, ingress_get_counters(self->in), sizeof values);
    PyObject *dict = PyDict_New();
    for (size_t i = 0; i < COUNT && dict != NULL; i++) {
        PyObject *value = PyLong_FromUnsignedLongLong(values[i]);
        if (value == NULL || PyDict_SetItemString(dict, names[i], value) < 0) Py_CLEAR(dict);
        Py_XDECREF(value);
    }
    return dict;
}

static PyObject *engine_full_pool(engine_object *self, PyObject *none) {
    (void)none;
    if (self->in == NULL) return raise_state("an Engine must be initialised first");
    return PyUnicode_FromString(ingress_full_pool(self->in));
}

static PyObject *engine_sequence(engine_object *self, PyObject *none) {
    (void)none;
    if (self->in == NULL) return raise_state("an Engine must be initialised first");
    return PyLong_FromUnsignedLongLong(core_sequence(ingress_core(self->in)));
}

static PyObject *engine_digest(engine_object *self, PyObject *none) {
    (void)none;
    if (self->in == NULL) return raise_state("an Engine must be initialised first");
    return PyLong_FromUnsignedLongLong(core_digest(ingress_core(self->in)));
}

/* ---- Types ------------------------------------------------------------------------------------------------------- */

#define WITH_KEYWORDS(function) (PyCFunction)(void (*)(void)) function, METH_VARARGS | METH_KEYWORDS

static PyMethodDef engine_methods[] = {
    {"recover", WITH_KEYWORDS(engine_recover), "Open the journal, load the snapshot, replay, begin a term."},
    {"set_keys", (PyCFunction)engine_set_keys, METH_O, "Replace the whole key table."},
    {"accept", WITH_KEYWORDS(engine_accept), "Take over a connected non-blocking socket."},
    {"on_wake", (PyCFunction)engine_on_wake, METH_NOARGS, "wake_fd is readable."},
    {"spin", (PyCFunction)engine_spin, METH_NOARGS, "Poll all connections a few times without waiting."},
    {"on_timer", (PyCFunction)engine_on_timer, METH_NOARGS, "Every 100 ms or so."},
    {"begin_stop", (PyCFunction)engine_begin_stop, METH_NOARGS, "Refuse new commands from now on."},
    {"finish", (PyCFunction)engine_finish, METH_NOARGS, "End sessions, flush, close the journal."},
    {"save", (PyCFunction)engine_save, METH_NOARGS, "A snapshot; only after finish."},
    {"counters", (PyCFunction)engine_counters, METH_NOARGS, "All counters by name."},
    {"full_pool", (PyCFunction)engine_full_pool, METH_NOARGS, "The core capacity a frame was last refused for."},
    {"sequence", (PyCFunction)engine_sequence, METH_NOARGS, "Sequence of the last record."},
    {"digest", (PyCFunction)engine_digest, METH_NOARGS, "Digest of the state."},
    {0},
};

static PyMemberDef engine_members[] = {
    {"wake_fd", T_INT, offsetof(engine_object, wake_fd), READONLY, "eventfd: call on_wake when it is readable"},
    {0},
};

static PyType_Slot engine_slots[] = {
    {Py_tp_new, engine_new},
    {Py_tp_init, engine_init},
    {Py_tp_dealloc, engine_dealloc},
    {Py_tp_traverse, engine_traverse},
    {Py_tp_clear, engine_clear},
    {Py_tp_methods, engine_methods},
    {Py_tp_members, engine_members},
    {Py_tp_doc, "The primary: ingress, core and journal in one."},
    {0, NULL},
};

static PyType_Spec engine_spec = {
    .name = "engine_node._engine.Engine",
    .basicsize = sizeof(engine_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = engine_slots,
};

static PyMethodDef connection_methods[] = {
    {"on_writable", (PyCFunction)connection_on_writable, METH_NOARGS, "The socket can be written."},
    {0},
};

static PyMemberDef connection_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(connection_object, vectorcall), READONLY, NULL},
    {0},
};

static PyType_Slot connection_slots[] = {
    {Py_tp_dealloc, connection_dealloc},
    {Py_tp_traverse, connection_traverse},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_methods, connection_methods},
    {Py_tp_members, connection_members},
    {Py_tp_doc, "Called by the loop when its socket is readable."},
    {0, NULL},
};

static PyType_Spec connection_spec = {
    .name = "engine_node._engine.Connection",
    .basicsize = sizeof(connection_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = connection_slots,
};

int engine_add_types(PyObject *module) {
    PyObject *engine = PyType_FromSpec(&engine_spec);
    if (engine == NULL || PyModule_AddType(module, (PyTypeObject *)engine) < 0) return -1;
    Py_DECREF(engine);
    PyObject *connection = PyType_FromSpec(&connection_spec);
    if (connection == NULL || PyModule_AddType(module, (PyTypeObject *)connection) < 0) return -1;
    connection_type = (PyTypeObject *)connection; /* kept for the life of the process, like the module */
    return 0;
}
