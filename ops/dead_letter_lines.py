"""What is printed of dead letters."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from ops.answers import one_line, problem_text
from ops.moral import ADVICE
from ops.replays import counted
from ops.show import size_text
from shared.dead_letter_index import UNREADABLE
from shared.errors import PHOTO_FAULTS


def listed(answer: Mapping[str, Any]) -> Iterator[str]:
    """Count the open ones, and tell of each that was asked for."""
    letters = answer["dead_letters"]
    yield counted(answer["count"], "open dead letter")
    slugs = Counter(str(letter.get("slug") or UNREADABLE) for letter in letters)
    if len(slugs) > 1:
        among = f" among the {len(letters)} newest" if answer.get("truncated") else ""
        yield one_line(", ".join(f"{count} {slug}" for slug, count in slugs.most_common()) + among)
    yield from (f"{one_line(letter['id'])}  {_line(letter)}" for letter in letters)
    if answer.get("truncated"):
        yield f"... and {answer['count'] - len(letters)} more; --limit shows more"


def slip(slug: str | None) -> str:
    """Say why no dead letter can be of a slug, or nothing where one can."""
    if slug is None or slug in {*ADVICE, UNREADABLE}:
        return ""
    if slug in PHOTO_FAULTS:
        return f"{slug} is a photo's own fault: it leaves no dead letter"
    return f"this build knows no failure {slug!r}; expected one of: {', '.join(ADVICE)}"


def told(answer: Mapping[str, Any]) -> Iterator[str]:
    """Tell of one job, of its photo and of each time that it has failed."""
    yield f"{one_line(answer['id'])}  {one_line(answer['status'])}, epoch {answer['epoch']}"
    photo = answer["photo"]
    size = f"{size_text(photo.get('bytes'))}, {photo.get('content_type') or 'not read yet'}"
    kept = f"kept until {answer['expires_at']}" if answer.get("photo_kept", True) else "no longer kept"
    yield f"photo  {one_line(size)}, {one_line(kept)}"
    yield from (f"{_line(letter)}  {_state(letter)}" for letter in answer["dead_letters"])


def _state(letter: Mapping[str, Any]) -> str:
    """Say what was done about a failure, by whom, when and why."""
    handled = letter.get("handled") or {}
    words = (("at", ""), ("by", "by "), ("replay", "as "))
    facts = [f"{word}{handled[name]}" for name, word in words if handled.get(name)]
    why = f": {handled['reason']}" if handled.get("reason") else ""
    return one_line(" ".join([letter["state"], *facts]) + why)


def _line(letter: Mapping[str, Any]) -> str:
    tenant = f"tenant {letter['tenant']}" if letter.get("tenant") else ""
    attempt = f"attempt {letter['attempt']}" if letter.get("attempt") else "no attempt"
    parts = (letter["at"], f"e{letter['epoch']}", letter.get("engine") or "", tenant, attempt, _why(letter))
    return "  ".join(one_line(part) for part in parts if part)


def _why(letter: Mapping[str, Any]) -> str:
    """Say why a job has failed, as far as its entry tells."""
    error, slug = letter.get("error"), letter.get("slug") or UNREADABLE
    if isinstance(error, Mapping) and error:
        return problem_text(error)
    return f"{error} [{slug}]" if error else str(slug)
