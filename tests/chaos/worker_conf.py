"""The worker's gunicorn settings; it is loaded before the fork, so that a killed child is soon back."""

import tests.chaos.apps  # noqa: F401 - see above
from worker.gunicorn_conf import *  # noqa: F403 - all of them
