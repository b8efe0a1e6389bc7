"""The pusher: delivers what is published by HTTP, as Pub/Sub's push subscriptions do, on one machine.

What is written down is pushed, again and again, until it is acknowledged or given to the dead letters; a
pusher that is killed loses nothing, since what was in flight is due again when the next one starts.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from queue import SimpleQueue

from shared.deliveries import Deliveries, Key, Settlement, opened
from shared.errors import QueueUnavailableError
from shared.posting import Answer, Push
from shared.sqlite_queue import SqliteQueue
from shared.subscriptions import ACKNOWLEDGING, JITTER, Jitter, Subscription
from shared.wakeup import Bell, ring

log = logging.getLogger(__name__)

#: The pusher looks at least this often, whether woken or not.
_LOOKS_EVERY_S = 1.0
STOPS_WITHIN = timedelta(seconds=2)


class Pusher:
    """Pushes what is due; one at a time may run on a file, in the process that holds its lock.

    One thread owns the file; each push has a thread that only talks HTTP and reports back. At most
    ``max_in_flight`` pushes of a subscription are out, the oldest due first.

    A refusal is counted and waited for (``Subscription.backoff_s``). An endpoint that cannot be connected
    to has not seen the message: a service that is starting or restarting costs no attempt. Nothing is
    counted then, and the whole subscription is tried again after ``min_backoff_s``. (Pub/Sub counts this,
    but there an endpoint that is down is a 503.) A connection lost after it was made is a refusal.
    """

    def __init__(
        self,
        queue: SqliteQueue,
        subscriptions: Iterable[Subscription],
        jitter: Jitter = JITTER,
        is_held: Callable[[str], bool] = lambda _name: False,
    ) -> None:
        self._queue, self._subscriptions, self._jitter = queue, tuple(subscriptions), jitter
        self._in_flight: dict[Key, Push] = {}  # from taking until what became of it is on the disk
        self._reports: SimpleQueue[Answer] = SimpleQueue()
        self._unsettled: list[Answer] = []
        self._paused_until: dict[str, float] = {}  # by name; monotonic seconds
        self._held: frozenset[str] = frozenset()
        self._is_held = is_held  #: asked before anything goes out: nobody may have said so yet
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pusher", daemon=True)
        self._trouble = ""

    def start(self) -> None:
        """Start pushing, in threads of this process.

        Raises
        ------
        QueueUnavailableError
            If the file cannot be opened; later troubles are logged and healed from.
        """
        with opened(self._queue) as deliveries:
            deliveries.declare(self._subscriptions, ())
        self._thread.start()

    def hold(self, names: Iterable[str]) -> None:
        """Push no more to these subscriptions, and to all others again; what is out stays out."""
        before, self._held = self._held, frozenset(names)
        if self._held != before:
            ring(self._queue.bell)

    def stop(self, within: timedelta = STOPS_WITHIN) -> None:
        """Stop at once; what is in flight is cut off, not counted, and due again at the next start."""
        until = time.monotonic() + within.total_seconds()
        self._is_stopping.set()
        ring(self._queue.bell)
        if self._thread.is_alive():  # it never was, if the start failed
            self._thread.join(within.total_seconds() / 2)
        pushes = list(self._in_flight.values())
        for push in pushes:
            push.cut_off()
        for push in pushes:
            push.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            try:
                with Bell(self._queue.bell) as bell, opened(self._queue) as deliveries:
                    deliveries.declare(self._subscriptions, self._in_flight.keys())
                    self._push_until_replaced(deliveries, bell)
            except (QueueUnavailableError, OSError) as error:
                self._wait_out(error)
            except Exception:
                # A bug in one turn must not silence the queue for good.
                log.exception("push.crashed")
                self._is_stopping.wait(_LOOKS_EVERY_S)

    def _wait_out(self, error: Exception) -> None:
        if str(error) != self._trouble:  # a disk may be full for hours: say so once
            log.error("push.unavailable", extra={"reason": str(error)}, exc_info=error)
        self._trouble = str(error)
        self._is_stopping.wait(_LOOKS_EVERY_S)

    def _push_until_replaced(self, deliveries: Deliveries, bell: Bell) -> None:
        while not (self._is_stopping.is_set() or deliveries.is_replaced()):
            self._settle(deliveries)
            waits_s = [self._push_due(s, deliveries) for s in self._subscriptions]
            self._trouble = ""
            bell.wait(min(waits_s, default=_LOOKS_EVERY_S))
        self._settle(deliveries)

    # --- out ------------------------------------------------------------------------------------

    def _push_due(self, subscription: Subscription, deliveries: Deliveries) -> float:
        """Push what is due and may go out; return for how long there is nothing more to do."""
        if subscription.name in self._held or self._is_held(subscription.name):
            return _LOOKS_EVERY_S
        pause_s = self._paused_until.get(subscription.name, 0.0) - time.monotonic()
        if pause_s > 0:
            return min(pause_s, _LOOKS_EVERY_S)
        out = Counter(name for _, name in self._in_flight)[subscription.name]
        room = subscription.max_in_flight - out
        taken = deliveries.take(subscription, room) if room else []
        for delivery in taken:
            push = Push(delivery, self._report)
            push.start()  # first: where no thread can be had, the delivery must not count as out
            self._in_flight[delivery.key] = push
        if len(taken) == room:
            return _LOOKS_EVERY_S  # full: the first answer rings
        due_s = deliveries.next_due_s(subscription)
        left_s = _LOOKS_EVERY_S if due_s is None else due_s - self._queue.clock().timestamp()
        return min(max(left_s, 0.0), _LOOKS_EVERY_S)

    def _report(self, answer: Answer) -> None:
        self._reports.put(answer)
        ring(self._queue.bell)

    # --- back -----------------------------------------------------------------------------------

    def _settle(self, deliveries: Deliveries) -> None:
        """Write down what became of pushes; an answer is kept until the disk has taken it."""
        while not self._reports.empty():
            self._unsettled.append(self._reports.get())
        if not self._unsettled:
            return
        with deliveries.settling() as settlement:
            for answer in self._unsettled:
                self._settle_one(answer, settlement)
        for answer in self._unsettled:
            self._in_flight.pop(answer.delivery.key, None)
        self._unsettled.clear()

    def _settle_one(self, answer: Answer, settlement: Settlement) -> None:
        delivery, subscription = answer.delivery, answer.delivery.subscription
        if answer.is_unreached:
            settlement.put_back(delivery)
            self._pause(answer)
            return
        if self._paused_until.pop(subscription.name, None):
            log.info("push.reached", extra={"subscription": subscription.name})
        if answer.status in ACKNOWLEDGING:
            settlement.acknowledge(delivery)
        elif subscription.dead_letter_topic and subscription.is_exhausted(delivery.attempt):
            settlement.bury(delivery, subscription.dead_letter_topic)
            log.error("push.dead_lettered", extra=answer.facts())
        else:
            wait_s = subscription.backoff_s(delivery.attempt, self._jitter())
            settlement.postpone(delivery, wait_s)
            log.info("push.refused", extra={**answer.facts(), "next_try_in_s": round(wait_s, 3)})

    def _pause(self, answer: Answer) -> None:
        subscription = answer.delivery.subscription
        if subscription.name not in self._paused_until:
            log.warning("push.unreached", extra=answer.facts())
        self._paused_until[subscription.name] = time.monotonic() + subscription.min_backoff_s
