"""Attached PDF files are found by SEARCH of a whole server."""

from __future__ import annotations

import asyncio
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from support.pdfs import pdf

from app.running import running


async def test_what_stands_in_an_attached_pdf_is_found(tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"] = "the plan"
    message.set_content("attached")
    message.add_attachment(pdf("Reiseplan", "明年的预算"), "application", "pdf", filename="plan.pdf")
    content = message.as_bytes(policy=SMTP)
    async with running(tmp_path) as server:
        client = await server.imap()
        client.say(f"b APPEND INBOX {{{len(content)}+}}\r\n{content.decode()}\r\nc SELECT INBOX")
        await client.until("c OK")
        for number, needle in enumerate(("reiseplan", "预算")):
            for _ in range(1000):  # the first search has an index made
                octets = len(needle.encode())
                client.say(f"d{number} SEARCH CHARSET UTF-8 BODY {{{octets}+}}\r\n{needle}")
                found = await client.until("* SEARCH")
                await client.until(f"d{number} OK")
                if found != "* SEARCH":
                    break
                await asyncio.sleep(0.05)
            assert found == "* SEARCH 1"
        client.say("e SEARCH BODY absent")
        assert await client.until("* SEARCH") == "* SEARCH"
