"""Training with robomimic; `make train-env` installs the requirements of these tests."""

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.errors import ConfigError, DependencyMissing, SourceDataError
from isaaclab_mimic_ext.learn.agents import load_agent, override_settings
from isaaclab_mimic_ext.learn.checkpoint import load_checkpoint
from isaaclab_mimic_ext.learn.policies import load_policy
from isaaclab_mimic_ext.learn.robomimic import Learner, build_config, require_robomimic
from tests import requires
from tests.forked_scripts import ROOT, message_of, run_script
from tests.processes import HANG_S, wait_until
from tests.train_files import make_train_file

pytestmark = pytest.mark.train

with requires.available("train", DependencyMissing):
    require_robomimic()

SMALL = {"bc": "agent.algo.actor_layer_dims=[32,32]", "bc_rnn": "agent.algo.rnn.hidden_dim=16"}
LINEAR = "agent.algo.optim_params.policy.learning_rate.scheduler_type=linear"
FAST = ("agent.experiment.epoch_every_n_steps=4", "agent.train.batch_size=16", "num_threads=1")


def command(dataset: Path, output: Path, *arguments: str, algo: str = "bc") -> list[str]:
    """Words that start a new process; `train` starts most of the runs faster."""
    return [sys.executable, str(ROOT / "scripts/train.py"), *overrides(dataset, output, *arguments, algo=algo)]


def overrides(dataset: Path, output: Path, *arguments: str, algo: str = "bc") -> list[str]:
    words = [f"input_file={dataset}", f"output_dir={output}", f"algo={algo}", *FAST]
    return [*words, *([SMALL[algo]] if algo in SMALL else []), *arguments]


def train(dataset: Path, output: Path, *arguments: str, algo: str = "bc") -> subprocess.CompletedProcess[str]:
    words = overrides(dataset, output, *arguments, algo=algo)
    return run_script("train", *words, cwd=output.parent, needs_robomimic=True)


def in_new_process(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=HANG_S)


