"""FETCH attributes as values (RFC 3501 6.4.5, RFC 3516, RFC 7162, RFC 8970, RFC 8474, RFC 8514)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from mailwright.imap.syntax.lexer import MAX_NUMBER64, BadSyntax, Lexer
from mailwright.imap.syntax.sequence import Range, SequenceSet, parse_partial, parse_sequence_set

MAX_ATTRIBUTES: Final = 200
MAX_FIELDS: Final = 200
MAX_FIELD_LISTS: Final = (
    10  # HEADER.FIELDS of one FETCH: each may give a whole header, all of which are held together
)
MAX_PART_DEPTH: Final = 100

# Clients ask for the same again and again: what was parsed to the end of a command is remembered, for all of them. But
# not what is no ASCII, which is right for some and wrong for others (RFC 6855 3).
_LONGEST: Final = 200  # octets of it
_REMEMBERED: Final = 200
_known: Final[dict[bytes, tuple[Attribute, ...]]] = {}

_NAME: Final = re.compile(rb"[A-Za-z0-9.]+")
_PART: Final = re.compile(rb"[1-9][0-9]{0,9}(?:\.[1-9][0-9]{0,9})*")
_SECTION_TEXT: Final = re.compile(rb"HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME", re.IGNORECASE)
_PARTIAL: Final = re.compile(rb"<([0-9]{1,19})(?:\.([0-9]{1,19}))?>")
_ATOM: Final = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')

SIMPLE: Final = frozenset(
    {
        "FLAGS",
        "UID",
        "INTERNALDATE",
        "RFC822.SIZE",
        "ENVELOPE",
        "BODYSTRUCTURE",
        "BODY",
        "MODSEQ",
        "PREVIEW",
        "SAVEDATE",
        "EMAILID",
        "THREADID",
    }
)
MACROS: Final = {
    "FAST": ("FLAGS", "INTERNALDATE", "RFC822.SIZE"),
    "ALL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"),
    "FULL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"),
}


class Section(NamedTuple):
    """What of a message is asked for.

    `text` is '' (the whole, or a part's body), 'HEADER', 'HEADER.FIELDS', 'HEADER.FIELDS.NOT', 'TEXT' or 'MIME';
    `fields` are lower-case; `partial` is (start, count).
    """

    part: tuple[int, ...] = ()
    text: str = ""
    fields: tuple[bytes, ...] = ()
    partial: tuple[int, int] | None = None


class Attribute(NamedTuple):
    """One FETCH attribute. `name` is a name in SIMPLE, or BODY[], BINARY[], BINARY.SIZE[] with a section.

    `label` is how the response names it; `peek` tells that reading it does not set \\Seen.
    """

    name: str
    label: bytes
    section: Section | None = None
    peek: bool = True


class FetchArgs(NamedTuple):
    """FETCH and UID FETCH. `changed_since` and `vanished` are RFC 7162's modifiers."""

    numbers: SequenceSet
    attributes: tuple[Attribute, ...]
    changed_since: int | None = None
    vanished: bool = False
    partial: Range | None = None  # RFC 9394 3


def parse_fetch(lexer: Lexer) -> FetchArgs:
    numbers = parse_sequence_set(lexer)
    lexer.space()
    rest = lexer.text[lexer.pos : lexer.pos + _LONGEST + 1]
    known = _known.get(rest)
    if known is not None:
        lexer.pos += len(rest)
        return FetchArgs(numbers, known)
    attributes = _parse_attributes(lexer)
    if lexer.at_end() and len(rest) <= _LONGEST and rest.isascii():
        if len(_known) >= _REMEMBERED:
            _known.clear()
        _known[rest] = attributes
    args = FetchArgs(numbers, attributes)
    if lexer.peek() == 32 and lexer.pos + 1 < len(lexer.text):
        lexer.space()
        return _parse_modifiers(lexer, args)
    return args


def _parse_attributes(lexer: Lexer) -> tuple[Attribute, ...]:
    if lexer.peek() == 40:
        return parse_attribute_list(lexer)
    return tuple(dict.fromkeys(_parse_attribute(lexer, macros=True)))


def parse_attribute_list(lexer: Lexer) -> tuple[Attribute, ...]:
    """Attributes in parentheses, each once."""
    lexer.expect(40)
    found = _parse_attribute(lexer)
    while not lexer.accept(41):
        lexer.space()
        found.extend(_parse_attribute(lexer))
        if len(found) > MAX_ATTRIBUTES:
            raise BadSyntax(f"At most {MAX_ATTRIBUTES} attributes in one FETCH", "NO", "LIMIT")
    attributes = tuple(dict.fromkeys(found))
    if sum(1 for one in attributes if one.section is not None and one.section.fields) > MAX_FIELD_LISTS:
        raise BadSyntax(f"At most {MAX_FIELD_LISTS} lists of header fields in one FETCH", "NO", "LIMIT")
    return attributes


def _parse_attribute(lexer: Lexer, macros: bool = False) -> list[Attribute]:
    name = (lexer.match(_NAME) or b"").decode("ascii").upper()
    if lexer.peek() == 91:  # '['
        return [_parse_section(lexer, name)]
    if name == "PREVIEW" and lexer.text[lexer.pos : lexer.pos + 7].upper() == b" (LAZY)":
        lexer.pos += 7  # RFC 8970 3.2: we always have it
    if name in SIMPLE:
        return [_simple(name)]
    if name == "RFC822":
        return [Attribute("BODY[]", b"RFC822", Section(), peek=False)]
    if name == "RFC822.HEADER":
        return [Attribute("BODY[]", b"RFC822.HEADER", Section(text="HEADER"))]
    if name == "RFC822.TEXT":
        return [Attribute("BODY[]", b"RFC822.TEXT", Section(text="TEXT"), peek=False)]
    if macros and name in MACROS:
        return [_simple(item) for item in MACROS[name]]
    raise BadSyntax(
        f"Unknown FETCH attribute {name}" if name else f"expected a FETCH attribute {lexer.where()}"
    )


def _simple(name: str) -> Attribute:
    return Attribute(name, name.encode("ascii"))


def _parse_section(lexer: Lexer, name: str) -> Attribute:
    if name not in ("BODY", "BODY.PEEK", "BINARY", "BINARY.PEEK", "BINARY.SIZE"):
        raise BadSyntax(f"{name} takes no section")
    lexer.expect(91)
    part = _parse_part(lexer)
    text = ""
    fields: tuple[bytes, ...] = ()
    field_label = b""
    if lexer.peek() != 93 and (not part or lexer.accept(46)):
        found = lexer.match(_SECTION_TEXT)
        if found is None or (found.upper() == b"MIME" and not part):
            raise BadSyntax(f"expected HEADER, HEADER.FIELDS, TEXT or MIME {lexer.where()}")
        text = found.decode("ascii").upper()
        if text.startswith("HEADER.FIELDS"):
            lexer.space()
            fields, field_label = _parse_fields(lexer)
    lexer.expect(93)
    partial = None
    if name != "BINARY.SIZE":
        partial = _parse_partial(lexer, endless=name.startswith("BINARY"))
    kind = name.removesuffix(".PEEK")
    shown = ".".join([*(str(number) for number in part), *([text] if text else [])]).encode("ascii")
    label = kind.encode("ascii") + b"[" + shown + field_label + b"]"
    if partial is not None:
        label += b"<%d>" % partial[0]
    section = Section(part, text, fields, partial)
    return Attribute(kind + "[]", label, section, peek=name not in ("BODY", "BINARY"))


def parse_section(text: bytes) -> Section:
    """A section as it stands within brackets. Raises BadSyntax."""
    lexer = Lexer(b"[" + text + b"]")
    section = _parse_section(lexer, "BODY.PEEK").section
    lexer.end()
    assert section is not None
    return section


def _parse_part(lexer: Lexer) -> tuple[int, ...]:
    found = lexer.match(_PART)
    if found is None:
        return ()
    numbers = tuple([int(number) for number in found.split(b".")])
    if len(numbers) > MAX_PART_DEPTH:
        raise BadSyntax(f"A part number has at most {MAX_PART_DEPTH} levels", "NO", "LIMIT")
    return numbers


def _parse_fields(lexer: Lexer) -> tuple[tuple[bytes, ...], bytes]:
    lexer.expect(40)
    names = [lexer.astring()]
    while not lexer.accept(41):
        lexer.space()
        names.append(lexer.astring())
    if len(names) > MAX_FIELDS:
        raise BadSyntax(f"At most {MAX_FIELDS} header fields", "NO", "LIMIT")
    label = b" (" + b" ".join(_field_label(name) for name in names) + b")"
    return tuple(dict.fromkeys([name.lower() for name in names])), label


def _field_label(name: bytes) -> bytes:
    found = _ATOM.fullmatch(name)
    if found is not None:
        return name
    if b"\r" in name or b"\n" in name or not name.isascii():
        return b"{%d}\r\n" % len(name) + name
    return b'"' + name.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _parse_partial(lexer: Lexer, endless: bool) -> tuple[int, int] | None:
    """`endless`: `<start>` alone means to the end, as Dovecot has it for BINARY."""
    if lexer.peek() != 60:  # '<'
        return None
    found = _PARTIAL.match(lexer.text, lexer.pos)
    if found is None or (found.group(2) is None and not endless):
        raise BadSyntax(f"expected <start.count> {lexer.where()}")
    start, count = int(found.group(1)), int(found.group(2) or MAX_NUMBER64)
    if start > MAX_NUMBER64 or not 0 < count <= MAX_NUMBER64:
        raise BadSyntax("A partial range begins at 0 or later and has at least one octet")
    lexer.pos = found.end()
    return start, count


def _parse_modifiers(lexer: Lexer, args: FetchArgs) -> FetchArgs:
    lexer.expect(40)
    first = True
    while not lexer.accept(41):
        if not first:
            lexer.space()
        first = False
        word = lexer.word()
        if word == "CHANGEDSINCE" and args.changed_since is None:
            lexer.space()
            args = args._replace(changed_since=lexer.number(MAX_NUMBER64))
        elif word == "VANISHED":
            args = args._replace(vanished=True)
        elif word == "PARTIAL" and args.partial is None:
            lexer.space()
            args = args._replace(partial=parse_partial(lexer))
        else:
            raise BadSyntax(f"Unknown FETCH modifier {word}")
    if args.vanished and args.changed_since is None:
        raise BadSyntax("VANISHED needs CHANGEDSINCE beside it")
    return args
