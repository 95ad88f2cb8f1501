"""What Python code of yours may have a say in, and hear of. See docs/hooks.md."""

from mailwright.hooks.api import (
    Answer,
    AttemptFinished,
    Client,
    Delivered,
    MessageArrived,
    Queued,
    RecipientGiven,
    RecipientResult,
    Redirect,
    Refuse,
    SenderGiven,
    Tag,
    on,
)

__all__ = [
    "Answer",
    "AttemptFinished",
    "Client",
    "Delivered",
    "MessageArrived",
    "Queued",
    "RecipientGiven",
    "RecipientResult",
    "Redirect",
    "Refuse",
    "SenderGiven",
    "Tag",
    "on",
]
