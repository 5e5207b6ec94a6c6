"""Print the dependencies of the package with some of its extras, one per line.

An image installs them before it copies the code: `python dependencies.py mujoco > requirements.txt`.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def dependencies(project: dict[str, Any], extras: Sequence[str]) -> Iterator[str]:
    """Yield the requirements of a project; those of its own extras are resolved."""
    own = re.compile(rf"{re.escape(project['name'])}\[(.*)\]")
    yield from project["dependencies"]
    for extra in extras:
        for requirement in project["optional-dependencies"][extra]:
            if found := own.fullmatch(requirement):
                yield from dependencies({**project, "dependencies": []}, found[1].split(","))
            else:
                yield requirement


if __name__ == "__main__":
    with Path("pyproject.toml").open("rb") as file:
        print("\n".join(dict.fromkeys(dependencies(tomllib.load(file)["project"], sys.argv[1:]))))
