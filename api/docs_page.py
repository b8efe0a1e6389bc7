"""The description as one readable page, without a script or a byte from elsewhere."""

from functools import cache

from flask import Blueprint, Response
from jinja2 import Environment, PackageLoader, Template, select_autoescape

from api.job_view import base_url
from api.openapi import description
from shared.catalogue import EFFECTS
from shared.errors import every_error

routes = Blueprint("docs_page", __name__)


@routes.get("/docs")
def read() -> Response:
    """Return the page."""
    page = _template().render(
        spec=description(),
        effects=list(EFFECTS.values()),
        problems=sorted(every_error().values(), key=lambda kind: (kind.status, kind.slug)),
        base_url=base_url(),
    )
    response = Response(page, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'"
    return response


@cache
def _template() -> Template:
    loader = PackageLoader("api", "templates")
    return Environment(loader=loader, autoescape=select_autoescape(), trim_blocks=True).get_template(
        "docs.html"
    )
