"""The device of the studio: phases, and requests between two steps. A clock of the test replaces the time."""

# N = 1 env, E end effectors

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.run.live import Choice, Request
from isaaclab_mimic_ext.run.live_state import LiveState
from isaaclab_mimic_ext.studio.device import DEAD_MAN_S, SPEED, BrowserDevice, Command, Phase
from isaaclab_mimic_ext.studio.protocol import Refusal
from tests.kinematic_sources import make_kinematic_env

STEP, WAIT = Request(Choice.STEP), Request(Choice.WAIT)
REST, FORWARD = (0.0, 0.0, 0.0), (1.0, 0.0, 0.0)


class Person:
    """A device with a clock, and the state of an attempt that the test moves."""

    def __init__(self) -> None:
        self.time = 0.0
        self.device = BrowserDevice(make_kinematic_env(1), now=lambda: self.time)
        self.device._changed = NeverWaits()
        self.device.reset()
        self.state = state(0)
        self.press()

    def press(self, velocity: tuple[float, ...] = REST, grip: float = 1.0) -> None:
        """Send the state of the keys, as the page does."""
        self.device.set_command(Command(1, 0, velocity, REST, (grip,)), self.device.epoch)

    def request(self, **changes: Any) -> Request:
        """Next request, in the state that the test has reached."""
        self.state = state(**{**vars(self.state), **changes})
        return self.device.next_request(self.state)

    def go_to(self, request: Request) -> None:
        """Carry out a request to move in time."""
        assert request.choice is Choice.GO_TO
        self.state = state(**{**vars(self.state), "step": request.step})
        self.device.moved(self.state)


class NeverWaits(threading.Condition):  # type: ignore[misc]
    def wait(self, timeout: float | None = None) -> bool:
        return False


def state(step: int, **changes: Any) -> LiveState:
    values = {"signals": {}, "num_solved_steps": 0, "is_complete": False, "num_made_steps": step, "grippers": (1.0,)}
    return LiveState(step, **{**values, "is_at_rest": True, **changes})  # type: ignore[arg-type]


@pytest.fixture
def person() -> Person:
    return Person()


def test_time_stands_still_until_the_first_command(person: Person) -> None:
    assert person.request() == WAIT
    assert person.device.phase is Phase.READY
    person.press(FORWARD)
    assert person.request() == STEP
    assert person.device.phase is Phase.RECORDING


def test_time_stands_still_when_nothing_is_commanded_and_nothing_moves(person: Person) -> None:
    person.press(FORWARD)
    assert person.request(step=5) == STEP
    person.press()
    assert person.request(is_at_rest=False) == STEP, "the hand still moves"
    assert person.request(is_at_rest=True) == WAIT
    assert person.device.phase is Phase.STILL


def test_closing_gripper_lets_time_pass(person: Person) -> None:
    person.press(grip=-1.0)
    assert person.request(step=5) == STEP
    assert person.device.command()[0, 6] == -1.0
    assert person.request(grippers=(-1.0,), is_at_rest=False) == STEP
    assert person.request(is_at_rest=True) == WAIT


def test_solved_task_lets_time_pass_until_the_demo_is_complete(person: Person) -> None:
    assert person.request(step=9, num_solved_steps=2) == STEP
    assert person.request(is_complete=True) == WAIT
    assert person.device.phase is Phase.REVIEW


@pytest.mark.parametrize(("order", "choice"), [("keep", Choice.KEEP), ("discard", Choice.DISCARD), ("new", Choice.DISCARD)])
def test_review_ends_the_attempt(order: str, choice: Choice, person: Person) -> None:
    person.request(step=9, is_complete=True)
    person.device.order(order)
    assert person.request().choice is choice


def test_same_scene_again_goes_back_to_the_start(person: Person) -> None:
    person.request(step=90, is_complete=True, num_solved_steps=6)
    person.device.order("again")
    person.go_to(person.request())
    assert person.request(step=0, is_complete=False, num_solved_steps=0) == WAIT
    assert person.device.phase is Phase.READY


def test_attempt_is_paused_when_the_page_is_silent(person: Person) -> None:
    person.press(FORWARD)
    assert person.request(step=5, is_at_rest=False) == STEP
    person.time += DEAD_MAN_S + 0.01
    assert person.request() == WAIT
    assert person.device.phase is Phase.PAUSED
    assert "nothing arrived from the page for 0.3 s" in person.device.reason


