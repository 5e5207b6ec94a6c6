"""Parts of a training outside of robomimic: datasets, batches, normalization, agents, checkpoints, folders."""

# R rows of all demos, B sequences per batch, T steps per sequence

import pickle
import re
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isaaclab_mimic_ext.errors import ConfigError, OutputError, RecorderError, SourceDataError
from isaaclab_mimic_ext.learn import agents, data
from isaaclab_mimic_ext.learn.checkpoint import (
    Affine,
    action_scale,
    action_stats,
    load_checkpoint,
    observation_scale,
    observation_stats,
    read_action_stats,
    read_observation_stats,
    save_checkpoint,
)
from isaaclab_mimic_ext.learn.task_shapes import check_shapes
from isaaclab_mimic_ext.learn.trainer import Metrics, read_metrics
from isaaclab_mimic_ext.learn.training_folder import TrainFolder, check_same_run
from tests.left_out import left_out
from tests.train_files import make_train_file

TASKS = ("desktop_organizer", "stack_cube", "two_arm_lift_tray")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return make_train_file(tmp_path / "demo.hdf5")


def ramp_demos(lengths: list[int]) -> data.Demos:
    """Demos whose observation and action are the number of the row, so that values show the row that they are from."""
    rows = torch.arange(sum(lengths), dtype=torch.float32)[:, None]
    each = torch.tensor(lengths)
    last = each.cumsum(0) - 1
    return data.Demos(
        {"row": rows}, rows, (last - each + 1).repeat_interleave(each), last.repeat_interleave(each)
    )  # fmt: skip


def test_a_dataset_without_masks_is_refused_with_the_command_that_splits_it(dataset):
    with h5py.File(dataset, "r+") as file:
        del file["mask"]
    with pytest.raises(SourceDataError, match=rf"{dataset}: mask/train not found; .*mimic split input_file={dataset}"):
        data.read_facts(dataset)


@pytest.mark.parametrize(("names", "words"), [([], "is empty"), (["demo_0", "demo_99"], "names 'demo_99'")])
def test_a_mask_that_is_empty_or_names_an_unknown_demo_is_refused(dataset, names, words):
    with h5py.File(dataset, "r+") as file:
        del file["mask/valid"]
        file["mask/valid"] = np.array(names, dtype="S8")
    with pytest.raises(SourceDataError, match=f"mask/valid {words}.*split the dataset"):
        data.read_facts(dataset)


def test_missing_observations_are_refused_with_the_lists_of_the_agent_and_the_dataset(dataset):
    facts = data.read_facts(dataset)
    with pytest.raises(ConfigError) as error:
        data.check_keys(facts, ["eef_pos", "object_position"], "algo: bc")
    assert "object_position are not in" in str(error.value)
    assert "the agent uses: eef_pos, object_position" in str(error.value)
    assert "the dataset has: " in str(error.value) and "ketchup_from_eef" in str(error.value)


def test_the_last_action_is_refused_as_an_observation(dataset):
    with pytest.raises(ConfigError, match="observations must not contain 'actions'"):
        data.check_keys(data.read_facts(dataset), ["eef_pos", "actions"], "algo: bc")


def test_a_dataset_of_a_different_task_is_refused(dataset):
    with pytest.raises(SourceDataError, match="was recorded for task 'desktop_organizer', not 'stack_cube'"):
        data.check_task(data.read_facts(dataset), "stack_cube")


def change_observation(path: Path, key: str, change) -> None:
    with h5py.File(path, "r+") as file:
        for demo in file["data"].values():
            values = change(demo["obs"].pop(key)[()]) if key in demo["obs"] else change(demo["actions"][()])
            demo["obs"][key] = values


def with_engine(path: Path) -> data.DatasetFacts:
    facts = data.read_facts(path)
    return replace(facts, env_args={**facts.env_args, "engine": "mujoco"})