def parameters(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of the model in a checkpoint, by path."""
    leaves = trees.flatten(load_checkpoint(path).content["model"])
    return {name: leaf for name, leaf in leaves.items() if isinstance(leaf, torch.Tensor)}


def have_equal_parameters(first: Path, second: Path) -> bool:
    one, other = parameters(first), parameters(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_train_file(tmp_path_factory.mktemp("data") / "demo.hdf5")


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("runs") / "bc"
    # A new process, so that the runs compared with this one are runs of different interpreters.
    done = in_new_process(command(dataset, output, "epochs=6", "save_every=2"))
    assert done.returncode == 0, done.stderr
    return output


def observations(shapes: dict[str, tuple[int, ...]], num_envs: int, steps: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [{key: torch.randn(num_envs, *shape, generator=generator) for key, shape in shapes.items()} for _ in range(steps)]


def test_a_training_writes_checkpoints_curves_and_its_configuration(trained):
    names = sorted(path.name for path in (trained / "models").iterdir())
    assert names == ["last.pth", "model_epoch_2.pth", "model_epoch_4.pth", "model_epoch_6.pth"]
    with (trained / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    assert json.loads((trained / "config.json").read_text())["algo_name"] == "bc"
    assert list((trained / "logs" / "tb").glob("events.out.tfevents.*"))


def test_the_checkpoint_contains_task_dataset_epoch_and_normalization(trained, dataset):
    checkpoint = load_checkpoint(trained / "models" / "model_epoch_6.pth")
    assert (checkpoint.task_name, checkpoint.action_dim, checkpoint.facts["epoch"]) == ("desktop_organizer", 7, 6)
    assert checkpoint.facts["dataset"] == str(dataset)
    assert "actions" not in checkpoint.obs_shapes
    assert set(checkpoint.obs_scales) == set(checkpoint.obs_shapes)


def test_normalization_is_computed_from_the_training_demos_only(trained, dataset):
    checkpoint = load_checkpoint(trained / "models" / "last.pth")
    with h5py.File(dataset) as file:
        names = [name.decode() for name in file["mask/train"][()]]
        eef_pos = np.concatenate([file[f"data/{name}/obs/eef_pos"][()] for name in names])
        actions = np.concatenate([file[f"data/{name}/actions"][()] for name in names])
    np.testing.assert_allclose(checkpoint.obs_scales["eef_pos"].offset.numpy(), eef_pos.mean(0), rtol=1e-5)
    scale = checkpoint.action_scale
    assert scale is not None
    largest = scale.unnormalize(torch.ones(7)).numpy()
    varies = np.ptp(actions, axis=0) > 1e-3
    np.testing.assert_allclose(largest[varies], actions.max(0)[varies], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("algo", ["bc", "bc_rnn"])
def test_a_batched_policy_returns_the_actions_of_robomimics_own_loader(dataset, tmp_path, algo):
    assert train(dataset, tmp_path / "run", "epochs=1", algo=algo).returncode == 0
    path = tmp_path / "run" / "models" / "last.pth"
    policy = load_policy(path)
    steps = observations(policy.obs_shapes, num_envs=3, steps=23)
    policy.reset(torch.arange(3))
    batched = torch.stack([policy.act(each) for each in steps])

    from robomimic.utils.file_utils import policy_from_checkpoint

    reference, _ = policy_from_checkpoint(ckpt_path=str(path), device=torch.device("cpu"))
    stats = load_checkpoint(path).action_scale
    assert stats is not None
    for env in range(3):
        reference.start_episode()
        outputs = np.stack([reference({key: value[env].numpy() for key, value in each.items()}) for each in steps])
        unnormalizes = hasattr(reference, "action_normalization_stats")  # robomimic >= 0.4
        expected = torch.from_numpy(outputs) if unnormalizes else stats.unnormalize(torch.from_numpy(outputs))
        torch.testing.assert_close(batched[:, env], expected, atol=1e-5, rtol=0)


def test_reset_clears_the_hidden_state_of_the_selected_envs_only(dataset, tmp_path):
    assert train(dataset, tmp_path / "run", "epochs=1", algo="bc_rnn").returncode == 0
    path = tmp_path / "run" / "models" / "last.pth"
    steps = observations(load_policy(path).obs_shapes, num_envs=2, steps=9)

    def actions(reset_at: int | None) -> torch.Tensor:
        policy = load_policy(path)
        policy.reset(torch.arange(2))
        result = []
        for number, each in enumerate(steps):
            if number == reset_at:
                policy.reset(torch.tensor([1]))
            result.append(policy.act(each))
        return torch.stack(result)

    kept, reset = actions(None), actions(4)
    assert torch.equal(kept[:, 0], reset[:, 0])
    assert not torch.allclose(kept[4:, 1], reset[4:, 1])
    fresh = load_policy(path)
    fresh.reset(torch.arange(2))
    torch.testing.assert_close(torch.stack([fresh.act(each)[1] for each in steps[4:]]), reset[4:, 1], atol=1e-6, rtol=0)


def test_the_policy_depends_on_the_seed_only(dataset, trained, tmp_path):
    for name, seed in (("again", 1), ("other", 2)):
        assert train(dataset, tmp_path / name, "epochs=6", "save_every=2", f"seed={seed}").returncode == 0
    final = "models/model_epoch_6.pth"
    assert have_equal_parameters(trained / final, tmp_path / "again" / final)
    assert not have_equal_parameters(trained / final, tmp_path / "other" / final)


def test_a_resumed_training_equals_an_uninterrupted_one(dataset, trained, tmp_path):
    output = tmp_path / "run"
    assert train(dataset, output, "epochs=3", "save_every=2").returncode == 0
    assert train(dataset, output, "epochs=6", "save_every=2", "resume=true").returncode == 0
    assert have_equal_parameters(trained / "models/model_epoch_6.pth", output / "models/model_epoch_6.pth")
    with (output / "metrics.csv").open() as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == [1, 2, 3, 4, 5, 6]


def test_a_training_that_was_ended_by_a_signal_resumes(dataset, tmp_path):
    output = tmp_path / "run"
    process = subprocess.Popen(command(dataset, output, "epochs=100000"), stderr=subprocess.PIPE, text=True)
    wait_until((output / "metrics.csv").exists, "no metrics.csv")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=HANG_S)
    assert process.returncode == 143
    message = message_of(subprocess.CompletedProcess(process.args, process.returncode, "", err))
    assert "continue with: " in message and message.endswith(" resume=true")
    epoch = load_checkpoint(output / "models" / "last.pth").facts["epoch"]
    assert train(dataset, output, f"epochs={epoch + 1}", "resume=true").returncode == 0
    assert load_checkpoint(output / "models" / "last.pth").facts["epoch"] == epoch + 1


POLICY = "agent.algo.optim_params.policy"
EVALUATED = (
    "sim=kinematic", "evaluate_every=2", "num_eval_episodes=5", "num_eval_envs=50", "epochs=6", "save_every=2", LINEAR,
    f"{POLICY}.learning_rate.decay_factor=0.0", f"{POLICY}.learning_rate.epoch_schedule=['${{epochs}}']",
    f"{POLICY}.regularization.L2=0.01",
)  # fmt: skip


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def test_a_training_interrupted_in_an_evaluation_resumes_with_the_same_result(dataset, tmp_path):
    assert train(dataset, tmp_path / "whole", *EVALUATED).returncode == 0
    rates = [row["learning_rate"] for row in rows(tmp_path / "whole")]
    assert [float(rate) for rate in rates] == pytest.approx([1e-4 * (6 - epoch) / 6 for epoch in range(6)])
    for number, exit_code in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
        output = tmp_path / number.name
        python, *script = command(dataset, output, *EVALUATED)
        # The process signals itself at the second evaluation; a signal from here could arrive after it.
        signalled = [python, "-m", "tests.signalled", number.name, "2", "Evaluating", *script]
        done = subprocess.run(signalled, stderr=subprocess.DEVNULL, timeout=HANG_S, cwd=ROOT)
        assert done.returncode == exit_code
        assert load_checkpoint(output / "models" / "last.pth").facts["epoch"] == 2
        assert train(dataset, output, *EVALUATED, "resume=true").returncode == 0
        for name in ("best", "last", "model_epoch_2", "model_epoch_4", "model_epoch_6"):
            assert have_equal_parameters(tmp_path / "whole" / "models" / f"{name}.pth", output / "models" / f"{name}.pth")
        assert rows(output) == rows(tmp_path / "whole")


def test_a_training_killed_before_its_first_checkpoint_starts_again_with_resume(dataset, trained, tmp_path):
    output = tmp_path / "run"
    (output / "models").mkdir(parents=True)
    (output / "train.yaml").touch()
    assert train(dataset, output, "epochs=6", "save_every=2", "resume=true").returncode == 0
    assert have_equal_parameters(trained / "models/model_epoch_6.pth", output / "models/model_epoch_6.pth")


def test_errors_of_evaluations_are_reported_before_a_folder_is_created(dataset, tmp_path):
    done = train(dataset, tmp_path / "run", "sim=isaaclab", "evaluate_every=1")
    assert done.returncode == 2, done.stderr
    assert not (tmp_path / "run").exists()


def test_resume_is_refused_with_a_different_dataset_or_agent(dataset, trained, tmp_path):
    other = make_train_file(tmp_path / "other.hdf5", num_demos=6)
    done = train(other, trained, "epochs=7", "resume=true")
    assert done.returncode == 2 and "was started with a different configuration (dataset: " in message_of(done)
    done = train(dataset, trained, "epochs=7", "resume=true", "agent.algo.optim_params.policy.regularization.L2=0.1")
    assert done.returncode == 2 and "regularization.L2: 0.0, now 0.1)" in message_of(done)


def test_a_full_disk_is_one_error_and_leaves_nothing_before_the_first_checkpoint(dataset, tmp_path):
    agent = ROOT / "tasks/desktop_organizer/agents/robomimic/bc.json"  # Its checkpoints have 4 MB.
    words = command(dataset, tmp_path / "run", "epochs=4", algo=str(agent))
    # A limit on the size of files simulates a full disk.
    done = in_new_process(["bash", "-c", 'ulimit -f 1000; trap "" XFSZ; exec "$@"', "bash", *words])
    assert done.returncode == 1, done.stderr
    assert "cannot be written" in message_of(done) and "free some space" in message_of(done)
    assert not (tmp_path / "run").exists()  # It would be kept only for a checkpoint.


def test_a_training_with_a_non_finite_loss_fails_with_a_remedy(dataset, tmp_path):
    done = train(dataset, tmp_path / "run", "epochs=9", f"{POLICY}.learning_rate.initial=1e30")
    assert done.returncode == 1, done.stderr
    assert "the loss must be finite (got nan)" in message_of(done) and "lower the learning rate" in message_of(done)


# fmt: off
INVALID_INPUT = [
    (["epochs=0"], ["epochs: must be >= 1 (got 0)"]),
    (["seed=-1"], ["seed: must be >= 0 and <= 2**32 - 1 (got -1)"]),
    (["save_every=-1"], ["save_every: must be >= 0 (got -1)"]),
    (["normalize_actions=minmax"], ["normalize_actions: 'minmax'", "did you mean 'min_max'"]),
    (["agent.algo_name=bcc"], ["agent.algo_name: 'bcc' is not supported", "did you mean 'bc'"]),
    (["agent.train.batchsize=5"], ["agent.train.batchsize: robomimic has no such setting", "did you mean 'batch_size'"]),
    (["agent.algo.optim_params.policy.learning_rte.initial=1"], ["policy.learning_rte", "did you mean 'learning_rate'"]),
    (["agent.algo.optim_params.policy.learning_rate.initial=fast"], ["learning_rate.initial: must have", "(got 'fast')"]),
    (["agent.algo.optim_params.policy.learning_rate.initial=-1"], ["cannot work with these settings", "learning rate: -1"]),
    (["agent.algo.optim_params.policy.optimizer_type=sgd"], ["has no 'sgd'"]),
    ([LINEAR, "agent.algo.optim_params.policy.learning_rate.epoch_schedule=[3,4]"], ["must be one epoch", "[3, 4]"]),
    ([LINEAR, f"{POLICY}.learning_rate.epoch_schedule=['${{epochs}}']"], ["must be a list of", "(got [None])"]),
    (["agent.algo.rnn.enabled=true"], ["train.seq_length: must equal algo.rnn.horizon, which is 10 steps (got 1)"]),
    (["agent.algo.transformer.enabled=true"], ["transformers are not supported"]),
    (["agent.train.seed=3"], ["agent.train.seed: has no effect (got 3)", "use seed=<value>"]),
    (["agent.train.hdf5_filter_key=mine"], ["agent.train.hdf5_filter_key: has no effect (got 'mine')"]),
    (["agent.observation.modalities.obs.low_dim=[object_position]"], ["uses: object_position", "has: "]),
    (["task=stack_cube"], ["was recorded for task 'desktop_organizer', not 'stack_cube'"]),
    (["device=cuda:7"], ["device: 'cuda:7' does not exist: this machine has"]),
    (["resume=true", "overwrite=true"], ["resume, overwrite: must not both be true"]),
]
# fmt: on


@pytest.mark.parametrize(("arguments", "parts"), INVALID_INPUT, ids=[" ".join(each) for each, _ in INVALID_INPUT])
def test_invalid_input_is_refused_in_one_line_and_no_file_is_written(dataset, tmp_path, arguments, parts):
    done = train(dataset, tmp_path / "run", *arguments)
    assert done.returncode == 2, done.stderr
    for part in parts:
        assert part in message_of(done)
    assert not (tmp_path / "run").exists()


def test_an_unknown_algo_or_a_missing_dataset_is_refused_in_one_line(dataset, tmp_path):
    done = train(dataset, tmp_path / "run", algo="bcrnn")
    assert done.returncode == 2 and "no agent 'bcrnn'" in message_of(done)
    done = train(tmp_path / "nope.hdf5", tmp_path / "run")
    assert done.returncode == 2 and "not found" in message_of(done)


def test_parameters_that_do_not_match_the_configuration_are_refused(trained, tmp_path):
    content = load_checkpoint(trained / "models" / "last.pth").content
    config = json.loads(content["config"])
    config["algo"]["actor_layer_dims"] = [8]
    torch.save({**content, "config": json.dumps(config)}, tmp_path / "broken.pth")
    with pytest.raises(SourceDataError, match="parameters do not match the configuration"):
        load_policy(tmp_path / "broken.pth")


def test_a_learner_learns_a_linear_policy():
    settings = override_settings(
        load_agent("desktop_organizer", "bc"),
        {
            "observation": {"modalities": {"obs": {"low_dim": ["x"]}}},
            "algo": {"actor_layer_dims": [64, 64], "optim_params": {"policy": {"learning_rate": {"initial": 0.003}}}},
        },
    )
    torch.manual_seed(0)
    learner = Learner(build_config(settings), {"x": (3,)}, 2, torch.device("cpu"))
    matrix = torch.tensor([[0.3, -0.2], [0.1, 0.4], [-0.3, 0.2]])
    for _ in range(300):
        x = torch.randn(100, 1, 3)
        losses = learner.train({"obs": {"x": x}, "actions": (x @ matrix).clamp(-0.9, 0.9)}, epoch=1)
    assert losses["Loss"] < 2e-3
    learner.begin_acting()
    x = torch.randn(50, 3)
    with torch.no_grad():
        assert (learner.act({"x": x}) - (x @ matrix).clamp(-0.9, 0.9)).abs().mean() < 0.05


def test_settings_unknown_to_robomimic_are_refused():
    with pytest.raises(ConfigError, match="no_such_field: robomimic has no such setting"):
        build_config({"algo_name": "bc", "train": {"no_such_field": 1}})
