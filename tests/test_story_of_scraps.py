"""A story is told of whatever records there are: of another version, cut off, or foreign."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ops.story import tell

JOB = "job_1"
MEMBERS = "photo recipe effects name status error slug detail attempt settled_by timings_ms total kind reason"
PARTS = (
    "accepted.json e0/published/0.json e0/claims/1.json e0/claims/1.beat e0/claims/1.released.json "
    "e0/claims/2.json e0/terminal.json e0/announced.json e1/opened.json e1/terminal.json e7/what.json"
)
OTHERS = [f"open/{JOB}.e0", f"results/{JOB}/e0/1/color", "dead/x", "", "nonsense"]

_scraps = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS.split()), inner, max_size=4)
    ),
    max_leaves=8,
)
_names = st.sampled_from([f"jobs/{JOB}/{part}" for part in PARTS.split()] + OTHERS)
_times = st.sampled_from(
    ["2026-01-01T00:00:00+00:00", "2026-01-01T00:00:09Z", "2025-01-01T00:00:00", "?", None, 3]
)
_entries = st.fixed_dictionaries(
    {}, optional={"name": _names, "size": _scraps, "updated": _times, "record": _scraps}
)


@settings(deadline=None)  # the machine may be busy
@given(
    st.fixed_dictionaries(
        {"id": st.just(JOB), "now": _times, "records": st.lists(_entries | _scraps, max_size=12)}
    )
)
def test_records_nobody_expected_are_passed_over(document) -> None:
    lines = tell(document)
    assert lines[0].startswith(JOB)
    assert 3 <= len(lines) < 60
