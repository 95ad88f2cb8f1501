"""Who may send, and to whom: what the mailroom says to MAIL and RCPT, at once where it can."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mailwright.delivery.judging import FINE, Judge
from mailwright.delivery.permission import Permissions
from mailwright.delivery.reception import Verdict
from mailwright.delivery.routing import Route, Router
from mailwright.hooks import RecipientGiven, SenderGiven
from mailwright.hooks.caller import Hooks
from mailwright.smtp import replies
from mailwright.smtp.api import Answer, Envelope, Recipient, Role, SessionInfo
from mailwright.smtp.replies import Reply
from mailwright.smtp.syntax.path import Path

Note = Callable[[SessionInfo, Envelope, Reply, Sequence[Verdict]], None]


class Admission:
    """See `smtp.api.Mailroom` for the two questions; `note` keeps a record of each refusal."""

    def __init__(
        self, router: Router, permissions: Permissions, judge: Judge, hooks: Hooks, note: Note
    ) -> None:
        self._router = router
        self._permissions = permissions
        self._judge = judge
        self._hooks = hooks
        self._note = note

    def check_sender(self, info: SessionInfo, reverse_path: Path) -> Answer:
        """On submission the sender must belong to the account (RFC 6409 6.1), which must be within its limits."""
        account = info.account
        if not self._hooks.wants(SenderGiven) and (
            account is None or self._permissions.may_send(account.id, _address(reverse_path))
        ):
            return None
        return self._judge_sender(info, reverse_path)

    async def _judge_sender(self, info: SessionInfo, reverse_path: Path) -> Reply | None:
        refusal: Reply | None = None
        judgement = FINE
        if info.role is Role.SUBMISSION and info.account is not None:
            refusal = await self._permissions.check_sender(info.account.id, _address(reverse_path))
        if refusal is None:
            judgement = await self._judge.of_sender(info, reverse_path)
            refusal = judgement.refusal
        if refusal is not None:
            self._note(info, Envelope(reverse_path), refusal, judgement.verdicts)
        return refusal

    def check_recipient(self, info: SessionInfo, envelope: Envelope, forward_path: Path) -> Answer:
        """Only our users relay, and only on submission; what cannot be delivered is refused here, not bounced."""
        route = self._router.known(forward_path)
        if (
            route is not None
            and not self._hooks.wants(RecipientGiven)
            and _refuse_route(info, envelope, route) is None
            and (route.local or self._may_send_to(info, route.remote))
        ):
            return None
        return self._judge_recipient(info, envelope, forward_path)

    def _may_send_to(self, info: SessionInfo, addresses: Sequence[str]) -> bool:
        account = info.account
        return account is not None and all(
            self._permissions.may_send_to(account.id, address) for address in addresses
        )

    async def _judge_recipient(
        self, info: SessionInfo, envelope: Envelope, forward_path: Path
    ) -> Reply | None:
        refusal = await self._refuse_recipient(info, envelope, forward_path)
        judgement = FINE
        if refusal is None:
            judgement = await self._judge.of_recipient(info, envelope, forward_path)
            refusal = judgement.refusal
        if refusal is not None:
            refused = envelope._replace(recipients=(Recipient(forward_path),))
            self._note(info, refused, refusal, judgement.verdicts)
        return refusal

    async def _refuse_recipient(
        self, info: SessionInfo, envelope: Envelope, forward_path: Path
    ) -> Reply | None:
        route = await self._router.route(forward_path)
        refusal = _refuse_route(info, envelope, route)
        if refusal is None and not route.local and info.account is not None:
            for address in route.remote:
                refusal = refusal or await self._permissions.check_recipient(info.account.id, address)
        return refusal


def _address(path: Path) -> str:
    """As the store knows it; '' for the null reverse-path."""
    return "" if path.is_null else f"{path.local}@{path.domain}"


def may_use(info: SessionInfo, route: Route) -> bool:
    """Only our users relay, and only on submission."""
    if route.local or route.refusal is not None:
        return True
    return info.role is Role.SUBMISSION and info.account is not None


def _refuse_route(info: SessionInfo, envelope: Envelope, route: Route) -> Reply | None:
    """What is wrong with a recipient, by where it leads."""
    if route.refusal is not None:
        return route.refusal
    if not may_use(info, route):
        return replies.RELAY_DENIED
    if route.room is not None and route.room < max(envelope.size, 1):
        return replies.OVER_QUOTA
    return None
