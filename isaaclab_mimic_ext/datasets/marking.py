"""Mark the signals of demos with keys while the demos are replayed, as in Isaac Lab's `annotate_demos.py`.

The marks are those that a marks file contains.
"""

# N = 1 env, E end effectors

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from torch import Tensor

from isaaclab_mimic_ext.config import SubTaskBoundsCfg
from isaaclab_mimic_ext.datasets.marks import DemoMarks, SignalToMark, actions_digest, signals_to_mark
from isaaclab_mimic_ext.datasets.replay import replay
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.files.demo import Demo
from isaaclab_mimic_ext.run.terminal_keyboard import ObjectLine

log = logging.getLogger(__name__)

_CONTINUE, _PAUSE, _MARK, _AGAIN, _SKIP = "n", "b", "s", "r", "q"
MARKING_KEYS = (_CONTINUE, _PAUSE, _MARK, _AGAIN, _SKIP)
KEYS_MISSING = "auto: false requires a marks_file with the steps at which subtasks end, or keys typed in a terminal"
_HELP = """Keys:
  N   begin, or continue
  B   pause
  S   mark the next signal at this step
  R   replay the demo again, without its marks
  Q   leave out the demo"""
_POLL_S = 0.02
"""Time between two reads of the keys during a pause [s]."""


class MarkingKeys(Protocol):
    """Source of the keys: a terminal, a file (one key per step), or Isaac Sim's window."""

    is_typed: bool
    has_ended: bool

    def read(self) -> str:
        """Return the keys typed since the last call."""


class _Restarted(Exception):
    """Raised when the person wants to mark the demo again."""


class _Skipped(Exception):
    """Raised when the person leaves out the demo."""


class Marker:
    """Replays demos in one env, and marks signals at the steps at which a person presses a key.

    Args:
        env: environment with one scene, in which the demos are replayed.
        keys: source of the keys.
        subtasks: subtasks of each end effector.
        with_starts: mark start signals, too (SkillGen).
        pauses_at_marks: pause the replay after each mark.
        step_hz: largest number of steps per second; None: real time if a person types the keys, otherwise not limited.

    Raises:
        ConfigError: the environment has several scenes.
    """

    def __init__(
        self,
        env: MimicEnv,
        keys: MarkingKeys,
        subtasks: Mapping[str, Sequence[SubTaskBoundsCfg]],
        *,
        with_starts: bool = False,
        pauses_at_marks: bool = False,
        step_hz: float | None = None,
    ):
        if env.num_envs != 1:
            raise ConfigError(f"num_envs: must be 1 to mark signals with keys (got {env.num_envs}); use num_envs=1")
        self._env, self._keys, self._pauses_at_marks = env, keys, pauses_at_marks
        self._signals = {eef: signals_to_mark(configs, with_starts) for eef, configs in subtasks.items()}
        rate = step_hz or (1.0 / env.step_dt if keys.is_typed else math.inf)
        self._period = 1.0 / rate
        self._line = ObjectLine(env)

    def mark(self, demos: Sequence[Demo]) -> Iterator[tuple[str, DemoMarks]]:
        """Replay each demo once per end effector; yield name and marks of each demo, `leave_out` if the person left it out.

        Raises:
            ConfigError: the keys ended before all signals were marked.
        """
        log.info(_HELP)
        for demo in demos:
            try:
                marks = self._mark_demo(demo)
            except _Skipped:
                self._line.clear()
                log.info("%s: left out with Q", demo.name)
                marks = DemoMarks(leave_out=True)
            yield demo.name, replace(marks, actions=actions_digest(demo))

    def _mark_demo(self, demo: Demo) -> DemoMarks:
        marks = DemoMarks()
        for hand, (eef, signals) in enumerate(self._signals.items()):
            if signals:
                steps = self._mark_signals(demo, eef, hand, signals)
                for signal, step in zip(signals, steps, strict=True):
                    (marks.start if signal.kind == "start" else marks.term)[signal.name] = step
        return marks

    def _mark_signals(self, demo: Demo, eef: str, hand: int, signals: Sequence[SignalToMark]) -> list[int]:
        """Steps of the signals of one end effector. The demo is replayed until all of them are marked."""
        while True:
            log.info("%s, %s: to mark: %s", demo.name, eef, ", ".join(map(str, signals)))
            playback = _Playback(f"{demo.name}, {eef}", signals, self._pauses_at_marks)
            try:
                replay(self._env, [demo], partial(self._before_step, playback, hand, demo))
            except _Restarted:
                continue
            self._line.clear()
            if len(playback.steps) == len(signals):
                return playback.steps
            log.warning("%s: %d of %d signals are marked; the demo is replayed again",
                        playback.place, len(playback.steps), len(signals))  # fmt: skip
            self._check_keys(playback)

    def _before_step(self, playback: "_Playback", hand: int, demo: Demo, steps: Tensor, _: Tensor) -> None:
        step, begun = int(steps[0]), time.monotonic()
        while True:
            self._line.show(hand, f"step {step} of {demo.num_steps}: {playback.prompt(step)}; ")
            if keys := self._keys.read():
                self._line.clear()
                playback.press(keys, step)
            if not playback.is_paused:
                break
            self._check_keys(playback)
            if self._keys.is_typed:
                time.sleep(_POLL_S)
        time.sleep(max(0.0, self._period - (time.monotonic() - begun)))

    def _check_keys(self, playback: "_Playback") -> None:
        if self._keys.has_ended:
            raise ConfigError(f"{KEYS_MISSING} (the keys ended before {playback.place} was marked)")


@dataclass
class _Playback:
    """State of one replay of a demo: it begins paused."""

    place: str
    signals: Sequence[SignalToMark]
    pauses_at_marks: bool
    is_paused: bool = True
    steps: list[int] = field(default_factory=list)

    def prompt(self, step: int) -> str:
        """Keys that a person may press before `step`, and their effects."""
        resumes = f"N {'continues' if step else 'begins'}" if self.is_paused else ""
        may_mark = len(self.steps) < len(self.signals) and step not in self.steps
        marks = f"S marks {self.signals[len(self.steps)]}" if may_mark else ""
        is_complete = len(self.steps) == len(self.signals)
        return ", ".join(filter(None, (resumes, marks, "all signals are marked" if is_complete else "")))

    def press(self, keys: str, step: int) -> None:
        """Handle the keys typed before `step`; other keys have no effect."""
        for key in keys.lower():
            if key == _CONTINUE:
                self.is_paused = False
            elif key == _PAUSE:
                self.is_paused = True
            elif key == _AGAIN:
                raise _Restarted
            elif key == _SKIP:
                raise _Skipped
            elif key == _MARK:
                self._mark(step)

    def _mark(self, step: int) -> None:
        if len(self.steps) == len(self.signals):
            log.warning("%s: all signals are marked; R replays the demo again, without its marks", self.place)
            return
        if self.steps and self.steps[-1] == step:
            log.warning("%s: step %d is marked already", self.place, step)
            return
        log.info("%s: %s at step %d", self.place, self.signals[len(self.steps)], step)
        self.steps.append(step)
        self.is_paused |= self.pauses_at_marks
