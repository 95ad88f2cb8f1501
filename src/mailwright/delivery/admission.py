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
        if info.account is None and not self._hooks.wants(SenderGiven):
            return None
        return self._judge_sender(info, reverse_path)

    async def _judge_sender(self, info: SessionInfo, reverse_path: Path) -> Reply | None:
        refusal: Reply | None = None
        judgement = FINE
        if info.role is Role.SUBMISSION and info.account is not None:
            address = ""
            if reverse_path.local or reverse_path.domain:
                address = f"{reverse_path.local}@{reverse_path.domain}"
            refusal = await self._permissions.check_sender(info.account.id, address)
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
            route is None
            or not route.local
            or self._hooks.wants(RecipientGiven)
            or _refuse_route(info, envelope, route) is not None
        ):
            return self._judge_recipient(info, envelope, forward_path)
        return None

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


def _refuse_route(info: SessionInfo, envelope: Envelope, route: Route) -> Reply | None:
    """What is wrong with a recipient, by where it leads."""
    if route.refusal is not None:
        return route.refusal
    if not route.local and (info.role is not Role.SUBMISSION or info.account is None):
        return replies.RELAY_DENIED
    if route.room is not None and route.room < max(envelope.size, 1):
        return replies.OVER_QUOTA
    return None
