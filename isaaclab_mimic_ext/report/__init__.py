"""Charts and pages: runs, pipelines, timelines of demos, evaluations and sweeps."""
