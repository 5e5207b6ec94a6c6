"""Adapter for robomimic 0.3, 0.4 and 0.5. Only this module, `bc_chunk`, `bc_image` and `robomimic_env` import robomimic."""

# B sequences per batch, T steps per sequence, A action entries, L layers, H hidden units of a recurrent network

import importlib
import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cache
from io import StringIO
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from isaaclab_mimic_ext.errors import ConfigError, DependencyMissing, choices
from isaaclab_mimic_ext.learn.agents import ALGORITHMS, Settings, check_settings

log = logging.getLogger(__name__)

Shapes = Mapping[str, Sequence[int]]

_MISSING = (
    "robomimic: not found; install with `make train-env`, or in your own environment with `pip install matplotlib pillow "
    "psutil six tensorboardX termcolor tqdm` and `pip install --no-deps robomimic torchvision`"
)
_NO_SCHEDULE = "multistep"
"""robomimic's default scheduler; without epochs the learning rate is constant."""
_MISSING_OPERATOR = re.compile(r"operator torchvision::(\w+) does not exist")
_placeholders: list[torch.library.Library] = []
"""Placeholders for operators of torchvision; torch removes an operator when its Library is deleted."""


@cache
def require_robomimic() -> ModuleType:
    """Import and return robomimic.

    Raises:
        DependencyMissing: robomimic, or a library that robomimic requires, is not installed.
    """
    try:
        _import_torchvision()
        with _log_prints():
            importlib.import_module("robomimic.algo")
            importlib.import_module("isaaclab_mimic_ext.learn.bc_chunk")
            importlib.import_module("isaaclab_mimic_ext.learn.bc_image")
            return importlib.import_module("robomimic")
    except ImportError as error:
        raise DependencyMissing(f"{_MISSING} ({error})") from error


def _import_torchvision() -> None:
    """Import torchvision, even if its compiled extension does not match the installed torch.

    robomimic uses only the Python part of torchvision. The import fails because it registers fake implementations of
    operators that the compiled extension defines. A placeholder for each missing operator lets the import succeed; calling a
    placeholder raises torch's error about a missing kernel.
    """
    while True:
        try:
            importlib.import_module("torchvision")
            return
        except RuntimeError as error:
            found = _MISSING_OPERATOR.search(str(error))
            if found is None:
                raise ImportError(f"torchvision cannot be imported: {error}") from error
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define(f"{found[1]}(Tensor placeholder) -> Tensor")
        _placeholders.append(library)
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]


@contextmanager
def _log_prints() -> Iterator[None]:
    """Write what robomimic prints to the log (DEBUG) instead."""
    printed = StringIO()
    with redirect_stdout(printed):
        yield
    if printed.getvalue().strip():
        log.debug("robomimic: %s", printed.getvalue().strip())


def version() -> str:
    """Version of the installed robomimic."""
    return str(require_robomimic().__version__)


def build_config(settings: Settings) -> Any:
    """Build a robomimic configuration: the defaults of `settings["algo_name"]`, overridden by the settings.

    Raises:
        ConfigError: the algorithm is not supported, or a setting is unknown or has an invalid value.
    """
    require_robomimic()
    from robomimic.config import config_factory

    algo_name = str(settings.get("algo_name"))
    if algo_name not in ALGORITHMS:
        raise ConfigError(f"agent.algo_name: '{algo_name}' is not supported; {choices(algo_name, ALGORITHMS)}")
    config = config_factory(algo_name)
    check_settings(settings, config)
    try:
        with config.values_unlocked():
            config.update(settings)
    except (RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"agent: robomimic {version()} does not accept these settings: {error}") from error
    config.lock()
    return config


def read_config(algo_name: str, text: str) -> Any:
    """Read the robomimic configuration of a checkpoint.

    Args:
        text: the configuration as JSON.

    Raises:
        ConfigError: the algorithm is not supported, or the text is not a configuration of robomimic.
    """
    require_robomimic()
    from robomimic.config import config_factory

    if algo_name not in ALGORITHMS:
        raise ConfigError(f"algo_name: '{algo_name}' is not supported; {choices(algo_name, ALGORITHMS)}")
    try:
        config = config_factory(algo_name, dic=json.loads(text))
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"config: is not a configuration of robomimic ({error})") from error
    config.lock()
    return config


