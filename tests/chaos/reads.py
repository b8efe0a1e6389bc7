"""What is asked of the API and changes nothing: it answers what is so, or asks to try again (G1)."""

from typing import Any
from urllib.parse import unquote, urlsplit

from tests.chaos.scene_steps import Step, answered
from tests.chaos.turned import Turned
from tests.promises import require

#: What moves by itself while a question is asked; that it is told at all must be so all the same.
_MOVES = {"request_id", "age_s", "oldest_age_s", "now", "wait_s"}
#: What is said beside a body that must be so too.
_HEADERS = ("ETag", "Content-Type", "Content-Disposition", "Cache-Control")


def read(url: str, *, method: str = "GET", answers: int = 200, waits: str = "", **request: Any) -> Step:
    """Return a step that asks until it is answered, and as an API is to whose store nothing happens."""
    asked = {"Prefer": waits} if waits else {}

    def ask(world: Turned) -> bool:
        headers = request.get("headers", {})
        meant = world.undisturbed.open(url, method=method, **request)
        require(meant.status_code == answers, "G1", f"{meant.status_code} to {url} with nothing in its way")
        answer = answered(world, method, url, answers=answers, **{**request, "headers": headers | asked})
        if answer is not None:
            require(_told(answer) == _told(meant), "G1", f"{answer.data!r:.300} to {url}")
        return answer is not None

    return ask


def read_damaged(url: str, name: str, *, answers: int) -> Step:
    """Return a step that asks as above while a record is damaged."""
    ask = read(url, answers=answers)

    def ask_meanwhile(world: Turned) -> object:
        with world.damaged(name):
            return ask(world)

    return ask_meanwhile


def _told(answer: Any) -> tuple[list[str | None], Any]:
    headers = [
        answer.headers.get(name) for name in _HEADERS if name != "Content-Length" or not answer.is_json
    ]
    return headers, _still(answer.json) if answer.is_json else answer.data


def _still(found: Any) -> Any:
    """Return what was told without what moves, of which only the kind must be right."""
    if isinstance(found, dict):
        return {k: type(v).__name__ if k in _MOVES else _still(v) for k, v in found.items()}
    return [_still(member) for member in found] if isinstance(found, list) else found


def led_to(url: str, name: str) -> Step:
    """Return a step that asks until it is led to an object by a signed URL."""

    def ask(world: Turned) -> bool:
        answer = answered(world, "GET", url, answers=302)
        if answer is not None:
            where = urlsplit(answer.headers["Location"])
            require(unquote(where.path).endswith(f"/{name}"), "G1", f"{where.path} is not {name}")
            require("X-Goog-Signature=" in where.query, "G1", "a URL that nobody has signed")
        return answer is not None

    return ask


def is_ready(world: Turned) -> bool:
    """Ask whether photos can be taken; what is wrong is the store, and nothing else is."""
    answer = world.ask("GET", "/ready")
    if answer.status_code == 503:
        require(set(answer.json["faults"]) == {"store"}, "G1", f"{answer.json}")
        require(answer.headers.get("Retry-After"), "G1", "no Retry-After")
        return False
    meant = world.undisturbed.get("/ready")
    require((answer.status_code, answer.json) == (200, meant.json), "G1", f"{answer.json} to /ready")
    return True
