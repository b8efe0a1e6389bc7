"""A checkpoint is fetched whole or not at all, goes on where it was broken off, and never hangs."""

import hashlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shared.checkpoints import Checkpoint, CheckpointError
from shared.fetching import Fetched, TooSlowError, fetch

DATA = bytes(range(256)) * 20_000


class Release(BaseHTTPRequestHandler):
    """Serves DATA; breaks off after as many bytes as the server says."""

    def do_GET(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.server.starts.append(start)
        if start >= len(DATA):
            self.send_error(416)
            return
        self.send_response(206 if start and self.server.resumes else 200)
        rest = DATA[start:] if self.server.resumes else DATA
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: self.server.gives])

    def log_message(self, *_arguments) -> None: ...


@pytest.fixture
def release():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Release)
    server.starts, server.gives, server.resumes = [], None, True
    server.url = f"http://127.0.0.1:{server.server_port}/ckpt"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def checkpoint(data: bytes = DATA) -> Checkpoint:
    return Checkpoint(engine="e", side_px=1, file="ckpt.pth", md5=hashlib.md5(data).hexdigest())


def quiet(_have: int, _total: int | None) -> None: ...


def test_progress_is_told_and_the_file_is_there_once_its_digest_is_right(release, tmp_path) -> None:
    seen = []
    file = fetch(checkpoint(), tmp_path / "models", lambda *told: seen.append(told), url=release.url).file
    assert file.read_bytes() == DATA
    assert seen[-1] == (len(DATA), len(DATA))
    assert fetch(checkpoint(), tmp_path / "models", quiet, url=release.url) == Fetched(file=file)
    assert release.starts == [0], "a file that is there is not fetched again"


@pytest.mark.parametrize("resumes", [True, False])
def test_what_was_broken_off_goes_on_where_it_ended_if_the_server_can(release, tmp_path, resumes) -> None:
    release.gives, release.resumes = 1_500_000, resumes
    with pytest.raises(CheckpointError, match="1,500,000 of 5,120,000 bytes"):
        fetch(checkpoint(), tmp_path, quiet, url=release.url)
    assert not (tmp_path / "ckpt.pth").exists()
    release.gives = None
    assert fetch(checkpoint(), tmp_path, quiet, url=release.url).file.read_bytes() == DATA
    assert release.starts == [0, 1_500_000]


def test_what_came_whole_before_the_digest_was_read_is_not_fetched_again(release, tmp_path) -> None:
    (tmp_path / "ckpt.part").write_bytes(DATA)
    assert fetch(checkpoint(), tmp_path, quiet, url=release.url).file.read_bytes() == DATA


def test_something_else_is_deleted(release, tmp_path) -> None:
    with pytest.raises(CheckpointError, match="it was deleted"):
        fetch(checkpoint(b"other"), tmp_path, quiet, url=release.url)
    assert list(tmp_path.iterdir()) == []


def test_what_lies_there_and_is_something_else_is_kept_aside_once_the_published_file_is_there(
    release, tmp_path
) -> None:
    """It may be damaged, or weights of the operator's own that nobody vouches for yet."""
    file = tmp_path / "ckpt.pth"
    file.write_bytes(DATA[:-1])
    release.gives = 1_000
    with pytest.raises(CheckpointError, match="the connection ended"):
        fetch(checkpoint(), tmp_path, quiet, url=release.url)
    assert file.read_bytes() == DATA[:-1]
    release.gives = None
    fetched = fetch(checkpoint(), tmp_path, quiet, url=release.url)
    assert (fetched.file, file.read_bytes()) == (file, DATA)
    assert fetched.put_aside.name.startswith("ckpt.pth.damaged-")
    assert fetched.put_aside.read_bytes() == DATA[:-1]


def test_weights_that_somebody_vouches_for_are_left_where_they_are(release, tmp_path) -> None:
    own = tmp_path / "ckpt.pth"
    own.write_bytes(b"weights of their own")
    own.with_name("ckpt.pth.sha256").write_text("0" * 64)
    with pytest.raises(CheckpointError, match=f"{own} is not what was published, and {own}.sha256 says so"):
        fetch(checkpoint(), tmp_path, quiet, url=release.url)
    assert own.read_bytes() == b"weights of their own"
    assert release.starts == []


class Elsewhere(BaseHTTPRequestHandler):
    """Sends everyone on, again and again, and takes its time: no single wait lasts 5 s."""

    def do_GET(self) -> None:
        self.server.over.wait(1.5)
        self.send_response(302)
        self.send_header("Location", f"/{self.path.count('/')}{self.path}")
        self.end_headers()

    def log_message(self, *_arguments) -> None: ...


