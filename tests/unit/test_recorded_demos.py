"""Demos of a recording that runs: those in its store, with the names and digests that they keep in the file."""

# T = 9 steps

from pathlib import Path

import h5py
import numpy as np
import pytest

from isaaclab_mimic_ext.datasets.marks import actions_digest
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.run.store import RunStore
from isaaclab_mimic_ext.studio.kept_demos import read_kept_demos
from isaaclab_mimic_ext.studio.recorded_demos import RecordedDemos
from isaaclab_mimic_ext.task.reasons import SUCCEEDED

FIELDS = [
    {"path": "actions", "shape": [7], "rows": "after/torch.float32", "start": 0, "stop": 7},
    {"path": "initial_state/x", "shape": [2], "rows": "start/torch.float32", "start": 0, "stop": 2},
]
FAILED = 0


def rows(trial: int) -> dict[str, np.ndarray]:
    return {
        "after/torch.float32": np.full((9, 7), trial, np.float32),
        "start/torch.float32": np.full((1, 2), trial, np.float32),
    }


def add_attempts(path: Path, attempts: dict[int, int]) -> None:
    """Store attempts: trial -> reason. Those that succeed have an episode. A session without attempts was killed early."""
    store = RunStore(path.with_name(f"{path.name}.sqlite"))
    store.set_reasons(["dropped"])
    store.set_facts(fields=FIELDS, **({"identity": {"seed": 1}} if attempts else {}))
    for trial, reason in attempts.items():
        store.add(trial, reason, 9)
        if reason == SUCCEEDED:
            store.add_episode(trial, rows(trial), {"trial": trial})
    store.commit()
    store.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "raw.hdf5"


def test_demos_of_a_running_recording_appear_as_they_are_kept(path: Path) -> None:
    demos = RecordedDemos(path)
    demos.update()
    assert not demos.demos
    add_attempts(path, {0: FAILED, 1: SUCCEEDED})
    assert demos.update()
    assert not demos.update(), "nothing has changed"
    add_attempts(path, {2: FAILED, 3: SUCCEEDED})
    assert demos.update()
    assert not demos.is_finished
    assert list(demos.demos) == ["demo_0", "demo_1"]
    demo = demos.read("demo_1")
    assert demo.num_steps == 9
    assert demo.leaves["initial_state/x"].tolist() == [[3.0, 3.0]]
    assert demos.demos["demo_1"].actions == actions_digest(demo)


def test_demos_keep_their_names_and_digests_when_the_recording_ends_and_continues(path: Path) -> None:
    demos = RecordedDemos(path)
    add_attempts(path, {1: SUCCEEDED})
    demos.update()
    (before,) = demos.demos.values()
    path.with_name("raw.hdf5.sqlite").unlink()
    with h5py.File(path, "w") as file:
        file.create_dataset("data/demo_0/actions", data=rows(1)["after/torch.float32"])
        file["data/demo_0"].attrs["trial"] = 1
    assert demos.update()
    assert demos.is_finished
    assert demos.demos["demo_0"].actions == before.actions
    add_attempts(path, {1: FAILED})  # The store of a continued recording has the earlier outcomes, without episodes.
    store = RunStore(path.with_name("raw.hdf5.sqlite"))
    store.add(1, SUCCEEDED, 9)
    store.commit()
    store.close()
    add_attempts(path, {2: SUCCEEDED})
    demos.update()
    assert list(demos.demos) == ["demo_0", "demo_1"]
    assert demos.read("demo_0").leaves["actions"][0, 0] == 1.0
    assert demos.read("demo_1").leaves["actions"][0, 0] == 2.0


def test_continued_recording_that_was_killed_has_its_earlier_demos(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for index, trial in enumerate((1, 4)):
            file.create_dataset(f"data/demo_{index}/actions", data=rows(trial)["after/torch.float32"])
            file[f"data/demo_{index}"].attrs["trial"] = trial
    add_attempts(path, {})  # The continued session was killed before it began.
    assert [demo.trial for demo in read_kept_demos(path, ())] == [1, 4]
    store = RunStore(path.with_name("raw.hdf5.sqlite"))
    for trial in (1, 4):
        store.add(trial, SUCCEEDED, 9)
    store.set_facts(identity={"seed": 1})
    store.commit()
    store.close()
    add_attempts(path, {5: FAILED, 6: SUCCEEDED})
    assert [(demo.trial, demo.num_steps) for demo in read_kept_demos(path, ())] == [(1, 9), (4, 9), (6, 9)]


def test_recording_that_was_killed_while_it_replaced_a_file_has_only_its_own_demos(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for index in range(3):
            file.create_dataset(f"data/demo_{index}/actions", data=rows(90 + index)["after/torch.float32"])
            file[f"data/demo_{index}"].attrs["trial"] = index
    add_attempts(path, {0: FAILED, 1: SUCCEEDED})
    store = RunStore(path.with_name("raw.hdf5.sqlite"))
    store.set_facts(identity={"seed": 1})
    store.commit()
    store.close()
    assert [demo.trial for demo in read_kept_demos(path, ())] == [1]
    demos = RecordedDemos(path)
    demos.update()
    assert list(demos.demos) == ["demo_0"]
    assert demos.read("demo_0").leaves["actions"][0, 0] == 1.0


def test_demos_are_chosen_from_an_unfinished_recording_too(path: Path) -> None:
    add_attempts(path, {0: SUCCEEDED, 1: FAILED, 2: SUCCEEDED})
    demos = RecordedDemos(path, ["demo_1"])
    demos.update()
    assert list(demos.demos) == ["demo_1"]
    assert demos.read("demo_1").leaves["actions"][0, 0] == 2.0
    with pytest.raises(ConfigError, match=r"demos: 'demo_7' is neither a demo nor a mask of .*; choices: demo_0, demo_1"):
        RecordedDemos(path, ["demo_7"]).update()


def test_recording_that_replaces_a_file_lists_the_same_demos_for_recording_and_marking(path: Path) -> None:
    """Before the first attempt ends, neither may list demos that the recording replaces."""
    with h5py.File(path, "w") as file:
        file.create_dataset("data/demo_0/actions", data=rows(90)["after/torch.float32"])
    add_attempts(path, {0: FAILED})
    demos = RecordedDemos(path)
    demos.update()
    assert not demos.demos and not read_kept_demos(path, ())


def test_kept_demos_state_where_objects_start(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name in ("demo_0", "demo_1"):
            file.create_dataset(f"data/{name}/actions", data=rows(1)["after/torch.float32"])
        pose = np.array([[0.123412, -0.5, 0.1, 0, 0, 0, 1]], np.float32)
        file["data/demo_0/initial_state/rigid_object/cup/root_pose"] = pose
        del file["data/demo_1/actions"]
    (kept,) = read_kept_demos(path, ("cup", "plate"))
    assert (kept.num_steps, kept.start) == (9, {"cup": [0.1234, -0.5]})


def test_demo_with_an_attribute_or_a_start_of_another_program_is_listed_without_it(path: Path) -> None:
    """The demo can be marked: neither is needed for this."""
    starts = {"cup": [0.1, 0.2], "plate": [[np.nan] * 7]}
    with h5py.File(path, "w") as file:
        demo = file.create_group("data/demo_0")
        demo["actions"] = rows(1)["after/torch.float32"]
        demo.attrs["trial"] = "first"
        for name, pose in starts.items():
            demo[f"initial_state/rigid_object/{name}/root_pose"] = np.array(pose)
    (kept,) = read_kept_demos(path, tuple(starts))
    assert (kept.trial, kept.num_steps, kept.start) == (0, 9, {})
