"""What a process may use of a computer of 64 GB and 16 processors, by what its container's groups say."""

import os
from collections import namedtuple

import pytest

from napari_aln import allowance

GB = 10**9
HUGE = 9223372036854771712  # what version 1 writes for no limit


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Return a maker of control groups: the lines of /proc/self/cgroup, and files below /sys/fs/cgroup."""
    memory = namedtuple("memory", "total available")
    monkeypatch.setattr(allowance.psutil, "virtual_memory", lambda: memory(64 * GB, 40 * GB))
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(allowance, "_bound", lambda: 16)
    monkeypatch.setattr(allowance, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(allowance, "_OWN_GROUP", tmp_path / "self")

    def make(own, files):
        (tmp_path / "self").write_text(own)
        for name, content in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")

    return make


def test_without_groups_all_of_the_computer_is_allowed(groups):
    assert allowance.memory() == (64 * GB, 40 * GB, 64 * GB, "")
    assert allowance.processors() == (16, 16, "")
    assert allowance.threads_of_container() is None


def test_version_2_in_a_container_that_sees_its_group_as_root(groups):
    stat = f"anon {GB}\ninactive_file {GB}\nactive_file 0"
    files = {"memory.max": 8 * GB, "memory.current": 3 * GB, "memory.stat": stat, "cpu.max": "250000 100000"}
    groups("0::/\n", files)
    assert allowance.memory() == (8 * GB, 6 * GB, 64 * GB, allowance.CONTAINER)
    found = allowance.processors()
    assert found == (2.5, 16, allowance.CONTAINER)
    assert found.threads == allowance.threads_of_container() == 3


def test_version_2_the_smallest_limit_on_the_way_up_holds(groups):
    files = {
        "a/memory.max": 4 * GB,
        "a/memory.current": 4 * GB,
        "a/b/memory.max": 16 * GB,
        "a/b/memory.current": GB,
        "a/cpu.max": "max 100000",
        "a/b/cpu.max": "50000 100000",
    }
    groups("0::/a/b\n", files)
    assert allowance.memory() == (4 * GB, 0, 64 * GB, allowance.CONTAINER)
    assert allowance.processors().threads == 1  # half a processor


@pytest.mark.parametrize("inner", ["", "docker/12ab/"])
def test_version_1_with_or_without_its_path_below_the_mount(groups, inner):
    files = {
        f"memory/{inner}memory.limit_in_bytes": 2 * GB,
        f"memory/{inner}memory.usage_in_bytes": GB,
        f"memory/{inner}memory.stat": f"inactive_file 0\ntotal_inactive_file {GB // 2}",
        f"cpu,cpuacct/{inner}cpu.cfs_quota_us": 400000,
        f"cpu,cpuacct/{inner}cpu.cfs_period_us": 100000,
    }
    groups("4:memory:/docker/12ab\n3:cpu,cpuacct:/docker/12ab\n1:name=systemd:/\n", files)
    found = allowance.memory()
    assert (found.allowed, found.limited_by) == (2 * GB, allowance.CONTAINER)
    assert found.free == 1.5 * GB  # what groups below keep of files counts, too
    assert allowance.processors() == (4, 16, allowance.CONTAINER)


def test_no_limit_and_a_limit_above_the_computer_are_none(groups):
    one = {"memory/memory.limit_in_bytes": HUGE, "cpu/cpu.cfs_quota_us": -1, "cpu/cpu.cfs_period_us": 100000}
    groups("2:memory:/\n1:cpu:/\n", one)
    assert (allowance.memory().limited_by, allowance.processors().limited_by) == ("", "")
    groups("0::/\n", {"memory.max": 128 * GB, "cpu.max": "9000000 100000"})
    assert (allowance.memory().limited_by, allowance.processors().limited_by) == ("", "")
    groups("0::/\n", {"memory.max": "max", "cpu.max": "no number"})
    assert (allowance.memory().allowed, allowance.processors().allowed) == (64 * GB, 16)


def test_the_smaller_of_affinity_and_container_holds(groups, monkeypatch):
    monkeypatch.setattr(allowance, "_bound", lambda: 4)
    groups("0::/\n", {"cpu.max": "800000 100000"})
    assert allowance.processors() == (4, 16, allowance.AFFINITY)
    assert allowance.threads_of_container() is None  # libraries see the affinity themselves
    groups("0::/\n", {"cpu.max": "200000 100000"})
    assert allowance.processors() == (2, 16, allowance.CONTAINER)


def test_this_computer_has_an_answer():
    memory, processors = allowance.memory(), allowance.processors()
    assert 0 < memory.free <= memory.installed >= memory.allowed > 0
    assert 1 <= processors.threads <= processors.installed
