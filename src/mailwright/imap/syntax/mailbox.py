"""Arguments of the commands about mailboxes: names, LIST and its extensions (RFC 5258), STATUS items."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from unicodedata import normalize

from mailwright.imap.mailbox_name import InvalidName, decode_name
from mailwright.imap.syntax.entries import parse_entries
from mailwright.imap.syntax.lexer import BadSyntax, Lexer

DELIMITER: Final = "/"
MAX_DEPTH: Final = 30
MAX_PATTERNS: Final = 100

STATUS_ITEMS: Final = frozenset(
    [
        "MESSAGES",
        "RECENT",
        "UIDNEXT",
        "UIDVALIDITY",
        "UNSEEN",
        "SIZE",
        "DELETED",
        "DELETED-STORAGE",
        "HIGHESTMODSEQ",
        "MAILBOXID",
        "APPENDLIMIT",
    ]
)
SPECIAL_USES: Final = {
    name.upper(): name
    for name in ("\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash", "\\Important")
}
SELECTION_OPTIONS: Final = frozenset({"SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE"})
RETURN_OPTIONS: Final = frozenset({"SUBSCRIBED", "CHILDREN", "SPECIAL-USE", "MYRIGHTS"})


def parse_mailbox(lexer: Lexer) -> str:
    """A mailbox name as text; any spelling of INBOX comes as `INBOX` (RFC 3501 5.1), also as a name's first level.

    Raises BadSyntax with NO [CANNOT] for octets that are no name.
    """
    wire = lexer.mailbox_atom()
    try:
        return normal_name(decode_name(wire, lexer.utf8))
    except InvalidName as error:
        raise BadSyntax(str(error), "NO", "CANNOT") from None


def normal_name(name: str) -> str:
    if name[:5].casefold() == "inbox" and (len(name) == 5 or name[5] == DELIMITER):
        return "INBOX" + name[5:]
    return name


def why_not_creatable(name: str) -> str:
    """Why no mailbox may be made with this name; '' when one may."""
    if not name:
        return "A mailbox needs a name"
    levels = name.split(DELIMITER)
    if len(levels) > MAX_DEPTH:
        return f"Mailboxes nest at most {MAX_DEPTH} levels deep"
    if "" in levels:
        return f"A level of the name between two '{DELIMITER}' is empty"
    if any(char in name for char in "*%"):
        return "A mailbox name may not hold the wildcards '*' and '%'"
    if name.startswith("#"):
        return "Names that begin with '#' are reserved"
    return ""


class ListArgs(NamedTuple):
    """LIST and LSUB. `patterns` are text; `extended` tells that the RFC 5258 form was used."""

    reference: str
    patterns: tuple[str, ...]
    selection: frozenset[str] = frozenset()
    returns: frozenset[str] = frozenset()
    status: tuple[str, ...] = ()
    extended: bool = False
    metadata: tuple[str, ...] = ()  # entries (RFC 9590)
    utf8: bool = False  # names are shown in UTF-8


def parse_list(lexer: Lexer) -> ListArgs:
    """LIST with RFC 5258 selection and return options, LIST-STATUS (RFC 5819) and SPECIAL-USE (RFC 6154)."""
    selection: frozenset[str] = frozenset()
    extended = False
    if lexer.peek() == 40:
        selection = _parse_selection(lexer)
        lexer.space()
        extended = True
    reference = _name_or_nothing(lexer.mailbox_atom(), lexer.utf8) or ""
    lexer.space()
    if lexer.peek() == 40:
        patterns = _parse_patterns(lexer)
        extended = True
    else:
        patterns = (_name_or_nothing(lexer.list_mailbox(), lexer.utf8),)
    returns: list[str] = []
    status: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    if lexer.peek() == 32 and lexer.pos + 1 < len(lexer.text):
        lexer.space()
        if lexer.word() != "RETURN":
            raise BadSyntax("expected RETURN after the patterns")
        lexer.space()
        returns, status, metadata = _parse_returns(lexer)
        extended = True
    known = tuple(pattern for pattern in patterns if pattern is not None)
    return ListArgs(reference, known, selection, frozenset(returns), status, extended, metadata, lexer.utf8)


def parse_lsub(lexer: Lexer) -> ListArgs:
    reference = _name_or_nothing(lexer.mailbox_atom(), lexer.utf8) or ""
    lexer.space()
    pattern = _name_or_nothing(lexer.list_mailbox(), lexer.utf8)
    return ListArgs(reference, () if pattern is None else (pattern,), utf8=lexer.utf8)


def _name_or_nothing(wire: bytes, utf8: bool) -> str | None:
    """A pattern as text, in NFC as names are kept; None when it is no name, so that it matches nothing."""
    try:
        return normalize("NFC", decode_name(wire, utf8))
    except InvalidName:
        return None


def _parse_selection(lexer: Lexer) -> frozenset[str]:
    options = frozenset(parse_words(lexer))
    unknown = options - SELECTION_OPTIONS
    if unknown:
        raise BadSyntax(f"Unknown selection option {min(unknown)}")
    if "RECURSIVEMATCH" in options and not options & {"SUBSCRIBED", "SPECIAL-USE"}:
        # RFC 5258 3.1: RECURSIVEMATCH alone is an error.
        raise BadSyntax("RECURSIVEMATCH needs SUBSCRIBED or SPECIAL-USE beside it")
    return options


def _parse_patterns(lexer: Lexer) -> tuple[str | None, ...]:
    lexer.expect(40)
    patterns = [_name_or_nothing(lexer.list_mailbox(), lexer.utf8)]
    while not lexer.accept(41):
        lexer.space()
        patterns.append(_name_or_nothing(lexer.list_mailbox(), lexer.utf8))
    if len(patterns) > MAX_PATTERNS:
        raise BadSyntax(f"At most {MAX_PATTERNS} patterns", "NO", "LIMIT")
    return tuple(patterns)


def _parse_returns(lexer: Lexer) -> tuple[list[str], tuple[str, ...], tuple[str, ...]]:
    """The options without arguments, STATUS's items (RFC 5819) and METADATA's entries (RFC 9590)."""
    lexer.expect(40)
    found: list[str] = []
    status: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    while not lexer.accept(41):
        if found or status or metadata:
            lexer.space()
        word = lexer.word()
        if word == "STATUS":
            lexer.space()
            status = parse_status_items(lexer)
        elif word == "METADATA":
            lexer.space()
            metadata = parse_entries(lexer)
        elif word in RETURN_OPTIONS:
            found.append(word)
        else:
            raise BadSyntax(f"Unknown return option {word}")
    return found, status, metadata


def parse_words(lexer: Lexer) -> list[str]:
    """A parenthesised list of words, maybe empty."""
    lexer.expect(40)
    words: list[str] = []
    while not lexer.accept(41):
        if words:
            lexer.space()
        words.append(lexer.word())
    return words


def parse_status_items(lexer: Lexer) -> tuple[str, ...]:
    """`(MESSAGES UIDNEXT)`, each item once, in the client's order."""
    words = parse_words(lexer)
    if not words:
        raise BadSyntax("STATUS needs at least one item")
    for word in words:
        if word not in STATUS_ITEMS:
            raise BadSyntax(f"Unknown status item {word}")
    return tuple(dict.fromkeys(words))


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A LIST pattern for `fullmatch`: `*` matches anything, `%` anything within one level (RFC 3501 6.3.8).

    The earliest match of each piece is the best one, so pieces are atomic and matching never explodes.
    """
    head = normal_name(pattern)
    stars = re.split(r"\*+", head)
    parts = [_compile_levels(stars[0], last=len(stars) == 1)]
    for index, piece in enumerate(stars[1:], 2):
        last = index == len(stars)
        if last:
            parts.append(".*" if not piece else ".*?" + _compile_levels(piece, last=True))
        else:
            parts.append(f"(?>.*?{_compile_levels(piece, last=False)})")
    return re.compile("".join(parts), re.DOTALL)


def _compile_levels(piece: str, last: bool) -> str:
    """A piece between two `*`; `last` when the end of the name must follow."""
    level = f"[^{DELIMITER}]*"
    texts = [re.escape(text) for text in re.split(r"%+", piece)]
    parts = [texts[0]]
    for index, text in enumerate(texts[1:], 2):
        if index == len(texts):
            parts.append((level if not text else f"{level}?{text}") if last else f"(?>{level}?{text})")
        else:
            parts.append(f"(?>{level}?{text})")
    return "".join(parts)


def parse_uses(lexer: Lexer) -> tuple[str, ...]:
    """`(\\Drafts \\Sent)` (RFC 6154 6), lower-case without backslashes.

    Raises BadSyntax with NO [USEATTR] for a use we do not know.
    """
    lexer.expect(40)
    uses: list[str] = []
    while not lexer.accept(41):
        if uses:
            lexer.space()
        lexer.expect(92)
        use = "\\" + lexer.word()
        if use not in SPECIAL_USES:
            raise BadSyntax(f"{use} is no special use that a mailbox can have", "NO", "USEATTR")
        uses.append(use[1:].lower())
    return tuple(uses)


class IdArgs(NamedTuple):
    """The client's word on itself (RFC 2971)."""

    fields: tuple[tuple[bytes, bytes | None], ...]


def parse_id(lexer: Lexer) -> IdArgs:
    """NIL, or at most 30 pairs (RFC 2971 3.3)."""
    if not lexer.accept(40):
        if lexer.nstring() is not None:
            raise BadSyntax("expected a list or NIL")
        return IdArgs(())
    fields: list[tuple[bytes, bytes | None]] = []
    while not lexer.accept(41):
        if fields:
            lexer.space()
        name = lexer.string()
        lexer.space()
        fields.append((name, lexer.nstring()))
        if len(fields) > 30:
            raise BadSyntax("At most 30 fields in ID")
    return IdArgs(tuple(fields))
