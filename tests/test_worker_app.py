"""The worker's HTTP face: only 204 acknowledges, and health never waits for the model."""

import threading
from pathlib import Path

import pytest

from tests.world import World, push_body
from worker.app import Lifecycle, create_app
from worker.model_gate import ModelGate, load_in_background
from worker.services import Patience


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.accept()
    return world


def client(world: World, **changes):
    return create_app(Lifecycle(services=world.services(**changes), stopping=threading.Event())).test_client()


def test_done_is_204_and_busy_is_503(world: World) -> None:
    cold = client(world, gate=ModelGate(), patience=Patience(for_a_slot_s=0))
    assert cold.post("/push", data=push_body()).status_code == 503
    assert client(world).post("/push", data=push_body()).status_code == 204
    world.assert_succeeded()


def test_a_push_of_any_size_that_cannot_be_read_is_acknowledged(world: World) -> None:
    assert client(world).post("/push", data=b"{").status_code == 204
    assert client(world).post("/push", data=b" " * 17_000_000).status_code == 204


def test_ready_only_with_a_model_and_health_always(world: World) -> None:
    """Field report 34: health checks starved."""
    cold = client(world, gate=ModelGate())
    assert cold.get("/health").status_code == 200
    answer = cold.get("/ready")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    answer = client(world).get("/ready")
    assert (answer.status_code, answer.json["model"], answer.json["engine"]["name"]) == (
        200,
        "loaded",
        "disc",
    )


@pytest.mark.parametrize(
    ("environ", "headers"),
    [
        ({"REMOTE_ADDR": "10.0.0.7"}, {}),
        ({}, {"X-Forwarded-For": "203.0.113.9"}),
        ({}, {"Forwarded": "for=203.0.113.9"}),
        ({}, {"Host": "shop.example:8081"}),
    ],
)
def test_nobody_but_this_machine_may_push(world: World, environ, headers) -> None:
    """Field report 35: a crawler booted the GPU."""
    answer = client(world).post("/push", data=push_body(), environ_overrides=environ, headers=headers)
    assert answer.status_code == 403
    assert world.job().status == "queued"


def test_an_unknown_route_is_a_problem(world: World) -> None:
    answer = client(world).get("/robots.txt")
    assert (answer.status_code, answer.json["slug"]) == (404, "not-found")
    assert client(world).get("/push").status_code == 405


def test_a_model_that_cannot_be_loaded_ends_the_process_and_is_never_ready() -> None:
    """Field report 33: GPU failure fell back to CPU in silence."""
    gate, dead = ModelGate(), threading.Event()

    def build():
        raise OSError("the checkpoint is truncated")

    load_in_background(gate, build, warm=lambda _model: None, die=dead.set, tell=lambda: None).join(5)
    assert dead.is_set()
    assert gate.engine is None


def test_the_gate_opens_only_after_the_model_that_serves_has_been_warmed(world: World) -> None:
    """Field report 2 and 27: warm-up warmed another object; kernels compiled on first use."""
    gate, warmed = ModelGate(), []

    def warm(model) -> None:
        assert gate.engine is None
        warmed.append(model)

    load_in_background(gate, lambda: world.model, warm, die=lambda: None, tell=lambda: None).join(5)
    assert warmed == [gate.model(within_s=0)]


def test_a_model_that_fails_its_warm_up_is_never_ready(world: World) -> None:
    """Field report 4: warm-up crashed behind a 200."""
    gate, dead = ModelGate(), threading.Event()

    def warm(_model) -> None:
        raise ValueError("0 pixels")

    load_in_background(gate, lambda: world.model, warm, die=dead.set, tell=lambda: None).join(5)
    assert dead.is_set()
    assert gate.engine is None
