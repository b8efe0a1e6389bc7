"""A small Cloud Storage that the real client talks to over HTTP, and that fails as it is told to.

``python -m tests.gcs_fake --port 0 [--latency-ms N]`` prints its URL, which belongs in
STORAGE_EMULATOR_HOST, and serves until it is stopped.  ``GET /fake`` tells its calls by kind;
``PUT /fake?latency_ms=50`` changes it, as do ``one_change_a_second=1``, ``site=read&fault=RESET``
and ``reset=1``, which comes after the telling.
"""

import argparse
import base64
import gzip
import json
import re
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from requests.structures import CaseInsensitiveDict

from shared.checksums import crc32c
from tests.gcs_fake_faults import Fault, Faults
from tests.gcs_fake_objects import MOST_A_PAGE, Objects, Refused, Version

_OBJECT = re.compile(r"(?:/download)?/storage/v1/b/(?P<bucket>[^/]+)/o/(?P<name>[^/]+)")
_OBJECTS = re.compile(r"(?P<upload>/upload)?/storage/v1/b/(?P<bucket>[^/]+)/o")
_SIGNED = re.compile(r"/(?P<bucket>[a-z0-9.-]+)/(?P<name>.+)")
_SIGN_BLOB = re.compile(r"/v1/projects/-/serviceAccounts/[^/]+:signBlob")
_KEPT_OF_A_CHUNK = 256 * 1024
_MESSAGES = {
    403: (
        "forbidden",
        "robot@x.iam.gserviceaccount.com does not have storage.objects.{right} access to the object.",
    )
}
_RIGHTS = {"stat": "get", "read": "get", "list": "list", "delete": "delete"}


class Answer:
    """What a call is answered, before anything goes wrong with it."""

    def __init__(self, status: int, document: object = None, **headers: str) -> None:
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.body = b"" if document is None else json.dumps(document).encode()
        if document is not None:
            self.headers["Content-Type"] = "application/json; charset=UTF-8"


