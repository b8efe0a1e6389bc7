"""A signed URL lets its holder do one thing with one object for a while; IAM signs it, no key file does."""

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth.transport.requests import AuthorizedSession

from shared.errors import StoreUnavailableError
from shared.gcs import GcsStore, connect
from shared.gcs_patience import Patience
from shared.gcs_signing import IamSigning
from tests.gcs_signatures import SIGNED_WITH, new_key, verified

ACCOUNT = "cutout-api@project.iam.gserviceaccount.com"
MINUTE = timedelta(minutes=1)


@dataclass
class Google:
    """Where tokens come from and blobs are signed, with a key that nobody else has."""

    url: str = ""
    key: rsa.RSAPrivateKey = field(default_factory=new_key)
    script: list[tuple[int, str]] = field(default_factory=list)  #: answers that come before the right ones
    signed: int = 0

    def answer(self, path: str, body: bytes, token: str | None) -> tuple[int, bytes]:
        if path == "/token":
            return 200, json.dumps({"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}).encode()
        assert path == f"/v1/projects/-/serviceAccounts/{ACCOUNT}:signBlob"
        assert token == "Bearer t"
        if self.script:
            status, text = self.script.pop(0)
            return status, text.encode()
        self.signed += 1
        signature = self.key.sign(base64.b64decode(json.loads(body)["payload"]), *SIGNED_WITH)
        return 200, json.dumps({"keyId": "1", "signedBlob": base64.b64encode(signature).decode()}).encode()

    def verify(self, method: str, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        """Check a V4 signature as Cloud Storage would; return the query without it."""
        return verified(self.key.public_key(), method, url, headers)


@contextmanager
def serving(google: Google) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = google.answer(self.path, body, self.headers["Authorization"])
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        google.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield
        server.shutdown()


@pytest.fixture
def google() -> Iterator[Google]:
    google = Google()
    with serving(google):
        yield google


@pytest.fixture
def store(google, tmp_path, monkeypatch) -> Iterator[GcsStore]:
    """A store as the services connect to it; the credentials' own key signs nothing but token requests."""
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    document = {
        "type": "service_account",
        "client_email": ACCOUNT,
        "token_uri": f"{google.url}/token",
        "private_key": new_key().private_bytes(*private).decode(),
    }
    (tmp_path / "credentials.json").write_text(json.dumps(document))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "credentials.json"))
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    store = connect("photos", iam=google.url, patience=Patience(sleep=lambda _: None, total_s=2))
    yield store
    store._calls._client.close()


def download_url(store: GcsStore, name: str = "results/job_1/e0/1/color.png") -> str:
    url = store.download_url(
        name, filename="job_1-color.png", content_type="image/png", lifetime=timedelta(minutes=15)
    )
    assert url is not None
    return url


def test_a_download_url_is_signed_by_the_account_for_one_object_and_a_while(store, google) -> None:
    url = download_url(store)
    query = google.verify("GET", url, {})
    assert url.startswith("https://storage.googleapis.com/photos/results/job_1/e0/1/color.png?")
    assert query["X-Goog-Credential"].startswith(f"{ACCOUNT}/")
    assert query["X-Goog-Expires"] == "900"
    assert query["response-content-type"] == "image/png"
    assert query["response-content-disposition"] == 'inline; filename="job_1-color.png"'
    made = datetime.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - made) < MINUTE


@pytest.mark.parametrize("name", ["a b/c+d", "ä ö?*:<>|&%2F", "~x"])
def test_any_name_can_be_signed_for(store, google, name) -> None:
    url = download_url(store, name)
    google.verify("GET", url, {})
    assert urlsplit(url).path == "/photos/" + quote(name, safe="/~")


@pytest.mark.parametrize("change", [("color", "matte"), ("=900", "=901"), ("image%2Fpng", "text%2Fhtml")])
def test_a_url_that_was_changed_is_not_signed(store, google, change) -> None:
    with pytest.raises(InvalidSignature):
        google.verify("GET", download_url(store).replace(*change), {})


