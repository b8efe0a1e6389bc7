"""In the cloud, internal routes are for the one account that pushes; nobody else gets any work done."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.auth import jwt
from google.auth.crypt import ES256Signer
from google.auth.transport import requests as transport

from shared.certificates import PAUSE_S, Certificates, Published
from shared.errors import ForbiddenError, UnauthenticatedError
from shared.push_tokens import PushTokens, fetch
from shared.settings import Settings
from tests.api_world import ApiWorld
from tests.google_keys import (
    AUDIENCE,
    EMAIL,
    Endpoint,
    claims,
    encoded,
    key,
    publishing,
    signed_with_the_public_key,
    unsigned,
)
from tests.test_settings import IN_THE_CLOUD
from tests.world import TurnedClock, push_body
from worker.app import Lifecycle, create_app

GOOD, STRANGER, NEXT = key("good"), key("stranger"), key("next")
STRANGER_AS_GOOD = {"kid": GOOD.id}
HOUR_S = 3600


def seconds(span: float) -> int:
    return int(time.time() + span)


BAD: dict[str, tuple[int, Callable[[], str | None]]] = {
    "no header": (401, lambda: None),
    "no bearer": (401, lambda: f"Basic {GOOD.token()}"),
    "nothing": (401, lambda: "Bearer "),
    "garbage": (401, lambda: "Bearer nonsense"),
    "three garbage parts": (401, lambda: "Bearer a.b.c"),
    "not utf-8": (401, lambda: "Bearer \xff\xfe.\xff.\xff"),
    "a header that is a list": (401, lambda: f"Bearer {encoded([1])}.{encoded(claims())}.AA"),
    "deep nesting": (401, lambda: f"Bearer {encoded(deep())}.{encoded(claims())}.AA"),
    "too long": (401, lambda: f"Bearer {GOOD.token(padding='x' * 8000)}"),
    "forged": (401, lambda: f"Bearer {STRANGER.token(STRANGER_AS_GOOD)}"),
    "changed after signing": (401, lambda: f"Bearer {changed(GOOD.token(email='a@b.example'))}"),
    "signature cut off": (401, lambda: f"Bearer {GOOD.token().rpartition('.')[0]}."),
    "unknown key": (401, lambda: f"Bearer {STRANGER.token()}"),
    "no key id": (401, lambda: f"Bearer {GOOD.token({'kid': None})}"),
    "key id that is a list": (401, lambda: f"Bearer {GOOD.token({'kid': [GOOD.id]})}"),
    "alg none": (401, lambda: f"Bearer {unsigned(GOOD)}"),
    "alg None": (401, lambda: f"Bearer {GOOD.token({'alg': None})}"),
    "alg rs256 in small letters": (401, lambda: f"Bearer {GOOD.token({'alg': 'rs256'})}"),
    "alg ES256": (401, lambda: f"Bearer {GOOD.token({'alg': 'ES256'})}"),
    "HS256 with the public key": (401, lambda: f"Bearer {signed_with_the_public_key(GOOD)}"),
    "expired": (401, lambda: f"Bearer {GOOD.token(iat=seconds(-HOUR_S), exp=seconds(-15))}"),
    "issued in the future": (401, lambda: f"Bearer {GOOD.token(iat=seconds(60))}"),
    "not valid yet": (401, lambda: f"Bearer {GOOD.token(nbf=seconds(60))}"),
    "never expires": (401, lambda: f"Bearer {GOOD.token(exp=None)}"),
    "expires at no number": (401, lambda: f"Bearer {GOOD.token(exp=float('nan'))}"),
    "expires at infinity": (401, lambda: f"Bearer {GOOD.token(exp=float('inf'))}"),
    "expires at a word": (401, lambda: f"Bearer {GOOD.token(exp='tomorrow')}"),
    "expires at true": (401, lambda: f"Bearer {GOOD.token(iat=0, exp=True)}"),
    "wrong issuer": (401, lambda: f"Bearer {GOOD.token(iss='https://accounts.example')}"),
    "no issuer": (401, lambda: f"Bearer {GOOD.token(iss=None)}"),
    "wrong audience": (401, lambda: f"Bearer {GOOD.token(aud='https://other.example')}"),
    "no audience": (401, lambda: f"Bearer {GOOD.token(aud=None)}"),
    "audiences": (401, lambda: f"Bearer {GOOD.token(aud=[AUDIENCE])}"),
    "wrong e-mail": (403, lambda: f"Bearer {GOOD.token(email='somebody@else.example')}"),
    "no e-mail": (403, lambda: f"Bearer {GOOD.token(email=None)}"),
    "e-mail not verified": (403, lambda: f"Bearer {GOOD.token(email_verified=False)}"),
    "e-mail verified in words": (403, lambda: f"Bearer {GOOD.token(email_verified='true')}"),
    "nothing about the e-mail": (403, lambda: f"Bearer {GOOD.token(email_verified=None)}"),
}


def deep() -> dict[str, Any]:
    """A document that a reader may give up on by its own recursion."""
    document: dict[str, Any] = {}
    for _ in range(500):
        document = {"a": document}
    return document


def changed(token: str) -> str:
    header, _, signature = token.split(".")
    return f"{header}.{encoded(claims())}.{signature}"


@dataclass
class Guarded:
    """Both services of the cloud over one world, with a job that waits for work."""

    world: ApiWorld
    api: Any
    worker: Any

    def calls(self, authorization: str | None) -> Iterator[Any]:
        """Make each call that is not for everybody."""
        headers = {"Authorization": authorization} if authorization is not None else {}
        body = push_body(self.job)
        yield self.api.post("/internal/sweep", headers=headers)
        yield self.api.post("/internal/broom", headers=headers)
        yield self.api.post("/internal/dead-letters", headers=headers, data=body)
        yield self.api.post("/internal/events", headers=headers, data=body)
        yield self.worker.post("/push", headers=headers, data=body)

    @property
    def job(self) -> str:
        return self.world.jobs[0]


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with publishing(GOOD) as endpoint:
        yield endpoint


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def tokens(endpoint: Endpoint, clock: TurnedClock) -> Iterator[PushTokens]:
    with transport.requests.Session() as session:
        certificates = Certificates(lambda: fetch(transport.Request(session), endpoint.url), clock.monotonic)
        yield PushTokens(certificates, audience=AUDIENCE, email=EMAIL)


@pytest.fixture
def guarded(tmp_path, tokens: PushTokens) -> Guarded:
    world = ApiWorld(tmp_path, admit=tokens.admit)
    world.jobs = [world.submitted()]
    lifecycle = Lifecycle(services=world.services(), stopping=threading.Event(), admit=tokens.admit)
    return Guarded(world, world.client, create_app(lifecycle).test_client())


def admitted(tokens: PushTokens, token: str) -> bool:
    try:
        tokens.admit({"HTTP_AUTHORIZATION": f"Bearer {token}"})
    except (UnauthenticatedError, ForbiddenError):
        return False
    return True


# --- who is let in ------------------------------------------------------------------------------


def test_the_pusher_is_let_in_everywhere_and_gets_its_work_done(guarded: Guarded) -> None:
    answers = list(guarded.calls(f"Bearer {GOOD.token()}"))
    assert [answer.status_code for answer in answers] == [200, 200, 204, 204, 204]
    guarded.world.assert_succeeded(guarded.job)


@pytest.mark.parametrize("issuer", ["accounts.google.com", "https://accounts.google.com"])
def test_both_of_googles_names_are_google(tokens: PushTokens, issuer: str) -> None:
    assert admitted(tokens, GOOD.token(iss=issuer))


def test_clocks_may_be_a_few_seconds_apart(tokens: PushTokens) -> None:
    assert admitted(tokens, GOOD.token(iat=seconds(5), nbf=seconds(5)))
    assert admitted(tokens, GOOD.token(exp=seconds(-5)))


@pytest.mark.parametrize("what", BAD)
def test_a_bad_token_is_refused_everywhere_and_nothing_is_done(guarded: Guarded, caplog, what: str) -> None:
    """Fault D7; field report 35."""
    status, authorization = BAD[what]
    before = guarded.world.names()
    for answer in guarded.calls(authorization()):
        assert answer.status_code == status, answer.text
        assert answer.json["slug"] == {401: "unauthenticated", 403: "forbidden"}[status]
    assert guarded.world.names() == before
    assert guarded.world.model.calls == 0
    assert caplog.messages.count("push_token.refused") == 5
    assert all(GOOD.token().split(".")[2][:20] not in str(vars(record)) for record in caplog.records)


def test_no_internal_route_is_without_a_guard(guarded: Guarded) -> None:
    rules = {rule.rule for rule in guarded.api.application.url_map.iter_rules()}
    called = {answer.request.path for answer in guarded.calls(None)}
    assert {rule for rule in rules if rule.startswith("/internal/")} | {"/push"} == called


def test_who_is_refused_is_told_what_is_wanted(guarded: Guarded) -> None:
    answer = guarded.api.post("/internal/sweep")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_coming_from_this_machine_does_not_help_in_the_cloud(guarded: Guarded) -> None:
    answer = guarded.api.post("/internal/sweep", environ_overrides={"REMOTE_ADDR": "127.0.0.1"})
    assert answer.status_code == 401


def test_what_everybody_may_ask_needs_no_token(guarded: Guarded) -> None:
    assert guarded.api.get("/health").status_code == 200
    assert guarded.api.get(f"/v1/jobs/{guarded.job}").status_code == 200
    assert guarded.worker.get("/health").status_code == 200


@pytest.mark.parametrize("missing", [{"audience": ""}, {"email": ""}])
def test_tokens_are_never_checked_against_nothing(missing) -> None:
    with pytest.raises(ValueError, match="audience and an e-mail"):
        PushTokens(
            Certificates(lambda: Published({}, 1)), **{"audience": AUDIENCE, "email": EMAIL, **missing}
        )


def test_a_good_signature_of_another_algorithm_does_not_count(tokens: PushTokens, endpoint: Endpoint) -> None:
    """google-auth would check it by whatever key is published under its id."""
    elliptic = ec.generate_private_key(ec.SECP256R1())
    public = elliptic.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    endpoint.published["elliptic"] = public.decode()
    token = jwt.encode(ES256Signer(elliptic, "elliptic"), claims()).decode()
    assert jwt.decode(token, certs=endpoint.published, audience=AUDIENCE)["email"] == EMAIL
    assert not admitted(tokens, token)


# --- certificates -------------------------------------------------------------------------------


def test_an_endpoint_that_is_down_from_the_start_lets_nobody_in(guarded: Guarded, endpoint: Endpoint) -> None:
    endpoint.status = 503
    before = guarded.world.names()
    for token in (GOOD.token(), STRANGER.token(STRANGER_AS_GOOD), unsigned(GOOD)):
        assert {answer.status_code for answer in guarded.calls(f"Bearer {token}")} == {401}
    assert guarded.world.names() == before


def test_an_endpoint_that_comes_up_later_is_found(tokens, endpoint, clock) -> None:
    endpoint.status = 503
    assert not admitted(tokens, GOOD.token())
    endpoint.status = 200
    clock.turn(seconds=PAUSE_S)
    assert admitted(tokens, GOOD.token())


@pytest.mark.parametrize(
    "trouble",
    [
        {"status": 503},
        {"status": 302, "headers": {"Location": "/elsewhere"}},
        {"body": b"<html>busy</html>"},
        {"body": b"[]"},
        {"body": b"{}"},
        {"body": b'{"good": 7}'},
        {"body": b'{"good": "' + b"x" * 300_000 + b'"}'},
    ],
    ids=str,
)
def test_certificates_once_seen_go_on_working_while_the_endpoint_is_down(
    tokens, endpoint, clock, caplog, trouble
) -> None:
    assert admitted(tokens, GOOD.token())
    vars(endpoint).update(trouble)
    for _ in range(3):
        clock.turn(hours=2)
        assert admitted(tokens, GOOD.token())
        assert not admitted(tokens, STRANGER.token(STRANGER_AS_GOOD))
    assert caplog.messages.count("push_token.certificates_unavailable") == 3


def test_they_are_fetched_as_seldom_as_the_endpoint_asks_for(tokens, endpoint, clock) -> None:
    endpoint.headers = {"Cache-Control": "public, max-age=3600, must-revalidate", "Age": "600"}
    for _ in range(10):
        assert admitted(tokens, GOOD.token())
    clock.turn(seconds=2999)
    assert admitted(tokens, GOOD.token())
    assert endpoint.asked == 1
    clock.turn(seconds=2)
    assert admitted(tokens, GOOD.token())
    assert endpoint.asked == 2


def test_a_new_key_is_found_at_once_and_one_that_is_withdrawn_is_forgotten(tokens, endpoint, clock) -> None:
    assert admitted(tokens, GOOD.token())
    clock.turn(seconds=PAUSE_S)
    endpoint.publish(NEXT)
    assert admitted(tokens, NEXT.token())
    assert endpoint.asked == 2
    assert not admitted(tokens, GOOD.token())


def test_made_up_key_ids_do_not_storm_the_endpoint(tokens, endpoint, clock) -> None:
    for n in range(50):
        assert not admitted(tokens, STRANGER.token({"kid": f"made-up-{n}"}))
        clock.turn(seconds=0.5)
    assert endpoint.asked <= 1 + 25 / PAUSE_S
    assert admitted(tokens, GOOD.token())


def test_many_threads_ask_once(tokens, endpoint) -> None:
    with ThreadPoolExecutor(32) as threads:
        assert all(threads.map(lambda _: admitted(tokens, GOOD.token()), range(64)))
    assert endpoint.asked == 1


def test_nobody_whose_key_is_known_waits_for_an_endpoint_that_hangs(tokens, endpoint, clock) -> None:
    assert admitted(tokens, GOOD.token())
    clock.turn(hours=2)
    endpoint.gate.clear()
    with ThreadPoolExecutor(1) as threads:
        looks = threads.submit(admitted, tokens, GOOD.token())
        while endpoint.asked < 2:
            time.sleep(0.001)
        assert admitted(tokens, GOOD.token())
        assert not looks.done()
        endpoint.gate.set()
        assert looks.result()


def test_in_the_cloud_the_settings_say_who_may_push() -> None:
    from shared.adapters import build_doorkeeper  # noqa: PLC0415 - beside what it builds

    doorkeeper = build_doorkeeper(Settings.from_environ(IN_THE_CLOUD))
    tokens = doorkeeper.__self__
    assert (tokens._audience, tokens._email) == (AUDIENCE, EMAIL)
    with pytest.raises(UnauthenticatedError):
        doorkeeper({"REMOTE_ADDR": "127.0.0.1"})


def test_refusals_are_logged_without_the_token(tokens, caplog) -> None:
    caplog.set_level(logging.INFO)
    token = STRANGER.token()
    assert not admitted(tokens, token)
    (record,) = [r for r in caplog.records if r.message == "push_token.refused"]
    assert "not known to publish" in record.reason
    assert token not in json.dumps(vars(record), default=str)
