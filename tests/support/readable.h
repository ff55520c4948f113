/* Records and events in a form that people can read, for the moment when two readings of the rules differ. */
#ifndef IRONBOOK_TEST_READABLE_H
#define IRONBOOK_TEST_READABLE_H

#include <stdio.h>

#include "engine_node/core/vocabulary.h"

void print_record(FILE *to, const wire_record *record);
void print_event(FILE *to, const wire_report *event);

#endif
