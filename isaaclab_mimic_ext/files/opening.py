"""Open HDF5 files on file systems with and without locks."""

import os
from pathlib import Path
from typing import Any

import h5py

from isaaclab_mimic_ext.files.lock_errors import lacks_locks


def open_file(path: str | Path, mode: str = "r", **options: Any) -> h5py.File:
    """Open an HDF5 file; without a lock if the file system has none. Errors and options are those of `h5py.File`."""
    try:
        return h5py.File(path, mode, **options)
    except OSError as error:
        if not lacks_locks(error):
            raise
    return h5py.File(path, mode, locking=False, **options)


def open_with(path: Path, access: h5py.h5p.PropFAID) -> h5py.File:
    """Open an HDF5 file for reading and writing with properties of access; without a lock if the file system has none."""
    try:
        return h5py.File(h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDWR, access))
    except OSError as error:
        if not lacks_locks(error):
            raise
    access.set_file_locking(False, True)
    return h5py.File(h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDWR, access))
