"""Each capability that is advertised is proved: in some dialog a client uses it and is answered as its RFC says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from imap.dialog import Dialog, read_dialogs
from imap.house import Directory
from mailwright.base.clock import ManualClock
from mailwright.base.limits import Limits
from mailwright.imap.capabilities import capabilities
from mailwright.imap.service import Service

FOLDER = Path(__file__).parent
DIALOGS = read_dialogs(FOLDER / "dialogs")


class Proof(NamedTuple):
    """What a client says, and what the server answers to that in the same dialog."""

    said: str
    answered: str


class Elsewhere(NamedTuple):
    """A test that is no dialog."""

    module: str
    test: str


PROOFS: dict[str, Proof | Elsewhere] = {
    "IMAP4rev1": Proof(r"FETCH 1", r"\* 1 FETCH"),
    "IMAP4rev2": Proof(r"ENABLE IMAP4rev2", r"\* ENABLED IMAP4rev2"),
    "LITERAL+": Proof(r"\{\|\+\}", r"\w+ OK"),
    "SASL-IR": Proof(r"AUTHENTICATE PLAIN \S", r"\w+ OK"),
    "ID": Proof(r"ID ", r"\* ID "),
    "ENABLE": Proof(r"ENABLE CONDSTORE", r"\* ENABLED CONDSTORE"),
    "LANGUAGE": Proof(r"LANGUAGE", r"\* LANGUAGE"),
    "NAMESPACE": Proof(r"NAMESPACE", r"\* NAMESPACE \(\(.*\)\) \(\(.*\)\) \(\(.*\)\)"),
    "IDLE": Proof(r"IDLE", r"\* \d+ EXISTS"),
    "UIDPLUS": Proof(r"UID EXPUNGE \d", r"\* \d+ EXPUNGE"),
    "UNSELECT": Proof(r"UNSELECT", r"\w+ OK"),
    "MOVE": Proof(r"MOVE 1", r"\* OK \[COPYUID"),
    "CHILDREN": Proof(r"LIST .*RETURN .*CHILDREN", r"\* LIST .*\\HasChildren"),
    "SPECIAL-USE": Proof(r"LIST .*SPECIAL-USE", r"\* LIST .*\\Sent"),
    "CREATE-SPECIAL-USE": Proof(r"CREATE .*USE \(", r"\w+ OK"),
    "LIST-EXTENDED": Proof(r"LIST \(.*RECURSIVEMATCH", r"\* LIST .*CHILDINFO"),
    "LIST-STATUS": Proof(r"LIST .*RETURN .*STATUS \(", r"\* STATUS"),
    "STATUS=SIZE": Proof(r"STATUS .*\(.*SIZE", r"\* STATUS .*SIZE \S"),
    "ESEARCH": Proof(r"SEARCH RETURN \((MIN|COUNT|ALL)", r"\* ESEARCH \(TAG"),
    "SEARCHRES": Proof(r"(FETCH|STORE|COPY) \$", r"\* \d+ FETCH"),
    "WITHIN": Proof(r"SEARCH .*(YOUNGER|OLDER)", r"\* SEARCH \d"),
    "CONDSTORE": Proof(r"STORE .*UNCHANGEDSINCE", r"\w+ OK \[MODIFIED"),
    "QRESYNC": Proof(r"SELECT .*QRESYNC \(", r"\* VANISHED \(EARLIER\)"),
    "UIDONLY": Proof(r"ENABLE UIDONLY", r"\* \d+ UIDFETCH"),
    "NOTIFY": Proof(r"NOTIFY SET \(personal", r"\* STATUS"),
    "MULTIAPPEND": Proof(r"APPEND \S+ .*\{\|\+?\}.*", r"\w+ OK \[APPENDUID \S+ \d+:\d+\]"),
    "ACL": Proof(r"GETACL", r"\* ACL"),
    "RIGHTS=texk": Proof(r"LISTRIGHTS", r"\* LISTRIGHTS .*\bt\b"),
    "LIST-MYRIGHTS": Proof(r"LIST .*RETURN .*MYRIGHTS", r"\* MYRIGHTS"),
    "METADATA": Proof(r"GETMETADATA", r"\* METADATA"),
    "LIST-METADATA": Proof(r"LIST .*RETURN .*METADATA \(", r"\* METADATA"),
    "QUOTA": Proof(r"GETQUOTAROOT", r"\* QUOTAROOT"),
    "QUOTA=RES-STORAGE": Proof(r"GETQUOTA", r"\* QUOTA .*STORAGE \d"),
    "QUOTA=RES-MESSAGE": Proof(r"GETQUOTA", r"\* QUOTA .*MESSAGE \d"),
    "QUOTA=RES-MAILBOX": Proof(r"GETQUOTA", r"\* QUOTA .*MAILBOX \d"),
    "SORT": Proof(r"SORT \(SUBJECT\)", r"\* SORT \d"),
    "SORT=DISPLAY": Proof(r"SORT \(.*DISPLAY(FROM|TO)", r"\* (E?SEARCH|SORT)"),
    "ESORT": Proof(r"SORT RETURN \(", r"\* ESEARCH"),
    "CONTEXT=SEARCH": Proof(r"SEARCH RETURN \(.*UPDATE", r"\* ESEARCH .*(ADDTO|REMOVEFROM)"),
    "CONTEXT=SORT": Proof(r"SORT RETURN \(.*UPDATE", r"\* ESEARCH .*(ADDTO|REMOVEFROM)"),
    "THREAD=ORDEREDSUBJECT": Proof(r"THREAD ORDEREDSUBJECT", r"\* THREAD \("),
    "THREAD=REFERENCES": Proof(r"THREAD REFERENCES", r"\* THREAD \("),
    "SEARCH=FUZZY": Proof(r"SEARCH .*FUZZY", r"\* E?SEARCH"),
    "PARTIAL": Proof(r"(SEARCH RETURN|FETCH) .*PARTIAL", r"\* (ESEARCH .*PARTIAL|\d+ FETCH)"),
    "MULTISEARCH": Proof(r"ESEARCH IN \(", r"\* ESEARCH .*MAILBOX"),
    "I18NLEVEL=1": Proof(r"SEARCH SUBJECT .GRÜSSE", r"\* SEARCH \d"),
    "INPROGRESS": Elsewhere("test_progress", "test_long_work_is_told_of_until_it_is_done"),
    "PREVIEW": Proof(r"FETCH .*PREVIEW", r"\* \d+ FETCH \(.*PREVIEW \""),
    "SAVEDATE": Proof(r"FETCH .*SAVEDATE", r"\* \d+ FETCH \(.*SAVEDATE \""),
    "OBJECTID": Proof(r"FETCH .*EMAILID", r"\* \d+ FETCH \(.*EMAILID \("),
    "CATENATE": Proof(r"APPEND .*CATENATE \(URL", r"\w+ OK \[APPENDUID"),
    "REPLACE": Proof(r"REPLACE 1", r"\* OK \[APPENDUID"),
    "BINARY": Proof(r"FETCH .*BINARY", r"\* \d+ FETCH \(.*BINARY\["),
    "COMPRESS=DEFLATE": Elsewhere("test_deflated", "test_"),
    "UNAUTHENTICATE": Proof(r"UNAUTHENTICATE", r"\w+ OK"),
    "UTF8=ACCEPT": Proof(r"ENABLE UTF8=ACCEPT", r"\* LIST .*[^\x00-\x7f]"),
    "URLAUTH": Proof(r"URLFETCH", r"\* URLFETCH"),
    "URLAUTH=BINARY": Proof(r"URLFETCH \(.*BINARY\)", r"\* URLFETCH .*BINARY"),
    "APPENDLIMIT": Proof(r"APPEND", r"\w+ NO \[TOOBIG\]"),
    "MESSAGELIMIT": Proof(r"FETCH 1:\*", r"\w+ OK \[MESSAGELIMIT \d+ \d+\]"),
    "STARTTLS": Proof(r"STARTTLS", r"\w+ OK"),
    "LOGINDISABLED": Proof(r"LOGIN", r"\w+ (NO|BAD) \[PRIVACYREQUIRED\]"),
    "AUTH=PLAIN": Proof(r"AUTHENTICATE PLAIN", r"\w+ OK"),
    "AUTH=LOGIN": Proof(r"AUTHENTICATE LOGIN", r"\w+ OK"),
    "AUTH=SCRAM-SHA-256": Elsewhere("../sasl/test_login", "test_every_mechanism_from_client_to_account"),
    "AUTH=SCRAM-SHA-256-PLUS": Elsewhere("../sasl/test_login", "test_every_mechanism_from_client_to_account"),
}


def advertised() -> set[str]:
    """Every word that any client can be told, without what follows its number."""
    service = Service(
        None,  # type: ignore[arg-type]
        Directory({}),
        ManualClock(0),
        hostname="h",
        server_secret=b"s",
        limits=Limits(imap_messages=1000),
        tls=object,  # type: ignore[arg-type]
    )
    texts = [
        capabilities(service, encrypted, logged_in, bound)
        for encrypted in (False, True)
        for logged_in in (False, True)
        for bound in (False, True)
    ]
    words = {word for text in texts for word in text.split()}
    return {re.sub(r"^(APPENDLIMIT|MESSAGELIMIT)=\d+$", r"\1", word) for word in words}


def test_all_that_is_advertised_is_proved_and_nothing_else() -> None:
    assert advertised() == PROOFS.keys()


@pytest.mark.parametrize("word", sorted(PROOFS))
def test_it_is_used_and_answered(word: str) -> None:
    proof = PROOFS[word]
    if isinstance(proof, Elsewhere):
        assert f"def {proof.test}" in (FOLDER / f"{proof.module}.py").read_text()
        return
    assert any(_proves(dialog, proof) for dialog in DIALOGS), f"no dialog shows {word}"


def _proves(dialog: Dialog, proof: Proof) -> bool:
    said = re.compile(r"\S+ (UID )?.*?" + proof.said, re.I | re.S)
    answered = re.compile(proof.answered, re.S)
    client = 0
    for turn in dialog.turns:
        if turn.speaker == "C" and said.match(turn.text):
            client = turn.client
        elif turn.speaker == "S" and turn.client == client and answered.match(turn.text):
            return True
    return False