def test_observations_with_an_additional_axis_are_refused_with_their_shape(dataset):
    change_observation(dataset, "eef_pos", lambda values: values[:, None])
    with pytest.raises(SourceDataError, match=r"'obs/eef_pos' must have shape \(T, D\) \(got \(T, 1, 3\)\); reshape it"):
        check_shapes(data.read_facts(dataset), ["eef_pos"], "desktop_organizer")


def test_observations_of_a_different_width_than_in_the_env_are_refused(dataset):
    check_shapes(with_engine(dataset), ["eef_pos", "eef_quat"], "desktop_organizer")
    change_observation(dataset, "eef_pos", lambda values: values[:, :2])
    words = r"'obs/eef_pos' must have shape \(T, 3\) as in the env of task 'desktop_organizer' \(got \(T, 2\)\)"
    with pytest.raises(SourceDataError, match=words):
        check_shapes(with_engine(dataset), ["eef_pos"], "desktop_organizer")


def test_actions_of_a_different_width_than_in_the_env_are_refused(dataset):
    facts = replace(with_engine(dataset), action_dim=14)
    with pytest.raises(SourceDataError, match=r"'actions' must have shape \(T, 7\) as in the env"):
        check_shapes(facts, ["eef_pos"], "desktop_organizer")


def test_observations_that_the_env_does_not_have_are_named_before_training(dataset, caplog):
    change_observation(dataset, "force", lambda values: values[:, :2])
    check_shapes(with_engine(dataset), ["eef_pos", "force"], "desktop_organizer")
    assert "does not have the observations force; `mimic evaluate` cannot run" in caplog.text


def test_observations_that_the_default_agent_leaves_out_are_named():
    shapes = {"eef_pos": (3,), "image": (8, 8, 3), "stack": (1, 3)}
    assert agents.not_vectors(shapes) == ["obs/image (T, 8, 8, 3)", "obs/stack (T, 1, 3)"]


def read_without_demo_1(dataset, caplog):
    """Read demos of which `demo_1` is faulty, and return the warning; a file without good demos is refused."""
    demos, message = left_out(lambda: data.read_demos(dataset, ["demo_0", "demo_1"], ["eef_pos"]), caplog)
    with h5py.File(dataset) as file:
        assert len(demos) == len(file["data/demo_0/actions"])
    assert "demo_1 is left out" in message
    return message


def test_a_demo_with_non_finite_values_is_left_out_with_its_name(dataset, caplog):
    with h5py.File(dataset, "r+") as file:
        file["data/demo_1/obs/eef_pos"][7, 2] = np.nan
    assert "'eef_pos': must be finite (step 7 is not)" in read_without_demo_1(dataset, caplog)
    with pytest.raises(SourceDataError, match=r"demo_1: 'eef_pos': must be finite \(step 7 is not\).*leave out"):
        data.read_demos(dataset, ["demo_1"], ["eef_pos"])


def test_a_demo_with_a_different_action_dimension_is_left_out_with_its_name(dataset, caplog):
    with h5py.File(dataset, "r+") as file:
        demo = file["data/demo_1"]
        actions = demo["actions"][()]
        del demo["actions"]
        demo["actions"] = actions[:, :6]
    message = read_without_demo_1(dataset, caplog)
    assert re.search(r"'actions': rows must have shape \(7,\) .* \(got \(6,\)\)", message)


def test_training_and_validation_demos_are_read_from_the_masks(dataset):
    facts = data.read_facts(dataset)
    with h5py.File(dataset) as file:
        for mask in data.MASKS:
            expected = np.concatenate([file[f"data/{name}/obs/eef_pos"][()] for name in facts.masks[mask]])
            found = data.read_demos(facts.path, facts.masks[mask], ["eef_pos"])
            np.testing.assert_array_equal(found.obs["eef_pos"].numpy(), expected)
    assert not set(facts.masks["train"]) & set(facts.masks["valid"])


