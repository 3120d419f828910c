"""Starts the former floors, with request threads: a third column for one run, before and after next
to each other.

Called with `--threads`. To remove it: delete `threads_*.py`, and what mentions `threads` in
`stage`, `posting` and `__main__`.
"""

from benchmarks.floor_processes import Floor

_THREADS = 16
"""Request threads over all workers. More or fewer: no faster, 8 and 32 were measured with one
worker.
"""


class Threads(Floor):
    """The pipeline `request threads`."""

    name = "request threads"
    embedded_module = "benchmarks.threads_embedded"

    def api_words(self, workers: int) -> list[str]:
        threads = ["--blocking-threads", str(_THREADS // workers)]
        return ["--interface", "wsgi", *threads, "benchmarks.threads_api:app"]
