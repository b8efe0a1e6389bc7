"""Every queue delivers what it took, at least once, and keeps the rules of a push subscription."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest

from tests.contracts.emulated_queue import emulated
from tests.contracts.queues import RESET, QueueUnderTest, memory, name_of, sqlite, subscription

ADAPTERS = {
    "memory": memory,
    "sqlite": sqlite,
    "emulator": emulated,
}


@pytest.fixture(params=["memory", "sqlite", pytest.param("emulator", marks=pytest.mark.emulator)])
def under_test(request) -> Iterator[QueueUnderTest]:
    with ADAPTERS[request.param](request) as adapter:
        yield adapter


def drain(under_test: QueueUnderTest) -> None:
    under_test.run_until(lambda: under_test.backlog() == 0)


def skip_if_it_differs(under_test: QueueUnderTest, promise: str) -> None:
    if promise in under_test.differs:
        pytest.skip(f"known to differ: {promise}: {under_test.differs[promise]}")


def counted(under_test: QueueUnderTest, *attempts: int) -> list[int | None]:
    """The attempts that pushes say they are, where they say it."""
    return [None if "deliveryAttempt" in under_test.differs else attempt for attempt in attempts]


def test_a_message_arrives_with_its_data_and_attributes(under_test) -> None:
    under_test.subscribe(subscription())
    message_id = under_test.queue.publish("jobs", b"\x00 \xff", {"job": "7", "name": "Müller"})
    drain(under_test)
    (push,) = under_test.receiver.pushes
    assert (push.data, dict(push.attributes)) == (b"\x00 \xff", {"job": "7", "name": "Müller"})
    assert (push.message_id, [push.attempt]) == (message_id, counted(under_test, 1))
    assert push.subscription.endswith("/subscriptions/jobs")


def test_a_queue_that_is_there_answers_a_ping(under_test) -> None:
    under_test.subscribe(subscription())
    under_test.queue.ping()


def test_what_has_been_pushed_is_not_told_to_be_untried(under_test) -> None:
    under_test.subscribe(subscription())
    under_test.receiver.script[b"refused"] = [503] * 3
    under_test.queue.publish("jobs", b"refused")
    assert set(under_test.queue.untried("jobs")) <= {b"refused"}
    under_test.run_until(lambda: len(under_test.receiver.pushes) >= 1)
    assert under_test.queue.untried("jobs") == []
    drain(under_test)


def test_two_hundred_messages_all_arrive_under_different_ids(under_test) -> None:
    under_test.subscribe(subscription(max_in_flight=8))
    published = {under_test.queue.publish("jobs", str(n).encode()) for n in range(200)}
    drain(under_test)
    assert len(published) == 200
    assert {push.message_id for push in under_test.receiver.pushes} == published
    assert {push.data for push in under_test.receiver.pushes} == {str(n).encode() for n in range(200)}


def test_what_acknowledges_ends_the_delivery_for_good(under_test) -> None:
    statuses = [s for s in (102, 200, 201, 202, 204) if f"{s} acknowledges" not in under_test.differs]
    under_test.subscribe(subscription())
    for status in statuses:
        under_test.receiver.script[b"%d" % status] = [status]
        under_test.queue.publish("jobs", b"%d" % status)
    drain(under_test)
    under_test.linger()
    assert sorted(int(push.data) for push in under_test.receiver.pushes) == statuses


def test_what_refuses_brings_it_back_and_is_counted(under_test) -> None:
    statuses = [
        s for s in (203, 206, 302, 400, 404, 429, 500, 503, RESET) if f"{s} refuses" not in under_test.differs
    ]
    under_test.subscribe(subscription())
    ids = {}
    for status in statuses:
        under_test.receiver.script[b"%d" % status] = [status, status]
        ids[status] = under_test.queue.publish("jobs", b"%d" % status, {"a": "b"})
    drain(under_test)
    for status in statuses:
        pushes = under_test.receiver.with_data(b"%d" % status)
        assert [push.attempt for push in pushes] == counted(under_test, 1, 2, 3), status
        assert {(push.message_id, push.attributes["a"]) for push in pushes} == {(ids[status], "b")}, status


def test_the_wait_grows_from_the_least_to_the_greatest(under_test) -> None:
    skip_if_it_differs(under_test, "back-off")
    under_test.subscribe(subscription(min_backoff_s=0.02, max_backoff_s=0.16, max_attempts=99))
    under_test.receiver.script[b"x"] = [503] * 7
    under_test.queue.publish("jobs", b"x")
    drain(under_test)
    waits_s = [later - sooner for sooner, later in pairwise(under_test.receiver.arrived_s)]
    least_s = [0.02, 0.04, 0.08, 0.08, 0.08, 0.08, 0.08]
    assert len(waits_s) == 7
    # A push takes time to arrive, and so moves both ends of a wait by a little.
    assert all(wait >= least - 0.01 for wait, least in zip(waits_s, least_s, strict=True)), waits_s
    assert max(waits_s) <= 0.16 + 0.5


def test_without_dead_letters_a_message_is_tried_for_ever(under_test) -> None:
    under_test.subscribe(subscription(max_attempts=5))
    under_test.receiver.script[b"x"] = [503] * 6
    under_test.queue.publish("jobs", b"x")
    drain(under_test)
    assert len(under_test.receiver.pushes) == 7


def test_after_the_last_attempt_a_message_is_a_dead_letter(under_test) -> None:
    under_test.subscribe(subscription(dead_letter_topic="dead"), subscription("dead-letters", "dead"))
    under_test.receiver.script[b"x"] = [503] * 5
    under_test.queue.publish("jobs", b"x", {"job": "7"})
    drain(under_test)
    assert len(under_test.receiver.of("jobs")) == 5
    (letter,) = under_test.receiver.of("dead-letters")
    assert (letter.data, letter.attributes["job"]) == (b"x", "7")
    assert [letter.attempt] == counted(under_test, 1)
    assert letter.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert letter.attributes["CloudPubSubDeadLetterSourceSubscription"] == "jobs"
    assert letter.attributes["CloudPubSubDeadLetterSourceSubscriptionProject"]
    assert letter.attributes["CloudPubSubDeadLetterSourceTopicPublishTime"]


def test_a_message_acknowledged_at_the_last_attempt_is_no_dead_letter(under_test) -> None:
    under_test.subscribe(subscription(dead_letter_topic="dead"), subscription("dead-letters", "dead"))
    under_test.receiver.script[b"x"] = [503] * 4
    under_test.queue.publish("jobs", b"x")
    drain(under_test)
    under_test.linger()
    assert under_test.receiver.of("dead-letters") == []


def test_topics_do_not_mix(under_test) -> None:
    under_test.subscribe(subscription(), subscription("events", "events"))
    for n in range(5):
        under_test.queue.publish("jobs", b"job%d" % n)
        under_test.queue.publish("events", b"event%d" % n)
    drain(under_test)
    assert {p.data for p in under_test.receiver.of("jobs")} == {b"job%d" % n for n in range(5)}
    assert {p.data for p in under_test.receiver.of("events")} == {b"event%d" % n for n in range(5)}


def test_each_subscription_of_a_topic_gets_and_refuses_for_itself(under_test) -> None:
    under_test.subscribe(subscription(), subscription("audit"))
    under_test.receiver.script[b"x"] = [503]
    under_test.queue.publish("jobs", b"x")
    drain(under_test)
    counts = Counter(name_of(push) for push in under_test.receiver.pushes)
    assert sorted(counts) == ["audit", "jobs"]
    assert sorted(counts.values()) == [1, 2]


def test_no_more_are_in_flight_than_allowed(under_test) -> None:
    skip_if_it_differs(under_test, "max_in_flight")
    under_test.subscribe(subscription(max_in_flight=2))
    under_test.receiver.takes_s = 0.03
    for n in range(8):
        under_test.queue.publish("jobs", b"%d" % n)
    drain(under_test)
    assert under_test.receiver.most_at_once == 2
    assert len(under_test.receiver.pushes) == 8


def test_a_backlog_of_refused_messages_does_not_starve_a_new_one(under_test) -> None:
    under_test.subscribe(subscription(max_in_flight=1, max_attempts=99))
    for n in range(20):
        under_test.receiver.script[b"%d" % n] = [503] * 10
        under_test.queue.publish("jobs", b"%d" % n)
    under_test.run_until(lambda: len(under_test.receiver.pushes) > 40)
    under_test.queue.publish("jobs", b"new")
    under_test.run_until(lambda: any(push.data == b"new" for push in under_test.receiver.pushes))
    pushed = Counter(push.data for push in under_test.receiver.pushes)
    assert max(pushed.values()) <= 10, "the others had their tenth attempt before the new one had its first"
    under_test.receiver.script.clear()
    drain(under_test)
