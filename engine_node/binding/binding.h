/* The binding: what its files share. It converts types and maps status to error; no rule of the market is in it.
 *
 *   module.c   PyInit__engine, the exceptions, crc32c and seal
 *   replica.c  Core and JournalReader
 *   writer.c   JournalWriter: a journal made of records that exist already
 *   feed.c     Feed: a core's events as JSON messages
 *   signer.c   Signer: a client's commands as signed frames
 *   engine.c   Engine and Connection: the primary
 */
#ifndef IRONBOOK_BINDING_H
#define IRONBOOK_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "../core/core.h"
#include "../journal/journal.h"

/* The exceptions, made once when the module is (kept for the life of the process: the module can't be unloaded). */
extern PyObject *error_engine, *error_core_full, *error_core_record, *error_core_diverged, *error_snapshot,
    *error_journal, *error_options;

/* Raise `type` with a message and the attributes detail and hint. Returns NULL. */
PyObject *raise_error(PyObject *type, const char *message, const char *detail, const char *hint);

/* Raise what a core said. `c` may be NULL (core_open failed). Returns NULL. */
PyObject *raise_core(core_status status, const core *c);

/* Raise JournalError (or OptionsError) with status, segment, offset and sequence. Returns NULL. */
PyObject *raise_journal(const journal_error *error);

/* Fill options from a dict of names to integers; unknown names and values out of 32 bits raise. 0, or -1 with an
 * exception. */
int core_options_from_dict(PyObject *dict, core_options *options);
PyObject *core_options_to_dict(const core_options *options);

/* Memory for a core: zeroed pages, huge ones where the system gives them. NULL with an exception if there is none. */
void *core_memory_map(size_t bytes);
void core_memory_unmap(void *memory, size_t bytes);

/* The core of a Core. NULL with an exception if the object is none. */
core *core_of(PyObject *object);

/* Make a type and add it to the module, which keeps it. NULL with an exception if that fails. */
PyObject *add_type(PyObject *module, PyType_Spec *spec, const char *name);

int replica_add_types(PyObject *module);
int writer_add_types(PyObject *module);
int feed_add_types(PyObject *module);
int signer_add_types(PyObject *module);
int engine_add_types(PyObject *module);

#endif
