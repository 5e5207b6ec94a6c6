"""Digests of the source demos and the code that a dataset was generated from, which the dataset records."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import isaaclab_mimic_ext
from isaaclab_mimic_ext.files.digest import demo_digest
from isaaclab_mimic_ext.files.hdf5 import demo_names, each_demo, open_hdf5
from isaaclab_mimic_ext.task.folders import available_tasks, task_dir

SOURCE_DEMOS, TASK, CODE = "source demos", "code of the task", "code of isaaclab_mimic_ext"
_NOT_CODE = {"data", "agents", "__pycache__"}
"""Folders of a task that trials do not depend on, or whose content has its own digest."""


def provenance(source: Path, names: Sequence[str], task_name: str) -> dict[str, str]:
    """Return the digests (SHA-256) of the data of source demos, of the code of the task, and of this package.

    A task that is registered with Isaac Lab has no digest.

    Args:
        source: file of the source demos.
        names: names of the source demos that are used. A name that is not in the file changes the digest.

    Raises:
        SourceDataError: the source file is missing or damaged.
    """
    package = Path(str(isaaclab_mimic_ext.__file__)).parent
    digests = {SOURCE_DEMOS: _source_digest(source, names), CODE: _code_digest(package, package.rglob("*.py"))}
    if task_name in available_tasks():
        folder = task_dir(task_name)
        files = (path for path in folder.rglob("*") if path.is_file() and not _NOT_CODE & {*path.relative_to(folder).parts})
        digests[TASK] = _code_digest(folder, files)
    return digests


def _source_digest(source: Path, names: Sequence[str]) -> str:
    """Digest of names and data of demos. Masks and attributes do not count: `mimic split` changes nothing here."""
    digest = hashlib.sha256()
    with open_hdf5(source) as file:
        present = set(demo_names(file))
    for name, demo in each_demo(source, [name for name in names if name in present]):
        digest.update(f"{name}\0{demo_digest(demo)}\0".encode())
    return digest.hexdigest()


def _code_digest(folder: Path, files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(files):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
