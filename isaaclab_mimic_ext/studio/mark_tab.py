"""The tab Mark: a person sees recorded demos, and marks where their subtasks end."""

# T steps of a demo

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from isaaclab_mimic_ext.datasets.annotate import Annotation, ReplayedDemo
from isaaclab_mimic_ext.datasets.marks import KINDS, DemoMarks, signals_to_mark
from isaaclab_mimic_ext.errors import MimicError
from isaaclab_mimic_ext.files.writing import part_path
from isaaclab_mimic_ext.studio.demo_views import DemoView
from isaaclab_mimic_ext.studio.mark_jobs import AnnotateJob, JobReports, Jobs, MarkSettings
from isaaclab_mimic_ext.studio.marks_file import MarksFile
from isaaclab_mimic_ext.studio.opened_demos import OpenedDemos
from isaaclab_mimic_ext.studio.protocol import Refusal, check_fields, choice, integer
from isaaclab_mimic_ext.studio.recorded_demos import RecordedDemo, RecordedDemos
from isaaclab_mimic_ext.studio.tabs import Client, Resource, Tab
from isaaclab_mimic_ext.texts import counted

_MAX_REVISION = 2**31
_ORDERS = ("open", "set", "annotate", "reload", "end")


class MarkTab(Tab, JobReports):
    """Demos, marks and messages of the tab.

    Args:
        file: marks of the demos.
        step_dt: duration of a step [s].
        next_command: command line that follows the annotation.
        can_end: whether the page may end the command.
        can_replay: whether the tab replays demos and writes the annotated file; else, signals are computed from states.

    Attributes:
        is_ended: whether a person has ended the command.
        is_annotated: whether the annotated file has the present marks.
        is_annotating_elsewhere: returns whether a command writes the annotated file, so that the tab cannot write it.
    """

    name: ClassVar[str] = "mark"
    title: ClassVar[str] = "Mark"

    def __init__(
        self,
        settings: MarkSettings,
        demos: RecordedDemos,
        file: MarksFile,
        jobs: Jobs,
        step_dt: float,
        next_command: str = "",
        can_end: bool = False,
        can_replay: bool = True,
    ):
        self._settings, self._demos, self._file, self._jobs = settings, demos, file, jobs
        self._step_dt, self._next_command, self._can_end = step_dt, next_command, can_end
        self._can_replay = can_replay
        self.is_ended = self.is_annotated = False
        self.is_annotating_elsewhere: Callable[[], bool] = lambda: False
        self._written_marks: dict[str, DemoMarks] = {}
        self._opened = OpenedDemos(settings, lambda name: file.marks.get(name, DemoMarks()), step_dt, can_replay)
        self._annotation: dict[str, Any] = {"state": "none", "text": "", "rejected": {}}
        self._list_fault = ""

    @property
    def is_annotating(self) -> bool:
        """Return whether the tab writes the annotated file."""
        return bool(self._annotation["state"] == "running")

    @property
    def _is_all_left_out(self) -> bool:
        usable = [demo.name for demo in self._demos.demos.values() if not demo.fault]
        return bool(usable) and all(self._file.marks.get(name, DemoMarks()).leave_out for name in usable)

    # Thread of the jobs

    def found_demos(self) -> None:
        self._list_fault = ""
        self._opened.forget_changed(self._demos.demos)
        self.publish(self._state())

    def list_failed(self, reason: str) -> None:
        if reason != self._list_fault:
            self._list_fault = reason
            self.publish(self._state())

    def opened(self, name: str, view: DemoView, gripper: dict[str, list[list[int]]]) -> None:
        if (demo := self._demos.demos.get(name)) is not None:
            self._opened.add(demo, view, gripper)
            self._publish_demo(name)

    def open_failed(self, name: str, reason: str) -> None:
        if (demo := self._demos.demos.get(name)) is not None:
            self._opened.fail(demo, reason)
            self._publish_demo(name)

    def replayed(self, name: str, replayed: ReplayedDemo | None, note: str) -> None:
        self._opened.note_replay(name, replayed, note)
        self._judge(name)

    def examined(self, annotation: Annotation, findings: list[dict[str, Any]]) -> None:
        self._opened.note_findings(annotation, findings)
        self._publish_demo(annotation.demo.name)

    def _judge(self, name: str) -> None:
        """Show what an annotation with the present marks of a demo gives, and let it be examined."""
        annotation = self._opened.judge(name)
        self._publish_demo(name)
        if annotation is not None:
            self._jobs.examine(annotation)

    def annotated(self, annotations: list[Annotation]) -> None:
        rejected = {
            each.demo.name: each.rejection.removeprefix(f"{each.demo.name}: ") for each in annotations if each.rejection
        }
        num_written = len(annotations) - len(rejected)
        text = f"{counted(num_written, 'demo is', 'demos are')} in {self._settings.output_file.name}"
        self.is_annotated = self._written_marks == self._file.marks  # They may have changed since the request.
        self._show_annotation("done", text, rejected)

    def annotation_failed(self, reason: str) -> None:
        self._show_annotation("failed", reason, {})

    def _show_annotation(self, state: str, text: str, rejected: dict[str, str]) -> None:
        self._annotation = {"state": state, "text": text, "rejected": rejected}
        self.publish(self._state())

    # What the pages show

    def _state(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "event": "state",
            "input_file": str(settings.input_file),
            "output_file": str(settings.output_file),
            "output_exists": settings.output_file.exists(),
            "marks_file": str(self._file.path),
            "fault": self._file.fault or self._list_fault,
            "revision": self._file.revision,
            "is_finished": self._demos.is_finished,
            "auto": settings.auto,
            "with_starts": settings.with_starts,
            "step_dt": self._step_dt,
            "tracks": self._tracks(),
            "demos": [self._listed(demo) for demo in list(self._demos.demos.values())],
            "annotation": self._annotation,
            "is_annotated": self.is_annotated,
            "next_command": self._next_command,
            "can_end": self._can_end,
            "can_write": self._can_replay,
        }

    def _tracks(self) -> list[dict[str, Any]]:
        """Subtasks of each end effector, and their signals in the order of their steps."""
        settings = self._settings
        return [
            {
                "eef": eef_name,
                "subtasks": [
                    {"signal": each.subtask_term_signal, "text": getattr(each, "description", "") or ""} for each in subtasks
                ],
                "signals": [
                    {"kind": each.kind, "name": each.name} for each in signals_to_mark(subtasks, settings.with_starts)
                ],
            }
            for eef_name, subtasks in settings.config.subtask_configs.items()
        ]

    def _listed(self, demo: RecordedDemo) -> dict[str, Any]:
        marks = self._file.marks.get(demo.name, DemoMarks())
        return {
            "name": demo.name,
            "num_steps": demo.num_steps,
            "actions": demo.actions,
            "fault": demo.fault,
            "marks": _as_json(marks),
            "verdict": self._opened.verdict(demo.name),
        }

    def _publish_demo(self, name: str) -> None:
        if (event := self._opened.event(name)) is not None:
            self.publish(event)

    # Network thread

    def connected(self, client: Client) -> None:
        client.send({"tab": self.name, **self._state()})

    def receive(self, client: Client, message: Mapping[str, Any]) -> Any:
        check_fields("message", message, ["do"], ["demo", "marks", "revision", "overwrite"])
        name = choice("do", message["do"], _ORDERS)
        if name == "open":
            return self._open(client, self._demo(message))
        if not client.has_control:
            raise Refusal("mark: another page has control; take control first")
        if name == "set":
            return self._set(message)
        if name == "annotate":
            self._annotate(message)
        elif name == "reload":
            self._reload()
        elif not self._can_end:
            raise Refusal("end: the studio ends with Ctrl-C in its terminal")
        else:
            self.is_ended = True
        return None

    def _demo(self, message: Mapping[str, Any]) -> RecordedDemo:
        names = self._demos.demos
        return names[choice("demo", message.get("demo"), tuple(names))]

    def _open(self, client: Client, demo: RecordedDemo) -> None:
        if demo.fault:
            raise Refusal(demo.fault)
        if self._opened.touch(demo.name) and (event := self._opened.event(demo.name)) is not None:
            client.send({"tab": self.name, **event})
        else:
            self._jobs.open(demo.name)

    def _set(self, message: Mapping[str, Any]) -> int:
        """Write the marks of a demo, and return the revision."""
        demo, marks = self._demo(message), _read_marks(message.get("marks"))
        if integer("revision", message.get("revision"), 0, _MAX_REVISION) != self._file.revision:
            raise Refusal("marks: another page has changed them; look at them, and mark again")
        try:
            self._file.set(demo, marks)
        except (MimicError, OSError) as error:
            if self._file.fault:
                self.publish(self._state())
            raise Refusal(str(error)) from error
        self.is_annotated = False
        self.publish({"event": "marks", "demo": demo.name, "marks": _as_json(marks), "revision": self._file.revision})
        if self._annotation["state"] == "failed":  # It was about the marks before.
            self._show_annotation("none", "", {})
        self._judge(demo.name)
        return self._file.revision

    def _annotate(self, message: Mapping[str, Any]) -> None:
        if not self._can_replay:
            raise Refusal("with Isaac Lab, a command writes the annotated file; start the step Annotate of the path")
        if self.is_annotating:
            raise Refusal("the annotated file is being written; wait until it is complete")
        if self.is_annotating_elsewhere():
            raise Refusal("the step Annotate of the path writes the annotated file; wait until it has ended, or stop it")
        if not self._demos.is_finished:
            where = "where it runs, or with `mimic record` and resume=true" if self._can_end else "on the tab Record (Esc)"
            raise Refusal(f"the recording has not ended; end it {where}, then write the annotated file")
        if self._file.fault:
            raise Refusal(self._file.fault)
        if self._is_all_left_out:
            raise Refusal("all demos are left out; use at least one of them")
        if not isinstance(overwrite := message.get("overwrite", False), bool):
            raise Refusal("overwrite: must be true or false")
        output = self._settings.output_file
        if output.exists() and not overwrite:
            self.publish(self._state())  # The page may not have seen the file, and now asks.
            raise Refusal(f"{output} exists; write it again, and confirm that it is replaced")
        self._show_annotation("running", "", {})
        self._written_marks = dict(self._file.marks)
        is_left_over = part_path(output).exists() and not output.exists()  # Of a process that was killed.
        self._jobs.annotate(AnnotateJob(self._written_marks, overwrite or is_left_over))

    def _reload(self) -> None:
        self._file.read(self._demos.demos)
        self.publish(self._state())
        for name in self._opened.names:
            self._judge(name)

    def resource(self, path: tuple[str, ...]) -> Resource | None:
        return self._opened.resource(path)


def _read_marks(fields: Any) -> DemoMarks:
    if not isinstance(fields, dict):
        raise Refusal("marks: must be an object")
    check_fields("marks", fields, ["term", "start", "leave_out"])
    steps = {kind: fields[kind] for kind in KINDS}
    for kind, of_kind in steps.items():
        if not isinstance(of_kind, dict):
            raise Refusal(f"marks.{kind}: must be an object")
        for name, step in of_kind.items():
            integer(f"marks.{kind}.{name[:40]}", step, -_MAX_REVISION, _MAX_REVISION)
    if not isinstance(fields["leave_out"], bool):
        raise Refusal("marks.leave_out: must be true or false")
    return DemoMarks(**steps, leave_out=fields["leave_out"])


def _as_json(marks: DemoMarks) -> dict[str, Any]:
    return {"term": marks.term, "start": marks.start, "leave_out": marks.leave_out}
