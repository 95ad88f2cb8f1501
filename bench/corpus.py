"""Mail made to be measured: as varied as what people get, the same on every machine for one seed.

Words are drawn by frequency rank from large vocabularies in several scripts, keys and signatures are random,
and no text repeats: what a store saves by compressing these messages it saves on real ones too.
"""

from __future__ import annotations

import base64
import quopri
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.header import Header
from email.utils import format_datetime
from itertools import accumulate

SEED = 20261123
_EPOCH = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)

_COMMON = {
    "en": "the of and to a in is that for it as was with be by on not he his but at are this have from or "
    "had an they which one you were all her she there would their we him been has when who will no "
    "more if out so what up said its about than into them can only other time new some could these "
    "two may first then do any like my now over such our please thanks meeting attached regards "
    "tomorrow invoice project week call send report question order team",
    "de": "der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an "
    "werden aus er hat dass sie nach wird bei einer um am sind noch wie einem über einen so zum war "
    "haben nur oder aber vor zur bis mehr durch man sein wurde sei Grüße bitte danke Rechnung Anhang "
    "morgen Termin Straße Übersicht möglich Änderung",
    "fr": "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont la "
    "mais comme ou si leur y dont aux avec cette ces vous être été réunion facture bonjour merci "
    "pièce jointe élève à bientôt où déjà",
    "ru": "и в не на я быть он с что а по это она этот к но они мы весь который из у который то за свой что "
    "весь год от так о для ты же все тот мочь вы человек такой его сказать только или ещё бы себя "
    "один как уже до время если сам",
}
_SYLLABLES = {
    "en": "ba be ca co de di er en fa fo ga in ing la le li lo ma me mi na ne or pa per po ra re ri ro sa "
    "se si sta ta te ter ti tion tra tu un va ver vi wa ment ly ist pre con ex",
    "de": "ge be ver un aus ein auf an ab vor zu er ent schaft heit keit lich ung isch sam bar haus tag "
    "werk stadt land buch zeit kraft spiel platz wasser tür für grün schön über müh",
    "fr": "an en in on ou eu ai oi ré dé pré con com par per tra ment tion eur euse age ette elle aire ique "
    "able ible é è ent ant ance ence mal bon vi val ler cher",
    "ru": "ба ве го да ел же за ик ка ло ма не ов по ра ся ту ук фа хо це ча ша щи эт юн яр ств ени ова про "
    "при пере без раз под над ность тель ский ать ить",
}
_CJK = "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里"
_DOMAINS = ("example.com", "example.org", "example.net", "post.example", "firma.example", "邮件.example")