def test_quaternions_of_a_file_for_isaac_lab_2_are_read_in_the_order_of_the_envs(dataset, tmp_path):
    old = tmp_path / "format_0.hdf5"
    shutil.copy(dataset, old)
    with h5py.File(dataset, "r+") as file, h5py.File(old, "r+") as other:
        file.attrs["format_version"] = 1
        other.attrs.pop("format_version", None)
        for demo in other["data"].values():
            demo["obs/eef_quat"][...] = np.roll(demo["obs/eef_quat"][()], 1, axis=-1)
    names = data.read_facts(dataset).masks["train"]
    expected, found = (data.read_demos(path, names, ["eef_quat", "eef_pos"]) for path in (dataset, old))
    assert torch.equal(found.obs["eef_quat"], expected.obs["eef_quat"])
    assert torch.equal(found.obs["eef_pos"], expected.obs["eef_pos"])


@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    seq_length=st.integers(1, 12),
    frame_stack=st.integers(1, 4),
)
def test_sequences_never_leave_their_demo_and_repeat_its_ends(lengths, seq_length, frame_stack):
    demos = ramp_demos(lengths)
    batches = data.Batches(demos, 4, seq_length, frame_stack)
    for batch in batches.draw(5, seed=3):
        rows = batch["obs"]["row"][..., 0].long()
        assert rows.shape == (4, frame_stack - 1 + seq_length)
        drawn = rows[:, frame_stack - 1]
        for column in range(rows.shape[1]):
            wanted = (drawn + column - frame_stack + 1).clamp(demos.first[drawn], demos.last[drawn])
            assert torch.equal(rows[:, column], wanted)
        assert torch.equal(batch["actions"], batch["obs"]["row"])


def test_every_row_is_drawn_once_before_any_row_is_drawn_again():
    batches = data.Batches(ramp_demos([5, 7, 8]), batch_size=4)
    seen = torch.cat([batch["actions"].flatten() for batch in batches.draw(5, seed=1)])
    assert torch.equal(seen.sort().values, torch.arange(20.0))


def test_the_order_of_batches_depends_on_the_seed():
    batches = data.Batches(ramp_demos([30]), batch_size=5)
    first, again, other = (torch.cat([each["actions"] for each in batches.draw(6, seed)]) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_epoch_may_be_longer_than_the_data():
    assert len(list(data.Batches(ramp_demos([3]), batch_size=8).draw(10, seed=0))) == 10


@given(st.integers(0, 2**16))
@settings(deadline=None, max_examples=20)
def test_normalized_actions_are_within_the_range_of_tanh_and_can_be_unnormalized(seed):
    actions = np.random.default_rng(seed).normal(0.3, 2.0, (50, 4)).astype(np.float32)
    actions[:, 2] = 0.7  # A constant entry.
    scale = action_scale(actions, "min_max")
    normalized = scale.normalize(torch.from_numpy(actions))
    assert normalized.abs().max() <= 1.0
    assert torch.allclose(normalized.abs().max(0).values[[0, 1, 3]], torch.ones(3), atol=1e-3)
    assert torch.equal(normalized[:, 2], torch.zeros(50))
    assert torch.allclose(scale.unnormalize(normalized), torch.from_numpy(actions), atol=1e-5)


def test_actions_are_unchanged_without_normalization():
    actions = np.array([[0.5, -3.0], [2.0, 1.0]], dtype=np.float32)
    assert torch.equal(action_scale(actions, "none").normalize(torch.from_numpy(actions)), torch.from_numpy(actions))


def test_normalization_is_the_same_after_conversion_to_a_checkpoint_and_back():
    rows = np.random.default_rng(0).normal(2.0, 3.0, (40, 3)).astype(np.float32)
    scale = observation_scale(rows)
    normalized = scale.normalize(torch.from_numpy(rows))
    assert torch.allclose(normalized.mean(0), torch.zeros(3), atol=1e-5)
    assert torch.allclose(normalized.std(0, correction=0), torch.ones(3), atol=1e-2)
    again = read_observation_stats(observation_stats({"eef_pos": scale}))["eef_pos"]
    assert torch.equal(again.scale, scale.scale) and torch.equal(again.offset, scale.offset)
    actions = Affine(torch.tensor([2.0, 3.0]), torch.tensor([0.1, 0.2]))
    again = read_action_stats(action_stats(actions))
    assert torch.equal(again.scale, actions.scale) and torch.equal(again.offset, actions.offset)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("algo", ["bc", "bc_rnn"])
def test_every_task_has_agents_and_no_agent_observes_the_last_action(task, algo):
    agent = agents.load_agent(task, algo)
    assert "actions" not in agents.low_dim_keys(agent, algo)
    assert agent["experiment"]["epoch_every_n_steps"] == 100
    assert agent["train"]["batch_size"] == 100
    if algo == "bc":
        assert agent["algo"]["actor_layer_dims"] == [1024, 1024]
        assert agent["algo"]["optim_params"]["policy"]["learning_rate"]["initial"] == 1e-4


def test_an_unknown_algo_is_refused_with_the_choices():
    with pytest.raises(ConfigError, match=r"no agent 'bc_rn'.*choices: bc, bc_chunk, bc_rnn \(did you mean 'bc_rnn'\?\)"):
        agents.load_agent("desktop_organizer", "bc_rn")


@pytest.mark.parametrize(("text", "words"), [("{", "is not valid JSON"), ("{}", "has no 'algo_name'")])
def test_an_invalid_agent_file_is_refused_with_its_path(tmp_path, text, words):
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"{path} {words}"):
        agents.load_agent("desktop_organizer", str(path))


