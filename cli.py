"""The command line: the table of verbs, and the one place where errors become sentences.

Exit codes are a promise: 0 done, 1 a problem that the message names with its mend, 2 wrong usage.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import click

DONE, PROBLEM, USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143

VERBS: dict[str, tuple[str, str]] = {
    "init": ("setup", "Write a commented ouvidor.toml and say the next command."),
    "check": ("setup", "Prove configuration, secrets, database, model, mail and chat."),
    "demo": ("demo", "Show the whole cycle on a stand-in brand, offline."),
    "sources": ("status", "Show each source with its last run, coverage and silence."),
    "status": ("status", "Say in a few lines whether all is well."),
    "collect": ("work", "Run collectors now."),
    "hints": ("work", "Ask a source's message queue whether there is anything new."),
    "import": ("work", "Read feedback from a file."),
    "annotate": ("work", "Tag what is untagged."),
    "classify": ("files", "Tag JSON Lines from a file or stdin; no database."),
    "search": ("read", "Find feedback."),
    "show": ("read", "Show one feedback with all that is known about it."),
    "review": ("teach", "Settle what the tagger doubts, one key each."),
    "correct": ("read", "Say what a feedback is really about; kept for ever."),
    "adapt": ("teach", "Teach the tagger from your own stars and corrections."),
    "scorecard": ("read", "Score the touchpoints from 1 to 5."),
    "assess": ("read", "Note the team's own score of a touchpoint."),
    "watch": ("tell", "Open, update and resolve alerts, or say what would have fired."),
    "spikes": ("files", "Find negative spikes in a CSV; no database."),
    "alerts": ("alerts", "List alerts, show one, and say what is done about it."),
    "digest": ("tell", "Build the digest of a week."),
    "deliver": ("tell", "Send what waits."),
    "subscribers": ("readers", "Show who gets the digest and the alerts, and who ended it."),
    "unsubscribe": ("readers", "End the weekly digest of a reader."),
    "subscribe": ("readers", "Give a reader the ended digest again."),
    "run": ("work", "Do everything that is due, once."),
    "serve": ("work", "Keep doing everything that is due."),
    "eval": ("files", "Measure the tagger on a labelled file."),
    "export": ("files", "Write feedback out as CSV, Excel, JSON Lines or Parquet."),
    "audit": ("audit", "Say who did what when with what is personal or decided."),
    "person": ("files", "Give out or erase what is stored about one person."),
    "db": ("db", "Prove, copy, restore or move the database."),
    "doctor": ("doctor", "Describe this installation for a bug report, naming nobody."),
}
"""Every verb, the module that holds it, and its line of help. Modules load when they are asked."""


class Verbs(click.Group):
    """Finds a verb in its module, so that ``--help`` pays for none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All verbs in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The verb, loaded."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f".verbs.{VERBS[cmd_name][0]}", __package__)
        command: click.Command = getattr(module, f"{cmd_name}_verb")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """The table as help."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, words) for name, (_, words) in VERBS.items()])


def _version(context: click.Context, _: click.Parameter, asked: bool) -> None:  # noqa: FBT001 - click's signature
    if asked:
        click.echo(f"ouvidor {version('ouvidor')}")
        context.exit()


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration (default: $OUVIDOR_CONFIG, else ./ouvidor.toml).",
)
@click.option("--child", is_flag=True, hidden=True)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show the version and exit.",
)
@click.pass_context
def app(context: click.Context, config: Path | None, child: bool) -> None:  # noqa: FBT001 - click passes by keyword
    """Gather what customers say about a brand, score every touchpoint, tell people."""
    if context.resilient_parsing:
        return
    from .house import House

    context.obj = House()
    context.obj.file = config
    context.call_on_close(context.obj.close)
    if child:
        from .children import end_with_parent

        end_with_parent()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code; no traceback ever reaches the user."""
    from . import console

    console.steady([sys.stdout, sys.stderr])
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        return _run(sys.argv[1:] if arguments is None else list(arguments))
    except BrokenPipeError:
        _mute_stdout()
        return DONE
    except (KeyboardInterrupt, click.Abort):
        console.say("Interrupted; what was finished is kept.")
        return INTERRUPTED
    except click.ClickException as error:
        return _misused(error)
    except Exception as error:  # noqa: BLE001 - the last resort: a sentence instead of a traceback
        _leave_unwritten()
        console.problem(console.explain(error))
        return PROBLEM
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(arguments: list[str]) -> int:
    """What click's own main does, but every way to end is left to ours."""
    try:
        with app.make_context("ouvidor", arguments) as context:
            code = app.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else PROBLEM
    return code if isinstance(code, int) else DONE


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(TERMINATED)


def _leave_unwritten() -> None:
    """What a full disk did not take is not tried again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        _mute_stdout()


def _mute_stdout() -> None:
    """The reader has gone: nothing is left to say, and no flush at exit may say otherwise."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _misused(error: click.ClickException) -> int:
    from . import console

    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return USAGE
    console.problem(error.format_message())
    context = getattr(error, "ctx", None)
    if context is not None:
        console.say(f"See `{context.command_path} --help`.")
    return error.exit_code
