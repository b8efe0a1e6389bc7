"""The calls by which operators hold jobs in an incident, as OpenAPI describes them."""

from api.call import ADMIN, Call
from api.schemas import ref


def delivery_calls() -> dict[str, dict[str, Call]]:
    """Return the calls by path and method."""
    asked = {"required": True, "content": {"application/json": {"schema": ref("PauseRequest")}}}
    said = {"required": False, "content": {"application/json": {"schema": ref("ResumeRequest")}}}
    return {
        "/v1/delivery": {
            "get": Call(
                summary="Are jobs delivered to the workers",
                answers={200: "Delivery"},
                tag="operators",
                parameters=(ADMIN,),
                problems=(400, 404),
            )
        },
        "/v1/delivery/pause": {
            "post": Call(
                summary="Hold jobs; what is at work goes on",
                answers={200: "Delivery"},
                tag="operators",
                parameters=(ADMIN,),
                body=asked,
                problems=(400, 404, 415, 422),
            )
        },
        "/v1/delivery/resume": {
            "post": Call(
                summary="Deliver jobs again",
                answers={200: "Delivery"},
                tag="operators",
                parameters=(ADMIN,),
                body=said,
                problems=(400, 404, 409, 422),
            )
        },
    }
