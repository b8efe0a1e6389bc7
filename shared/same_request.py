"""What makes two submissions the same request, though another version has written the promise of one.

Recipes and effects gain members. Who asked before there was one, and comes back with the same key, asks for
the same: what a record does not name has its default, on both sides.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from shared.catalogue import EFFECTS
from shared.parameters import Value
from shared.recipes import EffectRequest, Recipe
from shared.records import Accepted, input_name


def request_digest(recipe: Recipe, metadata: Mapping[str, Any], *, photo: str = "", upload: str = "") -> str:
    """Return the digest of a request, for a photo's sha256 or for the upload that holds it."""
    subject = {"upload": upload} if upload else {"photo": photo}
    effects = [{"name": effect.name, **_parameters(effect)} for effect in recipe.effects]
    asked = {"recipe": recipe.document() | {"effects": effects}, "metadata": dict(metadata), **subject}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def is_same(accepted: Accepted, digest: str) -> bool:
    """Whether a promise was made for the request with a digest."""
    # The record's own comes first: it is right whenever both are of one version.
    return digest in {accepted.request_digest, _digest_of(accepted)}


def _digest_of(accepted: Accepted) -> str:
    """Return what the digest of a promised request would be today."""
    photo, upload = accepted.photo.sha256 or "", ""
    if not photo:
        upload = accepted.photo.name.removeprefix(input_name(""))
    return request_digest(accepted.recipe, accepted.metadata, photo=photo, upload=upload)


def _parameters(request: EffectRequest) -> dict[str, Value]:
    effect = EFFECTS.get(request.name)
    if effect is None:
        return dict(request.parameters)
    replaced = {p.instead_of for p in effect.parameters if p.name in request.parameters}
    unnamed = [p for p in effect.parameters if p.name not in {*request.parameters, *replaced}]
    defaults = {p.name: p.checked(p.default) for p in unnamed if p.default is not None}
    return {**defaults, **request.parameters}
