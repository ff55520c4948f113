/* The simulated host: a machine in memory whose disk fills up, whose power fails and whose lines break on command.
 *
 *   code under test ──▶ struct host ──▶ host_sim ◀── the test: room, power, clock, what the peer sends
 *
 *   a file    cache ── what the process and others see         power cut: the disk image, plus any of the pieces of
 *             disk  ── what survives a loss of power           512 bytes that were dirty; of names and sizes a prefix
 *             dirty pieces: in the cache, not on disk           of the changes since the last sync of the directory
 *
 *   a socket  inbox  ── sent by the test, not yet received     receive and send move as few bytes at once as the test
 *             outbox ── sent by the code, not yet taken        says, and answer -EAGAIN where a kernel would
 *
 * The same seed gives the same run. One thread. No file of the real machine is touched.
 */
#ifndef IRONBOOK_HOST_SIM_H
#define IRONBOOK_HOST_SIM_H

#include <stdbool.h>

#include "engine_node/host/host.h"

#define HOST_SIM_PIECE_BYTES 512 /* what a disk writes whole or not at all */

typedef struct host_sim host_sim;

host_sim *host_sim_open(uint64_t seed);
void host_sim_close(host_sim *sim);
const host *host_sim_host(host_sim *sim); /* lives as long as sim */

/* A number below `limit`, from the seed. */
uint64_t host_sim_below(host_sim *sim, uint64_t limit);

/* ---- Clock: stands still until it is moved (at first 1,000,000,000,000,000,000 ns since the epoch) --------------- */

void host_sim_set_clock(host_sim *sim, uint64_t now_ns); /* somebody sets it: steady_ns stays as it is */
void host_sim_advance(host_sim *sim, uint64_t ns);       /* time passes, for both */

/* How often an event was woken since the last question; -1 and unknown events count as 0. */
uint32_t host_sim_wakes(host_sim *sim, int event);

/* ---- Disk -------------------------------------------------------------------------------------------------------- */

void host_sim_room(host_sim *sim, int64_t bytes);  /* free from now on; at first 2^40 */
void host_sim_short_files(host_sim *sim, bool on); /* read_at and write_at move a random part of what was asked */
void host_sim_fail_sync(host_sim *sim, uint32_t skip,
                        int error); /* after `skip` more, one sync fails; its data is lost */
void host_sim_fail_change(host_sim *sim, uint64_t change, int error); /* that change (counted from 1) fails, once */
void host_sim_writeback(host_sim *sim); /* the kernel writes some dirty pieces back, unasked */

/* Changes are: create, write, resize, allocate, sync, rename, remove. How many there were so far. */
uint64_t host_sim_changes(const host_sim *sim);

/* The power fails instead of that change (counted from 1); 0: never. */
void host_sim_power_cut_at(host_sim *sim, uint64_t change);

/* The power fails now: from here on every call answers -EIO and what is stored into mappings is lost.
 * The code under test may still close what it has. host_sim_restart gives the machine back. */
void host_sim_power_cut(host_sim *sim);

/* The process dies now (kill -9): the same for the process, but the page cache lives: nothing stored so far is lost. */
void host_sim_kill(host_sim *sim);

bool host_sim_is_off(const host_sim *sim);

/* The machine, or the process, starts anew: descriptors, locks and sockets of before are gone, and so is the memory
 * that was mapped: close what the dead had open before this. */
void host_sim_restart(host_sim *sim);

/* A file as processes see it, to look at or to damage; NULL if there is none. Valid until its size changes or a
 * restart. */
uint8_t *host_sim_file(host_sim *sim, const char *directory, const char *name, size_t *bytes);

/* Put a file there, on disk, whole. Directory and file are made. */
void host_sim_put(host_sim *sim, const char *directory, const char *name, const void *from, size_t bytes);

/* Take a file away, from the disk too. */
void host_sim_drop(host_sim *sim, const char *directory, const char *name);

/* ---- Sockets ----------------------------------------------------------------------------------------------------- */

int host_sim_socket(host_sim *sim); /* connected; numbers from 1000 on, never used twice */
void host_sim_peer_send(host_sim *sim, int socket, const void *from, size_t bytes);
size_t host_sim_peer_take(host_sim *sim, int socket, void *to, size_t room); /* what the code sent; how many bytes */
size_t host_sim_peer_waiting(const host_sim *sim, int socket);               /* sent by the code and not taken */
void host_sim_peer_close(host_sim *sim, int socket); /* receive: what is left, then 0; send: -EPIPE */
void host_sim_socket_room(host_sim *sim, int socket,
                          size_t bytes); /* outbox holds so many, then -EAGAIN; at first 2^20 */
void host_sim_socket_chunks(host_sim *sim, int socket, size_t receive_max,
                            size_t send_max);                    /* at most so many a call */
void host_sim_socket_fail(host_sim *sim, int socket, int error); /* every call answers -error */
bool host_sim_socket_closed(const host_sim *sim, int socket);    /* by the code under test */

#endif
