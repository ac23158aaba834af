"""The tables of the flatbuffers that a model and its metadata are."""

import re
from typing import Any

from flatbuffers import number_types  # type: ignore[import-untyped]

SCALARS: dict[str, Any] = {
    kind: getattr(number_types, f"{kind.title()}Flags")
    for kind in ("int8", "uint8", "int32", "uint32", "uint64", "float32")
}

# The tables a field may point to, by the number in the field before it.
UNIONS: dict[str, dict[int, str]] = {
    "ContentProperties": {1: "FeatureProperties", 2: "ImageProperties"},
    "ProcessUnitOptions": {1: "NormalizationOptions"},
}

# The fields of each table in the order of their slots, with their kinds: a scalar, "string", the
# name of a table or union, or [...] for a vector; what is neither read nor written has none.
# Source: TensorFlow's schema.fbs and tflite-support's metadata_schema.fbs 1.5.0.
_SCHEMA = """
Model { version:uint32 operator_codes subgraphs:[SubGraph] description buffers:[Buffer]
        metadata_buffer metadata:[Metadata] signature_defs:[SignatureDef] external_buffer_groups
        external_buffers }
SubGraph { tensors inputs:[int32] outputs:[int32] }
Buffer { data offset:uint64 }
Metadata { name:string buffer:uint32 }
SignatureDef { inputs:[TensorMap] outputs:[TensorMap] signature_key:string deprecated_tag
               subgraph_index:uint32 }
TensorMap { name:string tensor_index:uint32 }

ModelMetadata { name:string description:string version:string subgraph_metadata:[SubGraphMetadata]
                author:string license:string associated_files min_parser_version:string }
SubGraphMetadata { name:string description:string input_tensor_metadata:[TensorMetadata]
                   output_tensor_metadata:[TensorMetadata] associated_files input_process_units
                   output_process_units input_tensor_groups output_tensor_groups
                   custom_metadata:[CustomMetadata] }
TensorMetadata { name:string description:string dimension_names content:Content
                 process_units:[ProcessUnit] stats:Stats }
Content { content_properties_type:uint8 content_properties:ContentProperties }
FeatureProperties { }
ImageProperties { color_space:int8 default_size:ImageSize }
ImageSize { width:uint32 height:uint32 }
ProcessUnit { options_type:uint8 options:ProcessUnitOptions }
NormalizationOptions { mean:[float32] std:[float32] }
Stats { max:[float32] min:[float32] }
CustomMetadata { name:string data:[uint8] }
"""

TABLES: dict[str, dict[str, str]] = {
    name: {field: kind for field, _, kind in (one.partition(":") for one in fields.split())}
    for name, fields in re.findall(r"(\w+) {(.*?)}", _SCHEMA, re.DOTALL)
}