class Corpus:
    """An endless sequence of messages, each complete with CRLF line ends; the same for the same seed."""

    def __init__(self, seed: int = SEED) -> None:
        self._random = random.Random(seed)
        self._words = {language: _vocabulary(self._random, language) for language in _COMMON}
        self._weights = {
            language: list(accumulate(1 / (rank + 5) for rank in range(len(words))))
            for language, words in self._words.items()
        }
        words = self._words["zh"] = _chinese_vocabulary(self._random)
        self._weights["zh"] = list(accumulate(1 / (rank + 5) for rank in range(len(words))))
        self._people = [self._person() for _ in range(400)]
        self._hosts = [f"mx{n}.{self._token(8).lower()}.example" for n in range(60)]
        self._count = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield self.message()

    def take(self, count: int) -> list[bytes]:
        """The next `count` messages."""
        return [self.message() for _ in range(count)]

    def message(self) -> bytes:
        """One message: 1 KB to some 100 KB, half of them below about 4 KB."""
        self._count += 1
        language = self._random.choices(["en", "de", "fr", "ru", "zh"], [45, 12, 8, 8, 27])[0]
        kind = self._random.choices([self._plain, self._alternative, self._mixed], [50, 46, 4])[0]
        return self._headers(language) + kind(language)

    def sized(self, size: int) -> bytes:
        """A plain message of exactly `size` octets (at least 2,000)."""
        text = self._headers("en") + _plain_part("7bit", "us-ascii")
        while len(text) < size:
            text += self._paragraph("en", 80).encode() + b"\r\n"
        return text[: size - 2].rstrip(b"\r\n").ljust(size - 2, b".") + b"\r\n"

    def _headers(self, language: str) -> bytes:
        date = _EPOCH + timedelta(seconds=self._count * 211 + self._random.randrange(200))
        (name, address), (to_name, to_address) = self._random.sample(self._people, 2)
        lines = [self._received(date, to_address) for _ in range(self._random.choice([1, 2, 2, 3, 4]))]
        if self._random.random() < 0.7:
            lines.append(self._dkim(address.partition("@")[2]))
        subject = self._words_of(language, self._random.randint(2, 9))
        lines += [
            f"From: {_encoded(name)} <{address}>",
            f"To: {_encoded(to_name)} <{to_address}>",
            f"Subject: {'Re: ' if self._random.random() < 0.4 else ''}{_encoded(subject)}",
            f"Date: {format_datetime(date)}",
            f"Message-ID: <{self._token(22)}.{self._count}@{self._random.choice(self._hosts)}>",
        ]
        if self._random.random() < 0.4:
            references = [f"<{self._token(22)}@{host}>" for host in self._random.sample(self._hosts, 3)]
            lines += [f"In-Reply-To: {references[-1]}", "References: " + "\r\n ".join(references)]
        if self._random.random() < 0.25:
            lines += [f"List-Id: <{self._token(6).lower()}.lists.example>", "Precedence: list"]
            lines.append(f"List-Unsubscribe: <https://lists.example/u/{self._token(40)}>")
        lines += [
            f"X-Mailer: Agent {self._random.randint(1, 99)}.{self._random.randint(0, 9)}",
            "MIME-Version: 1.0",
        ]
        return "\r\n".join(lines).encode("ascii") + b"\r\n"

    def _received(self, date: datetime, to: str) -> str:
        address = ".".join(str(self._random.randint(1, 254)) for _ in range(4))
        host, by = self._random.sample(self._hosts, 2)
        return (
            f"Received: from {host} ({host} [{address}])\r\n\tby {by} with ESMTPS id {self._token(14)}\r\n"
            f"\tfor <{to}> (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);\r\n"
            f"\t{format_datetime(date)}"
        )

    def _dkim(self, domain: str) -> str:
        signature = base64.b64encode(self._random.randbytes(256)).decode()
        folded = "\r\n\t".join(signature[n : n + 70] for n in range(0, len(signature), 70))
        digest = base64.b64encode(self._random.randbytes(32)).decode()
        return (
            f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;\r\n"
            f"\td={domain}; s=s{self._random.randint(1, 9)};\r\n"
            f"\th=from:to:subject:date:message-id:mime-version; bh={digest};\r\n\tb={folded}"
        )

    def _plain(self, language: str) -> bytes:
        return self._text_part(self._text(language), "plain")

    def _alternative(self, language: str) -> bytes:
        text, boundary = self._text(language), f"=_{self._token(24)}"
        parts = [self._text_part(text, "plain"), self._text_part(self._html(text), "html")]
        return _multipart("alternative", boundary, parts)

    def _mixed(self, language: str) -> bytes:
        payload = base64.encodebytes(self._random.randbytes(int(self._random.lognormvariate(10, 0.6))))
        name = f"{self._words_of('en', 2).replace(' ', '_')}.pdf"
        attachment = (
            f'Content-Type: application/pdf; name="{name}"\r\nContent-Transfer-Encoding: base64\r\n'
            f'Content-Disposition: attachment; filename="{name}"\r\n\r\n'
        ).encode() + payload.replace(b"\n", b"\r\n")
        return _multipart("mixed", f"----{self._token(28)}", [self._alternative(language), attachment])

    def _text_part(self, text: str, subtype: str) -> bytes:
        if text.isascii():
            return _plain_part("7bit", "us-ascii", subtype) + text.encode()
        chinese = any(char > "\u4e00" for char in text)
        charset = self._random.choice(["gb18030", "utf-8", "utf-8"]) if chinese else "utf-8"
        encoding = self._random.choice(["base64", "quoted-printable", "8bit"])
        data = text.encode(charset)
        if encoding == "base64":
            data = base64.encodebytes(data).replace(b"\n", b"\r\n")
        elif encoding == "quoted-printable":
            data = quopri.encodestring(data.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
        return _plain_part(encoding, charset, subtype) + data

    def _text(self, language: str) -> str:
        words = max(12, int(self._random.lognormvariate(5.0, 0.95)))
        paragraphs = []
        while words > 0:
            size = min(words, self._random.randint(15, 70))
            paragraphs.append(self._paragraph(language, size))
            words -= size
        return "\r\n\r\n".join(paragraphs) + "\r\n"

    def _html(self, text: str) -> str:
        rows = "".join(self._row(paragraph) for paragraph in text.split("\r\n\r\n"))
        head = '<html><head><meta charset="utf-8"></head>\r\n'
        return f'{head}<body class="{self._token(6)}">\r\n{rows}</body></html>\r\n'

    def _row(self, paragraph: str) -> str:
        style = f"margin:0 0 {self._random.randint(4, 20)}px;color:#{self._random.randrange(1 << 24):06x}"
        link = f"https://{self._random.choice(self._hosts)}/{self._token(20)}"
        return f'<p style="{style}">{paragraph}<a href="{link}">{self._token(5)}</a></p>\r\n'

    def _paragraph(self, language: str, words: int) -> str:
        lines, line = [], ""
        for word in self._words_of(language, words).split(" "):
            if len(line) + len(word) > 74:
                lines.append(line)
                line = ""
            line = f"{line} {word}" if line else word
        return "\r\n".join([*lines, line]) + "."

    def _words_of(self, language: str, count: int) -> str:
        if language == "zh":  # no spaces, but lines may break after a punctuation mark
            text = "".join(self._random.choices(self._words["zh"], cum_weights=self._weights["zh"], k=count))
            return text.replace("，", "， ")
        return " ".join(
            self._random.choices(self._words[language], cum_weights=self._weights[language], k=count)
        )

    def _person(self) -> tuple[str, str]:
        language = self._random.choice(["en", "de", "fr", "ru", "zh"])
        name = self._words_of(language, 1 if language == "zh" else 2).title()
        domain = self._random.choice(_DOMAINS).encode("idna").decode()
        return name, f"{self._token(7).lower()}@{domain}"

    def _token(self, length: int) -> str:
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        return "".join(self._random.choices(letters, k=length))


def _vocabulary(source: random.Random, language: str) -> list[str]:
    syllables = _SYLLABLES[language].split()
    build: Callable[[], str] = lambda: "".join(source.choices(syllables, k=source.randint(2, 4)))  # noqa: E731
    return [*_COMMON[language].split(), *(build() for _ in range(20_000))]


def _chinese_vocabulary(source: random.Random) -> list[str]:
    characters = list(_CJK) + [chr(c) for c in source.sample(range(0x4E00, 0x8FFF), 1200)]
    weights = list(accumulate(1 / (rank + 20) for rank in range(len(characters))))
    words = [
        "".join(source.choices(characters, cum_weights=weights, k=source.choice((1, 2, 2, 2, 3))))
        for _ in range(3000)
    ]
    return ["，", *_CJK[:12], *words]


def _encoded(text: str) -> str:
    return text if text.isascii() else Header(text, "utf-8", maxlinelen=60).encode(linesep="\r\n")


def _plain_part(encoding: str, charset: str, subtype: str = "plain") -> bytes:
    kind = f"Content-Type: text/{subtype}; charset={charset}\r\n"
    return f"{kind}Content-Transfer-Encoding: {encoding}\r\n\r\n".encode()


def _multipart(subtype: str, boundary: str, parts: list[bytes]) -> bytes:
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"\r\n\r\n'.encode()
    line = f"--{boundary}".encode()
    return head + b"".join(line + b"\r\n" + part + b"\r\n" for part in parts) + line + b"--\r\n"
