/* Reading a flow file: the whole of it mapped, each operation looked at before anybody uses it. */
#include "operations.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"

void operations_open(operations *out, const char *path) {
    const int file = open(path, O_RDONLY);
    struct stat info;
    if (file < 0 || fstat(file, &info) < 0) client_fail("the flow must be readable: %s", path);
    const size_t bytes = (size_t)info.st_size;
    const void *at = bytes < sizeof(flow_header) ? MAP_FAILED : mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    const flow_header *h = at;
    if (at == MAP_FAILED || memcmp(h->magic, FLOW_MAGIC, sizeof h->magic) != 0)
        client_fail("a flow file must begin with " FLOW_MAGIC ", %s does not", path);
    if (h->count != (bytes - sizeof *h) / sizeof(operation) || h->preload >= h->count)
        client_fail("a flow file must hold as many operations as it says, and one behind the preload: %s", path);
    *out = (operations){.at = (const operation *)(h + 1),
                        .count = h->count,
                        .preload = h->preload,
                        .instrument_count = h->instrument_count,
                        .account_count = h->account_count};
    uint32_t open = 0; /* fills are not known here, so this is an upper bound */
    for (uint64_t i = 0; i < out->count; i++) {
        const operation *o = &out->at[i];
        if (o->kind < OPERATION_LIMIT || o->kind > OPERATION_REDUCE || o->instrument < 1 ||
            o->instrument > out->instrument_count || o->account < 1 || o->account > out->account_count)
            client_fail("operation %llu of %s must have a kind of 1 to 4, an instrument and an account of the flow, "
                        "found %u, %u and %u",
                        (unsigned long long)i, path, o->kind, o->instrument, o->account);
        if (o->id > out->id_max) out->id_max = o->id;
        if (o->kind == OPERATION_LIMIT) open++;
        else if (o->kind == OPERATION_CANCEL && open > 0) open--;
        if (open > out->open_max) out->open_max = open;
    }
}