def ticket_of(store: GcsStore) -> object:
    return store.upload_ticket(
        "inputs/upload_1", content_type="image/jpeg", max_bytes=50_000_000, lifetime=timedelta(minutes=15)
    )


def test_a_ticket_creates_one_object_once_with_so_many_bytes_at_most(store, google) -> None:
    before = datetime.now(UTC)
    ticket = ticket_of(store)
    query = google.verify(ticket.method, ticket.url, ticket.headers)
    assert ticket.method == "PUT"
    assert ticket.url.startswith("https://storage.googleapis.com/photos/inputs/upload_1?")
    assert ticket.headers == {
        "Content-Type": "image/jpeg",
        "x-goog-content-length-range": "0,50000000",
        "x-goog-if-generation-match": "0",
    }
    signed = "content-type;host;x-goog-content-length-range;x-goog-if-generation-match"
    assert query["X-Goog-SignedHeaders"] == signed
    made = datetime.strptime(query["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert before + timedelta(minutes=14) < ticket.expires_at <= made + timedelta(minutes=15)
    assert ticket.max_bytes == 50_000_000


@pytest.mark.parametrize(
    "header", ["Content-Type", "x-goog-content-length-range", "x-goog-if-generation-match"]
)
def test_a_ticket_is_good_for_no_other_headers(store, google, header) -> None:
    ticket = ticket_of(store)
    with pytest.raises(InvalidSignature):
        google.verify("PUT", ticket.url, {**ticket.headers, header: "1"})


def test_who_sees_a_ticket_in_a_log_cannot_use_it(store) -> None:
    assert "X-Goog-Signature" not in repr(ticket_of(store))


def test_an_iam_that_falters_is_asked_again(store, google) -> None:
    google.script = [(503, "{}"), (429, "{}"), (200, "<html>")]
    google.verify("GET", download_url(store), {})
    assert google.signed == 1


def test_an_iam_that_is_away_is_storage_that_is_away(store, google) -> None:
    google.script = [(503, "{}")] * 100_000
    with pytest.raises(StoreUnavailableError):
        download_url(store)
    assert len(google.script) < 99_999


def test_a_right_to_sign_that_is_missing_is_named(store, google) -> None:
    message = f"Permission 'iam.serviceAccounts.signBlob' denied on resource {ACCOUNT} (or it may not exist)."
    google.script = [(403, json.dumps({"error": {"code": 403, "message": message}}))] * 2
    with pytest.raises(StoreUnavailableError) as caught:
        download_url(store)
    assert caught.value.detail == "The service's account lacks a right: iam.serviceAccounts.signBlob."
    assert len(google.script) == 1


@dataclass
class PlatformCredentials:
    """What the platform gives: the account's name is known once there is a token."""

    service_account_email: str | None = "default"
    refreshed: int = 0

    def before_request(self, _request: object, _method: str, _url: str, headers: dict[str, str]) -> None:
        headers["Authorization"] = "Bearer t"

    def refresh(self, _request: object) -> None:
        self.refreshed += 1
        self.service_account_email = ACCOUNT


def test_the_platforms_account_is_asked_for_its_name_once(google) -> None:
    credentials = PlatformCredentials()
    with AuthorizedSession(credentials) as session:
        for _ in range(2):
            signing = IamSigning(session, (1, 1), iam=google.url)
            signature = signing.sign_bytes(b"text")
            google.key.public_key().verify(signature, b"text", *SIGNED_WITH)
            assert signing.signer_email == ACCOUNT
    assert credentials.refreshed == 1


def test_a_persons_credentials_cannot_sign(google) -> None:
    with AuthorizedSession(PlatformCredentials(service_account_email=None)) as session:
        signing = IamSigning(session, (1, 1), iam=google.url)
        with pytest.raises(StoreUnavailableError, match="service account"):
            _ = signing.signer_email
