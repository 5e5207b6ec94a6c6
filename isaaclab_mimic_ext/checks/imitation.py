"""Notes on demos that a policy without memory cannot imitate. They concern training, not generation."""

from collections.abc import Sequence

from isaaclab_mimic_ext.checks.findings import NOTE, DemoFindings
from isaaclab_mimic_ext.checks.motion import DemoView
from isaaclab_mimic_ext.demos.pauses import find_pauses, pauses_text, summarize_pauses

_REMEDY = (
    "none for algo=bc_chunk, the default of `mimic train`, which predicts 32 actions at once; a policy that acts on one "
    "observation (algo=bc) tends to stop in a pause, as does algo=bc_rnn if the pause is longer than its memory of 10 steps"
)


def find_pausing(findings: DemoFindings, views: Sequence[DemoView]) -> None:
    """Add a finding about the places at which demos pause."""
    pauses = [
        find_pauses(
            {name: eef.target_eef_pose for name, eef in view.eefs.items()},
            {name: eef.gripper_action for name, eef in view.eefs.items()},
            view.step_dt,
        )
        for view in views
    ]
    subject = "the hand" if all(len(view.eefs) == 1 for view in views) else "all hands"
    summaries = summarize_pauses(pauses)
    if summaries:
        findings.add(
            NOTE,
            "pauses",
            pauses_text(summaries, subject),
            "no pauses for a policy without memory (`mimic train algo=bc`)",
            _REMEDY,
        )
