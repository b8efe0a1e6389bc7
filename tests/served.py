"""A service that listens, over a world whose clock and worker go on as an operator's replay does."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from werkzeug.serving import make_server

from shared.pausing import read_pause
from tests.api_world import ApiWorld
from tests.dead import fail, opened, push_all

REPLAY = ("dead-letters", "replay", "--reason", "worker down", "--rate", "100/s")


@dataclass
class Served:
    """A service at an address, whose worker does after each step of a replay what is queued."""

    world: ApiWorld
    url: str = ""
    works: bool = True
    after_step: Callable[[], None] = lambda: None
    #: Told of each order of a replay before the service is.
    before_order: Callable[[dict[str, Any]], None] = lambda _: None
    orders: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        # As gunicorn does, and the development server does not: a body ends where its length says.
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if (environ["REQUEST_METHOD"], environ["PATH_INFO"]) == ("POST", "/v1/replays"):
            self.orders.append(json.loads(body))
            self.before_order(self.orders[-1])
        answer = self.world.client.application.wsgi_app(environ, start_response)
        if environ["PATH_INFO"].endswith("/advance"):
            for name in () if self.works else opened(self.world):
                fail(self.world, name, 1)
            if read_pause(self.world.store) is None:
                push_all(self.world)
            self.world.clock.turn(seconds=1)
            self.after_step()
        return answer


@contextmanager
def serving(world: ApiWorld) -> Iterator[Served]:
    served = Served(world)
    server = make_server("127.0.0.1", 0, served, threaded=True)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def lines(result: Any) -> list[str]:
    return result.stdout.splitlines()
