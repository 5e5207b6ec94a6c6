"""Parts of the desktop organizer's objects agree with the sizes in its task."""

import numpy as np
import pytest

from isaaclab_mimic_ext.envs.panda.shape import TABLE_THICKNESS, Part, table_legs
from isaaclab_mimic_ext.task.definition import load_task
from isaaclab_mimic_ext.tasks.desktop_organizer.parts import OBJECT_PARTS
from isaaclab_mimic_ext.tasks.desktop_organizer.task import BASKET_FLOOR, BASKET_INNER

TASK = load_task("desktop_organizer")


def box_around(parts: list[Part]) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner of the bounding box of parts, (3,) each, frame of the body [m]."""
    low = np.min([np.subtract(part.pos, part.size) for part in parts], axis=0)
    high = np.max([np.add(part.pos, part.size) for part in parts], axis=0)
    return low, high


def solids(name: str) -> list[Part]:
    return [part for part in OBJECT_PARTS[name] if part.solid]


def test_exactly_the_objects_of_the_task_have_parts():
    assert set(OBJECT_PARTS) == set(TASK.object_names)


@pytest.mark.parametrize("obj", TASK.objects, ids=lambda obj: obj.name)
def test_solid_parts_fill_the_bounding_box_of_the_task(obj):
    low, high = box_around(solids(obj.name))
    np.testing.assert_allclose(low, np.subtract(obj.box_center, obj.box_half_size), atol=1e-9)
    np.testing.assert_allclose(high, np.add(obj.box_center, obj.box_half_size), atol=1e-9)


@pytest.mark.parametrize("obj", TASK.objects, ids=lambda obj: obj.name)
def test_object_at_rest_height_touches_the_table_with_its_first_part(obj):
    first = OBJECT_PARTS[obj.name][0]
    assert first.solid
    assert obj.rest_height + first.pos[2] - first.size[2] == pytest.approx(0.0, abs=1e-9)


def test_inner_size_of_the_basket_equals_the_size_in_the_task():
    floor, *walls = solids("basket")
    assert 2 * np.array(floor.size[:2]) == pytest.approx(BASKET_INNER)
    assert floor.pos[2] + floor.size[2] == pytest.approx(BASKET_FLOOR)
    inner = [np.abs(wall.pos[axis]) - wall.size[axis] for wall in walls for axis in (0, 1) if wall.pos[axis]]
    assert inner == pytest.approx([BASKET_INNER[0] / 2] * 2 + [BASKET_INNER[1] / 2] * 2)


def test_visual_parts_have_no_mass():
    for parts in OBJECT_PARTS.values():
        assert all((part.mass > 0) == part.solid for part in parts)


def test_legs_begin_below_the_table_top():
    low, high = box_around(list(table_legs()))
    assert high[2] == pytest.approx(-TABLE_THICKNESS) and low[2] < -0.5