class GcsFake:
    """The store and its HTTP server, which runs from ``start`` to ``stop``."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC), *, port: int = 0) -> None:
        self.clock, self.latency_s = clock, 0.0
        self.objects, self.faults = Objects(clock), Faults()
        self.sessions: dict[str, tuple[str, dict[str, Any], dict[str, str], bytearray]] = {}
        self.refused: list[tuple[str, int]] = []  #: answers of 4xx that were not planned, as (site, status)
        self.peak_at_once = self._at_once = 0
        self.connections = 0  #: that were ever made
        #: Whether bodies come as real ones may: in chunks of no announced length, documents compressed.
        self.is_wrapping = False
        #: Checks the signature of a method, a URL and headers, and returns the query; else no URL is signed.
        self.verify: Callable[[str, str, Mapping[str, str]], Mapping[str, str]] | None = None
        self._lock = threading.Lock()
        self.released = threading.Event()  #: set when whoever stalls may go home
        self._port = port
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port if self._server else self._port}"

    @property
    def calls(self) -> Mapping[str, int]:
        return {site: count for site, count in self.faults.calls.items() if count}

    def start(self) -> None:
        self._server = _Server(("127.0.0.1", self._port), self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def answering(self) -> Iterator[None]:
        with self._lock:
            self._at_once += 1
            self.peak_at_once = max(self.peak_at_once, self._at_once)
        try:
            if self.latency_s:
                time.sleep(self.latency_s)
            yield
        finally:
            with self._lock:
                self._at_once -= 1

    def told(self, asked: Mapping[str, str]) -> Answer:
        """Tell the calls by kind, after doing what is asked of the fake itself."""
        if "latency_ms" in asked:
            self.latency_s = float(asked["latency_ms"]) / 1000
        if "one_change_a_second" in asked:
            self.objects.one_change_a_second = asked["one_change_a_second"] == "1"
        if "fault" in asked:
            calls = range(int(asked.get("first", 0)), int(asked.get("last", 0)) + 1)
            self.faults.plan(asked["site"], Fault[asked["fault"]], calls)
        facts = {"calls": dict(self.calls), "refused": self.refused, "peak_at_once": self.peak_at_once}
        if "reset" in asked:
            self.faults.calls.clear()
            self.faults.clear()
            self.refused, self.peak_at_once = [], 0
        return Answer(200, facts)


class _Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 128

    def __init__(self, address: tuple[str, int], fake: GcsFake) -> None:
        self.fake = fake
        super().__init__(address, Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        self.fake.connections += 1
        return super().get_request()

    def handle_error(self, *_: object) -> None:
        """Pass over clients that went away, and connections that we broke ourselves."""


class Handler(BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    server: _Server

    # --- one call -------------------------------------------------------------------------------

    def parse_request(self) -> bool:
        """Read a request's head, as its one client writes it: the library's way takes as long as all else."""
        self.command, self.path, _ = self.raw_requestline.decode("ascii").split()
        head = iter(self.rfile.readline, b"\r\n")
        pairs = (line.decode("latin-1").split(":", 1) for line in head)
        self.headers = CaseInsensitiveDict((name, value.strip()) for name, value in pairs)
        self.close_connection = self.headers.get("Connection", "").lower() == "close"
        return True

    def _handle(self) -> None:
        self.fake = self.server.fake
        parts = urlsplit(self.path)
        self.asked = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if parts.path == "/fake":
            self._send(self.fake.told(self.asked))
            return
        self.site, do = self._route(parts.path)
        with self.fake.answering():
            fault = self.fake.faults.next(self.site)
            if not self._fail_before(fault):
                self._answer(do, fault)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _handle  # noqa: N815 -- the library's names

    def _route(self, path: str) -> tuple[str, Callable[[], Answer]]:
        match = _OBJECT.fullmatch(path) or _OBJECTS.fullmatch(path)
        if signed := "X-Goog-Signature" in self.asked and _SIGNED.fullmatch(path):
            self.bucket, self.name = signed["bucket"], unquote(signed["name"])
            return "signed", self._signed
        if _SIGN_BLOB.fullmatch(path):
            return "sign", self._sign
        site = self._site(match) if match else "other"
        if match:
            self.bucket, self.name = match["bucket"], unquote(match.groupdict().get("name") or "")
        return site, getattr(self, f"_{site.rpartition('.')[2]}")

    def _site(self, match: re.Match[str]) -> str:
        if "name" in match.re.groupindex:
            media = "read" if self.asked.get("alt") == "media" else "stat"
            return {"DELETE": "delete", "GET": media}.get(self.command, "other")
        if not match["upload"]:
            return {"GET": "list"}.get(self.command, "other")
        if self.command == "PUT":
            return "resumable.chunk"
        return "resumable.start" if self.asked["uploadType"] == "resumable" else "insert"

    def _answer(self, do: Callable[[], Answer], fault: Fault | None) -> None:
        if fault is Fault.CORRUPT and self.sent:
            self.sent, fault = _damaged(self.sent), None
        self.is_partial = fault is Fault.PARTIAL
        try:
            answer = do()
        except Refused as refused:
            self.fake.refused.append((self.site, refused.status))
            answer = _error(refused.status, refused.reason, str(refused))
        if not self._fail_after(fault, answer):
            self._send(answer)

    # --- what is done ---------------------------------------------------------------------------

    def _stat(self) -> Answer:
        return Answer(200, self.fake.objects.find(self.bucket, self.name, self.asked).resource())

    def _read(self) -> Answer:
        version = self.fake.objects.find(self.bucket, self.name, self.asked)
        # The JSON API tells neither the time of the write nor the metadata here.
        answer = Answer(
            200,
            Content_Type=version.content_type,
            X_Goog_Generation=str(version.generation),
            X_Goog_Metageneration="1",
            X_Goog_Hash=f"crc32c={crc32c(version.data)},md5={version.md5}",
            X_Goog_Storage_Class="STANDARD",
        )
        answer.body = version.data
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(match[1]), int(match[2] or len(version.data) - 1)
            answer.status, answer.body = 206, version.data[first : last + 1]
            answer.headers["Content-Range"] = f"bytes {first}-{last}/{len(version.data)}"
        return answer

    def _list(self) -> Answer:
        limit = int(self.asked.get("maxResults", MOST_A_PAGE))
        found, more = self.fake.objects.page(
            self.bucket, self.asked.get("prefix", ""), self.asked.get("pageToken", ""), limit
        )
        fields = re.search(r"items\((.*?)\)", self.asked.get("fields", ""))
        document: dict[str, Any] = {"items": [_only(version, fields) for version in found]}
        if more:
            document["nextPageToken"] = more
        return Answer(200, document)

    def _delete(self) -> Answer:
        self.fake.objects.delete(self.bucket, self.name, self.asked)
        return Answer(204)

    def _insert(self) -> Answer:
        if self.asked["uploadType"] == "media":
            meta = {"name": self.asked["name"], "contentType": self.headers.get("Content-Type")}
            data = self.sent
        else:
            meta, data = _parts(self.headers["Content-Type"], self.sent)
        return Answer(200, self.fake.objects.insert(self.bucket, meta, data, self.asked).resource())

    def _start(self) -> Answer:
        meta = json.loads(self.sent)
        meta.setdefault("contentType", self.headers.get("X-Upload-Content-Type"))
        self.fake.objects.check(self.bucket, meta["name"], self.asked)
        session = secrets.token_hex(16)
        self.fake.sessions[session] = (self.bucket, meta, self.asked, bytearray())
        objects = f"{self.fake.url}/upload/storage/v1/b/{self.bucket}/o"
        location = f"{objects}?uploadType=resumable&upload_id={session}"
        return Answer(200, Location=location)

    def _chunk(self) -> Answer:
        session = self.asked["upload_id"]
        if session not in self.fake.sessions:
            raise Refused(404, "notFound", "No such upload session.")
        bucket, meta, asked, kept = self.fake.sessions[session]
        match = re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", self.headers["Content-Range"])
        assert match, self.headers["Content-Range"]
        if match[1]:
            assert int(match[1]) == len(kept), "a chunk that does not follow what is kept"
            kept += self.sent[:_KEPT_OF_A_CHUNK] if self.is_partial else self.sent
        if match[3] != str(len(kept)):
            return Answer(308, **({"Range": f"bytes=0-{len(kept) - 1}"} if kept else {}))
        version = self.fake.objects.insert(bucket, meta, bytes(kept), asked)
        del self.fake.sessions[session]
        return Answer(200, version.resource())

    def _signed(self) -> Answer:
        """Do the one thing that a signed URL is for; what the XML API says of errors, nobody here reads."""
        query = self._verified()
        made = datetime.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        if self.fake.clock() > made + timedelta(seconds=int(query["X-Goog-Expires"])):
            raise Refused(400, "ExpiredToken", "The provided token has expired.")
        least, most = map(int, self.headers["x-goog-content-length-range"].split(","))
        if not least <= len(self.sent) <= most:
            raise Refused(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size.")
        meta = {"name": self.name, "contentType": self.headers["Content-Type"]}
        asked = {"ifGenerationMatch": self.headers["x-goog-if-generation-match"]}
        version = self.fake.objects.insert(self.bucket, meta, self.sent, asked)
        return Answer(200, X_Goog_Generation=str(version.generation))

    def _verified(self) -> Mapping[str, str]:
        try:
            assert self.command == "PUT", "nothing else is signed for here"
            assert self.fake.verify, "nobody has a key"
            return self.fake.verify(self.command, f"{self.fake.url}{self.path}", dict(self.headers))
        except Exception as error:
            raise Refused(403, "SignatureDoesNotMatch", repr(error)) from error

    def _sign(self) -> Answer:
        """Sign as IAM does, though with a key that nobody believes."""
        payload = base64.b64decode(json.loads(self.sent)["payload"])
        return Answer(200, {"keyId": "1", "signedBlob": base64.b64encode(payload[:64]).decode()})

    def _other(self) -> Answer:
        return _error(403, "forbidden", f"{self.command} {self.path} is not for this caller")

    # --- what goes wrong ------------------------------------------------------------------------

    def _fail_before(self, fault: Fault | None) -> bool:
        if fault is Fault.RESET:
            self._drop()
        elif fault is Fault.STALL:
            self._stall()
        elif fault and isinstance(fault.value, int):
            reason, message = _MESSAGES.get(fault.value, ("backendError", "planned"))
            message = message.format(right=_RIGHTS.get(self.site, "create"))
            self._send(_error(fault.value, reason, message))
        else:
            return False
        return True

    def _fail_after(self, fault: Fault | None, answer: Answer) -> bool:
        if fault is Fault.LOST:
            self._drop()
        elif fault is Fault.LATE:
            self._stall()
        elif fault is Fault.TRUNCATED and answer.body:
            self._send(answer, body=answer.body[: len(answer.body) // 2])
            self._drop()
        elif fault is Fault.DRIP:
            self._drip(answer)
        else:
            _spoil(answer, fault)
            return False
        return True

    def _stall(self) -> None:
        self.fake.released.wait(60)
        self.close_connection = True

    def _drop(self) -> None:
        """Reset the connection: the client is told that it is gone, and nothing else."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _drip(self, answer: Answer) -> None:
        self._send(answer, body=b"")
        for place in range(len(answer.body)):
            if self.fake.released.wait(0.05):
                break
            self.connection.sendall(answer.body[place : place + 1])
        self.close_connection = True

    def _send(self, answer: Answer, *, body: bytes | None = None) -> None:
        body = answer.body if body is None else body
        length = {"Content-Length": str(len(answer.body))}
        if self.server.fake.is_wrapping and answer.body:
            length, body = _wrapped(answer, body)
        head = {
            "Date": format_datetime(self.server.fake.clock(), usegmt=True),
            **length,
            **answer.headers,
        }
        lines = [f"HTTP/1.1 {answer.status} As Told", *(f"{k}: {v}" for k, v in head.items() if v), "", ""]
        self.connection.sendall("\r\n".join(lines).encode() + body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _error(status: int, reason: str, message: str) -> Answer:
    error = {"code": status, "message": message, "errors": [{"message": message, "reason": reason}]}
    return Answer(status, {"error": error})


def _spoil(answer: Answer, fault: Fault | None) -> None:
    if fault is Fault.CORRUPT and answer.body:
        answer.body = _damaged(answer.body)
    if fault is Fault.GARBLED:
        answer.body, answer.headers["Content-Type"] = b"<html>This network is mine.</html>", "text/html"
    if fault in {Fault.GARBLED, Fault.UNNAMED}:
        for name in ("X-Goog-Hash", "X-Goog-Generation", "Location", "Range"):
            answer.headers.pop(name, None)
    if fault is Fault.UNNAMED:
        answer.headers["Date"] = ""


def _damaged(body: bytes) -> bytes:
    """Change a byte, well inside what is data and not its wrapping."""
    place = max(0, len(body) - 60) if body.endswith(b"--") else len(body) // 2
    return body[:place] + bytes([body[place] ^ 0x55]) + body[place + 1 :]


def _wrapped(answer: Answer, body: bytes) -> tuple[dict[str, str], bytes]:
    """Return the headers and the bytes of a body of no announced length; one that is cut has no end."""
    is_cut, headers = len(body) < len(answer.body), {"Transfer-Encoding": "chunked"}
    if "json" in answer.headers["Content-Type"] and not is_cut:
        headers["Content-Encoding"], body = "gzip", gzip.compress(body)
    pieces = [body[place : place + 100] for place in range(0, min(len(body), 1000), 100)] + [body[1000:]]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece)
    return headers, chunks + (b"" if is_cut else b"0\r\n\r\n")


