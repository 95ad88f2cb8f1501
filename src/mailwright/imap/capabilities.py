"""What is advertised, and when."""

from __future__ import annotations

from typing import Final

from mailwright.imap.service import Service
from mailwright.sasl.server import offered_mechanisms

# Each word here is proved by a dialog of its own.
_ALWAYS: Final = "IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR ID ENABLE LANGUAGE"
_LOGGED_IN: Final = (
    "NAMESPACE IDLE UIDPLUS UNSELECT MOVE CHILDREN SPECIAL-USE CREATE-SPECIAL-USE LIST-EXTENDED LIST-STATUS"
    " STATUS=SIZE ESEARCH SEARCHRES WITHIN CONDSTORE QRESYNC UIDONLY NOTIFY MULTIAPPEND"
    " ACL RIGHTS=texk LIST-MYRIGHTS METADATA LIST-METADATA QUOTA QUOTA=RES-STORAGE QUOTA=RES-MESSAGE QUOTA=RES-MAILBOX"
    " SORT SORT=DISPLAY ESORT CONTEXT=SEARCH CONTEXT=SORT THREAD=ORDEREDSUBJECT THREAD=REFERENCES SEARCH=FUZZY"
    " PARTIAL MULTISEARCH I18NLEVEL=1 INPROGRESS"
    " PREVIEW SAVEDATE OBJECTID CATENATE REPLACE BINARY COMPRESS=DEFLATE UNAUTHENTICATE UTF8=ACCEPT"
    " URLAUTH URLAUTH=BINARY"
)


def may_use_passwords(service: Service, encrypted: bool) -> bool:
    """Whether a password may come over this connection (RFC 3501 6.2.3, LOGINDISABLED)."""
    return encrypted or service.allow_plaintext_auth


def capabilities(service: Service, encrypted: bool, logged_in: bool, bound: bool) -> str:
    """The capabilities of a connection; `bound` when TLS gives data for channel binding."""
    words = [_ALWAYS]
    if logged_in:
        words += [_LOGGED_IN, f"APPENDLIMIT={service.limits.message_size}"]
        if service.limits.imap_messages:
            words.append(f"MESSAGELIMIT={service.limits.imap_messages}")
    else:
        if service.tls is not None and not encrypted:
            words.append("STARTTLS")
        if may_use_passwords(service, encrypted):
            words += [f"AUTH={name}" for name in offered_mechanisms(service.mechanisms, bound)]
        else:
            words.append("LOGINDISABLED")
    return " ".join(words)
