"""Record demos of Isaac Lab's cube stack by the scripted operator of `stack_cube`: `record_stock_task.py <file> <demos>`.

A separate program, because Isaac Lab reads `ISAACSIM_ASSET_ROOT` when it is imported.
"""

import sys

import isaaclab_mimic_ext as mimic
from isaaclab_mimic_ext.envs.factory import make_registered
from isaaclab_mimic_ext.run.record import load_operator
from tests.isaaclab.scenes import OVPHYSX
from tests.isaaclab.stock_assets import TASK_ID

path, num_demos = sys.argv[1], int(sys.argv[2])
env = make_registered(TASK_ID, OVPHYSX, num_envs=num_demos)
operator = load_operator(mimic.load_task("stack_cube"), "scripted")
result = mimic.record(env, path, operator, num_demos, operator_name="scripted")
env.close()
sys.exit(0 if result.target_reached else 1)
