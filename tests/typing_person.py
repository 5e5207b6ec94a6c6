"""A person who types on a keyboard in the terminal, as a script."""

# N = 1 env, E = 1 end effector

from importlib import import_module

import torch

from isaaclab_mimic_ext.envs.base import MimicEnv
from isaaclab_mimic_ext.envs.factory import env_task
from isaaclab_mimic_ext.math import axis_angle_from_matrix, matrix_from_axis_angle
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.terminal_keyboard import Keys, TerminalKeyboard
from tests.named_poses import object_poses

_PAIRS = ("ws", "ad", "qe", "zx", "tg", "cv")
_COARSE, _FINE = (0.01, 0.05), (0.002, 0.01)
_WAIT = "."


class TypingPerson(TerminalKeyboard, Keys):
    """Types the plan of the task's scripted operator: one key per step, towards the pose where the hand should be.

    Attributes:
        typed: all keys so far, one per step.
    """

    is_typed = False
    has_ended = False

    def __init__(self, env: MimicEnv):
        self.typed, self.attempt, self._env = "", -1, env
        self._plan_demos = import_module(f"isaaclab_mimic_ext.tasks.{env_task(env).name}.operator").plan_demos
        super().__init__(env, self, line=None)

    def reset(self) -> None:
        super().reset()
        self.attempt += 1
        if self.attempt == 0:  # The keyboard is reset once when it is opened.
            return
        pose = self._env.eef_pose[:, 0]
        plan = self._plan_demos(object_poses(self._env), pose, Draws(5, torch.tensor([self.attempt])))
        self._targets, self._grippers = plan.target_eef_pose[0], plan.gripper_action[0, :, 0]
        self._pose, self._frame, self._is_open = pose[0].clone(), 0, True

    def read(self) -> str:
        key = self._next_key()
        self.typed += key
        return key

    def _next_key(self) -> str:
        if self._frame >= len(self._targets):
            return _WAIT
        if (self._grippers[self._frame] > 0) != self._is_open:
            if (key := self._key_towards(self._targets[self._frame])) != _WAIT:
                return key
            self._is_open = not self._is_open
            return " "
        key = self._key_towards(self._targets[self._frame])
        self._frame += 1 if key == _WAIT else self._is_far()
        return key

    def _is_far(self) -> int:
        """Frames to skip while the hand is behind the plan: 1 if the gripper does not change in the next frame."""
        following = min(self._frame + 1, len(self._grippers) - 1)
        return int(bool((self._grippers[following] > 0) == self._is_open))

    def _key_towards(self, target: torch.Tensor) -> str:
        """Key that reduces the largest remaining motion; a wait if all motions are below half a fine step."""
        turn = axis_angle_from_matrix(target[:3, :3] @ self._pose[:3, :3].T)
        motion = torch.cat((target[:3, 3] - self._pose[:3, 3], turn))
        fine = torch.tensor([_FINE[0]] * 3 + [_FINE[1]] * 3)
        steps = motion / fine
        axis = int(steps.abs().argmax())
        if steps[axis].abs() <= 0.5:
            return _WAIT
        is_coarse, is_turn = bool(steps[axis].abs() > 4), axis > 2
        size = (_COARSE if is_coarse else _FINE)[is_turn] * float(steps[axis].sign())
        if is_turn:
            vector = torch.zeros(3)
            vector[axis - 3] = size
            self._pose[:3, :3] = matrix_from_axis_angle(vector) @ self._pose[:3, :3]
        else:
            self._pose[axis, 3] += size
        key = _PAIRS[axis][int(size < 0)]
        return key if is_coarse else key.upper()