class Learner:
    """A robomimic algorithm with its networks and optimizers.

    Args:
        config: from `build_config` or `read_config`.
        obs_shapes: observation key -> shape, without leading axes.
        action_dim: number of action entries A.
        steps_per_epoch, num_epochs: for schedules of the learning rate.

    Raises:
        ConfigError: robomimic cannot build the algorithm from the configuration.
    """

    def __init__(
        self,
        config: Any,
        obs_shapes: Shapes,
        action_dim: int,
        device: torch.device,
        steps_per_epoch: int = 1,
        num_epochs: int = 1,
    ):
        require_robomimic()
        from robomimic.algo import algo_factory
        from robomimic.utils import obs_utils

        self.config = config
        shapes = {key: list(obs_shapes[key]) for key in sorted(obs_shapes)}
        try:
            with config.values_unlocked():
                for params in config.algo.get("optim_params", {}).values():
                    params["num_train_batches"], params["num_epochs"] = steps_per_epoch, num_epochs
            with _log_prints():
                # robomimic keeps the modality of each key in a global, which is read when the networks are built.
                obs_utils.initialize_obs_utils_with_config(config)
                self.algo = algo_factory(config.algo_name, config, obs_key_shapes=shapes, ac_dim=action_dim, device=device)
        # Which values are valid depends on the version of robomimic, so its own message is the most precise.
        except (ValueError, TypeError, AttributeError, AssertionError, LookupError, NotImplementedError) as error:
            raise ConfigError(f"agent: robomimic {version()} cannot work with these settings: {error!r}") from error
        except RuntimeError as error:
            if "config has been locked" not in str(error):
                raise
            raise ConfigError(f"agent: a setting that robomimic {version()} needs is missing: {error}") from error
        self._check_optimizers()

    def _check_optimizers(self) -> None:
        """Check that all optimizers and schedulers exist: robomimic silently omits them if a name or schedule is invalid."""
        for name, params in self.config.algo.get("optim_params", {}).items():
            place = f"agent.algo.optim_params.{name}"
            if self.algo.optimizers.get(name, self) is None:
                kind = params.get("optimizer_type")
                raise ConfigError(f"{place}.optimizer_type: robomimic {version()} has no '{kind}'; choices: adam, adamw")
            kind = params.learning_rate.get("scheduler_type", _NO_SCHEDULE)
            if kind != _NO_SCHEDULE and self.algo.lr_schedulers.get(name, self) is None:
                raise ConfigError(
                    f"{place}.learning_rate.epoch_schedule: must not be empty for scheduler_type '{kind}' (got []); give "
                    "the epochs, e.g. \"epoch_schedule=['${epochs}']\""
                )

    def train(self, batch: dict[str, Any], epoch: int) -> dict[str, float]:
        """Run one gradient step on observations (B, T, ...) and actions (B, T, A); return its losses by name."""
        self.algo.set_train()
        losses = self._run(batch, epoch, validate=False)
        step = getattr(self.algo, "on_gradient_step", None)  # robomimic >= 0.4: advances schedules that count steps.
        if step is not None:
            step()
        return losses

    def validate(self, batch: dict[str, Any], epoch: int) -> dict[str, float]:
        """Compute the losses by name, without a gradient step."""
        self.algo.set_eval()
        with torch.no_grad():
            return self._run(batch, epoch, validate=True)

    def _run(self, batch: dict[str, Any], epoch: int, validate: bool) -> dict[str, float]:
        inputs = self.algo.process_batch_for_training(batch)
        inputs = self.algo.postprocess_batch_for_training(inputs, obs_normalization_stats=None)
        info = self.algo.train_on_batch(inputs, epoch, validate=validate)
        return {name: float(value) for name, value in self.algo.log_info(info).items()}

    def end_epoch(self, epoch: int) -> None:
        self.algo.on_epoch_end(epoch)

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        """Compute normalized actions (B, A) for normalized observations, key -> (B, ...)."""
        return self.algo.get_action(obs_dict=obs)

    def begin_acting(self) -> None:
        """Switch to inference: disable dropout and clear the hidden state."""
        self.algo.set_eval()
        self.algo.reset()

    def begin_episodes(self, env_ids: Tensor) -> None:
        """Clear the history and the chunk of actions of the envs `env_ids`, (n,) int64, if the algorithm has them."""
        if hasattr(self.algo, "chunks"):
            self.algo.chunks.reset(env_ids)

    def due_envs(self) -> Tensor | None:
        """Return whether the next action of each env uses its observations, (N,) bool; None: that of all envs."""
        return self.algo.chunks.due_envs() if hasattr(self.algo, "chunks") else None

    @property
    def rnn_horizon(self) -> int | None:
        """Number of steps after which the hidden state is cleared; None for networks that are not recurrent."""
        return int(self.config.algo.rnn.horizon) if hasattr(self.algo, "_rnn_hidden_state") else None

    @property
    def hidden_state(self) -> Any:
        """Hidden state of a recurrent network: (L, B, H), two of these for an LSTM, or None before the first step."""
        return self.algo._rnn_hidden_state

    @hidden_state.setter
    def hidden_state(self, state: Any) -> None:
        self.algo._rnn_hidden_state = state
        # robomimic clears the state of all envs when its counter is a multiple of the horizon; keep it at 1.
        self.algo._rnn_counter = 0 if state is None else 1

    def parameters_state(self) -> Any:
        """Parameters of the networks, the entry `model` of a checkpoint."""
        return self.algo.serialize()

    def load_parameters(self, state: Any) -> None:
        self.algo.deserialize(state)

    def optimizer_state(self) -> dict[str, Any]:
        """State of all optimizers and schedulers of the learning rate."""
        return {
            kind: {name: part.state_dict() for name, part in parts.items() if part is not None}
            for kind, parts in (("optimizers", self.algo.optimizers), ("lr_schedulers", self.algo.lr_schedulers))
        }

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        for kind, parts in state.items():
            for name, saved in parts.items():
                getattr(self.algo, kind)[name].load_state_dict(saved)
