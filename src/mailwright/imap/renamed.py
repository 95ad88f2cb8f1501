"""LIST responses for what NOTIFY tells of names: made, renamed, deleted, subscribed (RFC 5465 5.4, 5.5, 5.9)."""

from __future__ import annotations

from collections.abc import Callable, Set

from mailwright.imap import responses
from mailwright.imap.view import Key
from mailwright.imap.watched import Known

Names = dict[str, Known]


def tell_names(
    account: int,
    events_for: Callable[[Known], frozenset[str]],
    before: Names,
    after: Names,
    own: Set[str],
    utf8: bool,
) -> bytes:
    """The responses of an account that saw `before` and sees `after`; what it did itself (`own` names) is left out."""

    def wanted(name: str, old_name: str) -> frozenset[str]:
        seen = [known for known in (after.get(name), before.get(old_name)) if known is not None]
        return frozenset().union(*map(events_for, seen or [_nothing(name)]))

    output: dict[str, bytes] = {}
    for name, old_name in _affected(before, after, own).items():
        if "MAILBOXNAME" in wanted(name, old_name or name):
            shown = after.get(name) or _nothing(name)
            output[name] = responses.listing(name, shown.attributes, utf8=utf8, old_name=old_name)
    lost = _by_key(before).keys() - _by_key(after).keys()
    for name in sorted((before.keys() | after.keys()) - output.keys() - own):
        now, then, events = after.get(name), before.get(name), wanted(name, name)
        if _is_subscribed(now) != _is_subscribed(then) and "SUBSCRIPTIONCHANGE" in events:
            output[name] = responses.listing(name, (now or _nothing(name)).attributes, utf8=utf8)
        elif (
            events and _is_anothers(now or then, account) and (now is not None or (then and then.key in lost))
        ):
            output[name] = _tell_access(name, now, then, utf8)
    return b"".join(output.values())


def _affected(before: Names, after: Names, own: Set[str]) -> dict[str, str]:
    """The names that mailboxes and their parents got, kept or lost, each with its name before if it was another."""
    was, now = _by_key(before), _by_key(after)
    moved = {was[key]: name for key, name in now.items() if was.get(key, name) != name}
    affected: dict[str, str] = {}
    for name in [was[key] for key in was if key not in now] + [now[key] for key in now if key not in was]:
        if not _is_own(name, own):
            parent = name.rpartition("/")[0]
            affected[name] = ""
            if parent:
                affected.setdefault(parent, "")
    for old, new in moved.items():
        if not _is_own(new, own) and not _went_with_its_parent(old, new, moved):
            affected[new] = old
    return affected


def _by_key(names: Names) -> dict[Key, str]:
    return {known.key: known.name for known in names.values() if known.key is not None}


def _went_with_its_parent(old: str, new: str, moved: dict[str, str]) -> bool:
    """Of these nothing is told (RFC 5465 5.4)."""
    above, _, leaf = old.rpartition("/")
    return bool(above) and f"{moved.get(above, '')}/{leaf}" == new


def _is_own(name: str, own: Set[str]) -> bool:
    """Whether the client changed this name, or made it as a level above one."""
    return name in own or any(one.startswith(name + "/") for one in own)


def _is_subscribed(known: Known | None) -> bool:
    return known is not None and known.subscribed


def _is_anothers(known: Known | None, account: int) -> bool:
    return known is not None and known.key is not None and known.key[0] != account


def _nothing(name: str) -> Known:
    return Known(name, None, ("\\NonExistent",), False)


def _tell_access(name: str, now: Known | None, then: Known | None, utf8: bool) -> bytes:
    r"""\NoAccess when another's mailbox is watched no more, and a response without it when it is again."""
    could, can = then is not None and then.readable, now is not None and now.readable
    if could == can:
        return b""
    attributes = [] if now is None else list(now.attributes)
    return responses.listing(name, attributes if can else [*attributes, "\\NoAccess"], utf8=utf8)
