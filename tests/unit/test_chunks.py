"""Action chunks of a batch of envs, and the algorithm that predicts them."""

import pytest
import torch
from torch import Tensor

from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.learn.agents import default_agent, linear_schedules_to_end, load_agent, override_settings
from isaaclab_mimic_ext.learn.chunks import ActionChunks
from tests import requires

LENGTH = 4


def predict(history: dict[str, Tensor]) -> Tensor:
    """Chunks (n, 4, 1) that begin with ten times the sum of the history, and count up."""
    return 10.0 * history["x"].sum((1, 2))[:, None, None] + torch.arange(LENGTH)[None, :, None]


def act(chunks: ActionChunks, *values: float) -> list[float]:
    return chunks.act({"x": torch.tensor(values)[:, None]}, predict)[:, 0].tolist()


def test_chunk_is_executed_before_the_next_prediction() -> None:
    chunks = ActionChunks(num_history=1, num_executed=3)
    assert [act(chunks, value)[0] for value in (1.0, 2.0, 3.0, 4.0, 5.0)] == [10.0, 11.0, 12.0, 40.0, 41.0]


def test_history_repeats_the_first_observation_of_an_episode() -> None:
    chunks = ActionChunks(num_history=3, num_executed=1)
    assert [act(chunks, value)[0] for value in (1.0, 2.0, 3.0)] == [30.0, 40.0, 60.0]


def test_new_episode_of_one_env_does_not_change_the_others() -> None:
    together, alone = ActionChunks(2, 3), ActionChunks(2, 3)
    expected = [act(alone, value)[0] for value in (1.0, 2.0, 3.0, 4.0, 5.0)]
    first, second = [], []
    for step, value in enumerate((1.0, 2.0, 3.0, 4.0, 5.0)):
        if step == 2:
            together.reset(torch.tensor([1]))
        row = act(together, value, value - 2.0 if step >= 2 else 7.0)
        first.append(row[0])
        second.append(row[1])
    assert first == expected
    assert second[2:] == expected[:3]


def test_reset_before_the_first_step_has_no_effect() -> None:
    chunks = ActionChunks(2, 2)
    chunks.reset(torch.tensor([0]))
    assert act(chunks, 1.0) == [20.0]


def test_another_number_of_envs_begins_new_episodes() -> None:
    chunks = ActionChunks(2, 2)
    act(chunks, 1.0)
    assert act(chunks, 1.0, 2.0) == [20.0, 40.0]


def test_default_agent_uses_all_low_dimensional_observations_but_the_last_action() -> None:
    agent = default_agent({"eef_pos": (3,), "actions": (7,), "front": (128, 128, 3), "cube_pos": (3,)})
    assert agent["observation"]["modalities"]["obs"]["low_dim"] == ["cube_pos", "eef_pos"]


@pytest.mark.train
class TestAlgorithm:
    @pytest.fixture(autouse=True)
    def _robomimic(self) -> None:
        requires.module("robomimic", "train")

    def learner(self, num_history: int = 3, num_executed: int = 2):  # type: ignore[no-untyped-def]
        from isaaclab_mimic_ext.learn.robomimic import Learner, build_config

        settings = {
            **default_agent({"x": (2,)}),
            "train": {"frame_stack": num_history, "seq_length": LENGTH},
            "algo": {"actor_layer_dims": [64, 64], "chunk": {"num_executed": num_executed}},
        }
        config = build_config(settings)
        config = build_config(override_settings(settings, linear_schedules_to_end(config)))
        torch.manual_seed(0)
        return Learner(config, {"x": (2,)}, 1, torch.device("cpu"), num_epochs=100)

    def batch(self, size: int, seed: int) -> dict[str, object]:
        """Histories and chunks of a motion whose action is the last change of the observation, repeated."""
        generator = torch.Generator().manual_seed(seed)
        start, change = torch.rand(2, size, 1, 2, generator=generator) * 2 - 1
        x = start + change * torch.arange(-2, LENGTH)[None, :, None]
        return {"obs": {"x": x}, "actions": change[..., :1].expand(-1, 2 + LENGTH, -1)}

    def test_learns_chunks_that_require_a_history(self) -> None:
        learner = self.learner()
        before = learner.validate(self.batch(256, 1000), 1)["Loss"]
        for step in range(300):
            learner.train(self.batch(256, step), 1)
        assert learner.validate(self.batch(256, 1000), 1)["Loss"] < 0.1 * before

    def test_acts_with_one_prediction_per_chunk(self) -> None:
        learner = self.learner(num_executed=2)
        learner.begin_acting()
        calls = []
        network = learner.algo.predict
        learner.algo.predict = lambda obs: calls.append(len(obs["x"])) or network(obs)
        for _ in range(5):
            assert learner.act({"x": torch.zeros(3, 2)}).shape == (3, 1)
        assert calls == [3, 3, 3]

    @pytest.mark.parametrize("num_executed", [0, LENGTH + 1])
    def test_number_of_executed_actions_must_fit_into_a_chunk(self, num_executed: int) -> None:
        with pytest.raises(ConfigError, match=r"chunk\.num_executed: must be between 1 and train\.seq_length, which is 4"):
            self.learner(num_executed=num_executed)

    def test_parameters_of_a_checkpoint_give_the_same_actions(self) -> None:
        first, second = self.learner(), self.learner()
        second.train(self.batch(8, 0), 1)
        second.load_parameters(first.parameters_state())
        obs = {"x": torch.rand(3, 2)}
        first.begin_acting()
        second.begin_acting()
        assert torch.equal(first.act(obs), second.act(obs))

    @pytest.mark.parametrize("task", ["desktop_organizer", "stack_cube", "two_arm_lift_tray"])
    def test_agents_of_all_tasks_are_valid(self, task: str) -> None:
        from isaaclab_mimic_ext.learn.robomimic import build_config

        config = build_config(load_agent(task, "bc_chunk"))
        assert 1 <= config.algo.chunk.num_executed <= config.train.seq_length
        rate = linear_schedules_to_end(config)["algo"]["optim_params"]["policy"]["learning_rate"]
        assert rate == {"epoch_schedule": [config.train.num_epochs]}
        bc = load_agent(task, "bc")["observation"]["modalities"]["obs"]["low_dim"]
        assert list(config.observation.modalities.obs.low_dim) == bc
