"""Policies of LeRobot: `lerobot-train` trains on an export, and `mimic evaluate policy=lerobot` runs its checkpoint."""

# N envs, T steps of one demo

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.config import EvaluateCfg
from isaaclab_mimic_ext.config.compose import load_config
from isaaclab_mimic_ext.datasets.convert.lerobot import export_lerobot
from isaaclab_mimic_ext.datasets.convert.lerobot_features import LeRobotOptions
from isaaclab_mimic_ext.datasets.split import split_dataset
from isaaclab_mimic_ext.errors import ConfigError, OutputError
from isaaclab_mimic_ext.learn import training_by_lerobot
from isaaclab_mimic_ext.learn.policies import BUILT_IN, PolicyRequest
from isaaclab_mimic_ext.rng import Domain, Draws
from isaaclab_mimic_ext.run.generate import generate_run
from tests import requires
from tests.jobs import command
from tests.kinematic_sources import generate_cfg
from tests.processes import HANG_S

pytestmark = [pytest.mark.lerobot, pytest.mark.slow]
requires.module("lerobot", "lerobot")

CHUNK, EXECUTED = 6, 3
TRAIN = (
    "--dataset.repo_id=local/data", "--policy.device=cpu", "--policy.push_to_hub=false", "--wandb.enable=false",
    "--batch_size=4", "--num_workers=0", "--steps=2", "--save_freq=2", "--log_freq=1", "--seed=1",
)  # fmt: skip
ACT = (
    "--policy.type=act", f"--policy.chunk_size={CHUNK}", f"--policy.n_action_steps={EXECUTED}", "--policy.dim_model=32",
    "--policy.n_heads=2", "--policy.dim_feedforward=32", "--policy.n_encoder_layers=1", "--policy.use_vae=false",
    "--policy.pretrained_backbone_weights=null",
)  # fmt: skip
DIFFUSION = ("--policy.type=diffusion", "--policy.down_dims=[32,64]", "--policy.num_train_timesteps=4", "--policy.horizon=8")


