"""Search programs as values (RFC 3501 6.4.4, RFC 4731, 5032, 5182, 6203, 7162, 8474, 8514)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from mailwright.imap.syntax import flags as flag
from mailwright.imap.syntax.dates import parse_date
from mailwright.imap.syntax.lexer import MAX_NUMBER, MAX_NUMBER64, BadSyntax, Lexer
from mailwright.imap.syntax.objects import parse_object_id
from mailwright.imap.syntax.returns import ReturnOptions, parse_return
from mailwright.imap.syntax.sequence import Range, SequenceSet, parse_sequence_set
from mailwright.message.charset import codec_name

MAX_NESTING: Final = 50
MAX_KEYS: Final = 2000
# Some of many that are taken.
CHARSETS: Final = "US-ASCII UTF-8 GB18030 BIG5 SHIFT_JIS ISO-2022-JP EUC-KR KOI8-R WINDOWS-1252"


@dataclass(frozen=True)
class Key:
    """One criterion; its class says which."""


@dataclass(frozen=True)
class All(Key):
    """Every message."""


@dataclass(frozen=True)
class And(Key):
    keys: tuple[Key, ...]


@dataclass(frozen=True)
class Or(Key):
    first: Key
    second: Key


@dataclass(frozen=True)
class Not(Key):
    key: Key


@dataclass(frozen=True)
class Fuzzy(Key):
    """RFC 6203: the server may match more loosely; we match as without it."""

    key: Key


@dataclass(frozen=True)
class HasFlag(Key):
    mask: int


@dataclass(frozen=True)
class HasKeyword(Key):
    keyword: str


@dataclass(frozen=True)
class Recent(Key):
    """`\\Recent` in this session."""


@dataclass(frozen=True)
class Messages(Key):
    """A set of sequence numbers."""

    numbers: SequenceSet


@dataclass(frozen=True)
class Uids(Key):
    numbers: SequenceSet


@dataclass(frozen=True)
class Resolved(Key):
    """A message set as joined ranges of UIDs: never parsed, but put in the place of the two above."""

    ranges: tuple[Range, ...]


@dataclass(frozen=True)
class InText(Key):
    """A substring, in any case, of a header field, the body or the whole message.

    `where` is 'header' (of the field `name`; an empty value asks only that it is there), 'body' or 'text'.
    """

    where: str
    value: str
    name: str = ""


@dataclass(frozen=True)
class OnDay(Key):
    """`which` date is before, on or since (`order` '<', '=', '>=') a day (days since 1970-01-01).

    `which` is 'internal', 'sent' or 'saved'.
    """

    which: str
    order: str
    day: int


@dataclass(frozen=True)
class Size(Key):
    """RFC822.SIZE larger ('>') or smaller ('<') than so many octets."""

    order: str
    octets: int


@dataclass(frozen=True)
class Age(Key):
    """RFC 5032 2: the internal date is at least (YOUNGER) or at most (OLDER) the time so many seconds ago."""

    younger: bool
    seconds: int


@dataclass(frozen=True)
class ModifiedSince(Key):
    """RFC 7162 3.1.5: the mod-sequence is at least this."""

    modseq: int


@dataclass(frozen=True)
class HasId(Key):
    """RFC 8474: `which` is 'emailid' or 'threadid'; `number` is 0 when no object can have the id that was asked for."""

    which: str
    number: int


@dataclass(frozen=True)
class SearchArgs:
    """SEARCH. `returns` is None for the plain RFC 3501 command; `refusal` tells why one to be saved gets NO."""

    key: Key
    charset: str = "US-ASCII"
    returns: ReturnOptions | None = None
    uses_modseq: bool = field(default=False, compare=False)
    refusal: BadSyntax | None = field(default=None, compare=False)


def parse_search(lexer: Lexer) -> SearchArgs:
    """`[RETURN (...) ] [CHARSET x ] key...`.

    Raises BadSyntax with NO [BADCHARSET (...)] for an unknown charset.
    """
    returns = parse_return(lexer)
    charset = "US-ASCII"
    try:
        if lexer.text[lexer.pos : lexer.pos + 8].upper() == b"CHARSET ":
            lexer.pos += 8
            charset = parse_charset(lexer)
            lexer.space()
        return parse_keys(lexer, charset, returns)
    except BadSyntax as error:
        return refuse(lexer, returns, error)


def refuse(lexer: Lexer, returns: ReturnOptions | None, error: BadSyntax) -> SearchArgs:
    """A search that gets NO though it is to be saved: the session must know of it. Raises all other errors again."""
    if error.condition != "NO" or returns is None or "SAVE" not in returns.names:
        raise error
    lexer.pos = len(lexer.text)
    return SearchArgs(All(), returns=returns, refusal=error)


def parse_charset(lexer: Lexer) -> str:
    """The charset of the strings that are searched for; any that mail is written in will do."""
    charset = lexer.astring().decode("ascii", "replace").upper()
    if codec_name(charset) is None:
        raise BadSyntax("Search for text in UTF-8 instead", "NO", f"BADCHARSET ({CHARSETS})")
    return charset


def parse_keys(lexer: Lexer, charset: str, returns: ReturnOptions | None = None) -> SearchArgs:
    """The keys, up to the end of the command."""
    parser = _KeyParser(lexer, charset)
    key = parser.parse_program()
    if returns is not None and "RELEVANCY" in returns.names and not parser.uses_fuzzy:
        raise BadSyntax("RELEVANCY needs a FUZZY search")  # RFC 6203 4
    return SearchArgs(key, charset, returns, parser.uses_modseq)


class _KeyParser:
    """Counts keys and nesting, so that a hostile program stays cheap."""

    __slots__ = ("_codec", "_count", "lexer", "uses_fuzzy", "uses_modseq")

    def __init__(self, lexer: Lexer, charset: str) -> None:
        self.lexer = lexer
        codec = codec_name(charset)
        self._codec = "utf_8" if codec in (None, "ascii") else codec
        self.uses_modseq = False
        self.uses_fuzzy = False
        self._count = 0

    def parse_program(self) -> Key:
        keys = [self.parse_key(0)]
        while self.lexer.peek() == 32 and self.lexer.pos + 1 < len(self.lexer.text):
            self.lexer.space()
            keys.append(self.parse_key(0))
        return keys[0] if len(keys) == 1 else And(tuple(keys))

    def parse_key(self, depth: int) -> Key:
        self._count += 1
        if depth > MAX_NESTING or self._count > MAX_KEYS:
            raise BadSyntax("The search is too complex", "NO", "LIMIT")
        lexer = self.lexer
        octet = lexer.peek()
        if octet == 40:
            return self._parse_list(depth)
        if octet in (36, 42) or 48 <= octet <= 57:  # '$', '*', digits
            return Messages(parse_sequence_set(lexer))
        word = lexer.word()
        simple = _SIMPLE.get(word)
        if simple is not None:
            return simple
        if word == "NOT":
            lexer.space()
            return Not(self.parse_key(depth + 1))
        if word == "OR":
            lexer.space()
            first = self.parse_key(depth + 1)
            lexer.space()
            return Or(first, self.parse_key(depth + 1))
        if word == "FUZZY":
            lexer.space()
            self.uses_fuzzy = True
            return Fuzzy(self.parse_key(depth + 1))
        if word == "MODSEQ":
            self.uses_modseq = True
        if word in _TEXTS:
            lexer.space()
            return self._parse_text(word)
        parse = _WITH_ARGUMENT.get(word)
        if parse is None:
            raise BadSyntax(f"Unknown search key {word}")
        lexer.space()
        return parse(lexer, word)

    def _parse_list(self, depth: int) -> Key:
        self.lexer.expect(40)
        keys = [self.parse_key(depth + 1)]
        while not self.lexer.accept(41):
            self.lexer.space()
            keys.append(self.parse_key(depth + 1))
        return keys[0] if len(keys) == 1 else And(tuple(keys))

    def _parse_text(self, word: str) -> Key:
        if word in ("BODY", "TEXT"):
            return InText(word.lower(), self._string())
        name = word.lower()
        if word == "HEADER":
            name = self.lexer.astring().decode("utf-8", "replace").lower().rstrip(":")
            self.lexer.space()
        return InText("header", self._string(), name)

    def _string(self) -> str:
        # Undecodable octets become U+FFFD, which is in no decoded text: nothing is found. A guess would cost too much.
        return self.lexer.astring().decode(self._codec, "replace")


def _parse_day(lexer: Lexer, word: str) -> Key:
    which, name = "internal", word
    if word.startswith("SENT"):
        which, name = "sent", word[4:]
    elif word.startswith("SAVED"):
        which, name = "saved", word[5:]
    return OnDay(which, {"BEFORE": "<", "ON": "=", "SINCE": ">="}[name], parse_date(lexer))


def _parse_size(lexer: Lexer, word: str) -> Key:
    return Size(">" if word == "LARGER" else "<", lexer.number(MAX_NUMBER64))


def _parse_age(lexer: Lexer, word: str) -> Key:
    seconds = lexer.number()
    if seconds == 0:
        raise BadSyntax(f"{word} needs a number of seconds above 0")
    return Age(word == "YOUNGER", seconds)


def _parse_keyword(lexer: Lexer, word: str) -> Key:
    key = HasKeyword(flag.parse_keyword(lexer))
    return key if word == "KEYWORD" else Not(key)


def _parse_uids(lexer: Lexer, word: str) -> Key:
    return Uids(parse_sequence_set(lexer))


def _parse_uid_bound(lexer: Lexer, word: str) -> Key:
    """UIDBEFORE and UIDAFTER (RFC 9738 3.2)."""
    uid = lexer.number()
    low, high = (1, uid - 1) if word == "UIDBEFORE" else (uid + 1, MAX_NUMBER)
    return Uids(SequenceSet(((low, high),) if low <= high else ()))


def _parse_modseq(lexer: Lexer, word: str) -> Key:
    # The entry name and type are a restriction that we, keeping one mod-sequence a message, need not heed.
    if lexer.peek() == 34:
        lexer.string()
        lexer.space()
        if lexer.word() not in ("PRIV", "SHARED", "ALL"):
            raise BadSyntax("expected priv, shared or all")
        lexer.space()
    return ModifiedSince(lexer.number(MAX_NUMBER64))


def _parse_id(lexer: Lexer, word: str) -> Key:
    value = lexer.astring().decode("ascii", "replace")
    return HasId(word.lower(), parse_object_id(value, "M" if word == "EMAILID" else "T"))


_SIMPLE: Final[dict[str, Key]] = {
    "ALL": All(),
    "ANSWERED": HasFlag(flag.ANSWERED),
    "DELETED": HasFlag(flag.DELETED),
    "DRAFT": HasFlag(flag.DRAFT),
    "FLAGGED": HasFlag(flag.FLAGGED),
    "SEEN": HasFlag(flag.SEEN),
    "UNANSWERED": Not(HasFlag(flag.ANSWERED)),
    "UNDELETED": Not(HasFlag(flag.DELETED)),
    "UNDRAFT": Not(HasFlag(flag.DRAFT)),
    "UNFLAGGED": Not(HasFlag(flag.FLAGGED)),
    "UNSEEN": Not(HasFlag(flag.SEEN)),
    "RECENT": Recent(),
    "OLD": Not(Recent()),
    "SAVEDATESUPPORTED": All(),
    "NEW": And((Recent(), Not(HasFlag(flag.SEEN)))),
}
_TEXTS: Final = frozenset(("BCC", "BODY", "CC", "FROM", "HEADER", "SUBJECT", "TEXT", "TO"))
_WITH_ARGUMENT: Final[dict[str, Callable[[Lexer, str], Key]]] = {
    "BEFORE": _parse_day,
    "ON": _parse_day,
    "SINCE": _parse_day,
    "SENTBEFORE": _parse_day,
    "SENTON": _parse_day,
    "SENTSINCE": _parse_day,
    "LARGER": _parse_size,
    "SMALLER": _parse_size,
    "OLDER": _parse_age,
    "YOUNGER": _parse_age,
    "KEYWORD": _parse_keyword,
    "UNKEYWORD": _parse_keyword,
    "UID": _parse_uids,
    "UIDAFTER": _parse_uid_bound,
    "UIDBEFORE": _parse_uid_bound,
    "MODSEQ": _parse_modseq,
    "SAVEDBEFORE": _parse_day,
    "SAVEDON": _parse_day,
    "SAVEDSINCE": _parse_day,
    "EMAILID": _parse_id,
    "THREADID": _parse_id,
}
