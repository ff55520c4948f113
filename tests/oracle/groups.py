"""Section 1: which records form a group, and whether they may stand where they stand.

text(key 1, 7)  nonce(key 1, 8)  new_order(key 1, 9)     one group of three
text(key 1, 7)  new_order(key 2, 1)                      a void prefix; a group of one
text(key 1, 7)  text(key 1, 8)  new_order(key 1, 9)      a void prefix; a group of two
"""

from __future__ import annotations

from schemas.vocabulary import (
    CODE_TEXT,
    KIND_CLASS,
    Code,
    Digest,
    Header,
    Kind,
    Logoff,
    LogoffReason,
    Logon,
    LogonOption,
    Record,
    Refused,
    Term,
)
from tests.oracle import commands
from tests.oracle.state import State


class RecordInvalid(Exception):
    """These records can't stand here; nothing changed. CORE_E_RECORD of the core."""


class Diverged(Exception):
    """A digest record names another state; nothing changed. CORE_E_DIVERGED of the core."""


def kind_of(record: Record) -> int:
    return record.command[0]


def is_prefix(record: Record) -> bool:
    return is_recorded(kind_of(record)) and KIND_CLASS[kind_of(record)] == "prefix"


def is_recorded(kind: int) -> bool:
    return kind in commands.LAYOUTS


def uses_client_sequence(kind: int) -> bool:
    """System records speak for the engine; of them only `refused` stands for a client's frame."""
    return is_recorded(kind) and (KIND_CLASS[kind] != "system" or kind == Kind.REFUSED)


def follows(prefix: Record, record: Record) -> bool:
    """Whether a record stands directly behind a prefix, so that the prefix belongs to it."""
    expected = Header.unpack(prefix.command).client_sequence + 1
    return (
        record.key == prefix.key
        and Header.unpack(record.command).client_sequence == expected
        and uses_client_sequence(kind_of(record))
    )


def group_count(records: list[Record]) -> int:
    """How many of the records form the first group; 0 if more are needed to tell."""
    count = 1
    while is_prefix(records[count - 1]):
        if count == len(records):
            return 0
        kinds_so_far = {kind_of(record) for record in records[:count]}
        if not follows(records[count - 1], records[count]) or kind_of(records[count]) in kinds_so_far:
            return count
        count += 1
    return count


def whole_groups(records: list[Record]) -> list[list[Record]]:
    """The groups that the records begin with; a prefix at the end waits for what follows."""
    whole = []
    while records and (count := group_count(records)) > 0:
        whole.append(records[:count])
        records = records[count:]
    return whole


def require(holds: bool, sentence: str) -> None:
    if not holds:
        raise RecordInvalid(sentence)


def check_records(state: State, group: list[Record]) -> None:
    """Raise RecordInvalid unless every record of the group may stand here."""
    received_ns = state.received_ns
    last_client_sequence = {number: key.last_client_sequence for number, key in state.keys.items()}
    for record in group:
        require(record.received_ns >= received_ns, f"received_ns must not fall below {received_ns}")
        received_ns = record.received_ns
        check_place(state, record, last_client_sequence)
        if KIND_CLASS[kind_of(record)] == "system":
            check_system_record(state, record)


def check_place(state: State, record: Record, last_client_sequence: dict[int, int]) -> None:
    """Kind, key and client sequence must fit each other and what came before."""
    kind = kind_of(record)
    client_sequence = Header.unpack(record.command).client_sequence
    require(is_recorded(kind), f"kind {kind} is not one that is recorded")
    require(record.key < state.options.key_count_max, f"key must be below {state.options.key_count_max}")
    if kind in (Kind.LOGON, Kind.LOGOFF):
        require(record.key > 0 and client_sequence == 0, "logon and logoff name a key and use no client sequence")
    elif not uses_client_sequence(kind):
        require(record.key == 0 and client_sequence == 0, "system records have key 0 and client sequence 0")
    else:
        require(record.key > 0, "a client's record has a key")
        expected = last_client_sequence.get(record.key, 0) + 1
        require(client_sequence == expected, f"client_sequence must be {expected}, was {client_sequence}")
        last_client_sequence[record.key] = client_sequence


def check_system_record(state: State, record: Record) -> None:
    """The engine's own records are well formed, or the journal is not one."""
    command = commands.decode(record)
    require(command.pack() == record.command, "unused bytes of a system record must be zero")
    require(command.flags == 0, "flags of a system record must be zero")
    if isinstance(command, Term):
        require(command.term > state.term, f"a term must be above {state.term}")
        require(command.nonce_window_ns <= 1 << 60, "a nonce window is within 2^60 ns")
    elif isinstance(command, Logon):
        require(command.options in (0, LogonOption.CANCEL_ON_DISCONNECT), "options must be of LogonOption")
    elif isinstance(command, Logoff):
        require(command.reason in list(LogoffReason), "reason must be a LogoffReason")
    elif isinstance(command, Refused):
        require(command.code in list(Code) and CODE_TEXT[command.code][0] == "reject", "code must be of class reject")


def digest_named(record: Record) -> int:
    return Digest.unpack(record.command).state_digest
