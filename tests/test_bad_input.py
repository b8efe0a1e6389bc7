"""What cannot be taken is refused with a slug and a sentence, before anything is written."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from shared.errors import StoreFullError
from shared.photo_gate import MAX_UPLOAD_BYTES
from tests.api_world import ApiWorld, slug
from tests.world import Process, photo_bytes


@pytest.fixture
def world(tmp_path: Path) -> ApiWorld:
    return ApiWorld(tmp_path)


def image(data: bytes, name: str = "photo.jpg"):
    return (io.BytesIO(data), name)


def png_of(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return file.getvalue()


PHOTO = photo_bytes()

REFUSED = {
    "not an image": ({"image": image(b"hello, world" * 100)}, 415, "unsupported-image"),
    "a PDF": ({"image": image(b"%PDF-1.7" + b" " * 100)}, 415, "unsupported-image"),
    "a truncated header": ({"image": image(PHOTO[:60])}, 422, "image-unreadable"),
    "empty": ({"image": image(b"")}, 422, "image-empty"),
    "61 megapixels": ({"image": image(png_of(10_000, 6_100))}, 422, "too-many-pixels"),
    "a side of 12,001 px": ({"image": image(png_of(12_001, 100))}, 422, "side-too-long"),
    "31 px": ({"image": image(png_of(31, 200))}, 422, "image-too-small"),
    "two images": ({"image": [image(PHOTO), image(PHOTO)]}, 422, "too-many-images"),
    "no image": ({"image": None, "effects": "color"}, 422, "image-missing"),
    "an image that is text": ({"image": "cat.jpg"}, 422, "image-missing"),
    "a file of another name": ({"photo": image(PHOTO)}, 422, "unknown-field"),
    "an unknown effect": ({"effects": "sepia"}, 422, "unknown-effect"),
    "an effect twice": ({"effects": "color,cutout"}, 422, "duplicate-effect"),
    "a parameter out of range": (
        {"recipe": '{"effects": [{"name": "bw", "grain": 3}]}'},
        422,
        "invalid-value",
    ),
    "a size on paper without a print size": (
        {"recipe": '{"effects": [{"name": "dithering", "cell_mm": 0.5}]}'},
        422,
        "invalid-value",
    ),
    "a size in two units": (
        {
            "recipe": '{"effects": [{"name": "dithering", "cell_mm": 0.5, "cell_pm": 2}]}',
            "print_width_mm": "100",
            "print_height_mm": "100",
        },
        422,
        "invalid-value",
    ),
    "a parameter that is no number": (
        {"recipe": '{"effects": [{"name": "dithering", "gamma": NaN}]}'},
        422,
        "invalid-value",
    ),
    "a parameter beyond all numbers": (
        {"recipe": '{"effects": [{"name": "dithering", "gamma": 1e999}]}'},
        422,
        "invalid-value",
    ),
    "a parameter larger than a float": (
        {"recipe": '{"effects": [{"name": "dithering", "gamma": 1' + "0" * 400 + "}]}"},
        422,
        "invalid-value",
    ),
    "a parameter of the wrong type": (
        {"recipe": '{"effects": [{"name": "dithering", "adaptive": "yes"}]}'},
        422,
        "invalid-value",
    ),
    "an unknown parameter": (
        {"recipe": '{"effects": [{"name": "dithering", "grout": 0.1}]}'},
        422,
        "unknown-field",
    ),
    "paper of nothing": ({"print_width_mm": "0", "print_height_mm": "100"}, 422, "invalid-value"),
    "paper of less": ({"print_width_mm": "-1", "print_height_mm": "100"}, 422, "invalid-value"),
    "paper of no number": ({"print_width_mm": "NaN", "print_height_mm": "100"}, 422, "invalid-value"),
    "paper of 10 m": ({"print_width_mm": "10000", "print_height_mm": "100"}, 422, "invalid-value"),
    "a number of 400 digits": ({"recipe": f'{{"margin": 1{"0" * 400}}}'}, 422, "invalid-value"),
    "a colour by name": ({"background": "red"}, 422, "invalid-value"),
    "a WebP of 16,384 px": ({"format": "webp", "max_side": "16384"}, 422, "invalid-value"),
    "an unknown field": ({"colour": "red"}, 422, "unknown-field"),
    "a field twice": ({"format": ["png", "webp"]}, 422, "invalid-value"),
    "jpeg without a ground": ({"format": "jpeg"}, 422, "invalid-value"),
    "an engine nobody knows": ({"engine": "magic"}, 422, "engine-unavailable"),
    "webhooks": ({"webhook_url": "https://shop.example/hook"}, 422, "unknown-field"),
}


@pytest.mark.parametrize(("fields", "status", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_it_is_refused_and_nothing_is_written(world: ApiWorld, fields, status: int, expected: str) -> None:
    """Field report 14 and 18: a slug, never Python text, never late."""
    answer = world.submit(**fields)
    assert slug(answer) == (status, expected)
    assert "Traceback" not in answer.text
    assert world.names() == []
    assert world.queue.published == []


def test_a_photo_larger_than_25_megabytes_is_refused_while_it_comes_in(world: ApiWorld) -> None:
    too_large = PHOTO + b"\0" * (MAX_UPLOAD_BYTES - len(PHOTO) + 1)
    assert slug(world.submit(image=image(too_large))) == (413, "image-too-large")
    assert world.names() == []
    assert world.submit(image=image(too_large[:-1])).status_code == 202


def test_a_request_of_26_megabytes_is_refused(world: ApiWorld) -> None:
    assert slug(world.submit(image=image(b"\xff\xd8\xff" + b"\0" * 26_000_000))) == (413, "image-too-large")
    assert world.names() == []


def test_a_wrong_name_and_type_decide_nothing(world: ApiWorld) -> None:
    """Field report 12: type by magic bytes."""
    assert world.submit(image=(io.BytesIO(PHOTO), "photo.pdf", "application/pdf")).status_code == 202


@pytest.mark.parametrize("megapixels", [24.5, 50])
def test_the_photos_of_todays_phones_are_taken(world: ApiWorld, megapixels: float) -> None:
    """Field report 10: 24.5 and 50 megapixels refused."""
    height = int((megapixels * 1e6 * 3 / 4) ** 0.5)
    assert world.submit(image=image(png_of(height * 4 // 3, height))).status_code == 202


JSON_REFUSED = {
    "bad JSON": (b"{", 400, "malformed-request"),
    "a list": (b"[]", 400, "malformed-request"),
    "too deep": (b"[" * 100_000, 400, "malformed-request"),
    "no upload": (b"{}", 422, "image-missing"),
    "an unknown upload": (b'{"upload_id": "x"}', 404, "upload-not-found"),
    "an unknown field": (b'{"upload_id": "x", "colour": 1}', 422, "unknown-field"),
    "a number as text": (b'{"upload_id": "x", "margin": "0.1"}', 422, "invalid-value"),
}


@pytest.mark.parametrize(("body", "status", "expected"), JSON_REFUSED.values(), ids=JSON_REFUSED.keys())
def test_a_json_submission_is_checked_too(world: ApiWorld, body: bytes, status: int, expected: str) -> None:
    answer = world.client.post("/v1/jobs", data=body, content_type="application/json")
    assert slug(answer) == (status, expected)
    assert world.names() == []


def test_other_content_types_are_refused(world: ApiWorld) -> None:
    answer = world.client.post("/v1/jobs", data=PHOTO, content_type="image/jpeg")
    assert slug(answer) == (415, "unsupported-media-type")
    answer = world.client.post("/v1/jobs", data=b"x", headers={"Content-Type": "multipart/form-data"})
    assert slug(answer) == (400, "malformed-request")


def test_fields_at_fault_are_named(world: ApiWorld) -> None:
    """Field report 19."""
    problem = world.submit(margin="9", colour="red").json
    assert {fault["field"] for fault in problem["errors"]} == {"margin", "colour"}


def test_a_full_disk_is_503_and_heals(world: ApiWorld) -> None:
    def full(call: str) -> None:
        if call.startswith("before store.create"):
            raise StoreFullError("no room")

    answer = world.submit(world.api(Process(full)))
    assert slug(answer) == (503, "try-again")
    assert int(answer.headers["Retry-After"]) > 0
    assert world.names("jobs/") == []
    assert world.submit().status_code == 202


def test_a_bug_is_500_and_tells_nothing_of_ours(world: ApiWorld, caplog) -> None:
    def crash(call: str) -> None:
        if call.startswith("before store.create"):
            raise ZeroDivisionError("a secret")

    answer = world.submit(world.api(Process(crash)))
    assert slug(answer) == (500, "internal-error")
    assert "secret" not in answer.text
    assert "request.crashed" in caplog.messages


@pytest.mark.parametrize("key", ["x" * 256, "naïve", ""])
def test_a_bad_idempotency_key_is_refused(world: ApiWorld, key: str) -> None:
    answer = world.submit(headers={"Idempotency-Key": key})
    assert slug(answer) == (422, "invalid-value")
    assert answer.json["errors"][0]["field"] == "Idempotency-Key"


@pytest.mark.parametrize("job_id", ["job_nobody", "nonsense", "job_..%2F..%2Fx", "job_" + "a" * 300])
def test_an_unknown_job_is_404(world: ApiWorld, job_id: str) -> None:
    for method, path in (("get", ""), ("delete", ""), ("post", "/cancel"), ("get", "/results/color")):
        answer = getattr(world.client, method)(f"/v1/jobs/{job_id}{path}")
        assert slug(answer)[0] == 404


def test_another_tenants_job_is_404(world: ApiWorld) -> None:
    job_id = world.done(headers={"Authorization": "Bearer alice"})
    for key, status in (("alice", 200), (None, 200), ("mallory", 404)):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        assert world.client.get(f"/v1/jobs/{job_id}", headers=headers).status_code == status
        assert world.client.get(f"/v1/jobs/{job_id}/results/color", headers=headers).status_code == status
    answer = world.client.delete(f"/v1/jobs/{job_id}", headers={"Authorization": "Bearer mallory"})
    assert slug(answer) == (404, "job-not-found")
    record = json.loads(world.store.read(f"jobs/{job_id}/accepted.json").data)
    assert "alice" not in json.dumps(record)


def test_an_authorization_of_another_kind_is_malformed(world: ApiWorld) -> None:
    assert slug(world.submit(headers={"Authorization": "Basic eA=="})) == (400, "malformed-request")
