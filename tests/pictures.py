"""Pictures for tests: real photographs, and scenes whose true matte and colours are known."""

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

PHOTOS = Path(__file__).parent / "photos"


def photo(name: str) -> bytes:
    """Return the bytes of one of the photographs in ``tests/photos``."""
    return (PHOTOS / f"{name}.jpg").read_bytes()


def saved(image: Image.Image, kind: str, **options) -> bytes:
    """Return an image as a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def opened(data: bytes) -> NDArray[np.uint8]:
    """Return a file's pixels in the mode that it is stored in."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def gradient(width: int, height: int) -> NDArray[np.uint8]:
    """Return a smooth picture in which every corner has another colour; (H, W, 3)."""
    y, x = np.mgrid[:height, :width] / (np.array([[[height]], [[width]]]) - 1)
    channels = np.stack((x, y, 1 - (x + y) / 2), axis=-1)
    return (channels * 230 + 12).round().astype(np.uint8)


def drawing(side: int = 1024, seed: int = 2) -> NDArray[np.uint8]:
    """Return a picture drawn by code: gradients, noise, saturated shapes and fine lines; (side, side, 3)."""
    random, picture = np.random.default_rng(seed), gradient(side, side)
    half = random.integers(0, 256, (side // 2, side // 2, 3), dtype=np.uint8)
    picture[side // 4 : side // 4 + side // 2, side // 2 :] = half[:, : side - side // 2]
    for x, y, radius in random.integers(side // 8, side // 2, (12, 3)).tolist():
        colour = (255 * random.integers(0, 2, 3)).tolist()
        cv2.circle(picture, (2 * x - side // 8, 2 * y - side // 8), radius // 3, colour, -1, cv2.LINE_AA)
    for x in range(0, side // 2, 7):
        cv2.line(picture, (x, side - 1), (2 * x, side // 2), (20, 20, 20), 1, cv2.LINE_AA)
    return picture


@dataclass(frozen=True, slots=True)
class Scene:
    """A subject before a background, with the truth about it."""

    rgb: NDArray[np.uint8]  #: (H, W, 3), the composite that a camera would see
    alpha: NDArray[np.uint8]  #: (H, W)
    foreground: NDArray[np.uint8]  #: (H, W, 3)


def scene(width: int = 320, height: int = 240, rim_px: float = 8, seed: int = 0) -> Scene:
    """Return a textured orange ellipse with a soft rim before textured blue-green."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    radius = np.hypot((x - width / 2) / (width * 0.3), (y - height / 2) / (height * 0.33))
    alpha = np.clip((1 - radius) * min(width, height) * 0.3 / rim_px + 0.5, 0, 1)
    alpha = (alpha * 255).round()
    foreground = np.clip(np.array([205, 120, 40]) + _texture(random, height, width), 0, 255)
    background = np.clip(np.array([30, 90, 120]) + _texture(random, height, width), 0, 255)
    opacity = alpha[..., np.newaxis] / 255
    composite = opacity * foreground + (1 - opacity) * background
    whole = (composite.round(), alpha, foreground.round())
    return Scene(*(plane.astype(np.uint8) for plane in whole))


def flat(opacity: NDArray[np.float64]) -> Scene:
    """Return an orange subject of this opacity, (H, W) in [0, 1], before blue-green, both of one colour."""
    alpha = (opacity * 255).round()
    foreground, share = np.full((*alpha.shape, 3), (205, 120, 40), np.uint8), alpha[..., np.newaxis] / 255
    photo = share * foreground + (1 - share) * (30, 90, 120)
    return Scene(photo.round().astype(np.uint8), alpha.astype(np.uint8), foreground)


def furry(front: str, behind: str, size: tuple[int, int], rim_px: float) -> Scene:
    """Return one photograph before another, cut out as a ball of fur whose hairs are blurred by a rim."""
    width, height = size
    foreground, background = (
        np.asarray(cv2.resize(opened(photo(name)), size), np.uint8) for name in (front, behind)
    )
    alpha = cv2.GaussianBlur(_fur(width, height), (0, 0), rim_px)
    opacity = alpha[..., np.newaxis] / 255
    composite = opacity * foreground + (1 - opacity) * background
    return Scene(composite.round().astype(np.uint8), np.asarray(alpha, np.uint8), foreground)


def _fur(width: int, height: int) -> NDArray[np.uint8]:
    random, mask = np.random.default_rng(1), np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (width // 2, height // 2), (width // 4, height // 4), 0, 0, 360, 255, -1)
    for turn in random.uniform(0, 2 * np.pi, 300):
        away = np.array([np.cos(turn), np.sin(turn)])
        root = np.array([width, height]) * (0.5 + away / 4.2)
        tip = root + away * random.uniform(0.02, 0.12) * width + random.normal(0, 10, 2)
        cv2.line(mask, root.astype(int).tolist(), tip.astype(int).tolist(), 255, width // 800, cv2.LINE_AA)
    return mask


def cut_out(width: int = 160, height: int = 120) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the scene's subject as effects are given it: (H, W, 3), and (H, W) with a soft rim."""
    picture = scene(width, height)
    rgb = picture.foreground.copy()
    rgb[picture.alpha == 0] = 0
    return rgb, picture.alpha


def _texture(random: np.random.Generator, height: int, width: int) -> NDArray[np.float32]:
    coarse = random.normal(0, 25, (height // 16 + 2, width // 16 + 2, 3)).astype(np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
