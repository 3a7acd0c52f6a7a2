"""Imports go down (docs/architecture.md), and the contracts that say so cannot be outgrown unnoticed."""

import subprocess
import sys
import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[2]
APPS = ("accounts", "gallery", "generations")


def contracts():
    return {
        contract["name"]: contract
        for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    }


def test_every_contract_is_kept():
    linter = Path(sys.executable).with_name("lint-imports")  # a process of its own: it switches off our loggers
    done = subprocess.run([sys.executable, linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_emulator_is_kept_from_every_other_module_of_ours():
    (contract,) = (contract for name, contract in contracts().items() if "oracle" in name)
    others = grimp.build_graph("generations", cache_dir=None).find_children("generations") - {"generations.emulator"}
    assert set(contract["forbidden_modules"]) == others | {"accounts", "config", "gallery"}


def test_each_app_has_a_place_for_every_module():
    layered = {contract["containers"][0] for contract in contracts().values() if contract.get("exhaustive")}
    assert layered == {*APPS, "accounts.ledger"}


def test_no_app_has_a_junk_drawer():
    drawers = {"core", "utils", "helpers", "common", "misc", "managers", "handlers"}
    found = [path for app in (*APPS, "config") for path in (ROOT / app).rglob("*.py") if path.stem in drawers]
    assert found == []
