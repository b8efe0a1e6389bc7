"""The photo that is uploaded: 12 megapixels, brought to the size in bytes that a measurement asks for."""

from bench.load import Call
from bench.machine import ROOT

TYPICAL_BYTES = 2_000_000
LARGE_BYTES = 20_000_000
PHOTO = ROOT / "tests" / "photos" / "raccoon-12mp.jpg"

_BOUNDARY = "bench-7d1f0a3c9e5b4826"
_IMAGE_HEAD = (
    b'Content-Disposition: form-data; name="image"; filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
)


def photo(size_bytes: int) -> bytes:
    """Return the photo with zeros behind its end of image, as cameras leave there too."""
    data = PHOTO.read_bytes()
    if len(data) > size_bytes:
        raise ValueError(f"{PHOTO.name} has {len(data)} bytes; expected at most {size_bytes}")
    return data.ljust(size_bytes, b"\0")


def submission(size_bytes: int, **fields: str) -> Call:
    """Return the call that submits the photo, encoded once."""
    return submission_of(photo(size_bytes), **fields)


def submission_of(data: bytes, **fields: str) -> Call:
    """Return the call that submits a JPEG, encoded once."""
    parts = [f'Content-Disposition: form-data; name="{n}"\r\n\r\n{v}'.encode() for n, v in fields.items()]
    parts.append(_IMAGE_HEAD + data)
    delimiter = f"--{_BOUNDARY}".encode()
    body = b"".join(delimiter + b"\r\n" + part + b"\r\n" for part in parts) + delimiter + b"--\r\n"
    headers = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
    return Call(method="POST", path="/v1/jobs", expects=202, headers=headers, body=body)
