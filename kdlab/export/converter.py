"""TensorFlow's converter for LiteRT. Its native code may crash: it runs in a process of its own, and only that dies.

The process is started by the first conversion that needs it, serves those that follow, and ends when nobody has needed it
for a while. It needs some seconds to start, and 320 MB: models known to be safe are converted in this process.
"""

import atexit
import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import suppress
from pathlib import Path

from ..quiet import without_standard_error

IDLE = 60.0  # seconds
_PROGRAM = "from kdlab.export.converter import serve; serve()"
_LOST = (OSError, EOFError, pickle.UnpicklingError)
_lock = threading.RLock()
_process = None


class ConverterError(RuntimeError):
    """The converter's process ended in the middle of its work; the message says how."""


def start():
    """Start the process, if it does not run, and return it: it loads TensorFlow, which takes seconds, meanwhile."""
    global _process
    with _lock:
        if _process is not None and _process.poll() is not None:
            end()
        if _process is None:
            _process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)]),
                },
                start_new_session=True,  # Ctrl-C is this process's to answer.
            )
        return _process


@atexit.register
def end():
    """End the process, if it runs."""
    global _process
    with _lock:
        if _process is not None:
            _process.kill()
            with suppress(OSError):
                _process.communicate()  # This closes its pipes, too.
            _process = None


def convert_here(folder, samples=None):
    """Return what ``convert_saved_model`` does, converted in this process."""
    with _lock, without_standard_error():
        return _convert(folder, samples)


def convert_saved_model(folder, samples=None):
    """Return the bytes of the LiteRT file of a SavedModel: float32, or all int8 with ``samples`` (N, …) to measure on.

    The file is also loaded and run once by LiteRT's interpreter, if it is there. Raises ValueError with the converter's
    own words and ConverterError where its process ended.
    """
    with _lock:
        for _ in range(2):
            process = start()
            try:
                pickle.dump((str(folder), samples), process.stdin)
                process.stdin.flush()
                answer = pickle.load(process.stdout)
            except _LOST:
                code = process.wait()
                end()
                if code:
                    how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
                    raise ConverterError(f"TensorFlow's converter ended with {how}") from None
                continue  # It had waited too long and was just leaving.
            except BaseException:  # Its answer would be taken for the next one's.
                end()
                raise
            if isinstance(answer, str):
                raise ValueError(answer)
            return answer
    raise ConverterError("TensorFlow's converter does not start")


def serve():
    """Convert what comes on standard input; the process's part of ``convert_saved_model``."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Whatever prints must not end up among them.
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import tensorflow  # noqa: F401

    while True:
        leave = threading.Timer(IDLE, os._exit, [0])
        leave.daemon = True
        leave.start()
        try:
            folder, samples = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        leave.cancel()
        try:
            answer = _convert(folder, samples)
        except Exception as error:
            answer = str(error) or type(error).__name__
        pickle.dump(answer, answers)
        answers.flush()


def _convert(folder, samples):
    from tensorflow import int8, lite

    converter = lite.TFLiteConverter.from_saved_model(folder)
    if samples is not None:
        converter.optimizations = [lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample[None]] for sample in samples)
        converter.target_spec.supported_ops = [lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = int8
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = bytes(converter.convert())
    _try(content)
    return content


def _try(content):
    """Run the file once: an interpreter that aborts does so here. What it raises, it raises where it is called, too."""
    with suppress(Exception):
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
        interpreter.invoke()
