"""Draw the pictures of single demos from their recorded states, in this process or in several worker processes."""

# T steps of a demo, H x W pixels

import json
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isaaclab_mimic_ext import trees
from isaaclab_mimic_ext.config.hydra import find_tasks_in
from isaaclab_mimic_ext.envs.appearance import Numbers, demo_look
from isaaclab_mimic_ext.envs.articulations import Articulations
from isaaclab_mimic_ext.envs.cameras import calibration, choose_cameras
from isaaclab_mimic_ext.envs.modalities import picture_names
from isaaclab_mimic_ext.envs.playback import check_has_states, checked_states
from isaaclab_mimic_ext.envs.rendering import Renderer
from isaaclab_mimic_ext.errors import RecorderError
from isaaclab_mimic_ext.files.demo import read_demo
from isaaclab_mimic_ext.files.hdf5 import open_hdf5
from isaaclab_mimic_ext.files.stream import read_env_args
from isaaclab_mimic_ext.files.writing import replacing
from isaaclab_mimic_ext.task.cameras import RGB, CameraCfg
from isaaclab_mimic_ext.task.definition import Task, load_task
from isaaclab_mimic_ext.task.folders import task_dirs
from isaaclab_mimic_ext.task.meshes import recorded_objects
from isaaclab_mimic_ext.task.robot import recorded_robot

Pictures = dict[str, NDArray[Any]]
"""Name of an observation -> pictures (T, H, W, ...), see `Renderer.pictures`."""


@dataclass(frozen=True)
class PictureJob:
    """Demos of a file to draw, and how.

    Attributes:
        input_file: dataset with recorded states.
        folder: folder that gets one file of pictures per demo.
        task_name: name of the task whose scene is drawn.
        cameras: names of cameras, see `choose_cameras`.
        size: height and width of a picture [pixels].
        rendering_mode: one of `RENDERING_MODES`.
        camera_cfgs: values that replace those of the cameras, and further cameras.
        copies: number of copies of each demo, each in a random look.
        looks: kinds of random looks of copies.
        seed: seed of the looks.
        modalities: pictures of each camera, see `MODALITIES`.
        task_dirs: folders of the user's own tasks.
    """

    input_file: Path
    folder: Path
    task_name: str
    cameras: tuple[str, ...]
    size: tuple[int, int]
    rendering_mode: str
    camera_cfgs: Mapping[str, CameraCfg] = field(default_factory=dict)
    copies: int = 0
    looks: tuple[str, ...] = ()
    seed: int = 1
    modalities: tuple[str, ...] = (RGB,)
    task_dirs: tuple[Path, ...] = field(default_factory=lambda: tuple(task_dirs()[1:]))

    def path(self, demo: str) -> Path:
        """Path of the pictures of a demo."""
        return self.folder / f"{demo}.npz"

    def load(self, demo: str, copy: int = 0) -> Pictures:
        """Read the pictures of a demo; `copy` 0 is the demo itself."""
        with np.load(self.path(demo)) as file:
            names = [name.partition(":") for name in file.files]
            return {name: file[f"{number}:{name}"] for number, _, name in names if int(number) == copy}

    def look(self, demo: str, copy: int) -> Numbers | None:
        """Random numbers of the look of a copy; None for the demo itself."""
        if copy == 0:
            return None
        return demo_look(self.seed, demo, copy)


class Painter:
    """Draws demos of a job, one after the other. A context manager, as `Renderer` is.

    Attributes:
        task: task whose scene is drawn.
        renderer: renderer of the scene.
        cameras: chosen cameras, see `choose_cameras`.
        observations: names of the pictures among the observations -> their modality.
    """

    def __init__(self, job: PictureJob):
        env_args = read_env_args(job.input_file)
        self._job, self.task = job, load_task(job.task_name, recorded_robot(env_args), recorded_objects(env_args))
        height, width = job.size
        self.renderer = Renderer(
            self.task, width, height, shadows=False, mode=job.rendering_mode, cameras=job.camera_cfgs, looks=job.looks
        )
        self.cameras = choose_cameras(self.renderer.model, self.task, job.cameras)
        self.observations = {name: kind for (_, kind), name in picture_names(self.cameras, job.modalities).items()}

    def __enter__(self) -> "Painter":
        return self

    def __exit__(self, *_: object) -> None:
        self.renderer.close()

    def draw(self, demo: str) -> None:
        """Write the pictures of a demo to the folder of the job.

        Raises:
            SourceDataError: the demo does not contain states of the task.
            RecorderError: the pictures cannot be written.
        """
        states = states_before_steps(self._job.input_file, demo, self.task)
        pictures: Pictures = {}
        for copy in range(self._job.copies + 1):
            if self._job.looks:
                self.renderer.set_look(self._job.look(demo, copy))
            steps = (trees.take(states, step) for step in range(trees.num_rows(states)))
            frames = [self.renderer.pictures(state, self.cameras, self._job.modalities) for state in steps]
            pictures |= {f"{copy}:{name}": np.stack([frame[name] for frame in frames]) for name in self.observations}
        with replacing(self._job.path(demo)) as part, open(part, "wb") as file:
            np.savez(file, **pictures)  # type: ignore[arg-type]

    def look_attributes(self, demo: str, copy: int) -> dict[str, Any]:
        """Attributes of a copy: the demo that it is a copy of, and its look, as JSON; empty for the demo itself."""
        if copy == 0:
            return {}
        look: dict[str, Any] = {"kinds": list(self._job.looks), "seed": self._job.seed, "copy": copy}
        if "camera" in self._job.looks:
            self.renderer.set_look(self._job.look(demo, copy))
            cameras, size = self.cameras.items(), self._job.size
            look["calibration"] = {name: calibration(self.renderer.model, self.task, each, *size) for name, each in cameras}
            self.renderer.set_look(None)
        return {"copy_of": demo, "appearance": json.dumps(look)}


