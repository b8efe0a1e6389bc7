"""What accepting a photo costs at the least: a Flask handler that puts the upload on the disk and says so.

It keeps no promise beyond that: no gate, no record, no queue, no idempotency.  Ours is measured beside it.
"""

import os
import secrets
from pathlib import Path

from flask import Flask, Response, jsonify, request


def create_app(folder: str) -> Flask:
    """Build the bare application, which keeps uploads in a folder."""
    app = Flask(__name__, static_folder=None)

    def submit() -> tuple[Response, int]:
        with (Path(folder) / secrets.token_hex(16)).open("xb") as file:
            request.files["image"].save(file)
            file.flush()
            os.fsync(file.fileno())
        return jsonify(ok=True), 202

    def poll() -> Response:
        return jsonify(id="job_0", status="queued", created_at="2026-01-01T00:00:00Z", results={}, error=None)

    def push() -> Response:
        request.get_data(cache=False)
        return Response(status=204)

    app.add_url_rule("/v1/jobs", view_func=submit, methods=["POST"])
    app.add_url_rule("/v1/jobs/job_0", view_func=poll)
    app.add_url_rule("/push", view_func=push, methods=["POST"])
    app.add_url_rule("/health", view_func=lambda: jsonify(status="healthy"))
    return app
