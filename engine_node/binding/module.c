/* The extension module `_engine`: its exceptions, its two helpers, and the doors to replica.c and engine.c.
 *
 * Ownership: every function returns a new reference or raises; buffers given by Python are read only during the
 * call; cores live in pages mapped by core_memory_map and go with the object that holds them.
 */
#include "binding.h"

#include <sys/mman.h>

#ifndef IRONBOOK_SOURCE_DIGEST
#include "source_digest.h"
#endif

PyObject *error_engine, *error_core_full, *error_core_record, *error_core_diverged, *error_snapshot, *error_journal,
    *error_options;

PyObject *raise_error(PyObject *type, const char *message, const char *detail, const char *hint) {
    PyObject *error = PyObject_CallFunction(type, "s", message);
    if (error == NULL) return NULL;
    PyObject *detail_text = PyUnicode_FromString(detail), *hint_text = PyUnicode_FromString(hint);
    if (detail_text != NULL && hint_text != NULL && PyObject_SetAttrString(error, "detail", detail_text) == 0 &&
        PyObject_SetAttrString(error, "hint", hint_text) == 0)
        PyErr_SetObject(type, error);
    Py_XDECREF(detail_text);
    Py_XDECREF(hint_text);
    Py_DECREF(error);
    return NULL;
}

PyObject *raise_core(core_status status, const core *c) {
    char detail[160] = "";
    if (c != NULL) snprintf(detail, sizeof detail, "behind sequence %llu", (unsigned long long)core_sequence(c));
    char message[200];
    switch (status) {
    case CORE_E_FULL:
        snprintf(message, sizeof message, "every pool must have room for what a command may create; %s is full",
                 c == NULL ? "one" : core_full_pool(c));
        return raise_error(error_core_full, message, detail, "open the core with a larger capacity of that name");
    case CORE_E_RECORD:
        return raise_error(error_core_record,
                           "a record must fit what stands before it: kind, key, client sequence, time, term", detail,
                           "the journal is damaged or records were left out; verify it");
    case CORE_E_DIVERGED:
        return raise_error(
            error_core_diverged, "a digest record must name this state's digest", detail,
            "this replica is not the same program or did not read the same journal; start it from an older snapshot");
    case CORE_E_OPTIONS:
        return raise_error(error_options, "every capacity must be within core/limits.h", "core options",
                           "see docs/reference/settings.md");
    default: return raise_error(error_engine, core_status_name(status), detail, "");
    }
}

static int set_number(PyObject *error, const char *name, unsigned long long value) {
    PyObject *number = PyLong_FromUnsignedLongLong(value);
    if (number == NULL) return -1;
    const int result = PyObject_SetAttrString(error, name, number);
    Py_DECREF(number);
    return result;
}

PyObject *raise_journal(const journal_error *e) {
    char detail[160];
    snprintf(detail, sizeof detail, "%s%s, byte %llu, sequence %llu%s%s", e->segment[0] ? "segment " : "journal",
             e->segment, (unsigned long long)e->offset, (unsigned long long)e->sequence, e->system ? ": " : "",
             e->system ? strerror(e->system) : "");
    raise_error(e->status == JOURNAL_E_OPTIONS ? error_options : error_journal, e->text, detail, e->hint);
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    PyObject *segment = PyUnicode_FromString(e->segment);
    if (value == NULL || segment == NULL || PyObject_SetAttrString(value, "segment", segment) < 0 ||
        set_number(value, "offset", e->offset) < 0 || set_number(value, "sequence", e->sequence) < 0 ||
        set_number(value, "status", (unsigned)e->status) < 0 || set_number(value, "system", (unsigned)e->system) < 0)
        PyErr_Clear(); /* the error itself matters more than its attributes */
    Py_XDECREF(segment);
    PyErr_Restore(type, value, trace);
    return NULL;
}

/* ---- Options ----------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t offset;
} option_fields[] = {
#define FIELD(name)                                                                                                    \
    { #name, offsetof(core_options, name) }
    FIELD(asset_count_max),    FIELD(instrument_count_max), FIELD(account_count_max), FIELD(key_count_max),
    FIELD(order_count_max),    FIELD(level_count_max),      FIELD(ladder_count_max),  FIELD(balance_count_max),
    FIELD(position_count_max), FIELD(nonce_count_max),      FIELD(reports_kept),      FIELD(event_mask),
    FIELD(extra_count_max),
#undef FIELD
};
enum { OPTION_COUNT = sizeof option_fields / sizeof *option_fields };

static int set_option(core_options *options, const char *name, unsigned long long value) {
    if (strcmp(name, "nonce_window_ns") == 0) {
        options->nonce_window_ns = value;
        return 0;
    }
    for (size_t i = 0; i < OPTION_COUNT; i++)
        if (strcmp(name, option_fields[i].name) == 0 && value <= UINT32_MAX) {
            const uint32_t narrow = (uint32_t)value;
            memcpy((char *)options + option_fields[i].offset, &narrow, sizeof narrow);
            return 0;
        }
    char message[200];
    snprintf(message, sizeof message, "a core option must be one of core_options and below 2^32, was %.80s = %llu",
             name, value);
    raise_error(error_options, message, "core options", "see engine_node/core/core.h");
    return -1;
}

int core_options_from_dict(PyObject *dict, core_options *options) {
    PyObject *name, *value;
    Py_ssize_t at = 0;
    while (dict != NULL && PyDict_Next(dict, &at, &name, &value)) {
        const char *text = PyUnicode_AsUTF8(name);
        const unsigned long long number = PyLong_AsUnsignedLongLong(value);
        if (text == NULL || PyErr_Occurred() || set_option(options, text, number) < 0) return -1;
    }
    return 0;
}

PyObject *core_options_to_dict(const core_options *options) {
    PyObject *dict = Py_BuildValue("{sK}", "nonce_window_ns", (unsigned long long)options->nonce_window_ns);
    for (size_t i = 0; dict != NULL && i < OPTION_COUNT; i++) {
        uint32_t value;
        memcpy(&value, (const char *)options + option_fields[i].offset, sizeof value);
        PyObject *number = PyLong_FromUnsignedLong(value);
        if (number == NULL || PyDict_SetItemString(dict, option_fields[i].name, number) < 0) Py_CLEAR(dict);
        Py_XDECREF(number);
    }
    return dict;
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

void *core_memory_map(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return PyErr_NoMemory();
    (void)madvise(memory, bytes, MADV_HUGEPAGE); /* fewer TLB misses where the system allows; else it is as it was */
    return memory;
}

