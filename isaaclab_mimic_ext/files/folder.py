"""The folder that a command writes to: its files by name, and when it may be used, overwritten or resumed."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.writing import part_path, write_errors


class OutputFile:
    """A file or folder inside an `OutputFolder`, declared in its class; read from an instance it is the path.

    Args:
        name: Path relative to the folder.
        is_kept: `clear` and `check` ignore it.
    """

    def __init__(self, name: str, is_kept: bool = False):
        self.name, self.is_kept = name, is_kept

    def __get__(self, folder: "OutputFolder", owner: type["OutputFolder"]) -> Path:
        return folder.path / self.name


@dataclass(frozen=True)
class OutputFolder:
    """A folder whose files are declared as class attributes of type `OutputFile`.

    Attributes:
        path: The folder.
        content: What the folder holds, for messages: "a run".
        resumes_from: Name of the file without which there is nothing to resume; None: the command cannot resume.
    """

    path: Path
    content: ClassVar[str]
    resumes_from: ClassVar[str | None] = None

    @classmethod
    def files(cls) -> list[OutputFile]:
        """The declared files, in the order of their declaration."""
        return [value for base in reversed(cls.__mro__) for value in vars(base).values() if isinstance(value, OutputFile)]

    def present(self) -> list[Path]:
        """What exists of the declared files at the top of the folder, with unfinished ones (`.part`) and journals."""
        names = dict.fromkeys(file.name.partition("/")[0] for file in self.files() if not file.is_kept)
        paths = [self.path / name for name in names]
        journals = [path.with_name(path.name + suffix) for path in paths for suffix in ("-wal", "-shm")]
        return [path for path in (*paths, *map(part_path, paths), *journals) if path.exists()]

    def check(self, overwrite: bool, resume: bool = False) -> None:
        """Make sure that the folder can be used, without changing anything.

        Raises:
            OutputError: it is a file, holds files of something else, or results that are to be kept, or nothing to resume.
        """
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise OutputError(f"output_dir: {self.path} is a file; give the path of a folder")
        present = self.present()
        if not present:
            self._check_empty()
        elif resume:
            self._check_resumable()
        elif not overwrite:
            remedies = "give another output_dir, or overwrite=true"
            if self.resumes_from:
                remedies = f"continue it with resume=true, {remedies}"
            raise OutputError(f"output_dir: {self.path} holds {self.content} already ({_names(present)}); {remedies}")

    def _check_resumable(self) -> None:
        assert self.resumes_from is not None
        if not (self.path / self.resumes_from).exists() and self.has_results():
            raise OutputError(
                f"output_dir: {self.path} holds {self.content} without {self.resumes_from}, which cannot be resumed; use "
                "overwrite=true"
            )

    def has_results(self) -> bool:
        """Return whether the folder, which has some of its files, has any that is worth keeping."""
        return True

    def _check_empty(self) -> None:
        kept = {file.name.partition("/")[0] for file in self.files() if file.is_kept}
        others = sorted(path for path in self.path.iterdir() if path.name not in kept)
        if others:
            raise OutputError(f"output_dir: {self.path} holds other files ({_names(others)}); give a new or an empty folder")

    def create(self) -> None:
        """Make the folder.

        Raises:
            OutputError: it cannot be written to.
        """
        with write_errors(self.path, "output_dir", "give another output_dir", OutputError):
            self.path.mkdir(parents=True, exist_ok=True)

    def clear(self) -> None:
        """Remove the declared files.

        Raises:
            OutputError: they cannot be removed.
        """
        with write_errors(self.path, "output_dir", "give another output_dir", OutputError):
            for path in self.present():
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)


def _names(paths: list[Path]) -> str:
    names = [path.name for path in paths]
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """What is logged within goes to `path` too."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    except BaseException as error:
        message = f"{type(error).__name__}: {error}"
        handler.handle(logging.makeLogRecord({"name": __name__, "levelname": "ERROR", "msg": message}))
        raise
    finally:
        root.removeHandler(handler)
        handler.close()
