"""What repo2docker, and so Binder, will make of binder/, and that environment.yml does not ask for something else."""

import os
import re
import tomllib
import types
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

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


def python_of(file):
    """The Python that an environment file asks for."""
    return re.search(r"^ *- python=([\d.]+)$", (ROOT / file).read_text(), re.MULTILINE)[1]


def test_both_environments_have_the_python_that_the_package_is_tested_with():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert python_of("environment.yml") == python_of("binder/environment.yml")
    assert project["requires-python"].startswith(f">={python_of('environment.yml')},")


def test_on_kubernetes_a_user_has_the_server_that_a_hubs_configuration_gives():
    hub = types.SimpleNamespace(Spawner=types.SimpleNamespace(), JupyterHub=types.SimpleNamespace())
    exec((ROOT / "binder" / "jupyterhub_config.py").read_text(), {"get_config": lambda: hub})
    values = yaml.safe_load((ROOT / "binder" / "zero-to-jupyterhub.yaml").read_text())
    user = values["singleuser"]
    assert user["cmd"] == hub.Spawner.cmd
    assert values["hub"]["config"]["KubeSpawner"]["args"] == hub.Spawner.args
    assert user["defaultUrl"] == hub.Spawner.default_url
    assert user["memory"] == {"guarantee": hub.Spawner.mem_guarantee, "limit": hub.Spawner.mem_limit}
    assert f"--timeout={values['cull']['timeout']}" in hub.JupyterHub.services[0]["command"]


@pytest.mark.parametrize(("name", "lost"), [("anywidget", "0.9.13"), ("anywidget", "0.9.3")])
def test_versions_with_known_faults_are_not_admitted(name, lost):
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    requirement = next(r for r in map(Requirement, wanted) if r.name == name)
    assert not requirement.specifier.contains(lost)
    assert requirement.specifier.contains("0.9.14")
