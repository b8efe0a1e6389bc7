"""Who asks: tenants and operators by their keys, this machine by its address; and what ids are made of."""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime

from flask import Request

from shared import replays
from shared.callers import is_this_machine
from shared.errors import (
    FieldFault,
    InvalidValueError,
    JobNotFoundError,
    MalformedRequestError,
    NotFoundError,
)
from shared.records import Accepted
from shared.settings import Settings

_ID_BYTES = 20
_MAX_KEY = 255


def bearer(request: Request) -> str | None:
    """Return the key that a request carries.

    Raises
    ------
    MalformedRequestError
        If it carries an Authorization header of another kind.
    """
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise MalformedRequestError("Authorization is expected as: Bearer KEY")
    return key.strip()


def tenant(request: Request, settings: Settings) -> str | None:
    """Return who a request's key belongs to; the key itself is kept nowhere."""
    key = bearer(request)
    return _hmac(settings, f"tenant|{key}")[:32] if key else None


def require_readable(accepted: Accepted, caller: str | None) -> None:
    """Refuse the key of another tenant; the id alone, or no tenant's job, is open to its holder."""
    if caller and accepted.owner and not hmac.compare_digest(caller, accepted.owner):
        raise JobNotFoundError


def require_operator(request: Request, settings: Settings) -> None:
    """Refuse everybody but an operator, without telling that there is anything here."""
    if settings.admin_key is None:
        allowed = is_this_machine(request.environ)
    else:
        allowed = hmac.compare_digest((bearer(request) or "").encode(), settings.admin_key.encode())
    if not allowed:
        raise NotFoundError(f"There is nothing at {request.path} for this caller.")


def new_job_id(request: Request, caller: str | None, settings: Settings) -> tuple[str, bool]:
    """Return a job's id and whether it follows from an Idempotency-Key.

    Raises
    ------
    InvalidValueError
        If the key is not 1 to 255 printable ASCII characters.
    """
    key = _idempotency_key(request)
    if key is None:
        return f"job_{_base32(secrets.token_bytes(_ID_BYTES))}", False
    digest = hmac.digest(settings.secret_key, f"{caller or ''}|{key}".encode(), hashlib.sha256)
    return f"job_{_base32(digest[:_ID_BYTES])}", True


def new_replay_id(request: Request, settings: Settings, now: datetime) -> tuple[str, bool]:
    """Return a replay's id and whether it follows from an Idempotency-Key; ``InvalidValueError`` as above."""
    key = _idempotency_key(request)
    if key is None:
        return replays.new_id(now), False
    return f"replay_{_hmac(settings, f'replay|{key}')[:32]}", True


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and (not 1 <= len(key) <= _MAX_KEY or not key.isascii() or not key.isprintable()):
        detail = f"Idempotency-Key has {len(key)} characters; expected 1 to {_MAX_KEY} printable ASCII ones"
        raise InvalidValueError(detail, faults=[FieldFault("Idempotency-Key", detail)])
    return key


def _hmac(settings: Settings, text: str) -> str:
    return hmac.digest(settings.secret_key, text.encode(), hashlib.sha256).hex()


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().lower()
