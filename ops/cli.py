"""The ``./cutout`` command: names its subcommands, and imports only the one that is run.

Exit status, of every client command: 0 all succeeded, 1 a job failed or was refused, 2 usage,
3 the service cannot be reached or did not settle in time, 130 interrupted.
"""

import errno
import importlib
from typing import Any

import click

#: What a write ends in that found no room.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

#: Where each subcommand lives, and what the list of commands says about it.
COMMANDS = {
    "up": ("ops.up", "Run the whole system on this machine."),
    "demo": ("ops.demo", "Run the system on the photographs in tests/photos."),
    "gallery": ("ops.gallery", "Render every effect of those photographs, for two prints."),
    "submit": ("ops.submit", "Send photos, wait for them, write the pictures."),
    "status": ("ops.show", "Show one job as its client sees it."),
    "cancel": ("ops.show", "Withdraw a job that has not settled."),
    "jobs": ("ops.show", "Count the open jobs (operators)."),
    "model": ("ops.model", "Fetch, convert, look at and verify checkpoints."),
    "job": ("ops.story", "Tell what happened to one job (operators)."),
    "pause": ("ops.pause", "Hold jobs in an incident (operators)."),
    "resume": ("ops.pause", "Deliver jobs again (operators)."),
    "dead-letters": ("ops.dead_letters", "Find, show, replay and resolve failures of ours (operators)."),
    "replays": ("ops.replays", "List, show and cancel replays (operators)."),
    "topology": ("ops.topology", "Make topics and subscriptions in Pub/Sub (operators)."),
}


class Commands(click.Group):
    """A group whose subcommands are imported when they are run, so that each starts fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the subcommands in the order in which they are met."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one subcommand."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(
            importlib.import_module(COMMANDS[cmd_name][0]), cmd_name.replace("-", "_")
        )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand; an interrupt has the shell's exit status, and a full disk is a sentence."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(130) from None
        except OSError as error:
            if error.errno not in _FULL:
                raise
            where = error.filename or "what was to be printed"
            raise click.ClickException(f"{where} cannot be written: {error.strerror}.") from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Remove the background from photos, and run the service that does.

    Exit status: 0 all succeeded, 1 a job failed or was refused, 2 usage,
    3 the service cannot be reached or did not settle in time, 130 interrupted.
    """
