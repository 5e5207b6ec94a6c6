"""Points at which a process of a run kills itself, exact to the statement and the byte; set before the process starts.

`RunStore:commit:before:2`      `before` or `after` the second call of a method
`statement:COMMIT:before:3`     before the third SQL statement that begins with this text
`statement:VACUUM:within:40`    within the first such statement, after 40 x 10 steps of SQLite's virtual machine
`torn:1000000`                  during the write that would make any file larger than this size [bytes]
`torn:100000:PRAGMA wal`        the same, after the first statement that begins with this text
"""

import os
import resource
import signal
from collections.abc import Callable
from typing import Any

_STEPS = 10
"""Number of steps of SQLite's virtual machine between two calls of the progress handler."""


def arm(point: str) -> None:
    """Make this process kill itself at `point`."""
    kind, *rest = point.split(":")
    if kind == "statement":
        _at_statement(*rest)
    elif kind == "torn":
        _in_a_write(*rest)
    else:
        _at_call(kind, *rest)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _at_call(name: str, method: str, when: str, count: str) -> None:
    from isaaclab_mimic_ext.files.dataset_file import DatasetFile
    from isaaclab_mimic_ext.run import stats_and_videos
    from isaaclab_mimic_ext.run.episode_files import EpisodeFiles
    from isaaclab_mimic_ext.run.store import RunStore

    owner: Any = {
        "DatasetFile": DatasetFile, "EpisodeFiles": EpisodeFiles, "RunStore": RunStore, "stats_and_videos": stats_and_videos,
    }[name]  # fmt: skip
    left, method_of_old = [int(count)], getattr(owner, method)

    def dies(self: Any, *args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] == 0 and when == "before":
            die()
        result = method_of_old(self, *args, **kwargs)
        if left[0] == 0:
            die()
        return result

    setattr(owner, method, dies)


def _at_statement(beginning: str, when: str, count: str) -> None:
    left = [1 if when == "within" else int(count)]

    def look(database: Any) -> None:
        left[0] -= 1
        if left[0] == 0 and when == "before":
            die()
        elif left[0] == 0:
            steps = [int(count)]

            def step() -> int:
                steps[0] -= 1
                if steps[0] <= 0:
                    die()
                return 0

            database.set_progress_handler(step, _STEPS)

    _watch_statements(beginning, look)


def _in_a_write(size: str, beginning: str = "") -> None:
    def limit(_: Any = None) -> None:
        # Python ignores this signal. The default action of the system ends the process during the write.
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), int(size)))

    if beginning:
        _watch_statements(beginning, limit)
    else:
        limit()


def _watch_statements(beginning: str, look: Callable[[Any], None]) -> None:
    """Call `look` with the connection at the start of each statement that begins with `beginning`."""
    from isaaclab_mimic_ext.run.store import RunStore

    init = RunStore.__init__

    def watched(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        database = self._database
        database.set_trace_callback(lambda statement: look(database) if statement.startswith(beginning) else None)

    RunStore.__init__ = watched  # type: ignore[method-assign]
