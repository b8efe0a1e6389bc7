"""Whether this worker can make what a recipe asks for: another version's may ask for what is not here."""

from shared.catalogue import EFFECTS
from shared.errors import EngineUnavailableError, NotHereYetError
from shared.recipes import CROPS, EDGES, FORMATS, Recipe


def require_feasible(recipe: Recipe, engine: str) -> None:
    """Refuse what the deployed engine or this version cannot make.

    Raises
    ------
    EngineUnavailableError
        If the recipe asks for another engine; it is final.
    NotHereYetError
        If a later version has accepted it, whose workers will know it.
    """
    if recipe.engine not in {None, engine}:
        raise EngineUnavailableError(f"The job asks for {recipe.engine}; deployed is {engine}.")
    if unknown := _unknown(recipe):
        raise NotHereYetError(f"This version of the worker does not know {', '.join(unknown)}.")


def _unknown(recipe: Recipe) -> list[str]:
    choices = {recipe.format: FORMATS, recipe.crop: CROPS, recipe.edges: EDGES}
    found = [value for value, known in choices.items() if value not in known]
    return found + [effect.name for effect in recipe.effects if effect.name not in EFFECTS]
