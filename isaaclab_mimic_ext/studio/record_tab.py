"""The tab Record: a person at the page commands the robot, and decides about each demo."""

# E end effectors

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np

from isaaclab_mimic_ext.config import SubTaskDemoCfg
from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.posed_scene import PosedScene, present_body_poses
from isaaclab_mimic_ext.run.live import LIVE_REASONS, MAX_STEPS
from isaaclab_mimic_ext.run.live_state import WARNING_STEPS, Attempt, LiveLog, LiveState
from isaaclab_mimic_ext.run.other_attempts import DISCARDED
from isaaclab_mimic_ext.studio.device import INPUT_DEVICES, BrowserDevice, Command, Phase
from isaaclab_mimic_ext.studio.frames import encode_frame
from isaaclab_mimic_ext.studio.kept_demos import KeptDemo
from isaaclab_mimic_ext.studio.protocol import Refusal, check_fields, choice, integer, vector
from isaaclab_mimic_ext.studio.tabs import Client, Tab

_ORDERS = ("new", "pause", "resume", "rewind", "forward", "go_to", "again", "undo", "keep", "discard", "end")
_MAX_STEP = 2**31
_SOLVED = "solved"
"""Name of the lamp of the success, next to the signals of the task."""


@dataclass
class Progress:
    """Progress of a recording, for display.

    Attributes:
        output_file: path of the recording.
        num_wanted: number of demos to record.
        demos: kept demos, in the order in which they were recorded.
        can_continue: whether the page may record more demos after the end.
        next_command: command line that follows.
        has_doctor: whether complete demos are examined.
        findings: findings of the check of the demo that is reviewed; None while they are computed.
    """

    output_file: str
    num_wanted: int
    demos: list[KeptDemo] = field(default_factory=list)
    can_continue: bool = False
    next_command: str = ""
    has_doctor: bool = False
    findings: list[dict[str, Any]] | None = None


