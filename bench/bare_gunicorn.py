"""How gunicorn runs the bare application: as it runs the API, without the API's hooks."""

from api.gunicorn_conf import keepalive, threads, workers

__all__ = ["keepalive", "threads", "workers"]

worker_class = "gthread"
accesslog = None
