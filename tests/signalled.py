"""Run a script that sends itself a signal when it logs a message.

    python -m tests.signalled SIGTERM 2 "Evaluating" scripts/train.py ...

The signal is sent at the second message that contains the words, which is the same point of the run on any machine.
"""

import logging
import os
import runpy
import signal
import sys
from typing import Any


def main(number: str, count: str, words: str, script: str) -> None:
    """Run `script` as `__main__`, and send the signal at its `count`-th message that contains `words`."""
    make_record, left = logging.getLogRecordFactory(), [int(count)]

    def watched(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make_record(*args, **kwargs)
        left[0] -= words in record.getMessage()
        if left[0] == 0:
            left[0] = -1
            os.kill(os.getpid(), signal.Signals[number])
        return record

    logging.setLogRecordFactory(watched)
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    arguments, sys.argv = sys.argv[1:5], sys.argv[4:]
    main(*arguments)
