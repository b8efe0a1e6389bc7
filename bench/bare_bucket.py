"""What accepting a photo costs at the least over a bucket: a handler that uploads it there and says so.

One call of Google's client, with its precondition; no gate, no record, no queue, no idempotency.
"""

import secrets

from flask import Flask, Response, jsonify, request
from google.cloud import storage

from bench.cloud import BUCKET


def create_app() -> Flask:
    """Build the bare application over the bucket that the environment names."""
    app = Flask(__name__, static_folder=None)
    bucket = storage.Client(project="bench").bucket(BUCKET)

    def submit() -> tuple[Response, int]:
        photo = request.files["image"]
        photo.seek(0, 2)
        size = photo.tell()
        photo.seek(0)
        bucket.blob(f"bare/{secrets.token_hex(16)}").upload_from_file(photo, size=size, if_generation_match=0)
        return jsonify(ok=True), 202

    app.add_url_rule("/v1/jobs", view_func=submit, methods=["POST"])
    app.add_url_rule("/health", view_func=lambda: jsonify(status="healthy"))
    return app
