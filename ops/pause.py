"""``./cutout pause`` and ``resume``: hold jobs in an incident, and deliver them again."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ops.answers import RefusedError, UnreachableError
from ops.arguments import Text, operator_options
from ops.client import Client, connect
from ops.replays import who
from ops.show import delivery_line, json_line
from shared.errors import QueueUnavailableError
from shared.places import PUBSUB_EMULATOR, Project, read_address, read_project_id

if TYPE_CHECKING:  # half a second, which one machine need not take
    from shared.pubsub_pausing import Switch

_PATH = "/v1/delivery"

_json_option = click.option("--json", "as_json", is_flag=True, help="Print the answer as one line of JSON.")


def _project_options(command: Callable[..., Any]) -> Callable[..., Any]:
    emulator = click.option(
        "--emulator",
        envvar=PUBSUB_EMULATOR,
        metavar="HOST:PORT",
        help=f"An emulator instead of Pub/Sub, with --project.  [env: {PUBSUB_EMULATOR}]",
    )
    project = click.option("--project", help="Id of the Google Cloud project, where jobs go through Pub/Sub.")
    return project(emulator(command))


@click.command()
@click.option(
    "--reason", type=Text(), required=True, help="Why; /ready and `jobs --open` say it while it lasts."
)
@_project_options
@operator_options
@_json_option
def pause(reason: str, url: str, key: str | None, *, as_json: bool, **where: str | None) -> None:
    """Hold jobs: none is pushed to a worker any more; what is at work goes on (operators).

    Photos are accepted meanwhile, and their jobs stay queued. It may be run again; the first reason stays.

    Exit status: 0 paused, 1 refused, 2 usage, 3 the service or Pub/Sub cannot be reached.
    """
    with connect(url, key) as client, _switch(client, where) as switch:
        pushes = switch.pushes() if switch else {}
        wishes = {"reason": reason, "by": who(), "pushes": pushes}
        answer = client.post(f"{_PATH}/pause", wishes, "delivery", "pushes")
        if switch:
            _detach(client, switch, answer["pushes"])
    click.echo(json_line(answer) if as_json else delivery_line(answer))


@click.command()
@_project_options
@operator_options
@_json_option
def resume(url: str, key: str | None, *, as_json: bool, **where: str | None) -> None:
    """Deliver jobs again (operators).

    Exit status: 0 running, 1 refused, 2 usage, 3 the service or Pub/Sub cannot be reached.
    """
    with connect(url, key) as client, _switch(client, where) as switch:
        answer = _attach(client, switch) if switch else client.post(f"{_PATH}/resume", {}, "delivery")
    click.echo(json_line(answer) if as_json else delivery_line(answer))


def _detach(client: Client, switch: "Switch", on_record: Mapping[str, Any]) -> None:
    """Detach what is on record, and nothing else; attach it again if it no longer is afterwards."""
    if left := switch.detach(on_record):
        raise RefusedError(
            f"{', '.join(left)}: pushes, but not as is on record, and goes on so. Run this again."
        )
    if on_record.keys() - client.get(_PATH, "pushes")["pushes"].keys():
        switch.attach(on_record)
        raise RefusedError(
            "Delivery was resumed at the same moment, and goes on. Run this again to hold jobs."
        )


def _attach(client: Client, switch: "Switch") -> Mapping[str, Any]:
    """Attach what is on record, then end the pause; return what is told about delivery."""
    pushes = client.get(_PATH, "pushes")["pushes"]
    if left := switch.attach(pushes):
        raise RefusedError(
            f"{', '.join(left)}: detached, and not by ./cutout pause. "
            "Attach it with ./cutout topology --attach, then run this again."
        )
    client.post(f"{_PATH}/resume", {"attached": sorted(pushes)}, "delivery")
    answer = client.get(_PATH, "delivery")
    if answer["delivery"] == "running":
        switch.attach(pushes)  # a pause that had read the record before may have detached them again
    return answer


@contextmanager
def _switch(client: Client, where: Mapping[str, str | None]) -> "Iterator[Switch | None]":
    """Lend what detaches pushes, or ``None`` where the broker of one machine holds jobs by itself."""
    is_pubsub, project = client.get(_PATH, "queue")["queue"] == "pubsub", _project(where)
    if is_pubsub and project is None:
        raise click.UsageError("Jobs go through Pub/Sub there: name the project with --project.")
    if project is None:
        yield None
        return
    from shared import pubsub_pausing  # noqa: PLC0415 - as above

    try:
        with pubsub_pausing.opened(project) as switch:
            yield switch
    except QueueUnavailableError as error:
        raise UnreachableError(f"{error.detail} Run this again.") from error


def _project(where: Mapping[str, str | None]) -> Project | None:
    name, emulator = where["project"], where["emulator"]
    try:
        return Project(read_project_id(name), emulator and read_address(emulator)) if name else None
    except ValueError as error:
        raise click.BadParameter(f"{error}, got {name!r} and {emulator!r}", param_hint="--project") from error
