"""A stand-in for whoever signs push tokens: keys of our own, and an endpoint for their certificates."""

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

AUDIENCE = "https://cutout.example"
EMAIL = "pusher@shop-prod.iam.gserviceaccount.com"
ISSUER = "https://accounts.google.com"


@dataclass(frozen=True)
class Key:
    """A key pair with a certificate."""

    id: str
    private: rsa.RSAPrivateKey
    certificate: str  #: PEM

    @property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def token(self, header: Mapping[str, Any] | None = None, **changes: Any) -> str:
        """A good token, but for what is changed; ``None`` leaves a member out."""
        header = {"alg": "RS256", "typ": "JWT", "kid": self.id, **(header or {})}
        signed = f"{encoded(without_none(header))}.{encoded(claims(**changes))}"
        signature = self.private.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{base64url(signature)}"


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "email": EMAIL, "email_verified": True, "sub": "1"}
    return without_none({**good, "iat": now - 5, "exp": now + 3595, **changes})


def unsigned(key: Key) -> str:
    """A token that says it needs no signature."""
    return f"{encoded({'alg': 'none', 'kid': key.id})}.{encoded(claims())}."


def signed_with_the_public_key(key: Key) -> str:
    """A token whose symmetric key is what everybody knows."""
    signed = f"{encoded({'alg': 'HS256', 'kid': key.id})}.{encoded(claims())}"
    digest = hmac.digest(key.certificate.encode(), signed.encode(), "sha256")
    return f"{signed}.{base64url(digest)}"


def without_none(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def encoded(document: Mapping[str, Any]) -> str:
    return base64url(json.dumps(document).encode())


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@cache
def key(name: str) -> Key:
    """A key by name; making one takes a tenth of a second."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "federated-signon.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=7))
        .sign(private, hashes.SHA256())
    )
    return Key(name, private, certificate.public_bytes(serialization.Encoding.PEM).decode())


@dataclass
class Endpoint:
    """Publishes certificates, as the test has set them; counts who asks."""

    published: dict[str, str] = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Cache-Control": "public, max-age=3600"})
    body: bytes | None = None  #: instead of the certificates
    asked: int = 0
    url: str = ""

    def __post_init__(self) -> None:
        self.gate = threading.Event()  # closed: nobody is answered
        self.gate.set()

    def publish(self, *keys: Key) -> None:
        self.published = {key.id: key.certificate for key in keys}


@contextmanager
def publishing(*keys: Key) -> Iterator[Endpoint]:
    """Serve an endpoint on this machine."""
    endpoint = Endpoint()
    endpoint.publish(*keys)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            endpoint.asked += 1
            endpoint.gate.wait(30)
            body = json.dumps(endpoint.published).encode() if endpoint.body is None else endpoint.body
            self.send_response(endpoint.status)
            for name, value in endpoint.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        endpoint.url = f"http://127.0.0.1:{server.server_port}/oauth2/v1/certs"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield endpoint
        finally:
            endpoint.gate.set()
            server.shutdown()
            thread.join()
