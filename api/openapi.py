"""The API described: OpenAPI 3.1, written beside the routes and checked against them by tests."""

from functools import cache
from typing import Any

from flask import Blueprint, Response, jsonify

from api.calls import calls
from api.job_view import base_url
from api.operator_schemas import operator_schemas
from api.schemas import schemas
from shared import __version__

routes = Blueprint("openapi", __name__)


@cache
def description() -> dict[str, Any]:
    """Return the description, without the server's own address."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Cutout",
            "version": __version__,
            "summary": "Background removal for storefronts: a photo in, print files out.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {
            path: {m: call.document() for m, call in methods.items()} for path, methods in calls().items()
        },
        "components": {"schemas": schemas() | operator_schemas()},
    }


@routes.get("/openapi.json")
def read() -> Response:
    """Return the description as JSON."""
    return jsonify(description() | {"servers": [{"url": base_url()}]})
