"""All that this package knows of robomimic: 0.3, 0.4 and 0.5. No other module imports it."""

# B sequences of a batch, T steps of a sequence, A action entries

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
from isaaclab_mimic_ext.learn.agents import ALGORITHMS, check_settings

log = logging.getLogger(__name__)

Settings = dict[str, Any]
"""A robomimic configuration as nested dicts."""
Shapes = Mapping[str, Sequence[int]]

_MISSING = (
    "robomimic is not installed here: run `make train-env`, or in an environment of your own `pip install matplotlib pillow "
    "six tensorboardX termcolor tqdm` and `pip install --no-deps robomimic torchvision`"
)
_NO_SCHEDULE = "multistep"
"""robomimic's default, which without epochs means a constant learning rate."""
_NO_OPERATOR = re.compile(r"operator torchvision::(\w+) does not exist")
_operators: list[torch.library.Library] = []
"""Placeholders of torchvision's; torch forgets an operator with its Library."""


@cache
def require_robomimic() -> ModuleType:
    """robomimic, imported.

    Raises:
        DependencyMissing: it, or a library that it needs, is not installed.
    """
    try:
        _import_torchvision()
        with _quiet():
            importlib.import_module("robomimic.algo")
            return importlib.import_module("robomimic")
    except ImportError as error:
        raise DependencyMissing(f"{_MISSING} ({error})") from error


def _import_torchvision() -> None:
    """torchvision, also where its compiled part does not fit the installed torch.

    All that robomimic takes of it is plain Python, but the import wants to describe operators that only the compiled part
    defines. Placeholders under their names let it pass; whoever calls one gets torch's error that it has no kernel.
    """
    while True:
        try:
            importlib.import_module("torchvision")
            return
        except RuntimeError as error:
            found = _NO_OPERATOR.search(str(error))
            if found is None:
                raise ImportError(f"torchvision cannot be imported: {error}") from error
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define(f"{found[1]}(Tensor placeholder) -> Tensor")
        _operators.append(library)
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]


@contextmanager
def _quiet() -> Iterator[None]:
    """What robomimic prints goes to the log."""
    printed = StringIO()
    with redirect_stdout(printed):
        yield
    if printed.getvalue().strip():
        log.debug("robomimic: %s", printed.getvalue().strip())


def version() -> str:
    """Of the installed robomimic."""
    return str(require_robomimic().__version__)


def build_config(settings: Settings) -> Any:
    """A configuration of robomimic: its defaults for `settings["algo_name"]`, with the settings over them.

    Raises:
        ConfigError: it is no algorithm that is trained here, or robomimic has no such setting, or not with such a value.
    """
    require_robomimic()
    from robomimic.config import config_factory

    algo_name = str(settings.get("algo_name"))
    if algo_name not in ALGORITHMS:
        raise ConfigError(f"agent.algo_name: '{algo_name}' is not trained here; {choices(algo_name, ALGORITHMS)}")
    config = config_factory(algo_name)
    check_settings(settings, config)
    try:
        with config.values_unlocked():
            config.update(settings)
    except (RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"agent: robomimic {version()} does not take these settings: {error}") from error
    config.lock()
    return config


def read_config(algo_name: str, text: str) -> Any:
    """The configuration of a checkpoint, as it stands there.

    Raises:
        ConfigError: it is none of an algorithm that is known here.
    """
    require_robomimic()
    from robomimic.config import config_factory

    if algo_name not in ALGORITHMS:
        raise ConfigError(f"algo_name: '{algo_name}' is not known here; {choices(algo_name, ALGORITHMS)}")
    try:
        config = config_factory(algo_name, dic=json.loads(text))
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"config: no configuration of robomimic ({error})") from error
    config.lock()
    return config


