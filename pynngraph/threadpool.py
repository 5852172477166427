"""Our threads among those that the package threadpoolctl knows.

It is not imported with the rest, nor is threadpoolctl with it:

    import threadpoolctl
    from pynngraph import threadpool

    threadpool.register()
    with threadpoolctl.threadpool_limits(1):
        ...
"""

from __future__ import annotations

from . import _engine


def register() -> None:
    """Let threadpoolctl tell and limit the number of threads, beside those of BLAS and OpenMP.

    Raises
    ------
    ImportError
        When threadpoolctl is not installed.
    """
    import threadpoolctl  # noqa: PLC0415 - an extra

    class Controller(threadpoolctl.LibController):  # type: ignore[misc] # threadpoolctl has no types
        user_api = internal_api = "pynngraph"
        filename_prefixes = ("_pynngraph",)

        def get_num_threads(self) -> int:
            return _engine.get_num_threads()

        def set_num_threads(self, num_threads: int) -> None:
            _engine.set_num_threads(num_threads)

        def get_version(self) -> str:
            return _engine.VERSION

    if not any(info["internal_api"] == "pynngraph" for info in threadpoolctl.threadpool_info()):
        threadpoolctl.register(Controller)
