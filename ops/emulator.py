"""The Pub/Sub emulator: where it is installed, and the command that runs it.

It is Java: run directly rather than through gcloud, it is up in a second and dies with whoever started it.
"""

import shutil
import socket
from collections.abc import Iterable
from pathlib import Path

MISSING = (
    "the Pub/Sub emulator is not installed: it needs Java (Debian: apt-get install default-jre-headless) and "
    "Google's emulator (apt-get install google-cloud-cli-pubsub-emulator from packages.cloud.google.com/apt, "
    "or: gcloud components install pubsub-emulator)"
)

_JAR = "platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar"
#: Small and soon there: it holds a few messages.
_JAVA = ("-Xmx256m", "-XX:-UsePerfData", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class EmulatorMissingError(Exception):
    """The emulator is not installed; the text says what to install."""

    def __init__(self) -> None:
        super().__init__(MISSING)


def emulator_command(port: int) -> list[str]:
    """Return the command that runs the emulator on a port of this machine.

    Raises
    ------
    EmulatorMissingError
        If there is no Java, or no emulator for it.
    """
    java, jar = shutil.which("java"), _newest_jar()
    if java is None or jar is None:
        raise EmulatorMissingError
    return [java, *_JAVA, "-jar", str(jar), "--host=127.0.0.1", f"--port={port}"]


def is_installed() -> bool:
    """Whether there is a Java, and an emulator for it."""
    return shutil.which("java") is not None and _newest_jar() is not None


def free_port() -> int:
    """Return a port that nobody listens on; the emulator cannot be handed a socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def is_listening(port: int) -> bool:
    """Whether somebody answers on a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _newest_jar() -> Path | None:
    jars = [jar for root in _installations() for jar in root.glob(_JAR)]
    return max(jars, key=lambda jar: jar.name, default=None)


def _installations() -> Iterable[Path]:
    """Name the folders in which Google's tools may be."""
    if gcloud := shutil.which("gcloud"):
        yield Path(gcloud).resolve().parent.parent
    yield Path("/usr/lib/google-cloud-sdk")
    yield Path.home() / "google-cloud-sdk"
