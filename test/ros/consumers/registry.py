"""All consumers by name."""

from __future__ import annotations

from test.ros.consumers import (
    elevation_mapping,
    hydra,
    image_tools,
    late_subscribers,
    nav2_obstacle_layer,
    nav2_semantic_layer,
    rviz,
    spatio_temporal_voxel_layer,
)

CONSUMERS = {
    module.__name__.rsplit(".", 1)[-1]: module.violations
    for module in (
        nav2_semantic_layer,
        nav2_obstacle_layer,
        spatio_temporal_voxel_layer,
        elevation_mapping,
        hydra,
        rviz,
        image_tools,
        late_subscribers,
    )
}
