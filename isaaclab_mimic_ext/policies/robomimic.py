"""Policies that `scripts/train.py` made, checked against the env that they are to act in."""

from isaaclab_mimic_ext.errors import ConfigError, SourceDataError
from isaaclab_mimic_ext.policies.base import Policy, PolicyRequest


def make_policy(request: PolicyRequest) -> Policy:
    """The policy of a checkpoint; the normalisation of observations and actions is in it.

    Raises:
        ConfigError: no checkpoint was given.
        SourceDataError: it is missing or damaged, or made for another task, other actions or other observations.
        DependencyMissing: robomimic is not installed.
    """
    if request.checkpoint is None:
        raise ConfigError("checkpoint: policy 'robomimic' needs one; give the path of a file or of a training run's folder")
    from isaaclab_mimic_ext.train.policy import load_policy

    policy = load_policy(str(request.checkpoint), device=str(request.device))
    check_fits(request, policy.task_name, policy.action_dim, policy.obs_shapes)
    return policy


def check_fits(
    request: PolicyRequest, task_name: str, action_dim: int, observation_shapes: dict[str, tuple[int, ...]]
) -> None:
    """Make sure that what a checkpoint was trained for is what it is asked for.

    Raises:
        SourceDataError: it is not.
    """
    place = f"checkpoint: {request.checkpoint}"
    if task_name != request.task:
        raise SourceDataError(f"{place}: trained for task '{task_name}', asked for '{request.task}'; give task={task_name}")
    if action_dim != request.action_dim:
        raise SourceDataError(
            f"{place}: its actions have {action_dim} entries, those of task '{request.task}' {request.action_dim}; "
            "train on a dataset of this task"
        )
    missing = sorted(set(observation_shapes) - set(request.observation_shapes))
    if missing:
        raise SourceDataError(
            f"{place}: it wants observations that the env does not give: {', '.join(missing)}; the env gives: "
            f"{', '.join(sorted(request.observation_shapes))}; train without them"
        )
    for name, shape in observation_shapes.items():
        found = tuple(request.observation_shapes[name])
        if found != tuple(shape):
            raise SourceDataError(
                f"{place}: it wants '{name}' of shape {tuple(shape)}, the env gives {found}; train on a dataset of this task"
            )