def test_waits_for_several_servers_do_not_add_up(tmp_path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        server.over = threading.Event()
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        began = time.monotonic()
        with pytest.raises(CheckpointError, match="within 5 s"):
            fetch(checkpoint(), tmp_path, quiet, url=f"http://127.0.0.1:{server.server_port}/")
        took_s = time.monotonic() - began
        server.over.set()
        server.shutdown()
        thread.join()
    assert took_s < 6


def test_without_a_network_it_gives_up_within_5_s_and_says_where_the_file_belongs(tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        began = time.monotonic()
        with pytest.raises(CheckpointError, match=f"put the file to {tmp_path}/ckpt.pth yourself"):
            fetch(checkpoint(), tmp_path, quiet, url=f"http://127.0.0.1:{deaf.getsockname()[1]}/")
        assert time.monotonic() - began < 6


class Trickle(BaseHTTPRequestHandler):
    """Gives what it has, and from then on a byte now and then, or nothing at all."""

    def do_GET(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(DATA) - start))
        self.end_headers()
        self.wfile.write(DATA[start : self.server.at_once])
        while not self.server.over.wait(self.server.every_s):
            start = max(start, self.server.at_once) + 1
            self.wfile.write(DATA[start - 1 : start])

    def log_message(self, *_arguments) -> None: ...


@pytest.fixture(params=[0.05, 2.0, 60.0], ids="a byte every {} s".format)
def trickle(request):
    with ThreadingHTTPServer(("127.0.0.1", 0), Trickle) as server:
        server.handle_error = lambda *_: None  # who gave up has hung up
        server.at_once, server.every_s, server.over = 100_000, request.param, threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}/ckpt"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


def test_what_takes_too_long_is_left_for_the_next_time_however_slowly_it_comes(
    trickle, release, tmp_path
) -> None:
    began = time.monotonic()
    with pytest.raises(TooSlowError, match="bytes so far"):
        fetch(checkpoint(), tmp_path, quiet, within_s=0.5, url=trickle.url)
    assert time.monotonic() - began < 0.5 + 1
    kept = (tmp_path / "ckpt.part").stat().st_size
    assert kept >= 100_000
    assert fetch(checkpoint(), tmp_path, quiet, within_s=60, url=release.url).file.read_bytes() == DATA
    assert release.starts == [kept]


def test_who_does_not_answer_is_not_waited_for_beyond_the_time_given(tmp_path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url, began = f"http://127.0.0.1:{deaf.getsockname()[1]}/", time.monotonic()
        with pytest.raises(CheckpointError, match=r"nobody answered within 0\.5 s"):
            fetch(checkpoint(), tmp_path, quiet, within_s=0.5, url=url)
        assert time.monotonic() - began < 0.5 + 1


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:http/ckpt", "http://[::1/ckpt", "http://127.0.0.1:1/a b", "nonsense"]
)
def test_an_address_that_is_none_is_said_in_a_sentence(url: str, tmp_path) -> None:
    """As of a proxy: the library raises what is no ``OSError``."""
    with pytest.raises(CheckpointError, match=r"cannot be fetched: .*put the file to"):
        fetch(checkpoint(), tmp_path, quiet, url=url)


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-\x1b[31m\r\n", b"", b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"]
)
def test_an_answer_that_is_none_is_said_in_a_sentence(answer: bytes, tmp_path) -> None:
    def speak(line: socket.socket) -> None:
        caller, _ = line.accept()
        with caller:
            caller.recv(65536)
            caller.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as line:
        threading.Thread(target=speak, args=(line,), daemon=True).start()
        with pytest.raises(CheckpointError, match=r"cannot be fetched: .*put the file to") as caught:
            fetch(checkpoint(), tmp_path, quiet, url=f"http://127.0.0.1:{line.getsockname()[1]}/")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("folder", ["file", "file/models"])
def test_a_folder_that_is_a_file_is_said_in_a_sentence(folder: str, release, tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"a file")
    with pytest.raises(CheckpointError, match=f"{tmp_path}/{folder}/ckpt.pth cannot be put there: "):
        fetch(checkpoint(), tmp_path / folder, quiet, url=release.url)
    assert (tmp_path / "file").read_bytes() == b"a file"


@pytest.mark.parametrize("name", ["ckpt.pth", "ckpt.part"])
def test_a_folder_that_lies_in_the_files_place_is_said_in_a_sentence(name: str, release, tmp_path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(CheckpointError, match=f"Is a directory: '{tmp_path}/{name}'"):
        fetch(checkpoint(), tmp_path, quiet, url=release.url)
