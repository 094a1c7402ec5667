"""Toytown: street scenes drawn by code, with exact labels of Cityscapes' classes."""

from __future__ import annotations

from dongfeng.datasets.toytown.folder import write_cityscapes_folder
from dongfeng.datasets.toytown.scene import Scene, Toytown, draw_scene

__all__ = ["Scene", "Toytown", "draw_scene", "write_cityscapes_folder"]
