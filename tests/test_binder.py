"""What repo2docker, and so Binder, will make of binder/."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def buildpack(monkeypatch):
    monkeypatch.chdir(ROOT)
    conda = pytest.importorskip("repo2docker.buildpacks.conda")
    pack = conda.CondaBuildPack("a base image")
    pack.platform = "linux/amd64"
    return pack


def test_conda_with_python_3_11_and_our_post_build(buildpack):
    assert buildpack.detect()
    assert buildpack.binder_dir == "binder"
    assert buildpack.python_version == "3.11"
    scripts = buildpack.get_post_build_scripts()
    assert scripts == ["binder/postBuild"]
    assert "binder/postBuild" in buildpack.render()


def test_post_build_is_executable_and_installs_the_package():
    script = ROOT / "binder" / "postBuild"
    assert os.access(script, os.X_OK)
    assert "pip install" in script.read_text()
