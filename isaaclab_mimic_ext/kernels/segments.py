"""Begin of segments: select source demos, share choices among end effectors, and enter the segments; one thread per env.

A thread goes through its end effectors in order, so that each finds the choices that those before it share with it.
Transforms have the bits of torch operations on a CPU. Distances need not: they only decide which demo is nearer.
"""

# N envs, E end effectors, D demos, S subtasks, T steps of the longest demo, O objects, G gripper entries,
# C groups of coordinated subtasks

import warp as wp

from isaaclab_mimic_ext.kernels.poses import inverse, pose_from, position, product33, product44, rotation

wp.set_module_options({"fuse_fp": False})

_RANDOM, _OBJECT = wp.constant(0), wp.constant(1)
"""Values of `plan.subtasks.Strategy`; the third is `nearest_neighbor_robot_distance`."""
_REPLAY, _TRANSFORM = wp.constant(0), wp.constant(1)
"""Indices into `config.task.COORDINATION_SCHEMES`; the third is `translate`."""
_FAR = wp.constant(wp.float32(3.0e38))
"""Distance of demos whose distance is not finite."""


@wp.struct
class Sources:
    """Source demos: fields of `SourcePool`."""

    eef_pose: wp.array(dtype=wp.mat44, ndim=3)
    object_pose: wp.array(dtype=wp.mat44, ndim=3)
    gripper_action: wp.array(dtype=wp.float32, ndim=4)


@wp.struct
class Subtasks:
    """Parameters of subtasks, (E, S): fields of `SubtaskTable` and `ConstraintTable`; `scheme` is (C + 1,)."""

    object_id: wp.array(dtype=wp.int64, ndim=2)
    strategy: wp.array(dtype=wp.int64, ndim=2)
    nn_k: wp.array(dtype=wp.int64, ndim=2)
    pos_weight: wp.array(dtype=wp.float32, ndim=2)
    rot_weight: wp.array(dtype=wp.float32, ndim=2)
    num_interpolation: wp.array(dtype=wp.int64, ndim=2)
    num_fixed: wp.array(dtype=wp.int64, ndim=2)
    group: wp.array(dtype=wp.int64, ndim=2)
    scheme: wp.array(dtype=wp.int64)


@wp.struct
class Rules:
    """Rules of the configuration, 0 or 1 each."""

    selects_per_subtask: wp.int32
    shares_by_index: wp.int32
    from_last_target: wp.int32
    moves_first_pose: wp.int32


@wp.struct
class Scene:
    """Present poses, env frame [m]: (N, E) and (N, O + 1); the last object is the identity."""

    eef_pose: wp.array(dtype=wp.mat44, ndim=2)
    object_pose: wp.array(dtype=wp.mat44, ndim=2)


@wp.struct
class Choices:
    """Draws and choices of the current trials.

    `uniform` (N, S, E) selects demos. `offset` [m] and `turn` (N, C + 1) are the noise of each group's transform.
    `chosen_demos` is (N, E, S). Demos and transforms that end effectors share are (N, S) and (N, C + 1); the demos are -1
    until they are selected. `distance` (N, D) is used within a call.
    """

    uniform: wp.array(dtype=wp.float32, ndim=3)
    offset: wp.array(dtype=wp.vec3, ndim=2)
    turn: wp.array(dtype=wp.mat33, ndim=2)
    chosen_demos: wp.array(dtype=wp.int32, ndim=3)
    demo_of_index: wp.array(dtype=wp.int64, ndim=2)
    demo_of_group: wp.array(dtype=wp.int64, ndim=2)
    transform_of_group: wp.array(dtype=wp.mat44, ndim=2)
    distance: wp.array(dtype=wp.float32, ndim=2)


@wp.struct
class Spans:
    """Spans of subtasks in each demo, (N, E, D, S) [steps]."""

    starts: wp.array(dtype=wp.int64, ndim=4)
    ends: wp.array(dtype=wp.int64, ndim=4)


