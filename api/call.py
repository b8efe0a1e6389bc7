"""One call of the API, as OpenAPI describes it, and the parameters that calls share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.schemas import ref

JOB_ID = {
    "name": "job_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "the job",
}
UPLOAD_ID = {
    "name": "upload_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "the upload",
}
SLUG = {
    "name": "slug",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "a problem's slug",
}
NAME = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "an effect, matte or preview",
}
EFFECT = {
    "name": "name",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "an effect, by name or alias",
}


def header(name: str, about: str) -> dict[str, Any]:
    """Describe a request header."""
    return {
        "name": name,
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "description": about,
    }


def query(name: str, schema: dict[str, Any], about: str) -> dict[str, Any]:
    """Describe a query parameter."""
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": about}


KEY = header("Authorization", "Bearer KEY: the tenant's")
ADMIN = header("Authorization", "Bearer KEY: the operator's")
IDEMPOTENCY = header("Idempotency-Key", "1 to 255 characters; a retry with it finds the same job")
KNOWN = header("If-None-Match", "the ETag that is known")
PREFER = header("Prefer", "wait=n: answer when there is news, after n seconds (20) at the latest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call; an answer is a schema's name, or ``None`` where there is no body."""

    summary: str
    tag: str
    answers: Mapping[int, str | None]
    parameters: tuple[dict[str, Any], ...] = ()
    body: dict[str, Any] | None = None
    problems: tuple[int, ...] = ()
    kind: str = "application/json"

    def document(self) -> dict[str, Any]:
        """Return the call as OpenAPI has it."""
        responses = {str(status): self._answer(name) for status, name in self.answers.items()}
        for status in (*self.problems, 500, 503):
            responses.setdefault(str(status), _PROBLEM)
        operation: dict[str, Any] = {"summary": self.summary, "tags": [self.tag], "responses": responses}
        if self.parameters:
            operation["parameters"] = list(self.parameters)
        if self.body:
            operation["requestBody"] = self.body
        return operation

    def _answer(self, name: str | None) -> dict[str, Any]:
        if name is None:
            return {"description": self.summary}
        schema = {"type": "string", "format": "binary"} if name == "bytes" else ref(name)
        return {"description": self.summary, "content": {self.kind: {"schema": schema}}}


_PROBLEM = {"description": "a problem", "content": {"application/problem+json": {"schema": ref("Problem")}}}
