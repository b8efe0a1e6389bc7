"""How gunicorn runs the bare application: as it runs the API, without the API's hooks."""

from api.gunicorn_conf import keepalive, threads, worker_class, workers

__all__ = ["keepalive", "threads", "worker_class", "workers"]

accesslog = None