@wp.struct
class Entered:
    """Segments that are executed, (N, E): see `Segments`, and the state of `TrialPlanner`."""

    demo: wp.array(dtype=wp.int32, ndim=2)
    start: wp.array(dtype=wp.int32, ndim=2)
    length: wp.array(dtype=wp.int32, ndim=2)
    cursor: wp.array(dtype=wp.int32, ndim=2)
    num_interpolation: wp.array(dtype=wp.int32, ndim=2)
    num_fixed: wp.array(dtype=wp.int32, ndim=2)
    prepend: wp.array(dtype=wp.int32, ndim=2)
    transform: wp.array(dtype=wp.mat44, ndim=2)
    start_pose: wp.array(dtype=wp.mat44, ndim=2)
    first_free: wp.array(dtype=wp.int32, ndim=2)
    last_waypoint: wp.array(dtype=wp.int32, ndim=2)
    begun: wp.array(dtype=wp.bool, ndim=2)
    target: wp.array(dtype=wp.mat44, ndim=2)
    gripper: wp.array(dtype=wp.float32, ndim=3)


@wp.kernel(enable_backward=False)
def begin_segments_kernel(
    due: wp.array(dtype=wp.bool, ndim=2),
    subtask: wp.array(dtype=wp.int64, ndim=2),
    sources: Sources,
    subtasks: Subtasks,
    rules: Rules,
    scene: Scene,
    spans: Spans,
    choices: Choices,
    entered: Entered,
):
    """Begin the next segment of the end effectors in `due`; see `TrialPlanner.begin_segments`."""
    n = wp.tid()
    for e in range(due.shape[1]):
        if due[n, e]:
            s = int(subtask[n, e])
            group = int(subtasks.group[e, s])
            is_grouped = group < subtasks.scheme.shape[0] - 1
            selects = s == 0 or rules.selects_per_subtask != 0
            # A demo that the group has, that all end effectors use for this subtask index, or the demo of this one alone.
            demo = int(choices.demo_of_group[n, group])
            is_first_of_group = demo < 0
            shares = selects and rules.shares_by_index != 0
            if demo < 0 and shares:
                demo = int(choices.demo_of_index[n, s])
            if demo < 0 and selects:
                demo = _select(n, e, s, sources, subtasks, scene, spans, choices)
            elif demo < 0:
                demo = choices.chosen_demos[n, e, s - 1]
            if shares and choices.demo_of_index[n, s] < 0:
                choices.demo_of_index[n, s] = wp.int64(demo)
            transform = _transform(n, e, s, demo, sources, subtasks, scene, spans)
            if is_grouped:
                choices.demo_of_group[n, group] = wp.int64(demo)
                if is_first_of_group:
                    choices.transform_of_group[n, group] = _group_transform(
                        n, e, s, demo, group, transform, sources, subtasks, scene, spans, choices
                    )
                transform = wp.mat44(choices.transform_of_group[n, group])
            choices.chosen_demos[n, e, s] = demo
            _enter(n, e, s, demo, transform, sources, subtasks, rules, scene, spans, entered)


@wp.func
def _enter(
    n: int, e: int, s: int, demo: int, transform: wp.mat44,
    sources: Sources, subtasks: Subtasks, rules: Rules, scene: Scene, spans: Spans, entered: Entered,
):  # fmt: skip
    """Enter a segment into the table from which waypoints are computed."""
    start = int(spans.starts[n, e, demo, s])
    length = int(spans.ends[n, e, demo, s]) - start
    lead_in = int(subtasks.num_interpolation[e, s])
    num_fixed = int(subtasks.num_fixed[e, s])
    prepend = wp.int32(0)
    if s == 0 or rules.moves_first_pose != 0:
        prepend = 1
    # Join: interpolate from the present pose, or from the last target pose.
    start_pose = wp.mat44(scene.eef_pose[n, e])
    if s > 0 and rules.from_last_target != 0:
        start_pose = wp.mat44(entered.target[n, e])
    entered.demo[n, e] = demo
    entered.start[n, e] = start
    entered.length[n, e] = length
    entered.cursor[n, e] = -1
    entered.num_interpolation[n, e] = lead_in
    entered.num_fixed[n, e] = num_fixed
    entered.prepend[n, e] = prepend
    entered.transform[n, e] = transform
    entered.start_pose[n, e] = start_pose
    entered.first_free[n, e] = lead_in + num_fixed
    entered.last_waypoint[n, e] = lead_in + num_fixed + length + prepend - 1
    entered.begun[n, e] = True
    # The first segment begins with its own gripper action, so that settling does not apply to the first waypoint.
    if s == 0:
        for g in range(entered.gripper.shape[2]):
            entered.gripper[n, e, g] = sources.gripper_action[e, demo, start, g]


