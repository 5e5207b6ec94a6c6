"""Check of generated demos, whose actions have noise: warnings that the noise causes are left out."""

from collections.abc import Mapping

from isaaclab_mimic_ext.checks.findings import NOTE, DemoFindings
from isaaclab_mimic_ext.datasets.findings import WARNING
from isaaclab_mimic_ext.texts import counted

GENERATED = "generated"
"""Check that notes generated demos."""

_CAUSED_BY_NOISE = ("action space", "cropped start", "gripper moving")


def leave_out_noise(of_file: DemoFindings, of_demo: Mapping[str, DemoFindings], generated: set[str]) -> None:
    """Remove the warnings of `generated` demos that the noise of their actions causes, and note it for the file."""
    if not generated:
        return
    for name in generated:
        found = of_demo[name]
        found.items = [each for each in found.items if each.level != WARNING or each.check not in _CAUSED_BY_NOISE]
    number = counted(len(generated), "demo is", "demos are")
    remedy = "none; `mimic validate` checks a generated dataset"
    what = f"{number} generated: {', '.join(_CAUSED_BY_NOISE)} are not reported as warnings, as noise causes them"
    of_file.add(NOTE, GENERATED, what, "demos of a person or an operator", remedy)
