"""A run's log file."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """What is logged within goes to `path` too."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    except BaseException as error:
        message = f"{type(error).__name__}: {error}"
        handler.handle(logging.makeLogRecord({"name": __name__, "levelname": "ERROR", "msg": message}))
        raise
    finally:
        root.removeHandler(handler)
        handler.close()
