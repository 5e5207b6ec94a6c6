"""Pictures of MuJoCo Warp's ray caster as bytes, one thread per pixel."""

# N worlds (envs), P pixels of all pictures of an env

import warp as wp


@wp.kernel(enable_backward=False)
def unpack_kernel(packed: wp.array(dtype=wp.uint32, ndim=2), pictures: wp.array(dtype=wp.uint8, ndim=3)):
    """Red, green and blue (N, P, 3) of packed colors (N, P), whose lowest byte is blue."""
    n, pixel = wp.tid()
    color = packed[n, pixel]
    pictures[n, pixel, 0] = wp.uint8((color >> wp.uint32(16)) & wp.uint32(255))
    pictures[n, pixel, 1] = wp.uint8((color >> wp.uint32(8)) & wp.uint32(255))
    pictures[n, pixel, 2] = wp.uint8(color & wp.uint32(255))


@wp.kernel(enable_backward=False)
def depth_kernel(distance: wp.array(dtype=wp.float32, ndim=2), far: wp.float32, depth: wp.array(dtype=wp.float32, ndim=2)):
    """Depth (N, P) [m] of distances along the axis of the camera (N, P), which are 0 where nothing is hit."""
    n, pixel = wp.tid()
    depth[n, pixel] = wp.where(distance[n, pixel] > 0.0, distance[n, pixel], far)


@wp.kernel(enable_backward=False)
def segment_kernel(
    hit: wp.array(dtype=wp.vec2i, ndim=2), of_geom: wp.array(dtype=wp.uint8), segments: wp.array(dtype=wp.uint8, ndim=2)
):
    """Segments (N, P) of hit geoms (N, P), whose first component is the number of the geom, -1 where nothing is hit."""
    n, pixel = wp.tid()
    geom = hit[n, pixel][0]
    if geom < 0:
        segments[n, pixel] = wp.uint8(0)
    else:
        segments[n, pixel] = of_geom[geom]
