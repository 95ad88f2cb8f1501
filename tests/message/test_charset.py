"""Every script, declared and undeclared."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwright.message.charset import codec_name, decode, guess
from mailwright.message.fold import fold

CHINESE = "尊敬的客户，您好！您的订单已经发货，请注意查收。如有问题请联系我们的客服人员。"
TRADITIONAL = "親愛的顧客，您的訂單已經寄出，請留意查收。如有任何問題，歡迎與我們聯絡。"
JAPANESE = "お世話になっております。会議の資料を添付いたしますので、ご確認ください。"
KOREAN = "안녕하세요. 회의 자료를 첨부하오니 확인하여 주시기 바랍니다. 감사합니다."
RUSSIAN = "Здравствуйте! Высылаю вам материалы к совещанию, посмотрите, пожалуйста."
ARABIC = "مرحبا، أرسل إليكم وثائق الاجتماع للاطلاع عليها مع الشكر"
HEBREW = "שלום, מצורפים מסמכי הישיבה לעיונך בברכה"


@pytest.mark.parametrize(
    ("text", "charset", "codec"),
    [
        (CHINESE, "gb2312", "gb18030"), (CHINESE, "GBK", "gb18030"), (CHINESE, "gb18030", "gb18030"),
        (CHINESE, "x-gbk", "gb18030"), (CHINESE, "cp936", "gb18030"), (CHINESE, "hz-gb-2312", "hz"),
        ("𠮷镕㐀", "gb2312", "gb18030"), (TRADITIONAL, "big5", "big5"), (TRADITIONAL, "big5-hkscs", "big5"),
        ("€", "big5", "cp950"), ("㗎", "big5", "big5hkscs"), (JAPANESE, "iso-2022-jp", "iso2022_jp"),
        (JAPANESE, "shift_jis", "cp932"), ("①髙", "shift_jis", "cp932"), (JAPANESE, "windows-31j", "cp932"),
        (JAPANESE, "euc-jp", "euc_jp"), (KOREAN, "ks_c_5601-1987", "cp949"), (KOREAN, "euc-kr", "euc_kr"),
        ("뷁", "euc-kr", "cp949"), (KOREAN, "iso-2022-kr", "iso2022_kr"), (RUSSIAN, "koi8-r", "koi8_r"),
        (RUSSIAN, "windows-1251", "cp1251"), (RUSSIAN, "iso-8859-5", "iso8859_5"), ("Ґанок", "koi8-u", "koi8_u"),
        (ARABIC, "windows-1256", "cp1256"), (ARABIC, "iso-8859-6", "iso8859_6"), (HEBREW, "iso-8859-8-i", "iso8859_8"),
        (HEBREW, "windows-1255", "cp1255"), ("“Preis: 5 €”", "iso-8859-1", "cp1252"), ("สวัสดี", "tis-620", "cp874"),
        ("żółw", "iso-8859-2", "iso8859_2"), ("Ελλάδα", "iso-8859-7", "iso8859_7"), ("ğış", "iso-8859-9", "cp1254"),
        ("😀", "utf8", "utf-8"), ("😀", '"UTF-8"', "utf-8"), ("é", "cp-850", "cp850"), ("é", "x-cp1252", "cp1252"),
        ("ä", "macintosh", "mac_roman"), ("镕", "windows-936", "gb18030"), ("镕", "csGB2312", "gb18030"),
        ("镕", "chinese", "gb18030"), ("①髙", "csShiftJIS", "cp932"), ("뷁", "csEUCKR", "cp949"),
        (JAPANESE, "cp50221", "iso2022_jp"), ("“x”", "csISOLatin1", "cp1252"),
    ],
)  # fmt: skip
def test_declared(text: str, charset: str, codec: str) -> None:
    assert decode(text.encode(codec), charset) == text


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        (CHINESE, "utf-8"), (CHINESE, "gb18030"), ("会议通知", "gb18030"), ("关于明天的安排", "gb18030"),
        (JAPANESE, "euc_jp"), (JAPANESE, "cp932"), (KOREAN, "euc_kr"),
        (RUSSIAN, "koi8_r"), (RUSSIAN, "cp1251"), (TRADITIONAL, "big5"),
        (HEBREW, "cp1255"), ("Schöne Grüße aus München, wir hören uns nächste Woche wieder", "latin-1"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("declared", ["", "us-ascii", "x-unknown", "unknown-8bit"])
def test_undeclared(text: str, codec: str, declared: str) -> None:
    assert decode(text.encode(codec), declared) == text


@pytest.mark.parametrize(
    "text",
    [
        "Grüße aus Köln", "Größe", "naïve", "El niño", "Señor Núñez", "Mañana será otro día", "Tromsø",
        "Tack så mycket", "don’t worry", "à bientôt", "Réunion demain à 10h", "Élève à l’école",
        "Où êtes-vous ?", "Perché no?", "10 € Gutschein", "£ 50", "hello äö", "Ação de graças", "Kære kunde",
        "Hyvää päivää", "M. Müller <x@y>",
    ],
)  # fmt: skip
def test_a_few_letters_of_western_europe(text: str) -> None:
    assert guess(text.encode("cp1252")) == text


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("Zażółć gęślą jaźń", "iso8859_2"), ("Příliš dlouhý předmět", "cp1250"), ("Добрый день", "koi8_r"),
        ("Re: вопрос", "cp1251"), ("Ελλάδα", "cp1253"), ("שלום עולם", "cp1255"), ("السلام عليكم", "cp1256"),
        ("こんにちは", "cp932"), ("Re: テスト test mail", "cp932"), ("Re: 你好 (fwd)", "gb18030"), ("您好", "big5"),
    ],
)  # fmt: skip
def test_a_few_letters_of_others(text: str, codec: str) -> None:
    assert guess(text.encode(codec)) == text


def test_utf8_declared_as_something_else() -> None:
    assert decode("中文".encode(), "us-ascii") == "中文"
    for declared in ("gb2312", "gbk", "big5", "shift_jis", "euc-kr", "iso-8859-1", "windows-1251", "koi8-r"):
        for text in (CHINESE, TRADITIONAL, JAPANESE, KOREAN, RUSSIAN, ARABIC, "会议通知"):
            assert decode(text.encode(), declared) == text
        assert decode(CHINESE.encode()[:-1], declared) == CHINESE[:-1] + "\ufffd"
    assert decode("中文字符".encode("gb18030"), "utf-8") == "中文字符"


def test_japanese_with_characters_of_windows() -> None:
    assert (
        decode(b"\x1b$B3t<02q<R-j-!HV\x1b(B: \x1b$B|b66\x1b(J 1\r\n\x1b(I123", "iso-2022-jp")
        == "株式会社㈱①番: 髙橋 1\r\nｱｲｳ"
    )
    assert decode(JAPANESE.encode("iso2022_jp")[:21], "iso-2022-jp") == JAPANESE[:9]
    assert decode(JAPANESE.encode(), "iso-2022-jp") == JAPANESE


def test_utf8_cut_within_a_character() -> None:
    assert guess(("x" * 100 + "中").encode()[:-1]) == "x" * 100 + "\ufffd"


@pytest.mark.parametrize(
    "text", [CHINESE, RUSSIAN, "Schöne Grüße aus München, wir hören uns nächste Woche für Sie " * 2]
)
@pytest.mark.parametrize("declared", ["", "us-ascii", "x-unknown"])
def test_utf8_with_a_broken_character(text: str, declared: str) -> None:
    whole = text.encode()
    at = next(place for place in range(20, 99) if 0x80 <= whole[place] < 0xC0)
    assert decode(whole[:at] + whole[at + 1 :], declared).replace("\ufffd", "")[-8:] == text[-8:]
    assert decode(whole + b" \xe4 " + whole, declared) == f"{text} \ufffd {text}"


@pytest.mark.parametrize(
    "name", ["utf-7", "idna", "punycode", "unicode_escape", "rot13", "zlib", "hex", "undefined", "x" * 99, ""]
)
def test_refused(name: str) -> None:
    assert codec_name(name) is None
    assert decode(b"+AOQ- abc", name) == "+AOQ- abc"


@given(
    st.binary(max_size=300),
    st.sampled_from(["", "gb2312", "big5", "iso-2022-jp", "hz", "utf-16", "utf-8", "euc-kr", "x"]),
)
@settings(max_examples=200, deadline=None)
def test_any_octets(data: bytes, charset: str) -> None:
    decode(data, charset).encode("utf-8")


def test_folding_is_the_same_on_both_sides() -> None:
    assert fold("STRASSE") == fold("straße")
    assert fold("ＡＢＣ１２３") == fold("abc123")
    assert fold("ﾊﾝｶｸ") == fold("ハンカク")
    assert fold("Cafe\u0301") == fold("CAFÉ")
    assert fold("ΣΊΣΥΦΟΣ") == fold("σίσυφος")
    assert fold("İSTANBUL") == fold("istanbul") == fold("İstanbul")
    assert fold("\u1112\u1161\u11ab") == fold("한")
    assert fold("國") != fold("国")


def test_folding_takes_out_what_nobody_sees() -> None:
    assert fold("news\u00adlet\u200bter\ufeff") == "newsletter"
    assert fold("\u200f\u05e9\u05dc\u05d5\u05dd") == "\u05e9\u05dc\u05d5\u05dd"
    assert fold("می\u200cخواهم") == fold("میخواهم")
    assert fold("❤\ufe0f") == "❤"


def test_folding_makes_white_space_one_space() -> None:
    assert fold("a\r\n\tb\u3000 \xa0C \n") == "a b c "
    assert fold(" \t会议") == " 会议"


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)
