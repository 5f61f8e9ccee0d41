"""What containers allow: made-up control groups of both kinds, as Linux writes them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from diglot import cgroups
from diglot.engine.mxnet import physical_cores
from diglot.images.memory import available_memory, usable_cores

GIB = 2**30


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write files below /proc and /sys/fs/cgroup, where diglot will look."""
    monkeypatch.setattr(cgroups, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(cgroups, "_MOUNTS", tmp_path / "cgroup")

    def write(files):
        for name, text in files.items():
            path = Path(tmp_path, *name.split("/"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n", encoding="ascii")

    return write


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("files", "count"),
    [
        ({"cgroup/cpu.max": "200000 100000"}, 2),
        ({"cgroup/cpu.max": "150000 100000"}, 2),  # one and a half
        ({"cgroup/cpu.max": "10000 100000"}, 1),
        ({"cgroup/cpu.max": "max 100000"}, 8),
        ({"cgroup/cpu.max": "9900000 100000"}, 8),
        ({"cgroup/cpu.max": "nonsense"}, 8),
        ({"cgroup/cpu/cpu.cfs_quota_us": "300000", "cgroup/cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cgroup/cpu/cpu.cfs_quota_us": "-1", "cgroup/cpu/cpu.cfs_period_us": "100000"}, 8),
        ({"cgroup/cpu/cpu.cfs_quota_us": "300000", "cgroup/cpu/cpu.cfs_period_us": "0"}, 8),
        ({}, 8),
    ],
)
def test_a_quota_of_processors_counts(written, eight_cores, files, count):
    written({"proc/self/cgroup": "0::/", **files})
    assert cgroups.usable_processors() == usable_cores() == count
    assert 1 <= physical_cores() <= count


def test_a_service_is_held_by_every_group_around_it(written, eight_cores):
    """Of the second kind, as systemd has it; the least of the limits counts."""
    written(
        {
            "proc/self/cgroup": "0::/system.slice/r.service",
            "cgroup/system.slice/cpu.max": "300000 100000",
            "cgroup/system.slice/r.service/cpu.max": "500000 100000",
            "cgroup/system.slice/memory.max": 4 * GIB,
            "cgroup/system.slice/memory.current": GIB,
            "cgroup/system.slice/r.service/memory.max": "max",
            "cgroup/system.slice/r.service/memory.current": GIB,
        }
    )
    assert usable_cores() == 3
    assert cgroups.memory_left() == 3 * GIB


def test_groups_of_the_first_kind_go_by_controller(written, eight_cores):
    written(
        {
            "proc/self/cgroup": "5:memory:/docker/1\n4:cpu,cpuacct:/docker/2\n0::/",
            "cgroup/cpu/docker/2/cpu.cfs_quota_us": "250000",
            "cgroup/cpu/docker/2/cpu.cfs_period_us": "50000",
            "cgroup/cpu/docker/1/cpu.cfs_quota_us": "50000",  # somebody else's
            "cgroup/cpu/docker/1/cpu.cfs_period_us": "50000",
            "cgroup/memory/memory.limit_in_bytes": 9223372036854771712,  # that is, none
            "cgroup/memory/memory.usage_in_bytes": 7 * GIB,
            "cgroup/memory/docker/1/memory.limit_in_bytes": 2 * GIB,
            "cgroup/memory/docker/1/memory.usage_in_bytes": GIB,
        }
    )
    assert usable_cores() == 5
    assert cgroups.memory_left() == GIB


def test_a_containers_own_groups_are_the_root_of_what_it_sees(written, eight_cores):
    """Docker's first kind: the path is the host's, which does not lead anywhere within."""
    written(
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/docker/far/away",
            "cgroup/cpu/cpu.cfs_quota_us": "200000",
            "cgroup/cpu/cpu.cfs_period_us": "100000",
        }
    )
    assert usable_cores() == 2


def test_what_files_left_in_memory_is_free(written):
    """Else a container that has read much would seem full, and batches be refused."""
    second = {
        "proc/self/cgroup": "0::/",
        "cgroup/memory.max": 2 * GIB,
        "cgroup/memory.current": 2 * GIB,
        "cgroup/memory.stat": f"anon 5\nfile {GIB}\ninactive_file {GIB}\nactive_file 7",
    }
    written(second)
    assert cgroups.memory_left() == GIB
    assert available_memory() <= GIB


def test_a_full_container_has_nothing_left(written):
    written({"cgroup/memory.max": GIB, "cgroup/memory.current": GIB + 4096})
    assert cgroups.memory_left() == available_memory() == 0


def test_without_groups_the_machine_counts(written, monkeypatch):
    assert cgroups.processors() is None and cgroups.memory_left() is None
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert usable_cores() == os.cpu_count()
    assert available_memory() > 0
