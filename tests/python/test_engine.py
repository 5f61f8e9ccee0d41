"""The engine's door: devices, threads, and what loading MXNet leaves behind."""

from __future__ import annotations

import numpy as np
import pytest

from diglot.engine import Device, devices, pick_device
from diglot.engine.mxnet import gpu_count, load, physical_cores, threads
from diglot.engine.mxnet_executor import to_engine_layout
from diglot.errors import DeviceError, InputError


def test_the_cpu_is_always_there():
    assert devices()[0]["device"] == "cpu"
    assert pick_device("cpu") == Device("cpu")
    assert str(pick_device("auto")) == ("gpu:0" if gpu_count() else "cpu")


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(DeviceError, match="gpu:99"):
        pick_device("gpu:99")
    for wrong in ("tpu", "cpu:1", "gpu:x", "gpu:-1"):
        with pytest.raises(InputError, match=wrong):
            pick_device(wrong)


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads() == physical_cores() >= 1


def test_loading_leaves_numpy_as_it_was():
    assert load() is load()
    assert not {"bool", "int", "float", "object"} & set(np.__dict__)


def test_images_are_turned_to_the_engines_layout():
    images = np.random.default_rng(0).random((2, 5, 7, 3))
    for channels in (1, 3):
        turned = to_engine_layout(images[..., :channels])
        assert turned.dtype == np.float32
        want = np.moveaxis(images[..., :channels], 3, 1).astype(np.float32)
        assert np.array_equal(turned, want)
