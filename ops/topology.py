"""``./cutout topology``: make a project's topics and subscriptions as they are described, and say so."""

import sys
from collections.abc import Callable
from typing import Any

import click

from shared.errors import QueueUnavailableError
from shared.pausing import Held
from shared.places import PUBSUB_EMULATOR, Project, read_address, read_project_id, read_url
from shared.topology import topology as described


def _checked(read: Callable[[str], Any]) -> Callable[..., Any]:
    """Return what makes a usage error of a value that cannot be read."""

    def check(_context: click.Context, _option: click.Parameter, text: str | None) -> Any:
        try:
            return None if text is None else read(text)
        except ValueError as error:
            raise click.BadParameter(f"{error}, got {text!r}.") from error

    return check


@click.command()
@click.option(
    "--project", required=True, callback=_checked(read_project_id), help="Id of the Google Cloud project."
)
@click.option("--api-url", required=True, callback=_checked(read_url), help="Where the API answers.")
@click.option("--worker-url", required=True, callback=_checked(read_url), help="Where the worker answers.")
@click.option("--push-email", help="Service account in whose name is pushed: CUTOUT_PUSH_EMAIL.")
@click.option(
    "--push-audience", help="Audience of the tokens: CUTOUT_PUSH_AUDIENCE; each service's URL if absent."
)
@click.option(
    "--project-number",
    type=click.IntRange(1),
    help="The project's number: names the account that moves dead letters.",
)
@click.option(
    "--emulator",
    envvar=PUBSUB_EMULATOR,
    callback=_checked(read_address),
    metavar="HOST:PORT",
    help=f"An emulator instead of Pub/Sub.  [env: {PUBSUB_EMULATOR}]",
)
@click.option("--attach", is_flag=True, help="Attach pushes that a pause has detached.")
def topology(**given: Any) -> None:
    """Make topics and push subscriptions: create what is missing, update what differs, leave the rest.

    What they are stands in shared/topology.json. It may be run again at any time. A push that a pause has
    detached is left so, and said, without --attach.

    Exit status: 0 done, 1 something is in the way, 2 usage, 3 Pub/Sub does not answer or does not let us.
    """
    if not given["emulator"] and not (given["push_email"] and given["project_number"]):
        raise click.UsageError("A project needs --push-email and --project-number; an emulator neither.")
    done = _make(Project(given["project"], given["emulator"]), given)
    click.echo("\n".join(done) or "everything is as it should be")


def _make(project: Project, given: dict[str, Any]) -> list[str]:
    from shared import pubsub_rights, pubsub_topology  # noqa: PLC0415 - half a second, not for usage errors

    number = given["project_number"]
    pusher = pubsub_topology.Pusher(
        urls={"api": given["api_url"], "worker": given["worker_url"]},
        email=given["push_email"],
        audience=given["push_audience"],
        agent=pubsub_topology.agent_of(number) if number else None,
    )
    try:
        with pubsub_topology.opened(project) as maker:
            return maker.make(described(), pusher, Held.NONE if given["attach"] else Held.AS_FOUND)
    except pubsub_rights.TopologyError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except QueueUnavailableError as error:
        click.echo(f"Error: {error.detail}", err=True)
        sys.exit(3)
