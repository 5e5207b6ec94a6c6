"""Checks of the settings of an agent, without robomimic."""

import pytest

from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.learn.agents import check_overrides, check_settings

KNOWN = {
    "algo_name": "bc",
    "train": {"batch_size": 100, "seq_length": 1, "frame_stack": 1, "seed": 1, "hdf5_filter_key": None},
    "observation": {"modalities": {"obs": {"low_dim": []}, "goal": {"low_dim": []}}},
    "experiment": {"epoch_every_n_steps": 100, "validate": False},
    "algo": {
        "optim_params": {
            "policy": {"learning_rate": {"initial": 1e-4, "epoch_schedule": [], "scheduler_type": "multistep"}}
        },
        "actor_layer_dims": (1024, 1024),
        "rnn": {"enabled": False, "horizon": 10},
    },
}


def learning_rate(**values) -> dict:
    return {"algo": {"optim_params": {"policy": {"learning_rate": values}}}}


INVALID = [
    ({"trian": {}}, r"agent.trian: robomimic has no such setting.*did you mean 'train'"),
    ({"train": {"batchsize": 3}}, r"agent.train.batchsize: .*did you mean 'batch_size'"),
    ({"train": 3}, r"agent.train: must be a group of settings \(got 3\)"),
    (
        {"train": {"batch_size": "abc"}},
        r"agent.train.batch_size: must have the type of robomimic's default, 100 \(got 'abc'\)",
    ),
    ({"train": {"batch_size": 1.5}}, r"batch_size: must have the type .*\(got 1.5\)"),
    ({"train": {"batch_size": None}}, r"batch_size: must have the type .*\(got None\)"),
    ({"train": {"batch_size": True}}, r"batch_size: must have the type .*\(got True\)"),
    ({"train": {"batch_size": 0}}, r"batch_size: must be >= 1 \(got 0\)"),
    ({"experiment": {"epoch_every_n_steps": 0}}, r"epoch_every_n_steps: must be >= 1 \(got 0\)"),
    ({"experiment": {"validate": 1}}, r"validate: must have the type .*\(got 1\)"),
    (learning_rate(initial="fast"), r"learning_rate.initial: must have the type .*\(got 'fast'\)"),
    (learning_rate(epoch_schedule=50), r"epoch_schedule: must have the type .*\(got 50\)"),
    (learning_rate(epoch_schedule=["50"]), r"epoch_schedule: must be a list of whole numbers >= 1.*\(got \['50'\]\)"),
    (
        learning_rate(scheduler_type="linear", epoch_schedule=[50, 60]),
        r"epoch_schedule: must be one epoch for scheduler_type 'linear', its end \(got \[50, 60\]\)",
    ),
    ({"algo": {"rnn": {"enabled": True}}}, r"seq_length: must equal algo.rnn.horizon, which is 10 steps \(got 1\)"),
    ({"observation": {"modalities": {"obs": {"low_dim": "eef_pos"}}}}, r"low_dim: must have the type .*\(got 'eef_pos'\)"),
    ({"observation": {"modalities": {"goal": {"low_dim": ["eef_pos"]}}}}, "policies receive only 'obs'"),
    (learning_rate(epoch_schedule=[None]), r"epoch_schedule: must be a list of .*\(got \[None\]\)"),
    ({"algo": {"rnn": {"enabled": True, "horizon": 10}}}, r"seq_length: must equal algo.rnn.horizon, which is 10 .*got 1"),
    ({"train": {"frame_stack": 3}}, r"frame_stack: must be 1 \(got 3\); other algorithms use a history"),
]


@pytest.mark.parametrize(("settings", "message"), INVALID)
def test_an_invalid_setting_is_refused_with_its_name(settings, message):
    with pytest.raises(ConfigError, match=message):
        check_settings(settings, KNOWN)


@pytest.mark.parametrize(
    "settings",
    [
        learning_rate(initial=1, epoch_schedule=[50], scheduler_type="linear"),
        {"experiment": {"epoch_every_n_steps": None}},
        {"train": {"hdf5_filter_key": "train", "seq_length": 10}, "algo": {"rnn": {"enabled": True, "horizon": 10}}},
        {"algo": {"actor_layer_dims": []}},
    ],
)
def test_settings_with_the_types_of_robomimics_defaults_are_accepted(settings):
    check_settings(settings, KNOWN)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"train": {"seed": 3}}, r"agent.train.seed: has no effect \(got 3\), .*; use seed=<value>"),
        ({"train": {"hdf5_filter_key": "mine"}}, r"hdf5_filter_key: has no effect \(got 'mine'\), training does not use it"),
        ({"experiment": {"save": {"every_n_epochs": 5}}}, "use save_every=<value>"),
        ({"train": {"num_epochs": 5}}, r"num_epochs: conflicts with epochs=9 \(got 5\)"),
    ],
)
def test_an_override_without_effect_is_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        check_overrides(overrides, 9)


def test_overrides_that_training_uses_are_accepted():
    check_overrides({"train": {"batch_size": 5, "num_epochs": 9}, "algo": {"actor_layer_dims": [64]}}, 9)
    check_overrides({"train": {"num_epochs": 5}}, None)
