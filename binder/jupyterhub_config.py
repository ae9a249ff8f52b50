"""Configuration of JupyterHub: everybody has a server with the dashboards and JupyterLab, on a copy of the notebooks.

    pip install 'kdlab[server,hub] @ git+ADDRESS' && npm install -g configurable-http-proxy
    jupyterhub -f jupyterhub_config.py

Who may come in (authenticator_class) and how servers are started (spawner_class) are yours to choose. On The Littlest
JupyterHub this file goes to /opt/tljh/config/jupyterhub_config.d/, after `tljh-config set services.cull.enabled false`
and with kdlab installed in the users' environment. For Kubernetes see zero-to-jupyterhub.yaml.
"""

import sys

c = get_config()  # noqa: F821 - JupyterHub gives it

c.Spawner.cmd = ["kdlab", "lab", "--copy-to", "kdlab-notebooks"]
# A page that is closed ends its kernel; that of a browser that died ends after ten minutes.
c.Spawner.args = ["--MappingKernelManager.cull_idle_timeout=600", "--MappingKernelManager.cull_interval=60"]
c.Spawner.default_url = "/voila/render/index.ipynb"
c.Spawner.http_timeout = 60
# Measured (proportional set size): 0.5 GB for the server and what kernels are forked from, 0.1 to 0.4 for each page.
# Spawners of systemd, Docker and Kubernetes hold users to the limit.
c.Spawner.mem_guarantee = "1G"
c.Spawner.mem_limit = "2G"

c.JupyterHub.load_roles = [
    {
        "name": "cull-idle",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["cull-idle"],
    }
]
c.JupyterHub.services = [
    {"name": "cull-idle", "command": [sys.executable, "-m", "jupyterhub_idle_culler", "--timeout=3600"]}
]
