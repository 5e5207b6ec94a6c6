"""Captions of the demos in a video: name, source demos, subtask, and the reason of a failure."""

# T steps of a demo

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import h5py

from isaaclab_mimic_ext.envs.recorded_scene import Moment, computed_signals, grasp_step, moments
from isaaclab_mimic_ext.files.attributes import attributes_of, indices, truth_value, whole_number
from isaaclab_mimic_ext.files.hdf5 import texts_of
from isaaclab_mimic_ext.task.definition import SceneState, Task


@dataclass(frozen=True)
class Caption:
    """Text of one demo.

    Attributes:
        title: name of the demo, and of the trial.
        note: source demos.
        failure: reason of the failure; empty if the demo succeeded.
        stages: steps with their names, ascending; a stage is shown until its step.
        poster_step: step that represents the demo in pictures.
    """

    title: str = ""
    note: str = ""
    failure: str = ""
    stages: tuple[Moment, ...] = ()
    poster_step: int | None = None

    def stage(self, step: int) -> str:
        """Name of the part of the demo that contains a step: the signal that ends it; empty without stages."""
        index = next((index for index, moment in enumerate(self.stages) if step <= moment.step), 0)
        if not self.stages or index < len(self.stages) - 1:
            return self.stages[index].name if self.stages else ""
        return f"{self.stages[index - 1].name} done" if index else ""


def demo_caption(file: h5py.File, name: str, failures: Mapping[int, str] | None = None) -> Caption:
    """Caption of a demo of a dataset, without its stages.

    Args:
        failures: number of a failed trial -> reason of its failure.
    """
    attributes, reasons = attributes_of(file["data"][name]), failures or {}
    trial = whole_number(attributes.get("trial"))
    title = name if trial is None or name == f"demo_{trial}" else f"{name}, trial {trial}"
    has_failed = truth_value(attributes.get("success")) is False
    failure = reasons.get(-1 if trial is None else trial, "no reason recorded") if has_failed else ""
    return Caption(title, ", ".join(used_sources(file, attributes.get("source_demos"))), failure)


def complete(caption: Caption, task: Task, scene: SceneState) -> Caption:
    """Add the stages and the representative step that follow from the recorded scenes of a demo."""
    if not caption.title:
        return caption
    stages = tuple(moments(len(scene.joint_pos), computed_signals(task, scene)))[1:]
    return replace(caption, stages=stages, poster_step=grasp_step(task, scene))


def used_sources(file: h5py.File, source_demos: object) -> list[str]:
    """Names of the source demos that a demo was generated from, each once, in the order of their first use.

    Args:
        source_demos: attribute of the demo: index of each subtask, (E, S), -1 for none; None: not recorded.
    """
    names = texts_of(attributes_of(file["data"]).get("source_demo_names", ()))
    found = dict.fromkeys(index for index in indices(source_demos).ravel().tolist() if index >= 0)
    return [names[index] if index < len(names) else str(index) for index in found]


def as_captions(captions: Sequence[Caption | str] | None, count: int) -> list[Caption]:
    """One caption per demo; texts become titles."""
    given = captions if captions is not None else [""] * count
    return [Caption(each) if isinstance(each, str) else each for each in given]