class Learner:
    """A robomimic algorithm with its networks and optimizers.

    Args:
        config: of `build_config` or `read_config`.
        obs_shapes: observation key -> shape, without leading axes.
        steps_per_epoch, num_epochs: what learning rates that follow a schedule refer to.

    Raises:
        ConfigError: robomimic cannot make anything of the configuration.
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
            with _quiet():
                # robomimic keeps the modality of each key in a global, which building the networks reads.
                obs_utils.initialize_obs_utils_with_config(config)
                self.algo = algo_factory(config.algo_name, config, obs_key_shapes=shapes, ac_dim=action_dim, device=device)
        # robomimic's own words are the best there are: which values it knows depends on its version.
        except (ValueError, TypeError, AttributeError, AssertionError, LookupError, NotImplementedError) as error:
            raise ConfigError(f"agent: robomimic {version()} cannot work with these settings: {error!r}") from error
        except RuntimeError as error:
            if "config has been locked" not in str(error):
                raise
            raise ConfigError(f"agent: a setting that robomimic {version()} needs is missing: {error}") from error
        self._check_optimizers()

    def _check_optimizers(self) -> None:
        """Where robomimic does not know a name, or has no schedule to follow, it makes none and says nothing."""
        for name, params in self.config.algo.get("optim_params", {}).items():
            place = f"agent.algo.optim_params.{name}"
            if self.algo.optimizers.get(name, self) is None:
                kind = params.get("optimizer_type")
                raise ConfigError(f"{place}.optimizer_type: robomimic {version()} has no '{kind}'; give adam or adamw")
            kind = params.learning_rate.get("scheduler_type", _NO_SCHEDULE)
            if kind != _NO_SCHEDULE and self.algo.lr_schedulers.get(name, self) is None:
                raise ConfigError(
                    f"{place}.learning_rate.epoch_schedule: empty, so that scheduler_type '{kind}' would do nothing; give "
                    "the epochs, e.g. \"epoch_schedule=['${epochs}']\""
                )

    def train(self, batch: Settings, epoch: int) -> dict[str, float]:
        """One gradient step on observations (B, T, ...) and actions (B, T, A); its losses."""
        self.algo.set_train()
        losses = self._run(batch, epoch, validate=False)
        step = getattr(self.algo, "on_gradient_step", None)  # Since 0.4, for schedules that count steps.
        if step is not None:
            step()
        return losses

    def validate(self, batch: Settings, epoch: int) -> dict[str, float]:
        """The losses without a gradient step."""
        self.algo.set_eval()
        with torch.no_grad():
            return self._run(batch, epoch, validate=True)

    def _run(self, batch: Settings, epoch: int, validate: bool) -> dict[str, float]:
        inputs = self.algo.process_batch_for_training(batch)
        inputs = self.algo.postprocess_batch_for_training(inputs, obs_normalization_stats=None)
        info = self.algo.train_on_batch(inputs, epoch, validate=validate)
        return {name: float(value) for name, value in self.algo.log_info(info).items()}

    def end_epoch(self, epoch: int) -> None:
        self.algo.on_epoch_end(epoch)

    def act(self, obs: dict[str, Tensor]) -> Tensor:
        """The network's output (B, A) for normalized observations (B, ...)."""
        return self.algo.get_action(obs_dict=obs)

    def begin_acting(self) -> None:
        """No more dropout; recurrent networks forget."""
        self.algo.set_eval()
        self.algo.reset()

    @property
    def memory_horizon(self) -> int | None:
        """After how many steps a recurrent policy forgets; None: it has no memory."""
        return int(self.config.algo.rnn.horizon) if hasattr(self.algo, "_rnn_hidden_state") else None

    @property
    def memory(self) -> Any:
        """Hidden state of a recurrent policy: (layers, B, H), a pair of such (LSTM), or None before the first step."""
        return self.algo._rnn_hidden_state

    @memory.setter
    def memory(self, state: Any) -> None:
        self.algo._rnn_hidden_state = state
        # A count that is no multiple of the horizon keeps robomimic from forgetting all envs at once.
        self.algo._rnn_counter = 0 if state is None else 1

    def parameters_state(self) -> Any:
        """What robomimic keeps in a checkpoint's `model`."""
        return self.algo.serialize()

    def load_parameters(self, state: Any) -> None:
        self.algo.deserialize(state)

    def optimizer_state(self) -> Settings:
        return {
            kind: {name: part.state_dict() for name, part in parts.items() if part is not None}
            for kind, parts in (("optimizers", self.algo.optimizers), ("lr_schedulers", self.algo.lr_schedulers))
        }

    def load_optimizer_state(self, state: Settings) -> None:
        for kind, parts in state.items():
            for name, saved in parts.items():
                getattr(self.algo, kind)[name].load_state_dict(saved)
