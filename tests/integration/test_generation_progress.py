"""Progress of a run: counts and shares from the first step to 100 %."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from isaaclab_mimic_ext.run import share
from isaaclab_mimic_ext.run.generate import generate_run
from isaaclab_mimic_ext.run.result import Progress
from tests.kinematic_sources import generate_cfg

SHAKY = "subtask_configs.franka.1.action_noise=0.45"
"""Enough for a part of the grasps to fail."""


def progress_of(source: Path, folder: Path, *overrides: str, stop_at: int | None = None) -> list[Progress]:
    seen: list[Progress] = []

    def should_stop(progress: Progress) -> bool:
        seen.append(progress)
        return stop_at is not None and progress.num_done >= stop_at

    generate_run(generate_cfg(source, folder, "num_envs=5", SHAKY, *overrides), lambda: nullcontext(should_stop))
    return seen


@pytest.mark.parametrize("guarantee", [True, False])
def test_progress_counts_all_ended_trials_and_ends_at_100_percent(
    kinematic_source: Path, tmp_path: Path, guarantee: bool
) -> None:
    words = ("datagen_config.generation_num_trials=12", f"datagen_config.generation_guarantee={guarantee}")
    first = progress_of(kinematic_source, tmp_path, *words, "overwrite=true", stop_at=5)
    interrupted = json.loads((tmp_path / "progress.json").read_text())
    assert (interrupted["state"], interrupted["stop_reason"]) == ("ended", "interrupted")
    assert interrupted["trials"] >= 5
    second = progress_of(kinematic_source, tmp_path, *words, "resume=true")
    finished = json.loads((tmp_path / "progress.json").read_text())
    assert (finished["state"], finished["stop_reason"], finished["remaining_s"]) == ("ended", "target reached", 0.0)
    assert finished["elapsed_s"] >= interrupted["elapsed_s"] and finished["trials"] > interrupted["trials"]
    for seen in (first, second):
        assert all(p.num_done == (p.num_successes if guarantee else p.num_ended) for p in seen)
        assert seen[0].share < 0.1 and all(0.0 < p.share <= 1.0 for p in seen)
        # The share advances while no trial has ended yet.
        before_first_end = [p.share for p in seen if p.num_ended == seen[0].num_ended]
        assert before_first_end == sorted(set(before_first_end)) and len(before_first_end) > 10
    assert 0.2 < first[-1].share < 0.8
    assert second[0].num_done >= 5
    assert (second[-1].num_done, second[-1].share) == (12, 1.0)


def test_share_is_right_before_the_first_of_the_trials_that_run_together_has_ended(
    kinematic_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With as many envs as trials, all trials end in the last steps of the run."""
    monkeypatch.setattr(share, "_PERIOD", 0.0)
    seen = progress_of(
        kinematic_source, tmp_path, "num_envs=12", "datagen_config.generation_num_trials=12",
        "datagen_config.generation_guarantee=false",
    )  # fmt: skip
    for progress in seen[len(seen) // 4 : -1]:
        assert abs(progress.share - progress.env_steps_now / seen[-1].env_steps_now) < 0.06
