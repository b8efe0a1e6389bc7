"""A client that sends a byte a second holds no thread of the API; an honest one is served (fault L3)."""

import contextlib
import http.client
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from api.gunicorn_conf import worker_connections
from api.worth import FIRST_BYTES, HEAD_AT_MOST_BYTES, HeadTooLargeError, wanted_bytes
from bench.processes import Server, api
from tests.world import photo_bytes

HEAD = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
FORM = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
BODY = FORM + photo_bytes(64) + b"\r\n--b--\r\n"
ANSWERS_WITHIN_S = 5.0


def with_length(number: int, head: bytes = HEAD) -> bytes:
    return head + b"Content-Length: %d\r\n\r\n" % number


def test_a_request_without_a_body_is_worth_a_thread_once_its_head_is_there() -> None:
    head = b"GET /v1/jobs/job_1 HTTP/1.1\r\nHost: x\r\n\r\n"
    assert wanted_bytes(head) == 0
    assert [wanted_bytes(head[:n]) for n in (1, 20, len(head) - 1)] == [2, 21, len(head)]


def test_a_short_body_is_waited_for_and_of_a_long_one_the_beginning() -> None:
    short, long = with_length(7), with_length(20_000_000)
    assert wanted_bytes(short + b"1234") == len(short) + 7
    assert wanted_bytes(long) == len(long) + FIRST_BYTES
    assert wanted_bytes(with_length(7, HEAD.replace(b"Content-Type", b"X: 1\r\ncontent-type"))) > 0


def test_a_body_that_is_to_be_asked_for_is_not_waited_for() -> None:
    assert wanted_bytes(with_length(7, HEAD + b"Expect: 100-continue\r\n")) == 0


def test_a_body_in_chunks_is_waited_for_to_its_end_or_as_long_as_another() -> None:
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    assert wanted_bytes(head) == len(head) + 1
    assert wanted_bytes(head + b"3\r\nabc\r\n") > 0
    assert wanted_bytes(head + b"3\r\nabc\r\n0\r\n\r\n") == 0
    assert wanted_bytes(head + b"0\r\n\r\n") == 0
    assert wanted_bytes(head + bytes(FIRST_BYTES)) == 0


def test_what_only_looks_like_a_length_is_none() -> None:
    assert wanted_bytes(HEAD + b"X-Content-Length: 7\r\n\r\n") == 0
    assert wanted_bytes(HEAD + b"Content-Length: seven\r\n\r\n") == 0


def test_empty_lines_are_no_head() -> None:
    assert wanted_bytes(b"\r\n\r\n") == 5
    assert wanted_bytes(b"\r\nGET / HTTP/1.1\r\n\r\n") == 0
    assert wanted_bytes(b"\r\n" + with_length(7) + b"1234") == 2 + len(with_length(7)) + 7


def test_a_head_that_does_not_end_is_refused() -> None:
    assert wanted_bytes(bytes(HEAD_AT_MOST_BYTES - 1)) == HEAD_AT_MOST_BYTES
    with pytest.raises(HeadTooLargeError):
        wanted_bytes(bytes(HEAD_AT_MOST_BYTES))


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    with api(tmp_path_factory.mktemp("patience")) as running:
        yield running


def connect(server: Server, data: bytes) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=ANSWERS_WITHIN_S)
    client.sendall(data)
    return client


def status(client: socket.socket) -> int:
    answer = http.client.HTTPResponse(client)
    answer.begin()
    return answer.status


GET = b"GET /health HTTP/1.1\r\nHost: x\r\n"

CROWDS = {
    "silent": (b"", b""),
    "one letter": (b"P", b""),
    "no body yet": (with_length(1_000_000) + FORM, b""),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc", b""),
    "one request and a letter": (GET + b"\r\nG", b""),
    "empty lines": (b"\r\n\r\n", b""),
    "a head without an end": (GET + b"X: " + bytes(70_000).replace(b"\0", b"a"), b""),
    "an urgent letter": (b"G", b"E"),
    "one request, and the end kept open": (GET + b"Connection: close\r\n\r\n", b""),
    "no request, and the end kept open": (b"x\r\n\r\n", b""),
}


@pytest.mark.system
@pytest.mark.parametrize(("begun", "urgent"), CROWDS.values(), ids=CROWDS)
def test_behind_a_crowd_that_has_begun_to_send_others_are_served(
    server: Server, begun: bytes, urgent: bytes
) -> None:
    crowd = [connect(server, begun) for _ in range(100)]
    if urgent:
        for slow in crowd:
            slow.send(urgent, socket.MSG_OOB)
    began = time.monotonic()
    with closing(connect(server, GET + b"\r\n")) as client:
        assert status(client) == 200
    with closing(connect(server, with_length(len(BODY)) + BODY)) as client:
        assert status(client) == 202
    assert time.monotonic() - began < ANSWERS_WITHIN_S
    for slow in crowd:
        slow.close()


@pytest.mark.system
def test_behind_more_connections_than_there_may_be_others_are_served(server: Server) -> None:
    """Whoever has sent nothing for longest makes room."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with contextlib.ExitStack() as crowd:
        for number in range(worker_connections + 100):
            crowd.enter_context(closing(connect(server, b"G" * (number % 2))))
        with closing(connect(server, GET + b"\r\n")) as client:
            assert status(client) == 200


@pytest.mark.system
def test_a_head_too_large_is_told_so(server: Server) -> None:
    with closing(connect(server, GET + b"X: " + b"a" * 70_000)) as client:
        assert status(client) == 431


@pytest.mark.system
def test_who_sends_slowly_but_sends_is_served(server: Server) -> None:
    request = with_length(len(BODY)) + BODY
    with closing(connect(server, b"")) as client:
        for at in range(0, len(request), 1 + len(request) // 8):
            time.sleep(0.05)
            client.sendall(request[at : at + 1 + len(request) // 8])
        assert status(client) == 202
        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")  # on the same connection


@pytest.mark.system
def test_who_waits_to_be_asked_for_its_body_is_asked(server: Server) -> None:
    with closing(connect(server, with_length(len(BODY), HEAD + b"Expect: 100-continue\r\n"))) as client:
        assert client.recv(100).startswith(b"HTTP/1.1 100")
        client.sendall(BODY)
        assert status(client) == 202


@pytest.mark.system
def test_who_ends_in_the_middle_is_answered_at_once(server: Server) -> None:
    with closing(connect(server, with_length(len(BODY)) + BODY[:100])) as client:
        client.shutdown(socket.SHUT_WR)
        assert status(client) == 400


@pytest.mark.system
def test_two_requests_on_one_connection_are_both_answered(server: Server) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=ANSWERS_WITHIN_S)) as client:
        for _ in range(2):
            client.request("GET", "/health")
            assert client.getresponse().read()
    with closing(connect(server, request + request)) as client, client.makefile("rb") as answers:
        assert sum(line.startswith(b"HTTP/1.1 200") for line in _lines(answers, until=2)) == 2


def _lines(answers, *, until: int) -> Iterator[bytes]:
    seen = 0
    while seen < until and (line := answers.readline()):
        seen += line.startswith(b"HTTP/1.1")
        yield line
