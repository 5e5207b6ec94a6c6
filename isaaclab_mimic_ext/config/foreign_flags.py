"""Flags of the scripts of Isaac Lab, robomimic and MimicGen: the field that has their meaning here, or the answer."""

from collections.abc import Mapping

_FIELDS = {"--dataset_file": "output_file", "--num_rollouts": "num_episodes", "--task": "task"}
"""Flag -> field of a command that has no entry for the flag in `_FIELDS_OF`."""
_READS = {"--dataset_file": "input_file", "--dataset": "input_file", "--input": "input_file"}
_WRITES = {"--output": "output_file", "--output_name": "output_file", "--output_path": "output_file"}
_FIELDS_OF: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(("split_dataset", "inspect_dataset", "validate_dataset", "check_demos"), _READS),
    **dict.fromkeys(("annotate_demos", "import_dataset", "export_dataset", "prepare_dataset"), _READS | _WRITES),
    "replay_demos": _READS | {"--video_path": "output_file", "--n": "num_demos"},
    "merge_datasets": {"--input_files": "input_file", "--dataset_file": "output_file"},
    "train": {"--dataset": "input_file"},
    "evaluate": {
        **{"--agent": "checkpoint", "--input_dir": "checkpoint", "--dataset": "input_file"},
        **{"--n_rollouts": "num_episodes", "--log_dir": "output_dir"},
    },
}
"""Name of a script -> flag -> field."""

_REPLAY_COMPARES = "replay always compares success and the poses of the objects"
_NORMALIZATION = "checkpoints contain the normalization of actions"
_WITH_VALUE = ("--env_interface", "--env_interface_type")
"""Flags without effect that are followed by a value."""
_NO_EFFECT: Mapping[str, Mapping[str, str]] = {
    "replay_demos": {"--validate_states": _REPLAY_COMPARES, "--validate_success_rate": _REPLAY_COMPARES},
    "train": {"--normalize_training_actions": "actions are normalized by default (normalize_actions=min_max)"},
    "inspect_dataset": {"--verbose": "inspect shows everything"},
    "import_dataset": dict.fromkeys(_WITH_VALUE, "the poses and signals of MimicGen are in the file"),
}
"""Name of a script -> flag that this package needs no equivalent of -> reason."""

_ANSWERS: Mapping[str, Mapping[str, str]] = {
    "generate": {
        "--pause_subtask": "debug=true makes a small run with a video, and `mimic report` shows where trials fail",
        "--config": "`mimic import-config` converts MimicGen's JSON files to a task file for task=<name>",
        "--auto-remove-exp": "overwrite=true replaces a run",
    },
    "train": {
        "--name": "the output folder is output_dir=<folder>",
        "--log_dir": "the output folder is output_dir=<folder>",
        "--config": "agent settings are algo=<path of a .json file>",
    },
    "evaluate": {
        **dict.fromkeys(("--norm_factor_min", "--norm_factor_max"), f"{_NORMALIZATION}, leave it out"),
        **dict.fromkeys(("--seeds", "--num_seeds"), "a sweep evaluates several seeds: -m seed=1,2,3"),
        "--log_file": "the report is evaluation.json in output_dir=<folder>",
        "--video_path": "the videos are in output_dir=<folder>",
    },
    "merge_datasets": {"--folder": "list the files: input_file=[a.hdf5,b.hdf5]"},
    "report": {"--folder": "the folder of the run is input_dir=<folder>"},
}
"""Name of a script -> flag without an equivalent -> what to use."""


def fields_of(script: str) -> Mapping[str, str]:
    """Return flag -> field for the flags of other programs that a command accepts."""
    return {**_FIELDS, **_FIELDS_OF.get(script, {})}


def has_no_effect(script: str, flag: str) -> str | None:
    """Return the reason why a command needs no such flag; None for other flags."""
    return _NO_EFFECT.get(script, {}).get(flag)


def takes_value(flag: str) -> bool:
    """Return whether the word after a flag without effect is its value."""
    return flag in _WITH_VALUE


def answer_of(script: str, flag: str) -> str | None:
    """Return what to use in place of a flag of another program; None if it has no answer."""
    return _ANSWERS.get(script, {}).get(flag)
