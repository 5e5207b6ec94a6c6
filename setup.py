"""Find the packages: `tasks/` and `conf/` are at the top level of the checkout and install below `isaaclab_mimic_ext`."""

from setuptools import find_packages, setup


def below(folder: str, package: str) -> list[str]:
    """Return `package`, the installed name of `folder`, and its subpackages."""
    return [package, *(f"{package}.{name}" for name in find_packages(folder))]


setup(
    packages=[
        *below("isaaclab_mimic_ext", "isaaclab_mimic_ext"),
        *below("tasks", "isaaclab_mimic_ext.tasks"),
        *below("conf", "isaaclab_mimic_ext.conf"),
    ]
)