@pytest.fixture(scope="module")
def generated(kinematic_source, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("generated") / "run"
    generate_run(generate_cfg(kinematic_source, folder, "datagen_config.generation_num_trials=2", "num_envs=2"))
    return folder / "demo.hdf5"


@pytest.fixture(scope="module")
def data(generated, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lerobot") / "data"
    export_lerobot(generated, folder, LeRobotOptions())
    return folder


def train(data: Path, output: Path, *arguments: str) -> Path:
    """Run `lerobot-train` for two steps, and return its checkpoint."""
    program = [sys.executable, "-m", "lerobot.scripts.lerobot_train", f"--dataset.root={data}", f"--output_dir={output}"]
    ended = subprocess.run([*program, *TRAIN, *arguments], capture_output=True, text=True, timeout=HANG_S, cwd=output.parent)
    assert ended.returncode == 0, ended.stderr[-2000:]
    return output / "checkpoints" / "last" / "pretrained_model"


@pytest.fixture(scope="module")
def act(data, tmp_path_factory) -> Path:
    return train(data, tmp_path_factory.mktemp("training") / "act", *ACT)


def observations(generated: Path, steps: list[int]) -> dict[str, torch.Tensor]:
    """Observations of the first demo at N steps, term -> (N, ...)."""
    with h5py.File(generated) as file:
        return {name: torch.from_numpy(leaf[()][steps]) for name, leaf in file["data/demo_0/obs"].items()}


def request(checkpoint: Path, seen: dict[str, torch.Tensor], **replaced: int) -> PolicyRequest:
    shapes = {name: tuple(values.shape[1:]) for name, values in seen.items()}
    num_envs = len(seen["eef_pos"])
    return PolicyRequest(checkpoint, "desktop_organizer", num_envs, 7, shapes, 0.05, torch.device("cpu"), seed=1, **replaced)


def test_first_action_is_the_one_that_lerobot_computes_from_its_own_dataset(generated, data, act):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors

    steps = [0, 7, 40]
    seen = observations(generated, steps)
    found = BUILT_IN["lerobot"](request(act, seen)).act(seen)
    frames, policy = LeRobotDataset("local/data", root=data), ACTPolicy.from_pretrained(act)
    preprocess, postprocess = make_pre_post_processors(policy.config, str(act))
    for row, step in enumerate(steps):
        policy.reset()
        batch = preprocess({name: value for name, value in frames[step].items() if name.startswith("observation.")})
        expected = postprocess(policy.select_action(batch))
        assert torch.allclose(found[row], expected[0], atol=1e-5), step


def test_each_env_executes_its_own_chunk(generated, act):
    seen = observations(generated, [0, 0, 30])
    policy = BUILT_IN["lerobot"](request(act, seen))
    first = [policy.act(seen).clone() for _ in range(2)]
    assert not torch.allclose(first[0], first[1], atol=1e-3) and torch.allclose(first[0][0], first[0][1], atol=1e-6)
    assert not policy.due_envs().any(), "no env needs pictures in the middle of its chunk"
    policy.reset(torch.tensor([1]))
    assert policy.due_envs().tolist() == [False, True, False]
    third, fourth = policy.act(seen).clone(), policy.act(seen).clone()
    assert torch.allclose(third[1], first[0][0], atol=1e-6), "a new episode begins a new chunk"
    assert torch.allclose(fourth[0], first[0][0], atol=1e-6), f"a new chunk begins after {EXECUTED} steps"
    assert torch.allclose(fourth[1], first[1][0], atol=1e-6) and not torch.allclose(third[0], first[0][0], atol=1e-6)


def test_objects_that_were_not_normalized_are_warned_of(generated, data, act, tmp_path, caplog):
    seen = observations(generated, [0])
    BUILT_IN["lerobot"](request(act, seen))
    assert "observation.environment_state was not normalized in the training, which costs success" in caplog.text
    caplog.clear()
    kinds = dict.fromkeys(("STATE", "ENV", "ACTION"), "MEAN_STD")
    checkpoint = train(data, tmp_path / "normalized", *ACT, f"--policy.normalization_mapping={json.dumps(kinds)}")
    BUILT_IN["lerobot"](request(checkpoint, seen))
    assert "was not normalized" not in caplog.text


def test_number_of_executed_actions_can_be_set(generated, act):
    seen = observations(generated, [0])
    policy = BUILT_IN["lerobot"](request(act, seen, n_action_steps=1))
    assert torch.equal(policy.act(seen), policy.act(seen))
    with pytest.raises(ConfigError, match=rf"n_action_steps: must be <= {CHUNK}, the length of a chunk \(got 7\)"):
        BUILT_IN["lerobot"](request(act, seen, n_action_steps=7)).act(seen)


def test_policy_with_a_history_repeats_the_first_observation_of_an_episode(generated, data, tmp_path):
    checkpoint = train(data, tmp_path / "diffusion", *DIFFUSION)
    seen, later = observations(generated, [0, 20]), observations(generated, [1, 21])
    policy = BUILT_IN["lerobot"](request(checkpoint, seen, n_action_steps=1))
    assert policy.act(seen).shape == (2, 7)
    policy.reset(torch.tensor([1]))
    assert policy.act(later).isfinite().all()
    (state, *_) = (values for name, values in policy._history.items() if name == "observation.state")
    assert not torch.equal(state[0, 0], state[0, 1]) and torch.equal(state[1, 0], state[1, 1])


def test_train_command_trains_act_that_evaluate_runs(kinematic_source, generated, tmp_path, monkeypatch):
    monkeypatch.setattr(training_by_lerobot, "STEPS_PER_EPOCH", 2)
    split_dataset(generated, 0.5, seed=1)
    small = ("dim_model=32", "n_heads=2", "dim_feedforward=32", "n_encoder_layers=1", "batch_size=4", f"chunk_size={CHUNK}")
    words = ["task=desktop_organizer", "sim=kinematic", "algo=act", f"input_file={generated}", "epochs=1", "device=cpu"]
    places = [f"output_dir={tmp_path}/policy", *(f"+agent.{each}" for each in (*small, f"n_action_steps={EXECUTED}"))]
    command("train", load_config("train", [*words, *places]))
    checkpoint = tmp_path / "policy/training/checkpoints/last/pretrained_model"
    config = json.loads((checkpoint / "config.json").read_text())
    assert (config["chunk_size"], config["dim_model"], config["use_vae"]) == (CHUNK, 32, False)
    with h5py.File(generated) as file:
        obs = next(iter(file["data"].values()))["obs"]
        width = sum(obs[key].shape[1] for key in ("ketchup_from_eef", "basket_from_ketchup"))
    assert config["input_features"]["observation.environment_state"]["shape"] == [width], "as the task's agent bc"
    assert config["normalization_mapping"]["ENV"] == "MEAN_STD"
    seen = observations(generated, [0, 5])
    assert BUILT_IN["lerobot"](request(checkpoint, seen)).act(seen).isfinite().all()
    with pytest.raises(OutputError, match="already contains a training run"):
        command("train", load_config("train", [*words, *places]))
    with pytest.raises(
        ConfigError, match=r"agent\.chunk_sise: is not a setting of lerobot's ACT .*did you mean 'chunk_size'"
    ):
        command("train", load_config("train", [*words, f"output_dir={tmp_path}/other", "+agent.chunk_sise=4"]))
    for keys, message in (
        ("ketchup_quat", r"agent\.environment_keys: must be a list of observations"),
        ("[ketchup_qua]", r"environment_keys: 'ketchup_qua' is not a low-dimensional observation .*'ketchup_quat'"),
    ):
        with pytest.raises(ConfigError, match=message):
            command(
                "train", load_config("train", [*words, f"output_dir={tmp_path}/other", f"+agent.environment_keys={keys}"])
            )


def test_lerobots_own_evaluation_runs_on_the_vector_env(act, monkeypatch):
    from lerobot.envs.configs import PushtEnv
    from lerobot.envs.factory import make_env_pre_post_processors
    from lerobot.policies.act.modeling_act import ACTPolicy
    from lerobot.policies.factory import make_pre_post_processors
    from lerobot.scripts.lerobot_eval import eval_policy

    env = mimic.make_env(mimic.load_task("desktop_organizer"), engine="kinematic", num_envs=2)
    envs = mimic.VectorEnv(env, layout="lerobot", autoreset_mode="SameStep", horizon=5)
    executed = []
    step = envs.step
    monkeypatch.setattr(envs, "step", lambda actions: executed.append(actions) or step(actions))
    policy = ACTPolicy.from_pretrained(act)
    normalization = make_pre_post_processors(policy.config, str(act))
    result = eval_policy(
        envs, policy, *make_env_pre_post_processors(PushtEnv(), policy.config), *normalization, n_episodes=4, start_seed=6
    )
    assert [each["seed"] for each in result["per_episode"]] == [6, 7, 8, 9] and len(executed) == 10
    every_env = torch.arange(2)
    env.reset(every_env, Draws(1, torch.tensor([6, 7]), Domain.EVALUATION))
    seen = env.observations()
    expected = BUILT_IN["lerobot"](request(act, seen)).act(seen)
    assert np.allclose(executed[0], expected, atol=1e-5)
    envs.close()


def test_evaluate_runs_the_checkpoint(kinematic_source, act, tmp_path):
    task = generate_cfg(kinematic_source, tmp_path / "unused")
    cfg = EvaluateCfg(
        task=task.task, sim=task.sim, events=task.events, policy="lerobot",
        checkpoint=str(act.parents[2]), num_envs=2, num_episodes=3, horizon=8, video=False, progress=False,
        output_dir=str(tmp_path / "evaluation"), input_file=str(kinematic_source),
    )  # fmt: skip
    command("evaluate", cfg)
    report = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert report["complete"] and report["policy"] == "lerobot"
    assert [(each["name"], len(each["episodes"])) for each in report["checkpoints"]] == [("step_000002", 3)]