def names_of_copies(demos: Sequence[str], num_copies: int, every: Sequence[str]) -> dict[str, list[str]]:
    """Names of the copies of each demo. Copies of `demo_7` are `demo_107`, `demo_207` if all numbers are below 100.

    Args:
        every: names of all demos of the file, which copies must not have.
    """
    numbers = {name: int(name.rpartition("_")[2]) for name in every if name.rpartition("_")[2].isdigit()}
    offset = 10 ** len(str(max(numbers.values(), default=0)))
    return {
        name: [
            f"{name.rpartition('_')[0]}_{copy * offset + numbers[name]}" if name in numbers else f"{name}_copy_{copy}"
            for copy in range(1, num_copies + 1)
        ]
        for name in demos
    }


def states_before_steps(path: Path, name: str, task: Task) -> trees.Tree:
    """States in which the T observations of a demo were made, leaves (T, ...): the initial one, and those after each step.

    Raises:
        SourceDataError: states of an arm or object of the task are missing, or those of an object that it does not have
            are present.
    """
    with open_hdf5(path) as file:
        # The demo is verified where its other data is copied.
        demo = read_demo(file, name, ["states", "initial_state", "actions"], as_xyzw=True, verify=False)
    for group in ("states", "initial_state"):
        check_has_states(demo, group, bool(demo.below(group)))
    after, initial = (trees.flatten(checked_states(demo, group, task)) for group in ("states", "initial_state"))
    demo.check_lengths()
    articulations = [*(arm.name for arm in task.arms), *Articulations(task).widths]
    for kind, known in (("rigid_object", task.object_names), ("articulation", articulations)):
        for other in sorted({each.split("/")[1] for each in after if each.startswith(f"{kind}/")} - {*known}):
            demo.refuse(f"states/{kind}/{other}: is not in the scene of task '{task.name}'; use task=<task of the file>")
    common = sorted(after.keys() & initial.keys())
    return trees.unflatten({each: np.concatenate((initial[each][:1], after[each][:-1])) for each in common})


@contextmanager
def drawn_by_workers(job: PictureJob, names: Sequence[str], num_workers: int) -> Iterator[dict[str, "Future[None]"]]:
    """Draw demos in worker processes during the block. Yield the future of each demo.

    A future raises the errors of `Painter.draw`, those of `Renderer`, and a RecorderError if its process was killed.
    """
    workers = [_Worker(job) for _ in range(num_workers)]
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def draw(name: str) -> None:
        worker = idle.get()
        try:
            worker.draw(name)
        finally:
            idle.put(worker)

    with ThreadPoolExecutor(num_workers) as threads:
        try:
            yield {name: threads.submit(draw, name) for name in names}
        finally:
            for worker in workers:
                worker.close()
            threads.shutdown(cancel_futures=True)


class _Worker:
    """A process that draws one demo at a time. It ends when its connection closes, also when this process is killed."""

    def __init__(self, job: PictureJob):
        self._connection, theirs = Pipe()
        # `multiprocessing` would import the user's main module again.
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve({theirs.fileno()})"],
            pass_fds=[theirs.fileno()],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(each for each in sys.path if each)},
            start_new_session=True,  # Ctrl-C signals the whole foreground group; this process ends its workers itself.
        )
        theirs.close()
        self._connection.send(job)

    def draw(self, name: str) -> None:
        try:
            self._connection.send(name)
            answer = self._connection.recv()
        except (EOFError, OSError) as error:
            code = self._process.wait()
            cause = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            reason = f"the process that drew it {cause}; continue with resume=true, or with a smaller num_workers"
            raise RecorderError(f"{name}: {reason}") from error
        if answer is not None:
            raise answer

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._connection.close()


def serve(descriptor: int) -> None:
    """Main function of a worker process: draw the demos that it receives, and answer with None or the error."""
    connection = Connection(descriptor)
    torch.set_num_threads(1)
    try:
        job: PictureJob = connection.recv()
        for folder in job.task_dirs:
            find_tasks_in(folder)
        painter: Painter | None = None
        while True:
            name: str = connection.recv()
            try:
                painter = painter or Painter(job)
                painter.draw(name)
            except Exception as error:
                connection.send(error)
            else:
                connection.send(None)
    except (EOFError, ConnectionError):
        return  # The parent has ended.
