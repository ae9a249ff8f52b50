"""The command ``kdlab``: serves the dashboards; ``kdlab lab`` opens JupyterLab; ``kdlab train`` and others run."""

import _thread
import argparse
import os
import re
import shlex
import sys
import threading
from functools import partial
from pathlib import Path

from .. import __version__
from ..checks import check_count
from ..lab.copies import copy_notebooks
from .run_arguments import add_commands, checked, new_folder, of_extra
from .teaching_commands import add_teaching

SERVE_PORT, LAB_PORT = 8866, 8888


def main(arguments=None):
    """Run the command line; returns the exit code.

    0: all is well. 2, after one line on stderr: what the user can mend. 1, after such a line: what was not foreseen in a
    run. 130: a run was stopped with Ctrl-C.
    """
    arguments = _joined(sys.argv[1:] if arguments is None else arguments)
    # Of Jupyter's dependencies one builds a parser of internationalised addresses while it is imported, for seconds, and
    # nothing here has it parse any; without it jsonschema does not check that one format.
    sys.modules.setdefault("rfc3987_syntax", None)
    if hasattr(sys.stdout, "reconfigure"):
        # Names and signs that the terminal's encoding has not are no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    top = _top_options()
    parser = _parser(top)
    # argparse takes what follows an option that it does not know for the command, and would call that wrong.
    _, unknown = top.parse_known_args(arguments)
    if unknown and unknown[0].startswith("-") and unknown[0] not in ("-h", "--help"):
        parser.error(f"unknown arguments: {' '.join(unknown)}")
    options, others = parser.parse_known_args(arguments)
    if others and options.run is not _lab:
        parser.error(f"unknown arguments: {' '.join(others)}")
    options.others, options.line = others, shlex.join(["kdlab", *arguments])
    run = hasattr(options, "command")
    hook = sys.unraisablehook
    sys.unraisablehook = partial(_interrupt_again, hook)
    try:
        return options.run(options) or 0
    except KeyboardInterrupt:
        if run:
            whole = options.command in ("export", "course", "handout")
            left = "nothing half-written is left" if whole else "repeat the command to resume"
            return _fail(f"stopped; {left}", 130)
        return 0  # Ctrl-C while it is still starting
    except (ValueError, OSError, FloatingPointError) as error:
        return _fail(error)
    except Exception as error:
        if not run:
            raise
        if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's
            return _fail("there is not enough memory; a smaller --batch-size or --image-size needs less")
        return _fail(f"{type(error).__name__}, which was not foreseen: {error}", 1)
    finally:
        sys.unraisablehook = hook


