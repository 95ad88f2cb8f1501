"""The table of commands, and how their errors become exit codes."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import Any, Final

import click

from mailwright import __version__
from mailwright.cli.exits import Exit
from mailwright.cli.output import say

# Where each command lives, and what `--help` says of it: no command is imported before it is called.
COMMANDS: Final = {
    "demo": ("mailwright.cli.demo:demo", "Try it: a server on loopback with two accounts."),
    "init": ("mailwright.cli.init:init", "Set up a real installation: configuration, keys, DNS records."),
    "serve": ("mailwright.cli.serve:serve", "Run the server."),
    "domain": ("mailwright.cli.domain:domain", "Add, list and remove domains."),
    "account": ("mailwright.cli.account:account", "Add, list, disable and remove accounts; passwords."),
    "alias": ("mailwright.cli.alias:alias", "Add, list and remove aliases and forwards."),
    "public": ("mailwright.cli.public:public", "Say who may make public folders."),
    "queue": ("mailwright.cli.queue:queue", "Look at outbound mail; hold, release, retry, delete it."),
    "trace": ("mailwright.cli.trace:trace", "Tell what became of a message, and why."),
    "doctor": ("mailwright.cli.doctor:doctor", "Check configuration, ports, DNS, certificates and store."),
    "backup": ("mailwright.cli.backup:backup", "Copy the store while it runs, and verify the copy."),
    "restore": ("mailwright.cli.restore:restore", "Put a backup in place of the store."),
    "import": ("mailwright.cli.imports:imports", "Bring mail in from a Maildir or mbox."),
    "export": ("mailwright.cli.export:export", "Write an account's mail as Maildir or mbox."),
    "version": ("mailwright.cli.version:version", "Say which version this is, and what is compiled."),
}

# The errors that explain themselves. What is not loaded has not been raised.
_ERRORS: Final = (
    ("mailwright.config", "ConfigError", Exit.CONFIG),
    ("mailwright.hooks.loader", "BadHooks", Exit.CONFIG),
    ("mailwright.store.errors", "TemporaryFailure", Exit.TEMPORARY),
    ("mailwright.store.errors", "StoreError", Exit.FAILED),
    ("mailwright.directory.errors", "DirectoryError", Exit.FAILED),
    ("mailwright.tls.certificates", "BadCertificate", Exit.FAILED),
    ("mailwright.mailauth.dkim.key", "InvalidKey", Exit.FAILED),
    ("mailwright.base.domain", "InvalidDomain", Exit.FAILED),
)
_NO_TEXT: Final = "surrogates not allowed"  # octets from the command line or standard input
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class Root(click.Group):
    """Loads a command when it is called, and tells errors as `mailwright: what, and what to do`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if near := _near(args[0]):
                raise click.UsageError(f"{error.message} Did you mean '{near}'?", ctx) from error
            raise

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        try:
            return super().make_context(info_name, args, parent, **extra)
        except BrokenPipeError:
            raise
        except OSError as error:  # of `--help`, which is written here
            sys.exit(_tell(error))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise
        except click.Abort as abort:
            if isinstance(abort.__context__, KeyboardInterrupt):  # Ctrl-C at a question
                ctx.exit(Exit.INTERRUPTED)
            raise
        except KeyboardInterrupt:
            ctx.exit(Exit.INTERRUPTED)
        except Exception as error:
            if isinstance(error.__cause__, KeyboardInterrupt):  # while a class was made, before Python 3.12
                ctx.exit(Exit.INTERRUPTED)
            code = _tell(error)
            if code is None:
                raise
            ctx.exit(code)


@click.group(
    cls=Root,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "color": False if os.environ.get("NO_COLOR") else None,
    },
)
@click.version_option(__version__, "--version", message="%(version)s")
def root() -> None:
    """Mailwright, a complete mail system: SMTP, IMAP, POP3, one process, one file.

    Try it with `mailwright demo`; set up a real server with `mailwright init`.
    Each command explains itself: `mailwright COMMAND --help`.
    """


def _near(word: str) -> str | None:
    import difflib

    return next(iter(difflib.get_close_matches(word, COMMANDS, n=1)), None)


def _tell(error: Exception) -> Exit | None:
    """Say what is wrong; the code for it. None, and nothing is said: it is a defect of ours."""
    code = _exit_code(error)
    if code is not None:
        say(f"mailwright: {_text(error)}" if code != Exit.CONFIG else str(error), error=True)
    return code


def _text(error: Exception) -> str:
    """What a person is told of it: of a file its name first, and no number."""
    if isinstance(error, UnicodeEncodeError):
        if error.reason == _NO_TEXT:
            return "what you gave is not in UTF-8"
        return f"a file cannot have {error.object!r} in its name in this locale; run it with LC_ALL=C.UTF-8"
    if isinstance(error, OSError) and error.filename is None and error.errno in _FULL:
        return "the disk is full; make room there, and run this again"  # of a write
    if not isinstance(error, OSError) or error.filename is None or not error.strerror:
        return str(error)
    name, remedy = error.filename, ""
    if isinstance(error, PermissionError):
        remedy = "; run this as a user who may, such as the server's"
    elif error.errno in _FULL:
        name = error.filename2 or name  # of a copy, where it was to go
        remedy = "; make room there, and run this again"
    return f"cannot use {os.fsdecode(name)}: {error.strerror}{remedy}"


def _exit_code(error: Exception) -> Exit | None:
    """The code for an error that its message explains; None for one that is a defect of ours."""
    for module, name, code in _ERRORS:
        if module in sys.modules and isinstance(error, getattr(sys.modules[module], name)):
            return code
    if isinstance(error, UnicodeEncodeError):
        return Exit.USAGE if error.reason == _NO_TEXT else Exit.FAILED
    if isinstance(error, OSError) and error.errno in _FULL:
        return Exit.TEMPORARY
    return Exit.FAILED if isinstance(error, OSError) else None
