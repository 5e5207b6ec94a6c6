"""Launcher of Isaac Lab: its flags and its effects on the process. It must run before the tasks are imported."""

import argparse
import atexit
import logging
import os
import sys

from isaacsim import SimulationApp


class AppLauncher:
    def __init__(self, arguments: argparse.Namespace):
        hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if "lab" in name}
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        self.app = SimulationApp({"headless": arguments.headless, **vars(arguments)})
        sys.stdout = sys.__stdout__
        sys.modules.update(hidden)
        logging.getLogger().handlers[:] = [logging.NullHandler()]
        logging.getLogger().setLevel(logging.WARNING)
        atexit.register(self.app.close)

    @staticmethod
    def add_app_launcher_args(parser: argparse.ArgumentParser) -> None:
        known, _ = parser.parse_known_args()
        if not vars(known):
            print("[WARN][AppLauncher]: There are no arguments attached to the ArgumentParser object.")
        group = parser.add_argument_group("app_launcher arguments")
        group.add_argument("--headless", action="store_true")
        group.add_argument("--livestream", type=int, default=-1, choices={0, 1, 2})
        group.add_argument("--enable_cameras", action="store_true")
        group.add_argument("--xr", action="store_true")
        group.add_argument("--device", default="cuda:0")
        group.add_argument("--cpu", action="store_true", help=argparse.SUPPRESS)
        group.add_argument("--verbose", action="store_true")
        group.add_argument("--info", action="store_true")
        group.add_argument("--rendering_mode", choices={"performance", "balanced", "quality"})
        group.add_argument("--kit_args", default="")
