"""Progress of trials: the next waypoint before a step, and the end of segments after it."""

# N envs, E end effectors, S subtasks, P pose entries of an action, K constraints, M groups of subtasks that begin together

import warp as wp


@wp.kernel(enable_backward=False)
def move_kernel(
    begun: wp.array(dtype=wp.bool, ndim=2),
    waits: wp.array(dtype=wp.bool, ndim=2),
    subtask: wp.array(dtype=wp.int64, ndim=2),
    first_free: wp.array(dtype=wp.int32, ndim=2),
    noise_everywhere: wp.array(dtype=wp.bool, ndim=2),
    noise_table: wp.array(dtype=wp.float32, ndim=3),
    cursor: wp.array(dtype=wp.int32, ndim=2),
    steps_waited: wp.array(dtype=wp.int64, ndim=2),
    noise_std: wp.array(dtype=wp.float32, ndim=3),
):
    """Advance the cursors of end effectors that need not wait; noise of this step's actions, (N, E, P)."""
    n, e = wp.tid()
    s = int(subtask[n, e])
    moves = begun[n, e] and not waits[n, e]
    if moves:
        cursor[n, e] += 1
        steps_waited[n, e] = wp.int64(0)
    else:
        steps_waited[n, e] += wp.int64(1)
    # Waiting and finished end effectors hold, without noise.
    is_noisy = moves and (cursor[n, e] >= first_free[n, e] or noise_everywhere[e, s])
    for p in range(noise_std.shape[2]):
        noise_std[n, e, p] = wp.where(is_noisy, noise_table[e, s, p], 0.0)


@wp.kernel(enable_backward=False)
def advance_kernel(
    cursor: wp.array(dtype=wp.int32, ndim=2),
    last_waypoint: wp.array(dtype=wp.int32, ndim=2),
    holds: wp.array(dtype=wp.bool),
    num_subtasks: wp.array(dtype=wp.int64),
    num_final_hold_steps: wp.int64,
    after_eef: wp.array(dtype=wp.int64, ndim=2),
    after_subtask: wp.array(dtype=wp.int64, ndim=2),
    start_group: wp.array(dtype=wp.int64, ndim=2),
    start_members: wp.array(dtype=wp.int64, ndim=2),
    subtask: wp.array(dtype=wp.int64, ndim=2),
    begun: wp.array(dtype=wp.bool, ndim=2),
    finished: wp.array(dtype=wp.bool, ndim=2),
    steps_held: wp.array(dtype=wp.int64),
    due: wp.array(dtype=wp.bool, ndim=2),
    ended: wp.array(dtype=wp.bool),
):
    """End finished segments; `due` (N, E) and `ended` (N,): see `TrialPlanner.advance`.

    `holds` (N,): no segment may end. `after_eef`, `after_subtask` (2, K), `start_group` (E, S) and `start_members` (M, E):
    `starts_after` and further fields of `ConstraintTable`.
    """
    n = wp.tid()
    num_eefs = due.shape[1]
    if _all_finished(finished, n):
        steps_held[n] += wp.int64(1)
    for e in range(num_eefs):
        if begun[n, e] and cursor[n, e] >= last_waypoint[n, e] and not holds[n]:
            begun[n, e] = False
            if subtask[n, e] < num_subtasks[e] - wp.int64(1):
                subtask[n, e] += wp.int64(1)
            else:
                finished[n, e] = True
        due[n, e] = not begun[n, e] and not finished[n, e]
    for k in range(after_eef.shape[1]):
        former = int(after_eef[0, k])
        latter = int(after_eef[1, k])
        is_current = subtask[n, latter] == after_subtask[1, k] and not finished[n, latter]
        if is_current and not _is_done(subtask, finished, n, former, after_subtask[0, k]):
            due[n, latter] = False
    for e in range(num_eefs):
        group = int(start_group[e, int(subtask[n, e])])
        if group < start_members.shape[0] and not _may_begin_together(due, subtask, start_members, n, group):
            due[n, e] = False
    ended[n] = _all_finished(finished, n) and steps_held[n] >= num_final_hold_steps


@wp.func
def _all_finished(finished: wp.array(dtype=wp.bool, ndim=2), n: int) -> bool:
    result = wp.bool(True)
    for e in range(finished.shape[1]):
        result = result and finished[n, e]
    return result


@wp.func
def _is_done(
    subtask: wp.array(dtype=wp.int64, ndim=2), finished: wp.array(dtype=wp.bool, ndim=2), n: int, e: int, index: wp.int64
) -> bool:
    """Return whether an end effector has finished its subtask `index`."""
    return subtask[n, e] > index or (subtask[n, e] == index and finished[n, e])


@wp.func
def _may_begin_together(
    due: wp.array(dtype=wp.bool, ndim=2), subtask: wp.array(dtype=wp.int64, ndim=2),
    members: wp.array(dtype=wp.int64, ndim=2), n: int, group: int,
) -> bool:  # fmt: skip
    """Return whether all members of a group are due."""
    for e in range(due.shape[1]):
        if members[group, e] >= wp.int64(0) and not (due[n, e] and subtask[n, e] == members[group, e]):
            return False
    return True