void core_memory_unmap(void *memory, size_t bytes) {
    if (memory != NULL) munmap(memory, bytes);
}

/* ---- Helpers ----------------------------------------------------------------------------------------------------- */

static PyObject *py_crc32c(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer data;
    unsigned int crc = 0;
    if (!PyArg_ParseTuple(args, "y*|I:crc32c", &data, &crc)) return NULL;
    crc = crc32c(crc, data.buf, (size_t)data.len);
    PyBuffer_Release(&data);
    return PyLong_FromUnsignedLong(crc);
}

static PyObject *py_seal(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer records;
    unsigned int previous = 0;
    if (!PyArg_ParseTuple(args, "y*|I:seal", &records, &previous)) return NULL;
    PyObject *sealed = NULL;
    if (records.len % RECORD_BYTES != 0) {
        PyErr_Format(PyExc_ValueError, "records must be a multiple of %d bytes, were %zd", RECORD_BYTES, records.len);
    } else if ((sealed = PyBytes_FromStringAndSize(records.buf, records.len)) != NULL) {
        for (char *at = PyBytes_AS_STRING(sealed), *end = at + records.len; at < end; at += RECORD_BYTES) {
            wire_record record;
            memcpy(&record, at, sizeof record);
            record.crc = previous = journal_record_crc(previous, &record);
            memcpy(at, &record, sizeof record);
        }
    }
    PyBuffer_Release(&records);
    return sealed;
}

static PyMethodDef functions[] = {
    {"crc32c", py_crc32c, METH_VARARGS, "crc32c(data, crc=0): CRC-32C (Castagnoli) of data, going on from crc."},
    {"seal", py_seal, METH_VARARGS, "seal(records, previous_crc=0): the records with their crc fields chained."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "engine_node._engine",
                                 .m_doc = "The compiled half of engine_node.", .m_size = -1, .m_methods = functions};

PyObject *add_type(PyObject *module, PyType_Spec *spec, const char *name) {
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    const int result = type == NULL ? -1 : PyModule_AddObjectRef(module, name, type);
    Py_XDECREF(type);
    return result < 0 ? NULL : type;
}

static int add_error(PyObject *module, PyObject **error, const char *name, PyObject *base) {
    char full[64];
    snprintf(full, sizeof full, "engine_node._engine.%s", name);
    *error = PyErr_NewException(full, base, NULL);
    if (*error == NULL) return -1;
    return PyModule_AddObjectRef(module, name, *error);
}

PyMODINIT_FUNC PyInit__engine(void) {
    PyObject *module = PyModule_Create(&definition);
    if (module == NULL) return NULL;
    const struct {
        PyObject **error;
        const char *name;
    } errors[] = {{&error_core_full, "CoreFull"},         {&error_core_record, "CoreRecord"},
                  {&error_core_diverged, "CoreDiverged"}, {&error_snapshot, "SnapshotInvalid"},
                  {&error_journal, "JournalError"},       {&error_options, "OptionsError"}};
    int failed = add_error(module, &error_engine, "EngineError", PyExc_Exception);
    for (size_t i = 0; i < sizeof errors / sizeof *errors && !failed; i++)
        failed = add_error(module, errors[i].error, errors[i].name, error_engine);
    failed = failed || PyModule_AddStringConstant(module, "SOURCE_DIGEST", IRONBOOK_SOURCE_DIGEST) < 0 ||
             PyModule_AddIntConstant(module, "EVENTS_REPORTS", CORE_EVENTS_REPORTS) < 0 ||
             PyModule_AddIntConstant(module, "EVENTS_MARKET", CORE_EVENTS_MARKET) < 0 ||
             PyModule_AddIntConstant(module, "EVENTS_LEVEL3", CORE_EVENTS_LEVEL3) < 0 ||
             PyModule_AddIntConstant(module, "EVENTS_ACCOUNTS", CORE_EVENTS_ACCOUNTS) < 0 ||
             PyModule_AddIntConstant(module, "EVENTS_ALL", CORE_EVENTS_ALL) < 0 || replica_add_types(module) < 0 ||
             writer_add_types(module) < 0 || feed_add_types(module) < 0 || signer_add_types(module) < 0 ||
             engine_add_types(module) < 0;
    if (!failed) return module;
    Py_DECREF(module);
    return NULL;
}
