"""Command-line spellings: Isaac Lab's flags and short names, translated into Hydra overrides."""

import re
from collections.abc import Iterator
from dataclasses import fields

from isaaclab_mimic_ext.config import DataGenConfig, MimicEnvCfg
from isaaclab_mimic_ext.errors import ConfigError, choices

_SWITCHES = {
    "--headless": "headless",
    "--enable_cameras": "enable_cameras",
    "--overwrite": "overwrite",
    "--resume": "resume",
    "--auto": "auto",
    "--annotate_subtask_start_signals": "annotate_subtask_start_signals",
    "--use_skillgen": "use_skillgen",
    "--add_rtgs": "add_rtgs",
    "--low_dim_keys": "low_dim_keys",
    "--sparse_reward": "sparse_reward",
    "--compress": "compress",
    "--next_obs": "next_obs",
    "--json": "json",
    "--digest": "digest",
    "--strict": "strict",
    "--by_source_demo": "by_source_demo",
}
"""Flags without a value -> the field that becomes true."""
_OPTIONS = {
    "--task": "task",
    "--device": "device",
    "--num_envs": "num_envs",
    "--seed": "seed",
    "--input_file": "input_file",
    "--output_file": "output_file",
    "--output_dir": "output_dir",
    "--dataset_file": "output_file",
    "--generation_num_trials": "generation_num_trials",
    "--num_demos": "num_demos",
    "--teleop_device": "teleop_device",
    "--img_key": "img_key",
    "--crop_dim": "crop_dim",
    "--format": "format",
    "--num_replays": "num_replays",
    "--video_file": "video_file",
    "--algo": "algo",
    "--dataset": "dataset",
    "--epochs": "epochs",
    "--checkpoint": "checkpoint",
    "--policy": "policy",
    "--num_episodes": "num_episodes",
    "--num_rollouts": "num_episodes",
    "--horizon": "horizon",
}
"""Flags with a value -> the field; as Isaac Lab's scripts spell them."""
_MAPPINGS = ("rename.objects", "rename.signals", "all_subtasks.", "agent.")
"""Fields whose keys are the user's; Hydra takes a new key only with a prefix."""
_HYDRA_SWITCHES = ("--help", "--hydra-help", "--version", "--resolve", "--run", "--multirun", "--info")
_HYDRA_OPTIONS = ("--cfg", "--package", "--config-path", "--config-name", "--config-dir", "--experimental-rerun")
_HYDRA_SHORT_OPTIONS = ("-c", "-p", "-cp", "-cn", "-cd")
_OVERRIDE = re.compile(r"(?P<prefix>\+\+|\+|~)?(?P<key>[^=\s]+)=(?P<value>.*)", re.DOTALL)
_ALIASES = {field.name: f"datagen_config.{field.name}" for field in fields(DataGenConfig) if field.name != "name"}


def translate(argv: list[str], schema: type) -> list[str]:
    """Hydra's arguments for a command line in which Isaac Lab's flags, `seed=3` for `datagen_config.seed=3` and
    `task.events.x=...` for `events.x=...` are understood too.

    Raises:
        ConfigError: a flag is unknown or lacks its value, or two spellings of one field disagree.
    """
    field_names = {field.name for field in fields(schema)}
    given: dict[str, str] = {}
    result = []
    for word in _overrides_for_flags(argv, field_names):
        match = _OVERRIDE.fullmatch(word)
        if word.startswith("-") or match is None:
            result.append(word)
            continue
        prefix, key, value = match["prefix"] or "", _full_key(match["key"], field_names), match["value"]
        if given.setdefault(key, value) != value:
            raise ConfigError(f"{key}: given twice, as {given[key]} and as {value}; give one of them")
        is_mapping = key.startswith(_MAPPINGS)
        result.append(f"{prefix or '++' * is_mapping}{key}={value}")
    return result


def _overrides_for_flags(argv: list[str], field_names: set[str]) -> Iterator[str]:
    """The words of the command line, each of our flags replaced by an override."""
    words = iter(argv)
    known = [name for name, key in (_SWITCHES | _OPTIONS).items() if _takes(key, field_names)]
    for word in words:
        name, has_value, value = word.partition("=")
        if name in _HYDRA_OPTIONS or name in _HYDRA_SHORT_OPTIONS:
            yield word
            if not has_value and (following := next(words, None)) is not None:
                yield following
        elif not word.startswith("--") or name in _HYDRA_SWITCHES:
            yield word
        elif name not in known:
            raise ConfigError(f"{name}: unknown flag; {choices(name, (*known, *_HYDRA_SWITCHES, *_HYDRA_OPTIONS))}")
        elif name in _SWITCHES:
            yield f"{_SWITCHES[name]}={value if has_value else 'true'}"
        else:
            text = value if has_value else next(words, None)
            if text is None:
                raise ConfigError(f"{name}: needs a value, e.g. {name} <value>")
            yield f"{_OPTIONS[name]}={_quoted(text)}"


def _takes(key: str, field_names: set[str]) -> bool:
    return key in field_names or _full_key(key, field_names) != key


def _full_key(key: str, field_names: set[str]) -> str:
    """The field that a short spelling means: `seed` is `datagen_config.seed`, `task.events.x` is `events.x`."""
    head = key.split(".", 1)[0]
    if "datagen_config" in field_names and head not in field_names and head in _ALIASES:
        return _ALIASES[head] + key[len(head) :]
    rest = key.removeprefix("task.")
    if rest != key and rest.split(".", 1)[0] in {field.name for field in fields(MimicEnvCfg)}:
        return rest
    return key


def _quoted(text: str) -> str:
    """A value as Hydra's grammar takes it literally: a shell word may hold blanks, '=' and brackets."""
    if re.fullmatch(r"[\w./:-]+", text):
        return text
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    return f"'{escaped}'"