def test_images_are_refused():
    agent = {"observation": {"modalities": {"obs": {"low_dim": ["eef_pos"], "rgb": ["front"]}}}}
    with pytest.raises(ConfigError, match="'front' is an image"):
        agents.low_dim_keys(agent, "bc")


def test_overrides_of_settings_apply_at_any_depth_to_a_copy():
    agent = {"train": {"batch_size": 100, "seed": 1}, "algo_name": "bc"}
    assert agents.override_settings(agent, {"train": {"seed": 2}}) == {
        "train": {"batch_size": 100, "seed": 2},
        "algo_name": "bc",
    }
    assert agent["train"]["seed"] == 1


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut off"])
def test_a_damaged_checkpoint_is_refused_with_its_path(tmp_path, content):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(SourceDataError, match=f"checkpoint: {path} (cannot be read|is not a file of torch.save)"):
        load_checkpoint(path)


def test_a_file_without_the_entries_of_a_checkpoint_is_refused(tmp_path):
    torch.save({"weights": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(SourceDataError, match=r"is not a robomimic checkpoint \(it has no 'model'\)"):
        load_checkpoint(tmp_path / "other.pth")
    with pytest.raises(SourceDataError, match=r"missing.pth not found"):
        load_checkpoint(tmp_path / "missing.pth")


def test_a_checkpoint_of_a_newer_format_is_refused(tmp_path):
    content = {"model": {}, "config": "{}", "algo_name": "bc", "env_metadata": {}}
    content["shape_metadata"] = {"ac_dim": 7, "all_shapes": {"eef_pos": [3]}}
    save_checkpoint(tmp_path / "new.pth", content, {"task": "mine"})
    assert load_checkpoint(tmp_path / "new.pth").task_name == "mine"
    torch.save({**content, "isaaclab_mimic_ext": {"format_version": 99}}, tmp_path / "new.pth")
    with pytest.raises(SourceDataError, match=r"format_version must be <= 1 \(got 99\)"):
        load_checkpoint(tmp_path / "new.pth")


def small_checkpoint(**changes) -> dict:
    shapes = {"ac_dim": 2, "all_shapes": {"eef_pos": [3]}}
    parts = {"model": {}, "config": "{}", "algo_name": "bc", "env_metadata": {"env_name": "mine"}, "shape_metadata": shapes}
    scale = {"actions": {"scale": [[1.0, 2.0]], "offset": [[0.0, 0.0]]}}
    return {**parts, "action_normalization_stats": scale, "isaaclab_mimic_ext": {}, **changes}


DAMAGE = [
    {"shape_metadata": {}},
    {"shape_metadata": 3},
    {"shape_metadata": {"ac_dim": 2, "all_shapes": {"eef_pos": 3}}},
    {"env_metadata": None},
    {"config": {}},
    {"isaaclab_mimic_ext": 4},
    {"isaaclab_mimic_ext": {"format_version": "x"}},
    {"obs_normalization_stats": {"eef_pos": 3}},
    {"obs_normalization_stats": {"eef_pos": {"mean": [[1.0]], "std": [[1.0]]}}},
    {"obs_normalization_stats": {"other": {"mean": [[1.0]], "std": [[1.0]]}}},
    {"action_normalization_stats": {"x": 1}},
    {"action_normalization_stats": {"actions": {"scale": [[1.0]], "offset": [[1.0]]}}},
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_checkpoint_with_invalid_entries_is_refused_with_its_path(tmp_path, damage):
    path = tmp_path / "model.pth"
    torch.save(small_checkpoint(), path)
    assert load_checkpoint(path).task_name == "mine"
    torch.save(small_checkpoint(**damage), path)
    with pytest.raises(SourceDataError, match=f"checkpoint: {path}: contents are not valid"):
        load_checkpoint(path)


def test_a_pickle_is_refused_without_explaining_how_to_execute_its_code(tmp_path, recwarn):
    path = tmp_path / "model.pth"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(SourceDataError, match=f"checkpoint: {path} is not a file of torch.save") as error:
        load_checkpoint(path)
    assert "weights_only" not in str(error.value) and not recwarn


def test_normalization_saved_as_arrays_by_robomimic_is_read(tmp_path):
    stats = {"eef_pos": {"mean": np.array([[1.0, 2.0, 3.0]]), "std": np.full((1, 3), 0.5, dtype=np.float32)}}
    torch.save(small_checkpoint(obs_normalization_stats=stats), tmp_path / "model.pth")
    scale = load_checkpoint(tmp_path / "model.pth").obs_scales["eef_pos"]
    assert scale.offset.tolist() == [1.0, 2.0, 3.0] and scale.scale.tolist() == [0.5, 0.5, 0.5]


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for overwrite, resume in ((False, False), (False, True), (True, False)):
        with pytest.raises(OutputError, match=r"contains other files \(notes.txt\); use a new or an empty folder"):
            TrainFolder(tmp_path).check(overwrite, resume)
    TrainFolder(tmp_path / "new").check(overwrite=False, resume=True)


def test_resume_requires_last_pth_if_the_folder_has_other_checkpoints(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "log.txt").touch()
    TrainFolder(tmp_path).check(overwrite=False, resume=True)
    (tmp_path / "models" / "model_epoch_50.pth").touch()
    with pytest.raises(OutputError, match=r"contains a training run without models/last.pth, so it cannot be"):
        TrainFolder(tmp_path).check(overwrite=False, resume=True)


def test_curves_are_kept_when_a_row_cannot_be_written(tmp_path):
    with Metrics(tmp_path / "metrics.csv", tmp_path / "tb", 0) as metrics:
        metrics.add(1, {"train_loss": 0.5})
        (tmp_path / "metrics.csv.part").mkdir()
        with pytest.raises(RecorderError, match="cannot be written"):
            metrics.add(2, {"train_loss": 0.4})
    assert [row["epoch"] for row in read_metrics(tmp_path / "metrics.csv")] == ["1"]


def test_a_full_disk_is_reported_before_training(tmp_path):
    with pytest.raises(OutputError, match=r"need 1000000000000 MB, .* MB are free; free some space"):
        TrainFolder(tmp_path / "run").check_room(10**18)
    assert not (tmp_path / "run").exists()


def test_a_training_resumes_only_with_the_same_identity(tmp_path):
    check_same_run({"dataset": "a"}, {"dataset": "a"}, tmp_path)
    with pytest.raises(OutputError, match=r"different configuration \(dataset: 'a', now 'b'\)"):
        check_same_run({"dataset": "a"}, {"dataset": "b"}, tmp_path)


def test_a_changed_algorithm_is_named_before_the_settings_that_follow_from_it(tmp_path):
    started = {"action_key": "actions_clean", "agent.algo_name": "bc_chunk", "agent.x": 1}
    with pytest.raises(OutputError, match=r"\(agent.algo_name: 'bc_chunk', now 'bc'\)"):
        check_same_run(started, {"agent.algo_name": "bc", "agent.x": 2}, tmp_path)


def test_a_changed_seed_is_named_before_the_schedule_of_another_number_of_epochs(tmp_path):
    schedule = "agent.algo.optim_params.policy.learning_rate.epoch_schedule"
    with pytest.raises(OutputError, match=r"\(agent.train.seed: 1, now 8\)"):
        check_same_run({schedule: [2], "agent.train.seed": 1}, {schedule: [1], "agent.train.seed": 8}, tmp_path)


def test_a_demo_with_an_observation_of_texts_is_left_out(dataset, caplog):
    with h5py.File(dataset, "r+") as file:
        obs = file["data/demo_1/obs"]
        num_steps = len(obs["eef_pos"])
        del obs["eef_pos"]
        obs["eef_pos"] = np.array([b"a"] * num_steps)
    assert "dataset 'obs/eef_pos' must contain numbers" in read_without_demo_1(dataset, caplog)


def test_damage_that_is_met_while_a_demo_is_read_is_reported_with_the_file(dataset, monkeypatch):
    def read_damaged(*arguments, **options):
        raise RuntimeError("Unable to get group info (bad symbol table node signature)")

    monkeypatch.setattr(data, "read_demo", read_damaged)
    with pytest.raises(SourceDataError, match=r"the file is damaged or incomplete .*copy or create the file again"):
        data.read_demos(dataset, ["demo_0"], ["eef_pos"])


@pytest.mark.parametrize(
    ("train", "valid", "fault"),
    [
        (["demo_0", "demo_1"], ["demo_1", "demo_2"], "'demo_1' is in mask/train and in mask/valid"),
        (["demo_0", "demo_0"], ["demo_1"], "mask/train names 'demo_0' twice"),
        (["demo_0"], ["demo_2", "demo_2"], "mask/valid names 'demo_2' twice"),
    ],
)
def test_masks_that_validation_refuses_are_refused_before_training(dataset, train, valid, fault):
    with h5py.File(dataset, "r+") as file:
        for name, demos in (("train", train), ("valid", valid)):
            del file[f"mask/{name}"]
            file[f"mask/{name}"] = np.array(demos, dtype="S")
    with pytest.raises(SourceDataError, match=rf"{fault}.*split"):
        data.read_facts(dataset)


def test_actions_beyond_their_limits_are_not_trained_on(dataset, caplog):
    with h5py.File(dataset, "r+") as file:
        file["data/demo_1/actions"][4, 2] = 3.75

    def read():
        return data.read_demos(dataset, ["demo_0", "demo_1"], ["eef_pos"], has_limits=True)

    _, message = left_out(read, caplog)
    assert "demo_1 is left out: actions: must be within -1 and 1 (got 3.75 at step 4)" in message


def test_training_uses_the_chosen_demos_of_the_masks(dataset):
    every = data.read_facts(dataset).masks
    chosen = data.read_facts(dataset, [f"-{every['train'][0]}"]).masks
    assert chosen == {"train": every["train"][1:], "valid": every["valid"]}
    with pytest.raises(SourceDataError, match="mask/valid contains no demo that is chosen"):
        data.read_facts(dataset, ["train"])