@wp.func
def _transform(
    n: int, e: int, s: int, demo: int, sources: Sources, subtasks: Subtasks, scene: Scene, spans: Spans
) -> wp.mat44:
    """Transform from the object at the segment's start in a demo to the present object."""
    object_id = int(subtasks.object_id[e, s])
    source = sources.object_pose[object_id, demo, int(spans.starts[n, e, demo, s])]
    return product44(scene.object_pose[n, object_id], inverse(source))


@wp.func
def _group_transform(
    n: int, e: int, s: int, demo: int, group: int, own: wp.mat44,
    sources: Sources, subtasks: Subtasks, scene: Scene, spans: Spans, choices: Choices,
) -> wp.mat44:  # fmt: skip
    """Transform of all segments of a group, by its scheme and noise; `own` is that of the segment that begins first."""
    scheme = int(subtasks.scheme[group])
    rot = wp.identity(n=3, dtype=wp.float32)
    pos = wp.vec3()
    if scheme == _TRANSFORM:
        rot = rotation(own)
        pos = position(own)
    elif scheme != _REPLAY:
        object_id = int(subtasks.object_id[e, s])
        source = sources.object_pose[object_id, demo, int(spans.starts[n, e, demo, s])]
        pos = position(scene.object_pose[n, object_id]) - position(source)
    return pose_from(product33(choices.turn[n, group], rot), pos + choices.offset[n, group])


@wp.func
def _select(
    n: int, e: int, s: int, sources: Sources, subtasks: Subtasks, scene: Scene, spans: Spans, choices: Choices
) -> int:
    """Source demo, uniformly among the nearest. Among equal distances, the demo with the smaller index counts as nearer."""
    num_demos = sources.eef_pose.shape[1]
    is_random = int(subtasks.strategy[e, s]) == _RANDOM
    count = num_demos
    if not is_random:
        count = wp.min(int(subtasks.nn_k[e, s]), num_demos)
    rank = int(wp.floor(choices.uniform[n, s, e] * float(count)))
    if is_random:
        return rank
    for demo in range(num_demos):
        choices.distance[n, demo] = _distance(n, e, s, demo, sources, subtasks, scene, spans)
    found = wp.int32(-1)
    for _ in range(rank + 1):
        previous = wp.int32(found)
        found = wp.int32(-1)
        for demo in range(num_demos):
            is_left = previous < 0 or _is_nearer(choices.distance, n, previous, demo)
            if is_left and (found < 0 or _is_nearer(choices.distance, n, demo, found)):
                found = demo
    return found


@wp.func
def _is_nearer(distance: wp.array(dtype=wp.float32, ndim=2), n: int, a: int, b: int) -> bool:
    return distance[n, a] < distance[n, b] or (distance[n, a] == distance[n, b] and a < b)


@wp.func
def _distance(n: int, e: int, s: int, demo: int, sources: Sources, subtasks: Subtasks, scene: Scene, spans: Spans) -> float:
    """Distance of a demo's segment from the present scene; see `plan.segments.pose_distance`."""
    object_id = int(subtasks.object_id[e, s])
    start = int(spans.starts[n, e, demo, s])
    pose = wp.mat44(sources.object_pose[object_id, demo, start])
    present = wp.mat44(scene.object_pose[n, object_id])
    if int(subtasks.strategy[e, s]) != _OBJECT:
        pose = product44(product44(present, inverse(pose)), sources.eef_pose[e, demo, start])
        present = wp.mat44(scene.eef_pose[n, e])
    difference = rotation(pose) - rotation(present)
    chord = wp.float32(0.0)
    for i in range(3):
        for j in range(3):
            chord += difference[i, j] * difference[i, j]
    cosine = wp.max(wp.sqrt(wp.max(1.0 - 0.125 * chord, 0.0)), 1.0e-12)
    angle = 2.0 * wp.atan(wp.sqrt(wp.min(0.125 * chord, 1.0)) / cosine)
    moved_by = wp.length(position(pose) - position(present))
    distance = subtasks.pos_weight[e, s] * moved_by + subtasks.rot_weight[e, s] * angle
    return wp.where(wp.isfinite(distance), distance, _FAR)
