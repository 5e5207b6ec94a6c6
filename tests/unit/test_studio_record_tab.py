"""The tab Record: what its pages show about a demo."""

from typing import Any, cast

import numpy as np
import pytest
import torch

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.envs.posed_scene import PosedScene, present_body_poses
from isaaclab_mimic_ext.math import pose_from_pos_quat
from isaaclab_mimic_ext.rng import Draws
from isaaclab_mimic_ext.run.live_state import Attempt, LiveLog, LiveState
from isaaclab_mimic_ext.studio.device import Phase
from isaaclab_mimic_ext.studio.protocol import Refusal
from isaaclab_mimic_ext.studio.record_tab import Progress, RecordTab
from isaaclab_mimic_ext.studio.tabs import Client
from tests.kinematic_sources import make_kinematic_env

DEMO = {"actions": np.zeros((3, 7), np.float32)}


def make_tab(**arguments: Any) -> RecordTab:
    """A tab of which no test draws the scene."""
    return RecordTab(make_kinematic_env(1), cast(PosedScene, None), Progress("raw.hdf5", 10), **arguments)


def test_review_shows_only_the_findings_of_its_own_demo() -> None:
    tab = make_tab()
    reviews: list[int] = []
    tab.examine = lambda demo, review: reviews.append(review)
    events: list[Any] = []
    tab.publish = lambda event: events.append(event["findings"])  # type: ignore[method-assign]
    tab.device.review(DEMO)
    tab.show_findings([{"found": "of the first"}], reviews[0])
    tab.device.review(DEMO)
    tab.show_findings([{"found": "late"}], reviews[0])
    assert tab.progress.findings is None
    tab.show_findings([], reviews[1])
    assert events == [None, [{"found": "of the first"}], None, []]


@pytest.mark.parametrize("phase", [Phase.DONE, Phase.FAILED])
def test_double_click_records_the_further_demos_once(phase: Phase) -> None:
    counts: list[int] = []
    tab = make_tab(more=counts.append)
    tab.device.set_phase(phase, "the recording has ended")
    page = Client("page", 1)
    page.has_control = True
    with pytest.raises(Refusal, match=r"more: the recording has not ended, or cannot be continued here"):
        tab.receive(page, {"do": "more", "count": 5})
    tab.progress.can_continue = True
    tab.receive(page, {"do": "more", "count": 5})
    with pytest.raises(Refusal, match=r"more: the recording has not ended"):
        tab.receive(page, {"do": "more", "count": 5})
    assert counts == [5]


def test_page_that_returns_to_the_tab_gets_the_last_frame() -> None:
    tab = make_tab()
    tab._last_frame = b"frame"
    page = Client("page", 1)
    tab.connected(page)
    assert page.frame is None
    tab.shown(page)
    assert page.frame == b"frame"


def test_reached_subtasks_stay_reached_and_are_taken_back_with_their_steps() -> None:
    tab = make_tab()
    events: list[Any] = []
    tab.publish = lambda event: events.append(event.get("names"))  # type: ignore[method-assign]

    def step(number: int, num_solved: int = 0, **signals: bool) -> None:
        tab._note_reached(LiveState(number, signals, num_solved, False))

    step(1, reach=False, grasp=False)
    step(2, reach=True, grasp=False)
    step(3, reach=False, grasp=True)
    step(4, 1, reach=False, grasp=True)
    step(5, 0, reach=False, grasp=False)
    assert events == [["reach"], ["grasp", "reach"], ["grasp", "reach", "solved"]]
    step(2, reach=True, grasp=False)
    assert events[-1] == ["reach"], "two steps were taken back"
    page = Client("page", 1)
    tab.connected(page)
    assert '"names": ["reach"]' in [page.events.get_nowait() for _ in range(3)][1], "a page that is opened again"


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        ("", "demo 1 of 10 is saved"),
        ("discarded", "the last attempt was discarded"),
        ("the physics diverged", "the last attempt was not saved: the physics diverged"),
    ],
)
def test_outcome_of_the_last_attempt_is_a_sentence(failure: str, text: str) -> None:
    tab = make_tab()
    attempt = Attempt(0, 1, 10, 0.05, 3000)
    LiveLog.begin(tab, attempt)
    tab.end(attempt, 5, failure)
    assert tab._event()["outcome"] == text


def test_frame_contains_the_bodies_and_targets_of_the_scene() -> None:
    task = mimic.load_task("two_arm_lift_tray")
    env, scene = mimic.make_env(task, "mujoco", num_envs=1), PosedScene(task)
    env.reset(torch.tensor([0]), Draws(0, torch.tensor([3])))
    shown = present_body_poses(env, scene)
    scene.set_state(trees.map(lambda leaf: leaf[0].numpy(), env.get_state()))
    np.testing.assert_allclose(shown, scene.body_poses(), atol=1e-6)
    targets = scene.pos_quats(env.eef_pose[0])
    np.testing.assert_allclose(pose_from_pos_quat(*torch.from_numpy(targets).split((3, 4), 1)), env.eef_pose[0], atol=1e-5)
    env.close()
