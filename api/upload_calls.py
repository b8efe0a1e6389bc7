"""The calls by which a photo comes before its job, as OpenAPI describes them."""

from api.call import KEY, UPLOAD_ID, Call
from api.schemas import ref


def upload_calls() -> dict[str, dict[str, Call]]:
    """Return the calls by path and method."""
    asked = {"required": True, "content": {"application/json": {"schema": ref("UploadRequest")}}}
    photo = {"schema": {"type": "string", "format": "binary"}}
    return {
        "/v1/uploads": {
            "post": Call(
                summary="Begin to upload a photo that a job will name",
                answers={201: "Upload"},
                tag="jobs",
                parameters=(KEY,),
                body=asked,
                problems=(400, 413, 415, 422),
            )
        },
        "/v1/uploads/{upload_id}": {
            "put": Call(
                summary="Upload the photo, where the ticket names this URL",
                answers={204: None},
                tag="jobs",
                parameters=(UPLOAD_ID,),
                body={"required": True, "content": {"image/*": photo}},
                problems=(400, 404, 409, 410, 413, 422),
            )
        },
    }