class RecordTab(Tab, LiveLog):
    """Device, display and messages of a recording at the page. Also a `LiveMonitor`, which reports in the log, too.

    Args:
        env: environment with one scene.
        scene: the same scene, for the poses of its bodies.
        progress: progress of the recording, which the tab updates.
        subtasks: subtasks of each end effector, for display.
        more: called in the network thread with the number of further demos that the page wants after the end.

    Attributes:
        examine: called with a complete demo and the number of its review; `show_findings` takes the findings.
    """

    name: ClassVar[str] = "record"
    title: ClassVar[str] = "Record"

    def __init__(
        self,
        env: MimicEnv,
        scene: PosedScene,
        progress: Progress,
        subtasks: Mapping[str, Sequence[SubTaskDemoCfg]] | None = None,
        more: Callable[[int], None] | None = None,
    ):
        LiveLog.__init__(self)
        self._env, self._scene, self.progress, self._more = env, scene, progress, more
        self._subtasks = subtasks or {}
        self.device = BrowserDevice(env, self.publish_state)
        self.device.on_review = self._begin_review
        self.examine: Callable[[Mapping[str, np.ndarray], int], None] = lambda demo, review: None
        self._review, self._reviewing = 0, threading.Lock()
        self._num_frames = 0
        self._last_frame = b""
        self._start: dict[str, list[float]] = {}
        self._last_outcome = ""
        self._reached_at: dict[str, int] = {}

    # Simulation thread

    def begin(self, attempt: Attempt) -> None:
        LiveLog.begin(self, attempt)
        self._start = {
            name: [round(value, 4) for value in pose[:2, 3].tolist()]
            for name, pose in zip(self._env.object_names, self._env.object_pose[0], strict=True)
        }
        self._forget_findings()
        self._set_reached({})
        self._show(self.device.state)
        self.publish_state()

    def step(self, state: LiveState) -> None:
        LiveLog.step(self, state)
        self.device.moved(state)
        self._note_reached(state)
        self._show(state)

    def end(self, attempt: Attempt, num_steps: int, failure: str) -> None:
        LiveLog.end(self, attempt, num_steps, failure)
        if failure:
            is_discarded = failure == LIVE_REASONS[DISCARDED]
            self._last_outcome = f"the last attempt was {'' if is_discarded else 'not saved: '}{failure}"
        else:
            self.progress.demos.append(KeptDemo(attempt.trial, num_steps, self._start))
            self._last_outcome = f"demo {attempt.num_demos} of {attempt.num_wanted} is saved"
        self.publish_state()

    def _note_reached(self, state: LiveState) -> None:
        """Note the signals that the attempt has reached up to this step, also after steps were taken back."""
        reached = {name: step for name, step in self._reached_at.items() if step <= state.step}
        values = {**state.signals, _SOLVED: state.num_solved_steps > 0}
        self._set_reached({name: state.step for name, value in values.items() if value} | reached)

    def _set_reached(self, reached: dict[str, int]) -> None:
        has_changed = reached.keys() != self._reached_at.keys()
        self._reached_at = reached
        if has_changed:
            self.publish(self._reached_event())

    def _reached_event(self) -> dict[str, Any]:
        return {"event": "reached", "names": sorted(self._reached_at)}

    def _show(self, state: LiveState) -> None:
        target = self._env.eef_pose[0] if state.target_eef_pose is None else state.target_eef_pose
        targets, bodies = self._scene.pos_quats(target), present_body_poses(self._env, self._scene)
        device = self.device
        self._num_frames += 1
        facts = (self._num_frames, state, device.sequence, device.epoch, device.rate)
        self._last_frame = encode_frame(*facts, targets, bodies)
        self.publish_frame(self._last_frame)

    def _begin_review(self, demo: Mapping[str, np.ndarray]) -> None:
        review = self._forget_findings()
        self.publish_state()
        self.examine(demo, review)

    def _forget_findings(self) -> int:
        """Forget the findings of earlier reviews, also those to come. Return the number of the next review."""
        with self._reviewing:
            self._review += 1
            self.progress.findings = None
            return self._review

    def show_findings(self, findings: list[dict[str, Any]], review: int) -> None:
        """Show the findings of the demo of a review, unless another one has begun; from any thread."""
        with self._reviewing:
            if review != self._review:
                return
            self.progress.findings = findings
        self.publish_state()

    def show_scene(self) -> None:
        """Show the scene if no attempt has been shown: the recording was finished before."""
        if not self._last_frame:
            self._show(self.device.state)

    def show_end(self, next_command: str, text: str) -> None:
        """Show the end of the recording: the command line that follows, and what was recorded."""
        self.progress.next_command = next_command
        self.device.set_phase(Phase.DONE, text)

    def publish_state(self) -> None:
        """Send the state that changes less often than the frames."""
        self.publish(self._event())

    def _event(self) -> dict[str, Any]:
        device, progress = self.device, asdict(self.progress)
        return {
            "event": "state",
            "phase": device.phase,
            "reason": device.reason,
            "epoch": device.epoch,
            "grippers": device.state.grippers,
            "given_up_steps": device.state.num_given_up_steps,
            "outcome": self._last_outcome,
            "start": self._start,
            "step_dt": self._env.step_dt,
            **progress,
        }

    # Network thread

    def connected(self, client: Client) -> None:
        client.send({"tab": self.name, "event": "scene", **self._facts()})
        client.send({"tab": self.name, **self._reached_event()})
        client.send({"tab": self.name, **self._event()})

    def shown(self, client: Client) -> None:
        if self._last_frame:
            client.offer(self._last_frame)

    def disconnected(self, client: Client) -> None:
        if client.has_control:
            self.device.forget_command()

    def _facts(self) -> dict[str, Any]:
        return {
            "hands": list(self._env.eef_names),
            "max_steps": MAX_STEPS,
            "warning_steps": WARNING_STEPS,
            "signals": list(self._env.get_subtask_term_signals()),
            "subtasks": [
                {"hand": eef_name, "signal": each.subtask_term_signal, "text": each.description or each.label}
                for eef_name, subtasks in self._subtasks.items()
                for each in subtasks
            ],
        }

    def receive(self, client: Client, message: Mapping[str, Any]) -> Any:
        if not client.has_control:
            raise Refusal("record: another page has control; take control first")
        if "in" in message:
            check_fields("message", message, ["in"])
            self.device.set_command(*self._read_command(message["in"]))
            return None
        check_fields("message", message, ["do"], ["step", "count"])
        if message["do"] == "more":
            return self._record_more(message)
        name = choice("do", message["do"], _ORDERS)
        step = integer("step", message["step"], 0, _MAX_STEP) if "step" in message else None
        if name == "go_to" and step is None:
            raise Refusal("step: missing; go_to requires the number of the step")
        self.device.order(name, step)
        if name == "undo":
            self._last_outcome = ""
        return None

    def _record_more(self, message: Mapping[str, Any]) -> None:
        count = integer("count", message.get("count"), 1, 1000)
        is_over = self.progress.can_continue and self.device.phase in (Phase.DONE, Phase.FAILED)
        if self._more is None or not is_over:
            raise Refusal("more: the recording has not ended, or cannot be continued here")
        self.device.set_phase(Phase.BUSY, "the recording continues")  # A second click is refused.
        self._more(count)

    def _read_command(self, fields: Any) -> tuple[Command, int]:
        if not isinstance(fields, dict):
            raise Refusal("in: must be an object")
        check_fields("in", fields, ["seq", "epoch", "hand", "v", "w", "grip", "device"])
        grippers = vector("in.grip", fields["grip"], self.device.num_hands)
        if any(abs(value) != 1.0 for value in grippers):
            raise Refusal("in.grip: each gripper must be 1 (open) or -1 (closed)")
        command = Command(
            integer("in.seq", fields["seq"], 0, _MAX_STEP),
            integer("in.hand", fields["hand"], 0, self.device.last_hand),
            tuple(vector("in.v", fields["v"], 3)),
            tuple(vector("in.w", fields["w"], 3)),
            tuple(grippers),
            choice("in.device", fields["device"], INPUT_DEVICES),
        )
        return command, integer("in.epoch", fields["epoch"], 0, _MAX_STEP)
