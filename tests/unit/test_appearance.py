"""Random looks of scenes: what they change, and that they depend only on (seed, number, copy)."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from isaaclab_mimic_ext.datasets.demo_pictures import names_of_copies
from isaaclab_mimic_ext.envs.appearance import Looks, check_kinds, demo_look, look_numbers
from isaaclab_mimic_ext.envs.cameras import merged_cameras
from isaaclab_mimic_ext.envs.mujoco_model import build_model
from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.rng import Domain
from isaaclab_mimic_ext.task.cameras import KINDS_OF_LOOKS
from isaaclab_mimic_ext.task.definition import load_task
from tests import requires

requires.module("mujoco", "mujoco")
TASK = load_task("desktop_organizer")
ARRAYS = ("light_diffuse", "light_pos", "mat_rgba", "geom_rgba", "cam_pos", "cam_quat", "cam_fovy", "tex_data")
CHANGED = {
    "light": {"light_diffuse", "light_pos"},
    "color": {"light_diffuse"},
    "table": {"mat_rgba", "tex_data"},
    "arm": {"geom_rgba"},
    "objects": {"geom_rgba"},
    "camera": {"cam_pos", "cam_quat", "cam_fovy"},
}


@pytest.fixture(scope="module")
def model() -> Any:
    return build_model(TASK, merged_cameras(TASK, {}), has_looks=True)


def arrays(model: Any) -> dict[str, np.ndarray]:
    return {name: getattr(model, name).copy() for name in ARRAYS}


def look(model: Any, kinds: tuple[str, ...], number: int, seed: int = 1, copy: int = 1) -> dict[str, np.ndarray]:
    """Arrays of a model in a look; the model gets its own look back."""
    looks = Looks(model, TASK, kinds)
    looks.apply(look_numbers(seed, torch.tensor([number]), Domain.GENERATION, copy)[0])
    found = arrays(model)
    looks.restore()
    return found


@pytest.mark.parametrize("kind", KINDS_OF_LOOKS)
def test_kind_of_look_changes_its_part_of_the_scene_and_nothing_else(model: Any, kind: str) -> None:
    before, found = arrays(model), look(model, (kind,), number=3)
    assert {name for name in ARRAYS if not np.array_equal(before[name], found[name])} == CHANGED[kind]
    after = arrays(model)
    assert all(np.array_equal(before[name], after[name]) for name in ARRAYS)


def test_look_depends_on_seed_number_and_copy_but_not_on_earlier_looks(model: Any) -> None:
    first = look(model, KINDS_OF_LOOKS, number=3)
    others = [
        look(model, KINDS_OF_LOOKS, number=4),
        look(model, KINDS_OF_LOOKS, number=3, seed=2),
        look(model, KINDS_OF_LOOKS, number=3, copy=2),
    ]
    again = look(model, KINDS_OF_LOOKS, number=3)
    assert all(np.array_equal(first[name], again[name]) for name in ARRAYS)
    for other in others:
        assert not np.array_equal(first["mat_rgba"], other["mat_rgba"])


def test_kind_looks_the_same_with_and_without_the_others(model: Any) -> None:
    alone, together = look(model, ("arm",), number=3), look(model, ("light", "arm", "camera"), number=3)
    assert np.array_equal(alone["geom_rgba"], together["geom_rgba"])


def test_cameras_move_by_at_most_four_centimetres(model: Any) -> None:
    before = arrays(model)
    moved = [look(model, ("camera",), number)["cam_pos"] - before["cam_pos"] for number in range(20)]
    largest = np.abs(moved).max((0, 2))
    is_fixed = model.cam_bodyid == 0
    assert largest[is_fixed].max() <= 0.04
    assert largest[~is_fixed].max() <= 0.01
    assert largest.min() > 0.005


def test_all_stands_for_every_kind_and_unknown_kinds_are_refused() -> None:
    assert check_kinds(["all"], "appearance") == KINDS_OF_LOOKS
    assert check_kinds(["table", "light"], "appearance") == ("light", "table")
    with pytest.raises(ConfigError, match=r"appearance: 'lights' is not a kind of .*did you mean 'light'"):
        check_kinds(["lights"], "appearance")


def test_copies_have_numbers_that_no_other_demo_has() -> None:
    assert names_of_copies(["demo_3", "demo_12"], 2, ["demo_3", "demo_12", "demo_7"]) == {
        "demo_3": ["demo_103", "demo_203"],
        "demo_12": ["demo_112", "demo_212"],
    }
    assert names_of_copies(["demo_3"], 1, ["demo_3", "demo_103"]) == {"demo_3": ["demo_1003"]}


def test_copies_of_two_demos_have_different_looks() -> None:
    assert np.array_equal(demo_look(1, "demo_3", 1), demo_look(1, "demo_3", 1))
    assert not np.array_equal(demo_look(1, "demo_3", 1), demo_look(1, "demo_4", 1))


@pytest.mark.slow
def test_copies_are_drawn_in_other_looks_with_any_number_of_workers(tmp_path: Path) -> None:
    import h5py

    from isaaclab_mimic_ext.datasets.render import RenderOptions, render_dataset
    from isaaclab_mimic_ext.datasets.split import split_dataset
    from isaaclab_mimic_ext.errors import SimulatorUnavailable
    from tests.builders import make_source_file

    path = make_source_file(tmp_path / "demo.hdf5", num_demos=3)
    split_dataset(path, 0.5, seed=1)
    options = RenderOptions(size=(24, 32), copies=1)
    with requires.available("opengl", SimulatorUnavailable):
        done = render_dataset(path, tmp_path / "one.hdf5", options, num_workers=1)
    render_dataset(path, tmp_path / "two.hdf5", options, num_workers=2)
    assert done.num_demos == 6
    assert (tmp_path / "one.hdf5").read_bytes() == (tmp_path / "two.hdf5").read_bytes()
    with h5py.File(tmp_path / "one.hdf5") as file, h5py.File(path) as plain:
        names = [name.decode() for mask in file["mask"].values() for name in mask]
        assert sorted(names) == sorted(file["data"])
        for mask in ("train", "valid"):
            assert {name for name in file["mask"][mask][()] if int(name[5:]) < 10} == {*plain["mask"][mask][()]}
        demo, copy = file["data/demo_0"], file["data/demo_10"]
        assert copy.attrs["copy_of"] == "demo_0"
        assert np.array_equal(demo["actions"], copy["actions"])
        assert np.abs(demo["obs/agentview"][()].astype(int) - copy["obs/agentview"][()]).mean() > 10
