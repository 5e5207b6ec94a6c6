"""Write the bill of materials (CycloneDX, JSON) of an image: its Python packages with their licenses, and Debian's packages.

    python docker/sbom.py localhost/isaaclab-mimic-ext:cpu sbom.cdx.json

The image is read, not run. Requires podman, dpkg-query, and cyclonedx-py (`pip install cyclonedx-bom`) next to this Python.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def output_of(command: Sequence[str | Path]) -> str:
    return subprocess.run(command, check=True, text=True, capture_output=True).stdout


def python_packages(root: Path, work: Path) -> dict[str, Any]:
    """Bill of materials of the virtual environment of an image that is mounted at `root`."""
    (packages,) = root.glob("opt/venv/lib/python3*/site-packages")
    # cyclonedx-py asks an interpreter for its path; that of the image would load libraries of this machine.
    interpreter, found = work / "python", work / "python.json"
    interpreter.write_text(f"#!/bin/sh\necho '{json.dumps([str(packages)])}'\n")
    interpreter.chmod(0o755)
    command = [Path(sys.executable).with_name("cyclonedx-py"), "environment", "--of", "JSON", "--output-reproducible"]
    output_of([*command, "--output-file", found, interpreter])
    content: dict[str, Any] = json.loads(found.read_text())
    return content


def debian_packages(root: Path) -> list[dict[str, str]]:
    """Components for Debian's packages."""
    line = "${Package}\t${Version}\t${Architecture}\n"
    rows = output_of(["dpkg-query", f"--admindir={root}/var/lib/dpkg", "--show", f"--showformat={line}"]).splitlines()
    components = []
    for name, version, architecture in (row.split("\t") for row in rows):
        purl = f"pkg:deb/debian/{name}@{version}?arch={architecture}"
        components.append({"bom-ref": purl, "name": name, "purl": purl, "type": "library", "version": version})
    return components


def main(image: str, output: str) -> None:
    root = Path(output_of(["podman", "image", "mount", image]).strip())
    try:
        with tempfile.TemporaryDirectory() as work:
            content = python_packages(root, Path(work))
        of_python, of_debian = content["components"], debian_packages(root)
    finally:
        output_of(["podman", "image", "unmount", image])
    content["components"] = of_python + of_debian
    content["metadata"]["component"] = {"bom-ref": image, "name": image, "type": "container"}
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    Path(output).write_text(json.dumps(content, indent=2) + "\n")
    with_license = sum("licenses" in component for component in of_python)
    counts = f"{len(of_python)} Python packages ({with_license} with a license), {len(of_debian)} of Debian"
    print(f"Wrote {output}: {counts}")


if __name__ == "__main__":
    main(*sys.argv[1:])
