"""Advice on layer types that dongfeng does not know: the second half of the error, and a table in the docs."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import NamedTuple


class Advice(NamedTuple):
    """The origin of a type, and a way to convert a net that has it."""

    origin: str
    text: str


OWN = "write it as a layer of your own (docs/own-layers.md)"
_END = "end the net before it"
_TRAINING = "it serves training alone: delete the layer"

ADVICE: dict[str, Advice] = {
    # BVLC
    "Filter": Advice("BVLC's Caffe", f"the data decide how many samples are left: {_END} and select them in NumPy"),
    "LSTMUnit": Advice("BVLC's Caffe", "a part of LSTM, which unrolls itself: use the LSTM layer"),
    "Python": Advice("BVLC's Caffe", f"its code is in a Python module, not in the file: {_END}, or {OWN}"),
    # R-CNN and R-FCN
    "BoxAnnotatorOHEM": Advice("R-FCN", _TRAINING),
    "DeformableConvolution": Advice("Deformable R-FCN", f"{OWN} over ONNX's DeformConv (opset 19)"),
    "Proposal": Advice(
        "Faster R-CNN", f"{_END}, decode and select the boxes in NumPy, and run the rest as another net"
    ),
    "PSROIPooling": Advice("R-FCN", f"ONNX has no such operator: {_END} and pool in NumPy"),
    "ROIAlign": Advice("Mask R-CNN's ports", f"{OWN} over ONNX's RoiAlign"),
    "ROIPooling": Advice("Fast R-CNN", f"{OWN} over ONNX's MaxRoiPool, or {_END}"),
    "RPROI": Advice("NVIDIA's Faster R-CNN", f"Proposal and ROIPooling in one: {_END} and do both in NumPy"),
    "SmoothL1LossOHEM": Advice("R-FCN", _TRAINING),
    "SoftmaxWithLossOHEM": Advice("R-FCN", _TRAINING),
    # SSD and YOLO
    "NormalizeBBox": Advice("OpenCV's name", 'change the type to "Normalize"'),
    "PriorBoxClustered": Advice("OpenVINO", f"{_END}: its boxes are constants, to be computed once in NumPy"),
    "Region": Advice("YOLOv2's ports", f"{_END} and decode the boxes in NumPy"),
    "Reorg": Advice("YOLOv2's ports", f"{OWN}: Reshape, Transpose, Reshape; darknet's order is not SpaceToDepth's"),
    "YoloDetectionOutput": Advice("MobileNet-YOLO", f"{_END} and decode the boxes in NumPy"),
    "Yolov3DetectionOutput": Advice("MobileNet-YOLO", f"{_END} and decode the boxes in NumPy"),
    # Segmentation
    "AdaptiveBiasChannel": Advice("DeepLab", _TRAINING),
    "BiasChannel": Advice("DeepLab", _TRAINING),
    "BilinearInterpolation": Advice("several forks", 'change the type to "Interp" if its corners are aligned'),
    "DenseCRF": Advice("DeepLab", f"it refines finished scores: {_END} and refine outside"),
    "DomainTransform": Advice("DeepLab", f"it refines finished scores: {_END} and refine outside"),
    "MatRead": Advice("DeepLab", "it reads a file: delete the layer and name its tops as inputs"),
    "MatWrite": Advice("DeepLab", "it writes a file: delete the layer; its bottom is an output then"),
    "MaxUnpool": Advice("SegNet's ports", 'use "Upsample" with the pooling mask as second bottom'),
    "SpatialDropout": Advice("ENet", 'change the type to "Dropout"'),
    "SpatialProduct": Advice("DeepLab", f"{OWN}: one Mul"),
    "UniqueLabel": Advice("DeepLab", _TRAINING),
    # Flow and pose
    "ChannelNorm": Advice("FlowNet2", f"{OWN} over ONNX's ReduceL2"),
    "Correlation": Advice("FlowNet", f"ONNX has no such operator: {OWN} of shifted products, or {_END}"),
    "CPMData": Advice("OpenPose", "a data layer: replace it by an Input layer"),
    "DataAugmentation": Advice("FlowNet2", "delete the layer and do its arithmetic before the net"),
    "FlowWarp": Advice("FlowNet2", f"{OWN} over ONNX's GridSample (opset 16)"),
    "ImResize": Advice("OpenPose", f"it belongs to the decoding of poses: {_END}"),
    "Nms": Advice("OpenPose", f"it belongs to the decoding of poses: {_END}"),
    "Resample": Advice("FlowNet2", f"{OWN} over ONNX's Resize"),
    # Others
    "BoxData": Advice("intel-caffe", "a data layer: replace it by an Input layer"),
    "DeephiResize": Advice("caffe_xilinx", f"{OWN} over ONNX's Resize"),
    "DenseBlock": Advice("DenseNet's forks", "write out its BatchNorm, Scale, ReLU, Convolution and Concat layers"),
    "DetectNetTransformation": Advice("NVCaffe", _TRAINING),
    "L2Normalize": Advice("face recognition forks", f"{OWN} over ONNX's LpNormalization"),
    "LabelSpecificAdd": Advice("face recognition forks", _TRAINING),
    "MKLBatchNorm": Advice("intel-caffe", 'change the type to "BatchNorm"'),
    "Padding": Advice("several forks", f"{OWN} over ONNX's Pad, or pad in the layer behind it"),
    "PixelShuffle": Advice("super-resolution forks", f"{OWN} over ONNX's DepthToSpace (mode CRD)"),
    "Resize": Advice("several forks", f"its meaning differs from fork to fork: {OWN} over ONNX's Resize"),
}


def advice_on(type_name: str, known: Collection[str]) -> str:
    """Return the advice on a layer of unknown type.

    Args:
        type_name: The type in the file.
        known: The types that are known.
    """
    if type_name in ADVICE:
        return ADVICE[type_name].text
    if not type_name:
        return "the layer has no type; give it one"
    lower = {name.lower(): name for name in sorted((*known, *ADVICE))}
    similar = difflib.get_close_matches(type_name.lower(), lower, n=1, cutoff=0.8)
    if similar:
        return f'did you mean "{lower[similar[0]]}"?'
    return f"{_END}, or {OWN}"
