"""The annotated file of a session: its number of demos, and how the recording and its marks differ from it."""

from pathlib import Path

from isaaclab_mimic_ext.datasets.annotated_from import Contents, change_of, contents_of, read_contents
from isaaclab_mimic_ext.datasets.marks import DemoMarks, read_marks
from isaaclab_mimic_ext.errors import MimicError
from isaaclab_mimic_ext.files.hdf5 import demo_names, open_hdf5
from isaaclab_mimic_ext.run.session import content_digest
from isaaclab_mimic_ext.studio.folder import StudioFolder
from isaaclab_mimic_ext.studio.recorded_demos import RecordedDemos, version_of
from isaaclab_mimic_ext.texts import counted


class AnnotatedFile:
    """Compares the contents of the files, not their times: a recording that is continued is written again.

    Files that have not changed are not read again.

    Args:
        folder: folder of the session; the annotated file must exist when a method is called, except for `is_all_left_out`.
    """

    def __init__(self, folder: StudioFolder):
        self._folder, self._recording = folder, RecordedDemos(folder.raw)
        self._seen: tuple[int, int] | None = None
        self._num_demos = ""
        self._contents: Contents | None = None
        self._marks_seen: tuple[int, int] | None = None
        self._marks: dict[str, DemoMarks] = {}
        self._digest_seen: tuple[int, int] | None = None
        self._digest = ""

    @property
    def num_demos(self) -> str:
        """Number of demos in the annotated file, or the reason why it cannot be read."""
        self._read()
        return self._num_demos

    @property
    def digest(self) -> str:
        """Digest of the annotated file, as a run stores it (`session.CONTENT`); empty if it cannot be read."""
        if (seen := version_of(self._folder.annotated)) != self._digest_seen:
            try:
                self._digest, self._digest_seen = content_digest(self._folder.annotated), seen
            except OSError:
                return ""
        return self._digest

    def change(self) -> str:
        """Return in one sentence how the recording or its marks have changed since; empty if they are the same."""
        self._read()
        folder = self._folder
        if self._contents is None:
            newer = [path.name for path in (folder.raw, folder.marks) if _is_newer(path, folder.annotated)]
            return f"{newer[0]} was written after {folder.annotated.name}" if newer else ""
        try:
            self._recording.update()
            marks = self._read_marks()
        except MimicError as error:
            return str(error)
        actions = self._actions
        return change_of(self._contents, contents_of(actions, marks)) if actions else ""

    def is_all_left_out(self) -> bool:
        """Return whether the marks leave out all demos of the recording; False if they cannot be read."""
        try:
            self._recording.update()
            left_out = {name for name, marks in self._read_marks().items() if marks.leave_out}
        except MimicError:
            return False
        return bool(self._actions) and left_out.issuperset(self._actions)

    @property
    def _actions(self) -> dict[str, str]:
        """Digest of the actions of each demo of the recording."""
        return {demo.name: demo.actions for demo in self._recording.demos.values() if not demo.fault}

    def _read(self) -> None:
        path = self._folder.annotated
        if (seen := version_of(path)) == self._seen:
            return
        self._seen, self._contents = seen, None
        try:
            with open_hdf5(path) as file:
                self._num_demos = counted(len(demo_names(file)), "demo")
            self._contents = read_contents(path)
        except MimicError as error:
            self._num_demos = str(error)

    def _read_marks(self) -> dict[str, DemoMarks]:
        path = self._folder.marks
        if (seen := version_of(path)) != self._marks_seen:
            self._marks = read_marks(path) if path.exists() else {}
            self._marks_seen = seen
        return self._marks


def _is_newer(path: Path, other: Path) -> bool:
    return path.exists() and path.stat().st_mtime > other.stat().st_mtime