def test_one_silence_is_one_pause(person: Person) -> None:
    changes: list[Phase] = []
    person.device._on_change = lambda: changes.append(person.device.phase)
    person.press(FORWARD)
    person.request(step=5, is_at_rest=False)
    person.time += DEAD_MAN_S + 0.01
    assert [person.request() for _ in range(20)] == [WAIT] * 20
    assert changes == [Phase.RECORDING, Phase.PAUSED]
    assert person.device.attributes()["num_pauses"] == 1
    person.press(FORWARD)
    assert person.request() == STEP
    assert person.device.attributes()["num_pauses"] == 1


def test_key_that_is_still_pressed_continues_after_a_hiccup_but_not_after_an_absence(person: Person) -> None:
    person.press(FORWARD)
    person.request(step=5, is_at_rest=False)
    person.time += 0.5
    assert person.request() == WAIT
    person.press(FORWARD)
    assert person.request() == STEP, "the machine was busy for half a second"
    person.time += 1.5
    assert person.request() == WAIT
    person.press(FORWARD)
    assert person.request() == WAIT, "the key has been pressed for longer than the page was there"
    person.press(REST)
    person.press(FORWARD)
    assert person.request() == STEP


def test_silent_page_does_not_pause_a_scene_at_rest(person: Person) -> None:
    person.time += 100.0
    assert person.request(step=5) == WAIT
    assert person.device.phase is Phase.STILL


def test_pause_of_the_person_ends_only_by_the_person(person: Person) -> None:
    person.press(FORWARD)
    person.request(step=5)
    person.device.order("pause")
    assert person.request() == WAIT
    person.press(REST)
    person.press(FORWARD)
    assert person.request() == WAIT
    person.device.order("resume")
    assert person.request() == STEP
    assert person.device.attributes()["num_pauses"] == 1


def test_rewind_takes_two_seconds_back_and_pauses_until_the_keys_were_released(person: Person) -> None:
    person.press(FORWARD)
    assert person.request(step=100, num_made_steps=100, grippers=(-1.0,)) == STEP
    person.device.order("rewind")
    request = person.request()
    assert request == Request(Choice.GO_TO, 60)
    epoch = person.device.epoch
    person.go_to(request)
    assert person.device.epoch == epoch + 1
    assert person.device.phase is Phase.PAUSED
    person.press(FORWARD, grip=-1.0)
    assert person.request() == WAIT, "W is still pressed"
    person.press(REST, grip=-1.0)
    person.press(FORWARD, grip=-1.0)
    assert person.request() == STEP
    assert person.device.attributes()["num_rewinds"] == 1


def test_page_that_does_not_know_of_a_rewind_cannot_open_the_gripper(person: Person) -> None:
    epoch = person.device.epoch
    person.request(step=100, num_made_steps=100, grippers=(-1.0,))
    person.device.order("rewind")
    person.go_to(person.request())
    person.device.set_command(Command(2, 0, REST, REST, (1.0,)), epoch)
    assert person.request() == WAIT
    assert person.device.phase is Phase.PAUSED


def test_steps_that_were_taken_back_can_be_made_again(person: Person) -> None:
    person.request(step=60, num_made_steps=100)
    person.device.order("forward")
    assert person.request() == Request(Choice.GO_TO, 100)
    person.device.order("go_to", 7)
    assert person.request() == Request(Choice.GO_TO, 7)


def test_lost_control_stops_the_hand(person: Person) -> None:
    person.press(FORWARD)
    assert person.request(step=5) == STEP
    person.device.forget_command()
    assert person.request() == WAIT


