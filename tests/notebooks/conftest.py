"""A kernel as the pages have it, for notebooks that run from top to bottom."""

import os

import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from traitlets import Instance

from kdlab.lab.kernels import KernelSpecs
from kdlab.lab.program_cache import ProgramCache


class Kernels(AsyncKernelManager):
    kernel_spec_manager = Instance(KernelSpecs, ())


@pytest.fixture(scope="session")
def execute():
    """A function that runs the cells of a notebook in a ``folder`` and leaves what they show in them."""

    def execute(book, folder):
        programs, resources = ProgramCache(), {"metadata": {"path": str(folder)}}
        client = NotebookClient(book, kernel_manager_class=Kernels, timeout=1200, resources=resources)
        client.execute(env={**os.environ, "TF_XLA_FLAGS": programs.flags(os.environ)})
        programs.tidy()

    return execute
