"""The tree of a message's parts, with offsets into its octets, and the way IMAP numbers them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mailwright.message.mime import Params, decode_params, decode_value


class Part:
    """One MIME entity. Offsets are octets in the source: header [header_start, body_start), body [body_start, end).

    Text from the header (`raw_params`, `description`, ...) holds octets that are not UTF-8 as lone surrogates
    (surrogateescape). A message/rfc822 or message/global part has the root of the message it holds as its only
    child, and that message's ENVELOPE. What was too deep, or encoded, has no children.
    """

    __slots__ = (
        "body_start",
        "children",
        "content_id",
        "content_type",
        "description",
        "disposition",
        "encoding",
        "end",
        "envelope",
        "header_start",
        "language",
        "lines",
        "location",
        "md5",
        "raw_disposition_params",
        "raw_params",
        "subtype",
        "type",
    )

    def __init__(self, kind: str, subtype: str, header_start: int, body_start: int, end: int) -> None:
        self.type: str = kind  # lower-case
        self.subtype: str = subtype  # lower-case
        self.content_type: str = kind + "/" + subtype
        self.header_start: int = header_start
        self.body_start: int = body_start
        self.end: int = end
        self.raw_params: Params = ()
        self.encoding: str = "7bit"
        self.disposition: str = ""
        self.raw_disposition_params: Params = ()
        self.content_id: str = ""
        self.description: str = ""
        self.language: tuple[str, ...] = ()
        self.location: str = ""
        self.md5: str = ""
        self.lines: int = 0  # line ends in the body, of text and message parts
        self.children: list[Part] = []
        self.envelope: bytes = b""  # of the nested message, as IMAP sends it

    @property
    def size(self) -> int:
        """Octets of the body, as encoded."""
        return self.end - self.body_start

    @property
    def is_multipart(self) -> bool:
        return self.type == "multipart"

    @property
    def is_message(self) -> bool:
        """Whether it holds a message whose parts can be addressed."""
        return self.type == "message" and bool(self.children)

    @property
    def params(self) -> dict[str, str]:
        """Content-Type's parameters, decoded (RFC 2231)."""
        return decode_params(self.raw_params)

    @property
    def disposition_params(self) -> dict[str, str]:
        """Content-Disposition's parameters, decoded (RFC 2231)."""
        return decode_params(self.raw_disposition_params)

    @property
    def charset(self) -> str:
        """The declared charset in lower case, "" when there is none."""
        for name, value in self.raw_params:
            if name == "charset":
                return value.strip().lower()
        return self.params.get("charset", "").lower() if self.raw_params else ""

    @property
    def filename(self) -> str:
        """The name for the saved file, decoded, without a path; "" when there is none."""
        name = self.disposition_params.get("filename", "") if self.raw_disposition_params else ""
        if not name and self.raw_params:
            name = self.params.get("name", "")
        return decode_value(name).replace("\\", "/").rpartition("/")[2].strip()

    def walk(self) -> Iterator[Part]:
        """This part and all below it, in the order of the source."""
        waiting = [self]
        while waiting:
            part = waiting.pop()
            yield part
            waiting.extend(reversed(part.children))

    def __repr__(self) -> str:
        return f"Part({self.content_type}, {self.header_start}, {self.body_start}, {self.end}, {self.children!r})"


def find_part(root: Part, numbers: Sequence[int]) -> Part | None:
    """The part with an IMAP part number such as (1, 2); () is the root; None when there is none (RFC 9051 6.4.5.1).

    A multipart without parts has an empty text as its first one, as its BODYSTRUCTURE says.
    """
    part = root
    first = True
    for number in numbers:
        if not first and part.is_message:
            part = part.children[0]
            first = True
        if part.is_multipart and not part.children and number == 1:
            part = Part("text", "plain", part.end, part.end, part.end)
        elif part.is_multipart:
            if not 1 <= number <= len(part.children):
                return None
            part = part.children[number - 1]
        elif not first or number != 1:  # part 1 of what is no multipart is itself
            return None
        first = False
    return part


def find_message(root: Part, numbers: Sequence[int]) -> Part | None:
    """The entity whose header and body `numbers`.HEADER and `numbers`.TEXT mean: a message's root, or None."""
    if not numbers:
        return root
    part = find_part(root, numbers)
    return part.children[0] if part is not None and part.is_message else None


def part_numbers(root: Part) -> list[tuple[tuple[int, ...], Part]]:
    """Each part that IMAP can address with its number, in the order of the source."""
    found: list[tuple[tuple[int, ...], Part]] = []
    waiting: list[tuple[tuple[int, ...], Part]] = []
    _enter((), root, waiting)
    while waiting:
        numbers, part = waiting.pop()
        found.append((numbers, part))
        if part.is_multipart:
            waiting.extend(
                ((*numbers, i + 1), part.children[i]) for i in range(len(part.children) - 1, -1, -1)
            )
        elif part.is_message:
            _enter(numbers, part.children[0], waiting)
    return found


def _enter(numbers: tuple[int, ...], root: Part, waiting: list[tuple[tuple[int, ...], Part]]) -> None:
    if root.is_multipart:
        waiting.extend(((*numbers, i + 1), root.children[i]) for i in range(len(root.children) - 1, -1, -1))
    else:
        waiting.append(((*numbers, 1), root))