def _joined(arguments):
    """Return the arguments; a value of --pixel-range that begins with a minus, an option to argparse, joined to it by =."""
    joined = []
    for word in arguments:
        if joined and joined[-1] == "--pixel-range" and re.match(r"-[\d.]", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _interrupt_again(otherwise, unraisable):
    """Press Ctrl-C once more, a moment later, where it struck in a ``__del__``, of which Python shows and drops errors.

    All other errors are left to ``otherwise``, the hook that was there before.
    """
    if unraisable.exc_type is not KeyboardInterrupt:
        return otherwise(unraisable)
    again = threading.Timer(0.05, _thread.interrupt_main)
    again.daemon = True
    again.start()


def _fail(what, code=2):
    """Say in one line what went wrong and return the exit code."""
    line = " ".join(str(what).split())
    # So long that a command at its end stays whole.
    print(f"kdlab: {line if len(line) <= 2000 else line[:2000] + '…'}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message):
        """Say what is wrong with an argument, and leave with exit code 2."""
        self.exit(2, f"kdlab: {message} ({self.prog} --help)\n")


def _top_options():
    """Return the parser of the options that stand before a command."""
    parser = _Parser(prog="kdlab", add_help=False, allow_abbrev=False)
    add, count = parser.add_argument, checked(check_count, int)
    add("--version", action="version", version=f"kdlab {__version__}")
    _add_address(parser, SERVE_PORT)
    token = "ask visitors for a token; without SECRET one is made up and shown"
    add("--token", nargs="?", const="", metavar="SECRET", help=token)
    anonymous = "let everybody in who can reach --ip, under any name of this machine"
    add("--allow-anonymous", action="store_true", help=anonymous)
    kernels = "pages that may be open at once; one takes 100 to 400 MB (default: as many as there is memory for)"
    add("--max-kernels", type=count, metavar="N", help=kernels)
    cull = "after how long the kernel of a crashed browser ends (default: %(default)s)"
    add("--cull-after", type=count, default=300, metavar="SECONDS", help=cull)
    url = "path below which everything is served, as behind a reverse proxy (default: %(default)s)"
    add("--base-url", type=_path_of_url, default="/", metavar="PATH", help=url)
    notebooks = (
        "serve this folder's notebooks too, with cards on the home page; one named like a shipped one replaces it"
    )
    add("--notebooks", metavar="DIR", help=notebooks)
    add(
        "--verbose",
        action="store_true",
        help="show what server and kernels log, and on a page the error of a cell that fails",
    )
    return parser


def _path_of_url(text):
    """Return a path of a URL with a slash at both ends."""
    if not re.fullmatch(r"/?([\w.~-]+(/[\w.~-]+)*)?/?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"must be a path such as /kdlab/, got {text!r}")
    return f"/{text.strip('/')}/" if text.strip("/") else "/"


def _parser(top):
    parser = _Parser(
        prog="kdlab",
        parents=[top],
        allow_abbrev=False,
        description="Knowledge distillation to play with. Without a command: serve the dashboards.",
    )
    parser.set_defaults(run=_serve)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    lab = commands.add_parser(
        "lab",
        help="open JupyterLab on a copy of the notebooks",
        description="Open JupyterLab on a copy of the notebooks; options not listed here are handed on to it.",
    )
    _add_address(lab, LAB_PORT)
    lab.add_argument(
        "--copy-to",
        type=new_folder,
        default="kdlab-notebooks",
        metavar="DIR",
        help="where the copy is, or is made; files there that differ are kept (default: %(default)s)",
    )
    lab.set_defaults(run=_lab)
    add_teaching(commands)
    add_commands(commands)
    return parser


def _add_address(parser, port):
    # Without a default, an address before the command is not written over by the command's own.
    parser.add_argument(
        "--ip", default=argparse.SUPPRESS, help="address to listen on (default: 127.0.0.1, this machine only)"
    )
    parser.add_argument(
        "--port",
        type=checked(check_count, int, most=65535),
        default=argparse.SUPPRESS,
        help=f"port to listen on; if it is taken, the next free one (default: {port})",
    )
    parser.add_argument("--no-browser", action="store_true", default=argparse.SUPPRESS, help="do not open a browser")


def _address(options, port):
    """Return the --ip, --port and --no-browser that were given, else their defaults."""
    return getattr(options, "ip", "127.0.0.1"), getattr(options, "port", port), hasattr(options, "no_browser")


def _serve(options):
    with of_extra("server", "serving the dashboards"):
        from ..lab.serving import serve

    ip, port, no_browser = _address(options, SERVE_PORT)
    serve(
        ip=ip,
        port=port,
        base_url=options.base_url,
        browser=not no_browser,
        token=options.token,
        allow_anonymous=options.allow_anonymous,
        max_kernels=options.max_kernels,
        cull_after=options.cull_after,
        notebooks=options.notebooks,
        verbose=options.verbose,
    )


def _lab(options):
    hub = "JUPYTERHUB_SERVICE_URL" in os.environ  # then it says where to listen, and who may come in
    with of_extra("hub" if hub else "server", "kdlab lab"):
        if hub:
            from jupyterhub.singleuser import main as jupyterlab
        else:
            from jupyterlab.labapp import main as jupyterlab

        from ..lab.kernels import EXTENSIONS, FORKED, NOT_FORKED, UPLOADS
        from ..lab.program_cache import ProgramCache

    if options.token is not None or options.allow_anonymous:
        raise ValueError("--token and --allow-anonymous are for the dashboards; JupyterLab asks for a token of its own")
    if options.notebooks:
        raise ValueError("--notebooks is for the dashboards; kdlab lab --copy-to DIR works in a folder of yours")
    if options.base_url != "/":
        options.others.append(f"--ServerApp.base_url={options.base_url}")
    ip, port, no_browser = _address(options, LAB_PORT)
    folder = Path(options.copy_to).resolve()
    kept = copy_notebooks(folder)
    # Settings for JupyterLab: no widget callbacks in other threads, where pyplot's figures lose parts (jupyterlab #19719).
    settings = [str(Path(__file__).parents[1] / "lab" / "jupyter_config"), os.environ.get("JUPYTER_CONFIG_PATH")]
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, settings))
    programs = ProgramCache()
    os.environ["TF_XLA_FLAGS"] = programs.flags(os.environ)
    if not FORKED:
        print(NOT_FORKED, flush=True)
    print(f"The notebooks are in {folder}", flush=True)
    if kept:
        print(f"Kept as they are there, not as shipped: {', '.join(kept)}", flush=True)
    arguments = [
        f"--ServerApp.root_dir={folder}",
        "--ServerApp.kernel_spec_manager_class=kdlab.lab.kernels.KernelSpecs",
        # The chapters as pages, beside JupyterLab: with the formulas' program that Voila brings, not a content network's.
        f"--VoilaConfiguration.extension_allowlist={EXTENSIONS}",
        f"--ServerApp.tornado_settings={ {'mathjax_url': None, 'mathjax_config': None, **UPLOADS} }",
        *([] if hub else [f"--ip={ip}", f"--port={port}"]),
        *options.others,
    ]
    jupyterlab([*arguments, "--no-browser"] if no_browser else arguments)
    programs.tidy()
    _end_with_what_waits()


def _end_with_what_waits():
    """End this process, its kernels first, if a thread of anyio's waits for work: Python would wait for it for ever.

    It happens where a file is read or written as the server stops: then nobody tells the thread to stop.
    """
    if any(thread.name == "AnyIO worker thread" for thread in threading.enumerate()):
        from ..lab.kernels import end_kernels

        end_kernels()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
