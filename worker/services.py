"""What the worker needs from outside, built once by ``create_app``."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from shared.errors import DeviceLostError
from shared.ledger import Ledger
from shared.side_by_side import Beside, here
from worker.beats import Pulse
from worker.model_gate import ModelGate
from worker.running import Runner, run_here
from worker.slots import Slots


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a delivery may take, from its arrival."""

    for_a_slot_s: float = 60.0  #: until the model is ready and a slot is free
    deadline_s: float = 480.0  #: until the attempt is given up
    process_s: float = 510.0  #: until the process that does not come back is ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything a delivery needs."""

    ledger: Ledger
    gate: ModelGate
    slots: Slots
    instance: str
    revision: str
    patience: Patience = field(default_factory=Patience)
    run: Runner = run_here
    beside: Beside = here  #: how pictures are stored while the next ones are made
    start_pulse: Callable[[Pulse], None] = Pulse.start
    on_lost_device: Callable[[DeviceLostError], object] = lambda _error: None  #: ends the process, soon
    is_stopping: Callable[[], bool] = lambda: False
    monotonic: Callable[[], float] = time.monotonic
