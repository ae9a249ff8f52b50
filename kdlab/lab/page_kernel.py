"""What the kernel of a dashboard leaves out: messages that nobody reads, and waiting for nothing.

Of a page they took the server a third of its time and the kernel a fifth.
"""

import ipywidgets
from ipykernel.comm.comm import BaseComm
from ipykernel.iostream import OutStream
from ipykernel.kernelbase import Kernel

__all__ = ["ARGUMENTS", "Comm", "Stream"]

ARGUMENTS = [
    f"--IPKernelApp.outstream_class={__name__}.Stream",
    # A rest after each cell, for programs that read replies and outputs apart; the server reads outputs to their end.
    "--IPythonKernel._execute_sleep=0",
    "--HistoryManager.enabled=False",  # a database of what was typed, and nobody types
]
"""For a kernel's command line."""


class Comm(BaseComm):
    """A widget's way to the page. It is silent until the page is there, which then asks for the state of every widget.

    A chapter makes two hundred. ``Output`` is not silent: the server, which has the cells executed, listens to what is
    to be shown in it. To be put in place of ``comm.create_comm``.
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
