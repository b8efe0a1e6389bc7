"""gunicorn's worker with threads, which outlives a moment in which the system starts none."""

from gunicorn.workers.gthread import ThreadWorker

from shared.threads import ServingPool


class ServingWorker(ThreadWorker):
    """A worker whose jobs are not lost because one more thread could not be had."""

    def get_thread_pool(self) -> ServingPool:
        """Return what serves requests."""
        return ServingPool(max_workers=self.cfg.threads)
