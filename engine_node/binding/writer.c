/* JournalWriter as a Python type: a journal made of records that exist already, by the writer the engine uses.
 *
 *   records, chained ──▶ append() ── each crc as it must be? ──▶ journal_append ──▶ segments, journal.state
 *
 * For rebuilding a lost machine from its journal topic: engine_node/restore.py. A record that does not continue the
 * chain is refused before anything of its batch is written, for journal_append would seal it over.
 */
#include "binding.h"

#include <time.h>

typedef struct writer_object {
    PyObject_HEAD journal *journal;
    uint32_t crc; /* of the last record */
} writer_object;

static journal *open_writer(PyObject *mapping, journal_options *options) {
    core_options core = core_options_default();
    PyObject *dict = PyDict_New();
    const bool good = dict != NULL && PyDict_Update(dict, mapping) == 0 && core_options_from_dict(dict, &core) == 0;
    Py_XDECREF(dict);
    if (!good) return NULL;
    core.event_mask = CORE_EVENTS_ALL; /* as an engine leaves it: each replica chooses its own */
    options->level = JOURNAL_DISK;
    options->sync_cpu = options->wake = -1;
    options->replica_options = &core;
    options->replica_options_bytes = sizeof core;
    journal *j = NULL;
    journal_recovery found;
    journal_error error = {0};
    journal_status status;
    Py_BEGIN_ALLOW_THREADS;
    status = journal_open(options, host_posix(), 1, &j, &found, &error);
    Py_END_ALLOW_THREADS;
    if (status != JOURNAL_OK) {
        raise_journal(&error);
        return NULL;
    }
    if (found.last_sequence == 0) return j;
    journal_close(j, NULL);
    raise_error(error_options, "a journal must be written into an empty directory, and this one holds records",
                options->directory, "name another directory, or move what is there away");
    return NULL;
}

static PyObject *writer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"directory", "shard", "segment_records", "core_options", NULL};
    unsigned long long shard, segment_records;
    PyObject *mapping;
    journal_options options = {0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "s$KKO:JournalWriter", names, &options.directory, &shard,
                                     &segment_records, &mapping))
        return NULL;
    options.shard = shard;
    options.segment_records = segment_records;
    journal *j = open_writer(mapping, &options);
    if (j == NULL) return NULL;
    writer_object *self = (writer_object *)type->tp_alloc(type, 0);
    if (self != NULL) self->journal = j;
    else journal_close(j, NULL);
    return (PyObject *)self;
}

static void writer_dealloc(writer_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    if (self->journal != NULL) journal_close(self->journal, NULL);
    type->tp_free(self);
    Py_DECREF(type);
}

static bool writer_is_open(writer_object *self) {
    if (self->journal != NULL) return true;
    PyErr_SetString(PyExc_ValueError, "a JournalWriter must be open, this one was closed");
    return false;
}

/* The first record that does not continue the chain; `count` if all do. *crc: of the last good one. */
static size_t chain_good(const char *at, size_t count, uint32_t *crc) {
    for (size_t i = 0; i < count; i++) {
        wire_record record;
        memcpy(&record, at + i * RECORD_BYTES, sizeof record);
        if (record.command[0] == 0 || record.crc != journal_record_crc(*crc, &record)) return i;
        *crc = record.crc;
    }
    return count;
}

static void nap(void) { nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL); }

static journal_status append_all(journal *j, const char *at, size_t count) {
    for (size_t i = 0; i < count;) {
        const journal_status status = journal_reserve(j, 1);
        if (status == JOURNAL_WAIT) {
            journal_publish(j); /* the segment it waits for may wait for the sync of older ones */
            nap();
            continue;
        }
        if (status != JOURNAL_OK) return status;
        wire_record record;
        memcpy(&record, at + i++ * RECORD_BYTES, sizeof record);
        journal_append(j, &record, 1);
    }
    journal_publish(j);
    return JOURNAL_OK;
}

static PyObject *raise_append(const journal *j, journal_status status) {
    journal_error unsaid = {.status = status, .text = "the journal must take the records, but did not"};
    const journal_error *why = journal_failure(j);
    return raise_journal(why != NULL ? why : &unsaid);
}

static PyObject *writer_append(writer_object *self, PyObject *argument) {
    Py_buffer records;
    if (!writer_is_open(self) || PyObject_GetBuffer(argument, &records, PyBUF_SIMPLE) < 0) return NULL;
    const size_t count = (size_t)records.len / RECORD_BYTES;
    uint32_t crc = self->crc;
    const size_t good = chain_good(records.buf, count, &crc);
    journal_status status = JOURNAL_OK;
    PyObject *result = NULL;
    if (records.len % RECORD_BYTES != 0) {
        PyErr_Format(PyExc_ValueError, "records must be a multiple of %d bytes, were %zd", RECORD_BYTES, records.len);
    } else if (good < count) {
        journal_error error = {.status = JOURNAL_E_DAMAGED, .sequence = journal_last(self->journal) + 1 + good};
        snprintf(error.text, sizeof error.text, "the record must fit the CRC chain: sequence %llu does not",
                 (unsigned long long)error.sequence);
        snprintf(error.hint, sizeof error.hint, "%s", "it, or one before it, is of another journal or was damaged");
        raise_journal(&error);
    } else {
        Py_BEGIN_ALLOW_THREADS;
        status = append_all(self->journal, records.buf, count);
        Py_END_ALLOW_THREADS;
        self->crc = crc;
        result = status == JOURNAL_OK ? Py_NewRef(Py_None) : raise_append(self->journal, status);
    }
    PyBuffer_Release(&records);
    return result;
}

static PyObject *writer_last(writer_object *self, PyObject *none) {
    (void)none;
    return writer_is_open(self) ? PyLong_FromUnsignedLongLong(journal_last(self->journal)) : NULL;
}

static PyObject *writer_close(writer_object *self, PyObject *none) {
    (void)none;
    journal *j = self->journal;
    self->journal = NULL;
    if (j == NULL) Py_RETURN_NONE;
    journal_error error = {0};
    journal_status status;
    Py_BEGIN_ALLOW_THREADS;
    status = journal_close(j, &error);
    Py_END_ALLOW_THREADS;
    if (status != JOURNAL_OK) return raise_journal(&error);
    Py_RETURN_NONE;
}

static PyMethodDef writer_methods[] = {
    {"append", (PyCFunction)writer_append, METH_O, "append(records): further records of 64 bytes, already chained."},
    {"last", (PyCFunction)writer_last, METH_NOARGS, "Sequence of the last record."},
    {"close", (PyCFunction)writer_close, METH_NOARGS, "Bring everything to disk."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot writer_slots[] = {{Py_tp_doc, "Writes a journal of records that exist already."},
                                     {Py_tp_new, writer_new},
                                     {Py_tp_dealloc, writer_dealloc},
                                     {Py_tp_methods, writer_methods},
                                     {0, NULL}};
static PyType_Spec writer_spec = {.name = "engine_node._engine.JournalWriter",
                                  .basicsize = sizeof(writer_object),
                                  .flags = Py_TPFLAGS_DEFAULT,
                                  .slots = writer_slots};

int writer_add_types(PyObject *module) { return add_type(module, &writer_spec, "JournalWriter") == NULL ? -1 : 0; }
