"""The layouts of data sets, tried from the most specific to the most general."""

from basrelief.datasets.layouts import class_folders, depth_maps, modelnet, objaverse, openshape, scanobjectnn, shapenet
from basrelief.datasets.layouts.base import Layout

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        openshape.MODELNET,
        openshape.SCANOBJECTNN,
        openshape.OBJAVERSE,
        objaverse.OBJAVERSE,
        scanobjectnn.SCANOBJECTNN,
        modelnet.HDF5,
        modelnet.RESAMPLED,
        shapenet.CLOUDS,
        shapenet.CORE,
        depth_maps.DEPTH_MAPS,
        class_folders.OMNIOBJECT,
        class_folders.MODELNET,
        class_folders.CLASS_FOLDERS,
    )
}
