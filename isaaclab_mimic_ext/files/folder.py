"""Output folder of a command: names of its files, and checks whether it may be used, overwritten or resumed."""

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from isaaclab_mimic_ext.errors import OutputError
from isaaclab_mimic_ext.files.writing import create_folder, part_path, remove_folders, write_errors
from isaaclab_mimic_ext.texts import listed


class OutputFile:
    """File or folder inside an `OutputFolder`, declared as class attribute; an instance returns its path.

    Args:
        name: path relative to the folder.
        is_kept: `clear` and `check` ignore this file.
    """

    def __init__(self, name: str, is_kept: bool = False):
        self.name, self.is_kept = name, is_kept

    def __get__(self, folder: "OutputFolder", owner: type["OutputFolder"]) -> Path:
        return folder.path / self.name


@dataclass(frozen=True)
class OutputFolder:
    """Folder whose files are declared as class attributes of type `OutputFile`.

    Attributes:
        path: path of the folder.
        content: noun for the content of the folder, for messages: "a run".
        resumes_from: name of the file that is required to resume; None: the command cannot resume.
    """

    path: Path
    content: ClassVar[str]
    resumes_from: ClassVar[str | None] = None

    @classmethod
    def files(cls) -> list[OutputFile]:
        """Declared files, in the order of their declaration."""
        return [value for base in reversed(cls.__mro__) for value in vars(base).values() if isinstance(value, OutputFile)]

    def present(self) -> list[Path]:
        """Existing files and folders at the top of the folder that are declared, with `.part` files and files of stores."""
        names = dict.fromkeys(file.name.partition("/")[0] for file in self.files() if not file.is_kept)
        paths = [self.path / name for name in names]
        journals = [path.with_name(path.name + suffix) for path in paths for suffix in ("-wal", "-shm", "-episodes")]
        return [path for path in (*paths, *map(part_path, paths), *journals) if path.exists()]

    def check(self, overwrite: bool, resume: bool = False) -> None:
        """Check that the folder can be used, without changing it.

        Raises:
            OutputError: the path is a file, the folder contains other files, contains results and neither `overwrite`
                nor `resume` is set, or lacks the file that is required to resume.
        """
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise OutputError(f"output_dir: {self.path} is a file; use the path of a folder")
        present = self.present()
        if not present:
            self._check_empty()
        elif resume:
            self._check_resumable()
        elif not overwrite:
            remedies = "use another output_dir, or overwrite=true"
            if self.resumes_from:
                remedies = f"continue it with resume=true, {remedies}"
            raise OutputError(f"output_dir: {self.path} already contains {self.content} ({_names(present)}); {remedies}")

    def _check_resumable(self) -> None:
        assert self.resumes_from is not None
        if not (self.path / self.resumes_from).exists() and self.has_results():
            raise OutputError(
                f"output_dir: {self.path} contains {self.content} without {self.resumes_from}, so it cannot be resumed; "
                "start again with overwrite=true"
            )

    def has_results(self) -> bool:
        """Return whether the folder, which contains some declared files, contains results to keep."""
        return True

    def _check_empty(self) -> None:
        kept = {file.name.partition("/")[0] for file in self.files() if file.is_kept}
        others = sorted(path for path in self.path.iterdir() if path.name not in kept)
        if others:
            raise OutputError(
                f"output_dir: {self.path} contains other files ({_names(others)}); use a new or an empty folder"
            )

    def create(self) -> list[Path]:
        """Create the folder and its parents. Return those that did not exist, for `remove_folders`.

        Raises:
            OutputError: the folder cannot be written to.
        """
        with write_errors(self.path, "output_dir", "use another output_dir", OutputError):
            return create_folder(self.path)

    @contextmanager
    def created(self, is_kept: Callable[[], bool]) -> Iterator[None]:
        """Create the folder for the block. If the block fails while `is_kept()` is false, it is removed with its files.

        Raises:
            OutputError: the folder cannot be written to.
        """
        created = self.create()
        try:
            yield
        except Exception:
            if not is_kept():
                self.clear()
                remove_folders(created)
            raise

    def clear(self) -> None:
        """Remove the declared files.

        Raises:
            OutputError: a file cannot be removed.
        """
        with write_errors(self.path, "output_dir", "use another output_dir", OutputError):
            for path in self.present():
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)


def _names(paths: list[Path]) -> str:
    return listed([path.name for path in paths])


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Also write the log lines and errors of the block to `path`."""
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
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
