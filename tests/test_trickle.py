"""A client that sends a byte at a time does not keep a thread from the others (fault L3)."""

import io
from contextlib import suppress

import pytest

from api.gunicorn_conf import threads
from api.trickle import LEAST_BYTES_PER_S, PATIENT_S, PRESSED_S, REMEMBERED_S, Bodies, CrowdedError
from tests.api_world import ApiWorld
from tests.world import TurnedClock


class Wire:
    """A socket that says whether it was cut off."""

    is_cut = False

    def shutdown(self, _how: int) -> None:
        self.is_cut = True


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def bodies(clock: TurnedClock) -> Bodies:
    return Bodies(monotonic=clock.monotonic, _is_watched=True)


def begin(bodies: Bodies, number: int, sent: int = 0) -> list[Wire]:
    wires = [Wire() for _ in range(number)]
    for wire in wires:
        bodies.begin(io.BytesIO(bytes(sent)), wire).read(sent)
    return wires


def test_who_trickles_is_cut_off_after_a_while(bodies: Bodies, clock: TurnedClock) -> None:
    (wire,) = begin(bodies, 1, sent=20)
    clock.turn(seconds=PATIENT_S - 1)
    assert bodies.look() == 0
    clock.turn(seconds=1)
    assert bodies.look() == 1
    assert wire.is_cut


def test_who_sends_is_waited_for(bodies: Bodies, clock: TurnedClock) -> None:
    (wire,) = begin(bodies, 1, sent=600 * LEAST_BYTES_PER_S)
    clock.turn(seconds=600)
    bodies.look()
    assert not wire.is_cut
    clock.turn(seconds=1)
    bodies.look()
    assert wire.is_cut


def test_what_is_waited_for_at_once_is_no_more_than_what_has_come(bodies: Bodies) -> None:
    class Stream(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            asked.append(size or 0)
            return super().read(size)

    asked: list[int] = []
    body = bodies.begin(Stream(bytes(300_000)), Wire())
    assert sum(len(body.read(65_536)) for _ in range(5)) == 300_000
    assert len(asked) <= 12  # each copies what gunicorn has read ahead
    came = 0
    for size in asked[:-1]:
        assert size <= max(1024, came)
        came += size


@pytest.mark.parametrize(("per_s", "is_slow"), [(999, True), (2048, False)])
@pytest.mark.parametrize("lasted_s", [1, 2, 7, 20, 21, 33, 60, 600])
def test_who_sends_less_than_the_least_is_slow_and_who_sends_twice_as_much_never_is(
    bodies: Bodies, per_s: int, lasted_s: int, is_slow: bool
) -> None:
    class Stream(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if len(piece := super().read(size)) < (size or 0):
                raise TimeoutError  # the rest is still on its way, and gunicorn waits for it
            return piece

    body = bodies.begin(Stream(bytes(per_s * lasted_s)), Wire())
    with suppress(TimeoutError):
        while body.read(65_536):
            pass
    assert body.is_slow(body.began + lasted_s, after_s=PRESSED_S) == is_slow


def test_where_threads_run_short_who_trickles_is_cut_off_at_once_and_nobody_else(
    bodies: Bodies, clock: TurnedClock
) -> None:
    slow = begin(bodies, threads // 2, sent=2)
    fast = begin(bodies, 1, sent=100_000)
    clock.turn(seconds=PRESSED_S)
    assert bodies.look() == len(slow)
    assert all(wire.is_cut for wire in slow)
    assert not fast[0].is_cut


def test_beside_a_crowd_of_trickling_clients_bodies_get_half_the_threads(
    bodies: Bodies, clock: TurnedClock
) -> None:
    begin(bodies, threads)  # nobody is known to trickle yet
    clock.turn(seconds=PRESSED_S)
    assert bodies.look() == threads
    begin(bodies, threads // 2)
    with pytest.raises(CrowdedError):
        begin(bodies, 1)
    clock.turn(seconds=REMEMBERED_S)
    begin(bodies, 1)


def test_a_body_that_has_come_is_forgotten(bodies: Bodies, clock: TurnedClock) -> None:
    wire = Wire()
    bodies.end(bodies.begin(io.BytesIO(), wire))
    clock.turn(seconds=100)
    assert bodies.look() == 0
    assert not wire.is_cut


def test_what_is_read_is_what_was_sent(bodies: Bodies) -> None:
    data = bytes(range(256)) * 100
    body = bodies.begin(io.BytesIO(data), Wire())
    assert body.read(10) + body.read(5000) + body.read(1 << 20) == data
    assert body.came_bytes == len(data)
    assert body.read(1) == b""


def test_a_photo_over_a_socket_is_taken_as_ever(tmp_path) -> None:
    world = ApiWorld(tmp_path)
    boundary = "b"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'.encode()
    data = head + world.photo + f"\r\n--{boundary}--\r\n".encode()

    class Socket(Wire):
        def settimeout(self, _seconds: float) -> None: ...

    answer = world.client.post(
        "/v1/jobs",
        data=data,
        content_type="multipart/form-data; boundary=b",
        environ_overrides={"gunicorn.socket": Socket()},
    )
    assert answer.status_code == 202, answer.json
