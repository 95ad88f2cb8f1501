"""Arguments of NOTIFY (RFC 5465 8)."""

from __future__ import annotations

from typing import Final, NamedTuple

from mailwright.imap.syntax.fetch import Attribute, parse_attribute_list
from mailwright.imap.syntax.lexer import BadSyntax, Lexer
from mailwright.imap.syntax.multisearch import MAX_SOURCES, Source, parse_source

SELECTED: Final = frozenset({"SELECTED", "SELECTED-DELAYED"})
_MESSAGE: Final = frozenset({"MESSAGENEW", "MESSAGEEXPUNGE", "FLAGCHANGE"})
_MAILBOX: Final = frozenset(
    {"MAILBOXNAME", "SUBSCRIPTIONCHANGE", "MAILBOXMETADATACHANGE", "SERVERMETADATACHANGE"}
)
_BAD_EVENT: Final = (
    "BADEVENT (MessageNew MessageExpunge FlagChange"
    " MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange)"
)


class Group(NamedTuple):
    """Mailboxes and the events there, in capitals; `items` are to be fetched of new messages."""

    source: Source
    events: frozenset[str]
    items: tuple[Attribute, ...] = ()


class NotifyArgs(NamedTuple):
    """`groups` None: NOTIFY NONE. `status` asks for a STATUS response of each mailbox at once."""

    groups: tuple[Group, ...] | None
    status: bool = False


def parse_notify(lexer: Lexer) -> NotifyArgs:
    """Raises BadSyntax, for events that we do not know with NO [BADEVENT]."""
    word = lexer.word()
    if word == "NONE":
        return NotifyArgs(None)
    if word != "SET":
        raise BadSyntax("NOTIFY takes SET or NONE")
    lexer.space()
    status = lexer.peek() != 40
    if status:
        if lexer.word() != "STATUS":
            raise BadSyntax("expected STATUS or a group of events")
        lexer.space()
    groups = [_parse_group(lexer)]
    while lexer.peek() == 32 and lexer.pos + 1 < len(lexer.text):
        lexer.space()
        groups.append(_parse_group(lexer))
    if sum(1 for group in groups if group.source.kind in SELECTED) > 1:
        raise BadSyntax("SELECTED and SELECTED-DELAYED may stand only once")
    if sum(1 + len(group.source.names) for group in groups) > MAX_SOURCES:
        raise BadSyntax(f"At most {MAX_SOURCES} mailboxes", "NO", "LIMIT")
    return NotifyArgs(tuple(groups), status)


def _parse_group(lexer: Lexer) -> Group:
    lexer.expect(40)
    source = parse_source(lexer)
    if source.kind == "SUBTREE-ONE":
        raise BadSyntax("SUBTREE-ONE is for ESEARCH alone")
    lexer.space()
    events, items = _parse_events(lexer)
    lexer.expect(41)
    if "FLAGCHANGE" in events and "MESSAGENEW" not in events:
        raise BadSyntax("FlagChange needs MessageNew and MessageExpunge beside it")
    if ("MESSAGENEW" in events) != ("MESSAGEEXPUNGE" in events):
        raise BadSyntax("MessageNew and MessageExpunge go together")
    if source.kind in SELECTED and events & _MAILBOX:
        raise BadSyntax(f"{source.kind} takes events of messages alone")
    if items and source.kind not in SELECTED:
        raise BadSyntax("Only of the selected mailbox new messages can be fetched")
    return Group(source, events, items)


def _parse_events(lexer: Lexer) -> tuple[frozenset[str], tuple[Attribute, ...]]:
    if lexer.peek() != 40:
        if lexer.word() != "NONE":
            raise BadSyntax("expected NONE or a list of events")
        return frozenset(), ()
    lexer.expect(40)
    events: set[str] = set()
    items: tuple[Attribute, ...] = ()
    while True:
        event = lexer.word()
        if event not in _MESSAGE | _MAILBOX:
            raise BadSyntax("Not all of these events are known here", "NO", _BAD_EVENT)
        events.add(event)
        if lexer.accept(41):
            return frozenset(events), items
        lexer.space()
        if event == "MESSAGENEW" and lexer.peek() == 40:
            items = parse_attribute_list(lexer)
            if lexer.accept(41):
                return frozenset(events), items
            lexer.space()
