"""What an agent's settings may be, without robomimic."""

import pytest

from isaaclab_mimic_ext.errors import ConfigError
from isaaclab_mimic_ext.learn.agents import check_changes, check_settings

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


def rate(**values) -> dict:
    return {"algo": {"optim_params": {"policy": {"learning_rate": values}}}}


BAD = [
    ({"trian": {}}, r"agent.trian: robomimic has no such setting.*did you mean 'train'"),
    ({"train": {"batchsize": 3}}, r"agent.train.batchsize: .*did you mean 'batch_size'"),
    ({"train": 3}, "agent.train: 3 in the place of several settings"),
    ({"train": {"batch_size": "abc"}}, "agent.train.batch_size: 'abc' cannot be used; robomimic's own is 100"),
    ({"train": {"batch_size": 1.5}}, "batch_size: 1.5 cannot be used"),
    ({"train": {"batch_size": None}}, "batch_size: None cannot be used"),
    ({"train": {"batch_size": True}}, "batch_size: True cannot be used"),
    ({"train": {"batch_size": 0}}, "batch_size: 0 is out of range"),
    ({"experiment": {"epoch_every_n_steps": 0}}, "epoch_every_n_steps: 0 is out of range"),
    ({"experiment": {"validate": 1}}, "validate: 1 cannot be used"),
    (rate(initial="fast"), "learning_rate.initial: 'fast' cannot be used"),
    (rate(epoch_schedule=50), "epoch_schedule: 50 cannot be used"),
    (rate(epoch_schedule=["50"]), r"epoch_schedule: \['50'\] are no epochs"),
    (rate(scheduler_type="linear"), r"epoch_schedule: \[\], but scheduler_type 'linear' takes one"),
    ({"algo": {"rnn": {"enabled": True}}}, "train.seq_length: 1, but the policy remembers 10 steps"),
    ({"observation": {"modalities": {"obs": {"low_dim": "eef_pos"}}}}, "low_dim: 'eef_pos' cannot be used"),
    ({"observation": {"modalities": {"goal": {"low_dim": ["eef_pos"]}}}}, "policies get observations alone"),
    (rate(epoch_schedule=[None]), r"epoch_schedule: \[None\] are no epochs"),
    ({"algo": {"rnn": {"enabled": True, "horizon": 10}}}, "train.seq_length: 1, but the policy remembers 10 steps"),
    ({"train": {"frame_stack": 3}}, "frame_stack: 3; only transformers read it"),
]


@pytest.mark.parametrize(("settings", "words"), BAD)
def test_a_setting_that_cannot_work_is_named_with_its_place(settings, words):
    with pytest.raises(ConfigError, match=words):
        check_settings(settings, KNOWN)


@pytest.mark.parametrize(
    "settings",
    [
        rate(initial=1, epoch_schedule=[50], scheduler_type="linear"),
        {"experiment": {"epoch_every_n_steps": None}},
        {"train": {"hdf5_filter_key": "train", "seq_length": 10}, "algo": {"rnn": {"enabled": True, "horizon": 10}}},
        {"algo": {"actor_layer_dims": []}},
    ],
)
def test_settings_of_the_same_kind_as_robomimics_own_are_taken(settings):
    check_settings(settings, KNOWN)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train": {"seed": 3}}, "agent.train.seed: 3 would do nothing: .* give seed=<value>"),
        ({"train": {"hdf5_filter_key": "mine"}}, "hdf5_filter_key: 'mine' would do nothing: training does not read it"),
        ({"experiment": {"save": {"every_n_epochs": 5}}}, "give save_every=<value>"),
        ({"train": {"num_epochs": 5}}, "num_epochs: 5, and epochs=9"),
    ],
)
def test_a_change_that_nothing_reads_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        check_changes(changes, 9)


def test_changes_that_are_read_are_taken():
    check_changes({"train": {"batch_size": 5, "num_epochs": 9}, "algo": {"actor_layer_dims": [64]}}, 9)
    check_changes({"train": {"num_epochs": 5}}, None)
