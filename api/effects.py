"""The effects that can be asked for, and a picture of each that was rendered beforehand."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify, request
from werkzeug.wrappers import Response as Answer

from api.job_view import base_url
from shared.catalogue import EFFECTS, Effect, find_effect
from shared.errors import NotFoundError

routes = Blueprint("effects", __name__)

#: Written by tests/photos/make_thumbnails.py: this service has no arrays to render with.
_THUMBNAILS = Path(__file__).with_name("thumbnails")
_CACHED_S = 86_400


@routes.get("/v1/effects")
def read_all() -> Response:
    """Describe every effect there is."""
    return jsonify(effects=[_document(effect) for effect in EFFECTS.values()])


@routes.get("/v1/effects/<name>/thumbnail")
def read_thumbnail(name: str) -> Answer:
    """Return a picture of what an effect looks like."""
    effect = find_effect(name)
    if effect is None:
        raise NotFoundError(f"There is no effect {name!r}; there are: {', '.join(EFFECTS)}.")
    data, etag = _thumbnail(effect.name)
    response = Response(data, content_type="image/webp")
    response.set_etag(etag)
    response.cache_control.public = True
    response.cache_control.max_age = _CACHED_S
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response.make_conditional(request)


def _document(effect: Effect) -> dict[str, Any]:
    return {**effect.document(), "thumbnail": f"{base_url()}/v1/effects/{effect.name}/thumbnail"}


@cache
def _thumbnail(name: str) -> tuple[bytes, str]:
    data = (_THUMBNAILS / f"{name}.webp").read_bytes()
    return data, hashlib.sha256(data).hexdigest()