def test_command_reaches_full_speed_in_150_ms_and_stops_immediately(person: Person) -> None:
    person.press((3.0, 0.0, 4.0))
    speeds = []
    for _ in range(5):
        person.request(step=5)
        speeds.append(float(person.device.command()[0, :3].norm()) / 0.05)
    assert np.allclose(speeds, [SPEED / 3, 2 * SPEED / 3, SPEED, SPEED, SPEED], atol=1e-6)
    person.press(REST)
    assert torch.equal(person.device.command()[0, :6], torch.zeros(6))


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("keep", {"step": 5}, "keep: the demo is not complete yet; solve the task, then hold still"),
    ("discard", {"step": 5}, "discard: the demo is not complete yet; solve the task, then hold still"),
    ("rewind", {"step": 0}, "rewind: the attempt is at its start"),
    ("forward", {"step": 5, "num_made_steps": 5}, "forward: no steps were taken back"),
    ("end", {"step": 5, "is_complete": True}, "end: decide about the finished demo first: keep, again or discard"),
    ("pause", {"step": 5, "is_complete": True}, "pause: decide about the finished demo first: keep, again or discard"),
]


@pytest.mark.parametrize(("order", "changes", "message"), REFUSED)
def test_order_that_does_not_fit_is_refused(order: str, changes: dict[str, Any], message: str, person: Person) -> None:
    person.request(**changes)
    with pytest.raises(Refusal) as refused:
        person.device.order(order)
    assert str(refused.value) == message


def test_orders_are_refused_without_an_attempt(person: Person) -> None:
    person.device.set_phase(Phase.DONE, "3 demos are in raw.hdf5")
    refused: Callable[[], None] = lambda: person.device.order("pause")  # noqa: E731
    with pytest.raises(Refusal, match=r"pause: no attempt runs \(3 demos are in raw.hdf5\)"):
        refused()


def test_demo_has_the_devices_with_which_it_was_recorded(person: Person) -> None:
    for device in ("gamepad", "keyboard"):
        person.device.set_command(Command(1, 0, FORWARD, REST, (1.0,), device), person.device.epoch)
        person.request(step=5)
        person.device.command()
    person.device.set_command(Command(1, 0, REST, REST, (1.0,), "touch"), person.device.epoch)
    person.device.command()
    assert person.device.attributes()["input_devices"] == "keyboard,gamepad"


def test_full_attempt_is_paused_until_the_person_goes_back(person: Person) -> None:
    person.press(FORWARD)
    assert person.request(step=3000, is_full=True, is_at_rest=False) == WAIT
    assert person.device.phase is Phase.PAUSED
    assert "an attempt has at most 3000 steps; go back" in person.device.reason
    with pytest.raises(Refusal, match="resume: the attempt has reached its largest number of steps; go back"):
        person.device.order("resume")
    person.device.order("rewind")
    person.go_to(person.request())
    person.press()
    person.press(FORWARD)
    assert person.request(step=2960, is_full=False) == STEP


def test_attempt_that_was_given_up_comes_back_with_its_attributes(person: Person) -> None:
    person.press(FORWARD)
    person.request(step=60, num_made_steps=60)
    person.device.command()
    person.device.order("rewind")
    person.go_to(person.request())
    with pytest.raises(Refusal, match="undo: no attempt was given up"):
        person.device.order("undo")
    person.device.order("new")
    assert person.request().choice is Choice.DISCARD
    person.device.reset()
    assert person.device.attributes()["num_rewinds"] == 0
    person.state = state(0)
    person.request(num_given_up_steps=60)
    person.device.order("undo")
    assert person.request() == Request(Choice.UNDO)
    person.device.moved(state(20))
    assert person.device.phase is Phase.PAUSED
    assert person.device.attributes() == {"input_devices": "keyboard", "num_rewinds": 1, "num_pauses": 0}


def test_same_scene_again_gives_the_steps_up(person: Person) -> None:
    person.request(step=60)
    person.device.order("again")
    assert person.request() == Request(Choice.GO_TO, 0, gives_up=True)


def test_rewinds_of_an_attempt_that_was_given_up_are_not_those_of_the_demo(person: Person) -> None:
    person.press(FORWARD)
    person.request(step=60, num_made_steps=60)
    person.device.command()
    person.device.order("rewind")
    person.go_to(person.request())
    assert person.device.attributes()["num_rewinds"] == 1
    person.device.order("again")
    person.go_to(person.request())
    assert person.device.attributes() == {"input_devices": "", "num_rewinds": 0, "num_pauses": 0}
    person.request(num_given_up_steps=20)
    person.device.order("undo")
    assert person.request() == Request(Choice.UNDO)
    assert person.device.attributes()["num_rewinds"] == 1, "the attempt came back"
