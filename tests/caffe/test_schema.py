from __future__ import annotations

import csv
from pathlib import Path

import pytest

from dongfeng.caffe import schema
from dongfeng.caffe.schema import message_class, message_type, message_type_names, to_float32
from tests.caffe.programs import run_python

TYPES = {"double", "float", "int64", "int32", "bool", "string", "bytes", "uint32"}
# Number 148 has two owners; the prototxt reader needs names only, so one of them got a number of our own.
MOVED = {("LayerParameter", "interp_param"): 1148}
OURS = {
    *(("InterpParameter", "align_corners"), ("BlobProto", "raw_data_type"), ("BlobProto", "raw_data")),
    ("PoolingParameter", "ceil_mode"),
    *(("BatchNormParameter", name) for name in ("scale_filler", "bias_filler", "scale_bias")),
}
# What SSD's, PSPNet's, SegNet's and YOLO's Caffe added.
FORK_FIELDS = {
    *("permute_param", "prior_box_param", "detection_output_param", "norm_param", "bn_param", "upsample_param"),
    *("hardsigmoid_param", "annotated_data_param", "multibox_loss_param", "detection_evaluate_param"),
}
SSD_TRANSFORMS = {"resize_param", "noise_param", "distort_param", "expand_param", "emit_constraint"}
FORK_MESSAGES = (
    *("PermuteParameter", "PriorBoxParameter", "DetectionOutputParameter", "NonMaximumSuppressionParameter"),
    *("SaveOutputParameter", "NormalizeParameter", "BNParameter", "UpsampleParameter", "HardSigmoidParameter"),
    *("ResizeParameter", "SaltPepperParameter", "NoiseParameter", "DistortionParameter", "ExpansionParameter"),
    *("EmitConstraint", "AnnotatedDataParameter", "BatchSampler", "Sampler", "SampleConstraint"),
    *("MultiBoxLossParameter", "DetectionEvaluateParameter"),
)


def rows(shared: Path) -> list[dict[str, str]]:
    with (shared / "caffe_schema.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_compiled_schema_is_not_stale():
    pytest.importorskip("grpc_tools")
    from google.protobuf.descriptor_pb2 import FileDescriptorSet

    compiled = FileDescriptorSet.FromString(schema.compile_schema())
    assert FileDescriptorSet.FromString(schema.BINARY_PATH.read_bytes()) == compiled


def test_every_field_of_caffe_has_its_number_kind_and_default(shared):
    for row in (row for row in rows(shared) if row["kind"] == "field"):
        field = message_type(row["message"]).fields[row["name"]]
        key = (row["message"], row["name"])
        assert field.number == MOVED.get(key, int(row["number"])), key
        assert (field.repeated, field.required) == (row["label"] == "repeated", row["label"] == "required"), key
        if row["type"] in TYPES:
            assert field.kind == row["type"], key
        else:
            assert field.type_name == row["type"], key
        assert field.default == expected_default(row, field), key


def expected_default(row: dict[str, str], field: schema.Field) -> object:
    text = row["default"]
    if field.repeated:
        return ()
    if field.kind in ("int32", "int64", "uint32"):
        return int(text or "0")
    if field.kind in ("float", "double"):
        return to_float32(float(text or "0"))
    if field.kind == "enum":
        return text or next(iter(field.enum))
    return {"bool": text == "true", "string": text, "bytes": b"", "message": None}[field.kind]


def test_every_enum_value_of_caffe_has_its_number(shared):
    enums: dict[str, dict[str, int]] = {}
    for row in (row for row in rows(shared) if row["kind"] == "enum value"):
        enums.setdefault(row["message"], {})[row["name"]] = int(row["number"])
    names = [name for name in message_type_names() if name not in FORK_MESSAGES]
    ours = {f.type_name: f.enum for name in names for f in message_type(name).fields.values() if f.enum}
    assert {name: values for name, values in ours.items() if name != "BlobProto.RawDataType"} == enums


def test_nothing_but_the_known_additions_is_in_the_schema(shared):
    known = {(row["message"], row["name"]) for row in rows(shared)}
    ours = {(name, field) for name in message_type_names() for field in message_type(name).fields}
    forks = {(name, field) for name, field in ours if name in FORK_MESSAGES}
    added = {("LayerParameter", field) for field in FORK_FIELDS}
    added |= {("TransformationParameter", field) for field in SSD_TRANSFORMS}
    assert ours - known - forks == OURS | added


def test_repeated_numbers_are_packed_where_caffe_packs_them(shared):
    packed = {(row["message"], row["name"]) for row in rows(shared) if row["packed"]}
    for owner, name in packed:
        options = message_class(owner).DESCRIPTOR.fields_by_name[name].GetOptions()
        assert options.packed
    assert len(packed) == 5


def test_float_defaults_are_float32():
    assert message_type("BatchNormParameter").fields["eps"].default == to_float32(1e-5) != 1e-5


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(0.0, 0.0), (0.1, 0.10000000149011612), (1e39, float("inf")), (-1e39, float("-inf")), (1e-50, 0.0)],
)
def test_to_float32(value, rounded):
    assert to_float32(value) == rounded


def test_another_caffe_pb2_in_the_process_does_not_collide():
    # What a generated caffe_pb2 does at import: a file of this name and package, in the default pool.
    program = """
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
file.message_type.add(name="NetParameter").field.add(name="other", number=1, type=5, label=1)
pool = descriptor_pool.Default()
pool.AddSerializedFile(file.SerializeToString())
theirs = message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))
from dongfeng.caffe.schema import message_class
ours = message_class("NetParameter")
assert list(theirs.DESCRIPTOR.fields_by_name) == ["other"] and "layer" in ours.DESCRIPTOR.fields_by_name
"""
    run_python("-c", program)


def test_schema_is_loaded_on_first_use_only():
    program = "import dongfeng.caffe.schema as s; raise SystemExit(s._file_descriptor_set.cache_info().currsize)"
    run_python("-c", program)
