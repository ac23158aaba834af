"""All targets by name. TensorFlow is imported here, without its start-up messages."""

from tfi2i.terminal import import_tensorflow

import_tensorflow()

from fuzz import (  # noqa: E402
    model_files,
    picture_files,
    properties,
    servers,
    text_files,
    torch_checkpoints,
    trainings,
    writers,
)

ALL = {
    one.name: one
    for module in (
        *(picture_files, text_files, torch_checkpoints, model_files, servers),
        *(writers, trainings, properties),
    )
    for one in module.TARGETS
}
