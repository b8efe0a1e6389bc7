"""The last sentence of a job's story: what state it is in, and what will happen next or what to do."""

from collections.abc import Mapping

from ops.evidence import Evidence, Facts, elapsed, last_sign
from shared.errors import PHOTO_FAULTS
from shared.history import ClaimTrace, EpochTrace
from shared.pace import CLOUD, COUNTED_CLAIMS, ONE_MACHINE, OPEN_AT_MOST

_SWEEP = "the sweep (every 5 s on one machine, each minute in the cloud)"

_OVER = "But its time is over, and a replay skips it as expired: the photo has to be sent again."

#: What to do about a failure that is ours.
ADVICE: Mapping[str, str] = {
    "poison": "keep the photo, and look at the worker's log just before each silence",
    "timeout": "look whether other jobs were slow too (job.settled's timings_ms); if not, keep the photo",
    "out-of-memory": "look at the photo's size and at what else ran on the worker",
    "dead-lettered": "find out why no worker took it: the worker's /ready and log",
    "engine-unavailable": "deploy the engine that was asked for, or submit again without one",
    "internal-error": "look for attempt.failed in the worker's log; its traceback says where",
}


def moral(evidence: Evidence) -> str:
    """Say in one sentence where a job stands and what comes next."""
    if not evidence.epochs:
        return (
            "Never accepted: there is no promise to keep. A marker that was left is removed after an hour; "
            "the client has to submit again."
        )
    if damaged := evidence.damaged:
        return (
            f"Damaged: {', '.join(damaged)}. The story goes without what should stand there, and nobody can "
            "say what the job owes: restore each from a backup, then ask again."
        )
    newest = evidence.epochs[-1]
    if evidence.is_closing(newest):
        return _closed(evidence, newest)
    return _settled(evidence, newest) if newest.terminal else _open(evidence, newest)


def _closed(evidence: Evidence, epoch: EpochTrace) -> str:
    why = evidence.record(epoch, "opened.json").text("kind")
    if evidence.has_marker(epoch):
        return f"Its pictures are being deleted ({why}): the marker is still there, {_SWEEP} goes on with it."
    return f"Its pictures have been deleted ({why}). Nothing is owed; only the records stay."


# --- settled ------------------------------------------------------------------------------------


def _settled(evidence: Evidence, epoch: EpochTrace) -> str:
    terminal = evidence.terminal(epoch)
    status = terminal.text("status", "settled")
    if epoch.announced is None or evidence.has_marker(epoch):
        what = "announced" if epoch.announced is None else "rid of its marker"
        return f"Settled ({status}) but not yet {what}: {_SWEEP} finishes it, nothing to do."
    if status == "failed":
        slug, resolved = terminal.part("error").text("slug", "unknown"), evidence.resolution(epoch)
        if resolved:
            return _resolved(slug, resolved)
        return _failed(slug) + (f" {_OVER}" if evidence.is_over and slug not in PHOTO_FAULTS else "")
    kept = f" Its pictures are kept until {until}." if (until := evidence.accepted.text("expires_at")) else ""
    return f"Done: {status}, announced, marker gone. Nothing is owed.{kept if status == 'succeeded' else ''}"


def _failed(slug: str) -> str:
    if slug in PHOTO_FAULTS:
        return f"Failed for good by the photo's own fault ({slug}), marker gone: tell the customer."
    advice = ADVICE.get(slug, "look at the worker's log")
    return (
        f"Failed ({slug}), marker gone, nobody tries again by themselves: {advice}; then "
        "./cutout dead-letters replay opens it again."
    )


def _resolved(slug: str, resolved: Facts) -> str:
    return (
        f"Failed ({slug}), and resolved by {resolved.text('by', 'unknown')}: nothing more is to be done. "
        "./cutout dead-letters replay opens it all the same, if it names the job."
    )


# --- open ---------------------------------------------------------------------------------------


def _open(evidence: Evidence, epoch: EpochTrace) -> str:
    if not evidence.has_marker(epoch):
        return (
            "Open, but its marker is gone: unless it is settling at this moment (ask again), no sweep looks "
            "at it any more. That must not happen; keep the output of --json and report it."
        )
    if evidence.history.now - evidence.history.began(epoch) > OPEN_AT_MOST:
        return f"Open for more than a day: {_SWEEP} settles it as dead-lettered."
    last = epoch.last_claim
    return _between(evidence, epoch, last) if last else _unclaimed(epoch)


def _unclaimed(epoch: EpochTrace) -> str:
    if not epoch.published:
        return f"Queued, not yet handed to the queue: {_SWEEP} does it once the marker is 5 or 30 s old."
    last, count = epoch.published[max(epoch.published)], len(epoch.published)
    often = "once" if count == 1 else f"{count} times, last"
    return (
        f"Queued: handed to the queue {often} {elapsed(last.age)} ago, and no "
        "worker has claimed it. It will be published again; if that lasts, look at the worker's /ready."
    )


def _between(evidence: Evidence, epoch: EpochTrace, last: ClaimTrace) -> str:
    if slug := evidence.verdict(epoch):
        return _used_up(evidence, epoch, f"{_SWEEP} or the next delivery settles it as {slug}.")
    used = f"{evidence.counted(epoch)} of {COUNTED_CLAIMS} attempts that count are used"
    if last.released is None:
        return _claimed(evidence, last, used)
    reason = evidence.reason(epoch, last)
    return (
        f"Between attempts: attempt {last.number} is over ({reason}) and the queue delivers the job again; "
        f"{used}."
    )


def _alive(evidence: Evidence, claim: ClaimTrace, ago: str) -> str:
    if claim.beat is None:
        first = " or ".join(f"{pace.beat.total_seconds():g} s" for pace in (ONE_MACHINE, CLOUD))
        return (
            f"Claimed: attempt {claim.number} took the job {ago} ago. Whether it is at work, or stands ready "
            f"for its slot, its first beat tells, {first} after that: ask again."
        )
    if evidence.stood_ready(claim):
        return (
            f"Ready: attempt {claim.number} waited for its slot at its last sign, {ago} ago. It begins once "
            "a job before it is done, or gives this one back within a minute, which does not count."
        )
    return f"At work: attempt {claim.number} gave its last sign {ago} ago."


def _used_up(evidence: Evidence, epoch: EpochTrace, end: str) -> str:
    for claim in epoch.claims.values():
        sign = last_sign(claim)
        if sign and evidence.is_silent(epoch, claim) and claim.gave_sign(evidence.history.now, CLOUD):
            back = f"attempt {claim.number}, which was taken for dead, gave a sign {elapsed(sign.age)} ago"
            return f"Attempts used up, but {back}: unless it succeeds, {end}"
    return f"Attempts used up: {end}"


def _claimed(evidence: Evidence, claim: ClaimTrace, used: str) -> str:
    sign, now = last_sign(claim), evidence.history.now
    ago = elapsed(sign.age) if sign else "an unknown time"
    if claim.is_live(now, ONE_MACHINE):
        return _alive(evidence, claim, ago)
    if claim.is_live(now, CLOUD):
        return (
            f"Attempt {claim.number} has been silent for {ago}: on one machine it is dead (after 10 s), in "
            f"the cloud only after 60 s. A dead one's job is claimed again by the next delivery; {used}."
        )
    return (
        f"Attempt {claim.number} is dead, silent for {ago}: the next delivery or publication claims the job "
        f"again; {used}."
    )
