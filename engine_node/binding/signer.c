/* Signer as a Python type: commands of a client as signed frames, for clients that send many.
 *
 *   parts: commands of 48 bytes ──▶ frames(parts, first) ── numbered from `first`, tagged ──▶ 64 bytes each, joined
 *
 * In Python the two hashes of a tag cost 4 µs, here 0.2.
 */
#include "binding.h"

#include "../ingress/hmac.h"

typedef struct signer_object {
    PyObject_HEAD hmac_key key;
} signer_object;

static PyObject *signer_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"session_key", NULL};
    const char *secret;
    Py_ssize_t bytes;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y#:Signer", names, &secret, &bytes)) return NULL;
    if (bytes != HMAC_SECRET_BYTES)
        return PyErr_Format(PyExc_ValueError, "a session key must have %d bytes, had %zd", HMAC_SECRET_BYTES, bytes);
    signer_object *self = (signer_object *)type->tp_alloc(type, 0);
    if (self != NULL) hmac_key_set(&self->key, (const uint8_t *)secret);
    return (PyObject *)self;
}

static void signer_dealloc(signer_object *self) {
    PyTypeObject *type = Py_TYPE(self);
    hmac_key_wipe(&self->key);
    type->tp_free(self);
    Py_DECREF(type);
}

/* One frame: the command with its client sequence, and its tag. 0, or -1 with an exception. */
static int sign(const signer_object *self, PyObject *part, uint64_t sequence, uint8_t *frame) {
    char *command;
    Py_ssize_t bytes;
    if (PyBytes_AsStringAndSize(part, &command, &bytes) < 0) return -1;
    if (bytes != COMMAND_BYTES || sequence >= UINT64_C(1) << 48) {
        PyErr_Format(PyExc_ValueError,
                     "a command must have %d bytes and a client sequence below 2^48, had %zd and %llu", COMMAND_BYTES,
                     bytes, (unsigned long long)sequence);
        return -1;
    }
    memcpy(frame, command, COMMAND_BYTES);
    for (int i = 0; i < 6; i++) frame[2 + i] = (uint8_t)(sequence >> 8 * i);
    hmac_tag(&self->key, frame, frame + COMMAND_BYTES);
    return 0;
}

static PyObject *signer_frames(signer_object *self, PyObject *const *args, Py_ssize_t count) {
    if (count != 2) return PyErr_Format(PyExc_TypeError, "frames takes parts and first, got %zd arguments", count);
    const unsigned long long first = PyLong_AsUnsignedLongLong(args[1]);
    if (PyErr_Occurred()) return NULL;
    PyObject *parts = PySequence_Fast(args[0], "parts must be a sequence of bytes");
    if (parts == NULL) return NULL;
    const Py_ssize_t part_count = PySequence_Fast_GET_SIZE(parts);
    PyObject *frames = PyBytes_FromStringAndSize(NULL, part_count * FRAME_BYTES);
    for (Py_ssize_t i = 0; frames != NULL && i < part_count; i++) {
        uint8_t *frame = (uint8_t *)PyBytes_AS_STRING(frames) + i * FRAME_BYTES;
        if (sign(self, PySequence_Fast_GET_ITEM(parts, i), first + (uint64_t)i, frame) < 0) Py_CLEAR(frames);
    }
    Py_DECREF(parts);
    return frames;
}

static PyMethodDef signer_methods[] = {
    {"frames", (PyCFunction)(void (*)(void))signer_frames, METH_FASTCALL,
     "frames(parts, first): commands of 48 bytes as signed frames of 64, numbered from first."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot signer_slots[] = {{Py_tp_doc, "Numbers and signs a session's commands."},
                                     {Py_tp_new, signer_new},
                                     {Py_tp_dealloc, signer_dealloc},
                                     {Py_tp_methods, signer_methods},
                                     {0, NULL}};
static PyType_Spec signer_spec = {.name = "engine_node._engine.Signer",
                                  .basicsize = sizeof(signer_object),
                                  .flags = Py_TPFLAGS_DEFAULT,
                                  .slots = signer_slots};

int signer_add_types(PyObject *module) { return add_type(module, &signer_spec, "Signer") == NULL ? -1 : 0; }
