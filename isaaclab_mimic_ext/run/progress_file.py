"""`progress.json` of a run: its state and figures, renewed every 10 s, for programs that watch the run."""

import json
import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from isaaclab_mimic_ext.files.writing import part_path, system_reason
from isaaclab_mimic_ext.run.result import INTERRUPTED, Progress, RunResult

log = logging.getLogger(__name__)

INTERVAL = 10.0
"""Time between two versions of the file [s]."""
RUNNING, ENDED = "running", "ended"


class ProgressFile:
    """Context in which the file has the state `running`; at its end, the state becomes `ended`.

    The file is replaced atomically. It is not flushed to the disk, so generation does not wait for the disk. A file that
    cannot be written is a warning; the run continues.

    Args:
        path: path of the file.
        earlier: time of earlier sessions of the run [s].
        clock: time [s].
    """

    def __init__(self, path: Path, earlier: float = 0.0, clock: Callable[[], float] = time.monotonic):
        self._path, self._earlier, self._clock = path, earlier, clock
        self._written_at = -float("inf")
        self._figures: dict[str, Any] = {}
        self._has_warned = False

    def __enter__(self) -> "ProgressFile":
        return self

    def update(self, progress: Progress) -> None:
        """Renew the file if the last version is older than 10 s."""
        now = self._clock()
        if now - self._written_at >= INTERVAL:
            self._written_at = now
            self._figures = _figures(progress, self._earlier)
            self._write(RUNNING, None)

    def end(self, result: RunResult) -> None:
        """Write the result of the run."""
        self._figures = {
            **self._figures,
            "trials": result.num_attempts,
            "successes": result.num_successes,
            "target": result.target,
            "success_rate": round(result.success_rate, 4),
            "demos_per_hour": round(result.demos_per_hour, 1),
            "elapsed_s": round(result.elapsed, 1),
            "remaining_s": None if result.is_interrupted else 0.0,
        }
        self._write(ENDED, result.stop_reason)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            failed = f"failed: {type(error).__name__}: {str(error)[:500]}"
            self._write(ENDED, failed if isinstance(error, Exception) else INTERRUPTED)

    def _write(self, state: str, reason: str | None) -> None:
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        origin = {"pid": os.getpid(), "host": socket.gethostname()}
        content = {"state": state, "stop_reason": reason, "updated": now, **self._figures, **origin}
        part = part_path(self._path)
        try:
            part.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            os.replace(part, self._path)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            if not self._has_warned:
                log.warning("%s cannot be written: %s; the run continues", self._path, system_reason(error))
            self._has_warned = True


def _figures(progress: Progress, earlier: float) -> dict[str, Any]:
    now, share = progress.elapsed_now, progress.share
    return {
        "trials": progress.num_ended,
        "successes": progress.num_successes,
        "target": progress.num_target,
        "success_rate": round(progress.num_successes / progress.num_ended, 4) if progress.num_ended else None,
        "demos_per_hour": round(3600 * progress.num_successes_now / now, 1) if now else None,
        "elapsed_s": round(earlier + now, 1),
        "remaining_s": round(now * (1 / share - 1), 1) if share > 0 else None,
    }