def _parts(content_type: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    """Take a multipart upload apart: its metadata and its bytes."""
    boundary = b"--" + re.search(r'boundary="?([^"]+)"?', content_type)[1].encode()
    _, meta, rest = body.split(boundary, 2)
    data = rest[: rest.rindex(boundary)]
    document = json.loads(meta.split(b"\r\n\r\n", 1)[1])
    head, data = data.split(b"\r\n\r\n", 1)
    document.setdefault("contentType", head.decode().split(":", 1)[1].strip())
    return document, data.removesuffix(b"\r\n")


def _only(version: Version, fields: re.Match[str] | None) -> dict[str, Any]:
    wanted = fields[1].split(",") if fields else None
    return {k: v for k, v in version.resource().items() if wanted is None or k in wanted}


@contextmanager
def running(
    clock: Callable[[], datetime] = lambda: datetime.now(UTC), *, port: int = 0, latency_ms: float = 0
) -> Iterator[GcsFake]:
    """Lend a fake that answers until it is given back."""
    fake = GcsFake(clock, port=port)
    fake.latency_s = latency_ms / 1000
    fake.start()
    try:
        yield fake
    finally:
        fake.stop()


def main() -> None:
    """Serve until the process is stopped."""
    parser = argparse.ArgumentParser(description="a small Cloud Storage for tests")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0)
    options = parser.parse_args()
    with running(port=options.port, latency_ms=options.latency_ms) as fake:
        print(fake.url, flush=True)  # noqa: T201 -- whoever started it waits for this line
        threading.Event().wait()


if __name__ == "__main__":
    main()
