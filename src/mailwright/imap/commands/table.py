"""All commands, and the rules that hold for each."""

from __future__ import annotations

from typing import Final

from mailwright.imap.commands import (
    append,
    authenticate,
    capability,
    close,
    copy,
    create,
    delete,
    deleteacl,
    enable,
    expunge,
    fetch,
    getacl,
    getmetadata,
    getquota,
    getquotaroot,
    id,  # noqa: A004
    idle,
    list,  # noqa: A004
    listrights,
    login,
    logout,
    myrights,
    namespace,
    noop,
    rename,
    search,
    select,
    setacl,
    setmetadata,
    setquota,
    sort,
    starttls,
    status,
    store,
    subscribe,
    thread,
)
from mailwright.imap.commands.row import ANY, LOGGED_IN, Row, State, parse_nothing
from mailwright.imap.connection import Parser

_FRESH: Final = State.FRESH
_SELECTED: Final = State.SELECTED

TABLE: Final[dict[str, Row]] = {
    "CAPABILITY": Row(capability.run, parse_nothing, ANY),
    "NOOP": Row(noop.run, parse_nothing, ANY, reads_changes=True),
    "LOGOUT": Row(logout.run, parse_nothing, ANY),
    "ID": Row(id.run, id.parse, ANY),
    "STARTTLS": Row(starttls.run, parse_nothing, _FRESH),
    "AUTHENTICATE": Row(authenticate.run, authenticate.parse, _FRESH),
    "LOGIN": Row(login.run, login.parse, _FRESH),
    "ENABLE": Row(enable.run, enable.parse, LOGGED_IN),
    "SELECT": Row(select.run, select.parse, LOGGED_IN),
    "EXAMINE": Row(select.run, select.parse, LOGGED_IN),
    "CREATE": Row(create.run, create.parse, LOGGED_IN),
    "DELETE": Row(delete.run, delete.parse, LOGGED_IN),
    "RENAME": Row(rename.run, rename.parse, LOGGED_IN),
    "SUBSCRIBE": Row(subscribe.run, subscribe.parse, LOGGED_IN),
    "UNSUBSCRIBE": Row(subscribe.run, subscribe.parse, LOGGED_IN),
    "LIST": Row(list.run, list.parse, LOGGED_IN),
    "LSUB": Row(list.run, list.parse_old, LOGGED_IN),
    "NAMESPACE": Row(namespace.run, parse_nothing, LOGGED_IN),
    "STATUS": Row(status.run, status.parse, LOGGED_IN),
    "APPEND": Row(append.run, append.parse, LOGGED_IN),
    "SETACL": Row(setacl.run, setacl.parse, LOGGED_IN),
    "DELETEACL": Row(deleteacl.run, deleteacl.parse, LOGGED_IN),
    "GETACL": Row(getacl.run, getacl.parse, LOGGED_IN),
    "LISTRIGHTS": Row(listrights.run, listrights.parse, LOGGED_IN),
    "MYRIGHTS": Row(myrights.run, myrights.parse, LOGGED_IN),
    "GETMETADATA": Row(getmetadata.run, getmetadata.parse, LOGGED_IN),
    "SETMETADATA": Row(setmetadata.run, setmetadata.parse, LOGGED_IN),
    "GETQUOTA": Row(getquota.run, getquota.parse, LOGGED_IN),
    "GETQUOTAROOT": Row(getquotaroot.run, getquotaroot.parse, LOGGED_IN),
    "SETQUOTA": Row(setquota.run, setquota.parse, LOGGED_IN),
    "IDLE": Row(idle.run, parse_nothing, LOGGED_IN, reads_changes=True),
    "CHECK": Row(noop.run, parse_nothing, _SELECTED, reads_changes=True),
    "CLOSE": Row(close.run, parse_nothing, _SELECTED),
    "UNSELECT": Row(close.run, parse_nothing, _SELECTED),
    "EXPUNGE": Row(expunge.run, parse_nothing, _SELECTED, reads_changes=True),
    "UID EXPUNGE": Row(expunge.run, expunge.parse_uid, _SELECTED, reads_changes=True),
    "SEARCH": Row(search.run, search.parse, _SELECTED, uses_numbers=True),
    "UID SEARCH": Row(search.run, search.parse, _SELECTED),
    "SORT": Row(sort.run, sort.parse, _SELECTED, uses_numbers=True),
    "UID SORT": Row(sort.run, sort.parse, _SELECTED),
    "THREAD": Row(thread.run, thread.parse, _SELECTED, uses_numbers=True),
    "UID THREAD": Row(thread.run, thread.parse, _SELECTED),
    "FETCH": Row(fetch.run, fetch.parse, _SELECTED, uses_numbers=True),
    "UID FETCH": Row(fetch.run, fetch.parse, _SELECTED),
    "STORE": Row(store.run, store.parse, _SELECTED, uses_numbers=True),
    "UID STORE": Row(store.run, store.parse, _SELECTED),
    # COPY and MOVE name messages by number, but EXPUNGE may come before their reply (RFC 3501 7.4.1).
    "COPY": Row(copy.run, copy.parse, _SELECTED),
    "UID COPY": Row(copy.run, copy.parse, _SELECTED),
    "MOVE": Row(copy.run, copy.parse, _SELECTED),
    "UID MOVE": Row(copy.run, copy.parse, _SELECTED),
}
PARSERS: Final[dict[str, Parser]] = {name: row.parse for name, row in TABLE.items()}
