"""Files on disk: HDF5 datasets and their demos, atomic writes, locks, output folders."""
