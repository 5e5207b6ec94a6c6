"""Application of Isaac Sim, whose `close` ends the process."""

import os
import signal
import sys
from typing import Any


class SimulationApp:
    running = False

    def __init__(self, config: dict[str, Any]):
        assert not SimulationApp.running, "started twice in one process"
        SimulationApp.running = True
        self.config = config
        print("Isaac Sim prints to a redirected stdout")
        print("STARTED WITH", config, "FLAGS", sys.argv[1:], file=sys.__stdout__, flush=True)
        signal.signal(signal.SIGTERM, lambda *_: self.close())

    def close(self) -> None:
        print("CLOSED", flush=True)
        os._exit(0)
