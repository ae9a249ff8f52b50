"""What the kernel of a dashboard leaves out: messages that nobody reads, and waiting for nothing.

Of a page they took the server a third of its time and the kernel a fifth.
"""

import sys

import comm
import ipywidgets
from ipykernel import ipkernel
from ipykernel.comm.comm import BaseComm
from ipykernel.iostream import OutStream
from ipykernel.kernelbase import Kernel
from IPython.core import shellapp

ARGUMENTS = [
    f"--IPKernelApp.outstream_class={__name__}.Stream",
    # A rest after each cell, for programs that read replies and outputs apart; the server reads outputs to their end.
    "--IPythonKernel._execute_sleep=0",
    "--HistoryManager.enabled=False",  # a database of what was typed, and nobody types
]
"""For a kernel's command line."""


def install():
    """Put what is here in place of what a kernel would use."""
    comm.create_comm = Comm
    ipkernel.sys = shellapp.sys = _NoModules()


class _NoModules:
    """``sys`` for those who note each of five thousand modules for a debugger and a reset, which no page has.

    Whatever is touched in a fork is copied: a fifth of a kernel's memory and of its start.
    """

    modules = {}  # noqa: RUF012

    def __getattr__(self, name):
        return getattr(sys, name)


class Comm(BaseComm):
    """A widget's way to the page. It is silent until the page is there, which then asks for the state of every widget.

    A chapter makes two hundred. ``Output`` is not silent: the server, which has the cells executed, listens to what is
    to be shown in it.
    """

    _always = True  # one that the page has opened

    def open(self, data=None, **options):
        """Tell the page of the widget."""
        state = (data or {}).get("state", {})
        self._always = self.target_name != "jupyter.widget" or state.get("_model_name") == "OutputModel"
        if Kernel.initialized():  # which the first message would set, and without it ipywidgets sends none
            self.kernel = Kernel.instance()
        super().open(data, **options)

    def publish_msg(self, *arguments, **options):
        """Send a message, if somebody hears it."""
        if self._always or ipywidgets.Widget._control_comm is not None:  # by which the page asks
            super().publish_msg(*arguments, **options)


class Stream(OutStream):
    """Standard output and error: flushed, which waits for another thread, only where there is something to send."""

    def flush(self):
        """Send what was written."""
        if self._flush_pending or self._subprocess_flush_pending:
            super().flush()
