"""What is read of a machine, from made /proc and /sys trees."""

import os

import pytest

from liteproof.measure.machine_state import DOT_PRODUCT, instructions, look

TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def vcgencmd(root, body):
    write(root, {"bin/vcgencmd": f"#!/bin/sh\n{body}\n"})
    (root / "bin/vcgencmd").chmod(0o755)


def test_busy_and_stolen_time_leave_out_idle_disk_and_guests(root):
    write(root, {"proc/stat": "cpu  100 20 30 9999 888 4 6 50 77 7\ncpu0 1 1 1 1 1 1 1 1 1 1\n"})
    state = look(root)
    assert (state.busy_s, state.stolen_s) == (160 / TICKS, 50 / TICKS)


def test_nothing_visible_is_unknown_not_fine(root):
    state = look(root)
    unknown = (state.busy_s, state.stolen_s, state.waited_s, state.temperature_c, state.throttled, state.battery)
    assert set(unknown) == {None}
    assert (state.governors, state.frequencies_mhz, state.load) == ((), (), ())
    assert (state.memory_bytes, state.cpu_limit, state.thermal_events) == (None, None, None)


def test_clocks_of_every_core_in_order(root):
    cpus = {f"sys/devices/system/cpu/cpu{n}/cpufreq/scaling_governor": f"g{n}\n" for n in (0, 2, 10)}
    cpus |= {f"sys/devices/system/cpu/cpu{n}/cpufreq/scaling_cur_freq": f"{600000 + n * 1000}\n" for n in (0, 2, 10)}
    write(root, cpus)
    state = look(root)
    assert state.governors == ("g0", "g2", "g10")
    assert state.frequencies_mhz == (600.0, 602.0, 610.0)


def test_hottest_zone_heat_events_and_battery(root):
    zone, cpu = "sys/class/thermal/thermal_zone", "sys/devices/system/cpu/cpu"
    write(root, {
        f"{zone}0/temp": "41000\n", f"{zone}1/temp": "61300\n",
        f"{cpu}0/thermal_throttle/core_throttle_count": "2\n", f"{cpu}1/thermal_throttle/core_throttle_count": "3\n",
        "sys/class/power_supply/AC/type": "Mains\n", "sys/class/power_supply/BAT0/type": "Battery\n",
        "sys/class/power_supply/BAT0/status": "Discharging\n", "sys/class/power_supply/BAT0/capacity": "54\n",
    })  # fmt: skip
    state = look(root)
    assert (state.temperature_c, state.thermal_events, state.battery) == (61.3, 5, "discharging, 54%")


def test_vcgencmd_is_asked_where_there_is_one(root):
    vcgencmd(root, 'test "$1" = get_throttled && echo throttled=0x50005')
    assert look(root).throttled == 0x50005


@pytest.mark.parametrize("body", ["exit 1", "echo VCHI initialization failed", "echo throttled=maybe"])
def test_vcgencmd_that_does_not_work_is_unknown(root, body):
    vcgencmd(root, body)
    assert look(root).throttled is None


def test_waiting_is_in_seconds(root):
    write(root, {"proc/thread-self/schedstat": "1000000 2500000000 17\n"})
    assert look(root).waited_s == 2.5


def test_processes_with_odd_names(root):
    fields = " ".join(str(n) for n in range(4, 14))  # up to cmajflt
    write(root, {"proc/42/stat": f"42 (a (b) c) S {fields} {3 * TICKS} {TICKS} 0\n", "proc/loadavg": "1.5 1 0.5 1/2 3"})
    assert look(root, processes=True).processes == {42: ("a (b) c", 4.0)}
    assert look(root).processes == {}
    assert look(root).load == (1.5, 1.0, 0.5)


MEMINFO = {"proc/meminfo": "MemTotal: 4000000 kB\nMemFree: 100 kB\nMemAvailable: 3000000 kB\n"}


def test_memory_of_the_machine(root):
    write(root, MEMINFO)
    state = look(root)
    assert (state.memory_bytes, state.memory_free_bytes) == (4000000 * 1024, 3000000 * 1024)


def test_limits_of_a_container_version_2(root):
    group = "sys/fs/cgroup"
    write(root, {
        **MEMINFO, f"{group}/cpu.max": "150000 100000\n", f"{group}/cpu.stat": "usage_usec 9\nnr_throttled 7\n",
        f"{group}/memory.max": "512000000\n", f"{group}/memory.current": "300000000\n",
        f"{group}/memory.stat": "anon 1\ninactive_file 15000000\n",
    })  # fmt: skip
    state = look(root)
    assert (state.cpu_limit, state.cpu_limit_hits) == (1.5, 7)
    assert (state.memory_bytes, state.memory_free_bytes) == (512_000_000, 227_000_000)


def test_limits_of_a_container_version_1(root):
    group = "sys/fs/cgroup"
    write(root, {
        **MEMINFO, f"{group}/cpu/cpu.cfs_quota_us": "50000\n", f"{group}/cpu/cpu.cfs_period_us": "100000\n",
        f"{group}/cpu/cpu.stat": "nr_periods 9\nnr_throttled 2\n",
        f"{group}/memory/memory.limit_in_bytes": "512000000\n", f"{group}/memory/memory.usage_in_bytes": "400000000\n",
        f"{group}/memory/memory.stat": "total_inactive_file 0\n",
    })  # fmt: skip
    state = look(root)
    assert (state.cpu_limit, state.cpu_limit_hits, state.memory_free_bytes) == (0.5, 2, 112_000_000)


def test_no_limit_is_none(root):
    group = "sys/fs/cgroup"
    write(root, {**MEMINFO, f"{group}/cpu.max": "max 100000\n", f"{group}/cpu.stat": "nr_throttled 0\n",
                 f"{group}/memory.max": "max\n", f"{group}/memory.current": "1\n"})  # fmt: skip
    state = look(root)
    assert (state.cpu_limit, state.cpu_limit_hits, state.memory_bytes) == (None, None, 4000000 * 1024)


def test_dot_product_instructions(root):
    assert instructions(root) is None
    write(root, {"proc/cpuinfo": "processor : 0\nFeatures\t: fp asimd crc32\n"})
    assert not instructions(root) & DOT_PRODUCT
    write(root, {"proc/cpuinfo": "processor : 0\nflags\t\t: sse2 avx512_vnni\n"})
    assert instructions(root) & DOT_PRODUCT == {"avx512_vnni"}
