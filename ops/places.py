"""Where ./cutout up keeps objects and messages: what --store and --queue may say, and what comes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

import click

from ops.brokers import Broker, EmbeddedBroker, EmulatedBroker, Urls
from ops.children import Child
from ops.data_folder import DataFolder
from ops.emulator import EmulatorMissingError, emulator_command, free_port
from shared.places import PUBSUB_EMULATOR, Bucket, Project, read_address, read_store
from shared.settings import PREFIX

#: The project of an emulator, which takes any.
_PROJECT = "cutout-local"


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """Where messages are kept: in the data folder, unless there is an emulator."""

    emulator: str | None = None  #: host:port
    command: tuple[str, ...] = ()  #: runs the emulator, if it is ours

    def environ(self, folder: DataFolder) -> dict[str, str]:
        """Return what the services are told."""
        if self.emulator:
            return {f"{PREFIX}QUEUE": f"pubsub://{_PROJECT}", PUBSUB_EMULATOR: self.emulator}
        return {f"{PREFIX}QUEUE": f"sqlite://{folder.queue.as_uri().removeprefix('file://')}"}

    def broker(
        self,
        folder: DataFolder,
        urls: Urls,
        slots: int,
        environ: Mapping[str, str],
        say: Callable[[str], None],
    ) -> Broker:
        """Return what pushes the messages."""
        if self.emulator is None:
            return EmbeddedBroker(folder.queue, urls, slots)
        log = folder.log("emulator")
        child = (
            Child("emulator", f"http://{self.emulator}", self.command, environ, log) if self.command else None
        )
        return EmulatedBroker(Project(_PROJECT, self.emulator), urls, child, say)


def read_queue_option(_context: click.Context, _option: click.Parameter, text: str) -> QueuePlace:
    """Read --queue."""
    if text == "embedded":
        return QueuePlace()
    if text == "emulator":
        try:
            port = free_port()
            return QueuePlace(f"127.0.0.1:{port}", tuple(emulator_command(port)))
        except EmulatorMissingError as error:
            raise click.BadParameter(f"{error}.") from error
    try:
        address = read_address(text)
    except ValueError as error:
        raise click.BadParameter(
            f"expected embedded, emulator or the HOST:PORT of one, got {text!r}."
        ) from error
    if not _is_loopback(address.rpartition(":")[0]):
        raise click.BadParameter(f"{text} is not this machine; an emulator elsewhere cannot push to it.")
    return QueuePlace(address)


def read_store_option(_context: click.Context, _option: click.Parameter, text: str | None) -> str | None:
    """Read --store: a bucket, which must be in an emulator; nothing is the data folder."""
    try:
        is_bucket = text is None or isinstance(read_store(text, None), Bucket)
    except ValueError:
        is_bucket = False
    if not is_bucket:
        raise click.BadParameter(
            f"expected gs://BUCKET, got {text!r}; without --store it is the data folder."
        )
    return text


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
