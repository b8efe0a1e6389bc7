"""V4 signatures as Cloud Storage checks them, and a key that signs without IAM."""

import hashlib
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.auth.credentials import Signing

SIGNED_WITH = padding.PKCS1v15(), hashes.SHA256()


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class OwnKey(Signing):
    """Signs as ``IamSigning`` does, and knows its own signatures again."""

    signer_email = "robot@project.iam.gserviceaccount.com"
    signer = None

    def __init__(self) -> None:
        self.key = new_key()

    def sign_bytes(self, message: bytes) -> bytes:
        return self.key.sign(message, *SIGNED_WITH)

    def verify(self, method: str, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        return verified(self.key.public_key(), method, url, headers)


def verified(key: rsa.RSAPublicKey, method: str, url: str, headers: Mapping[str, str]) -> dict[str, str]:
    """Check a V4 signature; return the query without it."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    signature = bytes.fromhex(query.pop("X-Goog-Signature"))
    signed = query["X-Goog-SignedHeaders"].split(";")
    sent = {name.lower(): value for name, value in headers.items()} | {"host": parts.netloc}
    request = [
        method,
        parts.path,
        "&".join(sorted(f"{quote(k, '~')}={quote(v, '~')}" for k, v in query.items())),
        *(f"{name}:{sent[name]}" for name in sorted(signed)),
        "",
        ";".join(sorted(signed)),
        "UNSIGNED-PAYLOAD",
    ]
    scope = query["X-Goog-Credential"].split("/", 1)[1]
    digest = hashlib.sha256("\n".join(request).encode()).hexdigest()
    text = "\n".join([query["X-Goog-Algorithm"], query["X-Goog-Date"], scope, digest])
    key.verify(signature, text.encode(), *SIGNED_WITH)
    return query
